//! The store in a directory: one file per object.
//!
//! Which system calls happen, in which order, for one written object:
//!
//! 1. a temporary file in `.tmp` (same file system) is created, written and fsynced (in [`Store::put_all`]: all of them are written,
//!    then all are fsynced);
//! 2. the object's directory is created where missing, and each new directory's parent is fsynced;
//! 3. the temporary is renamed to the object (`RENAME_NOREPLACE` for [`Store::put`], so that two writers cannot overwrite each other);
//! 4. the object's directory, open since before the rename, is fsynced.
//!
//! A reader therefore sees no object or a whole one. What this cannot cover: after a failed fsync the kernel may show bytes that the
//! disk does not have; [`Store::rewrite`] puts them into a new inode, and the callers use it for everything that they rely on after a
//! start.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rustix::fs::{Advice, RenameFlags, fadvise};

use crate::calls::{Calls, OpenDirectory, Watch};
use crate::{Store, Swap, check_key, differs};

/// Where temporary files live, below the store's root: a name that no key can have.
const TEMPORARY: &str = ".tmp";

/// Objects of a round that are written before the first of them is synced; each is an open file meanwhile.
const AT_ONCE: usize = 64;

/// Objects as files below one directory.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    calls: Calls,
    /// Directories that this process has made durable in the ones above them. One that is there already proves nothing: the process
    /// that made it may have ended before it synced the parent.
    durable: Mutex<BTreeSet<PathBuf>>,
    /// Swaps read, compare and replace; within one process this makes them one step for each key. Those of different keys go on side
    /// by side, so that the file system can make many durable at once.
    swapping: Keys,
    temporaries: AtomicU64,
}

impl Directory {
    /// Opens a directory that exists, creating its folder for temporary files.
    ///
    /// # Errors
    /// What the file system answers: not found, no permission, read-only.
    pub fn open(root: &Path) -> io::Result<Self> {
        Self::open_watched(root, None)
    }

    /// [`Self::open`], with somebody between the store and the file system: for tests of what a crash leaves.
    ///
    /// # Errors
    /// As [`Self::open`], and what `watch` returns.
    pub fn open_watched(root: &Path, watch: Option<Arc<dyn Watch>>) -> io::Result<Self> {
        let directory = Self { calls: Calls { watch }, ..Self::at(root) };
        directory.make_directory(&root.join(TEMPORARY))?;
        Ok(directory)
    }

    /// Opens a directory for reading alone: nothing in it is created, and every write fails where the folder for temporary files is
    /// missing.
    ///
    /// # Errors
    /// If `root` is not a readable directory.
    pub fn open_read_only(root: &Path) -> io::Result<Self> {
        fs::read_dir(root)?;
        Ok(Self::at(root))
    }

    fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            calls: Calls::default(),
            durable: Mutex::default(),
            swapping: Keys::default(),
            temporaries: AtomicU64::new(0),
        }
    }

    /// Removes the temporary files that an ended process left. Call it only while holding the directory's [`crate::Lock`].
    ///
    /// # Errors
    /// What listing or removing gave.
    pub fn clean(&self) -> io::Result<()> {
        fs::read_dir(self.root.join(TEMPORARY))?.try_for_each(|entry| self.calls.remove(&entry?.path()))
    }

    /// Puts `value` where a damaged or missing object is, durably. The caller knows by other means than this store, by a signed tree
    /// say, that these are the object's bytes: nothing here can tell.
    ///
    /// # Errors
    /// What the file system answers; the object is then as it was, or `value`.
    pub fn replace_damaged(&self, key: &str, value: &[u8]) -> io::Result<()> {
        self.replace(&self.path(key)?, value)
    }

    fn path(&self, key: &str) -> io::Result<PathBuf> {
        check_key(key)?;
        Ok(self.root.join(key))
    }

    /// Step 1 without the fsync.
    fn write(&self, pieces: &[&[u8]]) -> io::Result<Temporary<'_>> {
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(TEMPORARY).join(format!("{}-{number}", std::process::id()));
        // A left-over of an earlier process with this number is in nobody's use: the directory's lock is held.
        self.calls.remove(&path)?;
        let mut temporary = Temporary { calls: &self.calls, path, file: None, is_placed: false };
        temporary.file = Some(self.calls.write_new(&temporary.path, pieces)?);
        Ok(temporary)
    }

    /// The rest of step 1, then 2 and 3; the caller syncs the returned directory.
    fn place(&self, mut temporary: Temporary<'_>, path: &Path, flags: RenameFlags) -> io::Result<OpenDirectory> {
        temporary.sync()?;
        let parent = path.parent().unwrap_or(&self.root);
        self.make_directory(parent)?;
        let directory = Calls::open_directory(parent)?;
        self.calls.rename(&temporary.path, path, flags)?;
        temporary.is_placed = true;
        Ok(directory)
    }

    /// Creates a directory and its missing parents, each made durable in the one above it.
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        if !path.starts_with(&self.root) || path == self.root {
            return Ok(());
        }
        if self.durable.lock().unwrap_or_else(PoisonError::into_inner).contains(path) {
            return Ok(());
        }
        let parent = path.parent().ok_or(io::ErrorKind::NotFound)?;
        self.make_directory(parent)?;
        if !path.is_dir() {
            self.calls.create_directory(path)?;
        }
        self.calls.sync_directory(&Calls::open_directory(parent)?)?;
        self.durable.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
        Ok(())
    }

    /// The same bytes again: makes them durable, for the put that wrote them may have failed before its fsync.
    fn confirm(&self, key: &str, path: &Path, stored: &[u8], value: &[u8]) -> io::Result<OpenDirectory> {
        if stored != value {
            return Err(differs(key));
        }
        let parent = path.parent().unwrap_or(&self.root);
        self.make_directory(parent)?;
        self.calls.sync_stored(path)?;
        Calls::open_directory(parent)
    }

    /// One object of a put, written where it is not there yet.
    fn prepare(&self, key: &str, pieces: &[&[u8]]) -> io::Result<Prepared<'_>> {
        let path = self.path(key)?;
        match self.calls.read(&path)? {
            Some(stored) => self.confirm(key, &path, &stored, &pieces.concat()).map(Prepared::There),
            None => Ok(Prepared::Written(self.write(pieces)?, path)),
        }
    }

    /// The rest of it, up to but without the directory's fsync.
    fn finish(&self, key: &str, pieces: &[&[u8]], prepared: Prepared<'_>) -> io::Result<OpenDirectory> {
        let (temporary, path) = match prepared {
            Prepared::There(directory) => return Ok(directory),
            Prepared::Written(temporary, path) => (temporary, path),
        };
        match self.place(temporary, &path, RenameFlags::NOREPLACE) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let stored = self.calls.read(&path)?.ok_or(error)?;
                self.confirm(key, &path, &stored, &pieces.concat())
            }
            placed => placed,
        }
    }

    /// Writes all before it syncs the first: the file system makes them durable together.
    fn put_some(&self, objects: &[(String, Vec<u8>)]) -> io::Result<()> {
        // The caller cannot know which of them failed.
        let named = |key: &str, error: io::Error| io::Error::new(error.kind(), format!("{key}: {error}"));
        let prepare = |(key, value): &(String, Vec<u8>)| self.prepare(key, &[value]).map_err(|error| named(key, error));
        let prepared = objects.iter().map(prepare).collect::<io::Result<Vec<_>>>()?;
        prepared.iter().for_each(Prepared::begin_writing_back);
        let mut directories = BTreeSet::new();
        let mut open = Vec::new();
        for ((key, value), prepared) in objects.iter().zip(prepared) {
            let directory = self.finish(key, &[value], prepared).map_err(|error| named(key, error))?;
            // One fsync per directory, on a descriptor that was open before its first rename.
            if directories.insert(key.rsplit_once('/').map_or("", |(parent, _)| parent)) {
                open.push(directory);
            }
        }
        open.iter().try_for_each(|directory| self.calls.sync_directory(directory))
    }

    fn replace(&self, path: &Path, value: &[u8]) -> io::Result<()> {
        self.calls.sync_directory(&self.place(self.write(&[value])?, path, RenameFlags::empty())?)
    }
}

impl Store for Directory {
    fn get(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        self.calls.read(&self.path(key)?)
    }

    fn read_into(&self, key: &str, into: &mut Vec<u8>) -> io::Result<bool> {
        self.calls.read_into(&self.path(key)?, into)
    }

    fn put(&self, key: &str, value: &[u8]) -> io::Result<()> {
        self.put_pieces(key, &[value])
    }

    fn put_pieces(&self, key: &str, pieces: &[&[u8]]) -> io::Result<()> {
        self.calls.sync_directory(&self.finish(key, pieces, self.prepare(key, pieces)?)?)
    }

    fn put_all(&self, objects: &[(String, Vec<u8>)]) -> io::Result<()> {
        objects.chunks(AT_ONCE).try_for_each(|some| self.put_some(some))
    }

    fn swap(&self, key: &str, old: Option<&[u8]>, new: &[u8]) -> io::Result<Swap> {
        let path = self.path(key)?;
        let _one_at_a_time = self.swapping.take(key);
        if self.calls.read(&path)?.as_deref() != old {
            return Ok(Swap::Conflict);
        }
        self.replace(&path, new)?;
        Ok(Swap::Done)
    }

    fn rewrite(&self, key: &str) -> io::Result<()> {
        let path = self.path(key)?;
        let _one_at_a_time = self.swapping.take(key);
        let value = self.calls.read(&path)?.ok_or(io::ErrorKind::NotFound)?;
        self.replace(&path, &value)
    }

    fn discard(&self, key: &str) -> io::Result<()> {
        let path = self.path(key)?;
        match self.calls.remove(&path) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                // Before it goes, so that whoever writes there meanwhile creates it again.
                self.durable.lock().unwrap_or_else(PoisonError::into_inner).remove(&path);
                match self.calls.remove_directory(&path) {
                    Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => Ok(()),
                    removed => removed,
                }
            }
            removed => removed,
        }
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        if !prefix.is_empty() {
            check_key(prefix)?;
        }
        let mut keys = Vec::new();
        collect(&self.root.join(prefix), prefix, &mut keys)?;
        keys.sort_unstable();
        Ok(keys)
    }
}

/// The keys that somebody works on alone.
#[derive(Debug, Default)]
struct Keys {
    taken: Mutex<BTreeSet<String>>,
    freed: Condvar,
}

/// One taken key; free again when this is dropped.
struct Taken<'a> {
    keys: &'a Keys,
    key: &'a str,
}

impl Keys {
    fn take<'a>(&'a self, key: &'a str) -> Taken<'a> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while taken.contains(key) {
            taken = self.freed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        taken.insert(key.to_owned());
        Taken { keys: self, key }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.keys.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(self.key);
        self.keys.freed.notify_all();
    }
}

/// An object on its way to its name.
enum Prepared<'a> {
    /// It was there, and is durable once this directory is synced.
    There(OpenDirectory),
    /// Written, and to be placed there.
    Written(Temporary<'a>, PathBuf),
}

impl Prepared<'_> {
    fn begin_writing_back(&self) {
        if let Self::Written(Temporary { file: Some(file), .. }, _) = self {
            // Advice that makes the kernel start writing, so that the first fsync does not wait for each file in turn.
            let _ = fadvise(file, 0, None, Advice::DontNeed);
        }
    }
}

/// A file that is removed unless it was renamed away.
struct Temporary<'a> {
    calls: &'a Calls,
    path: PathBuf,
    /// Until it is synced.
    file: Option<File>,
    is_placed: bool,
}

impl Temporary<'_> {
    fn sync(&mut self) -> io::Result<()> {
        match self.file.take() {
            Some(file) => self.calls.sync_file(&file, &self.path),
            None => Ok(()),
        }
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.is_placed {
            // Best effort: what stays is removed by the next start.
            let _ = self.calls.remove(&self.path);
        }
    }
}

fn collect(directory: &Path, prefix: &str, keys: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => listed?,
    };
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let key = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        if check_key(&key).is_err() {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &key, keys)?;
        } else {
            keys.push(key);
        }
    }
    Ok(())
}

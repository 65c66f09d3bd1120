//! The store in a directory: one file per object.
//!
//! Which system calls happen, in which order, for one written object:
//!
//! 1. a temporary file in `.tmp` (same file system) is created, written and fsynced;
//! 2. the object's directory is created where missing, and each new directory's parent is fsynced;
//! 3. the temporary is renamed to the object (`RENAME_NOREPLACE` for [`Store::put`], so that two writers cannot overwrite each other);
//! 4. the object's directory, open since before the rename, is fsynced.
//!
//! A reader therefore sees no object or a whole one. What this cannot cover: after a failed fsync the kernel may show bytes that the
//! disk does not have; [`Store::rewrite`] puts them into a new inode, and the callers use it for everything that they rely on after a
//! start.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};

use crate::{Store, Swap, check_key, differs};

/// Where temporary files live, below the store's root: a name that no key can have.
const TEMPORARY: &str = ".tmp";

/// Objects as files below one directory.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    /// Swaps read, compare and replace; within one process this makes them one step.
    swapping: Mutex<()>,
    temporaries: AtomicU64,
}

impl Directory {
    /// Opens a directory that exists, creating its folder for temporary files.
    ///
    /// # Errors
    /// What the file system answers: not found, no permission, read-only.
    pub fn open(root: &Path) -> io::Result<Self> {
        make_directory(&root.join(TEMPORARY))?;
        Ok(Self::at(root))
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
        Self { root: root.to_owned(), swapping: Mutex::new(()), temporaries: AtomicU64::new(0) }
    }

    /// Removes the temporary files that an ended process left. Call it only while holding the directory's [`crate::Lock`].
    ///
    /// # Errors
    /// What listing or removing gave.
    pub fn clean(&self) -> io::Result<()> {
        fs::read_dir(self.root.join(TEMPORARY))?.try_for_each(|entry| fs::remove_file(entry?.path()))
    }

    fn path(&self, key: &str) -> io::Result<PathBuf> {
        check_key(key)?;
        Ok(self.root.join(key))
    }

    /// Step 1: the bytes in a fsynced temporary file.
    fn stage(&self, value: &[u8]) -> io::Result<Temporary> {
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(TEMPORARY).join(format!("{}-{number}", std::process::id()));
        // A left-over of an earlier process with this number is in nobody's use: the directory's lock is held.
        remove(&path)?;
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let temporary = Temporary { path: Some(path) };
        file.write_all(value)?;
        file.sync_all()?;
        Ok(temporary)
    }

    /// Steps 2 and 3; the caller syncs the returned directory.
    fn place(&self, mut temporary: Temporary, path: &Path, flags: RenameFlags) -> io::Result<File> {
        let parent = path.parent().unwrap_or(&self.root);
        make_directory(parent)?;
        // Held open across the rename, so that an error in writing back the directory is reported to this descriptor.
        let directory = File::open(parent)?;
        if let Some(from) = &temporary.path {
            renameat_with(CWD, from, CWD, path, flags)?;
        }
        temporary.path = None;
        Ok(directory)
    }

    /// One object of a put, up to but without the directory's fsync.
    fn put_unsynced(&self, key: &str, value: &[u8]) -> io::Result<File> {
        let path = self.path(key)?;
        if let Some(stored) = read(&path)? {
            return confirm(key, &path, &stored, value);
        }
        match self.place(self.stage(value)?, &path, RenameFlags::NOREPLACE) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let stored = read(&path)?.ok_or(error)?;
                confirm(key, &path, &stored, value)
            }
            placed => placed,
        }
    }

    fn replace(&self, path: &Path, value: &[u8]) -> io::Result<()> {
        self.place(self.stage(value)?, path, RenameFlags::empty())?.sync_all()
    }
}

impl Store for Directory {
    fn get(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        read(&self.path(key)?)
    }

    fn put(&self, key: &str, value: &[u8]) -> io::Result<()> {
        self.put_unsynced(key, value)?.sync_all()
    }

    fn put_all(&self, objects: &[(String, Vec<u8>)]) -> io::Result<()> {
        let mut directories = BTreeSet::new();
        let mut open = Vec::new();
        for (key, value) in objects {
            let directory = self.put_unsynced(key, value)?;
            // One fsync per directory, on a descriptor that was open before its first rename.
            if directories.insert(key.rsplit_once('/').map_or("", |(parent, _)| parent)) {
                open.push(directory);
            }
        }
        open.iter().try_for_each(File::sync_all)
    }

    fn swap(&self, key: &str, old: Option<&[u8]>, new: &[u8]) -> io::Result<Swap> {
        let path = self.path(key)?;
        let _one_at_a_time = self.swapping.lock().map_err(|_| io::Error::other("a swap panicked"))?;
        if read(&path)?.as_deref() != old {
            return Ok(Swap::Conflict);
        }
        self.replace(&path, new)?;
        Ok(Swap::Done)
    }

    fn rewrite(&self, key: &str) -> io::Result<()> {
        let path = self.path(key)?;
        let _one_at_a_time = self.swapping.lock().map_err(|_| io::Error::other("a swap panicked"))?;
        let value = read(&path)?.ok_or(io::ErrorKind::NotFound)?;
        self.replace(&path, &value)
    }

    fn discard(&self, key: &str) -> io::Result<()> {
        remove(&self.path(key)?)
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

/// A file that is removed unless it was renamed away.
struct Temporary {
    path: Option<PathBuf>,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Best effort: what stays is removed by the next start.
            let _ = fs::remove_file(path);
        }
    }
}

/// The same bytes again: makes them durable, for the put that wrote them may have failed before its fsync.
fn confirm(key: &str, path: &Path, stored: &[u8], value: &[u8]) -> io::Result<File> {
    if stored != value {
        return Err(differs(key));
    }
    File::open(path)?.sync_all()?;
    File::open(path.parent().unwrap_or(path))
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    // Never follows a link out of the store and never waits at a FIFO.
    let flags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed();
    let mut file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other(format!("{} is not a regular file", path.display())));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Creates a directory and its missing parents, each made durable in the one above it.
fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().ok_or(io::ErrorKind::NotFound)?;
    make_directory(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(parent)?.sync_all()
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

//! The system calls of the directory store, each in one place, and whoever stands between the store and the file system.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};

/// One system call of the store, before it happens. Paths are those that the system gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call<'a> {
    /// A new, empty file.
    Create(&'a Path),
    /// These bytes into a file that is still empty.
    Write(&'a Path, &'a [u8]),
    /// `fsync` of a file.
    SyncFile(&'a Path),
    /// A new directory.
    CreateDirectory(&'a Path),
    /// `fsync` of a directory.
    SyncDirectory(&'a Path),
    /// The first name becomes the second; what had the second name is replaced.
    Rename(&'a Path, &'a Path),
    /// A name goes.
    Remove(&'a Path),
    /// A whole file is read.
    Read(&'a Path),
}

/// Stands between a directory store and the file system: records calls, or lets some fail. Without one, calls just happen.
pub trait Watch: Send + Sync {
    /// Lets `effect`, the call itself, happen or not, and says how it ended. What this returns is what the store believes.
    ///
    /// # Errors
    /// Those of `effect`, or others.
    fn call(&self, call: Call<'_>, effect: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()>;
}

/// The calls, watched or not.
#[derive(Clone, Default)]
pub(crate) struct Calls {
    pub(crate) watch: Option<Arc<dyn Watch>>,
}

/// A directory, held open so that an error in writing it back is reported to this descriptor.
pub(crate) struct OpenDirectory {
    file: File,
    path: PathBuf,
}

impl Calls {
    fn call(&self, call: Call<'_>, mut effect: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        match &self.watch {
            None => effect(),
            Some(watch) => watch.call(call, &mut effect),
        }
    }

    /// A new file with these pieces one after the other, not yet durable.
    pub(crate) fn write_new(&self, path: &Path, pieces: &[&[u8]]) -> io::Result<File> {
        let mut created = None;
        self.call(Call::Create(path), || {
            created = Some(OpenOptions::new().write(true).create_new(true).open(path)?);
            Ok(())
        })?;
        let mut file = created.ok_or(io::ErrorKind::NotFound)?;
        match &self.watch {
            None => write_all(&mut file, pieces)?,
            Some(_) => {
                let value = pieces.concat();
                self.call(Call::Write(path, &value), || file.write_all(&value))?;
            }
        }
        Ok(file)
    }

    pub(crate) fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
        self.call(Call::SyncFile(path), || file.sync_all())
    }

    /// Makes a file that is there durable.
    pub(crate) fn sync_stored(&self, path: &Path) -> io::Result<()> {
        self.sync_file(&File::open(path)?, path)
    }

    /// Creates a directory; one that is there is fine.
    pub(crate) fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.call(Call::CreateDirectory(path), || match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        })
    }

    pub(crate) fn open_directory(path: &Path) -> io::Result<OpenDirectory> {
        Ok(OpenDirectory { file: File::open(path)?, path: path.to_owned() })
    }

    pub(crate) fn sync_directory(&self, directory: &OpenDirectory) -> io::Result<()> {
        let synced = self.call(Call::SyncDirectory(&directory.path), || directory.file.sync_all());
        // Those who put many objects at once cannot know which directory it was.
        synced.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", directory.path.display())))
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path, flags: RenameFlags) -> io::Result<()> {
        self.call(Call::Rename(from, to), || Ok(renameat_with(CWD, from, CWD, to, flags)?))
    }

    /// Removes a file; an absent one is fine.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(Call::Remove(path), || match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        })
    }

    /// Removes an empty directory.
    pub(crate) fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.call(Call::Remove(path), || fs::remove_dir(path))
    }

    /// A file's bytes; `None` means absent and only that.
    pub(crate) fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        Ok(self.read_into(path, &mut bytes)?.then_some(bytes))
    }

    /// Replaces what `into` holds by a file's bytes; `false` means absent and only that.
    pub(crate) fn read_into(&self, path: &Path, into: &mut Vec<u8>) -> io::Result<bool> {
        let mut is_there = false;
        into.clear();
        self.call(Call::Read(path), || {
            is_there = read(path, into)?;
            Ok(())
        })?;
        Ok(is_there)
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("watched", &self.watch.is_some()).finish()
    }
}

/// Whole pieces in few calls, without putting them together first.
fn write_all(file: &mut File, pieces: &[&[u8]]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut rest = &mut slices[..];
    // Empty pieces at the front would look like a disk that takes nothing.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn read(path: &Path, into: &mut Vec<u8>) -> io::Result<bool> {
    // Never follows a link out of the store and never waits at a FIFO.
    let flags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed();
    let mut file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other(format!("{} is not a regular file", path.display())));
    }
    file.read_to_end(into)?;
    Ok(true)
}

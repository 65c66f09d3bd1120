//! A store's directory, only read: for checking much of it in little memory, while a server may be writing to it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{Advice, OFlags, fadvise};
use rustix::io::{read, retry_on_intr};

use crate::check_key;

/// Read access to the objects of a [`crate::Directory`]. Takes no lock and writes nothing.
#[derive(Debug)]
pub struct Reader {
    root: PathBuf,
    from_disk: bool,
}

impl Reader {
    /// Opens a directory.
    ///
    /// # Errors
    /// If `root` is not a readable directory.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::read_dir(root)?;
        Ok(Self { root: root.to_owned(), from_disk: false })
    }

    /// Reads what the disk has rather than what the page cache remembers of it, and leaves the cache without it: each file's clean
    /// pages are dropped before and after it is read. (Where the file system keeps them all the same, the cache is read.)
    #[must_use]
    pub fn from_disk(self) -> Self {
        Self { from_disk: true, ..self }
    }

    /// Replaces what `into` holds by an object's bytes; `false` if it is absent. `into` keeps its memory from object to object.
    ///
    /// # Errors
    /// What the file system answers; [`io::ErrorKind::FileTooLarge`] for an object of more than `limit` bytes.
    pub fn read_into(&self, key: &str, limit: usize, into: &mut Vec<u8>) -> io::Result<bool> {
        into.clear();
        let Some((file, length)) = self.file(key)? else { return Ok(false) };
        let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("is larger than {limit} bytes"));
        if length > limit as u64 {
            return Err(too_large());
        }
        self.forget(&file);
        // One byte more than the length, so that the end is seen without growing the buffer.
        into.reserve(usize::try_from(length).unwrap_or(limit) + 1);
        while into.len() <= limit && retry_on_intr(|| read(&file, spare_capacity(into)))? > 0 {
            into.reserve(1);
        }
        self.forget(&file);
        if into.len() > limit { Err(too_large()) } else { Ok(true) }
    }

    /// Whether an object is there.
    ///
    /// # Errors
    /// What the file system answers; never for an absent object.
    pub fn has(&self, key: &str) -> io::Result<bool> {
        Ok(self.file(key)?.is_some())
    }

    /// Shows the keys below `prefix` to `visit` until it returns `false`, each directory's in byte order, in memory that does not
    /// grow with their number. What comes or goes meanwhile may be shown or not.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn walk(&self, prefix: &str, visit: &mut dyn FnMut(&str) -> bool) -> io::Result<()> {
        check_key(prefix)?;
        self.descend(prefix, visit).map(drop)
    }

    fn descend(&self, prefix: &str, visit: &mut dyn FnMut(&str) -> bool) -> io::Result<bool> {
        let entries = match fs::read_dir(self.root.join(prefix)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            listed => listed?,
        };
        let mut names: Vec<(OsString, bool)> = Vec::new();
        for entry in entries {
            let entry = entry?;
            names.push((entry.file_name(), entry.file_type()?.is_dir()));
        }
        names.sort_unstable();
        for (name, is_directory) in names {
            let Some(key) = name.to_str().map(|name| format!("{prefix}/{name}")).filter(|key| check_key(key).is_ok()) else { continue };
            let goes_on = if is_directory { self.descend(&key, visit)? } else { visit(&key) };
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A regular file and its length. Never follows a link out of the store and never waits at a FIFO.
    fn file(&self, key: &str) -> io::Result<Option<(File, u64)>> {
        check_key(key)?;
        let flags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed();
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(self.root.join(key)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let metadata = file.metadata()?;
        if metadata.is_file() { Ok(Some((file, metadata.len()))) } else { Err(io::Error::other("is not a regular file")) }
    }

    fn forget(&self, file: &File) {
        if self.from_disk {
            // Advice: where it is not taken, the cache is read.
            let _ = fadvise(file, 0, None, Advice::DontNeed);
        }
    }
}

//! A directory tree that may be hostile, read without ever leaving it (`specs/dpkg.md`, section 1).
//!
//! Every lookup goes through `openat2` with `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`: absolute links and `..` inside the
//! tree stay inside. Only regular files are opened; pipes, devices and links in the last place are named, never touched.

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// A handle on the top of a tree.
#[derive(Debug)]
pub struct Root {
    top: OwnedFd,
}

/// What `fstat` says about a path, the link itself where it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits, 0 to 0o7777.
    pub mode: u32,
    /// Owner's number.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Number of the device that a device node stands for, as Linux encodes it.
    pub device: u64,
    /// Number of names.
    pub links: u64,
    /// File system and inode number: equal for two names of one file.
    pub identity: (u64, u64),
    /// Last change of content and of inode, in nanoseconds since 1970.
    pub times: (i128, i128),
}

/// Kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// An open regular file and what `fstat` said when it was opened.
#[derive(Debug)]
pub struct RootFile {
    file: File,
    meta: Meta,
}

/// A path that could not be read, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootError {
    /// The path that was asked for.
    pub path: Vec<u8>,
    /// Why it could not be read.
    pub reason: RootReason,
}

/// Why a path could not be read. "Not there" is no error but `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootReason {
    /// The kernel or a sandbox offers no `openat2` (Linux 5.6 and newer have it).
    NoOpenat2,
    /// A path with `..`, a zero byte, or more than 4,095 bytes.
    BadPath,
    /// Something else than was asked for.
    Unexpected(FileKind),
    /// Larger than the caller's limit in bytes.
    TooLarge(u64),
    /// Any other refusal of the system, by its error number.
    System(i32),
}

type Result<T> = std::result::Result<T, RootError>;

impl Root {
    /// Opens the top; `path` is taken as the process sees it.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.as_os_str().as_encoded_bytes();
        let fail = |error: Errno| RootError { path: name.to_vec(), reason: RootReason::from(error) };
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::PATH;
        let top = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(fail)?;
        let root = Self { top };
        root.lookup(b"", OFlags::PATH).map_err(|error| match error.reason {
            RootReason::System(number) if number == Errno::PERM.raw_os_error() => RootError { reason: RootReason::NoOpenat2, ..error },
            _ => error,
        })?;
        Ok(root)
    }

    /// What is at the path; a link in the last place is not followed.
    pub fn stat(&self, path: &[u8]) -> Result<Option<Meta>> {
        let Some(place) = self.lookup(path, OFlags::PATH | OFlags::NOFOLLOW)? else { return Ok(None) };
        meta(&place).map(Some).map_err(|error| at(path, error))
    }

    /// What is at the path or where its links lead to, inside the tree.
    pub fn stat_target(&self, path: &[u8]) -> Result<Option<Meta>> {
        let Some(place) = self.lookup(path, OFlags::PATH)? else { return Ok(None) };
        meta(&place).map(Some).map_err(|error| at(path, error))
    }

    /// Opens a regular file. Anything else in the last place is [`RootReason::Unexpected`], and is not opened at all:
    /// opening a device can have effects.
    pub fn open_file(&self, path: &[u8]) -> Result<Option<RootFile>> {
        match self.stat(path)? {
            None => return Ok(None),
            Some(Meta { kind: FileKind::File, .. }) => {}
            Some(meta) => return Err(RootError { path: path.to_vec(), reason: RootReason::Unexpected(meta.kind) }),
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let Some(place) = self.lookup(path, flags)? else { return Ok(None) };
        let meta = meta(&place).map_err(|error| at(path, error))?;
        match meta.kind {
            FileKind::File => Ok(Some(RootFile { file: File::from(place), meta })),
            kind => Err(RootError { path: path.to_vec(), reason: RootReason::Unexpected(kind) }),
        }
    }

    /// Reads a regular file of at most `limit` bytes.
    pub fn read(&self, path: &[u8], limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open_file(path)? else { return Ok(None) };
        let mut content = Vec::new();
        let read = file.file.take(limit.saturating_add(1)).read_to_end(&mut content);
        read.map_err(|error| at(path, Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        if content.len() as u64 > limit {
            return Err(RootError { path: path.to_vec(), reason: RootReason::TooLarge(limit) });
        }
        Ok(Some(content))
    }

    /// The raw target of a symbolic link.
    pub fn read_link(&self, path: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some(place) = self.lookup(path, OFlags::PATH | OFlags::NOFOLLOW)? else { return Ok(None) };
        let meta = meta(&place).map_err(|error| at(path, error))?;
        if meta.kind != FileKind::Link {
            return Err(RootError { path: path.to_vec(), reason: RootReason::Unexpected(meta.kind) });
        }
        let target = rustix::fs::readlinkat(&place, "", Vec::new()).map_err(|error| at(path, error))?;
        Ok(Some(target.into_bytes()))
    }

    /// The names in a directory, sorted, without `.` and `..`; at most a million.
    pub fn list(&self, path: &[u8]) -> Result<Option<Vec<Vec<u8>>>> {
        let Some(place) = self.lookup(path, OFlags::RDONLY | OFlags::DIRECTORY)? else { return Ok(None) };
        let mut names = Vec::new();
        for entry in Dir::new(place).map_err(|error| at(path, error))? {
            let entry = entry.map_err(|error| at(path, error))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
            if names.len() > NAMES {
                return Err(RootError { path: path.to_vec(), reason: RootReason::TooLarge(NAMES as u64) });
            }
        }
        names.sort();
        Ok(Some(names))
    }

    /// `None` where nothing is.
    fn lookup(&self, path: &[u8], flags: OFlags) -> Result<Option<OwnedFd>> {
        let relative = plain(path)?;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let mut tries = 0;
        loop {
            match rustix::fs::openat2(&self.top, relative, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Ok(place) => return Ok(Some(place)),
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
                // The kernel could not rule out that a concurrent rename led outside.
                Err(Errno::AGAIN | Errno::INTR) if tries < TRIES => tries += 1,
                Err(error) => return Err(at(path, error)),
            }
        }
    }
}

impl RootFile {
    /// As it was when opened.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// True when size, times, owner or mode are not what they were when the file was opened.
    pub fn has_changed(&self) -> io::Result<bool> {
        Ok(meta(&self.file)? != self.meta)
    }

    /// The raw `security.capability` attribute, `None` if absent or unknown to the file system.
    pub fn capability(&self) -> io::Result<Option<Vec<u8>>> {
        let mut value = [0; 64];
        match rustix::fs::fgetxattr(&self.file, "security.capability", &mut value[..]) {
            Ok(length) => Ok(Some(value[..length].to_vec())),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The file itself, for reading with advice or in parallel.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl Read for RootFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl AsFd for RootFile {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The path without leading slashes, `.` for the top.
fn plain(path: &[u8]) -> Result<&[u8]> {
    let start = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    let relative = &path[start..];
    let climbs = relative.split(|byte| *byte == b'/').any(|part| part == b"..");
    if climbs || relative.contains(&0) || relative.len() > PATH_MAX {
        return Err(RootError { path: path.to_vec(), reason: RootReason::BadPath });
    }
    Ok(if relative.is_empty() { b"." } else { relative })
}

#[allow(clippy::useless_conversion, reason = "some fields are narrower on 32-bit machines")]
fn meta(place: &impl AsFd) -> std::result::Result<Meta, Errno> {
    let stat: Stat = rustix::fs::fstat(place)?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Link,
        FileType::CharacterDevice => FileKind::Char,
        FileType::BlockDevice => FileKind::Block,
        FileType::Fifo => FileKind::Fifo,
        _ => FileKind::Socket,
    };
    let nanoseconds = |seconds: i128, rest: i128| seconds * 1_000_000_000 + rest;
    Ok(Meta {
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        device: stat.st_rdev.into(),
        links: u64::from(stat.st_nlink),
        identity: (stat.st_dev.into(), stat.st_ino.into()),
        times: (nanoseconds(stat.st_mtime.into(), stat.st_mtime_nsec.into()), nanoseconds(stat.st_ctime.into(), stat.st_ctime_nsec.into())),
    })
}

fn at(path: &[u8], error: Errno) -> RootError {
    RootError { path: path.to_vec(), reason: RootReason::from(error) }
}

impl From<Errno> for RootReason {
    fn from(error: Errno) -> Self {
        if error == Errno::NOSYS { Self::NoOpenat2 } else { Self::System(error.raw_os_error()) }
    }
}

impl fmt::Display for RootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.escape_ascii())?;
        match self.reason {
            RootReason::NoOpenat2 => {
                f.write_str("openat2 is not available: Linux 5.6 or newer is needed, and a sandbox must not forbid it")
            }
            RootReason::BadPath => f.write_str("not a path that is looked up: too long, or with \"..\" or a zero byte"),
            RootReason::Unexpected(kind) => write!(f, "is {kind}"),
            RootReason::TooLarge(limit) => write!(f, "larger than the limit of {limit}"),
            RootReason::System(number) => io::Error::from_raw_os_error(number).fmt(f),
        }
    }
}

impl std::error::Error for RootError {}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "a regular file",
            Self::Directory => "a directory",
            Self::Link => "a symbolic link",
            Self::Char => "a character device",
            Self::Block => "a block device",
            Self::Fifo => "a named pipe",
            Self::Socket => "a socket",
        })
    }
}

const PATH_MAX: usize = 4095;
const NAMES: usize = 1_000_000;
const TRIES: u32 = 32;

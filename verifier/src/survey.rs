//! Looking at a root without trusting it: every path is walked inside the root, links are never followed at the end, and nothing but
//! regular files is ever opened for reading.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, openat2, readlinkat, statat};
use rustix::io::Errno;

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing.
    Absent,
    /// Something that cannot be looked at; in words.
    Unreadable(String),
    /// An inode.
    There(Inode),
}

/// An inode as `lstat` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    /// Its type, with what belongs to it.
    pub node: SeenNode,
    /// Permission bits, at most 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device and inode number.
    pub id: (u64, u64),
    /// Names of this inode.
    pub links: u64,
    /// Whether something is mounted here: its device is another one than its directory's.
    pub mounted: bool,
    /// What must not change while it is read.
    pub stamp: Stamp,
}

/// The type of an inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenNode {
    /// A regular file and its size.
    File(u64),
    /// A directory.
    Dir,
    /// A symbolic link and its raw target.
    Link(Vec<u8>),
    /// A character device.
    Char(u64),
    /// A block device.
    Block(u64),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// Size and times of an inode: if they are the same before and after reading, it did not change meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    size: u64,
    modified: (i64, u64),
    changed: (i64, u64),
}

impl Stamp {
    /// The stamp of an open file.
    #[must_use]
    pub fn of(stat: &Stat) -> Self {
        Self {
            size: stat.st_size.cast_unsigned(),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// In bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn modified(&self) -> i64 {
        self.modified.0
    }
}

/// Directories below a root, kept open from one path to the next. One per thread.
///
/// A directory is opened from the nearest ancestor that is still open, by `openat2` and without links on the way: what is reached is
/// below the root, wherever it is moved meanwhile.
pub struct Directories<'a> {
    root: BorrowedFd<'a>,
    /// Each below the one before: canonical path, handle, device.
    open: Vec<(Vec<u8>, OwnedFd, u64)>,
}

impl<'a> Directories<'a> {
    /// Below `root`, an open directory.
    #[must_use]
    pub fn new(root: BorrowedFd<'a>) -> Self {
        Self { root, open: Vec::new() }
    }

    /// The directory at a canonical path (relative, no links on the way), and its device.
    fn reach(&mut self, path: &[u8]) -> Result<(BorrowedFd<'_>, u64), Errno> {
        while self.open.last().is_some_and(|(known, _, _)| below(known, path).is_none()) {
            self.open.pop();
        }
        let nearest = self.open.last();
        let rest = nearest.map_or(Some(path), |(known, _, _)| below(known, path)).unwrap_or(path);
        if nearest.is_none() || !rest.is_empty() {
            let from = nearest.map_or(self.root, |(_, fd, _)| fd.as_fd());
            let fd = open(from, rest, OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::NO_SYMLINKS)?;
            let device = rustix::fs::fstat(&fd)?.st_dev;
            self.open.push((path.to_vec(), fd, device));
        }
        // Pushed just above, if there was none.
        self.open.last().map(|(_, fd, device)| (fd.as_fd(), *device)).ok_or(Errno::NOENT)
    }
}

impl Directories<'_> {
    /// What is in a directory: name, type, and for regular files their permission bits. A million names at most.
    ///
    /// # Errors
    /// As the system says; `EFBIG` for more names.
    pub fn list(&mut self, path: &[u8]) -> Result<Vec<(Vec<u8>, FileType, u32)>, Errno> {
        let (directory, _) = self.reach(path)?;
        let readable = open(directory, b"", OFlags::RDONLY | OFlags::DIRECTORY, ResolveFlags::NO_SYMLINKS)?;
        let mut entries = Vec::new();
        for entry in Dir::read_from(&readable)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if entries.len() >= NAMES {
                return Err(Errno::FBIG);
            }
            let (kind, mode) = match entry.file_type() {
                FileType::RegularFile | FileType::Unknown => {
                    let stat = statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT);
                    // Whatever is gone by now is not there.
                    let Ok(stat) = stat else { continue };
                    (FileType::from_raw_mode(stat.st_mode), stat.st_mode & 0o7777)
                }
                kind => (kind, 0),
            };
            entries.push((name.to_vec(), kind, mode));
        }
        Ok(entries)
    }
}

/// What is left of a path below a directory: nothing for the directory itself, `None` for what is elsewhere.
fn below<'p>(directory: &[u8], path: &'p [u8]) -> Option<&'p [u8]> {
    match path.strip_prefix(directory)? {
        rest if directory.is_empty() || rest.is_empty() => Some(rest),
        rest => rest.strip_prefix(b"/"),
    }
}

/// Looks at paths below a root. One per thread.
pub struct Surveyor<'a>(Directories<'a>);

impl<'a> Surveyor<'a> {
    /// Looks below `root`, an open directory.
    #[must_use]
    pub fn new(root: BorrowedFd<'a>) -> Self {
        Self(Directories::new(root))
    }

    /// What stands at a canonical path (relative, no links on the way).
    pub fn look(&mut self, path: &[u8]) -> Seen {
        match self.inode(path) {
            Ok(inode) => Seen::There(inode),
            Err(Errno::NOENT | Errno::NOTDIR) => Seen::Absent,
            Err(Errno::LOOP) => Seen::Unreadable("a directory on the way was replaced by a link while it was looked at".to_owned()),
            Err(error) => Seen::Unreadable(error.to_string()),
        }
    }

    fn inode(&mut self, path: &[u8]) -> Result<Inode, Errno> {
        let (parent, name) = split(path);
        let (directory, device) = self.0.reach(parent)?;
        if name.is_empty() {
            return inode(directory, &statat(directory, c"", AtFlags::EMPTY_PATH)?, c"".to_bytes(), device);
        }
        let stat = statat(directory, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)?;
        inode(directory, &stat, name, device)
    }
}

fn inode(directory: BorrowedFd<'_>, stat: &Stat, name: &[u8], parent_device: u64) -> Result<Inode, Errno> {
    let node = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => SeenNode::File(stat.st_size.cast_unsigned()),
        FileType::Directory => SeenNode::Dir,
        FileType::Symlink => SeenNode::Link(readlinkat(directory, OsStr::from_bytes(name), Vec::new())?.into_bytes()),
        FileType::CharacterDevice => SeenNode::Char(stat.st_rdev),
        FileType::BlockDevice => SeenNode::Block(stat.st_rdev),
        FileType::Fifo => SeenNode::Fifo,
        _ => SeenNode::Socket,
    };
    Ok(Inode {
        node,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        id: (stat.st_dev, stat.st_ino),
        links: stat.st_nlink,
        mounted: stat.st_dev != parent_device,
        stamp: Stamp::of(stat),
    })
}

/// Opens a canonical path as a regular file: no links anywhere, no waiting for a pipe's other end, no new access time where possible.
///
/// # Errors
/// As `openat2`; `ELOOP` if a link stands on the way, `EINVAL` if it is not a regular file (nothing is read then).
pub fn open_regular(directories: &mut Directories<'_>, path: &[u8]) -> Result<(OwnedFd, Stat), Errno> {
    let (parent, name) = split(path);
    let (directory, _) = directories.reach(parent)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = match open(directory, name, flags | OFlags::NOATIME, ResolveFlags::NO_SYMLINKS) {
        Err(Errno::PERM) => open(directory, name, flags, ResolveFlags::NO_SYMLINKS)?,
        result => result?,
    };
    let stat = rustix::fs::fstat(&fd)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    Ok((fd, stat))
}

/// Reads a regular file of at most `limit` bytes that is still as it was seen; why not, in words.
///
/// # Errors
/// If it is larger, has changed, or cannot be read.
pub fn read_regular(root: BorrowedFd<'_>, path: &[u8], inode: &Inode, limit: u64) -> Result<Vec<u8>, String> {
    let is_same = |stat: &Stat| (stat.st_dev, stat.st_ino) == inode.id && Stamp::of(stat) == inode.stamp;
    let (fd, before) = open_regular(&mut Directories::new(root), path).map_err(|error| error.to_string())?;
    if inode.stamp.size() > limit {
        return Err(format!("it has more than {limit} bytes"));
    }
    let mut content = Vec::new();
    let mut file = std::fs::File::from(fd).take(limit + 1);
    file.read_to_end(&mut content).map_err(|error| error.to_string())?;
    let after = rustix::fs::fstat(file.get_ref()).map_err(|error| error.to_string())?;
    if is_same(&before) && is_same(&after) && content.len() as u64 == inode.stamp.size() {
        Ok(content)
    } else {
        Err("it changed while it was read".to_owned())
    }
}

fn open(root: BorrowedFd<'_>, path: &[u8], flags: OFlags, more: ResolveFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b".".as_slice() } else { path };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | more;
    loop {
        // EAGAIN: something was renamed during the walk; the kernel asks to try again.
        match openat2(root, OsStr::from_bytes(path), flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::INTR | Errno::AGAIN) => {}
            result => return result,
        }
    }
}

/// Where names lead: resolves links among the parents of a path, inside the root.
pub struct Resolver<'a> {
    directories: Directories<'a>,
    /// Directories by the path that was asked for.
    known: HashMap<Vec<u8>, Vec<u8>>,
}

impl<'a> Resolver<'a> {
    /// Resolves below `root`, an open directory.
    #[must_use]
    pub fn new(root: BorrowedFd<'a>) -> Self {
        Self { directories: Directories::new(root), known: HashMap::new() }
    }

    /// The path with all links among its parents resolved; its last component is kept, even if it is a link. Where a parent does
    /// not exist or the links do not end, the rest is kept as it stands.
    pub fn canonical<'p>(&mut self, path: &'p [u8]) -> Cow<'p, [u8]> {
        let (parent, name) = split(path);
        if !parent.is_empty() && !self.known.contains_key(parent) {
            self.directory(parent, 0);
        }
        match self.known.get(parent) {
            _ if name.is_empty() => Cow::Borrowed(b""),
            Some(real) if real != parent => Cow::Owned(join(real, name)),
            _ => Cow::Borrowed(path),
        }
    }

    /// The path with all links resolved, its last component too.
    pub fn real(&mut self, path: &[u8]) -> Vec<u8> {
        self.directory(path, 0)
    }

    fn directory(&mut self, path: &[u8], depth: usize) -> Vec<u8> {
        if path.is_empty() {
            return Vec::new();
        }
        if let Some(known) = self.known.get(path) {
            return known.clone();
        }
        let (parent, name) = split(path);
        let parent = self.directory(parent, depth);
        let plain = join(&parent, name);
        let resolved = match self.link(&plain) {
            Some(target) if depth < MAX_LINKS && target.iter().filter(|byte| **byte == b'/').count() < MAX_PARTS => {
                let absolute = if target.starts_with(b"/") { lexical(&target) } else { lexical(&join(&parent, &target)) };
                self.directory(&absolute, depth + 1)
            }
            _ => plain,
        };
        self.known.insert(path.to_vec(), resolved.clone());
        resolved
    }

    fn link(&mut self, path: &[u8]) -> Option<Vec<u8>> {
        let (parent, name) = split(path);
        let (directory, _) = self.directories.reach(parent).ok()?;
        readlinkat(directory, OsStr::from_bytes(name), Vec::new()).ok().map(std::ffi::CString::into_bytes)
    }
}

/// Removes empty and `.` components and takes `..` back to the root at most. Right only where no component before a `..` is a link,
/// which holds for what [`Resolver`] makes of it: the parent is resolved already; links with `..` behind another link are rare, and
/// then lead to a path that is looked at as it is.
fn lexical(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

/// Parent and last component.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    path.iter().rposition(|byte| *byte == b'/').map_or((b"".as_slice(), path), |at| (&path[..at], &path[at + 1..]))
}

/// A path and a component below it.
pub(crate) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}

/// Opens the root to look at.
///
/// # Errors
/// If it is not a directory, or cannot be opened.
pub fn open_root(path: &std::path::Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Most names in a directory.
const NAMES: usize = 1_000_000;
/// As many links as Linux follows.
const MAX_LINKS: usize = 40;
/// Components of one link's target; one with more is looked at as it stands, since following it takes stack and memory for each.
const MAX_PARTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
        std::fs::write(dir.path().join("usr/bin/ls"), "ls").unwrap();
        symlink("usr/bin", dir.path().join("bin")).unwrap();
        symlink("/usr/../../bin", dir.path().join("up")).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        symlink("/etc", dir.path().join("out")).unwrap();
        let fd = open_root(dir.path()).unwrap();
        (dir, fd)
    }

    #[test]
    fn links_among_parents_are_resolved_inside_the_root() {
        let (_dir, fd) = root();
        let mut resolver = Resolver::new(fd.as_fd());
        assert_eq!(&*resolver.canonical(b"bin/ls"), b"usr/bin/ls");
        assert_eq!(&*resolver.canonical(b"bin"), b"bin");
        assert_eq!(&*resolver.canonical(b"up/ls"), b"usr/bin/ls");
        assert_eq!(&*resolver.canonical(b"out/passwd"), b"etc/passwd");
        assert_eq!(&*resolver.canonical(b"no/such/file"), b"no/such/file");
        resolver.canonical(b"loop/file");
    }

    #[test]
    fn what_is_outside_is_not_seen() {
        let (_dir, fd) = root();
        let mut surveyor = Surveyor::new(fd.as_fd());
        assert!(matches!(surveyor.look(b"usr/bin/ls"), Seen::There(Inode { node: SeenNode::File(2), .. })));
        assert!(matches!(surveyor.look(b"out"), Seen::There(Inode { node: SeenNode::Link(_), .. })));
        assert!(matches!(surveyor.look(b"out/passwd"), Seen::Unreadable(_) | Seen::Absent));
        assert_eq!(surveyor.look(b"etc/passwd"), Seen::Absent);
        assert!(matches!(surveyor.look(b""), Seen::There(Inode { node: SeenNode::Dir, .. })));
    }

    #[test]
    fn only_regular_files_are_opened() {
        let (dir, fd) = root();
        let fifo = dir.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let mut directories = Directories::new(fd.as_fd());
        let mut open = |path: &[u8]| open_regular(&mut directories, path).map(drop);
        assert_eq!(open(b"usr/bin/ls"), Ok(()));
        assert_eq!(open(b"fifo"), Err(Errno::INVAL));
        assert_eq!(open(b"bin/ls"), Err(Errno::LOOP));
        assert_eq!(open(b"out"), Err(Errno::LOOP));
        assert_eq!(open(b"usr"), Err(Errno::INVAL));
        assert_eq!(open(b"usr/bin/no"), Err(Errno::NOENT));
    }

    #[test]
    fn directories_are_reached_from_one_another() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        std::fs::create_dir_all(dir.path().join("ab")).unwrap();
        std::fs::write(dir.path().join("a/b/c/deep"), "1").unwrap();
        std::fs::write(dir.path().join("ab/file"), "22").unwrap();
        std::fs::write(dir.path().join("top"), "333").unwrap();
        let fd = open_root(dir.path()).unwrap();
        let mut surveyor = Surveyor::new(fd.as_fd());
        let mut size = |path: &[u8]| match surveyor.look(path) {
            Seen::There(Inode { node: SeenNode::File(size), .. }) => Some(size),
            _ => None,
        };
        for _ in 0..2 {
            assert_eq!((size(b"a/b/c/deep"), size(b"ab/file"), size(b"top"), size(b"a/b/c/deep")), (Some(1), Some(2), Some(3), Some(1)));
            assert_eq!((size(b"a/no/deep"), size(b"a/b/file"), size(b"top/file"), size(b"a")), (None, None, None, None));
        }
    }
}

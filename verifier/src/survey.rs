//! Looking at a root without trusting it: every path is walked inside the root, links are never followed at the end, and nothing but
//! regular files is ever opened for reading.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, openat2, readlinkat, statat};
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
}

/// Walks paths below a root; remembers directories. One per thread.
pub struct Surveyor<'a> {
    root: BorrowedFd<'a>,
    /// The directory that was looked at last, by canonical path.
    last: Option<(Vec<u8>, OwnedFd, u64)>,
}

impl<'a> Surveyor<'a> {
    /// Looks below `root`, an open directory.
    #[must_use]
    pub fn new(root: BorrowedFd<'a>) -> Self {
        Self { root, last: None }
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
        let (directory, device) = self.directory(parent)?;
        if name.is_empty() {
            return inode(directory, &statat(directory, c"", AtFlags::EMPTY_PATH)?, c"".to_bytes(), device);
        }
        let stat = statat(directory, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)?;
        inode(directory, &stat, name, device)
    }

    fn directory(&mut self, path: &[u8]) -> Result<(BorrowedFd<'_>, u64), Errno> {
        if self.last.as_ref().is_none_or(|(known, _, _)| known != path) {
            let fd = open(self.root, path, OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::NO_SYMLINKS)?;
            let device = rustix::fs::fstat(&fd)?.st_dev;
            self.last = Some((path.to_vec(), fd, device));
        }
        // Set just above, if it was not.
        self.last.as_ref().map(|(_, fd, device)| (fd.as_fd(), *device)).ok_or(Errno::NOENT)
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
/// As `openat2`; `ELOOP` if a link stands on the way, `EINVAL` if it is not a regular file (it is not opened for reading then).
pub fn open_regular(root: BorrowedFd<'_>, path: &[u8]) -> Result<(OwnedFd, Stat), Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = match open(root, path, flags | OFlags::NOATIME, ResolveFlags::NO_SYMLINKS) {
        Err(Errno::PERM) => open(root, path, flags, ResolveFlags::NO_SYMLINKS)?,
        result => result?,
    };
    let stat = rustix::fs::fstat(&fd)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    Ok((fd, stat))
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
    root: BorrowedFd<'a>,
    /// Directories by the path that was asked for.
    known: HashMap<Vec<u8>, Vec<u8>>,
}

impl<'a> Resolver<'a> {
    /// Resolves below `root`, an open directory.
    #[must_use]
    pub fn new(root: BorrowedFd<'a>) -> Self {
        Self { root, known: HashMap::new() }
    }

    /// The path with all links among its parents resolved; its last component is kept, even if it is a link. Where a parent does
    /// not exist or the links do not end, the rest is kept as it stands.
    pub fn canonical(&mut self, path: &[u8]) -> Vec<u8> {
        let (parent, name) = split(path);
        if name.is_empty() {
            return Vec::new();
        }
        join(&self.directory(parent, 0), name)
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
            Some(target) if depth < MAX_LINKS => {
                let absolute = if target.starts_with(b"/") { lexical(&target) } else { lexical(&join(&parent, &target)) };
                self.directory(&absolute, depth + 1)
            }
            _ => plain,
        };
        self.known.insert(path.to_vec(), resolved.clone());
        resolved
    }

    fn link(&self, path: &[u8]) -> Option<Vec<u8>> {
        let (parent, name) = split(path);
        let directory = open(self.root, parent, OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::NO_SYMLINKS).ok()?;
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

fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}

/// Opens the root to look at.
///
/// # Errors
/// If it is not a directory, or cannot be opened.
pub fn open_root(path: &std::path::Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// As many links as Linux follows.
const MAX_LINKS: usize = 40;

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
        assert_eq!(resolver.canonical(b"bin/ls"), b"usr/bin/ls");
        assert_eq!(resolver.canonical(b"bin"), b"bin");
        assert_eq!(resolver.canonical(b"up/ls"), b"usr/bin/ls");
        assert_eq!(resolver.canonical(b"out/passwd"), b"etc/passwd");
        assert_eq!(resolver.canonical(b"no/such/file"), b"no/such/file");
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
        assert!(open_regular(fd.as_fd(), b"usr/bin/ls").is_ok());
        assert_eq!(open_regular(fd.as_fd(), b"fifo").map(drop), Err(Errno::INVAL));
        assert_eq!(open_regular(fd.as_fd(), b"bin/ls").map(drop), Err(Errno::LOOP));
        assert_eq!(open_regular(fd.as_fd(), b"out").map(drop), Err(Errno::LOOP));
    }
}

//! An exported file system: every path's type, attributes and digest, read from the tar stream that Podman writes.

use std::collections::BTreeMap;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};
use tar::EntryType;
use tlog::Hash;

use super::capability::{capability, plain_capability};
use super::database::Database;
use super::room::Room;

/// Why an export is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The stream broke off or is no archive.
    #[error("the container's file system could not be read: {0}")]
    Stream(String),
    /// The archive holds something that a file system cannot hold.
    #[error("the container's file system makes no sense: {0}")]
    Malformed(&'static str),
    /// More than any package has reason to make.
    #[error("the container's file system holds too much: {0}")]
    TooMuch(&'static str),
}

impl From<io::Error> for TreeError {
    fn from(error: io::Error) -> Self {
        Self::Stream(error.to_string())
    }
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file with the SHA-256 of its content.
    File(Hash),
    /// A directory.
    Dir,
    /// A symbolic link with its target.
    Link(Vec<u8>),
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
}

/// One path's attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner inside the container.
    pub uid: u64,
    /// Group inside the container.
    pub gid: u64,
    /// `security.capability`.
    pub caps: Option<Vec<u8>>,
}

/// A whole file system by raw path without a leading slash; the root is the empty path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    paths: BTreeMap<Vec<u8>, Found>,
    /// What the next entries may still take.
    room: Room,
    /// What its package database and accounts say.
    pub(super) database: Database,
}

impl Tree {
    /// Reads an export. Owners count from `first_id` where the export shows the host's numbers of a user namespace.
    ///
    /// # Errors
    /// If the stream breaks off or is malformed.
    pub fn read(reader: impl Read, first_id: u64) -> Result<Self, TreeError> {
        Self::read_within(reader, first_id, Room::default())
    }

    fn read_within(reader: impl Read, first_id: u64, room: Room) -> Result<Self, TreeError> {
        let mut tree = Self { room, ..Self::default() };
        let mut archive = tar::Archive::new(reader);
        for entry in archive.entries()? {
            tree.add(entry?)?;
        }
        if tree.paths.len() < 10 {
            return Err(TreeError::Malformed("it is almost empty"));
        }
        tree.shift(first_id);
        for caps in tree.paths.values_mut().filter_map(|found| found.caps.as_mut()) {
            plain_capability(caps, first_id);
        }
        Ok(tree)
    }

    /// A tree of these paths, for comparisons.
    #[must_use]
    pub fn of(paths: BTreeMap<Vec<u8>, Found>) -> Self {
        Self { paths, ..Self::default() }
    }

    /// What is at this very path; symbolic links are not followed.
    #[must_use]
    pub fn at(&self, path: &[u8]) -> Option<&Found> {
        self.paths.get(path)
    }

    /// All paths in order.
    pub fn paths(&self) -> impl Iterator<Item = (&[u8], &Found)> {
        self.paths.iter().map(|(path, found)| (path.as_slice(), found))
    }

    /// The real path of `path`: symbolic links among its parents are followed, the last part is not. Paths that lead nowhere come back
    /// as far as they lead, with the rest unchanged; so do those that lead through more than 1,024 parts.
    #[must_use]
    pub fn resolve(&self, path: &[u8]) -> Vec<u8> {
        let mut steps = usize::MAX;
        self.follow(path, &mut steps)
    }

    /// The same, while there are steps left for it.
    pub(super) fn follow(&self, path: &[u8], steps: &mut usize) -> Vec<u8> {
        let mut rest: Vec<Vec<u8>> = parts(path).map(<[u8]>::to_vec).rev().collect();
        let mut real: Vec<u8> = Vec::new();
        let (mut links, mut walked) = (0, 0);
        while let Some(part) = rest.pop() {
            walked += 1;
            *steps = steps.saturating_sub(1);
            if walked > MAX_PARTS || *steps == 0 {
                rest.push(part);
                rest.reverse();
                return join(&real, &rest.join(&b'/'));
            }
            if part == b".." {
                real.truncate(real.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
                continue;
            }
            let next = join(&real, &part);
            match self.at(&next).map(|found| &found.kind) {
                Some(Kind::Link(target)) if !rest.is_empty() && links < MAX_LINKS => {
                    links += 1;
                    if target.starts_with(b"/") {
                        real.clear();
                    }
                    rest.extend(parts(target).map(<[u8]>::to_vec).rev());
                }
                _ => real = next,
            }
        }
        real
    }

    fn add<R: Read>(&mut self, mut entry: tar::Entry<'_, R>) -> Result<(), TreeError> {
        let path = plain(&entry.path_bytes()).ok_or(TreeError::Malformed("a path leads out of it"))?;
        self.room.path(&path)?;
        let caps = capability(&mut entry)?;
        let header = entry.header();
        let (kind, mode) = (header.entry_type(), header.mode()? & 0o7777);
        let (uid, gid) = (header.uid()?, header.gid()?);
        let kind = match kind {
            EntryType::Regular | EntryType::Continuous => Kind::File(self.content(&path, &mut entry)?),
            EntryType::Link => return self.add_link(path, &entry),
            EntryType::Symlink => Kind::Link(entry.link_name_bytes().ok_or(TreeError::Malformed("a link without a target"))?.into_owned()),
            EntryType::Directory => Kind::Dir,
            EntryType::Char => Kind::Char,
            EntryType::Block => Kind::Block,
            EntryType::Fifo => Kind::Fifo,
            _ => return Err(TreeError::Malformed("an entry of unknown type")),
        };
        let found = Found { kind, mode, uid, gid, caps };
        self.room.found(&found)?;
        self.paths.insert(path, found);
        Ok(())
    }

    /// Another name of a file that came before.
    fn add_link<R: Read>(&mut self, path: Vec<u8>, entry: &tar::Entry<'_, R>) -> Result<(), TreeError> {
        let target = entry.link_name_bytes().and_then(|target| plain(&target));
        let found = target.and_then(|target| self.paths.get(&target)).ok_or(TreeError::Malformed("a hard link leads nowhere"))?;
        self.room.found(found)?;
        let found = found.clone();
        self.paths.insert(path, found);
        Ok(())
    }

    fn content<R: Read>(&mut self, path: &[u8], entry: &mut tar::Entry<'_, R>) -> Result<Hash, TreeError> {
        let wanted = Database::wants(path);
        let (mut hash, mut text, mut buffer) = (Sha256::new(), Vec::new(), vec![0; 64 * 1024]);
        loop {
            let count = entry.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            self.room.content(count)?;
            hash.update(&buffer[..count]);
            if wanted {
                self.room.database = self.room.database.checked_sub(count).ok_or(TreeError::TooMuch("package database"))?;
                text.extend_from_slice(&buffer[..count]);
            }
        }
        if wanted {
            self.database.add(path, &text);
            if self.database.diversions().len() > self.room.diversions {
                return Err(TreeError::TooMuch("diversions"));
            }
            if self.database.owned.len() > self.room.listed {
                return Err(TreeError::TooMuch("paths in its package database"));
            }
        }
        Ok(Hash::new(hash.finalize().into()))
    }

    /// Some versions of Podman export the host's numbers of a user namespace: the root directory's owner shows which.
    fn shift(&mut self, first_id: u64) {
        let owner = |path: &[u8]| self.paths.get(path).map(|found| found.uid);
        if first_id == 0 || owner(b"etc").or_else(|| owner(b"usr")) != Some(first_id) {
            return;
        }
        for found in self.paths.values_mut() {
            found.uid = found.uid.saturating_sub(first_id);
            found.gid = found.gid.saturating_sub(first_id);
        }
    }
}

impl Found {
    /// Its type as manifests write it.
    #[must_use]
    pub const fn node(&self) -> &'static str {
        match self.kind {
            Kind::File(_) => "file",
            Kind::Dir => "dir",
            Kind::Link(_) => "link",
            Kind::Char => "char",
            Kind::Block => "block",
            Kind::Fifo => "fifo",
        }
    }
}

/// A relative path without `.` parts; `None` if it has `..` parts.
fn plain(path: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    for part in parts(path) {
        if part == b".." {
            return None;
        }
        plain = join(&plain, part);
    }
    Some(plain)
}

fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".")
}

fn join(parent: &[u8], part: &[u8]) -> Vec<u8> {
    if parent.is_empty() { part.to_vec() } else { [parent, b"/", part].concat() }
}

/// As many links as Linux follows.
const MAX_LINKS: usize = 40;
/// More parts than a path has whose links are all followed.
const MAX_PARTS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(links: &[(&str, &str)]) -> Tree {
        let link = |target: &str| Found { kind: Kind::Link(target.into()), mode: 0o777, uid: 0, gid: 0, caps: None };
        Tree::of(links.iter().map(|(path, target)| (path.as_bytes().to_vec(), link(target))).collect())
    }

    #[test]
    fn parents_are_followed_and_the_last_part_is_not() {
        let tree = tree(&[("bin", "usr/bin"), ("usr/lib64", "/lib"), ("lib", "usr/lib"), ("a/b", "../c"), ("loop", "loop/x")]);
        let resolved = |path: &str| String::from_utf8(tree.resolve(path.as_bytes())).unwrap();
        assert_eq!(resolved("bin/ping"), "usr/bin/ping");
        assert_eq!(resolved("/bin/ping"), "usr/bin/ping");
        assert_eq!(resolved("bin"), "bin");
        assert_eq!(resolved("usr/lib64/x"), "usr/lib/x");
        assert_eq!(resolved("a/b/x"), "c/x");
        assert_eq!(resolved("nowhere/x"), "nowhere/x");
        assert!(resolved("loop/y").starts_with("loop"));
    }

    fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind, value) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(*kind);
            header.set_mode(0o755);
            header.set_uid(200_000);
            header.set_gid(200_005);
            let content = if kind.is_file() { value.as_bytes() } else { b"" };
            header.set_size(content.len() as u64);
            if matches!(kind, EntryType::Symlink | EntryType::Link) {
                builder.append_link(&mut header, path, value).unwrap();
            } else {
                builder.append_data(&mut header, path, content).unwrap();
            }
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn an_export_beyond_any_bound_is_refused() {
        let mut entries = filler();
        entries.push(("etc/passwd", EntryType::Regular, "root:x:0:0:r:/root:/bin/sh\n"));
        entries.push(("x", EntryType::Regular, "content"));
        let bytes = archive(&entries);
        let read = |room| Tree::read_within(bytes.as_slice(), 0, room).map(drop);
        let just = Room { paths: 10, names: 19, content: 34, database: 27, diversions: 0, listed: 0 };
        assert_eq!(read(just), Ok(()));
        assert_eq!(read(Room { paths: 9, ..just }), Err(TreeError::TooMuch("paths")));
        assert_eq!(read(Room { names: 18, ..just }), Err(TreeError::TooMuch("long paths")));
        assert_eq!(read(Room { content: 33, ..just }), Err(TreeError::TooMuch("content")));
        assert_eq!(read(Room { database: 26, ..just }), Err(TreeError::TooMuch("package database")));
    }

    /// A name costs what is kept for it, also where it is a further name of a link.
    #[test]
    fn every_copy_of_a_links_target_counts() {
        let mut entries = filler();
        entries.push(("x", EntryType::Symlink, "0123456789"));
        entries.extend(["y", "z"].map(|path| (path, EntryType::Link, "x")));
        let bytes = archive(&entries);
        let read = |names| Tree::read_within(bytes.as_slice(), 0, Room { names, ..Room::default() }).map(drop);
        assert_eq!((read(11 + 30), read(11 + 29)), (Ok(()), Err(TreeError::TooMuch("long paths"))));
    }

    #[test]
    fn a_package_database_beyond_any_bound_is_refused() {
        let diversions: String = (0..3).map(|number| format!("/a{number}\n/b{number}\np\n")).collect();
        let mut entries = filler();
        entries.push(("var/lib/dpkg/diversions", EntryType::Regular, &diversions));
        entries.push(("var/lib/dpkg/info/a.list", EntryType::Regular, "/.\n/a\n/b\n"));
        entries.push(("var/lib/dpkg/info/b.list", EntryType::Regular, "/.\n/a\n/c\n"));
        let bytes = archive(&entries);
        let read = |diversions, listed| Tree::read_within(bytes.as_slice(), 0, Room { diversions, listed, ..Room::default() }).map(drop);
        assert_eq!(read(3, 3), Ok(()));
        assert_eq!(read(2, 3), Err(TreeError::TooMuch("diversions")));
        assert_eq!(read(3, 2), Err(TreeError::TooMuch("paths in its package database")));
    }

    /// What leads on and on is followed for a while, and comes back with the rest as it was.
    #[test]
    fn long_ways_end() {
        let deep = |depth: usize| format!("{}m", "d/".repeat(depth));
        let (near, far) = (deep(MAX_PARTS - 2), deep(MAX_PARTS - 1));
        let (near, far) = (near.as_str(), far.as_str());
        let tree = tree(&[("n", near), (near, "/e"), ("f", far), (far, "/e"), ("l", "e")]);
        assert_eq!((tree.resolve(b"n/x"), tree.resolve(b"f/x")), (b"e/x".to_vec(), format!("{far}/x").into_bytes()));
        let mut steps = 3;
        assert_eq!((tree.follow(b"a/b/c/d", &mut steps), steps), (b"a/b/c/d".to_vec(), 0));
        assert_eq!((tree.follow(b"l/x", &mut steps), steps), (b"l/x".to_vec(), 0));
    }

    fn filler() -> Vec<(&'static str, EntryType, &'static str)> {
        ["a", "b", "c", "d", "e", "f", "g", "h"].into_iter().map(|path| (path, EntryType::Directory, "")).collect()
    }

    #[test]
    fn an_export_is_read_with_its_links_and_shifted_owners() {
        let mut entries = filler();
        entries.push(("etc/", EntryType::Directory, ""));
        entries.push(("etc/passwd", EntryType::Regular, "root:x:0:0:r:/root:/bin/sh\n"));
        entries.push(("x", EntryType::Link, "etc/passwd"));
        entries.push(("y", EntryType::Symlink, "x"));
        let tree = Tree::read(archive(&entries).as_slice(), 200_000).unwrap();
        let found = tree.at(b"etc/passwd").unwrap();
        assert_eq!((found.uid, found.gid, found.mode, found.node()), (0, 5, 0o755, "file"));
        assert_eq!(tree.at(b"x"), Some(found));
        assert_eq!(tree.at(b"y").unwrap().kind, Kind::Link(b"x".to_vec()));
        assert_eq!(tree.database.user(0), "root");
    }

    #[test]
    fn broken_exports_are_refused() {
        let mut entries = filler();
        entries.push(("x", EntryType::Link, "nowhere"));
        entries.push(("y", EntryType::Regular, ""));
        assert_eq!(Tree::read(archive(&entries).as_slice(), 0), Err(TreeError::Malformed("a hard link leads nowhere")));
        assert_eq!(Tree::read(archive(&[]).as_slice(), 0), Err(TreeError::Malformed("it is almost empty")));
        assert_eq!(plain(b"a/../b"), None);
        let mut entries = filler();
        entries.push(("etc/passwd", EntryType::Regular, "content"));
        let bytes = archive(&entries);
        assert!(matches!(Tree::read(&bytes[..8 * 512 + 515], 0), Err(TreeError::Stream(_))));
    }
}

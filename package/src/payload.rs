//! From a tar's entries to the sorted, classified list that a manifest holds (`specs/deb.md`, section 5).
//!
//! The rules here are part of `package-files/v1`: another rule is another version.

use crate::control::Conffile;
use crate::deb::Refusal;
use crate::owner;
use crate::tar::{Entry, Kind};
use std::collections::{BTreeMap, BTreeSet};

/// One path of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Permission bits; 0o777 for symbolic links.
    pub mode: u32,
    /// Owner's name.
    pub uname: String,
    /// Group's name.
    pub gname: String,
    /// What it is.
    pub content: Content,
    /// How strictly it binds.
    pub class: Class,
    /// Number of its hard-link group, from 1.
    pub hardlink: Option<u32>,
    /// Raw `security.capability` value.
    pub capability: Option<Vec<u8>>,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A regular file: size in bytes and SHA-256.
    File(u64, [u8; 32]),
    /// A symbolic link's raw target.
    Symlink(Vec<u8>),
    /// A directory.
    Directory,
    /// A directory that the package implies but does not ship; mode and owner say nothing.
    Implied,
    /// A character device: major, minor.
    Char(u32, u32),
    /// A block device: major, minor.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

/// The tag that says what a difference means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Must be as attested.
    Fixed,
    /// A configuration file, the administrator's to edit.
    Config,
    /// May be absent (documentation, translations).
    Optional,
}

/// Collects entries in the order of the archive.
#[derive(Debug, Default)]
pub struct Collector {
    items: BTreeMap<Vec<u8>, Item>,
    /// Later names to the first name of their group.
    links: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Collector {
    /// Adds an entry with the digest of its content (`None` unless a regular file).
    pub fn add(&mut self, entry: &Entry, digest: Option<[u8; 32]>) -> Result<(), Refusal> {
        let path = relative(&entry.path)?;
        let at = |why| Refusal::Path { path: entry.path.clone(), why };
        if path.is_empty() && entry.kind != Kind::Directory {
            return Err(at("the root of the package is no directory"));
        }
        let content = match &entry.kind {
            Kind::HardLink(target) => return self.link(entry, path, target),
            Kind::File => Content::File(entry.size, digest.ok_or(at("a file without a digest"))?),
            Kind::Symlink(target) => Content::Symlink(target.clone()),
            Kind::Directory => Content::Directory,
            Kind::Char(major, minor) => Content::Char(*major, *minor),
            Kind::Block(major, minor) => Content::Block(*major, *minor),
            Kind::Fifo => Content::Fifo,
        };
        let symlink = matches!(content, Content::Symlink(_));
        if entry.capability.is_some() && digest.is_none() {
            return Err(at("a capability on something that is no file"));
        }
        let item = Item {
            mode: if symlink { 0o777 } else { entry.mode },
            uname: owner::user(&entry.uname, entry.uid).ok_or(at("its owner's name is malformed"))?,
            gname: owner::group(&entry.gname, entry.gid).ok_or(at("its group's name is malformed"))?,
            content,
            class: Class::Fixed,
            hardlink: None,
            capability: entry.capability.clone(),
        };
        match self.items.get(&path) {
            None => drop(self.items.insert(path, item)),
            Some(before) if item.content == Content::Directory && *before == item => {}
            Some(_) => return Err(at("stands twice in the archive")),
        }
        Ok(())
    }

    /// Checks parents, adds implied directories, numbers hard-link groups and classifies.
    pub fn finish(mut self, conffiles: &[Conffile]) -> Result<BTreeMap<Vec<u8>, Item>, Refusal> {
        self.check_parents()?;
        self.number_links();
        let config: BTreeSet<&[u8]> = conffiles.iter().filter(|c| !c.remove_on_upgrade).map(|c| &c.path[1..]).collect();
        for (path, item) in &mut self.items {
            item.class = classify(path, &item.content, &config);
        }
        Ok(self.items)
    }

    fn link(&mut self, entry: &Entry, path: Vec<u8>, target: &[u8]) -> Result<(), Refusal> {
        let at = |why| Refusal::Path { path: entry.path.clone(), why };
        let target = relative(target).map_err(|_| at("its hard link target is no clean relative path"))?;
        let Some(item) = self.items.get(&target).filter(|item| matches!(item.content, Content::File(..))) else {
            return Err(at("a hard link to something that is no earlier file"));
        };
        let item = item.clone();
        if self.items.insert(path.clone(), item).is_some() {
            return Err(at("stands twice in the archive"));
        }
        let first = self.links.get(&target).cloned().unwrap_or(target);
        self.links.insert(path, first);
        Ok(())
    }

    /// Every parent must be a directory; absent ones are implied.
    fn check_parents(&mut self) -> Result<(), Refusal> {
        let mut missing = BTreeSet::new();
        for path in self.items.keys() {
            for parent in parents(path) {
                match self.items.get(parent) {
                    Some(item) if item.content == Content::Directory => {}
                    Some(_) => return Err(Refusal::Path { path: path.clone(), why: "its parent in the archive is no directory" }),
                    None => drop(missing.insert(parent.to_vec())),
                }
            }
        }
        self.items.extend(missing.into_iter().map(|path| (path, implied())));
        Ok(())
    }

    /// Groups are numbered from 1 in the order of their smallest path.
    fn number_links(&mut self) {
        let mut groups: BTreeMap<&[u8], BTreeSet<&[u8]>> = BTreeMap::new();
        for (name, first) in &self.links {
            groups.entry(first).or_insert_with(|| BTreeSet::from([first.as_slice()])).insert(name);
        }
        let mut ordered: Vec<_> = groups.into_values().collect();
        ordered.sort_by(|a, b| a.first().cmp(&b.first()));
        for (number, group) in (1..).zip(ordered) {
            for path in group {
                if let Some(item) = self.items.get_mut(path) {
                    item.hardlink = Some(number);
                }
            }
        }
    }
}

/// The path below the root, without `./`; empty for the root itself. Absolute, `..`, `.` and empty parts are refused.
pub fn relative(path: &[u8]) -> Result<Vec<u8>, Refusal> {
    let refuse = |why| Err(Refusal::Path { path: path.to_vec(), why });
    let inner = match path {
        b"." | b"./" => return Ok(Vec::new()),
        [b'/', ..] => return refuse("is absolute"),
        [b'.', b'/', rest @ ..] => rest,
        other => other,
    };
    for part in inner.split(|byte| *byte == b'/') {
        match part {
            b".." => return refuse("leaves the package with \"..\""),
            b"" | b"." => return refuse("has an empty or \".\" part, or a slash at its end"),
            part if part.len() > NAME_MAX => return refuse("has a part of more than 255 bytes"),
            _ => {}
        }
    }
    Ok(inner.to_vec())
}

fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
    slashes.chain((!path.is_empty()).then_some(&path[..0]))
}

fn implied() -> Item {
    let root = || "root".to_owned();
    Item { mode: 0o755, uname: root(), gname: root(), content: Content::Implied, class: Class::Fixed, hardlink: None, capability: None }
}

fn classify(path: &[u8], content: &Content, config: &BTreeSet<&[u8]>) -> Class {
    let optional = OPTIONAL.iter().any(|prefix| path.strip_prefix(*prefix).is_some_and(|rest| rest.is_empty() || rest[0] == b'/'));
    match content {
        Content::File(..) | Content::Symlink(_) if config.contains(path) => Class::Config,
        _ if optional => Class::Optional,
        _ => Class::Fixed,
    }
}

/// Trees whose absence is excused, as `path-exclude` of slim images removes them.
const OPTIONAL: [&[u8]; 4] = [b"usr/share/doc", b"usr/share/info", b"usr/share/locale", b"usr/share/man"];
const NAME_MAX: usize = 255;

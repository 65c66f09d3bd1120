//! From a tar's entries to the manifest (`specs/deb.md`, section 5).
//!
//! The rules here are part of `package-files/v1`: another rule is another version.

use crate::control::Conffile;
use crate::deb::Refusal;
use crate::owner;
use crate::tar::{Entry, Kind};
use attest::Hash;
use attest::manifest::{Attributes, Class, Manifest, ManifestBuilder, Node, device_number};
use std::collections::{BTreeMap, BTreeSet};

/// Collects the entries of a payload in the order of the archive.
#[derive(Debug, Default)]
pub struct Collector {
    owners: Owners,
    items: BTreeMap<Vec<u8>, Item>,
    /// Later names of a file to its first name in the archive.
    links: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Whether an archive's names or its numbers say who owns a file, as the package manager has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Owners {
    /// Names, then Debian's names of static numbers.
    #[default]
    Debian,
    /// Names, then numbers.
    Names,
    /// Numbers, whatever the names are.
    Numbers,
}

#[derive(Debug, PartialEq, Eq)]
struct Item {
    node: Node,
    attributes: Attributes,
    capability: Option<Vec<u8>>,
}

impl Collector {
    /// Nothing is collected yet.
    pub fn new(owners: Owners) -> Self {
        Self { owners, ..Self::default() }
    }

    /// Adds an entry with the digest of its content (`None` unless a regular file).
    pub fn add(&mut self, entry: &Entry, digest: Option<Hash>) -> Result<(), Refusal> {
        let path = relative(&entry.path)?;
        let at = |why| Refusal::Path { path: entry.path.clone(), why };
        if path.is_empty() && entry.kind != Kind::Directory {
            return Err(at("the root of the package is no directory"));
        }
        let node = match &entry.kind {
            Kind::HardLink(target) => return self.link(entry, path, target),
            Kind::File => Node::File { size: entry.size, sha256: digest.ok_or(at("a file without a digest"))? },
            Kind::Symlink(target) => Node::Link(target.clone()),
            Kind::Directory => Node::Dir,
            Kind::Char(major, minor) => Node::Char(device_number(*major, *minor)),
            Kind::Block(major, minor) => Node::Block(device_number(*major, *minor)),
            Kind::Fifo => Node::Fifo,
        };
        if entry.capability.is_some() && digest.is_none() {
            return Err(at("a capability on something that is no file"));
        }
        let attributes = Attributes {
            mode: if matches!(node, Node::Link(_)) { 0o777 } else { entry.mode },
            uname: self.owners.user(&entry.uname, entry.uid).ok_or(at("its owner's name is malformed"))?,
            gname: self.owners.group(&entry.gname, entry.gid).ok_or(at("its group's name is malformed"))?,
        };
        let item = Item { node, attributes, capability: entry.capability.clone() };
        match self.items.get(&path) {
            None if !self.links.contains_key(&path) => drop(self.items.insert(path, item)),
            Some(before) if item.node == Node::Dir && *before == item => {}
            _ => return Err(at("stands twice in the archive")),
        }
        Ok(())
    }

    /// The manifest of the package file with this digest. Every parent must be a directory; absent ones are implied.
    pub fn finish(self, package: Hash, conffiles: &[Conffile]) -> Result<Manifest, Refusal> {
        self.finish_by(package, conffiles, &|_| None)
    }

    /// The same where a rule of the package manager gives files and links a class by their place, before all else.
    pub fn finish_by(self, package: Hash, conffiles: &[Conffile], by_place: &dyn Fn(&[u8]) -> Option<Class>) -> Result<Manifest, Refusal> {
        self.check_parents()?;
        let config: BTreeSet<&[u8]> = conffiles.iter().filter(|c| !c.remove_on_upgrade).map(|c| &c.path[1..]).collect();
        let mut builder = ManifestBuilder::new(package);
        for (path, item) in self.items {
            let by_place = by_place(&path).filter(|_| matches!(item.node, Node::File { .. } | Node::Link(_)));
            let class = by_place.unwrap_or_else(|| classify(&path, &item.node, &config));
            let place = if path.is_empty() { b"." } else { path.as_slice() };
            builder.push(place, item.node, item.attributes, class, item.capability)?;
        }
        for (path, first) in &self.links {
            let file = Node::File { size: 0, sha256: Hash::new([0; 32]) };
            let class = by_place(path).unwrap_or_else(|| classify(path, &file, &config));
            builder.push_hardlink(path, first, class)?;
        }
        Ok(builder.finish()?)
    }

    fn link(&mut self, entry: &Entry, path: Vec<u8>, target: &[u8]) -> Result<(), Refusal> {
        let at = |why| Refusal::Path { path: entry.path.clone(), why };
        let target = relative(target).map_err(|_| at("its hard link target is no clean relative path"))?;
        let first = self.links.get(&target).cloned().unwrap_or(target);
        if !self.items.get(&first).is_some_and(|item| matches!(item.node, Node::File { .. })) {
            return Err(at("a hard link to something that is no earlier file"));
        }
        if self.items.contains_key(&path) || self.links.insert(path, first).is_some() {
            return Err(at("stands twice in the archive"));
        }
        Ok(())
    }

    fn check_parents(&self) -> Result<(), Refusal> {
        let not_a_directory =
            |path: &[u8]| self.links.contains_key(path) || self.items.get(path).is_some_and(|item| item.node != Node::Dir);
        for path in self.items.keys().chain(self.links.keys()) {
            if parents(path).any(not_a_directory) {
                return Err(Refusal::Path { path: path.clone(), why: "its parent in the archive is no directory" });
            }
        }
        Ok(())
    }
}

impl Owners {
    fn user(self, name: &[u8], id: u64) -> Option<String> {
        self.plain(name, id).unwrap_or_else(|| owner::user(name, id))
    }

    fn group(self, name: &[u8], id: u64) -> Option<String> {
        self.plain(name, id).unwrap_or_else(|| owner::group(name, id))
    }

    /// The number, where it decides; `None` where the name does.
    fn plain(self, name: &[u8], id: u64) -> Option<Option<String>> {
        let decides = self == Self::Numbers || (self == Self::Names && name.is_empty());
        decides.then(|| Some(if id == 0 { "root".to_owned() } else { id.to_string() }))
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
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at])
}

fn classify(path: &[u8], node: &Node, config: &BTreeSet<&[u8]>) -> Class {
    match node {
        Node::File { .. } | Node::Link(_) if config.contains(path) => Class::Config,
        _ if is_optional(path) => Class::Optional,
        _ => Class::Fixed,
    }
}

/// Whether a path is documentation or a translation by its place.
pub(crate) fn is_optional(path: &[u8]) -> bool {
    OPTIONAL.iter().any(|prefix| path.strip_prefix(*prefix).is_some_and(|rest| rest.is_empty() || rest[0] == b'/'))
}

/// Trees whose absence is excused, as `path-exclude` of slim images removes them.
const OPTIONAL: [&[u8]; 4] = [b"usr/share/doc", b"usr/share/info", b"usr/share/locale", b"usr/share/man"];
const NAME_MAX: usize = 255;

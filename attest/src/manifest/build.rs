//! Making a manifest from entries in any order, and the rules that hold between lines.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::btree_map::Entry as Slot;
use std::sync::Arc;

use tlog::Hash;

use super::line::is_raw_path;
use super::{Attributes, Class, Entry, MAX_BYTES, MAX_LINES, Manifest, ManifestError, Node, is_owner, parse_line, split_line};

/// Collects entries in archive order; adds missing parents, sorts, numbers hard-link groups.
///
/// Names may begin with `./` and end with `/`. The archive's own entry for the root directory is ignored: a package does not own
/// the root. Where an archive names a path twice, the later entry wins, as it does when dpkg or tar unpacks it; a path
/// that is a directory in one entry and something else in another is refused.
#[derive(Clone, Debug)]
pub struct ManifestBuilder {
    package: Hash,
    entries: BTreeMap<Vec<u8>, Pending>,
    groups: u64,
}

/// An entry whose hard-link group is numbered in order of arrival.
#[derive(Clone, Debug)]
struct Pending {
    entry: Entry,
    group: Option<u64>,
}

impl ManifestBuilder {
    /// An empty manifest of the package file with this SHA-256.
    #[must_use]
    pub fn new(package: Hash) -> Self {
        Self { package, entries: BTreeMap::new(), groups: 0 }
    }

    /// Adds an entry; `path` as the archive has it.
    pub fn push(
        &mut self,
        path: &[u8],
        node: Node,
        attributes: impl Into<Arc<Attributes>>,
        class: Class,
        caps: Option<Vec<u8>>,
    ) -> Result<(), ManifestError> {
        let path = normalise(path)?;
        if path.is_empty() {
            return if node == Node::Dir { Ok(()) } else { Err(ManifestError::Conflict) };
        }
        let attributes = attributes.into();
        check_attributes(&attributes)?;
        let entry = Entry { path, node, attributes: Some(attributes), class, caps, hardlink: None };
        if !entry.is_consistent() {
            return Err(ManifestError::Conflict);
        }
        self.insert(Pending { entry, group: None })
    }

    /// Adds another name of the regular file `target`, which came before; its class is its own (documentation and program
    /// can share a file), everything else is the target's.
    pub fn push_hardlink(&mut self, path: &[u8], target: &[u8], class: Class) -> Result<(), ManifestError> {
        let (path, target) = (normalise(path)?, normalise(target)?);
        let next = self.groups + 1;
        let found = self.entries.get_mut(&target).filter(|found| matches!(found.entry.node, Node::File { .. }));
        let found = found.filter(|_| path != target && !path.is_empty()).ok_or(ManifestError::BadHardLink)?;
        let group = *found.group.get_or_insert(next);
        let entry = Entry { path, class, ..found.entry.clone() };
        self.groups = self.groups.max(group);
        self.insert(Pending { entry, group: Some(group) })
    }

    /// The manifest.
    pub fn finish(mut self) -> Result<Manifest, ManifestError> {
        self.add_parents()?;
        let mut groups = Groups::count(self.entries.values());
        let entries: Vec<Entry> = self.entries.into_values().map(|pending| groups.number(pending)).collect();
        let manifest = Manifest { package: self.package, entries };
        if manifest.entries.len() >= MAX_LINES || manifest.encode().len() > MAX_BYTES {
            return Err(ManifestError::TooLarge);
        }
        Ok(manifest)
    }

    fn insert(&mut self, pending: Pending) -> Result<(), ManifestError> {
        if self.entries.len() >= MAX_LINES {
            return Err(ManifestError::TooLarge);
        }
        match self.entries.entry(pending.entry.path.clone()) {
            Slot::Vacant(slot) => drop(slot.insert(pending)),
            Slot::Occupied(slot) if (slot.get().entry.node == Node::Dir) != (pending.entry.node == Node::Dir) => {
                return Err(ManifestError::Conflict);
            }
            Slot::Occupied(mut slot) => drop(slot.insert(pending)),
        }
        Ok(())
    }

    fn add_parents(&mut self) -> Result<(), ManifestError> {
        let paths: Vec<Vec<u8>> = self.entries.keys().cloned().collect();
        for path in paths {
            for parent in parents(&path) {
                let implied = || Pending { entry: Entry::implied(parent.to_vec()), group: None };
                if self.entries.entry(parent.to_vec()).or_insert_with(implied).entry.node != Node::Dir {
                    return Err(ManifestError::Conflict);
                }
            }
        }
        self.entries.insert(Vec::new(), Pending { entry: Entry::implied(Vec::new()), group: None });
        Ok(())
    }
}

/// Final numbers of hard-link groups, given out in order of paths.
struct Groups {
    members: BTreeMap<u64, usize>,
    numbers: BTreeMap<u64, u64>,
}

impl Groups {
    fn count<'a>(entries: impl Iterator<Item = &'a Pending>) -> Self {
        let mut members = BTreeMap::new();
        for group in entries.filter_map(|pending| pending.group) {
            *members.entry(group).or_default() += 1;
        }
        Self { members, numbers: BTreeMap::new() }
    }

    /// A group that lost all but one name to later entries is no group.
    fn number(&mut self, pending: Pending) -> Entry {
        let group = pending.group.filter(|group| self.members.get(group).is_some_and(|count| *count > 1));
        let next = self.numbers.len() as u64 + 1;
        let hardlink = group.map(|group| *self.numbers.entry(group).or_insert(next));
        Entry { hardlink, ..pending.entry }
    }
}

/// Reads entry lines and appends them to `entries`, which holds the root. Line numbers in errors are those of the file.
pub(super) fn read_entries(mut text: &[u8], entries: &mut Vec<Entry>) -> Result<(), ManifestError> {
    let mut directories: Vec<Vec<u8>> = Vec::new();
    let mut groups: Vec<usize> = Vec::new();
    let mut attributes = BTreeSet::new();
    while !text.is_empty() {
        let number = entries.len() + 2;
        let (line, rest) = split_line(text).ok_or(ManifestError::BadLine(number))?;
        let mut entry = parse_line(line).ok_or(ManifestError::BadLine(number))?;
        if entries.last().is_none_or(|last| last.path >= entry.path) || !has_parent(&mut directories, &entry) {
            return Err(ManifestError::BadOrder(number));
        }
        join_group(&mut groups, &entry, entries.len())
            .filter(|first| is_same_file(entries, *first, &entry))
            .ok_or(ManifestError::BadLine(number))?;
        entry.attributes = entry.attributes.map(|own| shared(&mut attributes, own));
        entries.push(entry);
        text = rest;
    }
    // A group of one is no group: its first member would be its last.
    let mut members = vec![0_usize; groups.len()];
    for group in entries.iter().filter_map(|entry| entry.hardlink) {
        if let Some(count) = usize::try_from(group).ok().and_then(|group| members.get_mut(group - 1)) {
            *count += 1;
        }
    }
    match members.iter().position(|count| *count < 2).and_then(|group| groups.get(group)) {
        Some(first) => Err(ManifestError::BadLine(first + 2)),
        None => Ok(()),
    }
}

/// The same attributes as kept for an earlier entry, where one had them.
fn shared(known: &mut BTreeSet<Arc<Attributes>>, own: Arc<Attributes>) -> Arc<Attributes> {
    if let Some(earlier) = known.get(&own) {
        return Arc::clone(earlier);
    }
    known.insert(Arc::clone(&own));
    own
}

/// The index of the first member of the entry's group (its own, if it opens the next group or has none).
fn join_group(groups: &mut Vec<usize>, entry: &Entry, index: usize) -> Option<usize> {
    let Some(group) = entry.hardlink else { return Some(index) };
    let group = usize::try_from(group).ok()?.checked_sub(1)?;
    if group == groups.len() {
        groups.push(index);
    }
    groups.get(group).copied()
}

/// Names of one file agree on content and attributes.
fn is_same_file(entries: &[Entry], first: usize, entry: &Entry) -> bool {
    entries.get(first).is_none_or(|first| first.node == entry.node && first.attributes == entry.attributes && first.caps == entry.caps)
}

/// Whether the entry's parent is a directory before it. In byte order a directory's children need not follow it directly
/// (`a`, `a-b`, `a/c`), so all directories are remembered.
fn has_parent(directories: &mut Vec<Vec<u8>>, entry: &Entry) -> bool {
    let parent = entry.path.iter().rposition(|byte| *byte == b'/').and_then(|end| entry.path.get(..end));
    let found = parent.is_none_or(|parent| directories.binary_search_by(|known| known.as_slice().cmp(parent)).is_ok());
    if found && entry.node == Node::Dir {
        directories.push(entry.path.clone());
    }
    found
}

/// All proper parents of a raw path, the longest last, without the root.
fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').filter_map(|(end, _)| path.get(..end))
}

/// Strips `./` at the start and `/` at the end; refuses everything that is not a plain relative path then.
fn normalise(path: &[u8]) -> Result<Vec<u8>, ManifestError> {
    let stripped = path.strip_prefix(b"./").unwrap_or(path);
    let stripped = stripped.strip_suffix(b"/").unwrap_or(stripped);
    if path == b"." || path == b"./" {
        return Ok(Vec::new());
    }
    if stripped.is_empty() || !is_raw_path(stripped) {
        return Err(ManifestError::BadPath);
    }
    Ok(stripped.to_vec())
}

fn check_attributes(attributes: &Attributes) -> Result<(), ManifestError> {
    if !is_owner(&attributes.uname) || !is_owner(&attributes.gname) {
        return Err(ManifestError::BadOwner);
    }
    if attributes.mode > 0o7777 { Err(ManifestError::BadMode) } else { Ok(()) }
}

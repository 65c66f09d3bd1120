//! `fsck`: recomputes everything from the bytes. Every entry is hashed into level 0, every full tile into the level above, the
//! right edge into the root, and the root is compared with the checkpoint. Whatever differs is named.

mod directory;
mod source;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use attest::manifest::tree_of;
use attest::{Envelope, Predicate, Statement};
use tlog::tile::BundleId;
use tlog::{Hash, SignedCheckpoint, Tile, Tree, VerifierKey, bundle, hash_children, hash_leaf};

use crate::verify::hashes;

pub use directory::DirectorySource;
pub use source::{HttpSource, Source};

/// One thing that is wrong: which object, and in which way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Its path below the log's public root.
    pub object: String,
    /// What is wrong.
    pub what: String,
}

/// What was checked, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The checkpoint's tree.
    pub tree: Tree,
    /// Verified signatures of the log.
    pub signatures: usize,
    /// Entries hashed.
    pub entries: u64,
    /// Tiles and bundles compared, older partial ones included.
    pub objects: u64,
    /// Manifests compared with their names.
    pub manifests: u64,
    /// What is wrong, by object; empty if all is well.
    pub findings: Vec<Finding>,
}

/// Why nothing could be checked at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FsckError {
    /// The checkpoint could not be read; in words.
    NoCheckpoint(String),
    /// It is not a checkpoint.
    Malformed,
}

impl std::fmt::Display for FsckError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoCheckpoint(why) => write!(f, "checkpoint: {why}"),
            Self::Malformed => f.write_str("checkpoint: not a checkpoint"),
        }
    }
}
impl std::error::Error for FsckError {}

/// Checks a log against its published checkpoint; its signatures against `keys`, if there are any.
pub fn check(source: &dyn Source, keys: &[VerifierKey]) -> Result<Report, FsckError> {
    let note = source.checkpoint().map_err(FsckError::NoCheckpoint)?;
    let signed = SignedCheckpoint::parse(&note).map_err(|_| FsckError::Malformed)?;
    let run = Run { source, tree: signed.tree(), findings: Mutex::default(), claims: Mutex::default(), objects: AtomicU64::new(0) };
    let signatures = run.signatures(&signed, keys);
    run.structure();
    run.leftovers();
    let manifests = run.manifests();
    let mut findings = run.findings.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    findings.sort();
    let objects = run.objects.into_inner();
    Ok(Report { tree: run.tree, signatures, entries: run.tree.size, objects, manifests, findings })
}

struct Run<'a> {
    source: &'a dyn Source,
    tree: Tree,
    findings: Mutex<Vec<Finding>>,
    /// Roots of the manifests that entries claim.
    claims: Mutex<BTreeSet<Hash>>,
    objects: AtomicU64,
}

/// What a group of up to 65,536 leaves comes to: a level-1 tile's hashes, and the leaf hashes of the partial bundle at its end.
struct Group {
    tiles: Vec<Hash>,
    rest: Vec<Hash>,
}

impl Run<'_> {
    fn find(&self, object: impl Into<String>, what: impl Into<String>) {
        let finding = Finding { object: object.into(), what: what.into() };
        self.findings.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(finding);
    }

    fn signatures(&self, signed: &SignedCheckpoint, keys: &[VerifierKey]) -> usize {
        let mut verified = 0;
        for key in keys {
            match signed.note.lines.iter().any(|line| line.is_by(key)) {
                false => self.find("checkpoint", format!("has no signature by {}+{}", key.name(), key.id())),
                true if signed.verify_log(std::slice::from_ref(key)).is_err() => {
                    self.find("checkpoint", format!("the signature by {}+{} does not verify", key.name(), key.id()));
                }
                true => verified += 1,
            }
        }
        if keys.iter().any(|key| key.name().as_str() != signed.checkpoint.origin) {
            self.find("checkpoint", format!("is of the log {}", signed.checkpoint.origin));
        }
        verified
    }

    /// All bundles and tiles of the tree, and its root. Groups are independent; workers take the next one.
    fn structure(&self) {
        let count = self.tree.size.div_ceil(GROUP);
        let groups = Mutex::new(Vec::new());
        let next = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.source.workers() {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return;
                        }
                        let group = self.group(number);
                        groups.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((number, group));
                    }
                });
            }
        });
        let mut groups = groups.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        groups.sort_by_key(|(number, _)| *number);
        self.upper(groups.into_iter().map(|(_, group)| group).collect());
    }

    fn group(&self, number: u64) -> Group {
        let first = number * 256;
        let last = self.tree.size.div_ceil(256).min(first + 256);
        let mut group = Group { tiles: Vec::new(), rest: Vec::new() };
        for index in first..last {
            let leaves = self.bundle(index);
            if leaves.len() == 256 {
                group.tiles.push(Tree::of(&leaves).root);
            } else {
                group.rest = leaves;
            }
        }
        if let Some(tile) = tile_of(1, number, group.tiles.len()) {
            self.compare(tile, &group.tiles, "the tiles below it");
        }
        group
    }

    /// Leaf hashes of one bundle, compared with its level-0 tile. Where the bundle is unreadable, those of the tile stand in, so
    /// that one damaged bundle is one finding.
    fn bundle(&self, index: u64) -> Vec<Hash> {
        let width = u16::try_from((self.tree.size - index * 256).min(256)).unwrap_or(256);
        let (Some(id), Some(tile)) = (BundleId::new(index, width), Tile::new(0, index, width)) else { return Vec::new() };
        let leaves = self.leaves(id);
        match leaves {
            Ok(leaves) => {
                self.compare(tile, &leaves, &id.path());
                leaves
            }
            Err(what) => {
                self.find(id.path(), what);
                self.source.tile(tile).map(|bytes| hashes(&bytes)).unwrap_or_default()
            }
        }
    }

    fn leaves(&self, id: BundleId) -> Result<Vec<Hash>, String> {
        let bytes = self.source.bundle(id)?;
        self.objects.fetch_add(1, Ordering::Relaxed);
        let malformed = || format!("is not a bundle of {} entries", id.width());
        let entries = bundle::parse(&bytes, id.width()).map_err(|_| malformed())?;
        for entry in &entries {
            if let Some(root) = claim(entry) {
                self.claims.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(root);
            }
        }
        Ok(entries.into_iter().map(hash_leaf).collect())
    }

    /// Which of the two is at fault cannot be told here; the finding names both.
    fn compare(&self, tile: Tile, expected: &[Hash], below: &str) {
        self.objects.fetch_add(1, Ordering::Relaxed);
        match self.source.tile(tile) {
            Err(what) => self.find(tile.path(), what),
            Ok(bytes) if bytes.len() != expected.len() * 32 => {
                self.find(tile.path(), format!("has {} bytes instead of {}", bytes.len(), expected.len() * 32));
            }
            Ok(bytes) => {
                if let Some(at) = hashes(&bytes).iter().zip(expected).position(|(found, expected)| found != expected) {
                    self.find(tile.path(), format!("hash {at} differs from {below}"));
                }
            }
        }
    }

    /// Levels from 2 up, and the root from the ends of all levels.
    fn upper(&self, mut groups: Vec<Group>) {
        let last = groups.pop().unwrap_or(Group { tiles: Vec::new(), rest: Vec::new() });
        let mut ends = vec![last.rest];
        let mut row: Vec<Hash> = groups.iter().map(|group| Tree::of(&group.tiles).root).collect();
        if last.tiles.len() == 256 {
            row.push(Tree::of(&last.tiles).root);
            ends.push(Vec::new());
        } else {
            ends.push(last.tiles);
        }
        let mut level = 2;
        while !row.is_empty() {
            let mut above = Vec::new();
            let mut end = Vec::new();
            for (number, items) in row.chunks(256).enumerate() {
                if let Some(tile) = tile_of(level, number as u64, items.len()) {
                    self.compare(tile, items, "the tiles below it");
                }
                if items.len() == 256 { above.push(Tree::of(items).root) } else { end = items.to_vec() }
            }
            ends.push(end);
            row = above;
            level += 1;
        }
        if root_of(&ends) != self.tree.root {
            self.find("checkpoint", "its root is not the root of the entries");
        }
    }

    /// Older partial tiles and bundles: each must be the beginning of what replaced it.
    fn leftovers(&self) {
        for object in self.source.listed() {
            if let Err(what) = self.leftover(&object) {
                self.find(object, what);
            }
        }
    }

    fn leftover(&self, path: &str) -> Result<(), String> {
        let (size, width, level) = match (Tile::parse(path), BundleId::parse(path)) {
            (Some(tile), _) => (self.tree.size >> (u32::from(tile.level()) * 8), tile.width(), Some(tile)),
            (_, Some(id)) => (self.tree.size, id.width(), None),
            _ => return Err("is not the name of a tile or bundle".to_owned()),
        };
        let index = level.map_or_else(|| BundleId::parse(path).map_or(0, |id| id.index()), |tile| tile.index());
        let present = size.saturating_sub(index.saturating_mul(256)).min(256);
        if u64::from(width) > present {
            // Of a tree that is committed and not published yet.
            return if self.source.may_exceed(index.saturating_mul(256).saturating_add(u64::from(width)), level) {
                Ok(())
            } else {
                Err("is of no published tree".to_owned())
            };
        }
        if u64::from(width) == present {
            return Ok(()); // compared already
        }
        self.objects.fetch_add(1, Ordering::Relaxed);
        let present = u16::try_from(present).unwrap_or(256);
        let whole = match level {
            Some(tile) => Tile::new(tile.level(), index, present).map(|tile| self.source.tile(tile)),
            None => BundleId::new(index, present).map(|id| self.source.bundle(id)),
        };
        let whole = whole.ok_or("has no successor")??;
        let bytes = self.source.object(path)?;
        let is_whole_tile = level.is_none() || bytes.len() == usize::from(width) * 32;
        let is_whole = is_whole_tile && (level.is_some() || bundle::parse(&bytes, width).is_ok());
        if is_whole && whole.starts_with(&bytes) { Ok(()) } else { Err("differs from the beginning of what replaced it".to_owned()) }
    }

    /// Stored manifests against their names, and claimed ones against what is stored.
    fn manifests(&self) -> u64 {
        let stored = self.source.manifests();
        let claims = self.claims.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let all: BTreeSet<Hash> = stored.into_iter().chain(claims).collect();
        for root in &all {
            match self.source.manifest(root) {
                Ok(text) if tree_of(&text).root == *root => {}
                Ok(_) => self.find(format!("manifest/{root}"), "its root is not its name"),
                Err(what) => self.find(format!("manifest/{root}"), what),
            }
        }
        all.len() as u64
    }
}

/// The manifest that an entry claims, if it is such an entry.
fn claim(entry: &[u8]) -> Option<Hash> {
    if !entry.starts_with(b"{\"payload\":") {
        return None;
    }
    match Statement::parse(Envelope::parse(entry).ok()?.payload()).ok()?.predicate {
        Predicate::PackageFiles(files) => Some(files.manifest),
        _ => None,
    }
}

fn tile_of(level: u8, index: u64, width: usize) -> Option<Tile> {
    Tile::new(level, index, u16::try_from(width).ok()?)
}

/// The root from the partial ends of all levels, lowest first: each end splits into whole subtrees by its length's bits, and they
/// are joined from the right (RFC 6962 section 2.1).
fn root_of(ends: &[Vec<Hash>]) -> Hash {
    let mut root: Option<Hash> = None;
    for end in ends {
        let mut rest = &end[..];
        for bit in 0..9 {
            let width = 1_usize << bit;
            if end.len() & width == 0 {
                continue;
            }
            let (left, subtree) = rest.split_at(rest.len() - width);
            let peak = Tree::of(subtree).root;
            root = Some(root.map_or(peak, |right| hash_children(&peak, &right)));
            rest = left;
        }
    }
    root.unwrap_or(Hash::EMPTY)
}

/// Leaves under one full level-1 tile.
const GROUP: u64 = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_from_ends_are_the_trees_roots() {
        for size in [0_usize, 1, 2, 3, 255, 256, 257, 600, 65_535, 65_536, 65_537] {
            let leaves: Vec<Hash> = (0..size).map(|n| hash_leaf(&n.to_be_bytes())).collect();
            let mut ends = Vec::new();
            let mut row = leaves.clone();
            while !row.is_empty() {
                let (full, end) = row.split_at(row.len() / 256 * 256);
                ends.push(end.to_vec());
                row = full.chunks(256).map(|tile| Tree::of(tile).root).collect();
            }
            assert_eq!(root_of(&ends), Tree::of(&leaves).root, "{size}");
        }
    }
}

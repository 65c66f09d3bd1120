//! What each object must be, from the signed root downwards: the right edge by the root, a full tile by its place in the tile
//! above it, a bundle by its level-0 tile. A tile that is found wrong on the way is put right before anything rests on it.

use std::collections::BTreeMap;

use store::Directory;
use tlog::growth::{tile_bytes, tile_root};
use tlog::tile::BundleId;
use tlog::{Growth, Hash, Tile, Tree, bundle};

use super::donor::Donor;
use super::{Fate, Mended, Outcome, RepairError};
use crate::fsck::{DirectorySource, Source};
use crate::layout;

/// A repair under way.
pub struct Repair<'a> {
    pub(super) source: DirectorySource,
    /// Where to write; `None` to only tell.
    pub(super) directory: Option<&'a Directory>,
    pub(super) tree: Tree,
    pub(super) donors: Vec<Donor>,
    /// The partial tiles of the tree, one a level at most; authenticated together.
    edge: BTreeMap<u8, Vec<Hash>>,
    /// The full tile authenticated last at each level.
    held: BTreeMap<u8, (u64, Vec<Hash>)>,
    pub(super) outcome: Outcome,
}

impl<'a> Repair<'a> {
    /// Authenticates the right edge, which everything else rests on, putting it right where it is damaged.
    pub fn new(source: DirectorySource, directory: Option<&'a Directory>, tree: Tree, donors: Vec<Donor>) -> Result<Self, RepairError> {
        let outcome = Outcome::default();
        let mut repair = Self { source, directory, tree, donors, edge: BTreeMap::new(), held: BTreeMap::new(), outcome };
        repair.find_edge()?;
        Ok(repair)
    }

    /// The result so far.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        self.outcome
    }

    /// The tile's hashes as they must be; the stored ones are made so. `None` if no copy of it, or of one above it, is right.
    pub(super) fn tile(&mut self, tile: Tile) -> Option<Vec<Hash>> {
        if tile.is_partial() {
            return self.edge.get(&tile.level()).cloned();
        }
        if let Some((index, hashes)) = self.held.get(&tile.level())
            && *index == tile.index()
        {
            return Some(hashes.clone());
        }
        let (parent, place) = tile.parent(self.tree.size)?;
        let Some(root) = self.tile(parent).and_then(|hashes| hashes.get(usize::from(place)).copied()) else {
            return self.remains(tile.path(), "the tile above it is damaged, so it cannot be told what it must be");
        };
        let is_right = |hashes: &Vec<Hash>| tile_root(hashes) == root;
        self.outcome.checked += 1;
        let hashes = match self.stored(tile).filter(is_right) {
            Some(hashes) => hashes,
            None => self.restored(tile, is_right)?,
        };
        self.held.insert(tile.level(), (tile.index(), hashes.clone()));
        Some(hashes)
    }

    /// The hashes of a tile that is not right, from elsewhere, and written.
    fn restored(&mut self, tile: Tile, is_right: impl Fn(&Vec<Hash>) -> bool) -> Option<Vec<Hash>> {
        if let Some(hashes) = self.rebuilt(tile).filter(&is_right) {
            return self.put_tile(tile, hashes, BELOW);
        }
        for number in 0..self.donors.len() {
            let Some(bytes) = self.ask(number, |donor| donor.tile(tile)) else { continue };
            match tile.hashes(&bytes).filter(&is_right) {
                Some(hashes) => return self.put_tile(tile, hashes, &self.name(number)),
                None => self.refuse(tile.path(), number),
            }
        }
        self.remains(tile.path(), NO_COPY)
    }

    fn put_tile(&mut self, tile: Tile, hashes: Vec<Hash>, from: &str) -> Option<Vec<Hash>> {
        self.put(tile.path(), &tile_bytes(&hashes), from)?;
        Some(hashes)
    }

    /// The edge that leads to the root, among all copies of its tiles.
    fn find_edge(&mut self) -> Result<(), RepairError> {
        let tiles: Vec<Tile> = Tile::edge(self.tree.size).collect();
        let mut copies: Vec<Vec<(String, Vec<Hash>)>> = Vec::new();
        for tile in &tiles {
            let mut of_tile: Vec<(String, Vec<Hash>)> = Vec::new();
            let mut offer = |name: String, hashes: Option<Vec<Hash>>| {
                if let Some(hashes) = hashes.filter(|hashes| of_tile.iter().all(|(_, other)| other != hashes)) {
                    of_tile.push((name, hashes));
                }
            };
            offer(OWN.to_owned(), self.stored(*tile));
            offer(BELOW.to_owned(), self.rebuilt(*tile));
            for number in 0..self.donors.len() {
                let bytes = self.ask(number, |donor| donor.tile(*tile));
                offer(self.name(number), bytes.and_then(|bytes| tile.hashes(&bytes)));
            }
            copies.push(of_tile);
        }
        let choice = choices(&copies).find(|choice| self.leads_to_root(&tiles, &copies, choice)).ok_or(RepairError::NoEdge)?;
        for ((tile, of_tile), chosen) in tiles.iter().zip(copies).zip(choice) {
            self.outcome.checked += 1;
            let Some((name, hashes)) = of_tile.into_iter().nth(chosen) else { continue };
            if name != OWN {
                // Where even this cannot be written, the outcome says so, and what lies below can still be told.
                let _ = self.put(tile.path(), &tile_bytes(&hashes), &name);
            }
            self.edge.insert(tile.level(), hashes);
        }
        Ok(())
    }

    fn leads_to_root(&self, tiles: &[Tile], copies: &[Vec<(String, Vec<Hash>)>], choice: &[usize]) -> bool {
        let chosen = copies.iter().zip(choice).filter_map(|(of_tile, number)| of_tile.get(*number));
        let edge: Vec<(Tile, Vec<Hash>)> = tiles.iter().copied().zip(chosen.map(|(_, hashes)| hashes.clone())).collect();
        Growth::resume(self.tree.size, &edge).is_some_and(|growth| growth.tree() == self.tree)
    }

    /// What the directory has for a tile; a partial one's from the full one too, where that has replaced it.
    pub(super) fn stored(&self, tile: Tile) -> Option<Vec<Hash>> {
        let mut bytes = Vec::new();
        self.source.tile(tile, &mut bytes).ok()?;
        tile.hashes(&bytes)
    }

    /// A tile's hashes from what the directory has below it: entries for level 0, tiles for the others, and what lies below
    /// those where they are missing or have another length.
    fn rebuilt(&self, tile: Tile) -> Option<Vec<Hash>> {
        let Some(level) = tile.level().checked_sub(1) else {
            let mut bytes = Vec::new();
            let id = BundleId::new(tile.index(), tile.width())?;
            self.source.bundle(id, &mut bytes).ok()?;
            return bundle::leaf_hashes(&bytes, id.width()).ok();
        };
        let first = tile.index().checked_mul(256)?;
        let child = |number: u16| {
            let child = Tile::new(level, first + u64::from(number), Tile::FULL)?;
            self.stored(child).or_else(|| self.rebuilt(child))
        };
        (0..tile.width()).map(|number| child(number).map(|hashes| tile_root(&hashes))).collect()
    }

    pub(super) fn name(&self, number: usize) -> String {
        self.donors.get(number).map_or_else(String::new, |donor| donor.name().to_owned())
    }

    pub(super) fn ask(&mut self, number: usize, question: impl FnOnce(&mut Donor) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        self.donors.get_mut(number).filter(|donor| donor.is_there()).and_then(question)
    }

    /// Notes that a donor's copy is not the object.
    pub(super) fn refuse(&mut self, object: String, number: usize) {
        let name = self.name(number);
        self.outcome.refused.push((object, name));
    }

    /// Writes an object that has been authenticated.
    pub(super) fn put(&mut self, object: String, bytes: &[u8], from: &str) -> Option<()> {
        let written = self.directory.map_or(Ok(()), |directory| directory.replace_damaged(&layout::public(&object), bytes));
        match written {
            Ok(()) => {
                self.outcome.mended.push(Mended { object, fate: Fate::Restored(from.to_owned()) });
                Some(())
            }
            Err(error) => self.remains(object, &format!("a right copy cannot be written: {error}")),
        }
    }

    pub(super) fn remains<T>(&mut self, object: String, why: &str) -> Option<T> {
        if self.outcome.mended.iter().all(|mended| mended.object != object) {
            self.outcome.mended.push(Mended { object, fate: Fate::Remains(why.to_owned()) });
        }
        None
    }
}

/// Every way to choose one copy for each tile, the first ones first, up to a limit.
fn choices(copies: &[Vec<(String, Vec<Hash>)>]) -> impl Iterator<Item = Vec<usize>> {
    let counts: Vec<usize> = copies.iter().map(Vec::len).collect();
    let all = counts.iter().fold(1_usize, |all, count| all.saturating_mul(*count));
    (0..all.min(MOST_CHOICES)).map(move |number| {
        let mut rest = number;
        let digit = |count: &usize| {
            let digit = rest % count;
            rest /= count;
            digit
        };
        counts.iter().map(digit).collect()
    })
}

/// What lies below an object gives it.
pub(super) const BELOW: &str = "what lies below it";
const OWN: &str = "the directory";
pub(super) const NO_COPY: &str = "no copy of it is right";
/// Combinations of copies of the edge that are tried: a few damaged tiles and a few mirrors.
const MOST_CHOICES: usize = 100_000;

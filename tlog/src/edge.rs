//! The right edge of a tree and pure growth from it: what a log must keep at hand to take in entries, and everything that a
//! round of them gives to write. See `specs/tiles.md`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::bundle::{self, BundleError, MAX_ENTRY};
use crate::growth::tile_bytes;
use crate::plan::{Plan, PlanError, Tiles};
use crate::{BundleId, Growth, Hash, Prover, Tile, Tree, hash_leaf};

/// All that growing a tree needs: the partial tile of each level and the partial entry bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    growth: Growth,
    bundle: Vec<u8>,
}

/// What one round of growth gives to write: everything that is new or wider than before.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The tree after the round.
    pub tree: Tree,
    /// The edge after the round.
    pub edge: Edge,
    /// New tiles, full and partial, with their bytes.
    pub tiles: Vec<(Tile, Vec<u8>)>,
    /// New entry bundles, full and partial, with their bytes.
    pub bundles: Vec<(BundleId, Vec<u8>)>,
    /// Leaf hashes of the new entries, in order.
    pub leaves: Vec<Hash>,
}

/// Why objects are not what a round of growth gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchError {
    /// The new tree is not larger than the old one.
    NotLarger,
    /// This tile is missing, not one of the round's, or not what the bundles make it.
    Tile(Tile),
    /// This bundle is missing, does not parse, or does not continue the old partial bundle.
    Bundle(BundleId),
    /// More tiles or bundles than the round gives.
    Surplus,
    /// The bundles lead to another root.
    WrongRoot,
}

impl Edge {
    /// The edge of the empty tree.
    #[must_use]
    pub fn empty() -> Self {
        Self { growth: Growth::new(), bundle: Vec::new() }
    }

    /// From parts that have been checked against a root.
    pub(crate) fn new(growth: Growth, bundle: Vec<u8>) -> Self {
        Self { growth, bundle }
    }

    /// Size and root, recomputed from the edge's hashes at every call.
    #[must_use]
    pub fn tree(&self) -> Tree {
        self.growth.tree()
    }

    /// The partial tiles with their bytes, lower levels first.
    #[must_use]
    pub fn tiles(&self) -> Vec<(Tile, Vec<u8>)> {
        self.growth.partials().map(|(tile, hashes)| (tile, tile_bytes(hashes))).collect()
    }

    /// The partial entry bundle's bytes; empty when the size is a multiple of 256.
    #[must_use]
    pub fn bundle(&self) -> &[u8] {
        &self.bundle
    }

    /// Grows the tree by `entries`. Pure: nothing is written, `self` is unchanged.
    pub fn append(&self, entries: &[&[u8]]) -> Result<Batch, BundleError> {
        self.append_hashed(entries, entries.iter().map(|entry| hash_leaf(entry)).collect(), &mut Vec::new())
    }

    /// As [`Edge::append`], with the entries' leaf hashes computed before (on other threads, when they were admitted). They
    /// are taken as they are; [`Edge::check`] hashes the bytes again. Bundles are written into the buffers of `spare` as long as
    /// there are any, whatever these hold: memory that was in use before costs less than new memory.
    pub fn append_hashed(&self, entries: &[&[u8]], leaves: Vec<Hash>, spare: &mut Vec<Vec<u8>>) -> Result<Batch, BundleError> {
        if leaves.len() != entries.len() {
            return Err(BundleError::WrongCount);
        }
        if entries.iter().any(|entry| entry.len() > MAX_ENTRY) {
            return Err(BundleError::TooLong);
        }
        let mut growth = self.growth.clone();
        let mut tiles = Vec::with_capacity(leaves.len() / 256 + 16);
        for leaf in &leaves {
            growth.push(*leaf, &mut |tile, hashes| tiles.push((tile, tile_bytes(hashes)))).map_err(|_| BundleError::TreeFull)?;
        }
        tiles.extend(self.grown_partials(&growth).map(|(tile, hashes)| (tile, tile_bytes(hashes))));
        let bundles = self.fill_bundles(entries, spare)?;
        let bundle = match bundles.last() {
            Some((id, bytes)) if id.width() < Tile::FULL => bytes.clone(),
            Some(_) => Vec::new(),
            None => self.bundle.clone(),
        };
        Ok(Batch { tree: growth.tree(), edge: Self { growth, bundle }, tiles, bundles, leaves })
    }

    /// Verify before sign: recomputes from the bundles' bytes, entry by entry, what a round of growth from this edge to
    /// `tree` must give, and compares it with these tiles (in any order) and bundles (ascending). The new tree then extends
    /// this edge's tree by construction. Returns the edge after the round.
    pub fn check<B: AsRef<[u8]>>(&self, tree: &Tree, tiles: &[(Tile, B)], bundles: &[(BundleId, B)]) -> Result<Self, BatchError> {
        let old_size = self.growth.size();
        if tree.size <= old_size || tree.size > Tree::MAX_SIZE {
            return Err(BatchError::NotLarger);
        }
        let mut expected = ExpectedTiles::new(tiles)?;
        let mut growth = self.growth.clone();
        let mut given = bundles.iter();
        for id in BundleId::grown(old_size, tree.size) {
            let bytes = given.next().filter(|(given, _)| *given == id).ok_or(BatchError::Bundle(id))?.1.as_ref();
            for leaf in self.new_leaves(id, bytes).ok_or(BatchError::Bundle(id))? {
                growth.push(leaf, &mut |tile, hashes| expected.compare(tile, hashes)).map_err(|_| BatchError::NotLarger)?;
            }
        }
        self.grown_partials(&growth).for_each(|(tile, hashes)| expected.compare(tile, hashes));
        expected.finish()?;
        if given.next().is_some() {
            return Err(BatchError::Surplus);
        }
        if growth.tree() != *tree {
            return Err(BatchError::WrongRoot);
        }
        let bundle = bundles.last().filter(|(id, _)| id.width() < Tile::FULL);
        Ok(Self { growth, bundle: bundle.map_or_else(Vec::new, |(_, bytes)| bytes.as_ref().to_vec()) })
    }

    /// The partial tiles of `growth` that this edge has not, or not as wide.
    fn grown_partials<'a>(&self, growth: &'a Growth) -> impl Iterator<Item = (Tile, &'a [Hash])> {
        let old_size = self.growth.size();
        growth.partials().filter(move |(tile, _)| !tile.is_of(old_size))
    }

    /// The bundles that `entries` fill, starting with the partial one. Each entry is copied once.
    fn fill_bundles(&self, entries: &[&[u8]], spare: &mut Vec<Vec<u8>>) -> Result<Vec<(BundleId, Vec<u8>)>, BundleError> {
        let old_size = self.growth.size();
        let new_size = u64::try_from(entries.len()).ok().and_then(|count| old_size.checked_add(count)).ok_or(BundleError::TreeFull)?;
        let mut bundles = Vec::with_capacity(entries.len() / 256 + 2);
        let (mut rest, mut before, mut present) = (entries, self.bundle.as_slice(), usize::try_from(old_size % 256).unwrap_or(0));
        for id in BundleId::grown(old_size, new_size) {
            let (now, later) = rest.split_at_checked(usize::from(id.width()) - present).ok_or(BundleError::WrongCount)?;
            let mut bytes = spare.pop().unwrap_or_default();
            bytes.clear();
            bytes.reserve_exact(before.len() + now.iter().map(|entry| 2 + entry.len()).sum::<usize>());
            bytes.extend_from_slice(before);
            now.iter().try_for_each(|entry| bundle::push(&mut bytes, entry))?;
            bundles.push((id, bytes));
            (rest, before, present) = (later, &[], 0);
        }
        Ok(bundles)
    }

    /// The leaf hashes of a bundle's entries that this edge's tree has not; `None` if the bundle does not parse or does not
    /// start with the partial bundle.
    fn new_leaves(&self, id: BundleId, bytes: &[u8]) -> Option<Vec<Hash>> {
        let size = self.growth.size();
        let continued = id.index() == size / 256;
        let known = if continued { usize::try_from(size % 256).ok()? } else { 0 };
        if continued && !bytes.starts_with(&self.bundle) {
            return None;
        }
        let entries = bundle::parse(bytes, id.width()).ok()?;
        Some(entries.get(known..)?.iter().map(|entry| hash_leaf(entry)).collect())
    }
}

impl Batch {
    /// Every tile that the new entries' proofs can need: the round's, and the partial ones that it left as they were.
    #[must_use]
    pub fn in_memory(&self) -> Tiles {
        self.edge.tiles().into_iter().chain(self.tiles.iter().cloned()).collect()
    }

    /// Proves each new entry towards the new tree, from memory alone. (Older entries: plan, take [`Batch::in_memory`], fetch
    /// the tiles that it lacks, finish.)
    pub fn prover(&self) -> Result<Prover, PlanError> {
        let added = u64::try_from(self.leaves.len()).map_err(|_| PlanError::OutOfRange)?;
        let first = self.tree.size.checked_sub(added).ok_or(PlanError::OutOfRange)?;
        Plan::for_leaves(&self.tree, first..self.tree.size)?.finish(&self.in_memory())
    }
}

/// Given tiles, struck off one by one while their equals are computed.
struct ExpectedTiles<'a> {
    left: BTreeMap<Tile, &'a [u8]>,
    wrong: Option<Tile>,
}

impl<'a> ExpectedTiles<'a> {
    fn new<B: AsRef<[u8]>>(tiles: &'a [(Tile, B)]) -> Result<Self, BatchError> {
        let left: BTreeMap<_, _> = tiles.iter().map(|(tile, bytes)| (*tile, bytes.as_ref())).collect();
        if left.len() == tiles.len() { Ok(Self { left, wrong: None }) } else { Err(BatchError::Surplus) }
    }

    fn compare(&mut self, tile: Tile, hashes: &[Hash]) {
        let given = self.left.remove(&tile);
        if given != Some(tile_bytes(hashes).as_slice()) && self.wrong.is_none() {
            self.wrong = Some(tile);
        }
    }

    fn finish(self) -> Result<(), BatchError> {
        match (self.wrong, self.left.is_empty()) {
            (Some(tile), _) => Err(BatchError::Tile(tile)),
            (None, false) => Err(BatchError::Surplus),
            (None, true) => Ok(()),
        }
    }
}

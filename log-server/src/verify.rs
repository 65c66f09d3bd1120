//! Verify before sign: the checks between growing a tree and signing it, on the very bytes that will be staged.
//!
//! Everything is derived again from the entry bundles upwards: a bit that flipped in memory or on the disk since the last
//! signature must end in an error here, never in a signed root. The old side comes from the stored edge, which
//! [`stored_edge`] has compared with the committed tree.

use std::collections::BTreeMap;

use store::Store;
use tlog::plan::{ConsistencyPlan, EdgePlan, PlanError, Tiles};
use tlog::tile::BundleId;
use tlog::{ConsistencyProof, Edge, Hash, Tile, Tree, bundle, hash_leaf};

use crate::layout;
use crate::stage::Stage;

/// Why a tree must not be signed, or cannot be read. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyError {
    /// The store failed: key and what the system said.
    Storage(String, String),
    /// An object that the tree needs is not in the store.
    Missing(String),
    /// An object contradicts the committed tree.
    Damaged(String),
    /// The grown tree is not what its objects give, or does not extend the old one.
    WrongGrowth(&'static str),
}

impl std::fmt::Display for VerifyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Storage(key, error) => write!(f, "{key}: {error}"),
            Self::Missing(key) => write!(f, "{key} is missing"),
            Self::Damaged(key) => write!(f, "{key} is damaged: it contradicts the committed tree"),
            Self::WrongGrowth(why) => write!(f, "the grown tree is wrong: {why}"),
        }
    }
}
impl std::error::Error for VerifyError {}

/// The right edge of `tree` as the store has it, with its bytes, compared with the tree's root.
pub struct StoredEdge {
    /// For appending.
    pub edge: Edge,
    tiles: Tiles,
}

/// Reads the edge of a tree from the store and recomputes the tree's root from it.
pub fn stored_edge(store: &dyn Store, tree: &Tree) -> Result<StoredEdge, VerifyError> {
    let plan = EdgePlan::new(tree);
    let mut tiles = Tiles::new();
    for tile in plan.tiles() {
        tiles.insert(*tile, read(store, &layout::tile(tile))?);
    }
    let entries = match partial_bundle(tree.size) {
        Some(id) => read(store, &layout::bundle(&id))?,
        None => Vec::new(),
    };
    let edge = plan.finish(&tiles, &entries).map_err(|error| damaged(error, tree))?;
    if edge.tree() != *tree {
        return Err(VerifyError::Damaged("the stored edge".to_owned()));
    }
    Ok(StoredEdge { edge, tiles })
}

/// The partial bundle at the end of a tree; none where the size is a multiple of 256.
#[must_use]
pub fn partial_bundle(size: u64) -> Option<BundleId> {
    BundleId::new(size / 256, u16::try_from(size % 256).ok()?)
}

/// Checks a round: from the bytes of its bundles to the new root, and from the new root back to the old one. Returns the
/// consistency proof between the two, which the witnesses will ask for.
pub fn verify(old: &StoredEdge, stage: &Stage) -> Result<ConsistencyProof, VerifyError> {
    if stage.old != old.edge.tree() {
        return Err(VerifyError::WrongGrowth("it grows from another tree than the committed one"));
    }
    if stage.new.size <= stage.old.size {
        return Err(VerifyError::WrongGrowth("its size does not grow"));
    }
    let staged: Tiles = stage.tiles.iter().cloned().collect();
    check_bundles(stage, &staged)?;
    check_parents(&staged)?;
    check_prefixes(old, stage, &staged)?;
    check_root(old, stage, &staged)?;
    check_consistency(old, stage, &staged)
}

/// Every entry is hashed again and compared with its place in the level-0 tile.
fn check_bundles(stage: &Stage, staged: &Tiles) -> Result<(), VerifyError> {
    let wrong = VerifyError::WrongGrowth("an entry bundle differs from its tile");
    for (id, bytes) in &stage.bundles {
        let entries = bundle::parse(bytes, id.width()).map_err(|_| VerifyError::WrongGrowth("an entry bundle is malformed"))?;
        let tile = Tile::new(0, id.index(), id.width()).and_then(|tile| staged.get(&tile));
        let mut hashes = tile.ok_or_else(|| wrong.clone())?.chunks_exact(32);
        let fits = |entry: &&[u8]| hashes.next().is_some_and(|hash| hash == hash_leaf(entry).as_bytes());
        if !entries.iter().all(fits) || hashes.next().is_some() {
            return Err(wrong);
        }
    }
    Ok(())
}

/// Every full tile's own root stands in the tile above it.
fn check_parents(staged: &Tiles) -> Result<(), VerifyError> {
    let by_place: BTreeMap<(u8, u64), &Vec<u8>> = staged.iter().map(|(tile, bytes)| ((tile.level(), tile.index()), bytes)).collect();
    for (tile, bytes) in staged.iter().filter(|(tile, _)| tile.width() == 256) {
        let Some(level) = tile.level().checked_add(1) else { continue };
        let place = usize::try_from(tile.index() % 256).unwrap_or(0) * 32;
        let above = by_place.get(&(level, tile.index() / 256)).and_then(|above| above.get(place..place + 32));
        if above != Some(tile_root(bytes).as_bytes().as_slice()) {
            return Err(VerifyError::WrongGrowth("a full tile differs from the tile above it"));
        }
    }
    Ok(())
}

/// Where a staged tile widens one of the stored edge, it begins with the same bytes.
fn check_prefixes(old: &StoredEdge, stage: &Stage, staged: &Tiles) -> Result<(), VerifyError> {
    for tile in old.tiles.keys() {
        let widened = staged.iter().find(|(new, _)| (new.level(), new.index()) == (tile.level(), tile.index()));
        let (Some((_, new)), Some(before)) = (widened, old.tiles.get(tile)) else { continue };
        if !new.starts_with(before) {
            return Err(VerifyError::WrongGrowth("a tile changes hashes of the old tree"));
        }
    }
    if stage.bundles.is_empty() {
        return Err(VerifyError::WrongGrowth("it has no entries"));
    }
    Ok(())
}

/// The new root follows from the new edge.
fn check_root(old: &StoredEdge, stage: &Stage, staged: &Tiles) -> Result<(), VerifyError> {
    let plan = EdgePlan::new(&stage.new);
    let tiles = gather(plan.tiles(), old, staged)?;
    let entries = match partial_bundle(stage.new.size) {
        Some(id) => stage.bundles.iter().find(|(bundle, _)| *bundle == id).map_or(&[][..], |(_, bytes)| bytes),
        None => &[],
    };
    let edge = plan.finish(&tiles, entries).map_err(|_| VerifyError::WrongGrowth("its edge does not lead to its root"))?;
    if edge.tree() == stage.new { Ok(()) } else { Err(VerifyError::WrongGrowth("its edge gives another tree")) }
}

fn check_consistency(old: &StoredEdge, stage: &Stage, staged: &Tiles) -> Result<ConsistencyProof, VerifyError> {
    let wrong = VerifyError::WrongGrowth("it is not consistent with the committed tree");
    let plan = ConsistencyPlan::new(stage.old.size, &stage.new).map_err(|_| wrong.clone())?;
    let tiles = gather(plan.tiles(), old, staged)?;
    let (root, proof) = plan.finish(&tiles).map_err(|_| wrong.clone())?;
    proof.verify(&stage.old, &stage.new).map_err(|_| wrong.clone())?;
    if root == stage.old.root { Ok(proof) } else { Err(wrong) }
}

/// Tiles of the grown tree: the staged ones, and those of the old edge that did not change.
fn gather(wanted: &[Tile], old: &StoredEdge, staged: &Tiles) -> Result<Tiles, VerifyError> {
    let find = |tile: &Tile| staged.get(tile).or_else(|| old.tiles.get(tile)).map(|bytes| (*tile, bytes.clone()));
    let found: Option<Tiles> = wanted.iter().map(find).collect();
    found.ok_or(VerifyError::WrongGrowth("a tile of its edge is missing"))
}

/// The tree hash of a full tile's 256 hashes.
fn tile_root(bytes: &[u8]) -> Hash {
    Tree::of(&hashes(bytes)).root
}

/// The hashes of a tile.
#[must_use]
pub fn hashes(bytes: &[u8]) -> Vec<Hash> {
    bytes.as_chunks::<32>().0.iter().map(|chunk| Hash::new(*chunk)).collect()
}

/// An object that must be there.
pub fn read(store: &dyn Store, key: &str) -> Result<Vec<u8>, VerifyError> {
    let found = store.get(key).map_err(|error| VerifyError::Storage(key.to_owned(), error.to_string()))?;
    found.ok_or_else(|| VerifyError::Missing(key.to_owned()))
}

fn damaged(error: PlanError, tree: &Tree) -> VerifyError {
    match error {
        PlanError::Missing(tile) => VerifyError::Missing(layout::tile(&tile)),
        PlanError::Malformed(tile) | PlanError::Contradiction(tile) => VerifyError::Damaged(layout::tile(&tile)),
        _ => VerifyError::Damaged(format!("the stored edge of size {}", tree.size)),
    }
}

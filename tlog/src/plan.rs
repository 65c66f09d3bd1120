//! Proofs from tiles in three steps: plan which tiles are needed, fetch them (not here), finish. When `finish` returns,
//! every tile used has been authenticated against the tree's root, so that a cache may keep it. (stub)

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::{ConsistencyProof, Edge, Hash, InclusionProof, SubtreeProof, Tile, Tree};

/// Tiles by identity, as fetched.
pub type Tiles = BTreeMap<Tile, Vec<u8>>;

/// Why a plan could not be made or finished.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanError {
    /// The index or size lies outside the tree.
    OutOfRange,
    /// A planned tile was not supplied.
    Missing(Tile),
    /// A tile has another length than its width demands.
    Malformed(Tile),
    /// A tile contradicts the tree's root or its parent tile.
    Contradiction(Tile),
    /// The tiles do not lead to the tree's root.
    WrongRoot,
}

/// Which tiles prove one leaf.
pub struct InclusionPlan;
impl InclusionPlan {
    /// Plans the proof that leaf `index` is in `tree`.
    pub fn new(_tree: &Tree, _index: u64) -> Result<Self, PlanError> {
        todo!()
    }
    /// The tiles to fetch.
    #[must_use]
    pub fn tiles(&self) -> &[Tile] {
        todo!()
    }
    /// The leaf hash at the index and its proof, with all tiles authenticated against the root.
    pub fn finish(&self, _tiles: &Tiles) -> Result<(Hash, InclusionProof), PlanError> {
        todo!()
    }
}
/// Which tiles prove that one tree extends another.
pub struct ConsistencyPlan;
impl ConsistencyPlan {
    /// Plans the proof from `old_size` to `tree`.
    pub fn new(_old_size: u64, _tree: &Tree) -> Result<Self, PlanError> {
        todo!()
    }
    /// The tiles to fetch.
    #[must_use]
    pub fn tiles(&self) -> &[Tile] {
        todo!()
    }
    /// The old root as the tiles have it, and the proof.
    pub fn finish(&self, _tiles: &Tiles) -> Result<(Hash, ConsistencyProof), PlanError> {
        todo!()
    }
}
/// Which tiles prove a subtree.
pub struct SubtreePlan;
impl SubtreePlan {
    /// Plans the proof that `[start, end)` is a subtree of `tree`.
    pub fn new(_start: u64, _end: u64, _tree: &Tree) -> Result<Self, PlanError> {
        todo!()
    }
    /// The tiles to fetch.
    #[must_use]
    pub fn tiles(&self) -> &[Tile] {
        todo!()
    }
    /// The subtree's hash and its proof.
    pub fn finish(&self, _tiles: &Tiles) -> Result<(Hash, SubtreeProof), PlanError> {
        todo!()
    }
}
/// Which tiles hold the right edge of a tree, for appending to it.
pub struct EdgePlan;
impl EdgePlan {
    /// Plans the edge of `tree`.
    #[must_use]
    pub fn new(_tree: &Tree) -> Self {
        todo!()
    }
    /// The partial tiles to fetch (and the partial entry bundle, which the caller knows from the size).
    #[must_use]
    pub fn tiles(&self) -> &[Tile] {
        todo!()
    }
    /// The edge, recomputed to the tree's root and refused if it differs; `bundle` is the partial entry bundle's bytes
    /// (empty when the size is a multiple of 256), each entry's hash compared with the level-0 tile.
    pub fn finish(&self, _tiles: &Tiles, _bundle: &[u8]) -> Result<Edge, PlanError> {
        todo!()
    }
}

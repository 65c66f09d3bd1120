//! The right edge of a tree and pure growth from it. (stub)

use alloc::vec::Vec;

use crate::bundle::BundleError;
use crate::{Hash, Tile, Tree, tile::BundleId};

/// All that growing a tree needs: the partial tile of each level and the partial entry bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge;

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

impl Edge {
    /// The edge of the empty tree.
    #[must_use]
    pub fn empty() -> Self {
        todo!()
    }
    /// Size and root, recomputed from the edge's hashes at every call.
    #[must_use]
    pub fn tree(&self) -> Tree {
        todo!()
    }
    /// Grows the tree by `entries`. Pure: nothing is written, `self` is unchanged.
    pub fn append(&self, _entries: &[&[u8]]) -> Result<Batch, BundleError> {
        todo!()
    }
}

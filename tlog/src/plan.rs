//! Proofs from tiles in three steps: plan which tiles are needed, fetch them (not here), finish. When `finish` returns,
//! every planned tile has been authenticated against the tree's root, so that a cache may keep it; before, none may be kept.
//!
//! A plan names each tile as wide as the tree has it. Where a log serves a partial tile no longer, fetch [`Tile::full`] and
//! hand over the part that [`Tile::cut`] makes of it, under the planned name.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::merkle::is_subtree;
use crate::range::{self, Node, Range};
use crate::{BundleId, ConsistencyProof, Edge, Growth, Hash, InclusionProof, Prover, SubtreeProof, Tile, Tree, bundle};

/// Tiles by identity, as fetched. More than a plan asks for does no harm: they are not looked at.
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
    /// The partial entry bundle does not parse, or contradicts the level-0 tile.
    WrongBundle(BundleId),
    /// The tiles do not lead to the tree's root.
    WrongRoot,
}

/// Which tiles prove any number of things about one tree: for many leaves at once, for authenticating tiles, for rebuilding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    tree: Tree,
    tiles: Vec<Tile>,
}

impl Plan {
    /// Plans the inclusion of each of these leaves.
    pub fn for_leaves(tree: &Tree, indices: impl IntoIterator<Item = u64>) -> Result<Self, PlanError> {
        // A leaf's siblings are in the tiles that it and its ancestors are in, or on the edge.
        Self::for_nodes(tree, indices.into_iter().map(Node::leaf))
    }

    /// Plans the authentication of these tiles, which must be tiles of the tree, each exactly as wide as the tree has it.
    pub fn for_tiles(tree: &Tree, tiles: impl IntoIterator<Item = Tile>) -> Result<Self, PlanError> {
        let own = |tile: Tile| tile.is_of(tree.size).then_some(tile);
        Self::for_own_tiles(tree, tiles.into_iter().map(own))
    }

    /// The tiles to fetch, lower levels first. Empty where nothing needs a tile.
    #[must_use]
    pub fn tiles(&self) -> &[Tile] {
        &self.tiles
    }

    /// Authenticates all planned tiles; the prover answers for everything that they cover.
    pub fn finish(&self, tiles: &Tiles) -> Result<Prover, PlanError> {
        Prover::new(&self.tree, &self.tiles, tiles)
    }

    fn for_subtree(tree: &Tree, start: u64, end: u64) -> Result<Self, PlanError> {
        if end > tree.size || !is_subtree(start, end) {
            return Err(PlanError::OutOfRange);
        }
        let subtree = Range::new(start, end);
        let mut ranges = Vec::new();
        if start < end && subtree != Range::new(0, tree.size) {
            ranges = range::proof(subtree, tree.size);
            ranges.push(subtree);
        }
        Self::for_nodes(tree, ranges.into_iter().flat_map(Range::nodes))
    }

    fn for_nodes(tree: &Tree, nodes: impl Iterator<Item = Node>) -> Result<Self, PlanError> {
        Self::for_own_tiles(tree, nodes.map(|node| node.tile(tree.size)))
    }

    /// The tiles, those that authenticate them, and, if there are any, the edge. `None` stands for a tile outside the tree.
    fn for_own_tiles(tree: &Tree, wanted: impl Iterator<Item = Option<Tile>>) -> Result<Self, PlanError> {
        if tree.size > Tree::MAX_SIZE {
            return Err(PlanError::OutOfRange);
        }
        let mut tiles = BTreeSet::new();
        for tile in wanted {
            let mut next = Some(tile.ok_or(PlanError::OutOfRange)?);
            while let Some(tile) = next.filter(|tile| tiles.insert(*tile)) {
                next = tile.parent(tree.size).map(|(parent, _)| parent);
            }
        }
        if !tiles.is_empty() {
            tiles.extend(Tile::edge(tree.size));
        }
        Ok(Self { tree: *tree, tiles: tiles.into_iter().collect() })
    }
}

/// Which tiles prove one leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionPlan {
    plan: Plan,
    index: u64,
}

impl InclusionPlan {
    /// Plans the proof that leaf `index` is in `tree`.
    pub fn new(tree: &Tree, index: u64) -> Result<Self, PlanError> {
        Ok(Self { plan: Plan::for_leaves(tree, [index])?, index })
    }

    /// The tiles to fetch.
    #[must_use]
    pub fn tiles(&self) -> &[Tile] {
        self.plan.tiles()
    }

    /// The leaf hash at the index and its proof, with all tiles authenticated against the root.
    pub fn finish(&self, tiles: &Tiles) -> Result<(Hash, InclusionProof), PlanError> {
        self.plan.finish(tiles)?.inclusion(self.index)
    }
}

/// Which tiles prove that one tree extends another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyPlan {
    plan: Plan,
    old_size: u64,
}

impl ConsistencyPlan {
    /// Plans the proof from `old_size` to `tree`. From the empty tree and from the tree itself it needs no tiles.
    pub fn new(old_size: u64, tree: &Tree) -> Result<Self, PlanError> {
        Ok(Self { plan: Plan::for_subtree(tree, 0, old_size)?, old_size })
    }

    /// The tiles to fetch.
    #[must_use]
    pub fn tiles(&self) -> &[Tile] {
        self.plan.tiles()
    }

    /// The old root as the tiles have it, and the proof. Compare the root with the one that was known before: if it differs,
    /// the log has shown two histories.
    pub fn finish(&self, tiles: &Tiles) -> Result<(Hash, ConsistencyProof), PlanError> {
        self.plan.finish(tiles)?.consistency(self.old_size)
    }
}

/// Which tiles prove a subtree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubtreePlan {
    plan: Plan,
    start: u64,
    end: u64,
}

impl SubtreePlan {
    /// Plans the proof that `[start, end)` is a subtree of `tree`.
    pub fn new(start: u64, end: u64, tree: &Tree) -> Result<Self, PlanError> {
        Ok(Self { plan: Plan::for_subtree(tree, start, end)?, start, end })
    }

    /// The tiles to fetch.
    #[must_use]
    pub fn tiles(&self) -> &[Tile] {
        self.plan.tiles()
    }

    /// The subtree's hash and its proof.
    pub fn finish(&self, tiles: &Tiles) -> Result<(Hash, SubtreeProof), PlanError> {
        self.plan.finish(tiles)?.subtree(self.start, self.end)
    }
}

/// Which tiles hold the right edge of a tree, for appending to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgePlan {
    tree: Tree,
    tiles: Vec<Tile>,
}

impl EdgePlan {
    /// Plans the edge of `tree`.
    #[must_use]
    pub fn new(tree: &Tree) -> Self {
        Self { tree: *tree, tiles: Tile::edge(tree.size).collect() }
    }

    /// The partial tiles to fetch; the partial entry bundle is [`EdgePlan::bundle`].
    #[must_use]
    pub fn tiles(&self) -> &[Tile] {
        &self.tiles
    }

    /// The partial entry bundle to fetch; `None` when the size is a multiple of 256.
    #[must_use]
    pub fn bundle(&self) -> Option<BundleId> {
        let last = self.tree.size.checked_sub(1)?;
        BundleId::holding(last, self.tree.size).filter(|bundle| bundle.width() < Tile::FULL)
    }

    /// The edge, recomputed to the tree's root and refused if it differs; `bundle` is the partial entry bundle's bytes
    /// (empty when the size is a multiple of 256), each entry's hash compared with the level-0 tile.
    pub fn finish(&self, tiles: &Tiles, bundle: &[u8]) -> Result<Edge, PlanError> {
        let mut hashes = Vec::with_capacity(self.tiles.len());
        for tile in &self.tiles {
            let bytes = tiles.get(tile).ok_or(PlanError::Missing(*tile))?;
            hashes.push((*tile, tile.hashes(bytes).ok_or(PlanError::Malformed(*tile))?));
        }
        if let Some(id) = self.bundle() {
            let leaves = bundle::leaf_hashes(bundle, id.width()).map_err(|_| PlanError::WrongBundle(id))?;
            if hashes.first().is_none_or(|(_, tile)| *tile != leaves) {
                return Err(PlanError::WrongBundle(id));
            }
        } else if !bundle.is_empty() {
            return Err(PlanError::OutOfRange);
        }
        let growth = Growth::resume(self.tree.size, &hashes).ok_or(PlanError::OutOfRange)?;
        if self.tree.size > Tree::MAX_SIZE || growth.tree() != self.tree {
            return Err(PlanError::WrongRoot);
        }
        Ok(Edge::new(growth, bundle.to_vec()))
    }
}

//! Tiles that have been authenticated against a tree's root, and the proofs that they give.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::merkle::is_subtree;
use crate::plan::{PlanError, Tiles};
use crate::range::{self, Node, Range, join};
use crate::{ConsistencyProof, Hash, InclusionProof, SubtreeProof, Tile, Tree, hash_children};

/// Proves what its tiles cover. Made by [`crate::plan::Plan::finish`] or [`crate::Batch::prover`]; every hash in it leads to
/// the tree's root, and each tile is hashed once, however many proofs are asked for.
#[derive(Clone, Debug)]
pub struct Prover {
    tree: Tree,
    /// The nodes of each tile: its hashes, and above them those that they give. By level and index.
    tiles: BTreeMap<(u8, u64), Vec<Vec<Hash>>>,
}

impl Prover {
    /// Authenticates `planned`: the partial tiles of the tree's edge give the root, and every other tile's root is a hash of
    /// its parent. The plan has seen to it that edge and parents are planned.
    pub(crate) fn new(tree: &Tree, planned: &[Tile], fetched: &Tiles) -> Result<Self, PlanError> {
        let mut prover = Self { tree: *tree, tiles: BTreeMap::new() };
        for tile in planned {
            let bytes = fetched.get(tile).ok_or(PlanError::Missing(*tile))?;
            let hashes = tile.hashes(bytes).ok_or(PlanError::Malformed(*tile))?;
            prover.tiles.insert((tile.level(), tile.index()), nodes_above(hashes));
        }
        if planned.is_empty() {
            return Ok(prover);
        }
        if prover.range(Range::new(0, tree.size))? != tree.root {
            return Err(PlanError::WrongRoot);
        }
        // From the top, so that the tile named is the highest one that is wrong.
        planned.iter().rev().filter(|tile| !tile.is_partial()).try_for_each(|tile| prover.authenticate(*tile))?;
        Ok(prover)
    }

    /// The tree that the proofs lead to.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The hash of leaf `index`.
    pub fn leaf(&self, index: u64) -> Result<Hash, PlanError> {
        if index >= self.tree.size {
            return Err(PlanError::OutOfRange);
        }
        self.node(Node::leaf(index))
    }

    /// The hash of leaf `index` and the proof that it is in the tree.
    pub fn inclusion(&self, index: u64) -> Result<(Hash, InclusionProof), PlanError> {
        let leaf = self.leaf(index)?;
        Ok((leaf, InclusionProof(self.proof(Range::new(index, index + 1))?)))
    }

    /// The root that the tree had at `old_size`, and the proof that it is a prefix.
    pub fn consistency(&self, old_size: u64) -> Result<(Hash, ConsistencyProof), PlanError> {
        let (root, proof) = self.subtree(0, old_size)?;
        Ok((root, ConsistencyProof(proof.0)))
    }

    /// The hash of leaves `[start, end)` and the proof that they are a subtree.
    pub fn subtree(&self, start: u64, end: u64) -> Result<(Hash, SubtreeProof), PlanError> {
        if end > self.tree.size || !is_subtree(start, end) {
            return Err(PlanError::OutOfRange);
        }
        if start == end {
            return Ok((Hash::EMPTY, SubtreeProof(Vec::new())));
        }
        let range = Range::new(start, end);
        if range == Range::new(0, self.tree.size) {
            return Ok((self.tree.root, SubtreeProof(Vec::new())));
        }
        Ok((self.range(range)?, SubtreeProof(self.proof(range)?)))
    }

    fn proof(&self, subtree: Range) -> Result<Vec<Hash>, PlanError> {
        range::proof(subtree, self.tree.size).into_iter().map(|range| self.range(range)).collect()
    }

    fn range(&self, range: Range) -> Result<Hash, PlanError> {
        let nodes: Vec<Hash> = range.nodes().map(|node| self.node(node)).collect::<Result<_, _>>()?;
        Ok(join(nodes.into_iter()))
    }

    fn node(&self, node: Node) -> Result<Hash, PlanError> {
        let tile = node.tile(self.tree.size).ok_or(PlanError::OutOfRange)?;
        let nodes = self.tiles.get(&(tile.level(), tile.index())).ok_or(PlanError::Missing(tile))?;
        let (above, number) = node.within();
        nodes.get(above).and_then(|level| level.get(number)).copied().ok_or(PlanError::Malformed(tile))
    }

    fn authenticate(&self, tile: Tile) -> Result<(), PlanError> {
        let (parent, number) = tile.parent(self.tree.size).ok_or(PlanError::OutOfRange)?;
        let nodes = |tile: Tile| self.tiles.get(&(tile.level(), tile.index())).ok_or(PlanError::Missing(tile));
        let stated = nodes(parent)?.first().and_then(|hashes| hashes.get(usize::from(number)));
        let root = nodes(tile)?.last().and_then(|top| top.first());
        if stated.is_some() && stated == root { Ok(()) } else { Err(PlanError::Contradiction(tile)) }
    }
}

/// All complete nodes over these hashes, level by level; a full tile has nine levels, of which the last is its root.
fn nodes_above(hashes: Vec<Hash>) -> Vec<Vec<Hash>> {
    let mut levels = Vec::with_capacity(9);
    let mut below = hashes;
    while !below.is_empty() {
        let (pairs, _) = below.as_chunks::<2>();
        let above = pairs.iter().map(|[left, right]| hash_children(left, right)).collect();
        levels.push(core::mem::replace(&mut below, above));
    }
    levels
}

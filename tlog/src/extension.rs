//! Carrying proofs forward: from a tree to a larger one that extends it, without the leaves and without tiles.

use alloc::vec::Vec;

use crate::range::{self, Range};
use crate::{ConsistencyProof, Hash, InclusionProof, Tree, hash_children};

/// What a consistency proof says about the nodes of the larger tree; enough to carry any proof to the smaller tree's root over to
/// the larger one's. What comes out is worth what went in: verify it against the larger tree.
#[derive(Clone, Debug)]
pub struct Extension {
    old: u64,
    new: u64,
    known: Vec<(Range, Hash)>,
}

impl Extension {
    /// From `old` to the tree of `new_size` leaves; `None` if the proof has not the length that the sizes determine.
    #[must_use]
    pub fn new(old: &Tree, new_size: u64, proof: &ConsistencyProof) -> Option<Self> {
        if old.size > new_size || new_size > Tree::MAX_SIZE {
            return None;
        }
        let known = if old.size == 0 { Vec::new() } else { zip(Range::new(0, old.size), new_size, &proof.0)? };
        Some(Self { old: old.size, new: new_size, known })
    }

    /// The proof of leaf `index` in the larger tree, from that in the smaller one; `None` if it is no proof of this leaf.
    #[must_use]
    pub fn inclusion(&self, index: u64, proof: &InclusionProof) -> Option<InclusionProof> {
        self.carry(Range::new(index, index.checked_add(1)?), &proof.0).map(InclusionProof)
    }

    /// The proof that a tree of `size` leaves, not empty, is a prefix of the larger tree, from that for the smaller one.
    #[must_use]
    pub fn consistency(&self, size: u64, proof: &ConsistencyProof) -> Option<ConsistencyProof> {
        self.carry(Range::new(0, size), &proof.0).map(ConsistencyProof)
    }

    fn carry(&self, subtree: Range, proof: &[Hash]) -> Option<Vec<Hash>> {
        if subtree.start >= subtree.end || subtree.end > self.old {
            return None;
        }
        let own = zip(subtree, self.old, proof)?;
        range::proof(subtree, self.new).into_iter().map(|range| self.hash(range, &own)).collect()
    }

    /// A node's hash: known, or made of its two halves.
    fn hash(&self, range: Range, own: &[(Range, Hash)]) -> Option<Hash> {
        if let Some((_, hash)) = self.known.iter().chain(own).find(|(known, _)| *known == range) {
            return Some(*hash);
        }
        let (left, right) = range.halves()?;
        Some(hash_children(&self.hash(left, own)?, &self.hash(right, own)?))
    }
}

fn zip(subtree: Range, size: u64, proof: &[Hash]) -> Option<Vec<(Range, Hash)>> {
    let ranges = range::proof(subtree, size);
    (ranges.len() == proof.len()).then(|| ranges.into_iter().zip(proof.iter().copied()).collect())
}

//! Proof verification and whole-tree hashing, RFC 6962 section 2.1 and RFC 9162 section 2.1.3/2.1.4; subtrees as in
//! C2SP tlog-cosignature and the MTC draft. (stub)

use alloc::vec::Vec;

use crate::Hash;

/// A tree's size in leaves and its root: what a checkpoint states, without who states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Number of leaves.
    pub size: u64,
    /// Root hash; [`Hash::EMPTY`] when `size` is 0.
    pub root: Hash,
}

impl Tree {
    /// The tree without leaves.
    pub const EMPTY: Self = Self { size: 0, root: Hash::EMPTY };
    /// The tree over these leaf hashes (O(n), in memory): for small trees, such as manifests, and for tests.
    #[must_use]
    pub fn of(_leaves: &[Hash]) -> Self {
        todo!()
    }
}

/// Hashes that lead from one leaf to the root, the leaf's sibling first. At most 63.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof(pub Vec<Hash>);
/// Hashes that show that one tree is a prefix of another. At most 63.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof(pub Vec<Hash>);
/// Hashes that show that `[start, end)` of a tree is a subtree with a given hash. At most 63.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubtreeProof(pub Vec<Hash>);

/// Why a proof was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProofError {
    /// The index or the sizes cannot belong together.
    OutOfRange,
    /// Another number of hashes than index and size determine.
    WrongLength,
    /// The hashes lead to another root.
    WrongRoot,
}

impl InclusionProof {
    /// Verifies that the leaf with this hash is number `index` of `tree`.
    pub fn verify(&self, _tree: &Tree, _index: u64, _leaf: &Hash) -> Result<(), ProofError> {
        todo!()
    }
    /// The proof for leaf `index` of the tree over `leaves` (in memory).
    #[must_use]
    pub fn of(_leaves: &[Hash], _index: usize) -> Option<Self> {
        todo!()
    }
}
impl ConsistencyProof {
    /// Verifies that `old` is a prefix of `new`. `old.size == 0` wants an empty proof and the empty root.
    pub fn verify(&self, _old: &Tree, _new: &Tree) -> Result<(), ProofError> {
        todo!()
    }
}
impl SubtreeProof {
    /// Verifies that `hash` is the hash of leaves `[start, end)` of `tree`.
    pub fn verify(&self, _tree: &Tree, _start: u64, _end: u64, _hash: &Hash) -> Result<(), ProofError> {
        todo!()
    }
}
/// Whether `[start, end)` is a valid subtree interval.
#[must_use]
pub fn is_subtree(_start: u64, _end: u64) -> bool {
    todo!()
}

//! Inclusion, consistency and subtree proofs: verifying them, and making them where all leaves are in memory.

use alloc::vec::Vec;

use crate::merkle::{is_subtree, root};
use crate::range::{self, Range};
use crate::{Hash, Tree, hash_children};

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
    /// Verifies that the leaf with this hash is number `index` of `tree` (RFC 9162 section 2.1.3.2).
    pub fn verify(&self, tree: &Tree, index: u64, leaf: &Hash) -> Result<(), ProofError> {
        let end = index.checked_add(1).ok_or(ProofError::OutOfRange)?;
        verify(&self.0, tree, Range::new(index, end), leaf)
    }

    /// Verifies that the leaf with this hash is number `index` of the log, where only the hash `root` of the log's subtree
    /// `[start, end)` is known (and trusted: a cosigned subtree).
    pub fn verify_in_subtree(&self, start: u64, end: u64, root: &Hash, index: u64, leaf: &Hash) -> Result<(), ProofError> {
        if !is_subtree(start, end) {
            return Err(ProofError::OutOfRange);
        }
        let (size, index) = end.checked_sub(start).zip(index.checked_sub(start)).ok_or(ProofError::OutOfRange)?;
        self.verify(&Tree { size, root: *root }, index, leaf)
    }

    /// The proof for leaf `index` of the tree over `leaves` (in memory, O(n)); `None` if there is no such leaf.
    #[must_use]
    pub fn of(leaves: &[Hash], index: usize) -> Option<Self> {
        prove(leaves, index, index.checked_add(1)?).map(Self)
    }
}

impl ConsistencyProof {
    /// Verifies that `old` is a prefix of `new` (RFC 9162 section 2.1.4.2). Equal sizes want equal roots and an empty proof;
    /// `old.size == 0` wants an empty proof and the empty root, because every tree extends the empty one.
    pub fn verify(&self, old: &Tree, new: &Tree) -> Result<(), ProofError> {
        if new.size == 0 && new.root != Hash::EMPTY {
            return Err(ProofError::WrongRoot);
        }
        verify(&self.0, new, Range::new(0, old.size), &old.root)
    }

    /// The root that this proof shows the tree `new` to have had at `old_size`; `None` if it shows none, as where `old_size` is a
    /// power of two: the proof leads from that root and does not hold it. For evidence, where two roots differ.
    #[must_use]
    pub fn old_root(&self, old_size: u64, new: &Tree) -> Option<Hash> {
        let subtree = Range::new(0, old_size);
        if new.size > Tree::MAX_SIZE || old_size >= new.size || !is_subtree(subtree.start, subtree.end) {
            return None;
        }
        let mut walk = Walk { first: 0, last: old_size.checked_sub(1)?, tree_last: new.size.checked_sub(1)? };
        walk.skip_known();
        let (from, rest) = self.0.split_first().filter(|_| walk.first != walk.last)?;
        let (old_root, root) = walk.climb(*from, rest).ok()?;
        (root == new.root).then_some(old_root)
    }

    /// The proof that the tree over the first `old_size` of `leaves` is a prefix of the tree over all of them (in memory,
    /// O(n)); `None` if there are fewer.
    #[must_use]
    pub fn of(leaves: &[Hash], old_size: usize) -> Option<Self> {
        prove(leaves, 0, old_size).map(Self)
    }
}

impl SubtreeProof {
    /// Verifies that `hash` is the hash of leaves `[start, end)` of `tree` (MTC draft, "verifying subtree consistency
    /// proofs"). An empty subtree wants an empty proof and the empty hash, whatever the tree.
    pub fn verify(&self, tree: &Tree, start: u64, end: u64, hash: &Hash) -> Result<(), ProofError> {
        verify(&self.0, tree, Range::new(start, end), hash)
    }

    /// The proof for the subtree `[start, end)` of the tree over `leaves` (in memory, O(n)); `None` if it is not a subtree
    /// or lies outside.
    #[must_use]
    pub fn of(leaves: &[Hash], start: usize, end: usize) -> Option<Self> {
        prove(leaves, start, end).map(Self)
    }
}

fn prove(leaves: &[Hash], start: usize, end: usize) -> Option<Vec<Hash>> {
    let subtree = Range::new(u64::try_from(start).ok()?, u64::try_from(end).ok()?);
    if end > leaves.len() || !is_subtree(subtree.start, subtree.end) {
        return None;
    }
    if start == end {
        return Some(Vec::new());
    }
    let hash = |range: Range| leaves.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?).map(root);
    range::proof(subtree, u64::try_from(leaves.len()).ok()?).into_iter().map(hash).collect()
}

/// One procedure for all three kinds: a consistency proof is a subtree proof that starts at 0, an inclusion proof one of
/// length 1.
fn verify(proof: &[Hash], tree: &Tree, subtree: Range, hash: &Hash) -> Result<(), ProofError> {
    if tree.size > Tree::MAX_SIZE || subtree.end > tree.size || !is_subtree(subtree.start, subtree.end) {
        return Err(ProofError::OutOfRange);
    }
    if subtree.start == subtree.end {
        return verify_empty(proof, hash);
    }
    let mut walk = Walk { first: subtree.start, last: subtree.end - 1, tree_last: tree.size - 1 };
    walk.skip_known();
    let (from, rest) = match proof.split_first() {
        _ if walk.first == walk.last => (hash, proof),
        Some((from, rest)) => (from, rest),
        None => return Err(ProofError::WrongLength),
    };
    let (subtree_hash, root) = walk.climb(*from, rest)?;
    if subtree_hash != *hash || root != tree.root {
        return Err(ProofError::WrongRoot);
    }
    Ok(())
}

fn verify_empty(proof: &[Hash], hash: &Hash) -> Result<(), ProofError> {
    match (proof.is_empty(), *hash == Hash::EMPTY) {
        (false, _) => Err(ProofError::WrongLength),
        (true, false) => Err(ProofError::WrongRoot),
        (true, true) => Ok(()),
    }
}

/// Positions on one level, while climbing: of the subtree's first and last node and of the tree's last node.
struct Walk {
    first: u64,
    last: u64,
    tree_last: u64,
}

impl Walk {
    fn up(&mut self) {
        self.first >>= 1;
        self.last >>= 1;
        self.tree_last >>= 1;
    }

    /// Climbs to the node from which the proof starts: the whole subtree, if it is complete or ends where the tree ends, else
    /// the smallest of the complete nodes that it consists of, the rightmost.
    fn skip_known(&mut self) {
        let to_the_edge = self.last == self.tree_last;
        while self.first != self.last && (to_the_edge || self.last & 1 == 1) {
            self.up();
        }
    }

    /// The subtree's hash and the tree's root, both computed from the proof.
    fn climb(&mut self, from: Hash, proof: &[Hash]) -> Result<(Hash, Hash), ProofError> {
        let (mut subtree, mut root) = (from, from);
        for hash in proof {
            if self.tree_last == 0 {
                return Err(ProofError::WrongLength);
            }
            if self.last & 1 == 1 || self.last == self.tree_last {
                if self.first < self.last {
                    subtree = hash_children(hash, &subtree);
                }
                root = hash_children(hash, &root);
                // A node without a right sibling stands for itself on the levels above, until it is a right child.
                while self.last & 1 == 0 && self.last != 0 {
                    self.up();
                }
            } else {
                root = hash_children(&root, hash);
            }
            self.up();
        }
        if self.tree_last == 0 { Ok((subtree, root)) } else { Err(ProofError::WrongLength) }
    }
}

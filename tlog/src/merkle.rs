//! Trees and what can be proven about them: RFC 6962 section 2.1, RFC 9162 sections 2.1.3 and 2.1.4; subtrees as in C2SP
//! tlog-cosignature and the MTC draft. See `specs/tree.md`.

use alloc::vec::Vec;

pub use crate::proof::{ConsistencyProof, InclusionProof, ProofError, SubtreeProof};
use crate::range::join;
use crate::{Hash, hash_children};

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
    /// The largest size, 2^63-1: what other implementations can hold, and then 63 hashes are enough for every proof.
    pub const MAX_SIZE: u64 = (1 << 63) - 1;

    /// The tree over these leaf hashes (O(n), in memory): for small trees, such as manifests, and for tests.
    #[must_use]
    pub fn of(leaves: &[Hash]) -> Self {
        Self { size: u64::try_from(leaves.len()).unwrap_or(u64::MAX), root: root(leaves) }
    }
}

/// Whether `[start, end)` is a valid subtree interval: empty, or starting at a multiple of the smallest power of two that is
/// not below its length.
#[must_use]
pub fn is_subtree(start: u64, end: u64) -> bool {
    let Some(length) = end.checked_sub(start) else { return false };
    if length == 0 {
        return true;
    }
    match length.checked_next_power_of_two() {
        Some(step) => start.is_multiple_of(step),
        None => start == 0,
    }
}

/// The root over leaf hashes, or over the hashes of any one level.
pub(crate) fn root(hashes: &[Hash]) -> Hash {
    let mut peaks: Vec<Hash> = Vec::with_capacity(64);
    for (number, hash) in hashes.iter().enumerate() {
        let (mut hash, mut number) = (*hash, number);
        // Each odd position completes a node with the peak before it, like a carry in binary counting.
        while number & 1 == 1 {
            let Some(left) = peaks.pop() else { break };
            hash = hash_children(&left, &hash);
            number >>= 1;
        }
        peaks.push(hash);
    }
    join(peaks.into_iter())
}

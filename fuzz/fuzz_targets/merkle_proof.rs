//! A proof that verifies is the one proof that there is.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tlog::{ConsistencyProof, Hash, InclusionProof, SubtreeProof, Tree, hash_leaf};

static LEAVES: LazyLock<Vec<Hash>> = LazyLock::new(|| (0..64_u8).map(|leaf| hash_leaf(&[leaf])).collect());

/// A hash of the true tree over some leaves, or any other.
type Pick = (u8, u8, Option<[u8; 32]>);

fuzz_target!(|input: (u8, u64, u64, Pick, Vec<Pick>, Option<u64>)| {
    let (size, start, end, hash, proof, lie) = input;
    let leaves = &LEAVES[..usize::from(size % 65)];
    let truth = Tree::of(leaves);
    let hash = pick(hash);
    let proof: Vec<Hash> = proof.into_iter().map(pick).collect();
    let (inclusion, consistency) = (InclusionProof(proof.clone()), ConsistencyProof(proof.clone()));
    let subtree = SubtreeProof(proof);
    if let Some(size) = lie {
        // Any size at all: no panic, and never both this proof and a longer one.
        let tree = Tree { size, root: truth.root };
        let longer = SubtreeProof([subtree.0.as_slice(), &[hash]].concat());
        assert!(subtree.verify(&tree, start, end, &hash).is_err() || longer.verify(&tree, start, end, &hash).is_err());
        return;
    }
    let (first, last) = (usize::try_from(start).unwrap_or(usize::MAX), usize::try_from(end).unwrap_or(usize::MAX));
    if inclusion.verify(&truth, start, &hash).is_ok() {
        assert_eq!((InclusionProof::of(leaves, first), leaves[first]), (Some(inclusion), hash));
    }
    if subtree.verify(&truth, start, end, &hash).is_ok() {
        assert_eq!((SubtreeProof::of(leaves, first, last), Tree::of(&leaves[first..last]).root), (Some(subtree), hash));
    }
    if consistency.verify(&Tree { size: start, root: hash }, &truth).is_ok() {
        assert_eq!((ConsistencyProof::of(leaves, first), Tree::of(&leaves[..first]).root), (Some(consistency), hash));
    }
});

fn pick((start, len, other): Pick) -> Hash {
    let start = usize::from(start % 64);
    let end = (start + usize::from(len)).min(64);
    other.map_or_else(|| Tree::of(&LEAVES[start..end]).root, Hash::new)
}

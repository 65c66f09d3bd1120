//! Proofs carried forward are those that the larger tree's leaves give.

use proptest::prelude::*;
use tlog::{ConsistencyProof, Extension, Hash, InclusionProof, Tree, hash_leaf};

fn leaves(size: usize) -> Vec<Hash> {
    (0..size).map(|leaf| hash_leaf(&leaf.to_be_bytes())).collect()
}

fn extension(all: &[Hash], old: usize, new: usize) -> Extension {
    let proof = ConsistencyProof::of(&all[..new], old).unwrap();
    Extension::new(&Tree::of(&all[..old]), new as u64, &proof).unwrap()
}

/// Every leaf and every earlier size.
fn check(all: &[Hash], old: usize, new: usize, step: usize) {
    let extension = extension(all, old, new);
    for index in (0..old).step_by(step) {
        let before = InclusionProof::of(&all[..old], index).unwrap();
        assert_eq!(extension.inclusion(index as u64, &before), InclusionProof::of(&all[..new], index), "leaf {index}, {old} to {new}");
    }
    for size in (1..=old).rev().step_by(step) {
        let before = ConsistencyProof::of(&all[..old], size).unwrap();
        assert_eq!(extension.consistency(size as u64, &before), ConsistencyProof::of(&all[..new], size), "{size}, {old} to {new}");
    }
}

#[test]
fn carried_proofs_are_those_of_the_larger_tree() {
    let all = leaves(34);
    for new in 0..=all.len() {
        (0..=new).for_each(|old| check(&all, old, new, 1));
    }
    let all = leaves(700);
    for (old, new) in [(255, 256), (256, 257), (257, 700), (255, 700), (512, 513), (511, 512), (640, 641)] {
        check(&all, old, new, 13);
    }
}

#[test]
fn what_is_no_proof_is_not_carried() {
    let all = leaves(40);
    let (old, proof) = (Tree::of(&all[..20]), ConsistencyProof::of(&all, 20).unwrap());
    assert!(Extension::new(&old, 19, &proof).is_none(), "a smaller tree");
    assert!(Extension::new(&old, u64::MAX, &proof).is_none());
    assert!(Extension::new(&old, 40, &ConsistencyProof(Vec::new())).is_none());
    let extension = Extension::new(&old, 40, &proof).unwrap();
    let inclusion = InclusionProof::of(&all[..20], 3).unwrap();
    assert_eq!(extension.inclusion(20, &inclusion), None, "not in the smaller tree");
    assert_eq!(extension.inclusion(u64::MAX, &inclusion), None);
    assert_eq!(extension.inclusion(3, &InclusionProof(inclusion.0[1..].to_vec())), None);
    assert_eq!(extension.consistency(0, &ConsistencyProof(Vec::new())), None);
    // A false proof stays false.
    let mut false_proof = inclusion;
    false_proof.0[0] = all[0];
    let carried = extension.inclusion(3, &false_proof).unwrap();
    assert!(carried.verify(&Tree::of(&all), 3, &all[3]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_sizes(new in 1_usize..600, old in 0_usize..600, step in 40_usize..90) {
        check(&leaves(new), old % (new + 1), new, step);
    }
}

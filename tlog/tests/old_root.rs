//! The root that a consistency proof shows a tree to have had: what evidence of a split view between two sizes rests on.

use tlog::{ConsistencyProof, Tree, hash_leaf};

#[test]
fn a_proof_shows_the_old_root_unless_it_starts_from_it() {
    let leaves: Vec<_> = (0..70_u8).map(|leaf| hash_leaf(&[leaf])).collect();
    for new in 1..=leaves.len() {
        let tree = Tree::of(&leaves[..new]);
        for old in 0..=new {
            let proof = ConsistencyProof::of(&leaves[..new], old).unwrap();
            let holds_it = old != new && old != 0 && !old.is_power_of_two();
            let expected = holds_it.then(|| Tree::of(&leaves[..old]).root);
            assert_eq!(proof.old_root(old as u64, &tree), expected, "{old} to {new}");
        }
    }
}

#[test]
fn a_proof_to_another_root_shows_nothing() {
    let leaves: Vec<_> = (0..9_u8).map(|leaf| hash_leaf(&[leaf])).collect();
    let tree = Tree::of(&leaves);
    let proof = ConsistencyProof::of(&leaves, 5).unwrap();
    assert_eq!(proof.old_root(5, &Tree { root: hash_leaf(b"x"), ..tree }), None);
    assert_eq!(proof.old_root(6, &tree), None);
    // The same hashes fit size 10 too: a proof binds the new size no closer than its shape does; the signed checkpoint does.
    assert_eq!(proof.old_root(5, &Tree { size: 17, ..tree }), None);
    let mut longer = proof.clone();
    longer.0.push(hash_leaf(b"x"));
    assert_eq!(longer.old_root(5, &tree), None);
    assert_eq!(ConsistencyProof(Vec::new()).old_root(5, &tree), None);
}

//! Inclusion proofs of leaves of a published tree: those of its last round from memory, where verify-before-sign left them
//! authenticated, older ones from stored tiles. Tiles are authenticated against the root before a proof leaves, so that a
//! damaged one is an error instead of a false answer.

use std::sync::Arc;

use store::Store;
use tlog::plan::Plan;
use tlog::{Hash, InclusionProof, Prover, Tree};

use crate::shared::View;
use crate::verify::{VerifyError, damaged, fetch};

/// Proves these leaves of the view's tree. Each tile that they need is read and hashed once: ask for many at a time.
pub fn prover(store: &dyn Store, view: &View, indices: &[u64]) -> Result<Arc<Prover>, VerifyError> {
    match &view.round {
        Some(round) if indices.iter().all(|index| round.first <= *index) => Ok(round.prover.clone()),
        _ => stored(store, &view.tree, indices).map(Arc::new),
    }
}

/// Proves these leaves of a tree from stored tiles alone.
pub fn stored(store: &dyn Store, tree: &Tree, indices: &[u64]) -> Result<Prover, VerifyError> {
    let plan = Plan::for_leaves(tree, indices.iter().copied()).map_err(|error| damaged(&error, tree))?;
    plan.finish(&fetch(store, plan.tiles())?).map_err(|error| damaged(&error, tree))
}

/// The hash and the proof of one leaf out of those that a prover was made for.
pub fn inclusion(prover: &Prover, index: u64) -> Result<(Hash, InclusionProof), VerifyError> {
    prover.inclusion(index).map_err(|error| damaged(&error, prover.tree()))
}

/// The proof of one leaf, whose hash must be the stored one.
pub fn inclusion_of(prover: &Prover, index: u64, leaf: &Hash) -> Result<InclusionProof, VerifyError> {
    match inclusion(prover, index)? {
        (stored, proof) if stored == *leaf => Ok(proof),
        _ => Err(VerifyError::Damaged(format!("the hash of leaf {index}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout;
    use store::Memory;
    use tlog::{Edge, Tile, hash_leaf};

    fn grown(steps: &[u64]) -> (Arc<Memory>, Tree, Vec<Hash>) {
        let (store, mut edge, mut leaves) = (Arc::new(Memory::new()), Edge::empty(), Vec::new());
        for step in steps {
            let entries: Vec<Vec<u8>> = (0..*step).map(|n| format!("{} {n}", leaves.len()).into_bytes()).collect();
            let batch = edge.append(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
            leaves.extend(entries.iter().map(|entry| hash_leaf(entry)));
            for (tile, bytes) in &batch.tiles {
                store.put(&layout::tile(tile), bytes).unwrap();
            }
            edge = batch.edge;
        }
        (store, edge.tree(), leaves)
    }

    #[test]
    fn every_leaf_of_trees_of_awkward_sizes_is_proven() {
        for steps in [&[1][..], &[2], &[255], &[256], &[200, 57], &[300, 212, 1], &[70_000]] {
            let (store, tree, leaves) = grown(steps);
            let stride = leaves.len() / 97 + 1;
            let indices: Vec<usize> = (0..leaves.len()).step_by(stride).chain([leaves.len() - 1]).collect();
            let all: Vec<u64> = indices.iter().map(|index| *index as u64).collect();
            let prover = stored(&*store, &tree, &all).unwrap();
            for index in indices {
                let proof = inclusion_of(&prover, index as u64, &leaves[index]).unwrap();
                assert_eq!(proof.verify(&tree, index as u64, &leaves[index]), Ok(()), "{steps:?}, leaf {index}");
            }
        }
    }

    #[test]
    fn a_damaged_tile_gives_an_error_and_no_proof() {
        let (store, tree, leaves) = grown(&[300]);
        let tile = layout::tile(&Tile::new(0, 0, 256).unwrap());
        let mut bytes = store.get(&tile).unwrap().unwrap();
        bytes[40] ^= 1;
        store.discard(&tile).unwrap();
        store.put(&tile, &bytes).unwrap();
        assert_eq!(stored(&*store, &tree, &[0]).unwrap_err(), VerifyError::Damaged(tile));
        let sound = stored(&*store, &tree, &[299]).unwrap();
        assert!(inclusion_of(&sound, 299, &leaves[0]).is_err(), "another leaf's hash");
    }

    #[test]
    fn missing_tiles_and_leaves_outside_are_errors() {
        let (store, tree, _) = grown(&[300]);
        assert!(stored(&*store, &tree, &[300]).is_err());
        let tile = layout::tile(&Tile::new(0, 0, 256).unwrap());
        store.discard(&tile).unwrap();
        assert_eq!(stored(&*store, &tree, &[0]).unwrap_err(), VerifyError::Missing(tile));
    }
}

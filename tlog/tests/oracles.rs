//! Two other implementations as judges: `rs_merkle` for roots and audit paths, `tlog_tiles` for roots and both kinds of
//! proofs. Over all sizes 0 to 300, and 65,535 to 65,537 with some leaves.

mod memory;

use memory::{Log, all_sizes, leaves, sample};
use sha2::{Digest as _, Sha256};
use tlog::plan::{InclusionPlan, Plan};
use tlog::{Hash, InclusionProof, Prover, Tree};
use tlog_tiles::{HashReader, prove_record, prove_tree, stored_hash_index, stored_hashes_for_record_hash, tree_hash};

#[derive(Clone)]
struct Rfc6962;

impl rs_merkle::Hasher for Rfc6962 {
    type Hash = [u8; 32];

    fn hash(data: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update([0]).chain_update(data).finalize().into()
    }

    fn concat_and_hash(left: &[u8; 32], right: Option<&[u8; 32]>) -> [u8; 32] {
        right.map_or(*left, |right| Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into())
    }
}

#[test]
fn roots_and_audit_paths_are_those_of_rs_merkle() {
    let mut compared = 0;
    for size in all_sizes().filter(|size| *size > 0) {
        let leaves: Vec<[u8; 32]> = (0..size).map(|index| <Rfc6962 as rs_merkle::Hasher>::hash(&memory::entry(index))).collect();
        let oracle = rs_merkle::MerkleTree::<Rfc6962>::from_leaves(&leaves);
        let log = Log::of(size);
        assert_eq!(oracle.root(), Some(*log.tree().root.as_bytes()), "size {size}");
        let prover = prover_of_sample(&log);
        for index in sample(size) {
            let (leaf, proof) = prover.inclusion(index).unwrap();
            assert_eq!(leaf.as_bytes(), &leaves[index as usize]);
            assert_eq!(raw(&proof.0), oracle.proof(&[index as usize]).proof_hashes(), "leaf {index} of {size}");
            compared += 1;
        }
    }
    assert_eq!(compared, 300 * 301 / 2 + 3 * 14);
}

#[test]
fn proofs_are_those_of_tlog_tiles() {
    let stored = Stored::of(65_537);
    let mut compared = (0, 0);
    for size in all_sizes() {
        let log = Log::of(size);
        let tree = log.tree();
        assert_eq!(tree_hash(size, &stored).unwrap().0, *tree.root.as_bytes(), "size {size}");
        let prover = prover_of_sample(&log);
        for index in sample(size) {
            let (leaf, proof) = prover.inclusion(index).unwrap();
            assert_eq!(raw(&proof.0), theirs(prove_record(size, index, &stored).unwrap()), "leaf {index} of {size}");
            assert_eq!(proof.verify(&tree, index, &leaf), Ok(()), "leaf {index} of {size}");
            compared.0 += 1;
        }
        for old_size in sample(size).into_iter().filter(|old| *old > 0).chain([size].into_iter().filter(|size| *size > 0)) {
            let plan = tlog::plan::ConsistencyPlan::new(old_size, &tree).unwrap();
            let (root, proof) = plan.finish(&log.fetch(plan.tiles())).unwrap();
            assert_eq!(root.as_bytes(), &tree_hash(old_size, &stored).unwrap().0);
            assert_eq!(raw(&proof.0), theirs(prove_tree(size, old_size, &stored).unwrap()), "{old_size} to {size}");
            assert_eq!(proof.verify(&Tree { size: old_size, root }, &tree), Ok(()), "{old_size} to {size}");
            compared.1 += 1;
        }
    }
    assert_eq!(compared, (300 * 301 / 2 + 3 * 14, 300 * 301 / 2 + 3 * 14));
}

/// What a plan for one leaf gives is what the plan for all gives, and what whole trees in memory give.
#[test]
fn single_plans_and_whole_trees_agree() {
    let all = leaves(65_537);
    for size in [1, 2, 3, 7, 8, 100, 255, 256, 257, 300, 65_535, 65_536, 65_537] {
        let log = Log::of(size);
        let prover = prover_of_sample(&log);
        for index in sample(size).into_iter().rev().take(20) {
            let plan = InclusionPlan::new(&log.tree(), index).unwrap();
            let single = plan.finish(&log.fetch(plan.tiles())).unwrap();
            assert_eq!(Ok(&single), prover.inclusion(index).as_ref(), "leaf {index} of {size}");
            if size <= 300 {
                assert_eq!(Some(single.1), InclusionProof::of(&all[..size as usize], index as usize), "leaf {index} of {size}");
            }
        }
    }
}

fn prover_of_sample(log: &Log) -> Prover {
    let plan = Plan::for_leaves(&log.tree(), sample(log.tree().size)).unwrap();
    plan.finish(&log.fetch(plan.tiles())).unwrap()
}

fn raw(hashes: &[Hash]) -> Vec<[u8; 32]> {
    hashes.iter().map(|hash| *hash.as_bytes()).collect()
}

fn theirs(hashes: Vec<tlog_tiles::Hash>) -> Vec<[u8; 32]> {
    hashes.into_iter().map(|hash| hash.0).collect()
}

/// The nodes of a tree in the order in which `tlog_tiles` numbers them.
struct Stored(Vec<tlog_tiles::Hash>);

impl Stored {
    fn of(size: u64) -> Self {
        let mut stored = Self(Vec::new());
        for (index, leaf) in leaves(size).into_iter().enumerate() {
            assert_eq!(stored_hash_index(0, index as u64), stored.0.len() as u64);
            let more = stored_hashes_for_record_hash(index as u64, tlog_tiles::Hash(*leaf.as_bytes()), &stored).unwrap();
            stored.0.extend(more);
        }
        stored
    }
}

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
    }
}

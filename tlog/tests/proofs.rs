//! Proofs from tiles: they verify, everything altered is refused, and so is every altered tile.

mod memory;

use memory::{Log, SIZES, leaves, sample};
use proptest::prelude::*;
use tlog::merkle::{ProofError, is_subtree};
use tlog::plan::{ConsistencyPlan, InclusionPlan, Plan, PlanError, SubtreePlan, Tiles};
use tlog::{ConsistencyProof, Hash, InclusionProof, SubtreeProof, Tile, Tree};

fn inclusion(log: &Log, index: u64) -> (Hash, InclusionProof) {
    let plan = InclusionPlan::new(&log.tree(), index).unwrap();
    plan.finish(&log.fetch(plan.tiles())).unwrap()
}

fn subtree(log: &Log, start: u64, end: u64) -> (Hash, SubtreeProof) {
    let plan = SubtreePlan::new(start, end, &log.tree()).unwrap();
    plan.finish(&log.fetch(plan.tiles())).unwrap()
}

/// The proof with one hash too many at each end, each hash missing, and one bit of each hash flipped.
fn altered(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut altered = vec![[proof, &[Hash::EMPTY]].concat(), [&[Hash::EMPTY], proof].concat()];
    if let Some(last) = proof.last() {
        altered.push([proof, &[*last]].concat());
    }
    for n in 0..proof.len() {
        altered.push([&proof[..n], &proof[n + 1..]].concat());
        let mut flipped = proof.to_vec();
        flipped[n] = flip(&proof[n], n);
        altered.push(flipped);
    }
    altered
}

fn flip(hash: &Hash, bit: usize) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8 % 32] ^= 1 << (bit % 8);
    Hash::new(bytes)
}

#[test]
fn an_altered_inclusion_proof_is_refused() {
    for size in SIZES.into_iter().chain(3..20) {
        let (log, next) = (Log::of(size), Log::of(size + 1).tree());
        let tree = log.tree();
        for index in sample(size).into_iter().rev().take(40) {
            let (leaf, proof) = inclusion(&log, index);
            assert_eq!(proof.verify(&tree, index, &leaf), Ok(()));
            assert_eq!(proof.verify(&tree, index, &flip(&leaf, 255)), Err(ProofError::WrongRoot));
            for proof in altered(&proof.0) {
                assert!(InclusionProof(proof).verify(&tree, index, &leaf).is_err(), "leaf {index} of {size}");
            }
            for other in [index.wrapping_sub(1), index ^ 1, index + 1, index ^ 2, size, size + index, u64::MAX] {
                assert!(other == index || proof.verify(&tree, other, &leaf).is_err(), "leaf {index} of {size} as {other}");
            }
            // A size is bound to its root by the checkpoint, so another size has another root.
            assert!(proof.verify(&next, index, &leaf).is_err(), "leaf {index} of {size}");
        }
        assert_eq!(InclusionPlan::new(&tree, size), Err(PlanError::OutOfRange));
        assert_eq!(InclusionProof(Vec::new()).verify(&tree, size, &tree.root), Err(ProofError::OutOfRange));
    }
}

#[test]
fn an_altered_consistency_proof_is_refused() {
    for new_size in SIZES.into_iter().chain(3..20) {
        let log = Log::of(new_size);
        let (new, next) = (log.tree(), Log::of(new_size + 1).tree());
        for old_size in sample(new_size).into_iter().rev().take(40).filter(|size| *size > 0) {
            let old = Log::of(old_size).tree();
            let (root, SubtreeProof(hashes)) = subtree(&log, 0, old_size);
            assert_eq!(root, old.root);
            let proof = ConsistencyProof(hashes);
            assert_eq!(proof.verify(&old, &new), Ok(()), "{old_size} to {new_size}");
            for proof in altered(&proof.0) {
                assert!(ConsistencyProof(proof).verify(&old, &new).is_err(), "{old_size} to {new_size}");
            }
            assert!(proof.verify(&Tree { root: flip(&old.root, 0), ..old }, &new).is_err());
            assert!(proof.verify(&old, &Tree { root: flip(&new.root, 0), ..new }).is_err());
            assert!(proof.verify(&old, &next).is_err());
            assert!(proof.verify(&Log::of(old_size - 1).tree(), &new).is_err());
            assert!(proof.verify(&new, &old).is_err());
        }
    }
}

#[test]
fn consistency_at_the_ends() {
    let empty = ConsistencyProof(Vec::new());
    for size in SIZES {
        let tree = Log::of(size).tree();
        assert_eq!(empty.verify(&tree, &tree), Ok(()), "size {size}");
        assert_eq!(empty.verify(&Tree::EMPTY, &tree), Ok(()), "size {size}");
        assert_eq!(empty.verify(&Tree { size: 0, root: flip(&Hash::EMPTY, 0) }, &tree), Err(ProofError::WrongRoot));
        let extra = ConsistencyProof(vec![Hash::EMPTY]);
        assert_eq!(extra.verify(&Tree::EMPTY, &tree), Err(ProofError::WrongLength), "size {size}");
        assert_eq!(extra.verify(&tree, &tree), Err(ProofError::WrongLength), "size {size}");
        let other = Tree { root: flip(&tree.root, 9), ..tree };
        assert_eq!(empty.verify(&other, &tree), Err(ProofError::WrongRoot), "size {size}");
        for old in [0, size] {
            let plan = ConsistencyPlan::new(old, &tree).unwrap();
            assert_eq!((plan.tiles(), plan.finish(&Tiles::new())), (&[][..], Ok((Log::of(old).tree().root, empty.clone()))));
        }
        assert_eq!(ConsistencyPlan::new(size + 1, &tree), Err(PlanError::OutOfRange));
        let too_large = Tree { size: Tree::MAX_SIZE + 1, root: tree.root };
        assert_eq!(empty.verify(&too_large, &too_large), Err(ProofError::OutOfRange));
        assert_eq!(InclusionPlan::new(&too_large, 0), Err(PlanError::OutOfRange));
    }
}

#[test]
fn every_subtree_of_small_trees_is_proven() {
    let all = leaves(40);
    let mut proven = 0;
    for size in 0..=40_u64 {
        let log = Log::of(size);
        for start in 0..=size {
            for end in start..=size {
                if !is_subtree(start, end) {
                    assert_eq!(SubtreePlan::new(start, end, &log.tree()), Err(PlanError::OutOfRange));
                    assert_eq!(SubtreeProof::of(&all[..size as usize], start as usize, end as usize), None);
                    continue;
                }
                let (hash, proof) = subtree(&log, start, end);
                assert_eq!(hash, Tree::of(&all[start as usize..end as usize]).root);
                assert_eq!(SubtreeProof::of(&all[..size as usize], start as usize, end as usize), Some(proof.clone()));
                assert_eq!(proof.verify(&log.tree(), start, end, &hash), Ok(()), "[{start}, {end}) of {size}");
                assert!(altered(&proof.0).into_iter().all(|proof| SubtreeProof(proof).verify(&log.tree(), start, end, &hash).is_err()));
                assert!(proof.verify(&log.tree(), start, end, &flip(&hash, 77)).is_err());
                proven += 1;
            }
            assert_eq!(SubtreePlan::new(start, size + 1, &log.tree()).err(), Some(PlanError::OutOfRange));
        }
    }
    assert!(proven > 3_000, "{proven}");
}

#[test]
fn subtree_intervals() {
    let valid =
        [(0, 0), (5, 5), (u64::MAX, u64::MAX), (0, 1), (7, 8), (0, 13), (8, 13), (8, 16), (4, 7), (0, u64::MAX), (1 << 63, u64::MAX)];
    let invalid = [(1, 0), (1, 3), (2, 5), (4, 9), (1, 15), (6, 10), (1, u64::MAX), (12, 20)];
    valid.into_iter().for_each(|(start, end)| assert!(is_subtree(start, end), "[{start}, {end})"));
    invalid.into_iter().for_each(|(start, end)| assert!(!is_subtree(start, end), "[{start}, {end})"));
}

#[test]
fn leaves_are_proven_inside_a_subtree() {
    let all = leaves(300);
    for (start, end) in [(0, 1), (0, 300), (256, 300), (128, 256), (296, 300), (4, 7)] {
        let inside = &all[start as usize..end as usize];
        let root = Tree::of(inside).root;
        for index in start..end {
            let proof = InclusionProof::of(inside, (index - start) as usize).unwrap();
            let leaf = &all[index as usize];
            assert_eq!(proof.verify_in_subtree(start, end, &root, index, leaf), Ok(()));
            assert!(proof.verify_in_subtree(start, end, &root, index + 1, leaf).is_err());
        }
        let proof = InclusionProof::of(inside, 0).unwrap();
        assert_eq!(proof.verify_in_subtree(end, start, &root, start, &all[0]), Err(ProofError::OutOfRange));
        assert!(proof.verify_in_subtree(start + 1, end + 2, &root, start, &all[0]).is_err());
    }
}

#[test]
fn each_planned_tile_is_needed_and_authenticated() {
    for size in [1, 2, 255, 256, 257, 600, 65_535, 65_536, 65_537, 66_100] {
        let log = Log::of(size);
        for index in [0, size / 2, size - 1] {
            let plan = InclusionPlan::new(&log.tree(), index).unwrap();
            let tiles = log.fetch(plan.tiles());
            assert!(plan.finish(&tiles).is_ok());
            for tile in plan.tiles() {
                refuse_without(&plan, &tiles, *tile);
                for byte in [0, 31, 32, tile.byte_len() / 2, tile.byte_len() - 1].into_iter().filter(|byte| *byte < tile.byte_len()) {
                    let mut tiles = tiles.clone();
                    tiles.get_mut(tile).unwrap()[byte] ^= 0x80;
                    let refusal = plan.finish(&tiles).unwrap_err();
                    let wrong = if tile.is_partial() { PlanError::WrongRoot } else { PlanError::Contradiction(*tile) };
                    assert_eq!(refusal, wrong, "{} of {size}, byte {byte}", tile.path());
                }
            }
        }
    }
}

fn refuse_without(plan: &InclusionPlan, tiles: &Tiles, tile: Tile) {
    let (mut missing, mut shorter, mut longer) = (tiles.clone(), tiles.clone(), tiles.clone());
    missing.remove(&tile);
    shorter.get_mut(&tile).unwrap().truncate(tile.byte_len() - 32);
    longer.get_mut(&tile).unwrap().extend([0; 32]);
    assert_eq!(plan.finish(&missing), Err(PlanError::Missing(tile)));
    assert_eq!(plan.finish(&shorter), Err(PlanError::Malformed(tile)));
    assert_eq!(plan.finish(&longer), Err(PlanError::Malformed(tile)));
}

#[test]
fn tiles_of_another_log_are_refused() {
    let log = Log::of(1_000);
    let other = Tree { root: flip(&log.tree().root, 3), ..log.tree() };
    let plan = InclusionPlan::new(&other, 5).unwrap();
    assert_eq!(plan.finish(&log.fetch(plan.tiles())), Err(PlanError::WrongRoot));
}

#[test]
fn tiles_are_authenticated_one_by_one_for_caches() {
    let log = Log::of(66_000);
    let tree = log.tree();
    let tile = Tile::new(0, 17, 256).unwrap();
    let plan = Plan::for_tiles(&tree, [tile]).unwrap();
    let paths: Vec<String> = plan.tiles().iter().map(Tile::path).collect();
    assert_eq!(paths, ["tile/0/017", "tile/0/257.p/208", "tile/1/000", "tile/1/001.p/1", "tile/2/000.p/1"]);
    let prover = plan.finish(&log.fetch(plan.tiles())).unwrap();
    assert_eq!(prover.leaf(17 * 256).unwrap(), leaves(17 * 256 + 1)[17 * 256]);
    assert_eq!(prover.tree(), &tree);
    assert_eq!(prover.leaf(0).unwrap_err(), PlanError::Missing(Tile::new(0, 0, 256).unwrap()));
    assert_eq!(prover.leaf(66_000).unwrap_err(), PlanError::OutOfRange);
    let whole = Plan::for_tiles(&tree, Tile::all(tree.size)).unwrap();
    assert!(whole.finish(&log.tiles).is_ok());
    assert_eq!(whole.tiles().len(), Tile::all(tree.size).count());
    for foreign in [Tile::new(0, 257, 256), Tile::new(0, 257, 207), Tile::new(3, 0, 1), Tile::new(0, 258, 1), Tile::new(63, u64::MAX, 1)] {
        assert_eq!(Plan::for_tiles(&tree, foreign), Err(PlanError::OutOfRange), "{foreign:?}");
    }
}

#[test]
fn a_full_tile_answers_for_a_partial_one() {
    let (old, new) = (Log::of(300), Log::of(600));
    let plan = InclusionPlan::new(&old.tree(), 299).unwrap();
    let mut tiles = Tiles::new();
    for tile in plan.tiles() {
        let wider = new.tiles.get(&tile.full()).or_else(|| new.tiles.get(&Tile::new(1, 0, 2).unwrap())).unwrap();
        tiles.insert(*tile, tile.cut(wider).unwrap().to_vec());
    }
    assert_eq!(plan.finish(&tiles).unwrap(), inclusion(&old, 299));
}

proptest! {
    #![proptest_config(memory::cases(128))]

    #[test]
    fn any_altered_byte_of_any_tile_is_refused(size in 1_u64..3_000, index in any::<u64>(), tile in any::<prop::sample::Index>(), byte in any::<prop::sample::Index>(), xor in 1_u8..) {
        let log = Log::of(size);
        let plan = InclusionPlan::new(&log.tree(), index % size).unwrap();
        let mut tiles = log.fetch(plan.tiles());
        prop_assert!(plan.finish(&tiles).is_ok());
        let tile = plan.tiles()[tile.index(plan.tiles().len())];
        tiles.get_mut(&tile).unwrap()[byte.index(tile.byte_len())] ^= xor;
        prop_assert!(plan.finish(&tiles).is_err());
    }

    #[test]
    fn proofs_of_any_kind_verify(size in 1_u64..3_000, a in any::<u64>(), level in 0_u32..12) {
        let log = Log::of(size);
        let index = a % size;
        let (leaf, proof) = inclusion(&log, index);
        prop_assert_eq!(proof.verify(&log.tree(), index, &leaf), Ok(()));
        let start = index >> level << level;
        let end = size.min(start + (1 << level));
        let (hash, proof) = subtree(&log, start, end);
        prop_assert_eq!(proof.verify(&log.tree(), start, end, &hash), Ok(()));
        let plan = ConsistencyPlan::new(index, &log.tree()).unwrap();
        let (root, proof) = plan.finish(&log.fetch(plan.tiles())).unwrap();
        prop_assert_eq!(Tree { size: index, root }, Log::of(index).tree());
        prop_assert_eq!(proof.verify(&Tree { size: index, root }, &log.tree()), Ok(()));
    }

    #[test]
    fn random_hashes_prove_nothing(size in any::<u64>(), a in any::<u64>(), b in any::<u64>(), seeds in prop::collection::vec(any::<u8>(), 0..70)) {
        let hashes: Vec<Hash> = seeds.iter().map(|seed| Hash::digest(&[*seed])).collect();
        let tree = Tree { size, root: Hash::digest(b"root") };
        let leaf = Hash::digest(b"leaf");
        prop_assert!(InclusionProof(hashes.clone()).verify(&tree, a, &leaf).is_err());
        prop_assert!(SubtreeProof(hashes.clone()).verify(&tree, a, b, &leaf).is_err());
        let old = Tree { size: a, root: leaf };
        prop_assert!(ConsistencyProof(hashes).verify(&old, &tree).is_err());
    }
}

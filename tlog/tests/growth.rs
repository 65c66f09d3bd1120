//! Growing a log: what is written, what the edge keeps, and how a whole log is rebuilt and checked.

mod memory;

use memory::{Log, SIZES, all_sizes, append, entries, leaves};
use proptest::prelude::*;
use tlog::bundle::{self, BundleError};
use tlog::edge::BatchError;
use tlog::growth::{GrowthError, tile_bytes, tile_root};
use tlog::plan::{EdgePlan, PlanError};
use tlog::{BundleId, Edge, Growth, Hash, Tile, Tree};

#[test]
fn every_size_has_the_tree_of_its_leaves() {
    let leaves = leaves(65_537);
    for size in all_sizes() {
        let log = Log::of(size);
        assert_eq!(log.tree(), Tree::of(&leaves[..size as usize]), "size {size}");
        assert_eq!(log.tiles.keys().copied().collect::<Vec<_>>(), Tile::all(size).collect::<Vec<_>>(), "size {size}");
        assert_eq!(log.bundles.keys().copied().collect::<Vec<_>>(), BundleId::all(size).collect::<Vec<_>>(), "size {size}");
    }
}

#[test]
fn one_entry_at_a_time_gives_the_same_as_all_at_once() {
    let mut log = Log::new();
    for size in 1..=600 {
        let batch = log.grow(size);
        let grown: Vec<_> = Tile::grown(size - 1, size).collect();
        let mut tiles: Vec<_> = batch.tiles.iter().map(|(tile, _)| *tile).collect();
        tiles.sort();
        assert_eq!(tiles, grown, "size {size}");
        assert_eq!(log.edge, Log::of(size).edge, "size {size}");
    }
    // One by one, every partial tile of every size was written on the way; the last ones are those of the whole.
    for (tile, bytes) in &Log::of(600).tiles {
        assert_eq!(log.tiles.get(tile), Some(bytes), "{}", tile.path());
    }
}

#[test]
fn tiles_hold_the_leaf_hashes_of_their_bundles() {
    for size in SIZES {
        let log = Log::of(size);
        for (id, bytes) in &log.bundles {
            let hashes = bundle::leaf_hashes(bytes, id.width()).unwrap();
            assert_eq!(log.tiles[&id.tile()], tile_bytes(&hashes), "{}", id.path());
            let first = id.index() * 256;
            let expected: Vec<Vec<u8>> = entries(first, first + u64::from(id.width()));
            assert_eq!(bundle::parse(bytes, id.width()).unwrap(), expected, "{}", id.path());
        }
    }
}

#[test]
fn the_edge_comes_back_from_its_tiles() {
    for size in SIZES.into_iter().chain([300, 511, 512, 66_000]) {
        let log = Log::of(size);
        let plan = EdgePlan::new(&log.tree());
        let bundle = plan.bundle().map_or(Vec::new(), |id| log.bundles[&id].clone());
        assert_eq!(plan.finish(&log.fetch(plan.tiles()), &bundle), Ok(log.edge.clone()), "size {size}");
        assert_eq!(log.edge.tiles().into_iter().collect::<tlog::plan::Tiles>(), log.fetch(plan.tiles()), "size {size}");
        assert_eq!(log.edge.bundle(), bundle, "size {size}");
    }
}

#[test]
fn a_wrong_edge_is_refused() {
    let log = Log::of(65_536 + 256 + 3);
    let plan = EdgePlan::new(&log.tree());
    let (tiles, id) = (log.fetch(plan.tiles()), plan.bundle().unwrap());
    let bundle = log.bundles[&id].clone();
    assert_eq!(plan.tiles().len(), 3);
    for tile in plan.tiles() {
        for byte in 0..tile.byte_len() {
            let mut tiles = tiles.clone();
            tiles.get_mut(tile).unwrap()[byte] ^= 1;
            let refusal = plan.finish(&tiles, &bundle).unwrap_err();
            let expected = if tile.level() == 0 { PlanError::WrongBundle(id) } else { PlanError::WrongRoot };
            assert_eq!(refusal, expected, "{} byte {byte}", tile.path());
        }
        let mut fewer = tiles.clone();
        fewer.remove(tile);
        assert_eq!(plan.finish(&fewer, &bundle), Err(PlanError::Missing(*tile)));
        let mut shorter = tiles.clone();
        shorter.get_mut(tile).unwrap().pop();
        assert_eq!(plan.finish(&shorter, &bundle), Err(PlanError::Malformed(*tile)));
    }
    for byte in 0..bundle.len() {
        let mut bundle = bundle.clone();
        bundle[byte] ^= 1;
        assert_eq!(plan.finish(&tiles, &bundle), Err(PlanError::WrongBundle(id)), "byte {byte}");
    }
    assert_eq!(plan.finish(&tiles, &[]), Err(PlanError::WrongBundle(id)));
    assert_eq!(EdgePlan::new(&Tree::EMPTY).finish(&tiles, b"\0\0"), Err(PlanError::OutOfRange));
    let lie = Tree { size: 0, root: log.tree().root };
    assert_eq!(EdgePlan::new(&lie).finish(&tiles, &[]), Err(PlanError::WrongRoot));
    let huge = Tree { size: u64::MAX, root: log.tree().root };
    assert!(EdgePlan::new(&huge).finish(&tiles, &[]).is_err());
}

#[test]
fn an_entry_too_long_is_refused_and_the_longest_is_not() {
    let longest = vec![7; bundle::MAX_ENTRY];
    let too_long = vec![7; bundle::MAX_ENTRY + 1];
    let batch = Edge::empty().append(&[b"", &longest]).unwrap();
    assert_eq!(bundle::parse(&batch.bundles[0].1, 2).unwrap(), [b"".as_slice(), &longest]);
    assert_eq!(Edge::empty().append(&[b"", &too_long]).unwrap_err(), BundleError::TooLong);
    assert_eq!(Edge::empty().append_hashed(&[b"a"], Vec::new(), &mut Vec::new()).unwrap_err(), BundleError::WrongCount);
}

#[test]
fn what_used_buffers_hold_does_not_matter() {
    let entries: Vec<Vec<u8>> = (0..700_u32).map(|n| n.to_be_bytes().to_vec()).collect();
    let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    let hashes = |entries: &[&[u8]]| entries.iter().map(|entry| tlog::hash_leaf(entry)).collect();
    let edge = Edge::empty().append(&entries[..100]).unwrap().edge;
    let new = edge.append(&entries[100..]).unwrap();
    let mut spare = vec![vec![7; 9], vec![7; 100_000]];
    let again = edge.append_hashed(&entries[100..], hashes(&entries[100..]), &mut spare).unwrap();
    assert_eq!((again.tree, again.bundles, again.tiles), (new.tree, new.bundles, new.tiles));
    assert!(spare.is_empty());
}

#[test]
fn appending_nothing_changes_nothing() {
    for size in SIZES {
        let edge = Log::of(size).edge;
        let batch = edge.append(&[]).unwrap();
        assert_eq!((batch.tree, &batch.edge), (edge.tree(), &edge));
        assert!(batch.tiles.is_empty() && batch.bundles.is_empty() && batch.leaves.is_empty());
    }
}

#[test]
fn a_log_is_rebuilt_from_leaves_and_from_tile_roots() {
    for size in [0, 1, 255, 256, 257, 65_536, 65_537, 66_000] {
        let (leaves, log) = (leaves(size), Log::of(size));
        let (mut one_by_one, mut by_tile) = (Growth::new(), Growth::new());
        let mut tiles = tlog::plan::Tiles::new();
        for leaf in &leaves {
            one_by_one.push(*leaf, &mut |tile, hashes| drop(tiles.insert(tile, tile_bytes(hashes)))).unwrap();
        }
        tiles.extend(one_by_one.partials().map(|(tile, hashes)| (tile, tile_bytes(hashes))));
        assert_eq!((one_by_one.tree(), &tiles), (log.tree(), &log.tiles), "size {size}");
        let (full, rest) = leaves.as_chunks::<256>();
        for hashes in full {
            by_tile.push_tile(tile_root(hashes), &mut |tile, hashes| assert_eq!(log.tiles[&tile], tile_bytes(hashes))).unwrap();
        }
        rest.iter().for_each(|leaf| by_tile.push(*leaf, &mut |_, _| ()).unwrap());
        assert_eq!(by_tile, one_by_one, "size {size}");
        if size % 256 != 0 {
            assert_eq!(by_tile.push_tile(Hash::EMPTY, &mut |_, _| ()), Err(GrowthError::NotAligned));
        }
    }
}

#[test]
fn a_round_is_checked_object_by_object() {
    let edge = Log::of(250).edge;
    let batch = append(&edge, 250, 600);
    let (tree, tiles, bundles) = (batch.tree, batch.tiles.clone(), batch.bundles.clone());
    assert_eq!(edge.check(&tree, &tiles, &bundles), Ok(batch.edge.clone()));
    let shuffled: Vec<_> = tiles.iter().rev().cloned().collect();
    assert_eq!(edge.check(&tree, &shuffled, &bundles), Ok(batch.edge.clone()));
    for n in 0..tiles.len() {
        let (mut altered, mut fewer, mut twice) = (tiles.clone(), tiles.clone(), tiles.clone());
        altered[n].1[0] ^= 1;
        fewer.remove(n);
        twice.push(tiles[n].clone());
        assert_eq!(edge.check(&tree, &altered, &bundles), Err(BatchError::Tile(tiles[n].0)));
        assert_eq!(edge.check(&tree, &fewer, &bundles), Err(BatchError::Tile(tiles[n].0)));
        assert_eq!(edge.check(&tree, &twice, &bundles), Err(BatchError::Surplus));
    }
    for n in 0..bundles.len() {
        let (mut altered, mut fewer) = (bundles.clone(), bundles.clone());
        *altered[n].1.last_mut().unwrap() ^= 1;
        fewer.remove(n);
        assert!(edge.check(&tree, &tiles, &altered).is_err());
        assert_eq!(edge.check(&tree, &tiles, &fewer), Err(BatchError::Bundle(bundles[n].0)));
    }
    let mut rewritten = bundles.clone();
    rewritten[0].1[2] ^= 1;
    assert_eq!(edge.check(&tree, &tiles, &rewritten), Err(BatchError::Bundle(bundles[0].0)));
    let mut more = bundles.clone();
    more.push((BundleId::new(3, 1).unwrap(), vec![0, 0]));
    assert_eq!(edge.check(&tree, &tiles, &more), Err(BatchError::Surplus));
    let wrong_root = Tree { root: Hash::EMPTY, ..tree };
    assert_eq!(edge.check(&wrong_root, &tiles, &bundles), Err(BatchError::WrongRoot));
    assert_eq!(edge.check(&edge.tree(), &tiles, &bundles), Err(BatchError::NotLarger));
    assert_eq!(batch.edge.check(&tree, &tiles, &bundles), Err(BatchError::NotLarger));
}

#[test]
fn a_batch_proves_its_entries_from_memory() {
    for (from, to) in [(0, 1), (0, 257), (255, 257), (256, 300), (65_530, 65_540), (65_279, 65_281), (70_000, 70_001)] {
        let mut log = Log::of(from);
        let batch = log.grow(to);
        let prover = batch.prover().unwrap();
        for (index, leaf) in (from..to).zip(&batch.leaves) {
            let (hash, proof) = prover.inclusion(index).unwrap();
            assert_eq!(hash, *leaf);
            assert_eq!(proof.verify(&batch.tree, index, leaf), Ok(()), "leaf {index} of {to}");
        }
        assert_eq!(prover.inclusion(to).unwrap_err(), PlanError::OutOfRange);
        let (root, proof) = prover.consistency(from).unwrap();
        let old = Tree { size: from, root };
        assert_eq!((old, proof.verify(&old, &batch.tree)), (Log::of(from).tree(), Ok(())), "from {from}");
    }
}

#[test]
fn errors_name_the_object() {
    let (tile, id) = (Tile::new(0, 1_000, 5).unwrap(), BundleId::new(3, 256).unwrap());
    assert_eq!(PlanError::Malformed(tile).to_string(), "tile/0/x001/000.p/5 has not 160 bytes");
    assert_eq!(BatchError::Bundle(id).to_string(), "tile/entries/003 is missing, malformed, or does not continue the old one");
}

proptest! {
    #![proptest_config(memory::cases(64))]

    #[test]
    fn any_split_into_rounds_gives_the_same_log(rounds in prop::collection::vec(0_u64..400, 0..6)) {
        let mut log = Log::new();
        let mut size = 0;
        for round in rounds {
            let before = log.edge.clone();
            size += round;
            let batch = log.grow(size);
            if round > 0 {
                prop_assert_eq!(before.check(&batch.tree, &batch.tiles, &batch.bundles), Ok(batch.edge.clone()));
            }
        }
        let whole = Log::of(size);
        prop_assert_eq!(&log.edge, &whole.edge);
        prop_assert_eq!(log.tree(), Tree::of(&leaves(size)));
        for (tile, bytes) in &whole.tiles {
            prop_assert_eq!(log.tiles.get(tile), Some(bytes));
        }
        for (id, bytes) in &whole.bundles {
            prop_assert_eq!(log.bundles.get(id), Some(bytes));
        }
    }
}

//! Tiles from a hostile log: a plan that finishes has been given exactly the log's own tiles.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tlog::plan::{ConsistencyPlan, EdgePlan, InclusionPlan, Tiles};
use tlog::{Edge, Hash, Tile, Tree};

/// Sizes with full tiles, a partial one on one or two levels, and a small one.
static LOGS: LazyLock<Vec<(Tree, Tiles, Vec<u8>)>> = LazyLock::new(|| [1, 7, 256, 257, 700].into_iter().map(log).collect());

fn log(size: usize) -> (Tree, Tiles, Vec<u8>) {
    let entries: Vec<Vec<u8>> = (0..size).map(|index| index.to_string().into_bytes()).collect();
    let batch = Edge::empty().append(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
    (batch.tree, batch.in_memory(), batch.edge.bundle().to_vec())
}

/// Where to put which bytes into which tile, or how long to make it.
type Change<'a> = (u8, u16, &'a [u8], Option<u16>);

fuzz_target!(|input: (u8, u64, u64, bool, Vec<Change>, &[u8])| {
    let (log, index, size, lie, changes, bundle) = input;
    let (truth, tiles, own_bundle) = &LOGS[usize::from(log) % LOGS.len()];
    // A checkpoint may also name any size and root.
    let tree = if lie { Tree { size, root: Hash::digest(bundle) } } else { *truth };
    let altered = alter(tiles, changes);
    if let Ok(plan) = InclusionPlan::new(&tree, index) {
        if let Ok((leaf, proof)) = plan.finish(&altered) {
            assert_eq!(proof.verify(&tree, index, &leaf), Ok(()));
            assert_own(&tree, truth, plan.tiles(), &altered, tiles);
        }
    }
    if let Ok(plan) = ConsistencyPlan::new(index, &tree) {
        if let Ok((root, proof)) = plan.finish(&altered) {
            assert!(index == 0 || proof.verify(&Tree { size: index, root }, &tree).is_ok());
            assert_own(&tree, truth, plan.tiles(), &altered, tiles);
        }
    }
    let plan = EdgePlan::new(&tree);
    if let Ok(edge) = plan.finish(&altered, if changes_bundle(index) { bundle } else { own_bundle }) {
        let bundle = if tree == Tree::EMPTY { &[] } else { own_bundle.as_slice() };
        assert_eq!((edge.tree(), edge.bundle()), (tree, bundle));
    }
});

fn changes_bundle(index: u64) -> bool {
    index & 1 == 1
}

fn alter(tiles: &Tiles, changes: Vec<Change>) -> Tiles {
    let mut altered = tiles.clone();
    let names: Vec<Tile> = tiles.keys().copied().collect();
    for (tile, at, bytes, len) in changes {
        let Some(tile) = altered.get_mut(&names[usize::from(tile) % names.len()]) else { continue };
        for (old, new) in tile.iter_mut().skip(at.into()).zip(bytes) {
            *old = *new;
        }
        if let Some(len) = len {
            tile.resize(len.into(), 0);
        }
    }
    altered
}

fn assert_own(tree: &Tree, truth: &Tree, planned: &[Tile], given: &Tiles, own: &Tiles) {
    assert!(planned.is_empty() || tree == truth);
    planned.iter().for_each(|tile| assert_eq!(given.get(tile), own.get(tile), "{}", tile.path()));
}

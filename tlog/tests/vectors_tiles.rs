//! The shared vectors of tile paths, entry bundles and a small log that another implementation wrote.

mod support;

use std::collections::BTreeMap;

use serde_json::Value;
use support::{Count, array, bytes, load, string, valid};
use tlog::bundle;
use tlog::growth::tile_bytes;
use tlog::plan::{EdgePlan, InclusionPlan, Tiles};
use tlog::{BundleId, Edge, Hash, SignedCheckpoint, Tile, Tree};

#[test]
fn paths() {
    let Some(file) = load("tiles/paths.json") else { return };
    let mut count = Count::of("tiles/paths.json (parse, format, bundle for index, tree size)");
    for case in array(&file, "cases") {
        let path = format!("tile/{}/{}", string(case, "level"), string(case, "index_path"));
        let want = valid(case)
            .then(|| Tile::new(number(case, "want_level") as u8, number(case, "want_index"), width(case, "want_partial_width_or_0")));
        assert_eq!(Tile::parse(&path), want.flatten(), "{path}");
        assert_eq!(Tile::parse(&path).is_some(), valid(case), "{path}");
        count.ran();
    }
    for case in array(&file, "format_cases") {
        check_format(case);
        count.ran();
    }
    for case in array(&file, "entry_bundle_for_index_cases") {
        let id = BundleId::holding(number(case, "entry_index"), number(case, "tree_size")).unwrap();
        assert_eq!(id.path(), string(case, "path"));
        count.ran();
    }
    for case in array(&file, "tiles_of_tree_size_cases") {
        check_tree_size(case);
        count.ran();
    }
    count.finish(19 + 10 + 7 + 2, 0);
}

fn check_format(case: &Value) {
    let (path, index, width) = (string(case, "path"), number(case, "index"), width(case, "width_or_0_full"));
    match string(case, "kind") {
        "tile" => {
            let tile = Tile::new(number(case, "level") as u8, index, width).unwrap();
            assert_eq!((tile.path().as_str(), Tile::parse(path)), (path, Some(tile)));
        }
        "entries" => {
            let id = BundleId::new(index, width).unwrap();
            assert_eq!((id.path().as_str(), BundleId::parse(path)), (path, Some(id)));
        }
        "index only" => assert_eq!(BundleId::new(index, width).unwrap().path(), format!("tile/entries/{path}")),
        kind => panic!("unknown kind {kind}"),
    }
}

fn check_tree_size(case: &Value) {
    let mut full: Vec<u64> = Vec::new();
    let mut partial: Vec<u64> = Vec::new();
    for tile in Tile::all(number(case, "tree_size")) {
        full.resize(usize::from(tile.level()) + 1, 0);
        partial.resize(usize::from(tile.level()) + 1, 0);
        match tile.width() {
            256 => *full.last_mut().unwrap() += 1,
            width => *partial.last_mut().unwrap() = u64::from(width),
        }
    }
    assert_eq!(serde_json::json!(full), case["full_tiles_by_level"]);
    assert_eq!(serde_json::json!(partial), case["partial_width_by_level"]);
}

#[test]
fn sumdb_paths_do_not_crash() {
    let Some(file) = load("tiles/sumdb-tile-path-parse.json") else { return };
    let mut count = Count::of("tiles/sumdb-tile-path-parse.json");
    for case in array(&file, "cases") {
        let path = string(case, "path");
        for parsed in [Tile::parse(path).map(|tile| tile.path()), BundleId::parse(path).map(|id| id.path())] {
            assert!(parsed.is_none_or(|again| again == path), "{path}");
        }
        count.ran();
    }
    count.finish(8, 0);
}

#[test]
fn bundles() {
    let Some(file) = load("tiles/entry-bundle-parse.json") else { return };
    let mut count = Count::of("tiles/entry-bundle-parse.json");
    for case in array(&file, "cases") {
        let bytes = bytes(case, "hex");
        if valid(case) {
            let want: Vec<Vec<u8>> = array(case, "entries_hex").iter().map(|hex| hex::decode(hex.as_str().unwrap()).unwrap()).collect();
            assert_eq!(bundle::parse(&bytes, want.len() as u16).unwrap(), want);
        } else {
            assert!((0..=256).all(|width| bundle::parse(&bytes, width).is_err()), "{case}");
        }
        count.ran();
    }
    count.finish(4, 0);
}

/// The log of 15 entries that Tessera wrote: each size's root comes out of its tiles and out of its bundles, its tiles give
/// proofs, and what we write for the same entries are the same bytes.
#[test]
fn a_log_of_tessera() {
    let folder = "tiles/tessera-testlog";
    let Some(root) = support::path(folder) else { return };
    let mut count = Count::of("tiles/tessera-testlog (checkpoints, tiles, bundles)");
    let read = |path: String| std::fs::read(root.join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let tree_of = |path: String| SignedCheckpoint::parse(&read(path)).unwrap().tree();
    assert_eq!(tree_of("checkpoint".into()), tree_of("checkpoint.15".into()));
    count.ran();
    let mut edge = Edge::empty();
    for size in 0..=15 {
        let tree = tree_of(format!("checkpoint.{size}"));
        assert_eq!(tree.size, size);
        count.ran();
        if size == 0 {
            assert_eq!(tree, Tree::EMPTY);
            continue;
        }
        let (tile, id) = (Tile::new(0, 0, size as u16).unwrap(), BundleId::new(0, size as u16).unwrap());
        let (hashes, entries) = (read(tile.path()), read(id.path()));
        let tiles: Tiles = BTreeMap::from([(tile, hashes.clone())]);
        edge = check_size(&tree, &tiles, &hashes, &entries, &edge);
        (0..2).for_each(|_| count.ran());
    }
    count.finish(17 + 15 + 15, 0);
}

fn check_size(tree: &Tree, tiles: &Tiles, hashes: &[u8], entries: &[u8], before: &Edge) -> Edge {
    let leaves: Vec<Hash> = bundle::leaf_hashes(entries, tree.size as u16).unwrap();
    assert_eq!((Tree::of(&leaves), tile_bytes(&leaves).as_slice()), (*tree, hashes));
    let edge = EdgePlan::new(tree).finish(tiles, entries).unwrap();
    for index in 0..tree.size {
        let (leaf, proof) = InclusionPlan::new(tree, index).unwrap().finish(tiles).unwrap();
        assert_eq!((leaf, proof.verify(tree, index, &leaf)), (leaves[index as usize], Ok(())));
    }
    let last = *bundle::parse(entries, tree.size as u16).unwrap().last().unwrap();
    let batch = before.append(&[last]).unwrap();
    assert_eq!((batch.tree, batch.tiles[0].1.as_slice(), batch.bundles[0].1.as_slice()), (*tree, hashes, entries));
    assert_eq!(batch.edge, edge);
    edge
}

fn number(case: &Value, key: &str) -> u64 {
    case[key].as_u64().unwrap_or_else(|| panic!("no number {key} in {case}"))
}

/// A width, where 0 stands for a full tile.
fn width(case: &Value, key: &str) -> u16 {
    match number(case, key) {
        0 => 256,
        width => width.try_into().unwrap(),
    }
}

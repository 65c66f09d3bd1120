//! What the tests of trees share: entries that tell each other apart, and logs in memory.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;

use proptest::prelude::ProptestConfig;
use tlog::plan::Tiles;
use tlog::{Batch, BundleId, Edge, Hash, Tile, Tree, hash_leaf};

/// The sizes at which something changes: none, one, a pair, a tile and a tile of tiles, each with its neighbours.
pub const SIZES: [u64; 9] = [0, 1, 2, 255, 256, 257, 65_535, 65_536, 65_537];

/// So many random cases, a failing one printed and not kept in a file.
pub fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Entry `index` of the test log: its number as text, so that lengths differ.
pub fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

pub fn leaves(size: u64) -> Vec<Hash> {
    (0..size).map(|index| hash_leaf(&entry(index))).collect()
}

/// Sizes 0 to 300 and those around 65,536.
pub fn all_sizes() -> impl Iterator<Item = u64> {
    (0..=300).chain(65_535..=65_537)
}

/// All leaves of a small tree, and some of a large one: both ends and what lies around the tiles.
pub fn sample(size: u64) -> Vec<u64> {
    if size <= 300 {
        return (0..size).collect();
    }
    let middle = [1, 255, 256, 257, 4_095, 32_767, 32_768, 40_000, 65_279, 65_280];
    let mut sample: Vec<u64> = [0].into_iter().chain(middle).chain(size - 3..size).filter(|index| *index < size).collect();
    sample.dedup();
    sample
}

pub fn entries(from: u64, to: u64) -> Vec<Vec<u8>> {
    (from..to).map(entry).collect()
}

/// Appends entries `from..to` of the test log.
pub fn append(edge: &Edge, from: u64, to: u64) -> Batch {
    let entries = entries(from, to);
    let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    edge.append(&slices).expect("short entries")
}

/// A log in memory, with every tile and bundle of every size at which it stood.
#[derive(Clone)]
pub struct Log {
    pub edge: Edge,
    pub tiles: Tiles,
    pub bundles: BTreeMap<BundleId, Vec<u8>>,
}

impl Log {
    pub fn new() -> Self {
        Self { edge: Edge::empty(), tiles: Tiles::new(), bundles: BTreeMap::new() }
    }

    pub fn of(size: u64) -> Self {
        let mut log = Self::new();
        log.grow(size);
        log
    }

    pub fn tree(&self) -> Tree {
        self.edge.tree()
    }

    pub fn grow(&mut self, size: u64) -> Batch {
        let batch = append(&self.edge, self.tree().size, size);
        self.edge = batch.edge.clone();
        self.tiles.extend(batch.tiles.iter().cloned());
        self.bundles.extend(batch.bundles.iter().cloned());
        batch
    }

    /// Exactly these tiles, as a caller fetches them.
    pub fn fetch(&self, tiles: &[Tile]) -> Tiles {
        tiles
            .iter()
            .map(|tile| (*tile, self.tiles.get(tile).unwrap_or_else(|| panic!("{} is not in the log", tile.path())).clone()))
            .collect()
    }
}

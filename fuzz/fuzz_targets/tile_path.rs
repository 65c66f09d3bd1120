//! A path that parses is spelt exactly as the tile or bundle spells it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tlog::{BundleId, Tile};

fuzz_target!(|path: &str| {
    if let Some(tile) = Tile::parse(path) {
        assert_eq!(tile.path(), path);
        assert_eq!(Tile::new(tile.level(), tile.index(), tile.width()), Some(tile));
    }
    if let Some(id) = BundleId::parse(path) {
        assert_eq!(id.path(), path);
        assert_eq!(Tile::parse(path), None);
    }
});

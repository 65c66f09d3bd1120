//! Tiles, bundles and hashes by name: paths there and back, every refusal, and which of them a tree has.

mod memory;

use std::collections::BTreeSet;

use memory::SIZES;
use proptest::prelude::*;
use tlog::bundle::{self, BundleError, MAX_BUNDLE, MAX_ENTRY};
use tlog::{BundleId, Hash, Tile, hash_children, hash_leaf};

#[test]
fn other_spellings_are_refused() {
    let refused = [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/0/x001000",
        "tile/0/X001/000",
        "tile/0/x1/000",
        "tile/0/x001//000",
        "tile/0//x001/000",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/+1",
        "tile/0/000.p/1/",
        "tile/0/000.p/1.p/1",
        "tile/0/000.P/1",
        "tile/0/000.p/65537",
        "tile/00/000",
        "tile/+0/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/256/000",
        "tile/0 /000",
        "tile/0/ 000",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/entries/000",
        "tile/data/000",
        "tile/8/0/000",
        "tile/0/٠٠٠",
        "tile/0/000\n",
        "tile/0/000\0",
        "../tile/0/000",
        "tile/0/../000",
    ];
    refused.into_iter().for_each(|path| assert_eq!(Tile::parse(path), None, "{path}"));
    for path in refused.into_iter().filter(|path| *path != "tile/entries/000") {
        let path = path.replacen("tile/0", "tile/entries", 1);
        assert_eq!(BundleId::parse(&path), None, "{path}");
    }
    let last = "tile/63/x018/x446/x744/x073/x709/x551/615.p/255";
    assert_eq!(Tile::parse(last), Tile::new(63, u64::MAX, 255));
    assert!(Tile::parse(&format!("tile/0/{}000", "x000/".repeat(1_000_000))).is_none());
    assert_eq!(BundleId::parse("tile/entries/x018/x446/x744/x073/x709/x551/615"), BundleId::new(u64::MAX, 256));
}

#[test]
fn tiles_that_cannot_be_are_not_made() {
    assert!(Tile::new(64, 0, 1).is_none() && Tile::new(0, 0, 0).is_none() && Tile::new(0, 0, 257).is_none());
    assert!(BundleId::new(0, 0).is_none() && BundleId::new(0, 257).is_none());
    for size in SIZES {
        assert!(Tile::holding(0, size, size).is_none() && BundleId::holding(size, size).is_none());
        assert!(Tile::holding(8, 0, size).is_none() && Tile::holding(63, 0, size).is_none());
    }
}

#[test]
fn the_tiles_of_a_tree_hang_together() {
    for size in SIZES.into_iter().chain([70_000, 1 << 24, (1 << 24) + 1]) {
        let all: BTreeSet<Tile> = Tile::all(size).collect();
        let counted: u64 = all.iter().filter(|tile| tile.level() == 0).map(|tile| u64::from(tile.width())).sum();
        assert_eq!(counted, size);
        assert!(all.iter().all(|tile| tile.is_of(size)));
        let partial: Vec<Tile> = all.iter().copied().filter(Tile::is_partial).collect();
        assert_eq!(Tile::edge(size).collect::<Vec<_>>(), partial, "size {size}");
        for tile in &all {
            let parent = tile.parent(size);
            assert_eq!(parent.is_none(), tile.is_partial(), "{} of {size}", tile.path());
            if let Some((parent, number)) = parent {
                assert!(all.contains(&parent) && u16::from(number) < parent.width());
                assert_eq!((parent.level(), parent.index() * 256 + u64::from(number)), (tile.level() + 1, tile.index()));
            }
        }
    }
    assert_eq!(Tile::edge(u64::MAX >> 1).count(), 8);
    assert_eq!(Tile::all(256).map(|tile| tile.path()).collect::<Vec<_>>(), ["tile/0/000", "tile/1/000.p/1"]);
}

#[test]
fn growth_is_the_difference_of_two_trees() {
    for (old, new) in
        [(0, 0), (0, 1), (1, 1), (1, 2), (255, 256), (256, 257), (100, 1_000), (65_535, 65_536), (65_280, 65_537), (70_000, 140_000)]
    {
        let (before, after): (BTreeSet<Tile>, BTreeSet<Tile>) = (Tile::all(old).collect(), Tile::all(new).collect());
        assert_eq!(Tile::grown(old, new).collect::<BTreeSet<_>>(), &after - &before, "{old} to {new}");
        let (before, after): (BTreeSet<BundleId>, BTreeSet<BundleId>) = (BundleId::all(old).collect(), BundleId::all(new).collect());
        assert_eq!(BundleId::grown(old, new).collect::<BTreeSet<_>>(), &after - &before, "{old} to {new}");
    }
}

#[test]
fn bundles_are_cut_and_refused() {
    let mut bytes = Vec::new();
    for entry in [b"".as_slice(), b"ab", b"c"] {
        bundle::push(&mut bytes, entry).unwrap();
    }
    assert_eq!(bytes, b"\0\0\0\x02ab\0\x01c");
    assert_eq!(bundle::parse(&bytes, 3).unwrap(), [b"".as_slice(), b"ab", b"c"]);
    for width in [0, 1, 2, 4, 255, 256, 257, u16::MAX] {
        assert_eq!(bundle::parse(&bytes, width), Err(BundleError::WrongCount), "width {width}");
    }
    for len in 1..bytes.len() {
        assert!(bundle::parse(&bytes[..len], 3).is_err(), "{len} bytes");
    }
    assert_eq!(bundle::parse(&[&bytes[..], &[0]].concat(), 3), Err(BundleError::Malformed));
    assert_eq!([0, 1, 2, 3].map(|width| bundle::cut(&bytes, width).unwrap().len()), [0, 2, 6, 9]);
    assert_eq!(bundle::cut(&bytes, 4), Err(BundleError::WrongCount));
    assert_eq!(bundle::cut(&bytes[..8], 3), Err(BundleError::Malformed));
    assert_eq!(bundle::push(&mut bytes, &vec![0; MAX_ENTRY + 1]), Err(BundleError::TooLong));
    assert_eq!(bytes.len(), 9);
    let largest = [&[0xff, 0xff][..], &vec![1; MAX_ENTRY]].concat().repeat(256);
    assert_eq!((largest.len(), bundle::parse(&largest, 256).unwrap().len()), (MAX_BUNDLE, 256));
}

#[test]
fn tiles_are_cut_and_read() {
    let tile = Tile::new(0, 3, 2).unwrap();
    let bytes: Vec<u8> = (0..96).collect();
    assert_eq!(tile.cut(&bytes), Some(&bytes[..64]));
    assert_eq!(tile.cut(&bytes[..64]), Some(&bytes[..64]));
    assert_eq!((tile.cut(&bytes[..32]), tile.cut(&bytes[..95]), tile.cut(&vec![0; 8224])), (None, None, None));
    let hashes = tile.hashes(&bytes[..64]).unwrap();
    assert_eq!((hashes.len(), hashes[1].as_bytes().as_slice()), (2, &bytes[32..64]));
    assert!([0, 32, 63, 65, 96].into_iter().all(|len| tile.hashes(&bytes[..len]).is_none()));
    assert_eq!((tile.full(), BundleId::new(3, 2).unwrap().tile()), (Tile::new(0, 3, 256).unwrap(), tile));
}

#[test]
fn hashes_are_read_in_one_spelling_only() {
    let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!((Hash::digest(b""), Hash::EMPTY.to_hex().as_str(), Hash::from_hex(hex)), (Hash::EMPTY, hex, Some(Hash::EMPTY)));
    assert_eq!(format!("{} {:?}", Hash::EMPTY, Hash::EMPTY), format!("{hex} {hex}"));
    for wrong in [&hex.to_uppercase(), &hex[1..], &hex[2..], &format!("{hex}00"), &hex.replace('e', "g"), ""] {
        assert_eq!(Hash::from_hex(wrong), None, "{wrong}");
    }
    let base64 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    assert_eq!((Hash::EMPTY.to_base64().as_str(), Hash::from_base64(base64)), (base64, Some(Hash::EMPTY)));
    // Not padded, stray bits at the end, the other alphabet, 31 and 33 bytes, a line end.
    let wrong = [
        base64.trim_end_matches('=').to_owned(),
        base64.replace("FU=", "FV="),
        base64.replace('+', "-").replace('/', "_"),
        format!("{}==", "A".repeat(42)),
        "A".repeat(44),
        "A".repeat(100),
        format!("{base64}\n"),
    ];
    wrong.iter().for_each(|wrong| assert_eq!(Hash::from_base64(wrong), None, "{wrong}"));
    assert_ne!(hash_leaf(&[Hash::EMPTY.as_bytes().as_slice(), Hash::EMPTY.as_bytes()].concat()), hash_children(&Hash::EMPTY, &Hash::EMPTY));
}

proptest! {
    #![proptest_config(memory::cases(256))]

    #[test]
    fn paths_round_trip(level in 0_u8..64, index in any::<u64>(), shift in 0_u32..64, width in 1_u16..=256) {
        let tile = Tile::new(level, index >> shift, width).unwrap();
        prop_assert_eq!(Tile::parse(&tile.path()), Some(tile));
        let id = BundleId::new(index >> shift, width).unwrap();
        prop_assert_eq!(BundleId::parse(&id.path()), Some(id));
    }

    #[test]
    fn what_parses_is_spelt_as_we_spell_it(path in "tile/(entries|[0-9]{1,2})/(x[0-9]{3}/){0,7}[0-9x]{3,4}(\\.p/[0-9]{1,3})?") {
        prop_assert!(Tile::parse(&path).is_none_or(|tile| tile.path() == path));
        prop_assert!(BundleId::parse(&path).is_none_or(|id| id.path() == path));
    }

    #[test]
    fn bundles_round_trip(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..=256)) {
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| bundle::push(&mut bytes, entry).unwrap());
        prop_assert_eq!(bundle::parse(&bytes, entries.len() as u16).unwrap(), entries);
    }
}

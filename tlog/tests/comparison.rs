//! Two checkpoints of one log, honest or not, and the tiles of the larger tree.

use tlog::comparison::ComparisonError;
use tlog::evidence::Evidence;
use tlog::plan::Tiles;
use tlog::{Checkpoint, Comparison, Edge, Hash, KeyKind, KeyName, Relation, SignedCheckpoint, Signer as _, SigningKey, Tree, hash_leaf};

fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(KeyName::parse(name).unwrap(), KeyKind::Ed25519, &[7; 32]).unwrap()
}

/// Entries of which those from `from` on are of another world.
fn entries(size: usize, from: usize) -> Vec<Vec<u8>> {
    (0..size).map(|index| format!("{index}{}", if index < from { "" } else { " of another world" }).into_bytes()).collect()
}

fn signed(origin: &str, entries: &[Vec<u8>]) -> SignedCheckpoint {
    let hashes: Vec<Hash> = entries.iter().map(|entry| hash_leaf(entry)).collect();
    let checkpoint = Checkpoint { origin: origin.into(), tree: Tree::of(&hashes), extensions: Vec::new() };
    let line = checkpoint.sign(&key(origin), 0).unwrap();
    SignedCheckpoint::new(checkpoint, vec![line])
}

fn tiles(entries: &[Vec<u8>]) -> Tiles {
    let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    Edge::empty().append(&slices).unwrap().tiles.into_iter().collect()
}

#[test]
fn one_history_is_proven_and_two_are_convicted_at_any_sizes() {
    const SIZES: [usize; 12] = [1, 2, 3, 8, 255, 256, 257, 300, 511, 512, 513, 700];
    let vkey = key("log").key().clone();
    for old in SIZES {
        for new in SIZES {
            // The worlds part at entry 2.
            let (here, there) = (entries(old, usize::MAX), entries(new, 2));
            let (one, other) = (signed("log", &here), signed("log", &there));
            let comparison = Comparison::new(&one, &other).unwrap();
            let larger = if old <= new { &there } else { &here };
            let relation = comparison.finish(&tiles(larger)).unwrap();
            if old.min(new) <= 2 {
                assert!(matches!(relation, Relation::One(_)), "{old} {new}: they parted later");
                continue;
            }
            let Relation::Two(evidence) = relation else { panic!("{old} {new}") };
            let handed_over = Evidence::parse(evidence.encode().as_bytes()).unwrap();
            assert_eq!(handed_over.verify(std::slice::from_ref(&vkey)), Ok(()), "{old} {new}");
            let same = signed("log", &entries(new, usize::MAX));
            let relation = Comparison::new(&same, &one).unwrap().finish(&tiles(&entries(old.max(new), usize::MAX))).unwrap();
            assert!(matches!(relation, Relation::One(_)), "{old} {new}");
        }
    }
}

#[test]
fn tiles_of_another_tree_decide_nothing() {
    let (one, other) = (signed("log", &entries(300, usize::MAX)), signed("log", &entries(600, 100)));
    let comparison = Comparison::new(&one, &other).unwrap();
    assert!(comparison.finish(&tiles(&entries(600, usize::MAX))).is_err());
    assert!(comparison.finish(&Tiles::default()).is_err());
    assert_eq!((comparison.smaller(), comparison.larger()), (&one, &other));
}

#[test]
fn other_logs_are_not_compared() {
    let (one, other) = (signed("log", &entries(3, 9)), signed("another", &entries(3, 9)));
    assert_eq!(Comparison::new(&one, &other).map(|_| ()).unwrap_err(), ComparisonError::OtherLog);
}

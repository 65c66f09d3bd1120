//! Bundles: reading, refusing, verifying.

mod common;

use attest::Bundle;
use attest::bundle::{BundleError, BundledLeaf, BundledManifest, EarlierTree, Part, Parts};
use attest::manifest::{ManifestBuilder, tree_of};
use common::{ATTR, claim, hash, key, leaf};
use proptest::prelude::*;
use tlog::{Checkpoint, ConsistencyProof, Hash, InclusionProof, Note, SignedCheckpoint, Tree, hash_leaf};

fn signed(tree: Tree) -> SignedCheckpoint {
    let checkpoint = Checkpoint { origin: "log.example".into(), tree, extensions: vec![] };
    let log = key("log.example");
    let line = checkpoint.sign(&log, 0).expect("signed");
    SignedCheckpoint { note: Note { text: checkpoint.encode(), lines: vec![line] }, checkpoint }
}

fn manifest(package: &str) -> BundledManifest {
    let text = ManifestBuilder::new(hash(package)).finish().expect("good").encode();
    BundledManifest { root: tree_of(&text).root, text }
}

/// Leaves 1 and 3 of a tree of five, two earlier trees, and two manifests.
fn sample() -> Bundle {
    let leaves: Vec<Vec<u8>> = ["a", "b", "c", "d", "e"].iter().map(|package| leaf(&key("b1"), &claim(ATTR, package, "m"))).collect();
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| hash_leaf(leaf)).collect();
    let bundled = |index: usize| {
        let proof = InclusionProof::of(&hashes, index).expect("in range");
        BundledLeaf { index: index as u64, leaf: leaves[index].clone(), proof }
    };
    let mut manifests = vec![manifest("a"), manifest("b")];
    manifests.sort_by_key(|manifest| manifest.root);
    let earlier =
        |size: usize| EarlierTree { tree: Tree::of(&hashes[..size]), proof: ConsistencyProof::of(&hashes, size).expect("smaller") };
    let history = vec![earlier(2), earlier(3)];
    Bundle { checkpoint: signed(Tree::of(&hashes)), history, leaves: vec![bundled(1), bundled(3)], manifests }
}

#[test]
fn bundles_round_trip_and_verify() {
    let bundle = sample();
    let read = Bundle::parse(&bundle.encode()).expect("good");
    assert_eq!(read, bundle);
    assert_eq!(read.verify(), Ok(()));
    let mut shuffled = bundle.clone();
    shuffled.leaves.reverse();
    shuffled.manifests.reverse();
    shuffled.history.reverse();
    shuffled.history.push(bundle.history[0].clone());
    shuffled.leaves.push(bundle.leaves[0].clone());
    assert_eq!(shuffled.encode(), bundle.encode());
}

#[test]
fn parts_are_read_without_copying() {
    let bytes = sample().encode();
    let parts: Vec<Part<'_>> = Parts::new(&bytes).collect::<Result<_, _>>().expect("good");
    assert!(matches!(
        parts.as_slice(),
        [
            Part::Checkpoint(_),
            Part::Earlier(_),
            Part::Earlier(_),
            Part::Leaf { index: 1, .. },
            Part::Leaf { index: 3, .. },
            Part::Manifest { .. },
            Part::Manifest { .. }
        ]
    ));
}

#[test]
fn false_proofs_and_manifests_are_found() {
    let mut bundle = sample();
    bundle.leaves[1].index = 4;
    assert_eq!(bundle.verify(), Err(BundleError::BadProof(4)));
    let mut bundle = sample();
    bundle.leaves[0].leaf[100] ^= 1;
    assert_eq!(bundle.verify(), Err(BundleError::BadProof(1)));
    let mut bundle = sample();
    bundle.leaves[0].proof.0.push(hash("x"));
    assert_eq!(bundle.verify(), Err(BundleError::BadProof(1)));
    let mut bundle = sample();
    bundle.history[1].tree.root = hash("x");
    assert_eq!(bundle.verify(), Err(BundleError::BadHistory(3)));
    let mut bundle = sample();
    bundle.history[0].tree.size = 4;
    assert_eq!(bundle.verify(), Err(BundleError::BadHistory(4)));
    let mut bundle = sample();
    bundle.manifests[1].text.push(b'x');
    assert_eq!(bundle.verify(), Err(BundleError::BadManifest(bundle.manifests[1].root)));
}

#[test]
fn other_files_are_refused() {
    let good = String::from_utf8(sample().encode()).expect("text");
    let refused = |from: &str, to: &str| Bundle::parse(good.replacen(from, to, 1).as_bytes()).expect_err(to);
    assert_eq!(Bundle::parse(b""), Err(BundleError::Malformed));
    for (from, to) in [
        ("tallystick bundle v1", "tallystick bundle v2"),
        ("\nend\n", "\nend"),
        ("\nend\n", "\nend\n\n"),
        ("\nend\n", "\nfin\n"),
        ("\nend\n", "\nend now\n"),
        ("leaf 1 ", "leaf 01 "),
        ("leaf 1 ", "leaf -1 "),
        ("leaf 1 ", "leaf  1 "),
        ("leaf 1 ", &format!("leaf {} ", "1".repeat(200))),
        ("log.example\n5\n", "log.example\n6\n5\n"),
        ("checkpoint ", "checkpoint 1"),
        ("tree 2 ", "tree 02 "),
        ("tree 2 ", "tree 0 "),
        ("tree 2 ", "tree 2 0"),
    ] {
        assert_eq!(refused(from, to), BundleError::Malformed, "{from} -> {to}");
    }
    let tree = good.lines().find(|line| line.starts_with("tree 2 ")).expect("there").to_owned();
    assert_eq!(refused(&tree, &format!("{} 64", tree.rsplit_once(' ').expect("words").0)), BundleError::TooLarge);
    let hashes = good.lines().find(|line| line.starts_with("leaf 1 ")).expect("there").to_owned();
    let words: Vec<&str> = hashes.split(' ').collect();
    assert_eq!(refused(&hashes, &format!("leaf 1 {} 64", words[2])), BundleError::TooLarge);
    assert_eq!(refused(&hashes, &format!("leaf 1 65536 {}", words[3])), BundleError::TooLarge);
    assert_eq!(refused(&hashes, &format!("leaf 1 {} 2", words[2])), BundleError::Malformed);
    assert_eq!(refused("checkpoint ", "checkpoint 9999999"), BundleError::TooLarge);
}

#[test]
fn order_is_checked() {
    let bundle = sample();
    let text = String::from_utf8(bundle.encode()).expect("text");
    let place = |from: &str| text.find(from).expect("there");
    let (trees, later) = (place("tree 2 "), place("tree 3 "));
    let (first, second, third) = (place("leaf 1 "), place("leaf 3 "), place("manifest "));
    let end = place("end\n");
    let pieces = |order: &[&str]| Bundle::parse(order.concat().as_bytes()).expect_err("must be refused");
    let (start, two, old, one, three, rest, stop) = (
        &text[..trees],
        &text[trees..later],
        &text[later..first],
        &text[first..second],
        &text[second..third],
        &text[third..end],
        &text[end..],
    );
    let checkpoint = &start["tallystick bundle v1\n".len()..];
    assert_eq!(pieces(&[start, old, two, one, three, rest, stop]), BundleError::OutOfOrder);
    assert_eq!(pieces(&[start, two, two, one, three, rest, stop]), BundleError::OutOfOrder);
    assert_eq!(pieces(&[start, one, two, three, rest, stop]), BundleError::OutOfOrder);
    assert_eq!(pieces(&["tallystick bundle v1\n", two, stop]), BundleError::OutOfOrder);
    assert_eq!(pieces(&[start, three, one, rest, stop]), BundleError::OutOfOrder);
    assert_eq!(pieces(&[start, one, one, three, rest, stop]), BundleError::OutOfOrder);
    assert_eq!(pieces(&[start, rest, one, three, stop]), BundleError::OutOfOrder);
    assert_eq!(pieces(&[start, one, three, rest, rest, stop]), BundleError::OutOfOrder);
    assert_eq!(pieces(&[start, checkpoint, one, stop]), BundleError::OutOfOrder);
    assert_eq!(pieces(&["tallystick bundle v1\n", one, stop]), BundleError::OutOfOrder);
    assert_eq!(pieces(&["tallystick bundle v1\n", stop]), BundleError::OutOfOrder);
}

proptest! {
    #[test]
    fn truncated_bundles_are_refused(cut in 0_usize..6_000) {
        let bytes = sample().encode();
        let cut = cut % bytes.len();
        prop_assert!(Bundle::parse(&bytes[..cut]).is_err());
    }

    #[test]
    fn what_is_read_is_written_the_same(place in 0_usize..6_000, byte in any::<u8>()) {
        let mut bytes = sample().encode();
        let place = place % bytes.len();
        bytes[place] = byte;
        if let Ok(bundle) = Bundle::parse(&bytes) {
            prop_assert_eq!(bundle.encode(), bytes);
        }
    }
}

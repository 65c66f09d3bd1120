//! Our own vectors of trees, tiles and bundles: tables in `testdata/`, each line with the verdict it must get. They were
//! computed by another program than this one, from the definitions.

mod memory;

use memory::{entry, leaves};
use tlog::bundle;
use tlog::{BundleId, ConsistencyProof, Hash, InclusionProof, SubtreeProof, Tile, Tree, hash_leaf};

/// The lines of a table, without comments, as words.
fn table(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').collect())
}

fn hash(hex: &str) -> Hash {
    Hash::from_hex(hex).unwrap_or_else(|| panic!("not a hash: {hex}"))
}

/// `accept`, or `refuse:` and the name of the error.
fn judge<E: std::fmt::Debug>(line: &[&str], result: Result<(), E>) {
    let verdict = result.map_or_else(|error| format!("refuse:{error:?}"), |()| "accept".into());
    assert_eq!(verdict, line[0], "{line:?}");
}

#[test]
fn roots() {
    let leaves = leaves(65_537);
    assert_eq!(leaves[7], hash_leaf(&entry(7)));
    let mut sizes = 0;
    for line in table(include_str!("../../testdata/tree/roots.txt")) {
        let size: usize = line[0].parse().unwrap();
        assert_eq!(Tree::of(&leaves[..size]), Tree { size: size as u64, root: hash(line[1]) }, "size {size}");
        sizes += 1;
    }
    assert_eq!(sizes, 23);
}

#[test]
fn proofs() {
    let (mut accepted, mut refused) = (0, 0);
    for line in table(include_str!("../../testdata/tree/proofs.txt")) {
        let [start, end, size] = [2, 3, 4].map(|word| line[word].parse::<u64>().unwrap());
        let (tree, subject) = (Tree { size, root: hash(line[5]) }, hash(line[6]));
        let proof: Vec<Hash> = line[7..].iter().map(|hex| hash(hex)).collect();
        let result = match line[1] {
            "inclusion" => InclusionProof(proof).verify(&tree, start, &subject),
            "consistency" => ConsistencyProof(proof).verify(&Tree { size: end, root: subject }, &tree),
            "subtree" => SubtreeProof(proof).verify(&tree, start, end, &subject),
            kind => panic!("unknown kind {kind}"),
        };
        *if result.is_ok() { &mut accepted } else { &mut refused } += 1;
        judge(&line, result);
    }
    println!("testdata/tree: {accepted} accepted, {refused} refused");
    assert_eq!((accepted, refused), (52, 291));
}

#[test]
fn paths() {
    let (mut accepted, mut refused) = (0, 0);
    for line in table(include_str!("../../testdata/tile/paths.txt")) {
        let path = line[1..].join(" ");
        let read = [Tile::parse(&path).map(|tile| tile.path()), BundleId::parse(&path).map(|id| id.path())];
        match line[0] {
            "accept" => assert_eq!((read.iter().flatten().count(), read.contains(&Some(path.clone()))), (1, true), "{path}"),
            "refuse" => assert_eq!(read, [None, None], "{path}"),
            verdict => panic!("unknown verdict {verdict}"),
        }
        *if line[0] == "accept" { &mut accepted } else { &mut refused } += 1;
    }
    assert_eq!((accepted, refused), (16, 41));
}

#[test]
fn bundles() {
    let mut count = 0;
    for line in table(include_str!("../../testdata/bundle/bundles.txt")) {
        let bytes = hex::decode(line[2]).unwrap();
        judge(&line, bundle::parse(&bytes, line[1].parse().unwrap()).map(drop));
        count += 1;
    }
    assert_eq!(count, 15);
}

//! What logs and witnesses send to each other, and what they keep against each other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tlog::evidence::Evidence;
use tlog::witness::{AddCheckpoint, SignSubtree};
use tlog::{Checkpoint, ConsistencyProof, Hash, SignedCheckpoint, SubtreeProof, Tree};

use super::{Case, case};
use crate::fixture::{self, consistency, leaves, log, signed, signed_short};

pub fn add_checkpoint() -> Vec<Case> {
    let request = AddCheckpoint { old_size: 8, proof: consistency(&leaves(13, false), 8), checkpoint: signed_short(13, false).note };
    let good = request.encode();
    let hashes = |count| AddCheckpoint { proof: ConsistencyProof(vec![Hash::EMPTY; count]), ..request.clone() }.encode();
    let bad = "refuse Malformed";
    vec![
        case("accept", "accept", good.clone()),
        case("accept-first", "accept", format!("old 0\n\n{}", signed_short(13, false).encode())),
        case("accept-63-hashes", "accept", hashes(63)),
        case("accept-note-that-is-no-checkpoint", "accept", good.replace("\n13\n", "\nthirteen\n")),
        case("accept-old-size-beyond-the-checkpoint", "accept", good.replacen("old 8", "old 99", 1)),
        case("64-hashes", bad, hashes(64)),
        case("empty", bad, ""),
        case("no-old-size", bad, good.replacen("old 8\n", "", 1)),
        case("old-size-with-leading-zero", bad, good.replacen("old 8", "old 08", 1)),
        case("old-size-with-sign", bad, good.replacen("old 8", "old +8", 1)),
        case("old-size-too-large", bad, good.replacen("old 8", "old 9223372036854775808", 1)),
        case("two-spaces", bad, good.replacen("old 8", "old  8", 1)),
        case("hash-of-31-bytes", bad, good.replacen("old 8\n", &format!("old 8\n{}\n", STANDARD.encode([1; 31])), 1)),
        case(
            "hash-with-loose-bits",
            bad,
            good.replacen("old 8\n", &format!("old 8\n{}\n", Hash::EMPTY.to_base64().replace("U=", "V=")), 1),
        ),
        case("no-blank-line", bad, good.replacen("\n\n", "\n", 1)),
        case("no-checkpoint", bad, "old 8\n\n"),
        case("checkpoint-unsigned", bad, good.rsplit_once("\n\n").unwrap().0),
        case("carriage-returns", bad, good.replace('\n', "\r\n")),
        case("not-utf-8", bad, [b"\xff", good.as_bytes()].concat()),
    ]
}

pub fn sign_subtree() -> Vec<Case> {
    let hash = Tree::of(&leaves(13, false)[8..12]).root;
    let request =
        SignSubtree { start: 8, end: 12, hash, proof: SubtreeProof(vec![Hash::EMPTY; 3]), checkpoint: signed_short(13, false).note };
    let good = request.encode();
    let hashes = |count| SignSubtree { proof: SubtreeProof(vec![Hash::EMPTY; count]), ..request.clone() }.encode();
    let interval = |text: &str| good.replacen("subtree 8 12", &format!("subtree {text}"), 1);
    let bad = "refuse Malformed";
    vec![
        case("accept", "accept", good.clone()),
        case("accept-one-leaf", "accept", interval("5 6")),
        case("accept-empty-interval", "accept", interval("5 5")),
        case("accept-63-hashes", "accept", hashes(63)),
        case("64-hashes", bad, hashes(64)),
        case("empty", bad, ""),
        case("interval-not-aligned", bad, interval("1 3")),
        case("interval-backwards", bad, interval("12 8")),
        case("start-with-leading-zero", bad, interval("08 12")),
        case("end-missing", bad, interval("8")),
        case("three-numbers", bad, interval("8 12 13")),
        case("end-too-large", bad, interval("0 9223372036854775808")),
        case(
            "no-hash",
            bad,
            good.replacen(&format!("{}\n", hash.to_base64()), "", 1).replace(&format!("{}\n", Hash::EMPTY.to_base64()), ""),
        ),
        case("hash-of-33-bytes", bad, good.replacen(&hash.to_base64(), &STANDARD.encode([1; 33]), 1)),
        case("no-checkpoint", bad, good.split_once("\n\n").unwrap().0),
        case("carriage-returns", bad, good.replace('\n', "\r\n")),
        case("not-utf-8", bad, [b"\xff", good.as_bytes()].concat()),
    ]
}

/// The larger tree is the honest one; the smaller checkpoint is of a tree with another leaf 3.
fn split(old: u8) -> Evidence {
    let honest = leaves(13, false);
    let proof = consistency(&honest, old.into());
    let root = Tree::of(&honest[..old.into()]).root;
    Evidence::new(signed_short(13, false), signed_short(old, true), Some((root, proof)))
}

fn same_size() -> Evidence {
    Evidence::new(signed_short(8, false), signed_short(8, true), None)
}

/// A tree of size 0 has one root; whoever signs another has lied already.
fn empty_with_root() -> Evidence {
    let mut checkpoint = fixture::checkpoint(0, false);
    checkpoint.tree.root = fixture::checkpoint(1, false).tree.root;
    let line = checkpoint.sign(&log()[0], 0).unwrap();
    let smaller = SignedCheckpoint::new(checkpoint, vec![line]);
    Evidence::new(smaller, signed_short(13, false), Some((Hash::EMPTY, ConsistencyProof(vec![]))))
}

pub fn evidence() -> Vec<Case> {
    let (sizes, same) = (split(7).encode(), same_size().encode());
    let mut cases = vec![
        case("accept-same-size", "accept", same.clone()),
        case("accept-two-sizes", "accept", sizes.clone()),
        case("accept-two-sizes-of-which-one-is-a-power-of-two", "accept", split(8).encode()),
        case("accept-empty-tree-with-another-root", "accept", empty_with_root().encode()),
        case("accept-beside-a-wrong-line", "accept", beside_wrong().encode()),
    ];
    cases.extend(unproven());
    cases.extend(malformed(&sizes, &same));
    cases
}

/// The second line is the log's too, and wrong: the first convicts all the same.
fn beside_wrong() -> Evidence {
    let mut evidence = Evidence::new(signed(8, false), signed_short(8, true), None);
    *evidence.smaller.note.lines[1].signature.last_mut().unwrap() ^= 1;
    evidence
}

fn unproven() -> Vec<Case> {
    let honest = |old: u8| {
        let all = leaves(13, false);
        Evidence {
            smaller: signed_short(old, false),
            divergence: Some((Tree::of(&all[..old.into()]).root, consistency(&all, old.into()))),
            ..split(7)
        }
    };
    let mut wrong_proof = split(7);
    wrong_proof.divergence.as_mut().unwrap().1.0[0] = Hash::EMPTY;
    let mut wrong_root = split(7);
    wrong_root.divergence.as_mut().unwrap().0 = Hash::EMPTY;
    let mut longer = split(7);
    longer.divergence.as_mut().unwrap().1.0.push(Hash::EMPTY);
    let mut unsigned = split(7);
    unsigned.larger.note.lines[0].signature[0] ^= 1;
    vec![
        case("consistent", "refuse Unproven", honest(7).encode()),
        case("consistent-with-the-empty-tree", "refuse Unproven", honest(0).encode()),
        case("the-same-checkpoint-twice", "refuse Unproven", Evidence { larger: signed_short(8, false), ..same_size() }.encode()),
        case("proof-of-nothing", "refuse Unproven", wrong_proof.encode()),
        case("proof-with-one-hash-more", "refuse Unproven", longer.encode()),
        case("root-that-leads-nowhere", "refuse Unproven", wrong_root.encode()),
        case("signature-wrong", "refuse NotSigned", unsigned.encode()),
        case("of-two-logs", "refuse NotSigned", Evidence { larger: other_log(), ..same_size() }.encode()),
    ]
}

/// The same keys for another origin: two logs of one operator, each of which has its own history.
fn other_log() -> SignedCheckpoint {
    let checkpoint = Checkpoint { origin: "log.example/two".into(), ..fixture::checkpoint(8, true) };
    let line = checkpoint.sign(&log()[0], 0).unwrap();
    SignedCheckpoint::new(checkpoint, vec![line])
}

/// The first length ends inside the dash of the signature line.
fn within_a_character() -> String {
    let note = same_size().smaller.encode();
    let dash = note.find('\u{2014}').unwrap();
    same_size().encode().replacen(&format!("checkpoint {}", note.len()), &format!("checkpoint {}", dash + 1), 1)
}

fn malformed(sizes: &str, same: &str) -> Vec<Case> {
    let bad = "refuse Malformed";
    let (head, notes) = sizes.split_once("\n\n").unwrap();
    let reversed = Evidence { smaller: split(7).larger, larger: split(7).smaller, ..split(7) };
    vec![
        case("empty", bad, ""),
        case("another-version", bad, same.replace("/v1", "/v2")),
        case("two-sizes-without-a-root", bad, format!("tallystick/evidence/v1\n\n{notes}")),
        case("same-size-with-a-root", bad, same.replacen("v1\n", &format!("v1\nroot {}\n", Hash::EMPTY.to_base64()), 1)),
        case("no-blank-line", bad, format!("{head}\n{notes}")),
        case("larger-first", bad, reversed.encode()),
        case("root-not-base64", bad, sizes.replacen("root ", "root !", 1)),
        case("too-many-hashes", bad, sizes.replacen("\n\n", &format!("\n{}\n", format!("{}\n", Hash::EMPTY.to_base64()).repeat(63)), 1)),
        case("length-too-small", bad, same.replacen("checkpoint 1", "checkpoint ", 1)),
        case("length-beyond-the-end", bad, same.replacen("checkpoint ", "checkpoint 9", 1)),
        case("length-with-leading-zero", bad, same.replacen("checkpoint ", "checkpoint 0", 1)),
        case("length-within-a-character", bad, within_a_character()),
        case("one-checkpoint", bad, &same[..same.rfind("checkpoint ").unwrap()]),
        case("more-after-it", bad, format!("{same}\n")),
        case("checkpoint-that-is-none", bad, same.replace("\n8\n", "\nx\n")),
        case("carriage-returns", bad, same.replace('\n', "\r\n")),
        case("not-utf-8", bad, [b"\xff", same.as_bytes()].concat()),
    ]
}

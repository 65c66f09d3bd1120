//! Checkpoints, cosignatures and proofs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tlog::key::Signer as _;
use tlog::{Hash, InclusionProof, Note, SignatureLine, SignedCheckpoint, TlogProof, cosignature};

use super::{Case, case};
use crate::fixture::{self, ORIGIN, TIME, cosigned, inclusion, leaves, log, signed, signed_short, witness};

/// Any text under the log's signature of type 01, whether or not it is a checkpoint's.
fn noted(text: &str) -> String {
    let mut note = Note::unsigned(text).unwrap();
    note.sign(&log()[0]).unwrap();
    note.encode()
}

pub fn checkpoint() -> Vec<Case> {
    let good = fixture::checkpoint(13, false).encode();
    let root = Hash::EMPTY.to_base64();
    let body = |origin: &str, size: &str, rest: &str| format!("{origin}\n{size}\n{rest}\n");
    let mut cases = vec![
        case("accept-text", "accept", good.clone()),
        case("accept-ed25519", "accept", signed_short(13, false).encode()),
        case("accept-both-signatures", "accept", signed(13, false).encode()),
        case("accept-cosigned", "accept", cosigned(13, &[1]).encode()),
        case("accept-empty-tree", "accept", noted(&body(ORIGIN, "0", &root))),
        case("accept-empty-tree-with-another-root", "accept", body(ORIGIN, "0", &fixture::checkpoint(1, false).tree.root.to_base64())),
        case("accept-spaces-and-plus-in-origin", "accept", body("example log+origin", "1", &root)),
        case("accept-longest-origin", "accept", body(&"a".repeat(255), "1", &root)),
        case("accept-largest-size", "accept", body(ORIGIN, "9223372036854775807", &root)),
        case("accept-extensions", "accept", noted(&format!("{good}one\ntwo more\n"))),
        case("no-log-signature", "refuse Note(NoKnownSignature)", cosigned_only().encode()),
        case("log-signature-of-another-size", "refuse Note(BadSignature)", signed_short(13, false).encode().replace("\n13\n", "\n14\n")),
        case("second-log-signature-wrong", "refuse Note(BadSignature)", second_wrong().encode()),
        case("ml-dsa-beside-extensions", "refuse Note(BadSignature)", extended().encode()),
    ];
    cases.extend(malformed(&good, &root, body));
    cases
}

fn malformed(good: &str, root: &str, body: impl Fn(&str, &str, &str) -> String) -> Vec<Case> {
    let bad = "refuse Malformed";
    vec![
        case("empty", bad, ""),
        case("no-root", bad, format!("{ORIGIN}\n13\n")),
        case("no-line-feed-at-the-end", bad, good.trim_end()),
        case("empty-origin", bad, body("", "1", root)),
        case("origin-too-long", bad, body(&"a".repeat(256), "1", root)),
        case("origin-too-long-in-bytes", bad, body(&"é".repeat(128), "1", root)),
        case("control-byte-in-origin", bad, body("log\u{7}", "1", root)),
        case("size-with-leading-zero", bad, body(ORIGIN, "013", root)),
        case("size-with-sign", bad, body(ORIGIN, "+13", root)),
        case("size-with-space", bad, body(ORIGIN, "13 ", root)),
        case("size-negative", bad, body(ORIGIN, "-1", root)),
        case("size-too-large", bad, body(ORIGIN, "9223372036854775808", root)),
        case("size-over-64-bits", bad, body(ORIGIN, "18446744073709551616", root)),
        case("root-of-31-bytes", bad, body(ORIGIN, "1", &STANDARD.encode([1; 31]))),
        case("root-of-33-bytes", bad, body(ORIGIN, "1", &STANDARD.encode([1; 33]))),
        case("root-without-padding", bad, body(ORIGIN, "1", root.trim_end_matches('='))),
        case("root-with-loose-bits", bad, body(ORIGIN, "1", &root.replace("U=", "V="))),
        case("blank-extension", bad, noted(&format!("{good}one\n\ntwo\n"))),
        case("carriage-returns", bad, good.replace('\n', "\r\n")),
    ]
}

/// Witnesses alone make no checkpoint.
fn cosigned_only() -> SignedCheckpoint {
    let mut signed = cosigned(13, &[1]);
    signed.note.lines.drain(..2);
    signed
}

fn second_wrong() -> SignedCheckpoint {
    let mut signed = signed(13, false);
    *signed.note.lines[1].signature.last_mut().unwrap() ^= 1;
    signed
}

/// Type 06 says nothing about extension lines, therefore it must not stand under any.
fn extended() -> SignedCheckpoint {
    let lines = signed(13, false).note.lines;
    let mut checkpoint = fixture::checkpoint(13, false);
    checkpoint.extensions.push("one".into());
    let first = checkpoint.sign(&log()[0], 0).unwrap();
    SignedCheckpoint::new(checkpoint, vec![first, lines[1].clone()])
}

fn with_line(line: SignatureLine) -> String {
    SignedCheckpoint::new(fixture::checkpoint(13, false), vec![line]).encode()
}

fn stamped(key: &dyn tlog::Signer, time: u64, length: usize) -> String {
    with_line(SignatureLine::by(key.key(), [&time.to_be_bytes()[..], &vec![1; length]].concat()))
}

pub fn cosignature() -> Vec<Case> {
    let [v1, ml_dsa] = witness(1);
    let checkpoint = fixture::checkpoint(13, false);
    let good = |key| cosignature::cosign(key, &checkpoint, TIME).unwrap();
    let untimed = cosignature::sign_subtree(&ml_dsa, ORIGIN, 0, 13, &checkpoint.tree.root).unwrap();
    let mut later = good(&v1);
    later.signature[7] ^= 1;
    let mut extended = checkpoint.clone();
    extended.extensions.push("one".into());
    let covered = cosignature::cosign(&v1, &extended, TIME).unwrap();
    vec![
        case("accept-ed25519", "accept 1768000000", with_line(good(&v1))),
        case("accept-ml-dsa", "accept 1768000000", with_line(good(&ml_dsa))),
        case("accept-ml-dsa-without-time", "accept 0", with_line(untimed)),
        case("accept-ed25519-over-extensions", "accept 1768000000", SignedCheckpoint::new(extended.clone(), vec![covered]).encode()),
        case("by-another-key", "refuse WrongKey", with_line(good(&witness(2)[0]))),
        case("by-a-log-key-of-type-01", "refuse Unsupported", signed_short(13, false).encode()),
        case("ml-dsa-over-extensions", "refuse Unsupported", SignedCheckpoint::new(extended, vec![good(&ml_dsa)]).encode()),
        case("no-signature-after-the-time", "refuse Malformed", stamped(&v1, TIME, 0)),
        case("ed25519-one-byte-short", "refuse Malformed", stamped(&v1, TIME, 63)),
        case("ed25519-one-byte-long", "refuse Malformed", stamped(&v1, TIME, 65)),
        case("ml-dsa-with-an-ed25519-signature", "refuse Malformed", stamped(&ml_dsa, TIME, 64)),
        case("time-of-64-bits", "refuse Malformed", stamped(&v1, 1 << 63, 64)),
        case("no-time", "refuse Malformed", with_line(SignatureLine::by(v1.key(), vec![1; 7]))),
        case("time-changed", "refuse BadSignature", with_line(later)),
        case("size-changed", "refuse BadSignature", with_line(good(&v1)).replace("\n13\n", "\n14\n")),
        case("ml-dsa-origin-changed", "refuse BadSignature", with_line(good(&ml_dsa)).replacen("/one", "/two", 1)),
    ]
}

pub fn proof() -> Vec<Case> {
    let leaves = leaves(13, false);
    let proof = TlogProof { extra: None, index: 5, proof: inclusion(&leaves, 5), checkpoint: cosigned_short() };
    let good = proof.encode();
    let with = |change: &dyn Fn(&mut TlogProof)| {
        let mut proof = proof.clone();
        change(&mut proof);
        proof.encode()
    };
    let hashes = |count| move |proof: &mut TlogProof| proof.proof = InclusionProof(vec![Hash::EMPTY; count]);
    let bad = "refuse Malformed";
    vec![
        case("accept", "accept", good.clone()),
        case("accept-extra", "accept", with(&|proof| proof.extra = Some(b"extra data".to_vec()))),
        case("accept-no-hashes", "accept", with(&hashes(0))),
        case("accept-63-hashes", "accept", with(&hashes(63))),
        case("64-hashes", bad, with(&hashes(64))),
        case("empty", bad, ""),
        case("another-version", bad, good.replace("@v1", "@v2")),
        case("carriage-returns", bad, good.replace('\n', "\r\n")),
        case("extra-of-nothing", bad, good.replacen("index", "extra \nindex", 1)),
        case("extra-without-padding", bad, good.replacen("index", "extra QQ\nindex", 1)),
        case("extra-twice", bad, good.replacen("index", "extra QUFB\nextra QUFB\nindex", 1)),
        case("extra-after-the-index", bad, good.replacen("index 5\n", "index 5\nextra QUFB\n", 1)),
        case("no-index", bad, good.replacen("index 5\n", "", 1)),
        case("index-with-leading-zero", bad, good.replacen("index 5", "index 05", 1)),
        case("index-too-large", bad, good.replacen("index 5", "index 9223372036854775808", 1)),
        case("hash-of-31-bytes", bad, good.replacen("index 5\n", &format!("index 5\n{}\n", STANDARD.encode([1; 31])), 1)),
        case("no-blank-line", bad, good.replacen("\n\n", "\n", 1)),
        case("no-checkpoint", bad, good.split_once("\n\n").unwrap().0),
        case("checkpoint-unsigned", bad, good.rsplit_once("\n\n").unwrap().0),
        case("checkpoint-with-leading-zero", bad, good.replace("\n13\n", "\n013\n")),
        case("not-utf-8", bad, [good.as_bytes(), b"\xff"].concat()),
    ]
}

/// The log's and one witness's Ed25519 lines only, so that the file is short.
fn cosigned_short() -> SignedCheckpoint {
    let mut signed = cosigned(13, &[1]);
    signed.note.lines.retain(|line| line.signature.len() < 100);
    signed
}

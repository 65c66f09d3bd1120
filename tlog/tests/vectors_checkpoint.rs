//! The shared vectors of checkpoints.

mod support;

use serde_json::Value;
use support::{Count, array, bytes, load, string, valid};
use tlog::key::KeyError;
use tlog::{Checkpoint, Hash, KeyKind, SignedCheckpoint, VerifierKey, cosignature};

#[test]
fn bodies() {
    let Some(file) = load("checkpoint/body-parse.json") else { return };
    let mut count = Count::of("checkpoint/body-parse.json");
    for case in array(&file, "cases") {
        let (name, body) = (string(case, "name"), string(case, "body"));
        let parsed = Checkpoint::parse(body);
        assert_eq!(parsed.is_ok(), valid(case), "{name}");
        if let Ok(checkpoint) = parsed {
            assert_eq!(checkpoint.encode(), body, "{name}");
            check_fields(&checkpoint, case);
        }
        count.ran();
    }
    count.finish(21, 0);
}

fn check_fields(checkpoint: &Checkpoint, case: &Value) {
    if let Some(origin) = case["origin"].as_str() {
        assert_eq!(checkpoint.origin, origin);
    }
    if let Some(size) = case["size"].as_u64() {
        assert_eq!(checkpoint.tree.size, size);
    }
    if let Some(extensions) = case["extensions"].as_array() {
        assert_eq!(checkpoint.extensions, *extensions);
    }
}

#[test]
fn origin_hashes() {
    let Some(file) = load("checkpoint/origin-hashes.json") else { return };
    let mut count = Count::of("checkpoint/origin-hashes.json");
    for case in array(&file, "cases") {
        let origin = string(case, "origin");
        assert_eq!(Hash::digest(origin.as_bytes()).to_hex(), string(case, "tlog_witness_origin_hash_hex"), "{origin}");
        if let Some(want) = case["sha256_hex_of_o_colon_origin"].as_str() {
            assert_eq!(Hash::digest(format!("o:{origin}").as_bytes()).to_hex(), want, "{origin}");
        }
        count.ran();
    }
    count.finish(8, 0);
}

#[test]
fn signed() {
    let Some(file) = load("checkpoint/signed.json") else { return };
    let mut count = Count::of("checkpoint/signed.json");
    for case in array(&file, "cases") {
        let name = string(case, "name");
        let signed = SignedCheckpoint::parse(string(case, "note").as_bytes()).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(signed.encode(), string(case, "note"), "{name}");
        match VerifierKey::parse(string(case, "vkey")) {
            Ok(key) => {
                check_signed(case, &signed, &key);
                count.ran();
            }
            Err(error) => {
                assert_eq!(error, KeyError::UnknownKind, "{name}");
                count.list(
                    name,
                    "note types 02 and 05 are not verified here; the checkpoint parses, the key is refused as of an unknown kind",
                );
            }
        }
    }
    count.finish(34, 2);
}

fn check_signed(case: &Value, signed: &SignedCheckpoint, key: &VerifierKey) {
    let name = string(case, "name");
    let line = signed.note.lines.iter().find(|line| line.is_by(key)).unwrap_or_else(|| panic!("{name}: no line by the key"));
    let is_log = key.kind() != KeyKind::CosignatureV1;
    assert_eq!(signed.verify_log(std::slice::from_ref(key)).is_ok(), valid(case) && is_log, "{name}");
    if key.kind() != KeyKind::Ed25519 {
        let verified = cosignature::verify(key, line, &signed.checkpoint);
        assert_eq!(verified.is_ok(), valid(case), "{name}");
        if let (Ok(timestamp), Some(want)) = (verified, case["cosignature_timestamp"].as_u64()) {
            assert_eq!(timestamp, want, "{name}");
        }
    }
    if case["signed_message_hex"].is_string() {
        assert_eq!(message(case, signed, key), bytes(case, "signed_message_hex"), "{name}");
    }
}

fn message(case: &Value, signed: &SignedCheckpoint, key: &VerifierKey) -> Vec<u8> {
    let timestamp = case["cosignature_timestamp"].as_u64().unwrap();
    let Checkpoint { origin, tree, .. } = &signed.checkpoint;
    match key.kind() {
        KeyKind::MlDsa44 => cosignature::subtree_message(key.name().as_str(), timestamp, origin, 0, tree.size, &tree.root).unwrap(),
        _ => cosignature::v1_message(timestamp, &signed.note.text).into_bytes(),
    }
}

//! The shared vectors of cosignatures, upstream's and the collector's own.

mod support;

use serde_json::Value;
use support::{Count, array, bytes, load, string, valid};
use tlog::cosignature::{self, subtree_message, unverified_timestamp, v1_message};
use tlog::{Checkpoint, Hash, KeyKind, SignatureLine, Signer as _, SigningKey, Tree, VerifierKey, hash_leaf};

#[test]
fn upstream() {
    let Some(file) = load("cosignature/cosignature.json") else { return };
    let mut count = Count::of("cosignature/cosignature.json");
    for case in array(&file, "cases") {
        for line in array(case, "lines") {
            check_line(case, line);
            count.ran();
        }
    }
    for case in array(&file, "timestamp_cases") {
        let line = SignatureLine::parse(&format!("\u{2014} any {}", string(case, "signature_base64")));
        assert_eq!(line.ok().as_ref().and_then(unverified_timestamp), case["timestamp"].as_u64());
        count.ran();
    }
    for case in array(&file, "length_limit_cases") {
        let text = |key: &str| "a".repeat(usize::try_from(case[key].as_u64().unwrap()).unwrap());
        let message = subtree_message(&text("cosigner_name_len"), 1, &text("origin_len"), 0, 1, &Hash::EMPTY);
        assert_eq!(message.is_some(), valid(case), "{case}");
        count.ran();
    }
    for case in array(&file, "subtree_rule_cases") {
        let timestamp = u64::from(case["timestamp_zero"] == false);
        let number = |key: &str| case[key].as_u64().unwrap();
        let message = subtree_message("w", timestamp, "o", number("start"), number("end"), &Hash::EMPTY);
        assert_eq!(message.is_some(), valid(case), "{case}");
        count.ran();
    }
    count.finish(4 + 3 + 3 + 1, 0);
}

fn check_line(case: &Value, line: &Value) {
    let key = VerifierKey::parse(string(case, "vkey")).unwrap();
    let checkpoint = Checkpoint::parse(string(case, "checkpoint_body")).unwrap();
    let parsed = SignatureLine::parse(string(line, "line")).unwrap();
    let accepted = line["accepts"].as_bool().unwrap();
    let timestamp = line["timestamp"].as_u64().unwrap();
    assert_eq!(cosignature::verify(&key, &parsed, &checkpoint).ok(), accepted.then_some(timestamp), "{line}");
    let seed = bytes(case, "seed_hex").try_into().unwrap();
    let signing = SigningKey::from_seed(key.name().clone(), KeyKind::CosignatureV1, &seed).unwrap();
    let ours = cosignature::cosign(&signing, &checkpoint, case["timestamp_signed"].as_u64().unwrap()).unwrap();
    assert_eq!(ours == parsed, accepted, "{line}");
}

#[test]
fn self_generated() {
    let Some(file) = load("cosignature/SELF-GENERATED.json") else { return };
    let mut count = Count::of("cosignature/SELF-GENERATED.json");
    let (seed, key) = keys(&file["ml_dsa_44"], KeyKind::MlDsa44);
    for case in array(&file, "cases") {
        check_subtree(case, &seed, &key);
        count.ran();
    }
    let (seed, key) = keys(&file["ed25519"], KeyKind::CosignatureV1);
    for case in array(&file["ed25519"], "cases") {
        check_v1(case, &seed, &key);
        count.ran();
    }
    count.finish(9 + 3, 0);
}

fn keys(value: &Value, kind: KeyKind) -> (SigningKey, VerifierKey) {
    let key = VerifierKey::parse(string(value, "vkey")).unwrap();
    let signing = SigningKey::from_seed(key.name().clone(), kind, &bytes(value, "seed_hex").try_into().unwrap()).unwrap();
    assert_eq!(signing.key(), &key);
    (signing, key)
}

fn parsed_line(case: &Value) -> SignatureLine {
    let text = string(case, "signature_line");
    let line = SignatureLine::parse(text.strip_suffix('\n').unwrap_or(text)).unwrap();
    assert_eq!(line.encode().trim_end(), text.trim_end());
    line
}

fn check_subtree(case: &Value, signing: &SigningKey, key: &VerifierKey) {
    let (origin, line) = (string(case, "origin"), parsed_line(case));
    let number = |key: &str| case[key].as_u64().unwrap();
    let (start, end, timestamp) = (number("start"), number("end"), number("timestamp"));
    let hash = Hash::from_hex(string(case, "hash_hex")).unwrap();
    let message = subtree_message(string(case, "cosigner"), timestamp, origin, start, end, &hash).unwrap();
    if case["message_hex"].is_string() {
        assert_eq!(message, bytes(case, "message_hex"));
        let leaves: Vec<_> = (start..end).map(|leaf| hash_leaf(&[u8::try_from(leaf).unwrap()])).collect();
        assert_eq!(Tree::of(&leaves).root, hash);
    }
    if start == 0 {
        let checkpoint = Checkpoint { origin: origin.into(), tree: Tree { size: end, root: hash }, extensions: vec![] };
        assert_eq!(cosignature::verify(key, &line, &checkpoint).ok(), valid(case).then_some(timestamp));
    }
    if timestamp == 0 {
        assert_eq!(cosignature::verify_subtree(key, &line, origin, start, end, &hash).is_ok(), valid(case));
        let ours = cosignature::sign_subtree(signing, origin, start, end, &hash).unwrap();
        assert_eq!(cosignature::verify_subtree(key, &ours, origin, start, end, &hash), Ok(()));
    }
}

fn check_v1(case: &Value, signing: &SigningKey, key: &VerifierKey) {
    let (body, timestamp) = (string(case, "body"), case["timestamp"].as_u64().unwrap());
    assert_eq!(v1_message(timestamp, body).into_bytes(), bytes(case, "message_hex"));
    let checkpoint = Checkpoint::parse(body).unwrap();
    let line = parsed_line(case);
    assert_eq!(cosignature::verify(key, &line, &checkpoint), Ok(timestamp));
    assert_eq!(cosignature::cosign(signing, &checkpoint, timestamp).unwrap(), line);
    assert!(valid(case));
}

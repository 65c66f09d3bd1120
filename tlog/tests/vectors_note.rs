//! The shared vectors of signed notes and their keys.

mod support;

use serde_json::Value;
use support::{Count, array, bytes, load, string, valid};
use tlog::key::{KeyError, Vkey};
use tlog::note::NoteError;
use tlog::{KeyId, KeyKind, KeyName, Note, SignatureLine, Signer as _, SigningKey, VerifierKey};

#[test]
fn vkeys() {
    let Some(file) = load("note/vkeys.json") else { return };
    let mut count = Count::of("note/vkeys.json");
    for case in array(&file, "cases") {
        check_vkey(case);
        count.ran();
    }
    count.finish(34, 0);
}

fn check_vkey(case: &Value) {
    let text = string(case, "vkey");
    if !valid(case) {
        assert!(VerifierKey::parse(text).is_err(), "{text}");
        assert!(Vkey::parse(text).is_err() || Vkey::parse(text).unwrap().public.len() != 32, "{text}");
        return;
    }
    let vkey = Vkey::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    assert_eq!(vkey.name.as_str(), string(case, "name"));
    assert_eq!(u64::from(vkey.type_byte), case["type"].as_u64().unwrap());
    assert_eq!(vkey.id.to_string(), string(case, "key_id_hex"));
    assert_eq!(vkey.public, bytes(case, "public_key_hex"));
    match KeyKind::from_byte(vkey.type_byte) {
        Some(kind) => {
            let key = VerifierKey::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
            assert_eq!((key.kind(), key.id(), key.public()), (kind, vkey.id, &*vkey.public));
            assert_eq!(key.encode(), text);
        }
        // Types 02 and 05: read, named, and refused as keys to verify with.
        None => assert_eq!(VerifierKey::parse(text).err(), Some(KeyError::UnknownKind), "{text}"),
    }
}

#[test]
fn every_part_and_every_altered_byte_of_a_key_is_refused() {
    let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert!(VerifierKey::parse(text).is_ok());
    refuse_mutations(text, |text| VerifierKey::parse(text).is_err());
    let text = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    assert!(SigningKey::parse(text).is_ok());
    refuse_mutations(text, |text| SigningKey::parse(text).is_err());
}

fn refuse_mutations(text: &str, refused: impl Fn(&str) -> bool) {
    for start in 0..text.len() {
        for end in start..=text.len() {
            assert!((start, end) == (0, text.len()) || refused(&text[start..end]), "{}", &text[start..end]);
        }
    }
    for at in 0..text.len() {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] += 1;
        assert!(refused(&String::from_utf8(bytes).unwrap()), "byte {at}");
    }
}

#[test]
fn skeys() {
    let Some(file) = load("note/skeys.json") else { return };
    let mut count = Count::of("note/skeys.json");
    for case in array(&file, "cases") {
        let text = string(case, "skey");
        if valid(case) {
            let key = SigningKey::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
            assert_eq!(key.key().encode(), string(case, "vkey"));
            assert_eq!(*key.encode(), text);
            let seed = bytes(case, "seed_hex").try_into().unwrap();
            assert_eq!(*SigningKey::from_seed(key.key().name().clone(), key.key().kind(), &seed).unwrap().encode(), text);
        } else {
            assert!(SigningKey::parse(text).is_err(), "{text}");
        }
        count.ran();
    }
    count.finish(8, 0);
}

#[test]
fn open() {
    let Some(file) = load("note/open.json") else { return };
    let mut count = Count::of("note/open.json");
    for case in array(&file, "cases") {
        check_open(case);
        count.ran();
    }
    for case in array(&file, "sign_cases") {
        check_sign(case);
        count.ran();
    }
    count.finish(16 + 3, 0);
}

fn check_open(case: &Value) {
    let name = string(case, "name");
    let raw = if case["note"].is_string() { string(case, "note").as_bytes().to_vec() } else { bytes(case, "note_hex") };
    let keys: Vec<_> = array(case, "vkeys").iter().map(|key| VerifierKey::parse(key.as_str().unwrap()).unwrap()).collect();
    let outcome = Note::parse(&raw).and_then(|note| note.verify(&keys).map(|verified| (note, verified)));
    match string(case, "want") {
        "ok" => {
            let (note, verified) = outcome.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            let said = |index: &usize| format!("{}+{}", note.lines[*index].name, note.lines[*index].id);
            if let Some(want) = case["verified"].as_array() {
                assert_eq!(verified.iter().map(said).collect::<Vec<_>>(), *want, "{name}");
            }
            assert_eq!(note.encode().as_bytes(), raw, "{name}");
        }
        "no_verifiable_signature" => assert_eq!(outcome.err(), Some(NoteError::NoKnownSignature), "{name}"),
        "ambiguous_key" => assert_eq!(outcome.err(), Some(NoteError::AmbiguousKey), "{name}"),
        "invalid_signature" => assert_eq!(outcome.err(), Some(NoteError::BadSignature), "{name}"),
        "malformed" if name == "101 signatures" => assert_eq!(outcome.err(), Some(NoteError::TooLarge), "{name}"),
        "malformed" => assert_eq!(outcome.err(), Some(NoteError::Malformed), "{name}"),
        other => panic!("{name}: unknown outcome {other}"),
    }
}

fn check_sign(case: &Value) {
    let name = string(case, "name");
    let key = SigningKey::parse(string(case, "skey")).unwrap();
    let note = Note::unsigned(string(case, "text"));
    if case["want"] == "malformed" {
        assert_eq!(note.err(), Some(NoteError::Malformed), "{name}");
        return;
    }
    let mut note = note.unwrap();
    for old in case["existing"].as_array().into_iter().flatten() {
        let id: [u8; 4] = bytes(old, "key_id_hex").try_into().unwrap();
        note.put(SignatureLine { name: KeyName::parse(string(old, "name")).unwrap(), id: KeyId(id), signature: vec![0] });
    }
    note.sign(&key).unwrap();
    assert_eq!(note.encode(), string(case, "want_note"), "{name}");
}

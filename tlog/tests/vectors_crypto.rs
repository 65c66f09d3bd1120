//! Wycheproof's vectors of the two signature schemes, through the same code that verifies notes.

mod support;

use ml_dsa::MlDsa44;
use serde_json::Value;
use support::{Count, array, bytes, load, string};
use tlog::{KeyKind, KeyName, Signer as _, SigningKey, VerifierKey};

fn name() -> KeyName {
    KeyName::parse("wycheproof").unwrap()
}

fn each_test(file: &Value, mut check: impl FnMut(&Value, &Value)) {
    for group in array(file, "testGroups") {
        for test in array(group, "tests") {
            check(group, test);
        }
    }
}

#[test]
fn ed25519() {
    let Some(file) = load("crypto/wycheproof/ed25519_test.json") else { return };
    let mut count = Count::of("crypto/wycheproof/ed25519_test.json");
    each_test(&file, |group, test| {
        let public = bytes(&group["publicKey"], "pk");
        let verified =
            VerifierKey::new(name(), KeyKind::Ed25519, &public).is_ok_and(|key| key.verify(&bytes(test, "msg"), &bytes(test, "sig")));
        assert_eq!(verified, test["result"] == "valid", "test {}", test["tcId"]);
        count.ran();
    });
    count.finish(151, 0);
}

#[test]
fn ml_dsa_44_verify() {
    let Some(file) = load("crypto/wycheproof/mldsa_44_verify_test.json") else { return };
    let mut count = Count::of("crypto/wycheproof/mldsa_44_verify_test.json");
    each_test(&file, |group, test| {
        let (public, message, signature) = (bytes(group, "publicKey"), bytes(test, "msg"), bytes(test, "sig"));
        let context = test["ctx"].as_str().map(|_| bytes(test, "ctx")).unwrap_or_default();
        let key = VerifierKey::new(name(), KeyKind::MlDsa44, &public);
        let verified = if context.is_empty() {
            key.is_ok_and(|key| key.verify(&message, &signature))
        } else {
            // Notes know no context: such a signature must not verify without it, and does with it.
            assert!(!key.is_ok_and(|key| key.verify(&message, &signature)), "test {}", test["tcId"]);
            verify_with_context(&public, &message, &context, &signature)
        };
        assert_eq!(verified, test["result"] == "valid", "test {}", test["tcId"]);
        count.ran();
    });
    count.finish(180, 0);
}

fn verify_with_context(public: &[u8], message: &[u8], context: &[u8], signature: &[u8]) -> bool {
    let Ok(public) = ml_dsa::EncodedVerifyingKey::<MlDsa44>::try_from(public) else { return false };
    let Ok(signature) = ml_dsa::Signature::<MlDsa44>::try_from(signature) else { return false };
    ml_dsa::VerifyingKey::decode(&public).verify_with_context(message, context, &signature)
}

#[test]
fn ml_dsa_44_sign_from_seed() {
    let Some(file) = load("crypto/wycheproof/mldsa_44_sign_seed_test.json") else { return };
    let mut count = Count::of("crypto/wycheproof/mldsa_44_sign_seed_test.json");
    each_test(&file, |group, test| {
        let signature = sign(group, test);
        if test["result"] == "valid" {
            assert_eq!(hex::encode(signature.expect("signs")), string(test, "sig"), "test {}", test["tcId"]);
        } else {
            assert_eq!(signature, None, "test {}", test["tcId"]);
        }
        count.ran();
    });
    count.finish(86, 0);
}

/// Signs as the test says: from a message, with a context, with given randomness, or from mu alone.
fn sign(group: &Value, test: &Value) -> Option<Vec<u8>> {
    let seed: [u8; 32] = bytes(group, "privateSeed").try_into().ok()?;
    let key = SigningKey::from_seed(name(), KeyKind::MlDsa44, &seed).ok()?;
    assert_eq!(hex::encode(key.key().public()), string(group, "publicKey"));
    let plain = test["msg"].is_string() && !test["ctx"].is_string() && !test["rnd"].is_string();
    if plain {
        return key.sign(&bytes(test, "msg")).ok();
    }
    let secret = ml_dsa::SigningKey::<MlDsa44>::from_seed(&seed.into());
    let secret = secret.expanded_key();
    if !test["msg"].is_string() {
        let mu: [u8; 64] = bytes(test, "mu").try_into().ok()?;
        return Some(secret.sign_mu_deterministic(&mu.into()).encode().to_vec());
    }
    let (message, context) = (bytes(test, "msg"), test["ctx"].as_str().map(|_| bytes(test, "ctx")).unwrap_or_default());
    if test["rnd"].is_string() {
        let rnd: [u8; 32] = bytes(test, "rnd").try_into().ok()?;
        let length = [0, u8::try_from(context.len()).ok()?];
        return Some(secret.sign_internal(&[&length, &context, &message], &rnd.into()).encode().to_vec());
    }
    secret.sign_deterministic(&message, &context).ok().map(|signature| signature.encode().to_vec())
}

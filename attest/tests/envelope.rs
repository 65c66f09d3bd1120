//! Envelopes: every refusal, and what signing promises.

mod common;

use attest::Envelope;
use attest::envelope::{EnvelopeError, KnownKeys, MAX_BYTES, MAX_PAYLOAD, pae};
use common::key;
use proptest::prelude::*;
use tlog::key::SignError;
use tlog::{KeyKind, KeyName, Signer, SigningKey, VerifierKey};

fn text(envelope: &Envelope) -> String {
    String::from_utf8(envelope.encode()).expect("ASCII")
}

fn refused(text: &str) -> EnvelopeError {
    Envelope::parse(text.as_bytes()).expect_err("must be refused")
}

#[test]
fn pae_is_that_of_dsse() {
    assert_eq!(pae(b"{}"), b"DSSEv1 28 application/vnd.in-toto+json 2 {}");
}

#[test]
fn signed_envelopes_verify_and_round_trip() {
    let envelope = Envelope::sign(b"hello".to_vec(), &key("b1")).expect("signed");
    let read = Envelope::parse(&envelope.encode()).expect("canonical");
    assert_eq!(read, envelope);
    assert_eq!(read.verify(), Ok(()));
    assert_eq!(read.key(), key("b1").key());
    assert_eq!(read.payload(), b"hello");
}

#[test]
fn other_payloads_and_keys_do_not_verify() {
    let good = text(&Envelope::sign(b"hello".to_vec(), &key("b1")).expect("signed"));
    for (from, to) in [("aGVsbG8=", "aGVsbG9v".to_owned()), (&key("b1").key().encode() as &str, key("b2").key().encode())] {
        let other = Envelope::parse(good.replace(from, &to).as_bytes()).expect("well-formed");
        assert_eq!(other.verify(), Err(EnvelopeError::BadSignature), "{to}");
    }
}

#[test]
fn known_keys_change_nothing() {
    let keys: KnownKeys = [key("b1").key(), key("a\"b").key()].into_iter().collect();
    for name in ["b1", "b2"] {
        let bytes = Envelope::sign(b"hello".to_vec(), &key(name)).expect("signed").encode();
        let read = Envelope::parse_known(&bytes, &keys).expect("canonical");
        assert_eq!((read.verify(), Ok(read)), (Ok(()), Envelope::parse(&bytes)));
    }
    let odd = text(&Envelope::sign(b"hello".to_vec(), &key("b1")).expect("signed"))
        .replace(&key("b1").key().encode(), &key("a\"b").key().encode());
    assert_eq!(Envelope::parse_known(odd.as_bytes(), &keys), Envelope::parse(odd.as_bytes()));
}

#[test]
fn a_key_of_many_leaves_verifies_as_before() {
    let keys: KnownKeys = [key("b1").key()].into_iter().collect();
    let good = Envelope::sign(b"hello".to_vec(), &key("b1")).expect("signed").encode();
    let bad = String::from_utf8(good.clone()).expect("text").replace("aGVsbG8=", "aGVsbG9v").into_bytes();
    for _ in 0..200 {
        assert_eq!(Envelope::parse_known(&good, &keys).expect("canonical").verify(), Ok(()));
        assert_eq!(Envelope::parse_known(&bad, &keys).expect("canonical").verify(), Err(EnvelopeError::BadSignature));
    }
}

#[test]
fn every_other_spelling_is_refused() {
    let good = text(&Envelope::sign(b"hello".to_vec(), &key("b1")).expect("signed"));
    for (from, to) in [
        ("{\"payload\"", "{ \"payload\""),
        ("aGVsbG8=", "aGVsbG8"),
        ("aGVsbG8=", "aGVsbG9="),
        ("aGVsbG8=", "aGVs bG8="),
        ("vnd.in-toto+json", "json"),
        ("\"sig\"", "\"sign\""),
        ("}]}", "},{}]}"),
        ("}]}", "}]}\n"),
        ("}]}", "}],\"more\":1}"),
        ("}]}", "}]"),
    ] {
        assert_eq!(refused(&good.replace(from, to)), EnvelopeError::Malformed, "{from} -> {to}");
    }
    assert_eq!(refused(""), EnvelopeError::Malformed);
}

#[test]
fn only_plain_ed25519_keys_sign() {
    let good = text(&Envelope::sign(b"hello".to_vec(), &key("b1")).expect("signed"));
    let keyid = key("b1").key().encode();
    for other in ["b1", "", "b1+00000000+AAAA", "b\\u0031+00000000+AAAA", &format!("{keyid} ")] {
        assert_eq!(refused(&good.replace(&keyid, other)), EnvelopeError::BadKey, "{other}");
    }
    let name = KeyName::parse("w1").expect("a name");
    let witness = SigningKey::from_seed(name, KeyKind::CosignatureV1, &[7; 32]).expect("a key");
    assert_eq!(Envelope::sign(Vec::new(), &witness), Err(EnvelopeError::BadKey));
    assert_eq!(Envelope::sign(Vec::new(), &key("a\"b")), Err(EnvelopeError::BadKey));
    assert_eq!(Envelope::sign(Vec::new(), &key("Zoë")), Err(EnvelopeError::BadKey));
}

/// A token that was pulled out, and one that answers with something else.
struct Broken(SigningKey, Result<Vec<u8>, SignError>);

impl Signer for Broken {
    fn key(&self) -> &VerifierKey {
        self.0.key()
    }

    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.1.clone()
    }
}

#[test]
fn signers_that_fail_make_no_envelope() {
    for answer in [Err(SignError), Ok(vec![0; 63])] {
        assert_eq!(Envelope::sign(Vec::new(), &Broken(key("b1"), answer)), Err(EnvelopeError::CannotSign));
    }
}

#[test]
fn a_leaf_has_at_most_65535_bytes() {
    let fits = Envelope::sign(vec![b'x'; MAX_PAYLOAD], &key(&"n".repeat(900))).expect("fits");
    assert!(fits.encode().len() <= MAX_BYTES);
    assert_eq!(Envelope::sign(vec![b'x'; 49_200], &key("b1")), Err(EnvelopeError::TooLarge));
    assert_eq!(refused(&"x".repeat(MAX_BYTES + 1)), EnvelopeError::TooLarge);
}

#[test]
fn signatures_are_strict() {
    // S + L is the same signature for lenient verifiers.
    let good = Envelope::sign(b"hello".to_vec(), &key("b1")).expect("signed");
    let order: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0x10,
    ];
    let mut malleated = *good.signature();
    let mut carry = 0_u16;
    for (byte, add) in malleated[32..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry.to_le_bytes()[0];
        carry >>= 8;
    }
    assert_ne!(&malleated, good.signature());
    assert!(!key("b1").key().verify(&pae(b"hello"), &malleated));
}

proptest! {
    #[test]
    fn any_payload_round_trips(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
        let bytes = Envelope::sign(payload.clone(), &key("b1")).expect("signed").encode();
        let read = Envelope::parse(&bytes).expect("canonical");
        prop_assert_eq!(read.payload(), payload.as_slice());
        prop_assert_eq!(read.encode(), bytes);
    }

    #[test]
    fn no_changed_byte_is_accepted_and_verifies(place in 0_usize..400, change in 1_u8..) {
        let mut bytes = Envelope::sign(b"hello, world".to_vec(), &key("b1")).expect("signed").encode();
        let place = place % bytes.len();
        bytes[place] ^= change;
        prop_assert!(Envelope::parse(&bytes).and_then(|envelope| envelope.verify()).is_err());
    }
}

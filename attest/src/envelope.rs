//! The envelope: one DSSE signature over one statement, and the exact bytes of a leaf (`specs/envelope.md`).
//!
//! `{"payload":"<base64>","payloadType":"application/vnd.in-toto+json","signatures":[{"keyid":"<vkey>","sig":"<base64>"}]}`
//!
//! `keyid` is the signer's whole verifier key, so that every envelope verifies by itself; whether that key may say what
//! it says is a matter of roles ([`crate::judge`]).

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tlog::{Hash, KeyKind, Signer, VerifierKey};

/// Largest envelope in bytes: a leaf's length has 16 bits (C2SP tlog-tiles).
pub const MAX_BYTES: usize = 65_535;

/// A payload of at most this many bytes fits into an envelope by any key whose verifier key has at most 1,000 characters.
pub const MAX_PAYLOAD: usize = 48_000;

/// The only payload type.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// Why an envelope was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Over 65,535 bytes.
    TooLarge,
    /// Not the canonical bytes of an envelope.
    Malformed,
    /// The `keyid` is not a verifier key of type 01 with a printable ASCII name.
    BadKey,
    /// The signature does not verify.
    BadSignature,
    /// The signing key failed, or is not of type 01.
    CannotSign,
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the envelope has more than 65,535 bytes",
            Self::Malformed => "not a canonical envelope",
            Self::BadKey => "the envelope's keyid is not an Ed25519 verifier key",
            Self::BadSignature => "the envelope's signature does not verify",
            Self::CannotSign => "the key cannot sign envelopes: it must be an Ed25519 key (type 01)",
        })
    }
}

impl std::error::Error for EnvelopeError {}

/// A parsed envelope. [`Envelope::parse`] does not check the signature, [`Envelope::verify`] does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    payload: Vec<u8>,
    key: VerifierKey,
    signature: [u8; 64],
}

impl Envelope {
    /// Reads canonical bytes; the signature is not checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        Self::parse_known(bytes, &KnownKeys::default())
    }

    /// The same; keys that are known need not be decoded again. The result does not depend on which are.
    pub fn parse_known(bytes: &[u8], keys: &KnownKeys) -> Result<Self, EnvelopeError> {
        if bytes.len() > MAX_BYTES {
            return Err(EnvelopeError::TooLarge);
        }
        let (payload, keyid, sig) = split(bytes).ok_or(EnvelopeError::Malformed)?;
        let payload = STANDARD.decode(payload).map_err(|_| EnvelopeError::Malformed)?;
        let signature = STANDARD.decode(sig).ok().and_then(|sig| sig.try_into().ok()).ok_or(EnvelopeError::Malformed)?;
        let key = keys.find(keyid).map_or_else(|| parse_key(keyid), |key| Ok(key.clone()))?;
        let envelope = Self { payload, key, signature };
        if envelope.encode() == bytes { Ok(envelope) } else { Err(EnvelopeError::Malformed) }
    }

    /// The canonical bytes: the leaf.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text = String::with_capacity(400 + self.payload.len() / 3 * 4);
        text.push_str(BEFORE_PAYLOAD);
        STANDARD.encode_string(&self.payload, &mut text);
        text.push_str(BEFORE_KEYID);
        text.push_str(&self.key.encode());
        text.push_str(BEFORE_SIG);
        STANDARD.encode_string(self.signature, &mut text);
        text.push_str(AFTER_SIG);
        text.into_bytes()
    }

    /// Signs a payload; refuses what [`Envelope::parse`] would refuse.
    pub fn sign(payload: Vec<u8>, signer: &dyn Signer) -> Result<Self, EnvelopeError> {
        let key = parse_key(signer.key().encode().as_bytes())?;
        let signature = signer.sign(&pae(&payload)).ok().and_then(|sig| sig.try_into().ok()).ok_or(EnvelopeError::CannotSign)?;
        let envelope = Self { payload, key, signature };
        if envelope.encode().len() > MAX_BYTES { Err(EnvelopeError::TooLarge) } else { Ok(envelope) }
    }

    /// Verifies the signature by the envelope's own key, strictly (no small-order keys, no malleable signatures).
    pub fn verify(&self) -> Result<(), EnvelopeError> {
        if self.key.verify(&pae(&self.payload), &self.signature) { Ok(()) } else { Err(EnvelopeError::BadSignature) }
    }

    /// The signed bytes: a statement ([`crate::Statement::parse`]).
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The SHA-256 of the payload: what `previous` in statements refers to, and half of the log's dedup key.
    #[must_use]
    pub fn payload_hash(&self) -> Hash {
        Hash::digest(&self.payload)
    }

    /// Who signed.
    #[must_use]
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The raw signature.
    #[must_use]
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }
}

/// Verifier keys by their text. Decoding a key takes a fifth of the time of a verification, so whoever reads many leaves does
/// it once a key and not once a leaf; and a key that many leaves are by is prepared for them.
#[derive(Clone, Debug, Default)]
pub struct KnownKeys(HashMap<Vec<u8>, Arc<Known>>);

#[derive(Debug)]
struct Known {
    key: VerifierKey,
    uses: AtomicU32,
    prepared: OnceLock<VerifierKey>,
}

impl<'a> FromIterator<&'a VerifierKey> for KnownKeys {
    /// Keys that may not sign envelopes are left out.
    fn from_iter<T: IntoIterator<Item = &'a VerifierKey>>(keys: T) -> Self {
        let known = |key: &VerifierKey| Arc::new(Known { key: key.clone(), uses: AtomicU32::new(0), prepared: OnceLock::new() });
        let with_text = keys.into_iter().map(|key| (key.encode().into_bytes(), known(key)));
        Self(with_text.filter(|(text, _)| parse_key(text).is_ok()).collect())
    }
}

impl KnownKeys {
    fn find(&self, text: &[u8]) -> Option<&VerifierKey> {
        let known = self.0.get(text)?;
        // A count that begins anew after four thousand million uses only takes a little longer for some.
        let is_frequent = known.uses.fetch_add(1, Ordering::Relaxed) >= FREQUENT;
        Some(if is_frequent { known.prepared.get_or_init(|| known.key.prepared()) } else { &known.key })
    }
}

/// DSSE pre-authentication encoding of a payload of our type: the bytes that are signed.
#[must_use]
pub fn pae(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// Payload, keyid and sig between the constant parts. None of the three can hold a quote: [`parse_key`] and base64 see to that.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (payload, rest) = until_quote(bytes.strip_prefix(BEFORE_PAYLOAD.as_bytes())?)?;
    let (keyid, rest) = until_quote(rest.strip_prefix(BEFORE_KEYID.as_bytes())?)?;
    let (sig, rest) = until_quote(rest.strip_prefix(BEFORE_SIG.as_bytes())?)?;
    (rest == AFTER_SIG.as_bytes()).then_some((payload, keyid, sig))
}

/// Splits before the next quote, which stays with the rest.
fn until_quote(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'"')?;
    bytes.split_at_checked(end)
}

/// A type 01 key whose text needs no JSON escapes.
fn parse_key(text: &[u8]) -> Result<VerifierKey, EnvelopeError> {
    let plain = text.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
    let text = std::str::from_utf8(text).ok().filter(|text| plain && text.len() <= MAX_KEYID).ok_or(EnvelopeError::BadKey)?;
    VerifierKey::parse(text).ok().filter(|key| key.kind() == KeyKind::Ed25519).ok_or(EnvelopeError::BadKey)
}

const BEFORE_PAYLOAD: &str = "{\"payload\":\"";
const BEFORE_KEYID: &str = "\",\"payloadType\":\"application/vnd.in-toto+json\",\"signatures\":[{\"keyid\":\"";
const BEFORE_SIG: &str = "\",\"sig\":\"";
const AFTER_SIG: &str = "\"}]}";
/// Longest `keyid` in characters.
const MAX_KEYID: usize = 1_000;
/// After so many leaves by one key, preparing it has paid by the next so many.
const FREQUENT: u32 = 64;

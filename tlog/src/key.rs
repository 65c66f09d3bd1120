//! Key names, key IDs, verifier keys and signing keys: C2SP signed-note, `specs/note.md`.
//!
//! A key is decoded and judged once, when it is read; afterwards it can only be a good one. Ed25519 is verified strictly
//! (RFC 8032 with canonical encodings only), and keys of small order are refused, because under such a key a signature
//! may fit any message.

use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use ml_dsa::MlDsa44;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::multiples::Multiples;
pub use crate::signing::SigningKey;
use crate::text;

/// A key name that can stand in a note: not empty, no Unicode white space, no control byte, no `+`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

impl KeyName {
    /// Checks the rules of signed-note; `None` for a name that no note can carry.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let good = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+' || c < ' ');
        good.then(|| Self(name.to_string()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The four bytes that, with the name, say which key made a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 4]);

impl KeyId {
    /// Reads exactly eight lowercase hexadecimal digits.
    fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 4];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        (hex::encode(bytes) == text).then_some(Self(bytes))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// The signature types that are verified here (C2SP signed-note registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// 0x01: Ed25519 over the note's text.
    Ed25519,
    /// 0x04: Ed25519 timestamped cosignature (`cosignature/v1`).
    CosignatureV1,
    /// 0x06: ML-DSA-44 (sub)tree cosignature.
    MlDsa44,
}

impl KeyKind {
    /// The type's byte in key IDs and key texts.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::CosignatureV1 => 0x04,
            Self::MlDsa44 => 0x06,
        }
    }

    /// The inverse of [`KeyKind::byte`]; `None` for types that are not verified here.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(Self::Ed25519),
            0x04 => Some(Self::CosignatureV1),
            0x06 => Some(Self::MlDsa44),
            _ => None,
        }
    }

    /// Length of a raw signature: 64 or 2420 bytes.
    #[must_use]
    pub const fn signature_len(self) -> usize {
        match self {
            Self::Ed25519 | Self::CosignatureV1 => 64,
            Self::MlDsa44 => 2420,
        }
    }
}

/// What the text of a verifier key says, of any registered type: its ID is recomputed, the key itself is not judged.
/// This names a key that cannot be used here; [`VerifierKey`] is one that can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vkey {
    /// The key's name.
    pub name: KeyName,
    /// Its ID.
    pub id: KeyId,
    /// The signature type's byte.
    pub type_byte: u8,
    /// The key's bytes.
    pub public: Vec<u8>,
}

impl Vkey {
    /// Longest text that is read, in bytes.
    pub const MAX_BYTES: usize = 10_000;

    /// Reads `name+hash+base64`. Types whose key ID has no known rule are [`KeyError::UnknownKind`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.len() > Self::MAX_BYTES {
            return Err(KeyError::Malformed);
        }
        let (name, id, bytes) = split(text).ok_or(KeyError::Malformed)?;
        let (&type_byte, public) = bytes.split_first().ok_or(KeyError::Malformed)?;
        if key_id(&name, type_byte, public).ok_or(KeyError::UnknownKind)? != id {
            return Err(KeyError::WrongId);
        }
        Ok(Self { name, id, type_byte, public: public.to_vec() })
    }
}

/// A public key with its name, as `name+hash+base64`. Cheap to clone; the decoded key is kept, because decoding costs as
/// much as verifying.
#[derive(Clone)]
pub struct VerifierKey {
    name: KeyName,
    id: KeyId,
    kind: KeyKind,
    public: Vec<u8>,
    decoded: Decoded,
}

#[derive(Clone)]
enum Decoded {
    Ed25519(ed25519_dalek::VerifyingKey),
    Prepared(Arc<Multiples>),
    MlDsa44(Arc<ml_dsa::VerifyingKey<MlDsa44>>),
}

/// Why a verifier or signing key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// Not of the form `name+hash+base64`.
    Malformed,
    /// A signature type that is not verified here.
    UnknownKind,
    /// The key ID is not the hash of name and key.
    WrongId,
    /// The bytes are not a public key of the type, or one of small order, under which anybody can sign.
    BadPoint,
}

impl VerifierKey {
    /// Builds the key and its ID from its parts.
    pub fn new(name: KeyName, kind: KeyKind, public: &[u8]) -> Result<Self, KeyError> {
        let decoded = Decoded::new(kind, public).ok_or(KeyError::BadPoint)?;
        let id = key_id(&name, kind.byte(), public).ok_or(KeyError::UnknownKind)?;
        Ok(Self { name, id, kind, public: public.to_vec(), decoded })
    }

    /// Reads `name+hash+base64` and recomputes the key ID.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let vkey = Vkey::parse(text)?;
        let kind = KeyKind::from_byte(vkey.type_byte).ok_or(KeyError::UnknownKind)?;
        Self::new(vkey.name, kind, &vkey.public)
    }

    /// The inverse of [`VerifierKey::parse`].
    #[must_use]
    pub fn encode(&self) -> String {
        join(&self.name, self.id, self.kind, &self.public)
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The ID.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The type.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The raw public key: 32 or 1312 bytes.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The same key, with 30 KB of its multiples: its signatures are verified in little more than half the time, with the same
    /// verdicts. Worth its millisecond for a key that some dozens of signatures are verified by; other types stay as they are.
    #[must_use]
    pub fn prepared(&self) -> Self {
        match &self.decoded {
            Decoded::Ed25519(key) => Self { decoded: Decoded::Prepared(Arc::new(Multiples::new(key))), ..self.clone() },
            Decoded::Prepared(_) | Decoded::MlDsa44(_) => self.clone(),
        }
    }

    /// Verifies a raw signature (64 or 2420 bytes) over a message: strict Ed25519, or ML-DSA-44 with the empty context.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.decoded {
            Decoded::Ed25519(key) => {
                ed25519_dalek::Signature::from_slice(signature).is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
            }
            Decoded::Prepared(multiples) => multiples.verify(message, signature),
            Decoded::MlDsa44(key) => {
                ml_dsa::Signature::<MlDsa44>::try_from(signature).is_ok_and(|signature| key.verify_with_context(message, &[], &signature))
            }
        }
    }
}

impl Decoded {
    fn new(kind: KeyKind, public: &[u8]) -> Option<Self> {
        match kind {
            KeyKind::Ed25519 | KeyKind::CosignatureV1 => {
                let key = ed25519_dalek::VerifyingKey::from_bytes(public.try_into().ok()?).ok()?;
                // Decoding forgives a y coordinate of p or more; only its one canonical spelling is a key here.
                let canonical = key.to_edwards().compress().as_bytes() == public;
                (canonical && !key.is_weak()).then_some(Self::Ed25519(key))
            }
            KeyKind::MlDsa44 => {
                // Every string of the right length is an ML-DSA public key (FIPS 204, algorithm 23).
                let encoded = ml_dsa::EncodedVerifyingKey::<MlDsa44>::try_from(public).ok()?;
                Some(Self::MlDsa44(Arc::new(ml_dsa::VerifyingKey::decode(&encoded))))
            }
        }
    }
}

impl PartialEq for VerifierKey {
    fn eq(&self, other: &Self) -> bool {
        // The ID and the decoded key follow from these.
        self.name == other.name && self.kind == other.kind && self.public == other.public
    }
}

impl Eq for VerifierKey {}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({}+{} {:?})", self.name, self.id, self.kind)
    }
}

/// Signing failed; the reason stays with whoever holds the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignError;

/// Something that signs: a key in memory, in a token, or behind an agent.
pub trait Signer: Send + Sync {
    /// The public half.
    fn key(&self) -> &VerifierKey;

    /// The raw signature over `message`: 64 bytes (Ed25519) or 2420 bytes (ML-DSA-44, empty context).
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// Signs, and refuses what cannot be a signature of the key's type: a signer may be a broken device.
pub(crate) fn sign_checked(signer: &dyn Signer, message: &[u8]) -> Result<Vec<u8>, SignError> {
    let signature = signer.sign(message)?;
    if signature.len() == signer.key().kind().signature_len() { Ok(signature) } else { Err(SignError) }
}

/// Name, claimed ID and the decoded bytes of `name+hash+base64`. Only the first two `+` separate: base64 has its own.
pub(crate) fn split(text: &str) -> Option<(KeyName, KeyId, Vec<u8>)> {
    let (name, rest) = text.split_once('+')?;
    let (id, bytes) = rest.split_once('+')?;
    Some((KeyName::parse(name)?, KeyId::from_hex(id)?, text::base64(bytes)?))
}

pub(crate) fn join(name: &KeyName, id: KeyId, kind: KeyKind, key: &[u8]) -> String {
    let mut bytes = Zeroizing::new(Vec::with_capacity(key.len().saturating_add(1)));
    bytes.push(kind.byte());
    bytes.extend_from_slice(key);
    let base64 = Zeroizing::new(text::encode_base64(&bytes));
    alloc::format!("{name}+{id}+{}", *base64)
}

/// The key ID by the rule of its type (signed-note, "Signature types"); `None` where no rule is known.
fn key_id(name: &KeyName, type_byte: u8, public: &[u8]) -> Option<KeyId> {
    let mut hasher = Sha256::new();
    if type_byte != 0x02 {
        hasher.update(name.as_str());
        hasher.update([b'\n', type_byte]);
    }
    match type_byte {
        0x01 | 0x02 | 0x04 | 0x06 => hasher.update(public),
        // RFC 6962 logs are named by the hash of their key.
        0x05 => hasher.update(Sha256::digest(public)),
        _ => return None,
    }
    hasher.finalize().first_chunk().copied().map(KeyId)
}

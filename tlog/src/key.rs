//! Key names, key IDs, verifier keys and signing keys, C2SP signed-note. (stub)

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A key name that can stand in a note: not empty, no Unicode white space, no `+`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);
impl KeyName {
    /// Checks the rules of signed-note.
    #[must_use]
    pub fn parse(_name: &str) -> Option<Self> {
        todo!()
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

/// A public key with its name, as `name+hash+base64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: KeyName,
    id: KeyId,
    kind: KeyKind,
    public: Vec<u8>,
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
    /// The bytes are not a public key of the type.
    BadPoint,
}

impl VerifierKey {
    /// Builds the key and its ID from its parts.
    pub fn new(_name: KeyName, _kind: KeyKind, _public: &[u8]) -> Result<Self, KeyError> {
        todo!()
    }
    /// Reads `name+hash+base64` and recomputes the key ID.
    pub fn parse(_text: &str) -> Result<Self, KeyError> {
        todo!()
    }
    /// The inverse of [`VerifierKey::parse`].
    #[must_use]
    pub fn encode(&self) -> String {
        todo!()
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
    /// Verifies a raw signature (64 or 2420 bytes) over a message: strict Ed25519, or ML-DSA-44 with the empty context.
    #[must_use]
    pub fn verify(&self, _message: &[u8], _signature: &[u8]) -> bool {
        todo!()
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

/// A private key in memory, of any of the three types (`PRIVATE+KEY+name+hash+base64(type || seed)`); erased when dropped.
pub struct SigningKey {
    key: VerifierKey,
}
impl SigningKey {
    /// The key that this 32-byte seed gives.
    pub fn from_seed(_name: KeyName, _kind: KeyKind, _seed: &[u8; 32]) -> Result<Self, KeyError> {
        todo!()
    }
    /// Reads the text form and checks that the ID fits the seed.
    pub fn parse(_text: &str) -> Result<Self, KeyError> {
        todo!()
    }
    /// The text form: a secret.
    #[must_use]
    pub fn encode(&self) -> zeroize::Zeroizing<String> {
        todo!()
    }
}
impl Signer for SigningKey {
    fn key(&self) -> &VerifierKey {
        &self.key
    }
    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, SignError> {
        todo!()
    }
}

//! Private keys in memory. Public as [`crate::key::SigningKey`].

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use ml_dsa::MlDsa44;
use zeroize::Zeroizing;

use crate::key::{KeyError, KeyKind, KeyName, SignError, Signer, VerifierKey, Vkey, join, split};

/// A private key in memory, of any of the three types (`PRIVATE+KEY+name+hash+base64(type || seed)`); erased when dropped.
pub struct SigningKey {
    key: VerifierKey,
    seed: Zeroizing<[u8; 32]>,
    secret: Secret,
}

/// Both libraries erase their keys when dropped; the boxes keep moves from leaving copies on the stack.
enum Secret {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    MlDsa44(Box<ml_dsa::SigningKey<MlDsa44>>),
}

impl SigningKey {
    /// The key that this 32-byte seed gives (RFC 8032 section 5.1.5; FIPS 204 algorithm 6).
    pub fn from_seed(name: KeyName, kind: KeyKind, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let secret = match kind {
            KeyKind::Ed25519 | KeyKind::CosignatureV1 => Secret::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(seed))),
            KeyKind::MlDsa44 => Secret::MlDsa44(Box::new(ml_dsa::SigningKey::from_seed(seed.into()))),
        };
        let key = match &secret {
            Secret::Ed25519(secret) => VerifierKey::new(name, kind, secret.verifying_key().as_bytes()),
            Secret::MlDsa44(secret) => VerifierKey::new(name, kind, &ml_dsa::Keypair::verifying_key(&**secret).encode()),
        }?;
        Ok(Self { key, seed: Zeroizing::new(*seed), secret })
    }

    /// Reads the text form and checks that the ID fits the seed.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.len() > Vkey::MAX_BYTES {
            return Err(KeyError::Malformed);
        }
        let (name, id, bytes) = text.strip_prefix(PREFIX).and_then(split).ok_or(KeyError::Malformed)?;
        let bytes = Zeroizing::new(bytes);
        let (&type_byte, seed) = bytes.split_first().ok_or(KeyError::Malformed)?;
        let kind = KeyKind::from_byte(type_byte).ok_or(KeyError::UnknownKind)?;
        let signing = Self::from_seed(name, kind, seed.try_into().map_err(|_| KeyError::Malformed)?)?;
        if signing.key.id() == id { Ok(signing) } else { Err(KeyError::WrongId) }
    }

    /// The text form: a secret.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        let joined = Zeroizing::new(join(self.key.name(), self.key.id(), self.key.kind(), &*self.seed));
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len().saturating_add(joined.len())));
        text.push_str(PREFIX);
        text.push_str(&joined);
        text
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}+{} {:?})", self.key.name(), self.key.id(), self.key.kind())
    }
}

impl Signer for SigningKey {
    fn key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.secret {
            Secret::Ed25519(secret) => Ok(ed25519_dalek::Signer::sign(&**secret, message).to_bytes().to_vec()),
            Secret::MlDsa44(secret) => {
                let signature = secret.expanded_key().sign_deterministic(message, &[]).map_err(|_| SignError)?;
                Ok(signature.encode().to_vec())
            }
        }
    }
}

const PREFIX: &str = "PRIVATE+KEY+";

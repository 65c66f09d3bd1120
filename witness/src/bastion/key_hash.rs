//! How a backend is named.

use std::fmt;

use tlog::Hash;

/// A backend's name in paths: the SHA-256 of its raw Ed25519 key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Of a raw Ed25519 public key.
    #[must_use]
    pub fn of(key: &[u8; 32]) -> Self {
        Self(*Hash::digest(key).as_bytes())
    }

    /// Reads 64 lowercase hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Hash::from_hex(text).map(|hash| Self(*hash.as_bytes()))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

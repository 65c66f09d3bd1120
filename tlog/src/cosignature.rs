//! Cosignatures of witnesses: Ed25519 `cosignature/v1` (type 04) and ML-DSA-44 subtree (type 06), C2SP tlog-cosignature. (stub)

use alloc::string::String;
use alloc::vec::Vec;

use crate::key::SignError;
use crate::{Checkpoint, Hash, SignatureLine, Signer, VerifierKey};

/// Why a cosignature was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CosignatureError {
    /// The line is by another key.
    WrongKey,
    /// Not 8 + 64 or 8 + 2420 bytes, or a timestamp out of range.
    Malformed,
    /// The signature does not verify.
    BadSignature,
    /// This type of key does not cosign, or not this (extensions, origin length).
    Unsupported,
}

/// The bytes that a type 04 cosignature signs.
#[must_use]
pub fn v1_message(_timestamp: u64, _checkpoint_text: &str) -> String {
    todo!()
}
/// The bytes that a type 06 cosignature signs; `None` if name or origin is not 1 to 255 bytes.
#[must_use]
pub fn subtree_message(_cosigner: &str, _timestamp: u64, _origin: &str, _start: u64, _end: u64, _hash: &Hash) -> Option<Vec<u8>> {
    todo!()
}
/// Cosigns a checkpoint at `timestamp` (POSIX seconds, not 0).
pub fn cosign(_signer: &dyn Signer, _checkpoint: &Checkpoint, _timestamp: u64) -> Result<SignatureLine, SignError> {
    todo!()
}
/// Signs a subtree (type 06 keys only, timestamp 0).
pub fn sign_subtree(_signer: &dyn Signer, _origin: &str, _start: u64, _end: u64, _hash: &Hash) -> Result<SignatureLine, SignError> {
    todo!()
}
/// Verifies one cosignature of a checkpoint and returns its timestamp in POSIX seconds.
pub fn verify(_key: &VerifierKey, _line: &SignatureLine, _checkpoint: &Checkpoint) -> Result<u64, CosignatureError> {
    todo!()
}
/// Verifies a subtree signature (type 06, timestamp 0).
pub fn verify_subtree(
    _key: &VerifierKey,
    _line: &SignatureLine,
    _origin: &str,
    _start: u64,
    _end: u64,
    _hash: &Hash,
) -> Result<(), CosignatureError> {
    todo!()
}

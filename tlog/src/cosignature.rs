//! Cosignatures of witnesses: Ed25519 `cosignature/v1` (type 04) and ML-DSA-44 subtree (type 06): C2SP tlog-cosignature,
//! `specs/cosignature.md`. Logs sign with type 06 too, by the same bytes.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::key::{self, KeyKind, SignError};
use crate::text::MAX_NUMBER;
use crate::{Checkpoint, Hash, SignatureLine, Signer, VerifierKey, merkle};

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

/// The bytes that a type 04 cosignature signs. The cosigner's name is not among them, therefore one key, one witness.
#[must_use]
pub fn v1_message(timestamp: u64, checkpoint_text: &str) -> String {
    format!("cosignature/v1\ntime {timestamp}\n{checkpoint_text}")
}

/// The bytes that a type 06 cosignature signs; `None` if name or origin is not 1 to 255 bytes, or if a subtree that does
/// not begin at leaf 0 carries a time.
#[must_use]
pub fn subtree_message(cosigner: &str, timestamp: u64, origin: &str, start: u64, end: u64, hash: &Hash) -> Option<Vec<u8>> {
    if start != 0 && timestamp != 0 {
        return None;
    }
    let mut message = LABEL.to_vec();
    push_counted(&mut message, cosigner)?;
    message.extend_from_slice(&timestamp.to_be_bytes());
    push_counted(&mut message, origin)?;
    message.extend_from_slice(&start.to_be_bytes());
    message.extend_from_slice(&end.to_be_bytes());
    message.extend_from_slice(hash.as_bytes());
    Some(message)
}

/// Cosigns a checkpoint at `timestamp` (POSIX seconds, not 0).
pub fn cosign(signer: &dyn Signer, checkpoint: &Checkpoint, timestamp: u64) -> Result<SignatureLine, SignError> {
    if timestamp == 0 { Err(SignError) } else { sign_tree(signer, checkpoint, timestamp) }
}

/// Signs a checkpoint with a time or, where it is 0, without one.
pub(crate) fn sign_tree(signer: &dyn Signer, checkpoint: &Checkpoint, timestamp: u64) -> Result<SignatureLine, SignError> {
    let message = tree_message(signer.key(), timestamp, checkpoint).ok_or(SignError)?;
    stamped_line(signer, timestamp, &message)
}

/// Signs a subtree (type 06 keys only, timestamp 0).
pub fn sign_subtree(signer: &dyn Signer, origin: &str, start: u64, end: u64, hash: &Hash) -> Result<SignatureLine, SignError> {
    let message = untimed_message(signer.key(), origin, start, end, hash).ok_or(SignError)?;
    stamped_line(signer, 0, &message)
}

/// Verifies one cosignature of a checkpoint and returns its timestamp in POSIX seconds. 0 means that the cosigner makes no
/// claim about time.
pub fn verify(key: &VerifierKey, line: &SignatureLine, checkpoint: &Checkpoint) -> Result<u64, CosignatureError> {
    let (timestamp, signature) = read(key, line)?;
    let message = tree_message(key, timestamp, checkpoint).ok_or(CosignatureError::Unsupported)?;
    if key.verify(&message, signature) { Ok(timestamp) } else { Err(CosignatureError::BadSignature) }
}

/// Verifies a subtree signature (type 06, timestamp 0).
pub fn verify_subtree(
    key: &VerifierKey,
    line: &SignatureLine,
    origin: &str,
    start: u64,
    end: u64,
    hash: &Hash,
) -> Result<(), CosignatureError> {
    let (timestamp, signature) = read(key, line)?;
    if timestamp != 0 {
        return Err(CosignatureError::Malformed);
    }
    let message = untimed_message(key, origin, start, end, hash).ok_or(CosignatureError::Unsupported)?;
    if key.verify(&message, signature) { Ok(()) } else { Err(CosignatureError::BadSignature) }
}

/// The timestamp of a cosignature that nobody has verified: for display only.
#[must_use]
pub fn unverified_timestamp(line: &SignatureLine) -> Option<u64> {
    let (timestamp, signature) = line.signature.split_first_chunk()?;
    let timestamp = u64::from_be_bytes(*timestamp);
    (timestamp <= MAX_NUMBER && matches!(signature.len(), 64 | 2420)).then_some(timestamp)
}

/// Timestamp and raw signature of a line by `key`, neither of them verified.
fn read<'a>(key: &VerifierKey, line: &'a SignatureLine) -> Result<(u64, &'a [u8]), CosignatureError> {
    if !line.is_by(key) {
        return Err(CosignatureError::WrongKey);
    }
    if key.kind() == KeyKind::Ed25519 {
        return Err(CosignatureError::Unsupported);
    }
    let (timestamp, signature) = line.signature.split_first_chunk().ok_or(CosignatureError::Malformed)?;
    let timestamp = u64::from_be_bytes(*timestamp);
    if timestamp > MAX_NUMBER || signature.len() != key.kind().signature_len() {
        return Err(CosignatureError::Malformed);
    }
    Ok((timestamp, signature))
}

/// What `key` signs to cosign a checkpoint; `None` where it must not.
fn tree_message(key: &VerifierKey, timestamp: u64, checkpoint: &Checkpoint) -> Option<Vec<u8>> {
    match key.kind() {
        KeyKind::Ed25519 => None,
        KeyKind::CosignatureV1 => Some(v1_message(timestamp, &checkpoint.encode()).into_bytes()),
        // Extension lines are not in the message: whoever reads them beside the signature would take them for signed.
        KeyKind::MlDsa44 if !checkpoint.extensions.is_empty() => None,
        KeyKind::MlDsa44 => {
            let tree = &checkpoint.tree;
            subtree_message(key.name().as_str(), timestamp, &checkpoint.origin, 0, tree.size, &tree.root)
        }
    }
}

/// What `key` signs for a subtree; `None` if it is not of type 06 or if `[start, end)` is no subtree.
fn untimed_message(key: &VerifierKey, origin: &str, start: u64, end: u64, hash: &Hash) -> Option<Vec<u8>> {
    let good = key.kind() == KeyKind::MlDsa44 && end <= MAX_NUMBER && merkle::is_subtree(start, end);
    good.then(|| subtree_message(key.name().as_str(), 0, origin, start, end, hash))?
}

fn stamped_line(signer: &dyn Signer, timestamp: u64, message: &[u8]) -> Result<SignatureLine, SignError> {
    if timestamp > MAX_NUMBER {
        return Err(SignError);
    }
    let signature = key::sign_checked(signer, message)?;
    Ok(SignatureLine::by(signer.key(), [&timestamp.to_be_bytes(), signature.as_slice()].concat()))
}

/// A string after its length in one byte; `None` if it is empty or too long for that.
fn push_counted(message: &mut Vec<u8>, text: &str) -> Option<()> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length != 0)?;
    message.push(length);
    message.extend_from_slice(text.as_bytes());
    Some(())
}

/// Twelve bytes; the line feed and the zero belong to it.
const LABEL: &[u8; 12] = b"subtree/v1\n\0";

//! The small words that all text formats here are made of: canonical decimals, canonical base64, lines. Each reader encodes
//! again what it read and refuses what differs, so a value has exactly one spelling.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::Hash;

/// Sizes, indices and times end here: the largest signed 64-bit number, because other implementations keep them in one.
pub(crate) const MAX_NUMBER: u64 = i64::MAX.unsigned_abs();

/// Most hashes that a proof of a tree of at most 2^63 leaves can have.
pub(crate) const MAX_HASHES: usize = 63;

/// Reads a decimal without sign and leading zeros, at most [`MAX_NUMBER`].
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number <= MAX_NUMBER && number.to_string() == text).then_some(number)
}

/// Reads padded, canonical base64 (RFC 4648 section 4).
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(text).ok()?;
    // The bytes may be a secret key's: the second copy is erased.
    let again = Zeroizing::new(encode_base64(&bytes));
    (*again == text).then_some(bytes)
}

/// The inverse of [`base64`].
pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The text up to the next line feed, and what follows it.
pub(crate) fn line(text: &str) -> Option<(&str, &str)> {
    text.split_once('\n')
}

/// Reads hashes, one a line, up to the first empty line; returns them and what follows that line. At most [`MAX_HASHES`].
pub(crate) fn hashes(mut text: &str) -> Option<(Vec<Hash>, &str)> {
    let mut hashes = Vec::new();
    loop {
        let (word, rest) = line(text)?;
        text = rest;
        if word.is_empty() {
            return Some((hashes, text));
        }
        if hashes.len() == MAX_HASHES {
            return None;
        }
        hashes.push(Hash::from_base64(word)?);
    }
}

/// The inverse of [`hashes`], the empty line included.
pub(crate) fn push_hashes(text: &mut String, hashes: &[Hash]) {
    for hash in hashes {
        text.push_str(&hash.to_base64());
        text.push('\n');
    }
    text.push('\n');
}

/// Whether a text has a control byte other than the line feed, which no format here allows.
pub(crate) fn has_controls(text: &str) -> bool {
    text.bytes().any(|byte| byte < b' ' && byte != b'\n')
}

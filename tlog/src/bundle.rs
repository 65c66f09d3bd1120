//! Entry bundles, C2SP tlog-tiles: entries with a 16-bit length each. See `specs/tiles.md`.

use alloc::vec::Vec;

use crate::{Hash, Tile, hash_leaf};

/// The largest entry in bytes; the length field has 16 bits.
pub const MAX_ENTRY: usize = 65_535;

/// The largest bundle in bytes: 256 of the largest entries with their lengths.
pub const MAX_BUNDLE: usize = 256 * (2 + MAX_ENTRY);

/// Why a bundle was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BundleError {
    /// A length runs past the end, or bytes are left over.
    Malformed,
    /// Another number of entries than the bundle's width, or of hashes than entries.
    WrongCount,
    /// An entry over 65,535 bytes.
    TooLong,
    /// The tree would have more than [`crate::Tree::MAX_SIZE`] leaves.
    TreeFull,
}

/// Splits a bundle into exactly `width` entries, at most 256.
pub fn parse(bytes: &[u8], width: u16) -> Result<Vec<&[u8]>, BundleError> {
    if width > Tile::FULL {
        return Err(BundleError::WrongCount);
    }
    let mut entries = Vec::with_capacity(usize::from(width));
    let mut rest = bytes;
    while !rest.is_empty() {
        let (entry, after) = split_entry(rest).ok_or(BundleError::Malformed)?;
        if entries.len() == usize::from(width) {
            return Err(BundleError::WrongCount);
        }
        entries.push(entry);
        rest = after;
    }
    if entries.len() == usize::from(width) { Ok(entries) } else { Err(BundleError::WrongCount) }
}

/// Appends one entry to a bundle's bytes; leaves them as they were if the entry is too long.
pub fn push(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), BundleError> {
    let len = u16::try_from(entry.len()).map_err(|_| BundleError::TooLong)?;
    bundle.extend_from_slice(&len.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The leaf hash of each of a bundle's `width` entries: what the level-0 tile at the same place must hold.
pub fn leaf_hashes(bytes: &[u8], width: u16) -> Result<Vec<Hash>, BundleError> {
    Ok(parse(bytes, width)?.into_iter().map(hash_leaf).collect())
}

/// The bytes of the first `width` entries of a wider bundle, which is not checked beyond them.
pub fn cut(wider: &[u8], width: u16) -> Result<&[u8], BundleError> {
    let mut rest = wider;
    for _ in 0..width {
        if rest.is_empty() {
            return Err(BundleError::WrongCount);
        }
        (_, rest) = split_entry(rest).ok_or(BundleError::Malformed)?;
    }
    wider.get(..wider.len() - rest.len()).ok_or(BundleError::Malformed)
}

/// The first entry and what follows it; `None` if its length runs past the end.
fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

//! Entry bundles, C2SP tlog-tiles: entries with a 16-bit length each. (stub)

use alloc::vec::Vec;

/// The largest entry in bytes; the length field has 16 bits.
pub const MAX_ENTRY: usize = 65_535;

/// Why a bundle was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BundleError {
    /// A length runs past the end, or bytes are left over.
    Malformed,
    /// Another number of entries than the bundle's width.
    WrongCount,
    /// An entry over 65,535 bytes.
    TooLong,
}

/// Splits a bundle into exactly `width` entries.
pub fn parse(_bytes: &[u8], _width: u16) -> Result<Vec<&[u8]>, BundleError> {
    todo!()
}
/// Appends one entry to a bundle's bytes.
pub fn push(_bundle: &mut Vec<u8>, _entry: &[u8]) -> Result<(), BundleError> {
    todo!()
}

//! What the readers of all three kinds of database share.

use super::RpmdbError;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// Exactly so many bytes from a place of a file.
pub(super) fn read_at(file: &File, at: u64, length: usize) -> Result<Vec<u8>, RpmdbError> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at).map_err(RpmdbError::read)?;
    Ok(bytes)
}

pub(super) fn malformed(what: &'static str) -> RpmdbError {
    RpmdbError::Malformed(what)
}

/// As large as rpm lets a header be.
pub(super) const RECORD: usize = 256 << 20;

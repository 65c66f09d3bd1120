//! What the index keeps of one manifest, and its bytes.

use tlog::Hash;

/// What the index keeps of one manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestRow {
    /// Size in bytes.
    pub bytes: u64,
    /// Number of lines.
    pub lines: u64,
    /// SHA-256 of the package file that it describes.
    pub package: Hash,
    /// SHA-256 of the uploader's verifier key.
    pub uploader: Hash,
    /// When it was uploaded, in POSIX seconds; 0 once an entry refers to it.
    pub uploaded: u64,
}

impl ManifestRow {
    /// Claimed by an entry, but not in the store.
    pub const ABSENT: Self = Self { bytes: 0, lines: 0, package: Hash::EMPTY, uploader: Hash::EMPTY, uploaded: 0 };

    /// The same row once an entry refers to the manifest.
    pub(super) fn claimed(self) -> Self {
        Self { uploaded: 0, ..self }
    }

    pub(super) fn encode(&self) -> [u8; ENCODED] {
        let mut bytes = [0; ENCODED];
        let parts = [
            &self.bytes.to_be_bytes()[..],
            &self.lines.to_be_bytes(),
            self.package.as_bytes(),
            self.uploader.as_bytes(),
            &self.uploaded.to_be_bytes(),
        ];
        bytes.copy_from_slice(&parts.concat());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; ENCODED]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let hash = |at: usize| Some(Hash::new(bytes.get(at..at + 32)?.try_into().ok()?));
        Some(Self { bytes: number(0)?, lines: number(8)?, package: hash(16)?, uploader: hash(48)?, uploaded: number(80)? })
    }
}

/// Bytes of an encoded row.
pub(super) const ENCODED: usize = 88;

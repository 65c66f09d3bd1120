//! Evidence of a split view: two checkpoints of one log that no single history explains, in one portable text file. (stub)

use alloc::string::String;

use crate::{ConsistencyProof, Hash, SignedCheckpoint, VerifierKey};

/// Two checkpoints signed by one log and, where their sizes differ, the hashes that show the larger tree to have
/// another root at the smaller size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The checkpoint of the smaller (or equal) size, verbatim.
    pub smaller: SignedCheckpoint,
    /// The other one, verbatim.
    pub larger: SignedCheckpoint,
    /// Where sizes differ: the root at the smaller size that leads to the larger root, and the proof that it does.
    pub divergence: Option<(Hash, ConsistencyProof)>,
}

/// Why evidence proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EvidenceError {
    /// Not an evidence file.
    Malformed,
    /// A checkpoint is not signed by the key, or is of another origin.
    NotSigned,
    /// The two are consistent, or nothing shows that they are not.
    Unproven,
}

impl Evidence {
    /// Parses; nothing is verified.
    pub fn parse(_bytes: &[u8]) -> Result<Self, EvidenceError> {
        todo!()
    }
    /// The file's text.
    #[must_use]
    pub fn encode(&self) -> String {
        todo!()
    }
    /// Verifies with nothing but the log's keys (any one per checkpoint suffices).
    pub fn verify(&self, _keys: &[VerifierKey]) -> Result<(), EvidenceError> {
        todo!()
    }
}

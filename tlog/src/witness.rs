//! The bodies of C2SP tlog-witness requests. (stub)

use alloc::string::String;

use crate::{ConsistencyProof, Hash, Note, SubtreeProof};

/// `POST add-checkpoint`: the old size, the proof and the signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the witness is believed to have.
    pub old_size: u64,
    /// From there to the checkpoint.
    pub proof: ConsistencyProof,
    /// The checkpoint, as a note.
    pub checkpoint: Note,
}
/// `POST sign-subtree`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignSubtree {
    /// First leaf.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// The subtree's hash.
    pub hash: Hash,
    /// From the subtree to the checkpoint.
    pub proof: SubtreeProof,
    /// A checkpoint with the witness's own cosignature.
    pub checkpoint: Note,
}
/// Not such a body (status 400).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;
impl AddCheckpoint {
    /// Parses the body; limits first.
    pub fn parse(_body: &[u8]) -> Result<Self, Malformed> {
        todo!()
    }
    /// The body.
    #[must_use]
    pub fn encode(&self) -> String {
        todo!()
    }
}
impl SignSubtree {
    /// Parses the body; limits first.
    pub fn parse(_body: &[u8]) -> Result<Self, Malformed> {
        todo!()
    }
    /// The body.
    #[must_use]
    pub fn encode(&self) -> String {
        todo!()
    }
}

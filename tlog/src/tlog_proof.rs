//! Offline proofs, C2SP tlog-proof. (stub)

use alloc::string::String;
use alloc::vec::Vec;

use crate::{InclusionProof, SignedCheckpoint};

/// A leaf's index, its inclusion proof and the cosigned checkpoint that it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Unauthenticated extra data.
    pub extra: Option<Vec<u8>>,
    /// The leaf's index.
    pub index: u64,
    /// Its proof.
    pub proof: InclusionProof,
    /// The checkpoint, verbatim.
    pub checkpoint: SignedCheckpoint,
}
/// Not a tlog-proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;
impl TlogProof {
    /// Parses; nothing is verified.
    pub fn parse(_bytes: &[u8]) -> Result<Self, Malformed> {
        todo!()
    }
    /// The text.
    #[must_use]
    pub fn encode(&self) -> String {
        todo!()
    }
}

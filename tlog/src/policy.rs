//! Which logs and which witnesses are trusted, C2SP tlog-policy. (stub)

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::{SignedCheckpoint, VerifierKey};

/// A parsed policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy;
/// A `log` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its key; the key's name is the origin.
    pub key: VerifierKey,
    /// Where it is.
    pub url: Option<String>,
}
/// A `witness` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessLine {
    /// The name in this policy.
    pub name: String,
    /// Its key.
    pub key: VerifierKey,
    /// Its submission prefix.
    pub url: Option<String>,
}
/// Why a policy was refused: the line's number, from 1, and the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// From 1; 0 for the whole file.
    pub line: usize,
    /// In words.
    pub reason: &'static str,
}
/// Why a checkpoint does not satisfy a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsatisfied {
    /// No log of the policy signed it, or one's signature is wrong.
    Log,
    /// Too few witnesses cosigned it, or a known one's cosignature is wrong.
    Quorum,
}
/// The cosignatures that verified: witness name to timestamp.
pub type Cosigned = BTreeMap<String, u64>;

impl Policy {
    /// Parses a policy; grammar and limits as in the specification.
    pub fn parse(_text: &[u8]) -> Result<Self, PolicyError> {
        todo!()
    }
    /// The `log` lines.
    #[must_use]
    pub fn logs(&self) -> &[LogLine] {
        todo!()
    }
    /// The `witness` lines.
    #[must_use]
    pub fn witnesses(&self) -> &[WitnessLine] {
        todo!()
    }
    /// Whether the quorum is `none`.
    #[must_use]
    pub fn is_unwitnessed(&self) -> bool {
        todo!()
    }
    /// Whether these witnesses (by name) satisfy the quorum.
    #[must_use]
    pub fn is_satisfied_by(&self, _names: &dyn Fn(&str) -> bool) -> bool {
        todo!()
    }
    /// Whether two quorums exist that share no witness: a policy that a split view can satisfy twice. (Bounded search; `None` = too large to tell.)
    #[must_use]
    pub fn has_disjoint_quorums(&self) -> Option<bool> {
        todo!()
    }
    /// The witnesses whose cosignatures verify; a known key's wrong cosignature is an error.
    pub fn cosigned(&self, _checkpoint: &SignedCheckpoint) -> Result<Cosigned, Unsatisfied> {
        todo!()
    }
    /// Log signature and quorum; returns the verified cosignatures.
    pub fn verify(&self, _checkpoint: &SignedCheckpoint) -> Result<Cosigned, Unsatisfied> {
        todo!()
    }
    /// The largest time t such that the cosignatures not older than t satisfy the quorum; those later than `latest` count as none.
    #[must_use]
    pub fn freshness(&self, _cosigned: &Cosigned, _latest: u64) -> Option<u64> {
        todo!()
    }
}

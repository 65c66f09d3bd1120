//! Offline proofs: C2SP tlog-proof, `specs/proof.md`.

use alloc::string::String;
use alloc::vec::Vec;

use crate::merkle::ProofError;
use crate::policy::{Cosigned, Policy, Unsatisfied};
use crate::{InclusionProof, Note, SignedCheckpoint, hash_leaf, text};

/// A leaf's index, its inclusion proof and the cosigned checkpoint that it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Unauthenticated extra data; empty data is the same as none.
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

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unproven {
    /// The checkpoint does not satisfy the policy.
    Policy(Unsatisfied),
    /// The leaf is not at that index of the checkpoint's tree.
    Inclusion(ProofError),
}

impl TlogProof {
    /// Largest proof in bytes: the largest note, and half as much before it.
    pub const MAX_BYTES: usize = Note::MAX_BYTES / 2 * 3;

    /// Parses; nothing is verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(Malformed);
        }
        let whole = core::str::from_utf8(bytes).map_err(|_| Malformed)?;
        Self::read(whole).filter(|proof| proof.encode() == whole).ok_or(Malformed)
    }

    fn read(whole: &str) -> Option<Self> {
        let mut rest = whole.strip_prefix(HEADER)?;
        let mut extra = None;
        if let Some(after) = rest.strip_prefix("extra ") {
            let (base64, after) = text::line(after)?;
            extra = Some(text::base64(base64)?);
            rest = after;
        }
        let (index, rest) = text::line(rest.strip_prefix("index ")?)?;
        let index = text::decimal(index)?;
        let (hashes, note) = text::hashes(rest)?;
        let checkpoint = SignedCheckpoint::parse(note.as_bytes()).ok()?;
        Some(Self { extra, index, proof: InclusionProof(hashes), checkpoint })
    }

    /// The text.
    #[must_use]
    pub fn encode(&self) -> String {
        Self::encode_parts(self.extra.as_deref(), self.index, &self.proof, &self.checkpoint.encode())
    }

    /// The text made of its parts, for a log that has the checkpoint's text at hand and proves many leaves under it.
    #[must_use]
    pub fn encode_parts(extra: Option<&[u8]>, index: u64, proof: &InclusionProof, checkpoint: &str) -> String {
        let mut whole = String::with_capacity(HEADER.len() + 64 + proof.0.len() * 45 + checkpoint.len());
        whole.push_str(HEADER);
        if let Some(extra) = extra.filter(|extra| !extra.is_empty()) {
            whole.push_str(&alloc::format!("extra {}\n", text::encode_base64(extra)));
        }
        whole.push_str(&alloc::format!("index {index}\n"));
        text::push_hashes(&mut whole, &proof.0);
        whole.push_str(checkpoint);
        whole
    }

    /// Verifies that `entry` is in a log of the policy, as far as the policy's quorum has seen; returns the cosignatures.
    /// How old they may be is [`Policy::freshness`]'s question.
    pub fn verify(&self, policy: &Policy, entry: &[u8]) -> Result<Cosigned, Unproven> {
        let cosigned = policy.verify(&self.checkpoint).map_err(Unproven::Policy)?;
        self.proof.verify(&self.checkpoint.tree(), self.index, &hash_leaf(entry)).map_err(Unproven::Inclusion)?;
        Ok(cosigned)
    }
}

const HEADER: &str = "c2sp.org/tlog-proof@v1\n";

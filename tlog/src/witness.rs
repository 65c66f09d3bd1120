//! The bodies of C2SP tlog-witness requests, `specs/witness.md`.
//!
//! Only what answers 400 is refused here: the checkpoint inside stays a note, because an unknown origin (404) and a missing
//! signature (403) come before a checkpoint that does not parse (400).

use alloc::format;
use alloc::string::String;

use crate::text::MAX_HASHES;
use crate::{ConsistencyProof, Hash, Note, SubtreeProof, merkle, text};

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

/// Largest body in bytes: the largest note after a line of numbers and 64 hashes of 45 bytes.
pub const MAX_BODY: usize = Note::MAX_BYTES + 64 + (MAX_HASHES + 1) * 45;

impl AddCheckpoint {
    /// Parses the body; limits first.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let body = read_body(body)?;
        Self::read(body).filter(|request| request.encode() == body).ok_or(Malformed)
    }

    fn read(body: &str) -> Option<Self> {
        let (old_size, rest) = text::line(body.strip_prefix("old ")?)?;
        let old_size = text::decimal(old_size)?;
        let (hashes, note) = text::hashes(rest)?;
        let checkpoint = Note::parse(note.as_bytes()).ok()?;
        Some(Self { old_size, proof: ConsistencyProof(hashes), checkpoint })
    }

    /// The body.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut body = format!("old {}\n", self.old_size);
        text::push_hashes(&mut body, &self.proof.0);
        body.push_str(&self.checkpoint.encode());
        body
    }
}

impl SignSubtree {
    /// Parses the body; limits first. An interval that is no subtree is refused here too.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let body = read_body(body)?;
        Self::read(body).filter(|request| request.encode() == body).ok_or(Malformed)
    }

    fn read(body: &str) -> Option<Self> {
        let (interval, rest) = text::line(body.strip_prefix("subtree ")?)?;
        let (start, end) = interval.split_once(' ')?;
        let (start, end) = (text::decimal(start)?, text::decimal(end)?);
        let (hash, rest) = text::line(rest)?;
        let hash = Hash::from_base64(hash)?;
        let (hashes, note) = text::hashes(rest)?;
        let checkpoint = Note::parse(note.as_bytes()).ok()?;
        merkle::is_subtree(start, end).then_some(Self { start, end, hash, proof: SubtreeProof(hashes), checkpoint })
    }

    /// The body.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut body = format!("subtree {} {}\n{}\n", self.start, self.end, self.hash.to_base64());
        text::push_hashes(&mut body, &self.proof.0);
        body.push_str(&self.checkpoint.encode());
        body
    }
}

fn read_body(body: &[u8]) -> Result<&str, Malformed> {
    if body.len() > MAX_BODY {
        return Err(Malformed);
    }
    core::str::from_utf8(body).map_err(|_| Malformed)
}

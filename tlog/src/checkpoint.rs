//! Checkpoints, C2SP tlog-checkpoint. (stub)

use alloc::string::String;
use alloc::vec::Vec;

use crate::{Note, SignatureLine, Signer, Tree, VerifierKey, key::SignError, note::NoteError};

/// The text of a checkpoint: origin, size, root and extension lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// Size and root.
    pub tree: Tree,
    /// Extension lines without line feeds; discouraged.
    pub extensions: Vec<String>,
}

/// Why a checkpoint was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Not a note, or its signatures were refused.
    Note(NoteError),
    /// The text is not a checkpoint.
    Malformed,
    /// Another origin than expected.
    WrongOrigin,
}

impl Checkpoint {
    /// Reads a checkpoint's text.
    pub fn parse(_text: &str) -> Result<Self, CheckpointError> {
        todo!()
    }
    /// The text, with its final line feed.
    #[must_use]
    pub fn encode(&self) -> String {
        todo!()
    }
    /// Signs as the log (type 01 over the text, or type 06 with `time` in POSIX seconds).
    pub fn sign(&self, _signer: &dyn Signer, _time: u64) -> Result<SignatureLine, SignError> {
        todo!()
    }
}

/// A checkpoint with its signature lines, none of them checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// The parsed text.
    pub checkpoint: Checkpoint,
    /// The note that carries it.
    pub note: Note,
}

impl SignedCheckpoint {
    /// Parses note and text.
    pub fn parse(_bytes: &[u8]) -> Result<Self, CheckpointError> {
        todo!()
    }
    /// The note's bytes.
    #[must_use]
    pub fn encode(&self) -> String {
        todo!()
    }
    /// Verifies the log's own signatures: every line by a key in `keys` (01 or 06) must verify, at least one must be there.
    pub fn verify_log(&self, _keys: &[VerifierKey]) -> Result<(), CheckpointError> {
        todo!()
    }
}

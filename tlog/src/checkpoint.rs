//! Checkpoints: C2SP tlog-checkpoint, `specs/checkpoint.md`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::key::{self, KeyKind, SignError};
use crate::{Hash, Note, SignatureLine, Signer, Tree, VerifierKey, cosignature, note::NoteError, text};

/// The text of a checkpoint: origin, size, root and extension lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: 1 to 255 bytes, one line.
    pub origin: String,
    /// Size and root. A size of 0 with another root than [`Hash::EMPTY`] can be parsed, because witnesses answer it with
    /// another status than bad syntax; no consistency proof accepts it.
    pub tree: Tree,
    /// Extension lines without line feeds, none empty; discouraged.
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
    /// Longest origin in bytes: type 06 messages count it in one byte.
    pub const MAX_ORIGIN: usize = 255;

    /// Reads a checkpoint's text.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        if text.len() > Note::MAX_BYTES || text::has_controls(text) {
            return Err(CheckpointError::Malformed);
        }
        Self::read(text).filter(|checkpoint| checkpoint.encode() == text).ok_or(CheckpointError::Malformed)
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let origin = lines.next().filter(|origin| (1..=Self::MAX_ORIGIN).contains(&origin.len()))?.to_string();
        let size = text::decimal(lines.next()?)?;
        let root = Hash::from_base64(lines.next()?)?;
        let extensions: Vec<String> = lines.map(ToString::to_string).collect();
        let good = extensions.iter().all(|line| !line.is_empty());
        good.then_some(Self { origin, tree: Tree { size, root }, extensions })
    }

    /// The text, with its final line feed.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.tree.size, self.tree.root.to_base64());
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Signs as the log (type 01 over the text, or type 06 with `time` in POSIX seconds).
    /// Type 04 is for witnesses alone, and type 06 does not cover extension lines: both are refused.
    pub fn sign(&self, signer: &dyn Signer, time: u64) -> Result<SignatureLine, SignError> {
        match signer.key().kind() {
            KeyKind::Ed25519 => Ok(SignatureLine::by(signer.key(), key::sign_checked(signer, self.encode().as_bytes())?)),
            KeyKind::MlDsa44 => cosignature::sign_tree(signer, self, time),
            KeyKind::CosignatureV1 => Err(SignError),
        }
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
    /// Puts a checkpoint and signature lines together.
    #[must_use]
    pub fn new(checkpoint: Checkpoint, lines: Vec<SignatureLine>) -> Self {
        let text = checkpoint.encode();
        Self { checkpoint, note: Note { text, lines } }
    }

    /// Parses note and text.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        Self::from_note(Note::parse(bytes).map_err(CheckpointError::Note)?)
    }

    /// Reads the text of a note that is parsed already.
    pub fn from_note(note: Note) -> Result<Self, CheckpointError> {
        Ok(Self { checkpoint: Checkpoint::parse(&note.text)?, note })
    }

    /// The note's bytes.
    #[must_use]
    pub fn encode(&self) -> String {
        self.note.encode()
    }

    /// Size and root.
    #[must_use]
    pub fn tree(&self) -> Tree {
        self.checkpoint.tree
    }

    /// Refuses a checkpoint of another log.
    pub fn expect_origin(&self, origin: &str) -> Result<(), CheckpointError> {
        if self.checkpoint.origin == origin { Ok(()) } else { Err(CheckpointError::WrongOrigin) }
    }

    /// Verifies the log's own signatures: every line by a key in `keys` (01 or 06) must verify, at least one must be there.
    /// Whether a key may speak for the origin is the caller's to know: they pass only such keys.
    pub fn verify_log(&self, keys: &[VerifierKey]) -> Result<(), CheckpointError> {
        let keys: Vec<_> = keys.iter().filter(|key| is_log_kind(key.kind())).collect();
        self.note.verify_with(&keys, |key, line| self.is_signed(key, line)).map_err(CheckpointError::Note)?;
        Ok(())
    }

    /// Whether `line` is a good signature of the log's key `key` (01 or 06) over this checkpoint.
    pub(crate) fn is_signed(&self, key: &VerifierKey, line: &SignatureLine) -> bool {
        match key.kind() {
            KeyKind::Ed25519 => line.is_by(key) && key.verify(self.note.text.as_bytes(), &line.signature),
            KeyKind::MlDsa44 => cosignature::verify(key, line, &self.checkpoint).is_ok(),
            KeyKind::CosignatureV1 => false,
        }
    }
}

/// Whether logs sign with such keys; witnesses' type 04 is none of them.
pub(crate) fn is_log_kind(kind: KeyKind) -> bool {
    matches!(kind, KeyKind::Ed25519 | KeyKind::MlDsa44)
}

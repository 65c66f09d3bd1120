//! Signed notes, C2SP signed-note. (stub)

use alloc::string::String;
use alloc::vec::Vec;

use crate::{KeyId, KeyName, VerifierKey};

/// One signature line: `— name base64(id || signature)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    /// Who is said to have signed.
    pub name: KeyName,
    /// Which of their keys.
    pub id: KeyId,
    /// What follows the ID: unchecked.
    pub signature: Vec<u8>,
}
impl SignatureLine {
    /// Reads one line without its line feed.
    pub fn parse(_line: &str) -> Result<Self, NoteError> {
        todo!()
    }
    /// The line, with its line feed.
    #[must_use]
    pub fn encode(&self) -> String {
        todo!()
    }
    /// Whether name and ID are those of `key`.
    #[must_use]
    pub fn is_by(&self, key: &VerifierKey) -> bool {
        self.name == *key.name() && self.id == key.id()
    }
}

/// A note, parsed, with no signature checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The signed text with its final line feed.
    pub text: String,
    /// The signature lines, in order.
    pub lines: Vec<SignatureLine>,
}

/// Why a note was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoteError {
    /// Larger than a note may be, or too many signatures.
    TooLarge,
    /// Not a note.
    Malformed,
    /// A signature by a known key does not verify.
    BadSignature,
    /// No signature by a known key.
    NoKnownSignature,
    /// Two configured keys share name and ID.
    AmbiguousKey,
}

impl Note {
    /// Largest note in bytes, and most signature lines (Go's limits).
    pub const MAX_BYTES: usize = 1_000_000;
    /// Most signature lines.
    pub const MAX_LINES: usize = 100;
    /// Parses; signatures are not checked.
    pub fn parse(_bytes: &[u8]) -> Result<Self, NoteError> {
        todo!()
    }
    /// The note's bytes.
    #[must_use]
    pub fn encode(&self) -> String {
        todo!()
    }
    /// Verifies type 01 lines of these keys over the text, as signed-note says: unknown lines are ignored, a known one that fails
    /// refuses the note, at least one must verify. Returns the indices of verified lines. (Types 04 and 06 are verified by [`crate::cosignature`].)
    pub fn verify(&self, _keys: &[VerifierKey]) -> Result<Vec<usize>, NoteError> {
        todo!()
    }
}

//! Signed notes: C2SP signed-note, `specs/note.md`.
//!
//! A note is parsed first and judged afterwards: [`Note::parse`] only says that it is one.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use crate::key::{self, KeyKind, SignError, Signer};
use crate::{KeyId, KeyName, VerifierKey, text};

/// One signature line: `— name base64(id || signature)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    /// Who is said to have signed.
    pub name: KeyName,
    /// Which of their keys.
    pub id: KeyId,
    /// What follows the ID: at least one byte, unchecked.
    pub signature: Vec<u8>,
}

impl SignatureLine {
    /// Reads one line without its line feed.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        Self::read(line).filter(|_| line.len() <= Note::MAX_BYTES).ok_or(NoteError::Malformed)
    }

    fn read(line: &str) -> Option<Self> {
        let (name, base64) = line.strip_prefix(EM_DASH)?.split_once(' ')?;
        let name = KeyName::parse(name)?;
        let bytes = text::base64(base64)?;
        let (id, signature) = bytes.split_first_chunk()?;
        (!signature.is_empty()).then(|| Self { name, id: KeyId(*id), signature: signature.to_vec() })
    }

    /// The line by `key` that carries these bytes after the key ID.
    #[must_use]
    pub fn by(key: &VerifierKey, signature: Vec<u8>) -> Self {
        Self { name: key.name().clone(), id: key.id(), signature }
    }

    /// The line, with its line feed.
    #[must_use]
    pub fn encode(&self) -> String {
        let bytes = [&self.id.0, self.signature.as_slice()].concat();
        format!("{EM_DASH}{} {}\n", self.name, text::encode_base64(&bytes))
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
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(NoteError::TooLarge);
        }
        let whole = core::str::from_utf8(bytes).map_err(|_| NoteError::Malformed)?;
        // The text may hold blank lines itself: the last one separates. Its first line feed belongs to the text.
        let (text, lines) = whole.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        if lines.split('\n').count() > Self::MAX_LINES {
            return Err(NoteError::TooLarge);
        }
        let mut note = Self::unsigned(&format!("{text}\n"))?;
        note.lines = lines.split('\n').map(SignatureLine::parse).collect::<Result<_, _>>()?;
        if note.encode() == whole { Ok(note) } else { Err(NoteError::Malformed) }
    }

    /// The note before anybody signed it. The text must end in a line feed and have no control bytes.
    pub fn unsigned(text: &str) -> Result<Self, NoteError> {
        if text.len() > Self::MAX_BYTES {
            return Err(NoteError::TooLarge);
        }
        if !text.ends_with('\n') || text::has_controls(text) {
            return Err(NoteError::Malformed);
        }
        Ok(Self { text: text.to_string(), lines: Vec::new() })
    }

    /// Adds a signature line in place of earlier ones by the same key.
    pub fn put(&mut self, line: SignatureLine) {
        self.lines.retain(|old| old.name != line.name || old.id != line.id);
        self.lines.push(line);
    }

    /// The note's bytes.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut whole = format!("{}\n", self.text);
        for line in &self.lines {
            whole.push_str(&line.encode());
        }
        whole
    }

    /// Signs the text as signed-note says: with a key of type 01, and only with that; others sign checkpoints.
    pub fn sign(&mut self, signer: &dyn Signer) -> Result<(), SignError> {
        if signer.key().kind() != KeyKind::Ed25519 {
            return Err(SignError);
        }
        let signature = key::sign_checked(signer, self.text.as_bytes())?;
        self.put(SignatureLine::by(signer.key(), signature));
        Ok(())
    }

    /// Verifies type 01 lines of these keys over the text, as signed-note says: unknown lines are ignored, a known one that fails
    /// refuses the note, at least one must verify. Returns the indices of verified lines; of several by one key, the first.
    /// (Types 04 and 06 are verified by [`crate::cosignature`].)
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<Vec<usize>, NoteError> {
        let keys: Vec<_> = keys.iter().filter(|key| key.kind() == KeyKind::Ed25519).collect();
        self.verify_with(&keys, |key, line| key.verify(self.text.as_bytes(), &line.signature))
    }

    /// The rule of signed-note for known and unknown lines; `good` says whether a line by a known key verifies.
    pub(crate) fn verify_with(
        &self,
        keys: &[&VerifierKey],
        good: impl Fn(&VerifierKey, &SignatureLine) -> bool,
    ) -> Result<Vec<usize>, NoteError> {
        let mut verified: Vec<(usize, &SignatureLine)> = Vec::new();
        for (index, line) in self.lines.iter().enumerate() {
            let mut matching = keys.iter().filter(|key| line.is_by(key));
            let Some(key) = matching.next() else { continue };
            if matching.next().is_some() {
                return Err(NoteError::AmbiguousKey);
            }
            if !good(key, line) {
                return Err(NoteError::BadSignature);
            }
            if !verified.iter().any(|(_, earlier)| earlier.name == line.name && earlier.id == line.id) {
                verified.push((index, line));
            }
        }
        if verified.is_empty() {
            return Err(NoteError::NoKnownSignature);
        }
        Ok(verified.into_iter().map(|(index, _)| index).collect())
    }
}

/// U+2014 and a space; neither the hyphen nor the en dash begins a signature.
const EM_DASH: &str = "\u{2014} ";

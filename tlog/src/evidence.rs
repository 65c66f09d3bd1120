//! Evidence of a split view: two checkpoints of one log that no single history explains, in one portable text file,
//! `specs/evidence.md`.
//!
//! Evidence convicts on the log's own signatures alone. Nobody has to be asked or believed: not the finder, not a witness.

use alloc::format;
use alloc::string::String;

use crate::key::KeyKind;
use crate::{ConsistencyProof, Hash, Note, SignedCheckpoint, Tree, VerifierKey, text};

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
    /// Largest file in bytes: two of the largest notes and some lines.
    pub const MAX_BYTES: usize = 2 * Note::MAX_BYTES + 10_000;

    /// Puts two checkpoints in order. Where sizes differ, `divergence` is the root that the larger tree has at the smaller size,
    /// and the proof from there.
    #[must_use]
    pub fn new(one: SignedCheckpoint, other: SignedCheckpoint, divergence: Option<(Hash, ConsistencyProof)>) -> Self {
        let (smaller, larger) = if one.tree().size <= other.tree().size { (one, other) } else { (other, one) };
        Self { smaller, larger, divergence }
    }

    /// Parses; nothing is verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(EvidenceError::Malformed);
        }
        let whole = core::str::from_utf8(bytes).map_err(|_| EvidenceError::Malformed)?;
        Self::read(whole).filter(|evidence| evidence.encode() == whole).ok_or(EvidenceError::Malformed)
    }

    fn read(whole: &str) -> Option<Self> {
        let mut rest = whole.strip_prefix(HEADER)?;
        let mut divergence = None;
        if let Some(after) = rest.strip_prefix("root ") {
            let (root, after) = text::line(after)?;
            let (hashes, after) = text::hashes(after)?;
            divergence = Some((Hash::from_base64(root)?, ConsistencyProof(hashes)));
            rest = after;
        } else {
            rest = rest.strip_prefix('\n')?;
        }
        let (smaller, rest) = counted_checkpoint(rest)?;
        let (larger, rest) = counted_checkpoint(rest)?;
        let (first, second) = (smaller.tree().size, larger.tree().size);
        let ordered = first < second && divergence.is_some() || first == second && divergence.is_none();
        (ordered && rest.is_empty()).then_some(Self { smaller, larger, divergence })
    }

    /// The file's text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut whole = String::from(HEADER);
        match &self.divergence {
            Some((root, proof)) => {
                whole.push_str(&format!("root {}\n", root.to_base64()));
                text::push_hashes(&mut whole, &proof.0);
            }
            None => whole.push('\n'),
        }
        for checkpoint in [&self.smaller, &self.larger] {
            let note = checkpoint.encode();
            whole.push_str(&format!("checkpoint {}\n{note}", note.len()));
        }
        whole
    }

    /// Verifies with nothing but the log's keys (any one per checkpoint suffices).
    ///
    /// A wrong line beside a good one excuses nothing: what the log signed once, it signed.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<(), EvidenceError> {
        let signed = self.smaller.checkpoint.origin == self.larger.checkpoint.origin
            && is_signed_by_any(&self.smaller, keys)
            && is_signed_by_any(&self.larger, keys);
        if !signed {
            return Err(EvidenceError::NotSigned);
        }
        if self.is_proven() { Ok(()) } else { Err(EvidenceError::Unproven) }
    }

    /// Whether no single history has both trees.
    fn is_proven(&self) -> bool {
        let (smaller, larger) = (self.smaller.tree(), self.larger.tree());
        match &self.divergence {
            None => smaller.size == larger.size && smaller.root != larger.root,
            Some((root, proof)) => {
                let before = Tree { size: smaller.size, root: *root };
                smaller.size < larger.size && smaller.root != *root && proof.verify(&before, &larger).is_ok()
            }
        }
    }
}

fn is_signed_by_any(checkpoint: &SignedCheckpoint, keys: &[VerifierKey]) -> bool {
    let mut keys = keys.iter().filter(|key| key.kind() != KeyKind::CosignatureV1);
    keys.any(|key| checkpoint.note.lines.iter().any(|line| checkpoint.is_signed(key, line)))
}

/// A checkpoint after the line that says how many bytes it has; its own blank lines make it end nowhere else.
fn counted_checkpoint(text: &str) -> Option<(SignedCheckpoint, &str)> {
    let (length, rest) = text::line(text.strip_prefix("checkpoint ")?)?;
    let length = usize::try_from(text::decimal(length)?).ok()?;
    let (note, rest) = rest.split_at_checked(length)?;
    Some((SignedCheckpoint::parse(note.as_bytes()).ok()?, rest))
}

const HEADER: &str = "tallystick/evidence/v1\n";

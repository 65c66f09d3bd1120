//! The verdict on a request, as pure functions: what may be cosigned, given what has been. No IO, no clock, no lock.
//!
//! The order of the checks is the order of the status codes of C2SP tlog-witness, `specs/witness.md` section 3. [`authenticate`] needs
//! no state and runs before any lock is taken; [`decide`] compares with the state and says what the state must become.

use std::fmt;

use tlog::witness::AddCheckpoint;
use tlog::{Checkpoint, ConsistencyProof, Note, SignatureLine, SignedCheckpoint, Tree, VerifierKey, cosignature};

use crate::Known;

/// The keys that a verdict rests on.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// The log's, of type 01 or 06.
    pub log: &'a [VerifierKey],
    /// This witness's own, of type 04 and 06.
    pub own: &'a [VerifierKey],
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The body, the checkpoint or the range is not as specified.
    Malformed(&'static str),
    /// The origin is not on the list.
    UnknownLog,
    /// No key of the log signed the checkpoint, or one's signature is wrong.
    NotSignedByLog,
    /// sign-subtree without this witness's own ML-DSA-44 cosignature.
    NotCosigned,
    /// Another old size than the one stored.
    Stale {
        /// The stored size.
        size: u64,
    },
    /// The proof does not lead from the stored tree to the checkpoint.
    Inconsistent,
    /// Nothing is signed for this log until the operator has looked.
    Held(Hold),
    /// The clock cannot be right, so no time can be stated.
    Clock(ClockError),
}

/// Why nothing is signed for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// A checkpoint carries this witness's own cosignature, and the stored state is older: the state was restored from a copy.
    OwnNewer(Box<SignedCheckpoint>),
    /// The stored record is damaged.
    Damaged,
    /// The directory was copied or restored file by file: the marker file is not the one that was made here.
    Moved,
    /// Since the start, none of the log's addresses has answered.
    Unasked,
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnNewer(own) => {
                write!(f, "the stored state is older than this witness's own cosignature of size {}", own.checkpoint.tree.size)
            }
            Self::Damaged => f.write_str("the stored state is damaged"),
            Self::Moved => f.write_str("the directory is a copy, or was restored"),
            Self::Unasked => f.write_str("no address of this log has answered since the start"),
        }
    }
}

/// Why the clock cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockError {
    /// Before the year in which this was written: not set.
    NotSet,
    /// Further behind the newest cosignature than [`MAX_BACKWARD`].
    Behind,
}

/// An authentic request: a checkpoint that the log signed, and what is claimed to lead to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The checkpoint with the log's verified lines alone.
    pub signed: SignedCheckpoint,
    /// The witness's own verified cosignatures that came with it, with their times.
    pub own: Vec<(u64, SignatureLine)>,
    /// The size that the witness is said to have.
    pub old_size: u64,
    /// From there to the checkpoint.
    pub proof: ConsistencyProof,
}

/// The origin that a note claims: its text's first line.
#[must_use]
pub fn origin(note: &Note) -> &str {
    note.text.split('\n').next().unwrap_or_default()
}

/// Checks all that needs no state: the log's signatures, the checkpoint's form, the order of the sizes.
///
/// # Errors
/// [`Refusal::NotSignedByLog`] before [`Refusal::Malformed`]: only the log is told what is wrong with its text.
pub fn authenticate(request: AddCheckpoint, keys: Keys<'_>) -> Result<Submission, Refusal> {
    let AddCheckpoint { old_size, proof, checkpoint: note } = request;
    let signed = match Checkpoint::parse(&note.text) {
        Ok(checkpoint) => SignedCheckpoint { checkpoint, note },
        // What is no checkpoint can still be signed text (type 01).
        Err(_) if note.verify(keys.log).is_ok() => return Err(Refusal::Malformed("the signed text is not a checkpoint")),
        Err(_) => return Err(Refusal::NotSignedByLog),
    };
    signed.verify_log(keys.log).map_err(|_| Refusal::NotSignedByLog)?;
    if !signed.checkpoint.extensions.is_empty() {
        // ML-DSA-44 cosignatures do not cover them: a reader would take them for signed.
        return Err(Refusal::Malformed("extension lines are not cosigned"));
    }
    if old_size > signed.checkpoint.tree.size {
        return Err(Refusal::Malformed("the old size is larger than the checkpoint's"));
    }
    let own = own_cosignatures(&signed, keys.own);
    Ok(Submission { signed: with_lines_of(signed, keys.log), own, old_size, proof })
}

/// Compares an authentic request with the state. The answer is the next state; until that is durable, nothing may be signed.
///
/// # Errors
/// In this order: held or restored, stale, inconsistent, clock.
pub fn decide(known: Option<&Known>, hold: Option<&Hold>, submission: &Submission, now: u64) -> Result<Known, Refusal> {
    if let Some(hold) = hold {
        return Err(Refusal::Held(hold.clone()));
    }
    if let Some(own) = own_newer(known, submission) {
        return Err(Refusal::Held(Hold::OwnNewer(Box::new(own))));
    }
    let old = known.map_or(Tree::EMPTY, Known::tree);
    if submission.old_size != old.size {
        return Err(Refusal::Stale { size: old.size });
    }
    // Covers the unchanged size and size 0 too: equal sizes want equal roots, and the empty tree has one root.
    submission.proof.verify(&old, &submission.signed.checkpoint.tree).map_err(|_| Refusal::Inconsistent)?;
    let time = cosignature_time(known.map(|known| known.time), now).map_err(Refusal::Clock)?;
    Ok(match known {
        // The same statement again: signing it twice says nothing new, and nothing needs to be written.
        Some(known) if known.time == time && known.tree() == submission.signed.checkpoint.tree => known.clone(),
        _ => Known { signed: submission.signed.clone(), time },
    })
}

/// The time to state, in POSIX seconds: now, but never before an earlier one.
///
/// A clock that is at most [`MAX_BACKWARD`] behind is being corrected, and the earlier time is stated again; one further behind is
/// wrong now or was wrong then, and nobody but the operator knows which.
///
/// # Errors
/// See [`ClockError`].
pub fn cosignature_time(last: Option<u64>, now: u64) -> Result<u64, ClockError> {
    match last {
        _ if now < NOT_SET => Err(ClockError::NotSet),
        Some(last) if last > now.saturating_add(MAX_BACKWARD) => Err(ClockError::Behind),
        Some(last) => Ok(last.max(now)),
        None => Ok(now),
    }
}

/// Whether the witness has signed what its state does not know: then the state was restored, and how much else is missing from it
/// cannot be told. Returns the checkpoint with log and own lines, as the proof for the operator.
#[must_use]
pub fn own_newer(known: Option<&Known>, submission: &Submission) -> Option<SignedCheckpoint> {
    let newest = submission.own.iter().map(|(time, _)| *time).max()?;
    if !is_newer(known, submission.signed.checkpoint.tree, newest) {
        return None;
    }
    let mut signed = submission.signed.clone();
    signed.note.lines.extend(submission.own.iter().map(|(_, line)| line.clone()));
    Some(signed)
}

/// Whether an own cosignature of `tree` at `time` cannot have been made before the stored state: every one that was is of a smaller
/// tree, or of the same tree and not later. (Time 0 is that of subtree signatures.)
#[must_use]
pub fn is_newer(known: Option<&Known>, tree: Tree, time: u64) -> bool {
    match known {
        None => true,
        Some(known) if tree.size == known.tree().size => tree.root != known.tree().root || time > known.time,
        Some(known) => tree.size > known.tree().size,
    }
}

/// The own cosignatures that verify; forged lines are nothing, wherever they stand.
#[must_use]
pub fn own_cosignatures(signed: &SignedCheckpoint, own: &[VerifierKey]) -> Vec<(u64, SignatureLine)> {
    let by = |key| signed.note.lines.iter().filter(move |line| line.is_by(key)).take(MAX_OWN_LINES).map(move |line| (key, line));
    let verified = |(key, line): (&VerifierKey, &SignatureLine)| {
        cosignature::verify(key, line, &signed.checkpoint).ok().map(|time| (time, line.clone()))
    };
    own.iter().flat_map(by).filter_map(verified).collect()
}

/// Keeps the lines of these keys, one a key, after all of them have verified.
fn with_lines_of(mut signed: SignedCheckpoint, keys: &[VerifierKey]) -> SignedCheckpoint {
    let line_of = |key: &VerifierKey| signed.note.lines.iter().find(|line| line.is_by(key)).cloned();
    signed.note.lines = keys.iter().filter_map(line_of).collect();
    signed
}

/// How far the clock may be behind the newest cosignature, in seconds.
pub const MAX_BACKWARD: u64 = 60;
/// 2026-01-01: a clock before it is not set.
const NOT_SET: u64 = 1_767_225_600;
/// Lines under one own key that are tried: honest notes have one, and each costs a verification.
const MAX_OWN_LINES: usize = 4;

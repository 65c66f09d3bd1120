//! What the log has committed and published, and the steps of a round. `specs/lifecycle.md` numbers them; recovery
//! ([`crate::recover`]) runs the same ones from wherever a process ended.
//!
//! The order is the argument. Objects of a round are staged in one durable file *before* the committed checkpoint is swapped,
//! so that whatever was committed can be written out; no signature leaves the process before that swap, so that what was not
//! committed never happened; tiles are durable before anybody is asked to cosign, so that a published tree is always readable.

use std::io::{Error, ErrorKind};
use std::sync::Arc;

use store::{Store, Swap};
use tlog::{Checkpoint, Hash, Note, Prover, SignatureLine, Tree};

use crate::keys::{LogKeys, OwnCheckpoint};
use crate::layout;
use crate::stage::Stage;
use crate::verify::{self, VerifyError};

/// The steps of a round, as the trace names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Waiting for entries.
    Collect,
    /// Growing the tree and checking it.
    Verify,
    /// Writing the staging file.
    Stage,
    /// Swapping the committed checkpoint.
    Commit,
    /// Writing tiles and bundles.
    Spread,
    /// Asking the witnesses.
    Cosign,
    /// Swapping the published checkpoint.
    Publish,
    /// Answering, indexing and discarding the staging file.
    Finish,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 8] =
        [Self::Collect, Self::Verify, Self::Stage, Self::Commit, Self::Spread, Self::Cosign, Self::Publish, Self::Finish];

    /// Says on the trace that the step begins (`phase=Stage`).
    pub fn begins(self) {
        tracing::trace!(phase = ?self);
    }
}

/// Why a step failed, and what is therefore known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerError {
    /// Nothing was committed: the round can be given up, and another be tried.
    NotCommitted(VerifyError),
    /// A swap's result is unknown, somebody else has written, or objects of the committed tree could not be written. Only a
    /// new start may go on, which looks at what the disk has.
    Unknown(String),
}

impl std::fmt::Display for LedgerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotCommitted(error) => write!(f, "nothing was committed: {error}"),
            Self::Unknown(what) => write!(f, "stopped, start the log again: {what}"),
        }
    }
}
impl std::error::Error for LedgerError {}

/// A verified, signed round that nobody has seen yet.
pub struct Round {
    /// The signed checkpoint; it must not leave the process before [`Ledger::commit`] returned.
    checkpoint: OwnCheckpoint,
    stage: Stage,
    /// Of the round's entries.
    prover: Prover,
}

impl Round {
    /// The tree after the round.
    #[must_use]
    pub fn tree(&self) -> Tree {
        self.checkpoint.tree()
    }
}

/// The published checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Size and root.
    pub tree: Tree,
    /// The whole note, with cosignatures.
    pub note: Vec<u8>,
}

/// The two checkpoints and the store behind them. One owner: the sequencer.
pub struct Ledger {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Arc<LogKeys>,
    pub(crate) committed: OwnCheckpoint,
    /// The committed checkpoint's bytes as stored, for the next swap.
    pub(crate) committed_bytes: Vec<u8>,
    pub(crate) published: Option<Published>,
    /// Of the bundles of earlier rounds, to be used again.
    pub(crate) spare: Vec<Vec<u8>>,
}

impl Ledger {
    /// The committed checkpoint, with the log's own signatures only.
    #[must_use]
    pub fn committed(&self) -> &OwnCheckpoint {
        &self.committed
    }

    /// The published checkpoint; none before the first publication.
    #[must_use]
    pub fn published(&self) -> Option<&Published> {
        self.published.as_ref()
    }

    /// Whether a committed tree waits to be published.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.published.as_ref().is_none_or(|published| published.tree != self.committed.tree())
    }

    /// The log's keys.
    #[must_use]
    pub fn keys(&self) -> &LogKeys {
        &self.keys
    }

    /// The same, to be shared.
    #[must_use]
    pub fn keys_shared(&self) -> Arc<LogKeys> {
        self.keys.clone()
    }

    /// Grows the committed tree by `entries`, whose leaf hashes were taken before, verifies the growth and signs it for the time
    /// `now`, or for the previous checkpoint's if that is later. Writes nothing.
    pub fn prepare(&mut self, entries: &[&[u8]], hashes: Vec<Hash>, now: u64) -> Result<Round, LedgerError> {
        Phase::Verify.begins();
        let old = self.committed.tree();
        let edge = verify::stored_edge(&*self.store, &old).map_err(LedgerError::NotCommitted)?;
        let refuse = |why: &str| LedgerError::NotCommitted(VerifyError::WrongGrowth(why.to_owned()));
        let batch = edge.append_hashed(entries, hashes, &mut self.spare).map_err(|_| refuse("an entry is too long"))?;
        let stage = Stage::new(old, batch);
        let prover = verify::verify(&edge, &stage).map_err(LedgerError::NotCommitted)?;
        let checkpoint = self.keys.sign(stage.new, now.max(self.committed.time)).map_err(|_| refuse("the keys did not sign"))?;
        Ok(Round { checkpoint, stage, prover })
    }

    /// Stages the round and commits it. After `Ok`, it happened. Returns what is to be spread, and the proofs of its entries.
    pub fn commit(&mut self, round: Round) -> Result<(Stage, Prover), LedgerError> {
        Phase::Stage.begins();
        let key = layout::stage(&round.tree());
        let pieces = round.stage.pieces();
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &piece[..]).collect();
        self.store.put_pieces(&key, &pieces).map_err(|error| {
            // Best effort: nothing refers to it, and the next start discards what is left.
            let _ = self.store.discard(&key);
            unstaged(&key, &error)
        })?;
        Phase::Commit.begins();
        let bytes = round.checkpoint.signed.encode().into_bytes();
        swap(&*self.store, layout::COMMITTED, Some(&self.committed_bytes), &bytes)?;
        self.committed = round.checkpoint;
        self.committed_bytes = bytes;
        Ok((round.stage, round.prover))
    }

    /// Makes the committed round's tiles and bundles durable.
    pub fn spread(&mut self, stage: Stage) -> Result<(), LedgerError> {
        Phase::Spread.begins();
        let bundles = stage.bundles.len();
        let mut objects = stage.into_keyed();
        self.store.put_all(&objects).map_err(|error| LedgerError::Unknown(format!("writing tiles: {error}")))?;
        objects.truncate(bundles);
        self.keep(objects);
        Ok(())
    }

    /// Keeps the buffers of bundles for the next rounds, as many as are worth their memory.
    fn keep(&mut self, bundles: Vec<(String, Vec<u8>)>) {
        let mut held: usize = self.spare.iter().map(Vec::capacity).sum();
        for (_, buffer) in bundles {
            held += buffer.capacity();
            if held > SPARE {
                return;
            }
            self.spare.push(buffer);
        }
    }

    /// Publishes the committed tree with these cosignatures, which satisfy the policy. Also replaces the published
    /// checkpoint by the same tree under fresher cosignatures.
    pub fn publish(&mut self, cosignatures: Vec<SignatureLine>) -> Result<Published, LedgerError> {
        Phase::Publish.begins();
        let mut note: Note = self.committed.signed.note.clone();
        note.lines.extend(cosignatures);
        let new = Published { tree: self.committed.tree(), note: note.encode().into_bytes() };
        let old = self.published.as_ref().map(|published| &published.note[..]);
        if self.published.as_ref().is_some_and(|published| published.tree.size > new.tree.size) {
            return Err(LedgerError::Unknown("the published tree is larger than the committed one".to_owned()));
        }
        swap(&*self.store, layout::PUBLISHED, old, &new.note)?;
        self.published = Some(new.clone());
        Ok(new)
    }

    /// Discards the staging file of the published round. Failure costs space only; the next start tries again.
    pub fn clean(&self) {
        let _ = self.store.discard(&layout::stage(&self.committed.tree()));
    }

    /// The store, for readers.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The committed checkpoint's text.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.committed.signed.checkpoint
    }
}

/// Most bytes of buffers that are kept between rounds: those of a usual round.
const SPARE: usize = 4 << 20;

/// A disk without room gets its time. After any other failure, that of an fsync above all, only a new start may use it: it writes
/// everything that it relies on to new inodes.
fn unstaged(key: &str, error: &Error) -> LedgerError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ReadOnlyFilesystem => {
            LedgerError::NotCommitted(VerifyError::Storage(key.to_owned(), error.to_string()))
        }
        _ => LedgerError::Unknown(format!("writing {key}: {error}")),
    }
}

fn swap(store: &dyn Store, key: &str, old: Option<&[u8]>, new: &[u8]) -> Result<(), LedgerError> {
    match store.swap(key, old, new) {
        Ok(Swap::Done) => Ok(()),
        Ok(Swap::Conflict) => Err(LedgerError::Unknown(format!("somebody else has changed {key}"))),
        Err(error) => Err(LedgerError::Unknown(format!("the result of writing {key} is unknown: {error}"))),
    }
}

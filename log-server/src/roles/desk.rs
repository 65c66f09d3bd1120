//! The submitters' side of a log with roles: everything that can be said about a submission before its turn.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use attest::judge::Refusal as Judgement;
use attest::{Envelope, Judge};
use store::Store;
use tlog::VerifierKey;

use super::replay::submission;
use super::{Manifests, Submission, refusal};
use crate::entries::Entries;
use crate::index::{Index, IndexError};
use crate::pool::{Pool, Refusal};
use crate::rates::{Limits, Rates};

/// Shared by the requests and the sequencer.
pub struct Desk {
    /// The log's name, which manifests' signatures bind.
    pub origin: String,
    /// The queue.
    pub pool: Arc<Pool<Submission>>,
    /// The derived index.
    pub index: Arc<Index>,
    /// The stored manifests.
    pub manifests: Manifests,
    store: Arc<dyn Store>,
    rates: Rates,
    judge: RwLock<Arc<Judge>>,
}

/// What a checked submission is.
#[derive(Debug)]
pub enum Checked {
    /// New, as far as can be told now; to be queued under its identity.
    New(Box<Submission>),
    /// Leaf `index` of the log already.
    Known(u64),
}

impl Desk {
    /// A desk that judges as of the committed tree.
    #[must_use]
    pub fn new(
        origin: &str,
        pool: Arc<Pool<Submission>>,
        index: Arc<Index>,
        manifests: Manifests,
        store: Arc<dyn Store>,
        limits: Limits,
        judge: Judge,
    ) -> Self {
        Self { origin: origin.to_owned(), pool, index, manifests, store, rates: Rates::new(limits), judge: RwLock::new(Arc::new(judge)) }
    }

    /// The state as of the last published leaf.
    #[must_use]
    pub fn judge(&self) -> Arc<Judge> {
        self.judge.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn learn(&self, judge: Arc<Judge>) {
        *self.judge.write().unwrap_or_else(PoisonError::into_inner) = judge;
    }

    /// Form, signature and, as far as the present state decides it, role. The slow part of admission, off the sequencer.
    pub fn check(&self, leaf: &[u8]) -> Result<Result<Checked, Refusal>, IndexError> {
        let (envelope, statement) = match Judge::open_known(leaf, self.judge().known_keys()) {
            Ok(opened) => opened,
            Err(judgement) => return Ok(Err(refusal(&judgement))),
        };
        let submission = Submission::new(&envelope, statement);
        if let Some(index) = self.known(&submission)? {
            return Ok(Ok(Checked::Known(index)));
        }
        match self.judge().may(&submission.key, &submission.payload, &submission.statement) {
            Err(judgement) if is_final(&judgement) => Ok(Err(refusal(&judgement))),
            _ => Ok(Ok(Checked::New(Box::new(submission)))),
        }
    }

    /// Counts a new submission against its key's rate; `Err` says after how many seconds there is room again.
    pub fn check_rate(&self, submission: &Submission) -> Result<(), u32> {
        match self.judge().role(&submission.key, &submission.statement.predicate) {
            Some(role) => self.rates.take(role, &submission.key, Instant::now()),
            None => Ok(()),
        }
    }

    /// Where the same key said the same already. A hit is compared with the stored leaf: an index that lies is broken.
    pub fn known(&self, submitted: &Submission) -> Result<Option<u64>, IndexError> {
        let Some(index) = self.index.find(&submitted.identity())? else { return Ok(None) };
        let stored = submission(&mut Entries::new(&*self.store, self.covering(index)), index)?;
        if stored.key == submitted.key && stored.payload == submitted.payload {
            return Ok(Some(index));
        }
        Err(IndexError::Stale(format!("it names leaf {index} for a submission that differs from it; run tally-log reindex")))
    }

    /// Whether a key may upload manifests: it has a role and is active in it.
    #[must_use]
    pub fn may_upload(&self, key: &VerifierKey) -> bool {
        let judge = self.judge();
        judge.roles().current().is_some_and(|current| current.roles.is_active(key)) && judge.roles().compromised_from(key).is_none()
    }

    /// A tree size whose bundle holds the leaf. Every size up to the indexed one was written once, but partial bundles of
    /// earlier sizes may be gone.
    fn covering(&self, index: u64) -> u64 {
        let indexed = self.index.tree().map_or(0, |tree| tree.size);
        indexed.max(index + 1)
    }
}

/// Whether waiting cannot change the judgement. (Chains move on with what is queued before; roles that are queued are
/// judged again in any case when their turn comes.)
fn is_final(judgement: &Judgement) -> bool {
    matches!(
        judgement,
        Judgement::UnknownKey
            | Judgement::WrongRole { .. }
            | Judgement::OutOfScope { .. }
            | Judgement::WrongVendor { .. }
            | Judgement::Retired
            | Judgement::Compromised { .. }
    )
}

/// An envelope's own parts, for those who hold bytes that were checked before.
#[must_use]
pub fn parts(leaf: &[u8]) -> Option<Submission> {
    let envelope = Envelope::parse(leaf).ok()?;
    let statement = attest::Statement::parse(envelope.payload()).ok()?;
    Some(Submission::new(&envelope, statement))
}

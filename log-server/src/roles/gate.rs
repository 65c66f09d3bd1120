//! Judging in the order of the log: exact dedup, roles as of this leaf, chains, manifests.

use std::sync::Arc;

use attest::Judge;
use attest::predicate::{Advisory, ControlHead, Kind, Lifecycle, Predicate};

use super::{Desk, Submission, refusal};
use crate::clock::Clock;
use crate::gate::{Broken, Gate, Verdict};
use crate::index::IndexError;
use crate::pool::{Entry, Refusal};
use tlog::Tree;

/// The sequencer's side of a log with roles.
pub struct RolesGate {
    desk: Arc<Desk>,
    clock: Arc<dyn Clock>,
    /// After the last published leaf.
    settled: Arc<Judge>,
    /// After the last taken one; `None` while it is the same.
    ahead: Option<Judge>,
    swept: u64,
}

impl RolesGate {
    /// Begins with what the desk knows: the state after the committed tree.
    #[must_use]
    pub fn new(desk: Arc<Desk>, clock: Arc<dyn Clock>) -> Self {
        Self { settled: desk.judge(), desk, clock, ahead: None, swept: 0 }
    }

    fn check_manifest(&self, submission: &Submission) -> Result<Option<Refusal>, IndexError> {
        let Some(claim) = submission.claimed() else { return Ok(None) };
        let checked = self.desk.manifests.check_claim(&claim.tree(), claim.bytes, &submission.statement.subject.digest.sha256)?;
        Ok(checked.err().map(Refusal::Unfounded))
    }
}

impl Gate for RolesGate {
    type Meta = Submission;

    fn judge(&mut self, entry: &Entry<Submission>, index: u64) -> Result<Verdict, Broken> {
        let submission = &entry.meta;
        if let Some(known) = self.desk.known(submission)? {
            return Ok(Verdict::Known(known));
        }
        if let Some(refusal) = self.check_manifest(submission)? {
            return Ok(Verdict::Refuse(refusal));
        }
        let judge = self.ahead.as_ref().unwrap_or(&self.settled);
        if let Err(judgement) = judge.may(&submission.key, &submission.payload, &submission.statement) {
            return Ok(Verdict::Refuse(refusal(&judgement)));
        }
        if let Predicate::ControlHead(head) = &submission.statement.predicate
            && let Some(why) = beyond(head, judge, index, self.clock.now())
        {
            return Ok(Verdict::Refuse(Refusal::Unfounded(why)));
        }
        let kind = submission.statement.kind();
        // Claims and the like leave the state as it is; copying it for each batch would cost more than judging.
        if changes_state(kind) {
            let judge = self.ahead.get_or_insert_with(|| Judge::clone(&self.settled));
            if let Err(judgement) = judge.admit(index, &submission.key, submission.payload, submission.statement.clone()) {
                return Ok(Verdict::Refuse(refusal(&judgement)));
            }
        }
        Ok(if kind == Kind::Roles { Verdict::TakeLast } else { Verdict::Take })
    }

    fn abandon(&mut self) {
        self.ahead = None;
    }

    fn record(&mut self, first: u64, entries: &[Entry<Submission>], tree: &Tree) -> Result<(), Broken> {
        let rows: Vec<_> = entries.iter().map(|entry| entry.meta.row()).collect();
        for root in rows.iter().filter_map(|row| row.manifest.as_ref()) {
            self.desk.manifests.claim(root)?;
        }
        self.desk.index.extend(first, &rows, tree)?;
        if let Some(judge) = self.ahead.take() {
            self.settled = Arc::new(judge);
            self.desk.learn(self.settled.clone());
        }
        Ok(())
    }

    fn tidy(&mut self, now: u64) {
        if now.saturating_sub(self.swept) < SWEEP_SECONDS && self.swept <= now {
            return;
        }
        self.swept = now;
        match self.desk.manifests.sweep(now) {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "dropped manifests that no entry has claimed"),
            Err(error) => tracing::warn!("dropping unclaimed manifests: {error:?}"),
        }
    }
}

impl From<IndexError> for Broken {
    fn from(error: IndexError) -> Self {
        Self(error.to_string())
    }
}

/// Whether a leaf of this kind changes what later leaves may say.
pub(super) fn changes_state(kind: Kind) -> bool {
    matches!(kind, Kind::Roles | Kind::Advisory | Kind::Lifecycle | Kind::ControlHead | Kind::RepositoryState)
}

/// What a control head names that the log does not hold, or when it says it was made. Verifiers cannot tell, for a head may know more than
/// they have seen; the log can, and what it takes in binds all later heads.
fn beyond(head: &ControlHead, judge: &Judge, size: u64, now: u64) -> Option<String> {
    if head.time > now.saturating_add(MAX_AHEAD) {
        let ahead = head.time - now;
        return Some(format!("the control head is dated {ahead} seconds ahead of the log's clock; set your clock and sign again"));
    }
    let newest = |kind, subject| judge.chain(kind, subject).map_or(0, |end| end.sequence);
    let named = [
        ("a tree of size", head.size, size),
        ("roles version", head.roles, judge.roles().current().map_or(0, |current| current.roles.version)),
        ("advisory", head.advisory, newest(Kind::Advisory, Advisory::SUBJECT)),
        ("lifecycle statement", head.lifecycle.unwrap_or(0), newest(Kind::Lifecycle, Lifecycle::SUBJECT)),
    ];
    let (what, named, known) = named.into_iter().find(|(_, named, known)| named > known)?;
    Some(format!("the control head names {what} {named}, and the log has {known}; fetch the newest entries and sign again"))
}

/// How many seconds a control head may be ahead of the log's clock.
const MAX_AHEAD: u64 = 300;
/// How often unclaimed manifests are looked for.
const SWEEP_SECONDS: u64 = 60;

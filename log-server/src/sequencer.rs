//! The one writer. [`Sequencer::turn`] takes one step and never sleeps of its own accord, so that tests drive it with a
//! clock of theirs; [`run`] is the thread around it.
//!
//! At most one tree is committed and not published. Until it is, nothing else is committed; entries queue meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::collect::Collector;
use crate::gate::{Gate, Verdict};
use crate::ledger::{Ledger, LedgerError, Phase};
use crate::metrics::Metrics;
use crate::pool::{Entry, Outcome, Pool};
use crate::quorum::{Consulted, Gathered, Quorum};
use crate::reload::Reload;
use crate::shared::{Recent, Shared, Status, View};
use crate::witnesses::Subject;

/// How the sequencer paces itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long a batch is collected.
    pub interval: Duration,
    /// Most bytes of entries in one batch.
    pub batch_bytes: usize,
    /// Most entries in one batch.
    pub batch_entries: usize,
    /// After how many seconds an idle log's head is cosigned afresh.
    pub republish_seconds: u64,
}

/// What a turn came to, and thereby when the next one is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Something was done; there may be more.
    Worked,
    /// Nothing is to be done.
    Idle,
    /// Something has to be tried again later.
    Waiting,
    /// Only a new start can go on.
    Stopped,
}

/// The parts that a sequencer is made of.
pub struct Parts<G: Gate> {
    /// The log's state.
    pub ledger: Ledger,
    /// The witnesses.
    pub quorum: Quorum,
    /// Where entries come from.
    pub pool: Arc<Pool<G::Meta>>,
    /// What judges them.
    pub gate: G,
    /// Where the published tree is shown.
    pub shared: Arc<Shared>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The pace.
    pub pace: Pace,
}

/// See the module's text.
pub struct Sequencer<G: Gate> {
    parts: Parts<G>,
    /// Set once the witnesses were consulted.
    is_agreed: bool,
    /// Entries of the committed, unpublished tree, from leaf `first`.
    in_flight: Vec<Entry<G::Meta>>,
    first: u64,
    /// The proofs of the last committed round's entries.
    recent: Option<Recent>,
    /// Where another witness policy may wait.
    reload: Reload,
    /// What superseded partial tiles are left.
    collector: Collector,
    /// When the published checkpoint last got cosignatures, by the log's clock; `None` since the start.
    refreshed: Option<u64>,
}

impl<G: Gate> Sequencer<G> {
    /// A sequencer over an opened ledger; it shows what is published already.
    pub fn new(parts: Parts<G>) -> Self {
        if let Some(published) = parts.ledger.published() {
            let note = String::from_utf8_lossy(&published.note).into_owned();
            parts.shared.show(Arc::new(View { tree: published.tree, note, at: 0, round: None }));
        }
        let collector = Collector::start(&**parts.ledger.store(), parts.ledger.published().map_or(0, |published| published.tree.size));
        let (in_flight, reload) = (Vec::new(), Reload::default());
        Self { parts, is_agreed: false, in_flight, first: 0, recent: None, reload, collector, refreshed: None }
    }

    /// The log's state.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.parts.ledger
    }

    /// Where to lay down another witness policy.
    #[must_use]
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// Whether nothing is to be done until entries come, or until it is time for something.
    fn is_between_rounds(&self) -> bool {
        self.is_agreed && !self.parts.ledger.is_pending()
    }

    /// Takes one step.
    pub fn turn(&mut self) -> Turn {
        if matches!(self.parts.shared.status(), Status::Stopped(_)) {
            self.fail_queue();
            return Turn::Stopped;
        }
        if let Some(quorum) = self.reload.take() {
            self.parts.quorum = quorum;
            self.parts.metrics.policy_loaded();
            // Its witnesses may know more than those before; then the head is published anew, under theirs.
            (self.is_agreed, self.refreshed) = (false, None);
        }
        if !self.is_agreed {
            return self.consult();
        }
        if self.parts.ledger.is_pending() {
            return self.publish(false);
        }
        if self.is_refresh_due() {
            return self.publish(true);
        }
        self.parts.gate.tidy(self.parts.clock.now());
        self.round()
    }

    /// Before anything is signed: do the witnesses know of a tree that this directory does not have?
    fn consult(&mut self) -> Turn {
        match self.parts.quorum.consult(&self.subject()) {
            Consulted::Agreed => {
                self.is_agreed = true;
                self.parts.shared.set(Status::Running);
                Turn::Worked
            }
            Consulted::TooFew(why) => {
                self.parts.shared.set(Status::Asking(why));
                Turn::Waiting
            }
            Consulted::Contradicted(why) => self.stop(why),
        }
    }

    fn is_refresh_due(&self) -> bool {
        let now = self.parts.clock.now();
        // A clock that went back makes the last time lie in the future; then it is due as well.
        let is_fresh = self.refreshed.is_some_and(|at| at <= now && now - at < self.parts.pace.republish_seconds);
        !self.parts.quorum.is_none() && !is_fresh
    }

    /// Gathers cosignatures of the committed tree and publishes it, for the first time or `again`.
    fn publish(&mut self, again: bool) -> Turn {
        Phase::Cosign.begins();
        let started = Instant::now();
        let lines = match self.parts.quorum.gather(&self.subject(), &*self.parts.clock, again) {
            Gathered::Enough(lines) => lines,
            Gathered::Contradicted(why) => return self.stop(why),
            Gathered::TooFew(why) => {
                self.parts.shared.set(Status::Waiting(why));
                return Turn::Waiting;
            }
        };
        self.parts.metrics.cosign_seconds.observe(started.elapsed().as_secs_f64());
        let published = match self.parts.ledger.publish(lines) {
            Ok(published) => published,
            Err(error) => return self.stop(error.to_string()),
        };
        let now = self.parts.clock.now();
        self.refreshed = Some(now);
        let note = String::from_utf8_lossy(&published.note).into_owned();
        let view = Arc::new(View { tree: published.tree, note, at: now, round: self.recent.clone() });
        self.parts.shared.show(view.clone());
        // A clock that is still wrong is no news, and the log must not look well in between.
        self.parts.shared.set(self.clock_fault().map_or(Status::Running, Status::Waiting));
        self.parts.metrics.published(&view);
        self.finish(&view)
    }

    /// Answers first, then indexes: an answer rests on the published checkpoint alone.
    fn finish(&mut self, view: &Arc<View>) -> Turn {
        Phase::Finish.begins();
        let mut entries = std::mem::take(&mut self.in_flight);
        self.parts.pool.answer(&mut entries, self.first, view);
        self.parts.pool.answer_late(view);
        let recorded = if entries.is_empty() { Ok(()) } else { self.parts.gate.record(self.first, &entries, &view.tree) };
        self.parts.pool.release_all(entries, self.first, view);
        self.parts.ledger.clean();
        self.collector.published(&**self.parts.ledger.store(), view.tree.size);
        match recorded {
            Ok(()) => Turn::Worked,
            Err(broken) => self.stop(format!("the index cannot be written: {}", broken.0)),
        }
    }

    /// Collects, judges, commits and spreads one batch. Publishing is the next turn's work.
    fn round(&mut self) -> Turn {
        if self.clock_fault().is_some() {
            return self.mend_clock();
        }
        let taken = self.parts.pool.take(self.parts.pace.batch_bytes, self.parts.pace.batch_entries);
        if taken.is_empty() {
            return Turn::Idle;
        }
        let first = self.parts.ledger.committed().tree().size;
        let entries = match self.select(taken, first) {
            Ok(entries) if entries.is_empty() => return Turn::Worked,
            Ok(entries) => entries,
            Err(why) => return self.stop(why),
        };
        self.first = first;
        self.in_flight = entries;
        match self.commit() {
            Ok(()) => Turn::Worked,
            Err(LedgerError::NotCommitted(why)) => {
                self.parts.gate.abandon();
                self.fail_in_flight();
                self.parts.shared.set(Status::Waiting(format!("nothing can be committed: {why}")));
                Turn::Waiting
            }
            Err(error @ LedgerError::Unknown(_)) => self.stop(error.to_string()),
        }
    }

    fn commit(&mut self) -> Result<(), LedgerError> {
        let started = Instant::now();
        let leaves: Vec<&[u8]> = self.in_flight.iter().map(|entry| &entry.leaf[..]).collect();
        let hashes = self.in_flight.iter().map(|entry| entry.hash).collect();
        let round = self.parts.ledger.prepare(&leaves, hashes, self.parts.clock.now())?;
        let (stage, prover) = self.parts.ledger.commit(round)?;
        self.recent = Some(Recent { first: self.first, prover: Arc::new(prover) });
        self.parts.metrics.committed(self.in_flight.len());
        self.parts.ledger.spread(stage)?;
        self.parts.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
        Ok(())
    }

    /// Judges the entries in order. Those that follow a last one go back into the queue.
    fn select(&mut self, mut taken: VecDeque<Entry<G::Meta>>, first: u64) -> Result<Vec<Entry<G::Meta>>, String> {
        let mut selected = Vec::with_capacity(taken.len());
        let mut index = first;
        while let Some(entry) = taken.pop_front() {
            match self.parts.gate.judge(&entry, index) {
                Ok(Verdict::Refuse(refusal)) => {
                    self.parts.metrics.refused();
                    self.parts.pool.release(entry, &Outcome::Refused(refusal));
                }
                Ok(Verdict::Known(index)) => self.parts.pool.release(entry, &self.known(index)),
                Ok(Verdict::Take) => {
                    selected.push(entry);
                    index += 1;
                }
                Ok(Verdict::TakeLast) => {
                    selected.push(entry);
                    break;
                }
                Err(broken) => {
                    taken.push_front(entry);
                    selected.into_iter().chain(taken).for_each(|entry| self.parts.pool.release(entry, &Outcome::Failed));
                    return Err(format!("the index cannot be read: {}", broken.0));
                }
            }
        }
        self.parts.pool.put_back(taken);
        Ok(selected)
    }

    /// Nothing is committed and unpublished when entries are judged, so a known leaf is a published one.
    fn known(&self, index: u64) -> Outcome {
        match self.parts.shared.view() {
            Some(view) if index < view.tree.size => Outcome::Logged { index, view },
            _ => Outcome::Failed,
        }
    }

    /// Why nothing may be signed at the clock's present time; `None` if it may.
    fn clock_fault(&self) -> Option<String> {
        let (now, theirs) = (self.parts.clock.now().max(self.parts.ledger.committed().time), self.parts.quorum.time()?);
        let ahead = now.saturating_sub(theirs);
        // In hours, so that the same fault is the same text for a while.
        let hours = ahead / 3_600;
        (ahead > MAX_AHEAD)
            .then(|| format!("the checkpoint's time would be over {hours} h after the witnesses' time: correct this machine's clock"))
    }

    /// The witnesses' time is that of their last cosignature. If that is long ago, it is asked for again; if the clock is still
    /// ahead, it is wrong.
    fn mend_clock(&mut self) -> Turn {
        match self.publish(true) {
            Turn::Worked if self.clock_fault().is_none() => Turn::Worked,
            Turn::Worked => Turn::Waiting,
            other => other,
        }
    }

    fn subject(&self) -> Arc<Subject> {
        let ledger = &self.parts.ledger;
        Arc::new(Subject { store: ledger.store().clone(), keys: ledger.keys_shared(), committed: ledger.committed().clone() })
    }

    fn stop(&mut self, why: String) -> Turn {
        self.parts.shared.set(Status::Stopped(why));
        self.fail_in_flight();
        self.fail_queue();
        Turn::Stopped
    }

    fn fail_in_flight(&mut self) {
        for entry in std::mem::take(&mut self.in_flight) {
            self.parts.pool.release(entry, &Outcome::Failed);
        }
    }

    fn fail_queue(&mut self) {
        for entry in self.parts.pool.take(usize::MAX, usize::MAX) {
            self.parts.pool.release(entry, &Outcome::Failed);
        }
    }
}

/// Runs turns until the pool is closed and everything in it is answered, or `drain` has passed since it was closed.
pub fn run<G: Gate>(mut sequencer: Sequencer<G>, drain: Duration) {
    let pool = sequencer.parts.pool.clone();
    let pace = sequencer.parts.pace;
    let mut pause = FIRST_PAUSE;
    let mut closed_at = None;
    loop {
        let turn = sequencer.turn();
        if pool.is_closed() {
            let since = *closed_at.get_or_insert_with(Instant::now);
            // Waiting for witnesses makes sense as long as somebody waits for an answer.
            let is_done = matches!(turn, Turn::Idle | Turn::Stopped) || (turn == Turn::Waiting && pool.load().1 == 0);
            if is_done || since.elapsed() > drain {
                sequencer.fail_queue();
                return;
            }
        }
        match turn {
            Turn::Worked if !sequencer.is_between_rounds() => pause = FIRST_PAUSE,
            Turn::Worked | Turn::Idle => {
                pause = FIRST_PAUSE;
                Phase::Collect.begins();
                pool.wait(pace.interval, pace.batch_bytes, pace.batch_entries, IDLE);
            }
            Turn::Waiting | Turn::Stopped => {
                pool.pause(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// How far, in seconds, a checkpoint's time may be ahead of the witnesses'.
const MAX_AHEAD: u64 = 3_600;
/// An idle sequencer looks up this often, for the clock and the idle head.
const IDLE: Duration = Duration::from_millis(500);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

//! What the witnesses together allow: whether this log may go on at all, and whether a checkpoint may be published.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tlog::{Policy, SignatureLine, SignedCheckpoint, Tree};

use crate::clock::Clock;
use crate::witnesses::{Cosignature, Question, Report, Subject, Witnesses};

/// The policy, its witnesses, and the cosignatures gathered for the committed tree.
pub struct Quorum {
    policy: Policy,
    witnesses: Witnesses,
    /// Longest wait for the answers of one round of questions.
    timeout: Duration,
    /// How long to wait for more once the quorum is there.
    grace: Duration,
    tree: Option<Tree>,
    /// By witness name: the cosignature of `tree` and when it came, by the log's clock.
    gathered: BTreeMap<String, (Cosignature, u64)>,
    /// The newest time that each witness has stated, of any tree.
    times: BTreeMap<String, u64>,
}

/// Whether this log may sign anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consulted {
    /// A quorum of witnesses knows nothing that this log does not.
    Agreed,
    /// Too few have answered; in words.
    TooFew(String),
    /// A witness has a checkpoint of this log that the directory does not explain; in words, with what to do.
    Contradicted(String),
}

/// Whether the committed checkpoint may be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gathered {
    /// With these cosignatures, none older than a minute.
    Enough(Vec<SignatureLine>),
    /// Too few cosignatures; in words.
    TooFew(String),
    /// As in [`Consulted::Contradicted`].
    Contradicted(String),
}

impl Quorum {
    /// A policy and those of its witnesses that can be asked.
    #[must_use]
    pub fn new(policy: Policy, witnesses: Witnesses, timeout: Duration, grace: Duration) -> Self {
        Self { policy, witnesses, timeout, grace, tree: None, gathered: BTreeMap::new(), times: BTreeMap::new() }
    }

    /// Whether the policy demands no witness at all.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.policy.is_unwitnessed()
    }

    /// The witnesses' time: the largest t such that those whose newest cosignature is not older than t satisfy the quorum.
    /// One witness with a wrong clock does not move it.
    #[must_use]
    pub fn time(&self) -> Option<u64> {
        self.policy.freshness(&self.times, u64::MAX)
    }

    /// Asks every witness for its newest checkpoint of this log, before the first commit after a start.
    pub fn consult(&mut self, subject: &Arc<Subject>) -> Consulted {
        if self.is_none() {
            return Consulted::Agreed;
        }
        let (mut answered, mut silent) = (Vec::new(), Vec::new());
        let mut deadline = Instant::now() + self.timeout;
        self.witnesses.begin();
        self.witnesses.ask(Question::Newest, subject, &|_| true);
        while let Some((url, names, report)) = self.witnesses.next(deadline.saturating_duration_since(Instant::now())) {
            match report {
                Report::Contradicts(shown) => return Consulted::Contradicted(contradiction(&url, &shown, subject)),
                Report::Consistent | Report::Cosigned(_) => answered.extend(names),
                Report::Faulty(why) | Report::Unreachable(why) => silent.push(complain(&url, &why)),
            }
            if self.policy.is_satisfied_by(&|name| answered.iter().any(|known| known == name)) {
                // Enough to go on; those that are still thinking may yet know more.
                deadline = deadline.min(Instant::now() + self.grace.max(GRACE_AT_START));
            }
        }
        if self.policy.is_satisfied_by(&|name| answered.iter().any(|known| known == name)) {
            return Consulted::Agreed;
        }
        Consulted::TooFew(format!("no quorum of witnesses has said what it knows of this log ({})", few(&silent)))
    }

    /// Gathers cosignatures of the committed checkpoint. Those of an earlier call count if they came within the last minute,
    /// unless `afresh`.
    pub fn gather(&mut self, subject: &Arc<Subject>, clock: &dyn Clock, afresh: bool) -> Gathered {
        if self.is_none() {
            return Gathered::Enough(Vec::new());
        }
        self.forget(subject.committed.tree(), clock.now(), afresh);
        let mut silent = Vec::new();
        let mut deadline = Instant::now() + self.timeout;
        let mut is_enough = false;
        self.witnesses.begin();
        loop {
            let busy = self.ask_missing(subject, &silent);
            if !is_enough && self.is_satisfied() {
                is_enough = true;
                deadline = Instant::now() + self.grace;
            }
            let next = self.witnesses.next(deadline.saturating_duration_since(Instant::now()));
            match next {
                Some((url, _, Report::Contradicts(shown))) => return Gathered::Contradicted(contradiction(&url, &shown, subject)),
                Some((_, _, Report::Cosigned(cosignatures))) => self.keep(cosignatures, clock.now()),
                Some((_, _, Report::Consistent)) => {}
                Some((url, names, Report::Faulty(why) | Report::Unreachable(why))) => silent.push((names, complain(&url, &why))),
                None if busy && Instant::now() < deadline => {}
                None => break,
            }
        }
        // The wait may have been long, or the clock may have jumped: what is too old by now does not count.
        self.forget(subject.committed.tree(), clock.now(), false);
        if self.is_satisfied() {
            return Gathered::Enough(self.gathered.values().map(|(cosignature, _)| cosignature.line.clone()).collect());
        }
        let reasons: Vec<String> = silent.into_iter().map(|(_, why)| why).collect();
        Gathered::TooFew(format!("the quorum of cosignatures is not reached ({})", few(&reasons)))
    }

    fn ask_missing(&mut self, subject: &Arc<Subject>, silent: &[(Vec<String>, String)]) -> bool {
        let gathered = &self.gathered;
        let wanted = |names: &[String]| {
            let has_answered = names.iter().any(|name| gathered.contains_key(name));
            !has_answered && !silent.iter().any(|(silent, _)| silent == names)
        };
        self.witnesses.ask(Question::Cosign, subject, &wanted)
    }

    fn keep(&mut self, cosignatures: Vec<Cosignature>, now: u64) {
        for cosignature in cosignatures {
            let time = self.times.entry(cosignature.name.clone()).or_default();
            *time = cosignature.time.max(*time);
            self.gathered.insert(cosignature.name.clone(), (cosignature, now));
        }
    }

    /// Drops what is of another tree, or older than a minute.
    fn forget(&mut self, tree: Tree, now: u64, afresh: bool) {
        if afresh || self.tree != Some(tree) {
            self.gathered.clear();
        }
        self.tree = Some(tree);
        self.gathered.retain(|_, (_, received)| now.saturating_sub(*received) <= MAX_AGE);
    }

    fn is_satisfied(&self) -> bool {
        self.policy.is_satisfied_by(&|name| self.gathered.contains_key(name))
    }
}

fn contradiction(url: &str, shown: &SignedCheckpoint, subject: &Subject) -> String {
    let (shown, committed) = (shown.checkpoint.tree, subject.committed.tree());
    let what = if shown.size > committed.size { "a larger tree" } else { "another tree" };
    format!(
        "witness {url} shows {what} under this log's own signature: size {} root {}, while this directory has size {} root {}. \
         The directory is older than what was published, or another server signs with the same keys. Find the newest copy of it, \
         or restore the missing entries from a mirror; if there is none, retire this log and start another under a new origin",
        shown.size, shown.root, committed.size, committed.root
    )
}

fn complain(url: &str, why: &str) -> String {
    tracing::warn!(witness = url, "{why}");
    format!("{url}: {why}")
}

fn few(reasons: &[String]) -> String {
    if reasons.is_empty() { "no answers in time".to_owned() } else { reasons.join("; ") }
}

/// Cosignatures older than this, in seconds, are asked for again before a checkpoint is published.
const MAX_AGE: u64 = 60;
/// At a start there is no hurry: slower witnesses are heard, too.
const GRACE_AT_START: Duration = Duration::from_secs(1);

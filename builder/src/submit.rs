//! Sending what the spool holds to the log, until its receipts are here or patience ends (`specs/builder.md`, section 6).

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::LogClient;
use client::http::FetchError;
use client::log::{BatchLine, Submitted};
use futures_util::{StreamExt as _, stream};
use tlog::{Hash, Policy, Signer, TlogProof, hash_leaf};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::config::LogTarget;
use crate::progress::Progress;
use crate::spool::{Item, Spool, SpoolError};

/// What became of the spool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Envelopes whose receipts are here now.
    pub logged: usize,
    /// Envelopes that the log refused: what they were about, and why.
    pub refused: Vec<(String, String)>,
    /// Envelopes that still wait, and the last reason for it.
    pub waiting: usize,
    /// Why the last of them waits.
    pub last: Option<String>,
}

/// A log, as one run sends to it.
pub struct Sender<'a> {
    client: LogClient,
    target: &'a LogTarget,
    policy: Option<Policy>,
    spool: &'a Spool,
    signer: &'a dyn Signer,
    /// Manifests that the log has.
    stored: Mutex<BTreeSet<Hash>>,
    /// Entries that the log found unfounded once: their manifest is stored again, and the next such answer is final.
    doubted: Mutex<BTreeSet<Hash>>,
    /// Set when the log turns out not to take batches.
    singly: AtomicBool,
}

/// One attempt's result.
enum Attempt {
    Logged(Vec<u8>),
    Refused(String),
    Later { reason: String, after: Option<Duration> },
}

/// What an attempt came to for each entry of a part of the spool.
type Attempts<'a> = Vec<(&'a Item, Attempt)>;

impl<'a> Sender<'a> {
    /// A sender to a log; with a policy, receipts must satisfy its quorum too.
    ///
    /// # Errors
    /// If the URL cannot be used.
    pub fn new(target: &'a LogTarget, policy: Option<Policy>, spool: &'a Spool, signer: &'a dyn Signer) -> Result<Self, FetchError> {
        let client = LogClient::new(&target.url)?;
        let (stored, doubted, singly) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        Ok(Self { client, target, policy, spool, signer, stored, doubted, singly })
    }

    /// Sends everything that waits; each envelope is tried at least once, and again until `patience` ends.
    ///
    /// # Errors
    /// If the spool cannot be read or written. A log that fails is no error: what it did not take still waits.
    pub async fn send(&self, patience: Duration, progress: &Progress) -> Result<Outcome, SpoolError> {
        let deadline = Instant::now() + patience;
        let items = self.spool.waiting()?;
        let step = progress.bar("sending", items.len());
        let mut outcome = Outcome::default();
        let mut left: Vec<&Item> = Vec::new();
        for item in &items {
            // A receipt that a crash kept from its envelope.
            match self.spool.receipt(&item.id)?.filter(|receipt| self.check(item, receipt).is_ok()) {
                Some(receipt) => self.settle(item, Attempt::Logged(receipt), &mut outcome)?,
                None => left.push(item),
            }
        }
        for tried in 0.. {
            let last = deadline.max(Instant::now() + FIRST_TRY);
            let mut parts = stream::iter(self.parts(&left)).map(|part| self.attempt(part, last)).buffer_unordered(PARALLEL_PARTS);
            let (mut later, mut pause_for) = (Vec::new(), None);
            while let Some(attempts) = parts.next().await {
                for (item, attempt) in attempts? {
                    if let Attempt::Later { reason, after } = attempt {
                        tracing::debug!("{} waits: {reason}", item.id);
                        (outcome.last, pause_for) = (Some(reason), pause_for.max(after));
                        later.push(item);
                    } else {
                        self.settle(item, attempt, &mut outcome)?;
                        step.advance();
                    }
                }
            }
            drop(parts);
            left = later;
            let next = Instant::now() + pause(tried, pause_for);
            if left.is_empty() || next >= deadline {
                break;
            }
            sleep_until(next).await;
        }
        outcome.waiting = left.len();
        outcome.last = outcome.last.filter(|_| outcome.waiting > 0);
        outcome.refused.sort();
        Ok(outcome)
    }

    /// Parts that fit into one batch each.
    fn parts<'i>(&self, items: &[&'i Item]) -> Vec<Vec<&'i Item>> {
        let mut parts: Vec<Vec<&Item>> = Vec::new();
        let mut bytes = usize::MAX;
        for item in items {
            bytes = bytes.saturating_add(item.bytes.len() + 1);
            match parts.last_mut() {
                Some(part) if bytes <= BATCH_BYTES && part.len() < BATCH_LINES => part.push(item),
                _ => {
                    bytes = item.bytes.len() + 1;
                    parts.push(vec![item]);
                }
            }
        }
        parts
    }

    /// Writes down what is final.
    fn settle(&self, item: &Item, attempt: Attempt, outcome: &mut Outcome) -> Result<(), SpoolError> {
        match attempt {
            Attempt::Logged(receipt) => {
                self.spool.logged(&item.id, &receipt)?;
                outcome.logged += 1;
            }
            Attempt::Refused(reason) => {
                self.spool.refuse(&item.id, &reason)?;
                outcome.refused.push((format!("{} of {}", item.statement.kind().short_name(), item.statement.subject.name), reason));
            }
            Attempt::Later { .. } => {}
        }
        Ok(())
    }

    /// One try for each entry of a part: its manifest, then itself together with the others.
    async fn attempt<'i>(&self, part: Vec<&'i Item>, last: Instant) -> Result<Attempts<'i>, SpoolError> {
        let mut attempts = Vec::new();
        let mut ready = Vec::new();
        let mut manifests = stream::iter(part).map(|item| async move { (item, self.manifest(item, last).await) }).buffered(PARALLEL);
        while let Some((item, result)) = manifests.next().await {
            match result? {
                Some(attempt) => attempts.push((item, attempt)),
                None => ready.push(item),
            }
        }
        if ready.is_empty() {
            return Ok(attempts);
        }
        let batch = if self.singly.load(Ordering::Relaxed) { None } else { self.batch(&ready, last).await };
        match batch {
            Some(batch) => attempts.extend(batch),
            None => {
                let one = |item: &'i Item| async move { (item, self.single(item, last).await) };
                attempts.extend(stream::iter(ready).map(one).buffer_unordered(PARALLEL).collect::<Vec<_>>().await);
            }
        }
        Ok(attempts)
    }

    /// Stores the manifest that an entry rests on, if the log does not have it; an attempt if that failed.
    async fn manifest(&self, item: &Item, last: Instant) -> Result<Option<Attempt>, SpoolError> {
        let Some(root) = item.manifest().filter(|root| !lock(&self.stored).contains(root)) else { return Ok(None) };
        let Some(text) = self.spool.manifest(&root)? else { return Ok(Some(Attempt::Refused(NO_MANIFEST.to_owned()))) };
        let put = self.client.put_manifest(&self.target.origin, &root, text, self.signer);
        Ok(match timeout_at(last, put).await {
            Ok(Ok(())) => {
                lock(&self.stored).insert(root);
                None
            }
            Ok(Err(error)) => Some(self.judge(item, &error)),
            Err(_) => Some(too_late()),
        })
    }

    /// All entries in one request; `None` if the log does not take it as one, and has to be asked about each.
    async fn batch<'i>(&self, items: &[&'i Item], last: Instant) -> Option<Attempts<'i>> {
        let entries: Vec<&[u8]> = items.iter().map(|item| item.bytes.as_slice()).collect();
        let for_all = |attempt: &dyn Fn(&Item) -> Attempt| Some(items.iter().map(|item| (*item, attempt(item))).collect());
        match timeout_at(last, self.client.submit_batch(&entries, wait_until(last))).await {
            Err(_) => for_all(&|_| too_late()),
            Ok(Err(FetchError::Status { status: 400..=407 | 409..=428 | 430..=499, .. })) => {
                self.singly.store(true, Ordering::Relaxed);
                None
            }
            Ok(Err(error)) => for_all(&|item| self.judge(item, &error)),
            Ok(Ok(lines)) => Some(items.iter().zip(lines).map(|(item, line)| (*item, self.line(item, line))).collect()),
        }
    }

    fn line(&self, item: &Item, line: BatchLine) -> Attempt {
        match line {
            BatchLine::Submitted(submitted) => self.submitted(item, submitted),
            BatchLine::Refused { status, reason } => {
                self.judge(item, &FetchError::Status { url: "entries/batch".to_owned(), status, reason, retry_after: None })
            }
        }
    }

    async fn single(&self, item: &Item, last: Instant) -> Attempt {
        match timeout_at(last, self.client.submit(item.bytes.clone(), wait_until(last))).await {
            Ok(Ok(submitted)) => self.submitted(item, submitted),
            Ok(Err(error)) => self.judge(item, &error),
            Err(_) => too_late(),
        }
    }

    fn submitted(&self, item: &Item, submitted: Submitted) -> Attempt {
        match submitted {
            Submitted::Proven(proof) => self.receipt(item, &proof),
            Submitted::Pending => Attempt::Later { reason: "the log has not published it yet".to_owned(), after: None },
        }
    }

    /// Whether trying again can help (`specs/builder.md`, section 6): 400, 403 and 413 are final; 422 is final once the manifest was stored
    /// again; all else may pass, down to a wrong address, which a person can put right.
    fn judge(&self, item: &Item, error: &FetchError) -> Attempt {
        let reason = error.to_string();
        match error {
            FetchError::Status { status: 400 | 403 | 413, .. } => Attempt::Refused(reason),
            FetchError::Status { status: 422, .. } => {
                // The log lost the manifest, or never had it: it is stored again before the next try.
                item.manifest().map(|root| lock(&self.stored).remove(&root));
                let is_first = lock(&self.doubted).insert(item.id);
                if is_first { Attempt::Later { reason, after: None } } else { Attempt::Refused(reason) }
            }
            FetchError::Status { retry_after, .. } => Attempt::Later { reason, after: retry_after.map(Duration::from_secs) },
            _ => Attempt::Later { reason, after: None },
        }
    }

    fn receipt(&self, item: &Item, proof: &TlogProof) -> Attempt {
        let receipt = proof.encode().into_bytes();
        match self.check(item, &receipt) {
            Ok(()) => Attempt::Logged(receipt),
            Err(reason) => Attempt::Later { reason: format!("the log's receipt proves nothing: {reason}"), after: None },
        }
    }

    /// Whether a receipt proves that the log holds this very envelope: inclusion, the log's signature, the quorum where one is wanted.
    fn check(&self, item: &Item, receipt: &[u8]) -> Result<(), String> {
        let proof = TlogProof::parse(receipt).map_err(|_| "not a tlog-proof".to_owned())?;
        let checkpoint = &proof.checkpoint;
        checkpoint.expect_origin(&self.target.origin).map_err(|_| "another log's checkpoint".to_owned())?;
        checkpoint.verify_log(&self.target.keys).map_err(|error| format!("{error:?}"))?;
        if let Some(policy) = &self.policy {
            proof.verify(policy, &item.bytes).map_err(|error| format!("{error:?}"))?;
        }
        proof.proof.verify(&checkpoint.tree(), proof.index, &hash_leaf(&item.bytes)).map_err(|error| format!("{error:?}"))
    }
}

fn too_late() -> Attempt {
    Attempt::Later { reason: "the log did not answer in time".to_owned(), after: None }
}

/// How long the log may keep a submission before it answers.
fn wait_until(last: Instant) -> Duration {
    last.saturating_duration_since(Instant::now()).min(WAIT)
}

fn lock(set: &Mutex<BTreeSet<Hash>>) -> std::sync::MutexGuard<'_, BTreeSet<Hash>> {
    // A set is whole after every single operation, also of a thread that panicked.
    set.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// How long to wait after a failed try: twice as long each time, between half and all of it by chance so that builders do not come in
/// step, and never shorter than the log asked for.
fn pause(tried: u32, after: Option<Duration>) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << tried.min(16)).min(LONGEST_PAUSE);
    let chance = RandomState::new().hash_one(tried) % 1000;
    let half = whole / 2;
    let pause = half + half.saturating_mul(u32::try_from(chance).unwrap_or(0)) / 1000;
    pause.max(after.unwrap_or_default().min(LONGEST_AFTER))
}

/// Why a claim is set aside that no log can take any more.
const NO_MANIFEST: &str = "its manifest is not in the builder's directory any more; attest the package again";
/// Manifests, or single entries, at a time.
const PARALLEL: usize = 16;
/// Batches at a time.
const PARALLEL_PARTS: usize = 2;
/// Lines and bytes of one batch: a quarter of what the log takes, so that one is answered before the next is due.
const BATCH_LINES: usize = 1000;
const BATCH_BYTES: usize = 4 << 20;
/// What a submission waits for its proof.
const WAIT: Duration = Duration::from_secs(30);
/// Even without patience, one try has this long.
const FIRST_TRY: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_AFTER: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_within_bounds_and_respect_the_log() {
        for tried in 0..40 {
            let whole = FIRST_PAUSE.saturating_mul(1 << tried.min(16)).min(LONGEST_PAUSE);
            let pause = pause(tried, None);
            assert!(pause >= whole / 2 && pause <= whole, "{tried}: {pause:?}");
        }
        assert!(pause(0, Some(Duration::from_secs(7))) >= Duration::from_secs(7));
        assert!(pause(0, Some(Duration::from_secs(100_000))) <= LONGEST_AFTER);
    }
}

//! Sending what the spool holds to the log, until its receipts are here or patience ends (`specs/builder.md`, section 6).

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Mutex;
use std::time::Duration;

use client::LogClient;
use client::http::FetchError;
use client::log::Submitted;
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
    stored: Mutex<BTreeSet<Hash>>,
}

/// One attempt's result.
enum Attempt {
    Logged(Vec<u8>),
    Refused(String),
    Later { reason: String, after: Option<Duration> },
}

impl<'a> Sender<'a> {
    /// A sender to a log; with a policy, receipts must satisfy its quorum too.
    ///
    /// # Errors
    /// If the URL cannot be used.
    pub fn new(target: &'a LogTarget, policy: Option<Policy>, spool: &'a Spool, signer: &'a dyn Signer) -> Result<Self, FetchError> {
        Ok(Self { client: LogClient::new(&target.url)?, target, policy, spool, signer, stored: Mutex::default() })
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
        let mut results =
            stream::iter(&items).map(|item| async move { (item, self.deliver(item, deadline).await) }).buffer_unordered(PARALLEL);
        while let Some((item, result)) = results.next().await {
            let name = format!("{} of {}", item.statement.kind().short_name(), item.statement.subject.name);
            match result? {
                Attempt::Logged(receipt) => {
                    self.spool.logged(&item.id, &receipt)?;
                    outcome.logged += 1;
                }
                Attempt::Refused(reason) => {
                    self.spool.refuse(&item.id, &reason)?;
                    outcome.refused.push((name, reason));
                }
                Attempt::Later { reason, .. } => {
                    outcome.waiting += 1;
                    outcome.last = Some(reason);
                }
            }
            step.advance();
        }
        outcome.refused.sort();
        Ok(outcome)
    }

    /// Tries until there is a result or the time is over.
    async fn deliver(&self, item: &Item, deadline: Instant) -> Result<Attempt, SpoolError> {
        if let Some(receipt) = self.spool.receipt(&item.id)?.filter(|receipt| self.check(item, receipt).is_ok()) {
            return Ok(Attempt::Logged(receipt));
        }
        let mut tried: u32 = 0;
        loop {
            let last = deadline.max(Instant::now() + FIRST_TRY);
            let attempt = match timeout_at(last, self.attempt(item, last, tried)).await {
                Ok(attempt) => attempt?,
                Err(_) => Attempt::Later { reason: "the log did not answer in time".to_owned(), after: None },
            };
            let Attempt::Later { reason, after } = attempt else { return Ok(attempt) };
            tracing::debug!("{} waits: {reason}", item.id);
            let next = Instant::now() + pause(tried, after);
            tried += 1;
            if next >= deadline {
                return Ok(Attempt::Later { reason, after });
            }
            sleep_until(next).await;
        }
    }

    async fn attempt(&self, item: &Item, last: Instant, tried: u32) -> Result<Attempt, SpoolError> {
        if let Some(root) = item.manifest()
            && !self.lock().contains(&root)
        {
            let text = self.spool.manifest(&root)?;
            match self.client.put_manifest(&self.target.origin, &root, text, self.signer).await {
                Ok(()) => drop(self.lock().insert(root)),
                Err(error) => return Ok(judge(&error, tried)),
            }
        }
        let wait = last.saturating_duration_since(Instant::now()).min(WAIT);
        Ok(match self.client.submit(item.bytes.clone(), wait).await {
            Ok(Submitted::Proven(proof)) => self.receipt(item, &proof),
            Ok(Submitted::Pending) => Attempt::Later { reason: "the log has not published it yet".to_owned(), after: Some(Duration::ZERO) },
            Err(error) => {
                // The log lost the manifest, or never had it: it is stored again before the next try.
                if let (Some(422), Some(root)) = (error.status(), item.manifest()) {
                    self.lock().remove(&root);
                }
                judge(&error, tried)
            }
        })
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

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<Hash>> {
        // The set is whole after every single operation, also of a thread that panicked.
        self.stored.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Whether trying again can help (`specs/log.md`): 400, 403 and 413 are final; 422 is final once the manifest was stored again; all else
/// may pass, down to a wrong address, which a person can put right.
fn judge(error: &FetchError, tried: u32) -> Attempt {
    let reason = error.to_string();
    match error {
        FetchError::Status { status: 400 | 403 | 413, .. } => Attempt::Refused(reason),
        FetchError::Status { status: 422, .. } if tried > 0 => Attempt::Refused(reason),
        FetchError::Status { retry_after, .. } => Attempt::Later { reason, after: retry_after.map(Duration::from_secs) },
        _ => Attempt::Later { reason, after: None },
    }
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

/// Requests at a time.
const PARALLEL: usize = 16;
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

    #[test]
    fn only_what_cannot_pass_is_final() {
        let status = |status, retry_after| FetchError::Status { url: String::new(), status, reason: String::new(), retry_after };
        let is_final = |error: &FetchError, tried| matches!(judge(error, tried), Attempt::Refused(_));
        for code in [400, 403, 413] {
            assert!(is_final(&status(code, None), 0));
        }
        assert!(!is_final(&status(422, None), 0) && is_final(&status(422, None), 1));
        for code in [404, 408, 429, 500, 503] {
            assert!(!is_final(&status(code, None), 9), "{code}");
        }
        let unreachable = FetchError::Unreachable { url: String::new(), reason: String::new() };
        assert!(!is_final(&unreachable, 9));
        assert!(matches!(judge(&status(503, Some(3)), 0), Attempt::Later { after: Some(after), .. } if after.as_secs() == 3));
    }
}

//! Sending the spool while packages are attested, and how long they took to get into the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tlog::Hash;
use tokio::time::timeout;

use super::Worker;
use crate::progress::{Phase, Progress};
use crate::run::RunError;
use crate::spool::Spool;
use crate::submit::{Outcome, Sender};

/// Packages that are on their way: SHA-256 of the file, and when its repository was published. What is in the record when the service starts is
/// not among them.
#[derive(Debug, Default)]
pub struct Flights(Mutex<BTreeMap<Hash, u64>>);

impl Flights {
    /// A package's envelopes are in the spool.
    pub fn begin(&self, sha256: Hash, published: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(sha256, published);
    }

    /// Takes out those that have arrived, with the publication's time.
    fn arrived(&self, has_arrived: impl Fn(&Hash) -> bool) -> Vec<u64> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let arrived: Vec<Hash> = flights.keys().filter(|sha256| has_arrived(sha256)).copied().collect();
        arrived.iter().filter_map(|sha256| flights.remove(sha256)).collect()
    }
}

impl Worker<'_> {
    /// Sends what waits whenever something was spooled, and from time to time what the log did not take. Ends when nobody works any more
    /// and what was there has been tried once more.
    ///
    /// # Errors
    /// If the spool cannot be read or written.
    pub async fn send_while(&self, sender: &Sender<'_>, working: impl Future<Output = ()>) -> Result<Outcome, RunError> {
        let mut working = std::pin::pin!(working);
        let spool = Spool::new(self.home);
        loop {
            let ended = tokio::select! {
                biased;
                () = &mut working => true,
                _ = timeout(AGAIN, self.spooled.notified()) => false,
            };
            // What was said before stays sendable while the next batch is installed.
            let mut sending = std::pin::pin!(self.send(sender, &spool));
            if ended {
                return sending.await;
            }
            tokio::select! {
                outcome = &mut sending => drop(outcome?),
                () = &mut working => {
                    sending.await?;
                    return self.send(sender, &spool).await;
                }
            }
        }
    }

    async fn send(&self, sender: &Sender<'_>, spool: &Spool) -> Result<Outcome, RunError> {
        let started = Instant::now();
        let outcome = sender.send(PATIENCE, &Progress::silent()).await?;
        self.progress.took(Phase::Submit, started.elapsed());
        self.metrics.waiting.set(i64::try_from(outcome.waiting).unwrap_or(i64::MAX));
        self.metrics.logged.inc_by(outcome.logged as u64);
        self.metrics.refused.inc_by(outcome.refused.len() as u64);
        for (what, reason) in &outcome.refused {
            tracing::warn!("the log refused {what}: {reason}");
        }
        if let Some(reason) = &outcome.last {
            tracing::warn!("{} entries wait: {reason}", outcome.waiting);
        }
        let is_logged = |sha256: &Hash| self.record.envelopes(sha256).iter().all(|id| spool.is_logged(id));
        for published in self.flights.arrived(is_logged) {
            #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "seconds of at most some years")]
            self.metrics.lag.observe(client::now().saturating_sub(published) as f64);
        }
        Ok(outcome)
    }
}

/// How long one round of sending goes on while the log is away; the next one comes soon.
const PATIENCE: Duration = Duration::from_secs(20);
/// How soon what waits is tried again.
const AGAIN: Duration = Duration::from_secs(30);

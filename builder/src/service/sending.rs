//! Sending the spool while packages are attested, and how long they took to get into the log.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
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
    /// and what was there has been tried once more. Where the spool fails, the work is told to end, and does: it has containers to remove.
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
                outcome = &mut sending => if let Err(error) = outcome {
                    self.halt.store(true, Ordering::Relaxed);
                    working.await;
                    return Err(error);
                },
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tlog::{KeyKind, KeyName, Signer as _, SigningKey};

    use super::super::Queue;
    use super::super::testing::Yard;
    use super::*;
    use crate::config::LogTarget;
    use crate::record::Record;

    /// Whoever works ends by himself, and is not cut off where he has something to put away.
    #[test]
    fn where_the_spool_fails_the_work_comes_to_its_end() {
        let yard = Yard::new();
        let (queue, record, spool) = (Queue::open(&yard.home).unwrap(), Record::open(&yard.home).unwrap(), Spool::new(&yard.home));
        let key = SigningKey::from_seed(KeyName::parse("example.org/log").unwrap(), KeyKind::Ed25519, &[7; 32]).unwrap();
        let target =
            LogTarget { url: "http://127.0.0.1:1".to_owned(), origin: "example.org/log".to_owned(), keys: vec![key.key().clone()] };
        std::fs::remove_dir_all(yard.home.dir().join("spool")).unwrap();
        let put_away = Cell::new(false);
        let working = async {
            while !yard.halt.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            put_away.set(true);
        };
        let outcome = yard.with(&queue, &record, |worker| {
            worker.spooled.notify_one();
            let sender = Sender::new(&target, None, &spool, worker.signer).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(worker.send_while(&sender, working))
        });
        assert!(matches!(outcome, Err(RunError::Spool(_))) && put_away.get(), "{outcome:?}");
    }
}

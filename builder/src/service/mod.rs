//! `tally-builder run`: watches repositories and attests what is new (`specs/builder.md`, section 7).
//!
//! Two loops side by side. One looks at the repositories, chooses what is due and attests it, batch by batch, into the spool; the other sends the
//! spool to the log. Everything that either needs to go on after a crash is in the spool, in the record and in the queue of requests.

mod config;
mod fetched;
mod metrics;
mod notify;
mod plan;
mod queue;
mod sending;
mod shard;
#[cfg(test)]
mod testing;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tlog::{Hash, Signer};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::chain::{Catalogue, Keyring};
use crate::config::Config;
use crate::distro::{self, Manager};
use crate::home::Home;
use crate::podman::Podman;
use crate::progress::Progress;
use crate::record::Record;
use crate::request::Request;
use crate::run::{Run, RunError, Site, podman_settings};
use crate::sources::Source;
use crate::watch;

pub use config::Service;
pub use metrics::{Metrics, serve};
pub use notify::notify;
pub use plan::{Choice, Due};
pub use queue::Queue;
pub use sending::Flights;
pub use shard::{NotAShard, Shard};

/// The service of one builder, whose directory's lock the caller holds.
pub struct Worker<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The builder's directory.
    pub home: &'a Home,
    /// The builder's key.
    pub signer: &'a dyn Signer,
    /// Where progress goes.
    pub progress: &'a Progress,
    /// What was said.
    pub record: &'a Record,
    /// What is asked for.
    pub queue: &'a Queue,
    /// Its numbers.
    pub metrics: &'a Metrics,
    /// This builder's part of the packages.
    pub shard: Shard,
    /// Set when it is to end.
    pub halt: &'a AtomicBool,
    /// Told when something is new in the spool.
    pub spooled: &'a Notify,
    /// Packages that are on their way to the log.
    pub flights: &'a Flights,
}

/// What the service keeps between rounds.
struct State {
    catalogue: Option<Catalogue>,
    sources: Vec<Source>,
    batch: usize,
}

impl Worker<'_> {
    /// Works until it is told to halt; packages that are being installed then are finished.
    pub async fn work(&self) {
        let mut state = State { catalogue: None, sources: Vec::new(), batch: self.config.run.batch };
        while !self.halts() {
            let next = Instant::now() + interval(self.config.run.interval);
            let result = self.round(&mut state).await;
            self.metrics.round(result.is_ok());
            let pause = Pause::after(result.is_ok(), next, Instant::now());
            if let Err(error) = result {
                tracing::warn!("{error}\n    hint: {}", error.hint());
            }
            while !self.halts() && !pause.is_over(Instant::now(), || self.is_asked()) {
                sleep(TICK).await;
            }
        }
    }

    fn halts(&self) -> bool {
        self.halt.load(Ordering::Relaxed)
    }

    /// An unreadable queue is reported by the next round.
    fn is_asked(&self) -> bool {
        self.queue.asked().is_ok_and(|requests| !requests.is_empty())
    }

    /// Looks at the repositories and attests what is due. Where nothing has changed, nothing is started.
    async fn round(&self, state: &mut State) -> Result<(), RunError> {
        if self.config.manager == Manager::Apk {
            return self.round_fetched().await;
        }
        let changed = self.has_changed(state).await;
        if !changed && self.queue.asked()?.is_empty() && self.due(state).is_empty() {
            self.metrics.looked.set(client::now().cast_signed());
            return Ok(());
        }
        let mut podman = Podman::open(podman_settings(self.config, self.home)).await?;
        let result = self.attest_all(&mut podman, state, changed).await;
        podman.close().await;
        result
    }

    /// Whether a repository is another than the one that the catalogue was read from. One that cannot be looked at is looked at
    /// again by the round, which says what is wrong.
    async fn has_changed(&self, state: &State) -> bool {
        let Some(catalogue) = &state.catalogue else { return true };
        let pinned = self.config.keyring_sha256.as_deref().and_then(Hash::from_hex);
        let (Ok(keyring), Ok(scratch)) = (Keyring::open(&self.config.keyring, pinned), self.home.scratch()) else { return true };
        let Config { manager, repositories, .. } = self.config;
        if *manager != Manager::Apt {
            let unchanged = distro::are_unchanged(*manager, repositories, &catalogue.repositories, &keyring, scratch.path()).await;
            return !unchanged.inspect_err(|error| tracing::warn!("{error}")).unwrap_or(false);
        }
        for source in &state.sources {
            match watch::look(source, &keyring, &scratch.path().join("InRelease"), client::now()).await {
                Ok(seen) if catalogue.repositories.values().any(|known| *known == seen.in_release) => {}
                Ok(_) => return true,
                Err(error) => {
                    tracing::warn!("{}: {error}", source.place());
                    return true;
                }
            }
        }
        false
    }

    fn run(&self) -> Run<'_> {
        let Self { config, home, signer, progress, record, halt, .. } = *self;
        Run { config, home, signer, progress, record: Some(record), halt }
    }

    async fn attest_all(&self, podman: &mut Podman, state: &mut State, changed: bool) -> Result<(), RunError> {
        let run = self.run();
        let site = run.prepare(podman).await?;
        if changed || state.catalogue.is_none() {
            state.catalogue = Some(run.catalogue(podman, &site).await?);
            state.sources = site.sources().to_vec();
        }
        self.metrics.looked.set(client::now().cast_signed());
        // Requests come before what is merely new, and may come while that is worked on.
        let mut due = self.due(state);
        while !self.halts() {
            self.metrics.due.set(i64::try_from(due.len()).unwrap_or(i64::MAX));
            let asked = self.requested(state)?;
            let batch = plan::batch(&asked, &mut due, state.batch.max(1));
            if batch.is_empty() {
                break;
            }
            let (tried, result) = self.attest(podman, &site, &batch, state).await?;
            self.answer(&asked, &tried)?;
            result?;
        }
        Ok(())
    }

    /// One batch: the files of which it is known now what became of them, and whether it failed as a whole. Then the next one is half as large:
    /// a single package that spoils it is found and set aside.
    async fn attest(&self, podman: &Podman, site: &Site, batch: &[Due], state: &mut State) -> Result<Tried, RunError> {
        let requests: Vec<Request> = batch.iter().map(|due| due.request.clone()).collect();
        let reports = match self.run().attest_at(podman, site, &requests).await {
            Ok(reports) => reports,
            Err(error) => {
                state.batch = (batch.len() / 2).max(1);
                let mut tried = BTreeSet::new();
                if let [due] = batch {
                    self.record.failed(&due.sha256, &error.to_string(), client::now())?;
                    tried.insert(due.sha256);
                }
                self.record.sync()?;
                return Ok((tried, Err(error)));
            }
        };
        state.batch = self.config.run.batch;
        let mut tried = BTreeSet::new();
        for due in batch {
            let Some(report) = reports.iter().find(|report| report.request == due.request) else { continue };
            tried.insert(due.sha256);
            let whole = self.record.is_whole(&due.sha256, self.config.observe);
            self.metrics.package(whole);
            if whole {
                self.flights.begin(due.sha256, due.published);
                self.progress.line(&format!("attested  {}", due.request));
            } else {
                let reason = report.failure().unwrap_or("another file of this name and version was downloaded");
                self.record.failed(&due.sha256, reason, client::now())?;
                self.progress.line(&format!("failed    {}: {reason}", due.request));
            }
        }
        self.record.sync()?;
        self.spooled.notify_one();
        Ok((tried, Ok(())))
    }

    fn choice<'a>(&'a self, catalogue: &'a Catalogue, scopes: &'a [attest::Scope]) -> Choice<'a> {
        let Self { record, shard, config, .. } = *self;
        Choice { catalogue, record, vendors: &config.vendors, scopes, shard, observe: config.observe, now: client::now() }
    }

    fn due(&self, state: &State) -> Vec<Due> {
        let scopes = self.config.run.scopes();
        state.catalogue.as_ref().map(|catalogue| self.choice(catalogue, &scopes).due()).unwrap_or_default()
    }

    /// What is asked for and not yet done. Requests that are done, or cannot be served, leave the queue.
    fn requested(&self, state: &State) -> Result<BTreeMap<Request, Due>, RunError> {
        let Some(catalogue) = &state.catalogue else { return Ok(BTreeMap::new()) };
        let mut asked = BTreeMap::new();
        for (request, meaning) in self.choice(catalogue, &[]).requested(&self.queue.asked()?) {
            match meaning {
                Ok(Some(due)) => drop(asked.insert(request, due)),
                Ok(None) => self.queue.served(&request)?,
                Err(reason) => self.queue.refused(&request, reason)?,
            }
        }
        Ok(asked)
    }

    /// Requests whose packages were tried leave the queue. Others stay: how an earlier try ended is no answer to them.
    fn answer(&self, asked: &BTreeMap<Request, Due>, tried: &BTreeSet<Hash>) -> Result<(), RunError> {
        for (request, due) in asked.iter().filter(|(_, due)| tried.contains(&due.sha256)) {
            if self.record.is_whole(&due.sha256, self.config.observe) {
                self.queue.served(request)?;
            } else if let Some(failed) = self.record.failure(&due.sha256).filter(|failed| failed.next > client::now()) {
                self.queue.refused(request, &failed.reason)?;
            }
        }
        Ok(())
    }
}

/// What a batch came to: the files that were tried, and whether it failed as a whole.
type Tried = (BTreeSet<Hash>, Result<(), RunError>);

/// How long to rest between two rounds.
struct Pause {
    next: Instant,
    /// From when on a request ends it.
    hurried: Instant,
}

impl Pause {
    /// What failed a moment ago fails again: then there is a pause of a minute, whatever is asked for.
    fn after(succeeded: bool, next: Instant, now: Instant) -> Self {
        let hurried = if succeeded { now } else { now + AFTER_FAILURE };
        Self { next: next.max(hurried), hurried }
    }

    fn is_over(&self, now: Instant, is_asked: impl FnOnce() -> bool) -> bool {
        now >= self.next || (now >= self.hurried && is_asked())
    }
}

/// Up to a fifth less by chance, so that builders do not come in step.
fn interval(seconds: u64) -> Duration {
    let whole = Duration::from_secs(seconds);
    let chance = RandomState::new().hash_one(seconds) % 1000;
    whole - whole / 5 * u32::try_from(chance).unwrap_or(0) / 1000
}

/// How often requests and the end are looked for.
const TICK: Duration = Duration::from_millis(500);
/// The shortest pause after a round that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_never_longer_and_at_most_a_fifth_shorter() {
        for seconds in [1, 900, 604_800] {
            let whole = Duration::from_secs(seconds);
            assert!((0..100).all(|_| (whole * 4 / 5..=whole).contains(&interval(seconds))));
        }
    }

    #[test]
    fn a_request_ends_the_pause_but_not_at_once_after_a_failure() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let rested = |succeeded, next, at, asked| Pause::after(succeeded, after(next), now).is_over(after(at), || asked);
        assert!(rested(true, 900, 0, true) && !rested(true, 900, 899, false) && rested(true, 900, 900, false));
        assert!(!rested(false, 900, 0, true) && !rested(false, 900, 59, true) && rested(false, 900, 60, true));
        assert!(!rested(false, 900, 899, false) && rested(false, 900, 900, false));
        assert!(rested(true, 1, 1, false) && !rested(false, 1, 59, false) && rested(false, 1, 60, false));
    }

    fn due(name: &str) -> Due {
        Due { request: name.parse().unwrap(), sha256: Hash::digest(name.as_bytes()), published: 7 }
    }

    /// Of three requests whose packages failed before, only the one that was tried now is answered.
    #[test]
    fn an_old_failure_is_no_answer() {
        let yard = testing::Yard::new();
        let queue = Queue::open(&yard.home).unwrap();
        let record = Record::open(&yard.home).unwrap();
        let asked: BTreeMap<Request, Due> = ["a", "b", "c"].iter().map(|name| (name.parse().unwrap(), due(name))).collect();
        for (request, due) in &asked {
            queue.ask(request).unwrap();
            record.failed(&due.sha256, "no such luck", client::now()).unwrap();
        }
        let tried = BTreeSet::from([due("b").sha256]);
        yard.with(&queue, &record, |worker| worker.answer(&asked, &tried).unwrap());
        let left: Vec<String> = queue.asked().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(left, ["a", "c"]);
        yard.with(&queue, &record, |worker| worker.answer(&asked, &BTreeSet::new()).unwrap());
        assert_eq!(queue.asked().unwrap().len(), 2);
    }
}

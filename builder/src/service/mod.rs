//! `tally-builder run`: watches repositories and attests what is new (`specs/builder.md`, section 7).
//!
//! Two loops side by side. One looks at the repositories, chooses what is due and attests it, batch by batch, into the spool; the other sends the
//! spool to the log. Everything that either needs to go on after a crash is in the spool, in the record and in the queue of requests.

mod config;
mod metrics;
mod notify;
mod plan;
mod queue;
mod sending;
mod shard;

use std::collections::BTreeMap;
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
            if let Err(error) = result {
                tracing::warn!("{error}\n    hint: {}", error.hint());
            }
            while !self.halts() && Instant::now() < next && !self.is_asked() {
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
        let changed = self.has_changed(state).await;
        if !changed && !self.is_asked() && self.due(state).is_empty() {
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
                    tracing::warn!("{} {}: {error}", source.uri, source.suite);
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
            let size = state.batch.max(1);
            let mut batch: Vec<Due> = asked.values().flatten().take(size).cloned().collect();
            due.retain(|due| !batch.contains(due));
            let rest = size - batch.len();
            batch.extend(due.drain(..rest.min(due.len())));
            if batch.is_empty() {
                break;
            }
            self.attest(podman, &site, &batch, state).await?;
            self.answer(&asked)?;
        }
        Ok(())
    }

    /// One batch. If it fails as a whole, the next one is half as large: a single package that spoils it is found and set aside.
    async fn attest(&self, podman: &Podman, site: &Site, batch: &[Due], state: &mut State) -> Result<(), RunError> {
        let requests: Vec<Request> = batch.iter().map(|due| due.request.clone()).collect();
        let reports = match self.run().attest_at(podman, site, &requests).await {
            Ok(reports) => reports,
            Err(error) => {
                state.batch = (batch.len() / 2).max(1);
                if let [due] = batch {
                    self.record.failed(&due.sha256, &error.to_string(), client::now())?;
                }
                self.record.sync()?;
                return Err(error);
            }
        };
        state.batch = self.config.run.batch;
        for due in batch {
            let Some(report) = reports.iter().find(|report| report.request == due.request) else { continue };
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
        Ok(())
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
    fn requested(&self, state: &State) -> Result<BTreeMap<Request, Option<Due>>, RunError> {
        let Some(catalogue) = &state.catalogue else { return Ok(BTreeMap::new()) };
        let mut asked = BTreeMap::new();
        for (request, meaning) in self.choice(catalogue, &[]).requested(&self.queue.asked()?) {
            match meaning {
                Ok(Some(due)) => drop(asked.insert(request, Some(due))),
                Ok(None) => self.queue.served(&request)?,
                Err(reason) => self.queue.refused(&request, reason)?,
            }
        }
        Ok(asked)
    }

    /// Requests whose packages were tried leave the queue.
    fn answer(&self, asked: &BTreeMap<Request, Option<Due>>) -> Result<(), RunError> {
        for (request, due) in asked.iter().filter_map(|(request, due)| Some((request, due.as_ref()?))) {
            if self.record.is_whole(&due.sha256, self.config.observe) {
                self.queue.served(request)?;
            } else if let Some(failed) = self.record.failure(&due.sha256).filter(|failed| failed.next > client::now()) {
                self.queue.refused(request, &failed.reason)?;
            }
        }
        Ok(())
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
}

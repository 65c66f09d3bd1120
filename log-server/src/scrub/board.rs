//! What the scrub has found, for `/healthz`, `/metrics` and the next start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI64;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::fsck::{Finding, MAX_FINDINGS, Progress, Report};

/// The scrub's part of `/metrics`; clones share their values.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    position: Gauge<i64, AtomicI64>,
    size: Gauge<i64, AtomicI64>,
    last: Gauge<i64, AtomicI64>,
    damaged: Gauge<i64, AtomicI64>,
    bytes: Counter,
}

impl Gauges {
    /// Adds them to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("scrub_position_entries", "Entries that the present pass has checked", self.position.clone());
        registry.register("scrub_size_entries", "Entries of the tree that the present pass checks", self.size.clone());
        registry.register("scrub_last_pass_timestamp_seconds", "When the last whole pass ended; 0 before the first", self.last.clone());
        registry.register("scrub_damaged_objects", "Objects known to be damaged or missing", self.damaged.clone());
        registry.register("scrub_bytes", "Bytes read from the disk for checking", self.bytes.clone());
    }
}

/// Shared by the scrub's thread and the requests.
pub struct Board {
    gauges: Gauges,
    /// Damaged objects and what is wrong with them; kept in a file, so that a restart does not forget them.
    damaged: Mutex<BTreeMap<String, String>>,
    file: PathBuf,
    stopped: Mutex<bool>,
    stopping: Condvar,
}

impl Board {
    /// With what an earlier process has left in `file`.
    #[must_use]
    pub fn open(file: &Path, gauges: Gauges) -> Self {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let pair = |line: &str| line.split_once('\t').map(|(object, what)| (object.to_owned(), what.to_owned()));
        let damaged: BTreeMap<String, String> = text.lines().take(MAX_FINDINGS).filter_map(pair).collect();
        gauges.damaged.set(count(damaged.len()));
        Self { gauges, damaged: Mutex::new(damaged), file: file.to_owned(), stopped: Mutex::new(false), stopping: Condvar::new() }
    }

    /// One damaged object and how many others there are; `None` if all is well as far as is known.
    #[must_use]
    pub fn damage(&self) -> Option<(String, usize)> {
        let damaged = self.damaged();
        damaged.first_key_value().map(|(object, _)| (object.clone(), damaged.len() - 1))
    }

    /// Names of the damaged objects.
    #[must_use]
    pub fn objects(&self) -> Vec<String> {
        self.damaged().keys().cloned().collect()
    }

    /// Ends the scrub, which may be asleep.
    pub fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stopping.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps, unless and until the scrub is to end.
    pub(super) fn sleep_until(&self, due: Instant) {
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !*stopped && *left > Duration::ZERO) {
            stopped = self.stopping.wait_timeout(stopped, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(super) fn read(&self, bytes: usize) {
        self.gauges.bytes.inc_by(bytes as u64);
    }

    pub(super) fn progress(&self, progress: &Progress) {
        self.gauges.position.set(i64::try_from(progress.entries).unwrap_or(i64::MAX));
        self.gauges.size.set(i64::try_from(progress.tree.size).unwrap_or(i64::MAX));
    }

    pub(super) fn found(&self, finding: &Finding) {
        self.change(|damaged| {
            if damaged.insert(finding.object.clone(), finding.what.clone()).is_none() {
                tracing::error!("damaged at rest: {}: {}", finding.object, finding.what);
            }
        });
    }

    /// A whole pass has ended: what it has not found is no longer damaged.
    pub(super) fn passed(&self, report: &Report, now: u64) {
        self.gauges.last.set(i64::try_from(now).unwrap_or(i64::MAX));
        let found = report.findings.iter().map(|finding| (finding.object.clone(), finding.what.clone())).collect();
        self.change(|damaged| *damaged = found);
    }

    /// These are whole again.
    pub(super) fn mended(&self, objects: &[String]) {
        self.change(|damaged| {
            for object in objects.iter().filter(|object| damaged.remove(*object).is_some()) {
                tracing::info!("whole again: {object}");
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, String>)) {
        let mut damaged = self.damaged();
        let before = damaged.clone();
        change(&mut damaged);
        self.gauges.damaged.set(count(damaged.len()));
        if *damaged != before {
            let text: String = damaged.iter().map(|(object, what)| format!("{object}\t{what}\n")).collect();
            if let Err(error) = std::fs::write(&self.file, text) {
                // It is known here all the same, and the next pass finds it again.
                tracing::warn!("writing {}: {error}", self.file.display());
            }
        }
    }

    fn damaged(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(objects: usize) -> i64 {
    i64::try_from(objects).unwrap_or(i64::MAX)
}

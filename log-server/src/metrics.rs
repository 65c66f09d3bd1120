//! What `/metrics` shows, in Prometheus' text format. The list is documented in `specs/log.md`.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::scrub::Gauges;
use crate::shared::View;

/// Counters and gauges of one log.
pub struct Metrics {
    registry: Registry,
    entries: Counter,
    refusals: Counter,
    size: Gauge<i64, AtomicI64>,
    published_at: Gauge<i64, AtomicI64>,
    /// Entries in the queue.
    pub queued: Gauge<i64, AtomicI64>,
    /// Bytes held for queued and sequenced entries.
    pub queued_bytes: Gauge<i64, AtomicI64>,
    /// Free bytes on the log's file system.
    pub free_bytes: Gauge<i64, AtomicI64>,
    /// Bytes that are kept free.
    pub reserve_bytes: Gauge<i64, AtomicI64>,
    /// 1 if the log is frozen.
    pub frozen: Gauge<i64, AtomicI64>,
    policies: Counter,
    /// From the taken batch to durable tiles.
    pub commit_seconds: Histogram,
    /// From the question to the quorum.
    pub cosign_seconds: Histogram,
    /// The scrub's.
    pub scrub: Gauges,
    answers: Family<Vec<(&'static str, String)>, Counter<u64, AtomicU64>>,
    /// The one of `answers` for status 200, which is nearly all of them.
    ok: Counter<u64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        let answers = Family::<Vec<(&'static str, String)>, Counter<u64, AtomicU64>>::default();
        let ok = answers.get_or_create(&vec![("status", "200".to_owned())]).clone();
        let mut metrics = Self {
            registry: Registry::with_prefix("tally_log"),
            entries: Counter::default(),
            refusals: Counter::default(),
            size: Gauge::default(),
            published_at: Gauge::default(),
            queued: Gauge::default(),
            queued_bytes: Gauge::default(),
            free_bytes: Gauge::default(),
            reserve_bytes: Gauge::default(),
            frozen: Gauge::default(),
            policies: Counter::default(),
            commit_seconds: seconds(),
            cosign_seconds: seconds(),
            scrub: Gauges::default(),
            ok,
            answers,
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("entries_committed", "Entries committed since the start", self.entries.clone());
        registry.register("entries_refused", "Entries refused when their turn came", self.refusals.clone());
        registry.register("tree_size", "Size of the published tree", self.size.clone());
        registry.register("published_timestamp_seconds", "When the published checkpoint was last cosigned", self.published_at.clone());
        registry.register("queue_entries", "Entries that wait", self.queued.clone());
        registry.register("queue_bytes", "Bytes held for entries that wait or are being sequenced", self.queued_bytes.clone());
        registry.register("free_bytes", "Free bytes on the log's file system", self.free_bytes.clone());
        registry.register("reserve_bytes", "Bytes below which nothing new is taken", self.reserve_bytes.clone());
        registry.register("frozen", "1 if the log is frozen", self.frozen.clone());
        registry.register("policies_loaded", "Witness policies taken up while running", self.policies.clone());
        registry.register("commit_seconds", "From a batch to its durable tiles", self.commit_seconds.clone());
        registry.register("cosign_seconds", "From the question to the quorum", self.cosign_seconds.clone());
        self.scrub.register(registry);
        registry.register("answers", "HTTP answers by status", self.answers.clone());
    }

    /// A batch of this many entries is committed.
    pub fn committed(&self, entries: usize) {
        self.entries.inc_by(entries as u64);
    }

    /// An entry was refused by the sequencer.
    pub fn refused(&self) {
        self.refusals.inc();
    }

    /// Another witness policy was taken up.
    pub fn policy_loaded(&self) {
        self.policies.inc();
    }

    /// A tree was published.
    pub fn published(&self, view: &View) {
        self.size.set(i64::try_from(view.tree.size).unwrap_or(i64::MAX));
        self.published_at.set(i64::try_from(view.at).unwrap_or(i64::MAX));
    }

    /// One answer with this status.
    pub fn answered(&self, status: u16) {
        if status == 200 {
            self.ok.inc();
            return;
        }
        self.answers.get_or_create(&vec![("status", status.to_string())]).inc();
    }

    /// The text that `/metrics` serves.
    #[must_use]
    pub fn encode(&self) -> String {
        client::metrics::encode(&self.registry)
    }
}

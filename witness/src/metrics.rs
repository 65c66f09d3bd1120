//! What an operator watches, as Prometheus text.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Which call was answered, and how.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answer {
    call: &'static str,
    status: u16,
}

/// Which log.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LogLabel {
    origin: String,
}

/// The counters and gauges of one witness.
pub struct Metrics {
    registry: Registry,
    answers: Family<Answer, Counter>,
    sizes: Family<LogLabel, Gauge>,
    times: Family<LogLabel, Gauge>,
    held: Family<LogLabel, Gauge>,
    evidence: Family<LogLabel, Gauge>,
    mirrored: Family<LogLabel, Gauge>,
    saves: Histogram,
    failed_saves: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("tally_witness"),
            answers: Family::default(),
            sizes: Family::default(),
            times: Family::default(),
            held: Family::default(),
            evidence: Family::default(),
            mirrored: Family::default(),
            saves: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            failed_saves: Counter::default(),
        };
        let Self { registry, answers, sizes, times, held, evidence, mirrored, saves, failed_saves } = &mut metrics;
        registry.register("answers", "Requests answered, by call and status", answers.clone());
        registry.register("size", "Size of the newest cosigned checkpoint", sizes.clone());
        registry.register("time_seconds", "Time of the newest cosignature, POSIX seconds", times.clone());
        registry.register("held", "1 while nothing is signed for this log", held.clone());
        registry.register("evidence_files", "Proven split views that are kept", evidence.clone());
        registry.register("mirrored_entries", "Entries of a log that are held here", mirrored.clone());
        registry.register("save_seconds", "Time to make a state durable", saves.clone());
        registry.register("failed_saves", "States that could not be made durable", failed_saves.clone());
        metrics
    }
}

impl Metrics {
    /// Counts an answer.
    pub fn answered(&self, call: &'static str, status: u16) {
        self.answers.get_or_create(&Answer { call, status }).inc();
    }

    /// Counts an attempt to make a state durable.
    pub fn saved(&self, took: Duration, succeeded: bool) {
        self.saves.observe(took.as_secs_f64());
        if !succeeded {
            self.failed_saves.inc();
        }
    }

    /// What is known of a log: size and time of the newest cosignature.
    pub fn cosigned(&self, origin: &str, size: u64, time: u64) {
        let label = LogLabel { origin: origin.to_owned() };
        self.sizes.get_or_create(&label).set(size.cast_signed());
        self.times.get_or_create(&label).set(time.cast_signed());
    }

    /// Whether nothing is signed for a log, and how many split views of it are kept.
    pub fn flagged(&self, origin: &str, is_held: bool, evidence: usize) {
        let label = LogLabel { origin: origin.to_owned() };
        self.held.get_or_create(&label).set(is_held.into());
        self.evidence.get_or_create(&label).set(i64::try_from(evidence).unwrap_or(i64::MAX));
    }

    /// How many entries of a log are held.
    pub fn mirrored(&self, origin: &str, size: u64) {
        self.mirrored.get_or_create(&LogLabel { origin: origin.to_owned() }).set(size.cast_signed());
    }

    /// The text of `/metrics`.
    #[must_use]
    pub fn encode(&self) -> String {
        client::metrics::encode(&self.registry)
    }
}

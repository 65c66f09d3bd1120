//! What an operator watches, as Prometheus text (`specs/builder.md`, section 7).

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use tokio::net::TcpListener;

/// How a package or a round ended.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ending {
    result: &'static str,
}

/// The counters and gauges of one service.
pub struct Metrics {
    registry: Registry,
    packages: Family<Ending, Counter>,
    rounds: Family<Ending, Counter>,
    /// Package files still to be attested.
    pub due: Gauge,
    /// Envelopes in the spool.
    pub waiting: Gauge,
    /// Envelopes that the log has taken since the start.
    pub logged: Counter,
    /// Envelopes that the log has refused since the start.
    pub refused: Counter,
    /// When the repositories were last looked at with success, POSIX seconds.
    pub looked: Gauge,
    /// Seconds from a repository's publication until all of a package's envelopes were in the log.
    pub lag: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("tally_builder"),
            packages: Family::default(),
            rounds: Family::default(),
            due: Gauge::default(),
            waiting: Gauge::default(),
            logged: Counter::default(),
            refused: Counter::default(),
            looked: Gauge::default(),
            lag: Histogram::new(LAGS),
        };
        let Self { registry, packages, rounds, due, waiting, logged, refused, looked, lag } = &mut metrics;
        registry.register("packages", "Package files, by what became of them", packages.clone());
        registry.register("rounds", "Rounds of work, by how they ended", rounds.clone());
        registry.register("due_packages", "Package files still to be attested", due.clone());
        registry.register("waiting_entries", "Envelopes that wait in the spool", waiting.clone());
        registry.register("logged_entries", "Envelopes that the log has taken", logged.clone());
        registry.register("refused_entries", "Envelopes that the log has refused", refused.clone());
        registry.register("look_time_seconds", "When the repositories were last looked at, POSIX seconds", looked.clone());
        registry.register("lag_seconds", "From a repository's publication to the log", lag.clone());
        metrics
    }
}

impl Metrics {
    /// Counts a package file.
    pub fn package(&self, attested: bool) {
        self.packages.get_or_create(&Ending { result: if attested { "attested" } else { "failed" } }).inc();
    }

    /// Counts a round.
    pub fn round(&self, succeeded: bool) {
        self.rounds.get_or_create(&Ending { result: if succeeded { "done" } else { "failed" } }).inc();
    }

    /// The text of `/metrics`.
    #[must_use]
    pub fn encode(&self) -> String {
        client::metrics::encode(&self.registry)
    }
}

/// Serves `/metrics` for as long as it is polled.
///
/// # Errors
/// If the socket fails.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>) -> std::io::Result<()> {
    let text = |State(metrics): State<Arc<Metrics>>| async move { ([("content-type", client::metrics::CONTENT_TYPE)], metrics.encode()) };
    axum::serve(listener, Router::new().route("/metrics", get(text)).with_state(metrics)).await
}

/// A minute to a week.
const LAGS: [f64; 12] = [60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 21_600.0, 43_200.0, 86_400.0, 604_800.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_counted_is_shown() {
        let metrics = Metrics::default();
        metrics.package(true);
        metrics.round(false);
        metrics.due.set(7);
        metrics.lag.observe(61.0);
        let text = metrics.encode();
        for line in [
            "tally_builder_packages_total{result=\"attested\"} 1",
            "tally_builder_rounds_total{result=\"failed\"} 1",
            "tally_builder_due_packages 7",
            "tally_builder_lag_seconds_count 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}

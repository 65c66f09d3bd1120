//! One measurement: a load against a log, the growth of its published tree, and the limits of the same minute.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use anyhow::Context as _;
use serde::Serialize;

use crate::load::{self, Offer, Outcome, Requests};
use crate::machine::{self, Limits};
use crate::process;
use crate::watch::{Watch, growth};

/// The log under measurement.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process.
    pub log: u32,
    /// The witnesses' processes.
    pub witnesses: Vec<u32>,
    /// Its directory.
    pub dir: &'a Path,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What was done.
    pub name: &'static str,
    /// Keep-alive connections.
    pub connections: usize,
    /// Entries offered a second; none if as much as the connections carry.
    pub offered_per_second: Option<f64>,
    /// Entries by which the published tree grew between the first and the last look.
    pub entries: u64,
    /// That growth a second.
    pub entries_per_second: f64,
    /// CPU time of the log for each entry.
    pub log_cpu_us: f64,
    /// CPU time of the generator for each entry.
    pub generator_cpu_us: f64,
    /// CPU time of all witnesses for each entry.
    pub witnesses_cpu_us: f64,
    /// Latency from the intended time to the answer, in milliseconds.
    pub p50_ms: f64,
    /// As above.
    pub p99_ms: f64,
    /// As above.
    pub p999_ms: f64,
    /// As above.
    pub max_ms: f64,
    /// Highest memory use of the log so far, in MiB.
    pub max_rss_mb: f64,
    /// Answers other than 200, in words.
    pub complaint: Option<String>,
    /// Answers that were compared with the log's contents or whose proofs were verified.
    pub checked_answers: usize,
    /// What could be done at best, measured just before.
    pub limits: Limits,
}

/// Measures: the growth from `offer.warm_up` to the end of the offered time. Returns the kept answers beside the figure.
///
/// # Errors
/// If the log cannot be reached, or its tree did not grow.
pub fn measure(
    name: &'static str,
    subject: &Subject<'_>,
    requests: &Arc<dyn Requests>,
    offer: Offer,
    verify: &dyn Fn(),
) -> anyhow::Result<(Figure, Outcome)> {
    machine::settle(subject.dir);
    let limits = machine::limits(subject.dir, verify).context("measuring the limits")?;
    let watch = Watch::start(subject.address, subject.log, subject.witnesses.clone());
    let loaded = {
        let (address, requests) = (subject.address, requests.clone());
        thread::spawn(move || load::run(address, requests, offer))
    };
    let outcome = loaded.join().map_err(|_| anyhow::anyhow!("the generator panicked"))?.context("offering the load")?;
    let (start, end) = (outcome.start, outcome.start + offer.time);
    let seen = watch.stop().context("reading the checkpoint")?;
    let grown = growth(&seen, start + offer.warm_up, end).with_context(|| format!("{name}: the published tree did not grow"))?;
    let figure = Figure {
        name,
        connections: offer.connections,
        offered_per_second: offer.rate.map(|rate| rate * requests.per_request() as f64),
        entries: grown.entries,
        entries_per_second: grown.per_second,
        log_cpu_us: grown.log_us,
        generator_cpu_us: grown.generator_us,
        witnesses_cpu_us: grown.witnesses_us,
        p50_ms: outcome.millis(0.5),
        p99_ms: outcome.millis(0.99),
        p999_ms: outcome.millis(0.999),
        max_ms: outcome.millis(1.0),
        max_rss_mb: process::memory(subject.log).1 as f64 / f64::from(1 << 20),
        complaint: outcome.complaint(),
        checked_answers: 0,
        limits,
    };
    Ok((figure, outcome))
}

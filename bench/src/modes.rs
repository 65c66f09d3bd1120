//! The measurements, in the order of the report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use attest::Envelope;
use e2e::run;
use serde::Serialize;

use crate::answers;
use crate::figure::{Figure, Subject, measure};
use crate::load::{Offer, Requests};
use crate::machine;
use crate::requests::{Raw, Signed, sign};
use crate::target::{CheckedLog, OpenLog};
use crate::watch;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Seconds of each measurement, after the warm-up.
    pub seconds: u64,
    /// Bytes of an open entry.
    pub entry_bytes: usize,
    /// Connections where as much is offered as they carry.
    pub connections: usize,
}

impl Scale {
    fn offer(&self, connections: usize, rate: Option<f64>) -> Offer {
        Offer { connections, rate, time: WARM_UP + Duration::from_secs(self.seconds), warm_up: WARM_UP }
    }
}

/// An open log under the greatest load and under half the bar's.
///
/// # Errors
/// If the log does not run, or an answer is wrong.
pub fn open(log: &OpenLog, scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let greatest = one_open("open, greatest load", log, scale, scale.offer(scale.connections, None), 1)?;
    let rate = OPEN_BAR / 2.0;
    let half = one_open("open, half the bar's load", log, scale, scale.offer(scale.connections, Some(rate)), 2)?;
    Ok(vec![greatest, half])
}

fn one_open(name: &'static str, log: &OpenLog, scale: Scale, offer: Offer, seed: u64) -> anyhow::Result<Figure> {
    let (program, dir) = (log.program()?, log.dir());
    let subject = Subject { address: program.address(), log: program.id(), witnesses: Vec::new(), dir: &dir };
    let raw = Arc::new(Raw::new(scale.entry_bytes, seed));
    let requests: Arc<dyn Requests> = raw.clone();
    let (mut figure, outcome) = measure(name, &subject, &requests, offer, &a_verification())?;
    figure.checked_answers = answers::check_raw(&dir, &raw, &outcome)?;
    Ok(figure)
}

/// A log with roles and witnesses: one entry a request under the greatest load and under half the bar's, then batches.
///
/// # Errors
/// If the log does not run, or an answer is wrong.
pub fn checked(log: &CheckedLog, scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let time = (WARM_UP + Duration::from_secs(scale.seconds)).as_secs_f64();
    let builder = log.builder()?;
    let count = |rate: f64| (rate * time) as usize;
    let subject_dir = log.dir();
    let subject = Subject { address: log.address()?, log: log.program()?.id(), witnesses: log.witnesses(), dir: &subject_dir };
    let policy = log.policy();
    let mut figures = Vec::new();
    let rate = CHECKED_BAR / 2.0;
    for (name, offer, count, seed) in [
        ("checked, greatest load", scale.offer(scale.connections, None), count(CHECKED_BAR * 1.5), 3),
        ("checked, half the bar's load", scale.offer(scale.connections, Some(rate)), count(rate) + 1, 4),
    ] {
        let signed = Arc::new(Signed::single(sign(&builder, count, seed)));
        let requests: Arc<dyn Requests> = signed.clone();
        let (mut figure, outcome) = measure(name, &subject, &requests, offer, &a_verification())?;
        figure.checked_answers = answers::check_proofs(&policy, &signed, &outcome)?;
        figures.push(figure);
    }
    let signed = Arc::new(Signed::batches(sign(&builder, count(BATCH_BAR * 1.6), 5), BATCH_LINES));
    let requests: Arc<dyn Requests> = signed.clone();
    let (mut figure, outcome) =
        measure("checked, in batches", &subject, &requests, scale.offer(BATCH_CONNECTIONS, None), &a_verification())?;
    figure.checked_answers = answers::check_batches(&policy, &signed, &outcome)?;
    figures.push(figure);
    Ok(figures)
}

/// Mean size of the signed entries in bytes.
///
/// # Errors
/// If the key cannot be read.
pub fn signed_bytes(log: &CheckedLog) -> anyhow::Result<usize> {
    Ok(Signed::single(sign(&log.builder()?, 100, 9)).mean_size())
}

/// How an open log does at a size: one row of the growth table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Entries in the log at the end.
    pub entries: u64,
    /// Entries published a second on the way there.
    pub entries_per_second: f64,
    /// CPU time of the log for each.
    pub log_cpu_us: f64,
    /// Memory of the log in MiB, now.
    pub rss_mb: f64,
    /// Bytes of `public/` on the disk, over those of the entries and their hashes.
    pub disk_ratio: f64,
    /// Seconds from the start of a new process to its first answer.
    pub restart_seconds: f64,
    /// Seconds of `tally-log fsck`, files in memory.
    pub fsck_seconds: f64,
    /// Leaves checked a second.
    pub fsck_leaves_per_second: f64,
}

/// Grows an open log to each of these sizes in turn.
///
/// # Errors
/// If the log does not run, or `fsck` finds anything.
pub fn growth(log: &mut OpenLog, scale: Scale, sizes: &[u64], told: &mut dyn FnMut(&Row)) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (seed, size) in (100..).zip(sizes) {
        let row = grow_to(log, scale, *size, seed)?;
        told(&row);
        rows.push(row);
    }
    Ok(rows)
}

fn grow_to(log: &mut OpenLog, scale: Scale, size: u64, seed: u64) -> anyhow::Result<Row> {
    let (address, pid) = (log.program()?.address(), log.program()?.id());
    let before = watch::published(address)?;
    let watching = watch::Watch::start(address, pid, Vec::new());
    let start = Instant::now();
    let wanted = size.saturating_sub(before);
    let requests: Arc<dyn Requests> = Arc::new(Limited { raw: Raw::new(scale.entry_bytes, seed), count: wanted });
    let offer = Offer { connections: scale.connections, rate: None, time: Duration::from_secs(24 * 3600), warm_up: Duration::ZERO };
    let outcome = crate::load::run(address, requests, offer)?;
    anyhow::ensure!(outcome.ok() == wanted, "growing: {}", outcome.complaint().unwrap_or_default());
    let end = Instant::now() + Duration::from_millis(50);
    std::thread::sleep(Duration::from_millis(50));
    let grown = watch::growth(&watching.stop()?, start, end).context("the published tree did not grow")?;
    let rss = crate::process::memory(pid).0;
    log.stop()?;
    let restart = log.serve()?;
    let entries = watch::published(log.program()?.address())?;
    fsck(log)?;
    let fsck = fsck(log)?;
    let bytes = entries * (scale.entry_bytes as u64 + 32) + entries * 32 / 255;
    Ok(Row {
        entries,
        entries_per_second: grown.per_second,
        log_cpu_us: grown.log_us,
        rss_mb: rss as f64 / f64::from(1 << 20),
        disk_ratio: machine::disk_use(&log.dir().join("public")) as f64 / bytes as f64,
        restart_seconds: restart.as_secs_f64(),
        fsck_seconds: fsck.as_secs_f64(),
        fsck_leaves_per_second: entries as f64 / fsck.as_secs_f64(),
    })
}

/// Raw entries up to a count.
struct Limited {
    raw: Raw,
    count: u64,
}

impl Requests for Limited {
    fn write(&self, number: u64, out: &mut Vec<u8>) -> bool {
        number < self.count && self.raw.write(number, out)
    }
    fn per_request(&self) -> u64 {
        1
    }
}

fn fsck(log: &OpenLog) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let output = run("tally-log", ["fsck", &log.dir().display().to_string()]);
    anyhow::ensure!(output.status.success(), "fsck: {}", String::from_utf8_lossy(&output.stdout));
    Ok(started.elapsed())
}

/// Bytes of the index over those of the entries of a checked log.
///
/// # Errors
/// If they cannot be read.
pub fn index_ratio(log: &CheckedLog, entry_bytes: usize) -> anyhow::Result<f64> {
    let index = machine::disk_use(&log.dir().join("index.redb"));
    Ok(index as f64 / (watch::published(log.address()?)? as f64 * entry_bytes as f64))
}

/// One strict verification of an envelope's signature, again and again.
fn a_verification() -> impl Fn() {
    let name = tlog::KeyName::parse("bench.example").expect("a name");
    let key = tlog::SigningKey::from_seed(name, tlog::KeyKind::Ed25519, &[7; 32]).expect("a key");
    let envelope = Envelope::sign(vec![b'x'; 700], &key).expect("it signs");
    move || _ = std::hint::black_box(envelope.verify())
}

/// Entries a second that an open log shall take.
pub const OPEN_BAR: f64 = 22_000.0;
/// Checked and cosigned entries a second, one a request.
pub const CHECKED_BAR: f64 = 12_000.0;
/// The same in batches.
pub const BATCH_BAR: f64 = 20_000.0;
/// Lines of a batch.
pub const BATCH_LINES: usize = 1_000;
/// Connections that send batches.
pub const BATCH_CONNECTIONS: usize = 8;
const WARM_UP: Duration = Duration::from_secs(2);

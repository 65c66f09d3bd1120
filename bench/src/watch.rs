//! The measure of speed: how the published checkpoint grows, seen from outside by `GET /checkpoint`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tlog::SignedCheckpoint;

use crate::process::{Sample, sample};
use crate::wire::Connection;

/// A size that was published, and what the processes had used by then.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Size of the published tree.
    pub size: u64,
    /// When it was first seen.
    pub sample: Sample,
}

/// Polls until it is stopped.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Vec<Seen>>>,
}

/// Growth between two published sizes, and what it took.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    /// Published entries.
    pub entries: u64,
    /// Entries published a second.
    pub per_second: f64,
    /// CPU time of the log for each, in microseconds.
    pub log_us: f64,
    /// CPU time of the generator for each, in microseconds.
    pub generator_us: f64,
    /// CPU time of all witnesses for each, in microseconds.
    pub witnesses_us: f64,
}

impl Watch {
    /// Begins to look.
    #[must_use]
    pub fn start(address: SocketAddr, log: u32, witnesses: Vec<u32>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(look(address, log, &witnesses, &stopped))
        });
        Self { stop, thread }
    }

    /// Ends, and returns every size that was seen.
    ///
    /// # Errors
    /// If the checkpoint could not be read.
    pub fn stop(self) -> io::Result<Vec<Seen>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| io::Error::other("the watch panicked"))?
    }
}

async fn look(address: SocketAddr, log: u32, witnesses: &[u32], stop: &AtomicBool) -> io::Result<Vec<Seen>> {
    let mut connection = Connection::open(address).await?;
    let mut seen: Vec<Seen> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let size = size(&mut connection).await?;
        if seen.last().is_none_or(|last| last.size < size) {
            seen.push(Seen { size, sample: sample(log, witnesses) });
        }
        tokio::time::sleep(INTERVAL).await;
    }
    Ok(seen)
}

async fn size(connection: &mut Connection) -> io::Result<u64> {
    let answer = connection.ask(b"GET /checkpoint HTTP/1.1\r\nHost: log\r\n\r\n", true).await?;
    match answer.status {
        200 => SignedCheckpoint::parse(&answer.body).map(|signed| signed.tree().size).map_err(io::Error::other),
        404 => Ok(0),
        status => Err(io::Error::other(format!("GET /checkpoint: status {status}"))),
    }
}

/// The size that is published now.
///
/// # Errors
/// What the network says.
pub fn published(address: SocketAddr) -> io::Result<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { size(&mut Connection::open(address).await?).await })
}

/// Growth from the first size seen after `from` to the last one seen before `to`; `None` if there are not two.
#[must_use]
pub fn growth(seen: &[Seen], from: Instant, to: Instant) -> Option<Growth> {
    let mut inside = seen.iter().filter(|seen| seen.sample.at >= from && seen.sample.at <= to);
    let first = inside.next()?;
    let last = inside.next_back()?;
    let entries = last.size.checked_sub(first.size).filter(|entries| *entries > 0)?;
    let each = |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64() * 1e6 / entries as f64;
    Some(Growth {
        entries,
        per_second: entries as f64 / (last.sample.at - first.sample.at).as_secs_f64(),
        log_us: each(first.sample.log, last.sample.log),
        generator_us: each(first.sample.generator, last.sample.generator),
        witnesses_us: each(first.sample.witnesses, last.sample.witnesses),
    })
}

const INTERVAL: Duration = Duration::from_millis(10);

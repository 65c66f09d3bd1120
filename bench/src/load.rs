//! The load: open loop, so that a slow server does not slow the asking down and hide its slowness. Every request has an
//! intended time; its latency counts from there, also if no connection was free to send it then.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::wire::{Answer, Connection};

/// Makes the requests: request number n, ready to be sent.
pub trait Requests: Send + Sync {
    /// Writes the whole request; `false` if there are no more.
    fn write(&self, number: u64, out: &mut Vec<u8>) -> bool;
    /// How many entries each of them submits.
    fn per_request(&self) -> u64;
}

/// How the load is offered.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// Keep-alive connections.
    pub connections: usize,
    /// Requests a second; `None` offers as much as the connections carry (then there is no intended time but the sending).
    pub rate: Option<f64>,
    /// For how long.
    pub time: Duration,
    /// Latencies count from here on.
    pub warm_up: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// When all connections stood and the first request was due.
    pub start: Instant,
    /// Latencies in microseconds, from the intended time to the whole answer.
    pub latency: Histogram<u64>,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests that got no answer, with the first reason.
    pub broken: (u64, Option<String>),
    /// A few requests by number with their whole answers, to be checked afterwards.
    pub samples: Vec<(u64, Answer)>,
}

struct Shared {
    requests: Arc<dyn Requests>,
    offer: Offer,
    start: Instant,
    next: Cell<u64>,
    outcome: RefCell<Outcome>,
}

/// Offers the load from one thread; returns when the last answer is there.
///
/// # Errors
/// If a connection cannot be made.
pub fn run(address: SocketAddr, requests: Arc<dyn Requests>, offer: Offer) -> io::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, offered(address, requests, offer))
}

async fn offered(address: SocketAddr, requests: Arc<dyn Requests>, offer: Offer) -> io::Result<Outcome> {
    let connections = connect(address, offer.connections).await?;
    let latency = Histogram::new_with_bounds(1, 600_000_000, 3).map_err(io::Error::other)?;
    let start = Instant::now();
    let outcome = Outcome { start, latency, statuses: BTreeMap::new(), broken: (0, None), samples: Vec::new() };
    let shared = Rc::new(Shared { requests, offer, start, next: Cell::new(0), outcome: RefCell::new(outcome) });
    let tasks: Vec<_> = connections.into_iter().map(|connection| tokio::task::spawn_local(drive(connection, shared.clone()))).collect();
    for task in tasks {
        task.await.map_err(io::Error::other)?;
    }
    Rc::into_inner(shared).map(|shared| shared.outcome.into_inner()).ok_or_else(|| io::Error::other("a connection is still in use"))
}

/// Opens all connections, some at a time: a server's queue for new ones is short.
async fn connect(address: SocketAddr, count: usize) -> io::Result<Vec<Connection>> {
    let mut connections = Vec::with_capacity(count);
    while connections.len() < count {
        let some = AT_ONCE.min(count - connections.len());
        let opening: Vec<_> = (0..some).map(|_| tokio::task::spawn_local(Connection::open(address))).collect();
        for opened in opening {
            connections.push(opened.await.map_err(io::Error::other)??);
        }
    }
    Ok(connections)
}

/// One connection: takes the next request, waits for its time, sends it, waits for the answer.
async fn drive(mut connection: Connection, shared: Rc<Shared>) {
    let mut request = Vec::with_capacity(2048);
    loop {
        let number = shared.next.replace(shared.next.get() + 1);
        let due = shared.due(number);
        if due >= shared.start + shared.offer.time || !shared.requests.write(number, &mut request) {
            return;
        }
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
        }
        let answer = connection.ask(&request, shared.is_sampled(number)).await;
        let is_broken = answer.is_err();
        shared.note(number, due, answer);
        if is_broken {
            return;
        }
    }
}

impl Shared {
    fn due(&self, number: u64) -> Instant {
        match self.offer.rate {
            Some(rate) => self.start + Duration::from_secs_f64(number as f64 / rate),
            None => Instant::now(),
        }
    }

    fn is_sampled(&self, number: u64) -> bool {
        number.is_multiple_of(SAMPLED.div_ceil(self.requests.per_request()))
    }

    fn note(&self, number: u64, due: Instant, answer: io::Result<Answer>) {
        let mut outcome = self.outcome.borrow_mut();
        match answer {
            Ok(answer) => {
                *outcome.statuses.entry(answer.status).or_default() += 1;
                if due >= self.start + self.offer.warm_up {
                    let micros = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
                    outcome.latency.saturating_record(micros);
                }
                if self.is_sampled(number) {
                    outcome.samples.push((number, answer));
                }
            }
            Err(error) => {
                outcome.broken.0 += 1;
                outcome.broken.1.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

impl Outcome {
    /// Answers with status 200.
    #[must_use]
    pub fn ok(&self) -> u64 {
        self.statuses.get(&200).copied().unwrap_or(0)
    }

    /// What was not answered with 200, in words; `None` if all was.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let others: Vec<String> =
            self.statuses.iter().filter(|(status, _)| **status != 200).map(|(status, count)| format!("{count} x {status}")).collect();
        let broken = (self.broken.0 > 0).then(|| format!("{} broken: {}", self.broken.0, self.broken.1.as_deref().unwrap_or("?")));
        let all: Vec<String> = others.into_iter().chain(broken).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// A quantile in milliseconds.
    #[must_use]
    pub fn millis(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }
}

/// Connections that are opened at one time.
const AT_ONCE: usize = 256;
/// Every so many entries' answers are kept whole.
const SAMPLED: u64 = 997;

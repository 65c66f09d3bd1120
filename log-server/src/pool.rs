//! Entries that wait for their place: bounded in bytes, each with those who wait for its answer. The same submission joins the
//! pending entry instead of becoming a second leaf.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tlog::{Hash, hash_leaf};
use tokio::sync::oneshot;

use crate::shared::View;

/// One entry on its way into the log. `M` is what admission learnt about it.
#[derive(Debug)]
pub struct Entry<M> {
    /// What makes two submissions the same, if anything does.
    pub identity: Option<Hash>,
    /// The leaf's bytes.
    pub leaf: Vec<u8>,
    /// Their leaf hash, taken at admission; verify before sign takes it again.
    pub hash: Hash,
    /// What admission learnt about it.
    pub meta: M,
    waiter: Option<oneshot::Sender<Outcome>>,
}

/// What became of an entry.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is leaf `index` of this published tree.
    Logged {
        /// Its index.
        index: u64,
        /// The published tree that covers it.
        view: Arc<View>,
    },
    /// It is refused.
    Refused(Refusal),
    /// The log could not take it now; it is not in the log, or nobody can say yet.
    Failed,
}

/// Why an entry is refused for good, in one line for the submitter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not an entry (400).
    Malformed(String),
    /// The key may not say this (403).
    Forbidden(String),
    /// What it refers to, or rests on, is not there (422).
    Unfounded(String),
}

/// There is no room (503), or the log is shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The queue between the submitters and the sequencer.
pub struct Pool<M> {
    inner: Mutex<Inner<M>>,
    arrived: Condvar,
    limit: usize,
}

struct Inner<M> {
    queue: VecDeque<Entry<M>>,
    /// Who else waits for an entry with this identity, from its arrival until it is indexed.
    joined: HashMap<Hash, Vec<oneshot::Sender<Outcome>>>,
    /// Who waits for a leaf that is committed but not published.
    late: Vec<(u64, oneshot::Sender<Outcome>)>,
    /// Bytes of the entries in `queue` and of those taken and not yet released.
    bytes: usize,
    queued_bytes: usize,
    first_arrival: Option<Instant>,
    /// When entries were last taken.
    taken: Option<Instant>,
    closed: bool,
}

impl<M> Pool<M> {
    /// A queue that holds at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let inner = Inner {
            queue: VecDeque::new(),
            joined: HashMap::new(),
            late: Vec::new(),
            bytes: 0,
            queued_bytes: 0,
            first_arrival: None,
            taken: None,
            closed: false,
        };
        Self { inner: Mutex::new(inner), arrived: Condvar::new(), limit }
    }

    /// Queues an entry, or joins the pending one with the same identity.
    pub fn submit(&self, identity: Option<Hash>, leaf: Vec<u8>, meta: M) -> Result<oneshot::Receiver<Outcome>, Full> {
        let (sender, receiver) = oneshot::channel();
        // Hashed here, on the submitter's thread, and not while others wait for the queue.
        let hash = hash_leaf(&leaf);
        let mut inner = self.lock();
        if let Some(joined) = identity.and_then(|identity| inner.joined.get_mut(&identity)) {
            if joined.len() >= MAX_JOINED {
                return Err(Full);
            }
            joined.push(sender);
            return Ok(receiver);
        }
        let cost = leaf.len() + ENTRY_COST;
        if inner.closed || inner.bytes + cost > self.limit {
            return Err(Full);
        }
        if let Some(identity) = identity {
            inner.joined.insert(identity, Vec::new());
        }
        inner.bytes += cost;
        inner.queued_bytes += leaf.len();
        if inner.first_arrival.is_none() {
            inner.first_arrival = Some(Instant::now());
            self.arrived.notify_one();
        }
        inner.queue.push_back(Entry { identity, leaf, hash, meta, waiter: Some(sender) });
        Ok(receiver)
    }

    /// Waits for the publication of a leaf that is committed already.
    pub fn wait_for(&self, index: u64) -> Result<oneshot::Receiver<Outcome>, Full> {
        let mut inner = self.lock();
        if inner.closed || inner.late.len() >= MAX_JOINED {
            return Err(Full);
        }
        let (sender, receiver) = oneshot::channel();
        inner.late.push((index, sender));
        Ok(receiver)
    }

    /// Blocks until a batch is due: its first entry has waited a tenth of `interval` for company, and the last batch was taken
    /// `interval` ago, or four times as long as its round took, or as long as that while nothing more comes; or a share of `bytes` or
    /// `entries` is reached, or the pool is closed; at most `idle` while there is nothing. Called when a round is over.
    pub fn wait(&self, interval: Duration, bytes: usize, entries: usize, idle: Duration) {
        let called = Instant::now();
        let mut inner = self.lock();
        // What a round costs whatever its size, it costs less often where it costs more.
        let took = inner.taken.map_or(Duration::ZERO, |taken| called.saturating_duration_since(taken).min(interval));
        let look = interval / 20;
        let (mut seen, mut since) = (inner.queue.len(), called);
        loop {
            let now = Instant::now();
            if inner.queue.len() != seen {
                (seen, since) = (inner.queue.len(), now);
            }
            // Those who ask again once they are answered have all come by then; others come all the time.
            let rest = if now - since >= look { took } else { interval.min(REST * took) };
            let paced = inner.taken.map(|taken| taken + rest);
            let due = inner.first_arrival.map(|first| paced.unwrap_or(first).max(first + interval / 10));
            let enough = inner.queued_bytes >= bytes / ENOUGH || inner.queue.len() >= entries.div_ceil(ENOUGH);
            if enough || inner.closed || now >= due.unwrap_or(called + idle) {
                return;
            }
            // Arrivals in a begun batch wake nobody: a look now and then notices them.
            let until = due.map_or(called + idle, |due| due.min(now + look.max(SHORTEST)));
            inner = self.arrived.wait_timeout(inner, until - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Blocks for `time`, or until the pool is closed.
    pub fn pause(&self, time: Duration) {
        let deadline = Instant::now() + time;
        let mut inner = self.lock();
        while !inner.closed && Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            inner = self.arrived.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(inner);
        // Once closed, turns go on at a walking pace until the drain is over.
        if self.is_closed() {
            std::thread::sleep(Duration::from_millis(500).min(time));
        }
    }

    /// Takes the oldest entries, up to these limits.
    pub fn take(&self, bytes: usize, entries: usize) -> VecDeque<Entry<M>> {
        let mut inner = self.lock();
        let mut taken = 0;
        let count = inner.queue.iter().take(entries).take_while(|entry| {
            taken += entry.leaf.len();
            taken <= bytes
        });
        let count = count.count();
        let batch: VecDeque<_> = inner.queue.drain(..count).collect();
        inner.queued_bytes -= batch.iter().map(|entry| entry.leaf.len()).sum::<usize>();
        let now = Instant::now();
        if !batch.is_empty() {
            inner.taken = Some(now);
        }
        inner.first_arrival = (!inner.queue.is_empty()).then_some(now);
        batch
    }

    /// Puts taken entries back to the front, in their order.
    pub fn put_back(&self, entries: VecDeque<Entry<M>>) {
        let mut inner = self.lock();
        for entry in entries.into_iter().rev() {
            inner.queued_bytes += entry.leaf.len();
            inner.queue.push_front(entry);
        }
        if inner.first_arrival.is_none() && !inner.queue.is_empty() {
            inner.first_arrival = Some(Instant::now());
        }
    }

    /// Answers those who wait for taken entries, which are leaves of the view from `first` on.
    pub fn answer(&self, entries: &mut [Entry<M>], first: u64, view: &Arc<View>) {
        for (index, entry) in (first..).zip(entries) {
            // A receiver that is gone has stopped waiting; there is nobody to tell.
            if let Some(waiter) = entry.waiter.take() {
                let _ = waiter.send(Outcome::Logged { index, view: view.clone() });
            }
        }
    }

    /// Answers everybody who waits for leaves below the view's size.
    pub fn answer_late(&self, view: &Arc<View>) {
        let mut inner = self.lock();
        let (ready, late) = std::mem::take(&mut inner.late).into_iter().partition(|(index, _)| *index < view.tree.size);
        inner.late = late;
        for (index, waiter) in ready {
            let _ = waiter.send(Outcome::Logged { index, view: view.clone() });
        }
    }

    /// [`Pool::release`] for all entries of a round, which are leaves of the view from `first` on.
    pub fn release_all(&self, entries: Vec<Entry<M>>, first: u64, view: &Arc<View>) {
        let mut joined = Vec::new();
        let mut inner = self.lock();
        for (index, entry) in (first..).zip(&entries) {
            inner.bytes = inner.bytes.saturating_sub(entry.leaf.len() + ENTRY_COST);
            let waiting = entry.identity.and_then(|identity| inner.joined.remove(&identity)).unwrap_or_default();
            joined.extend(waiting.into_iter().map(|waiter| (index, waiter)));
        }
        drop(inner);
        for (index, waiter) in joined {
            let _ = waiter.send(Outcome::Logged { index, view: view.clone() });
        }
    }

    /// Gives up a taken entry's room and its identity, once it is indexed or refused, and answers those who joined it.
    pub fn release(&self, entry: Entry<M>, outcome: &Outcome) {
        let mut inner = self.lock();
        inner.bytes = inner.bytes.saturating_sub(entry.leaf.len() + ENTRY_COST);
        let joined = entry.identity.and_then(|identity| inner.joined.remove(&identity)).unwrap_or_default();
        drop(inner);
        for waiter in entry.waiter.into_iter().chain(joined) {
            let _ = waiter.send(outcome.clone());
        }
    }

    /// Takes no more entries; those queued stay.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Whether the pool was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Entries in the queue, and bytes held for them and for those in the round.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.queue.len(), inner.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Inner<M>> {
        // Every method leaves the queue whole at each statement that could panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an entry costs beside its leaf's bytes: its waiter, identity and places in the tables.
const ENTRY_COST: usize = 256;
/// Shortest time between two looks at the queue.
const SHORTEST: Duration = Duration::from_millis(1);
/// Between two batches passes this many times what the first one's round took.
const REST: u32 = 4;
/// A batch of this part of the largest one waits for no more: what a round costs whatever its size is little for each entry then.
const ENOUGH: usize = 2;
/// Most requests that wait for one entry.
const MAX_JOINED: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(n: u8) -> Option<Hash> {
        Some(Hash::digest(&[n]))
    }

    #[test]
    fn the_queue_is_bounded_until_entries_are_released() {
        let pool = Pool::new(2 * (ENTRY_COST + 10));
        let _first = pool.submit(None, vec![0; 10], ()).unwrap();
        let _second = pool.submit(None, vec![0; 10], ()).unwrap();
        assert_eq!(pool.submit(None, vec![0; 10], ()).err(), Some(Full));
        let mut taken = pool.take(1000, 1000);
        assert_eq!(pool.submit(None, vec![0; 10], ()).err(), Some(Full), "taken entries still count");
        pool.release(taken.pop_front().unwrap(), &Outcome::Failed);
        assert!(pool.submit(None, vec![0; 10], ()).is_ok());
    }

    #[test]
    fn the_same_submission_joins_until_it_is_released() {
        let pool = Pool::new(10_000);
        let mut first = pool.submit(identity(1), vec![1], ()).unwrap();
        let mut second = pool.submit(identity(1), vec![1], ()).unwrap();
        let mut taken = pool.take(1000, 1000);
        assert_eq!(taken.len(), 1);
        let mut third = pool.submit(identity(1), vec![1], ()).unwrap();
        pool.release(taken.pop_front().unwrap(), &Outcome::Failed);
        for receiver in [&mut first, &mut second, &mut third] {
            assert!(matches!(receiver.try_recv(), Ok(Outcome::Failed)));
        }
        let _fourth = pool.submit(identity(1), vec![1], ()).unwrap();
        assert_eq!(pool.load().0, 1);
    }

    #[test]
    fn batches_end_at_their_limits_and_keep_the_order() {
        let pool = Pool::new(100_000);
        for n in 0..5_u8 {
            drop(pool.submit(None, vec![n; 10], ()).unwrap());
        }
        assert_eq!(pool.take(35, 100).len(), 3);
        let rest = pool.take(1000, 1);
        assert_eq!(rest[0].leaf[0], 3);
        pool.put_back(rest);
        let rest: Vec<u8> = pool.take(1000, 100).iter().map(|entry| entry.leaf[0]).collect();
        assert_eq!(rest, [3, 4]);
    }

    #[test]
    fn a_batch_that_is_large_enough_or_the_last_one_waits_no_longer() {
        let (pool, never) = (Pool::new(100_000), Duration::from_secs(3_600));
        let submit = |count: usize| (0..count).for_each(|_| drop(pool.submit(None, vec![0; 10], ()).unwrap()));
        submit(3);
        pool.wait(never, 80_000, 6, never);
        assert_eq!(pool.take(1000, 100).len(), 3, "half of the entries");
        submit(3);
        pool.wait(never, 60, 80_000, never);
        assert_eq!(pool.take(1000, 100).len(), 3, "half of the bytes");
        submit(1);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| pool.wait(never, 80_000, 80_000, never));
            pool.close();
            waits.join().unwrap();
        });
    }

    #[test]
    fn a_closed_pool_takes_nothing_and_keeps_what_it_has() {
        let pool = Pool::new(10_000);
        drop(pool.submit(None, vec![1], ()).unwrap());
        pool.close();
        assert_eq!(pool.submit(None, vec![1], ()).err(), Some(Full));
        assert_eq!(pool.take(10, 10).len(), 1);
    }
}

//! Rounds that wait to be written, a bounded number of rows.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::IndexError;
use super::round::Round;

/// Oldest first.
pub(super) type Rounds = Arc<Vec<Arc<Round>>>;

/// Between those who add and search, and the one that writes.
#[derive(Default)]
pub(super) struct Waiting {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    rounds: Rounds,
    rows: usize,
    /// When the oldest came.
    since: Option<Instant>,
    is_closed: bool,
    failed: Option<IndexError>,
}

impl Waiting {
    /// The rounds that are not known to be written.
    pub(super) fn rounds(&self) -> Rounds {
        self.lock().rounds.clone()
    }

    /// Adds a round, once there is room.
    pub(super) fn push(&self, round: Round) -> Result<(), IndexError> {
        let mut state = self.lock();
        while state.rows >= MOST && state.failed.is_none() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        state.rows += round.rows();
        state.since.get_or_insert_with(Instant::now);
        Arc::make_mut(&mut state.rounds).push(Arc::new(round));
        if state.rows >= ENOUGH || state.rounds.len() == 1 {
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Blocks until something is to be written; `None` once all is, and nothing more comes.
    pub(super) fn due(&self) -> Option<Rounds> {
        let mut state = self.lock();
        loop {
            let left = state.since.map(|since| INTERVAL.saturating_sub(since.elapsed()));
            let is_due = state.is_closed || state.rows >= ENOUGH || left == Some(Duration::ZERO);
            if state.failed.is_some() || (state.is_closed && state.rounds.is_empty()) {
                return None;
            }
            if is_due && !state.rounds.is_empty() {
                return Some(state.rounds.clone());
            }
            state = match left {
                Some(left) => self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// The oldest rounds were written, or could not be: then nothing more is taken.
    pub(super) fn written(&self, count: usize, result: Result<(), IndexError>) {
        let mut state = self.lock();
        match result {
            Ok(()) => {
                let written: usize = Arc::make_mut(&mut state.rounds).drain(..count).map(|round| round.rows()).sum();
                state.rows -= written;
                state.since = (!state.rounds.is_empty()).then(Instant::now);
            }
            Err(error) => state.failed = Some(error),
        }
        self.changed.notify_all();
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The rounds and their count are changed by statements that cannot panic in between.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long rows wait: keys have no order, so that few of them change as many pages as many do.
const INTERVAL: Duration = Duration::from_secs(5);
/// Rows that wait no longer, and rows after which whoever brings more has to wait: about 200 bytes each.
const ENOUGH: usize = 16_384;
const MOST: usize = 2 * ENOUGH;

#[cfg(test)]
mod tests {
    use super::super::Row;
    use super::*;
    use tlog::{Hash, Tree};

    fn round(first: u64, rows: usize) -> Round {
        let row = |n: u64| Row { identity: Hash::digest(&n.to_be_bytes()), terms: [n.to_string(), "type:x".to_owned()], manifest: None };
        let end = first + rows as u64;
        Round::new(first, &(first..end).map(row).collect::<Vec<_>>(), Tree { size: end, root: Hash::EMPTY })
    }

    #[test]
    fn whoever_brings_too_much_waits_for_the_writer() {
        let waiting = Waiting::default();
        waiting.push(round(0, MOST)).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| waiting.push(round(MOST as u64, 1)));
            let due = waiting.due().unwrap();
            assert_eq!(due.len(), 1, "there is no room for a second one");
            waiting.written(due.len(), Ok(()));
            second.join().unwrap().unwrap();
        });
        waiting.close();
        assert_eq!(waiting.due().map(|due| due.len()), Some(1), "what waits when it is closed is still written");
        waiting.written(1, Ok(()));
        assert!(waiting.due().is_none());
    }

    #[test]
    fn after_a_failure_nothing_is_taken_and_all_is_still_found() {
        let waiting = Waiting::default();
        waiting.push(round(0, ENOUGH)).unwrap();
        let failed = IndexError::Failed("no room".to_owned());
        waiting.written(waiting.due().unwrap().len(), Err(failed.clone()));
        assert_eq!(waiting.push(round(ENOUGH as u64, 1)), Err(failed));
        assert!(waiting.due().is_none());
        assert!(waiting.rounds().iter().any(|round| round.find(&Hash::digest(&7_u64.to_be_bytes())) == Some(7)));
    }
}

//! Chunks in any order become the tree in order: threads hash them, and whoever has finished one adds what is next to the growing
//! tree. At most a few chunks wait, so memory does not grow with the log.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tlog::{Growth, Hash, Tile};

use super::chunk::{Buffers, Chunk, LEAVES};
use super::state::State;
use super::tally::Tally;
use super::{FsckError, Progress, Run};
use crate::verify::hashes;

/// Where the threads meet.
struct Line<'a> {
    run: &'a Run<'a>,
    place: Mutex<Place>,
    moved: Condvar,
}

struct Place {
    /// The next chunk to be taken in hand.
    next: u64,
    /// The next chunk to be added to the tree.
    due: u64,
    ready: BTreeMap<u64, Chunk>,
    /// What is saved: up to the last chunk that is whole in every later tree too.
    state: State,
    /// The chunk at the tree's end, which a later tree may have in another width.
    last: Option<Chunk>,
    buffer: Vec<u8>,
    saved: Instant,
    ended: Option<FsckError>,
}

impl Run<'_> {
    /// All bundles and tiles of the tree, and its root. `state` comes to stand for all whole chunks; the rest is returned.
    pub(super) fn structure(&self, state: &mut State) -> Result<Tally, FsckError> {
        let due = state.growth.size() / LEAVES;
        let place = Place {
            next: due,
            due,
            ready: BTreeMap::new(),
            state: state.clone(),
            last: None,
            buffer: Vec::new(),
            saved: Instant::now(),
            ended: None,
        };
        let line = Line { run: self, place: Mutex::new(place), moved: Condvar::new() };
        std::thread::scope(|scope| {
            for _ in 0..self.source.workers() {
                scope.spawn(|| line.work());
            }
        });
        let place = line.place.into_inner().unwrap_or_else(PoisonError::into_inner);
        *state = place.state;
        self.save(state)?;
        match place.ended {
            Some(error) => Err(error),
            None => self.end(state.growth.clone(), place.last.unwrap_or_default()),
        }
    }

    /// The tree's end: what is left over by whole chunks, the partial tiles, the root.
    fn end(&self, mut growth: Growth, last: Chunk) -> Result<Tally, FsckError> {
        let (mut tally, mut buffer) = (last.tally, Vec::new());
        let mut full = Vec::new();
        // Both fail only beyond the largest tree, and then the root differs.
        for root in last.roots {
            let _ = growth.push_tile(root, &mut |tile, hashes| full.push((tile, hashes.to_vec())));
        }
        for leaf in last.rest {
            let _ = growth.push(leaf, &mut |_, _| {});
        }
        let partial = growth.partials().filter(|(tile, _)| tile.level() > 0).map(|(tile, hashes)| (tile, hashes.to_vec()));
        for (tile, hashes) in full.into_iter().chain(partial) {
            self.compare(tile, &hashes, &mut buffer, &mut tally)?;
        }
        if growth.tree() != self.tree {
            tally.find("checkpoint", "its root is not the root of the entries");
        }
        tally.findings.iter().for_each(|finding| self.observer.found(finding));
        Ok(tally)
    }

    /// A tile above level 0 against the tiles below it. Which of them is at fault cannot be told here; the finding names both.
    fn compare(&self, tile: Tile, expected: &[Hash], buffer: &mut Vec<u8>, tally: &mut Tally) -> Result<(), FsckError> {
        let fault = self.read(self.source.tile(tile, buffer), buffer, tally)?;
        tally.objects += 1;
        if let Some(fault) = fault {
            tally.find(tile.path(), fault);
        } else if buffer.len() != tile.byte_len() {
            tally.find(tile.path(), format!("has {} bytes instead of {}", buffer.len(), tile.byte_len()));
        } else if let Some(at) = hashes(buffer).iter().zip(expected).position(|(found, expected)| found != expected) {
            tally.find(tile.path(), format!("hash {at} differs from the tiles below it"));
        }
        Ok(())
    }
}

impl Line<'_> {
    fn work(&self) {
        let mut buffers = Buffers::default();
        while let Some(number) = self.take() {
            let chunk = self.run.chunk(number, &mut buffers);
            let mut place = self.place();
            let outcome = chunk.and_then(|chunk| {
                place.ready.insert(number, chunk);
                place.advance(self.run)
            });
            if let Err(error) = outcome {
                place.ended.get_or_insert(error);
            }
            self.moved.notify_all();
        }
    }

    /// The next chunk to hash; waits where too many others wait for an earlier one.
    fn take(&self) -> Option<u64> {
        let mut place = self.place();
        loop {
            if place.ended.is_some() || place.next >= self.run.chunks() {
                return None;
            }
            if place.next < place.due + self.run.source.workers() as u64 * AHEAD {
                place.next += 1;
                return Some(place.next - 1);
            }
            place = self.moved.wait(place).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Adds what is due to the tree.
    fn advance(&mut self, run: &Run<'_>) -> Result<(), FsckError> {
        while let Some(chunk) = self.ready.remove(&self.due) {
            if (self.due + 1) * LEAVES > run.tree.size {
                self.last = Some(chunk);
            } else {
                self.add(run, chunk)?;
            }
            self.due += 1;
        }
        run.observer.progress(&Progress { entries: (self.due * LEAVES).min(run.tree.size), tree: run.tree });
        if self.saved.elapsed() >= SAVE_EVERY {
            run.save(&self.state)?;
            self.saved = Instant::now();
        }
        Ok(())
    }

    /// On an error nothing of the chunk is in the state.
    fn add(&mut self, run: &Run<'_>, chunk: Chunk) -> Result<(), FsckError> {
        let (mut growth, mut tally, mut full) = (self.state.growth.clone(), chunk.tally, Vec::new());
        for root in chunk.roots {
            // Fails only beyond the largest tree, and then the root differs.
            let _ = growth.push_tile(root, &mut |tile, hashes| full.push((tile, hashes.to_vec())));
        }
        for (tile, hashes) in full {
            run.compare(tile, &hashes, &mut self.buffer, &mut tally)?;
        }
        tally.findings.iter().for_each(|finding| run.observer.found(finding));
        self.state.growth = growth;
        self.state.structure.absorb(tally);
        Ok(())
    }
}

/// Chunks per thread that may be in hand or wait.
const AHEAD: u64 = 4;
/// How often the state is saved.
const SAVE_EVERY: Duration = Duration::from_secs(5);

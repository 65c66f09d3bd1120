//! `scrub`: while a log serves, everything that it has stored is read from the disk and checked, slowly and over and over. It is
//! `fsck` on one thread, held to a rate, that goes on after a restart where it was. See `specs/fsck.md`.

mod board;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tlog::VerifierKey;

use crate::clock::Clock;
use crate::fsck::{Check, DirectorySource, Finding, FsckError, Observer, Progress, StateError};
use crate::layout;
use crate::repair::{Own, Repair};

pub use board::{Board, Gauges};

/// A scrub that has not begun.
pub struct Scrub {
    /// The log's directory.
    pub dir: PathBuf,
    /// Its origin.
    pub origin: String,
    /// Its keys.
    pub keys: Vec<VerifierKey>,
    /// Most bytes a second, each opened file counting as [`OPENING`] more.
    pub bytes_per_second: u64,
    /// Between two passes.
    pub pause: Duration,
    /// For the end of a pass.
    pub clock: Arc<dyn Clock>,
    /// Where it shows what it finds.
    pub board: Arc<Board>,
}

/// A scrub at work; ends when it is dropped.
pub struct Running {
    board: Arc<Board>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.board.stop();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the runtime, and concerns nothing else.
            let _ = thread.join();
        }
    }
}

impl Scrub {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(self) -> std::io::Result<Running> {
        let board = self.board.clone();
        let thread = thread::Builder::new().name("scrub".to_owned()).spawn(move || self.run())?;
        Ok(Running { board, thread: Some(thread) })
    }

    fn run(self) {
        self.look_again();
        let mut state = Some(self.dir.join(layout::SCRUB));
        while !self.board.is_stopped() {
            let pause = match self.pass(state.as_deref()) {
                Ok(()) => self.pause,
                Err(FsckError::Stopped) => return,
                Err(FsckError::NoCheckpoint(_)) => UNREADY,
                Err(FsckError::State(StateError::Io(why))) => {
                    tracing::warn!("scrub: {why}: a restart will begin anew");
                    state = None;
                    UNREADY
                }
                Err(FsckError::State(error)) => {
                    tracing::warn!("scrub: {error}: beginning anew");
                    // One that cannot be removed is not used again.
                    state = state.filter(|path| std::fs::remove_file(path).is_ok());
                    Duration::ZERO
                }
                Err(error @ (FsckError::Malformed | FsckError::Source(_))) => {
                    self.board.found(&Finding { object: "checkpoint".to_owned(), what: error.to_string() });
                    UNREADY
                }
            };
            self.rest(pause);
        }
    }

    fn pass(&self, state: Option<&std::path::Path>) -> Result<(), FsckError> {
        let source = DirectorySource::open(&self.dir).map_err(|error| FsckError::Source(error.to_string()))?.from_disk();
        let now = Instant::now();
        let observer = Pace { scrub: self, due: Mutex::new(now), looked: Mutex::new(now) };
        let check = Check { source: &source, keys: &self.keys, policy: None, state, observer: &observer };
        self.board.passed(&check.run()?, self.clock.now());
        Ok(())
    }

    /// Waits, with an eye on what is damaged.
    fn rest(&self, pause: Duration) {
        let end = Instant::now() + pause;
        while Instant::now() < end && !self.board.is_stopped() {
            self.board.sleep_until(end.min(Instant::now() + LOOK_AGAIN));
            self.look_again();
        }
    }

    /// Damaged objects may have been repaired meanwhile.
    fn look_again(&self) {
        let objects = self.board.objects();
        if objects.is_empty() {
            return;
        }
        let (Ok(own), Ok(source)) = (Own::read(&self.dir, &self.origin, &self.keys), DirectorySource::open(&self.dir)) else { return };
        let Ok(mut repair) = Repair::new(source.from_disk(), None, own.tree, Vec::new()) else { return };
        let known: Vec<String> = objects.into_iter().filter(|object| repair.object(object).is_ok()).collect();
        let outcome = repair.outcome();
        let is_whole = |object: &String| outcome.mended.iter().all(|mended| mended.object != *object);
        self.board.mended(&known.into_iter().filter(is_whole).collect::<Vec<_>>());
    }
}

/// Slows a pass down to its rate.
struct Pace<'a> {
    scrub: &'a Scrub,
    due: Mutex<Instant>,
    /// When the damaged objects were last looked at again.
    looked: Mutex<Instant>,
}

impl Observer for Pace<'_> {
    fn read(&self, bytes: usize) {
        self.scrub.board.read(bytes);
        let cost = (bytes + OPENING) as f64 / self.scrub.bytes_per_second.max(1) as f64;
        let due = {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            // What was not used up is lost: a pass never reads faster than its rate for long.
            *due = (*due).max(Instant::now()) + Duration::from_secs_f64(cost);
            *due
        };
        self.scrub.board.sleep_until(due);
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.elapsed() >= LOOK_AGAIN {
            *looked = Instant::now();
            self.scrub.look_again();
        }
    }
    fn progress(&self, progress: &Progress) {
        self.scrub.board.progress(progress);
    }
    fn found(&self, finding: &Finding) {
        self.scrub.board.found(finding);
    }
    fn stops(&self) -> bool {
        self.scrub.board.is_stopped()
    }
}

/// What opening a file counts, in bytes.
pub const OPENING: usize = 4096;
/// Between two passes over a log that serves.
pub const PAUSE: Duration = Duration::from_secs(600);
/// How often objects that are known to be damaged are looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Until the next try where nothing is published or readable.
const UNREADY: Duration = Duration::from_secs(10);

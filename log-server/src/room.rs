//! The free-space reserve: new entries are refused while the disk still has room for what was promised.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much room is left on the log's file system, looked up now and then.
#[derive(Debug)]
pub struct Room {
    dir: PathBuf,
    reserve: u64,
    seen: Mutex<Option<(Instant, u64)>>,
}

impl Room {
    /// The file system of `dir`, of which `reserve` bytes are kept free; 0 keeps none.
    #[must_use]
    pub fn new(dir: &Path, reserve: u64) -> Self {
        Self { dir: dir.to_owned(), reserve, seen: Mutex::new(None) }
    }

    /// Free bytes, as of a twentieth of a second ago at most. A file system that does not answer has none.
    #[must_use]
    pub fn free(&self) -> u64 {
        // The number is replaced whole; a panic elsewhere cannot leave half of it.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, free)) = *seen
            && at.elapsed() < AGE
        {
            return free;
        }
        let free = store::free_space(&self.dir).unwrap_or_else(|error| {
            tracing::error!("asking for the free space of {}: {error}", self.dir.display());
            0
        });
        *seen = Some((Instant::now(), free));
        free
    }

    /// Bytes that are kept free.
    #[must_use]
    pub fn reserve(&self) -> u64 {
        self.reserve
    }

    /// Whether less than the reserve is left.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.reserve > 0 && self.free() < self.reserve
    }
}

/// How long an answer of the file system is used.
const AGE: Duration = Duration::from_millis(50);

//! The bodies of large requests. Who sends one is often not known before all of it is there, so memory is taken as the bytes come and
//! not as they are announced, and whoever sends too slowly is ended: nobody keeps others out by sending nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::HttpBody;
use axum::http::Request;
use bytes::Bytes;
use client::pace::Pace;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::Problem;
use super::body::{self, Growing};

/// What all large bodies together may take, and how slowly one may come.
#[derive(Clone, Copy, Debug)]
pub struct Uploads {
    /// Memory for all of them, in KiB.
    pub memory_kib: usize,
    /// Longest wait for more of it.
    pub memory_time: Duration,
    /// How far a client may fall behind the slowest rate.
    pub grace: Duration,
    /// That rate, in bytes a second.
    pub slowest: u32,
    /// Longest time for a whole body.
    pub time: Duration,
}

impl Default for Uploads {
    /// Two of the largest manifests; 64 KiB a second.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { memory_kib: 128 << 10, memory_time: seconds(10), grace: seconds(10), slowest: 64 << 10, time: seconds(120) }
    }
}

/// Takes large bodies in.
pub struct Intake {
    uploads: Uploads,
    memory: Arc<Semaphore>,
    /// Held by whoever gives up what it has.
    retreat: Mutex<()>,
}

/// A body that was taken in, and the memory that it takes up.
pub struct Taken {
    /// The body.
    pub bytes: Bytes,
    /// To be held until the answer is made.
    pub memory: Memory,
}

/// Memory that is taken; free again when it is dropped.
#[derive(Default)]
pub struct Memory(Option<OwnedSemaphorePermit>);

impl Intake {
    /// Nothing is taken yet.
    #[must_use]
    pub fn new(uploads: Uploads) -> Self {
        Self { uploads, memory: Arc::new(Semaphore::new(uploads.memory_kib)), retreat: Mutex::new(()) }
    }

    /// The body, of at most `limit` bytes, if it comes fast enough and there is memory for it.
    pub async fn read<B: HttpBody<Data = Bytes> + Unpin>(&self, request: Request<B>, limit: usize) -> Result<Taken, Problem> {
        let expected = body::announced(&request, limit)?;
        timeout(self.uploads.time, self.collect(request.into_body(), expected, limit)).await.map_err(|_| Problem::Slow)?
    }

    async fn collect<B: HttpBody<Data = Bytes> + Unpin>(&self, mut body: B, expected: usize, limit: usize) -> Result<Taken, Problem> {
        let (mut growing, mut memory) = (Growing::new(expected, limit), Memory::default());
        let mut pace = Pace::new(self.uploads.grace, self.uploads.slowest);
        loop {
            let asked = Instant::now();
            let Some(chunk) = timeout(pace.next_within(), body::next(&mut body)).await.map_err(|_| Problem::Slow)?? else {
                return Ok(Taken { bytes: growing.whole(), memory });
            };
            pace.waited(asked.elapsed());
            pace.brought(chunk.len() as u64);
            // The wait for memory is not the client's.
            self.cover(&mut memory, growing.fits(&chunk)?).await?;
            growing.push(chunk);
        }
    }

    /// Takes memory until it is enough for `length` bytes. Bodies that are half there may have all of it and wait for each other: then
    /// the one that has waited longest gives up what it has, and the others go on.
    async fn cover(&self, memory: &mut Memory, length: usize) -> Result<(), Problem> {
        let wanted = length.div_ceil(STEP) * (STEP >> 10);
        let more = wanted.saturating_sub(memory.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        if more == 0 {
            return Ok(());
        }
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let acquired = match timeout(self.uploads.memory_time, self.memory.clone().acquire_many_owned(more)).await {
            Ok(Ok(acquired)) => acquired,
            _ => self.give_up(memory, more)?,
        };
        match &mut memory.0 {
            Some(held) => held.merge(acquired),
            None => memory.0 = Some(acquired),
        }
        Ok(())
    }

    /// Gives up what is held, unless somebody else has just done so and that is enough: of several that have waited equally long, not
    /// all fail.
    fn give_up(&self, memory: &mut Memory, more: u32) -> Result<OwnedSemaphorePermit, Problem> {
        let _one = self.retreat.lock().unwrap_or_else(PoisonError::into_inner);
        self.memory.clone().try_acquire_many_owned(more).map_err(|_| {
            *memory = Memory::default();
            Problem::Unavailable("too many large requests at once".to_owned(), 5)
        })
    }
}

/// Bytes that are covered at a time: with the default settings, as many clients as there may be connections have to send something
/// before the memory is all taken.
const STEP: usize = 16 << 10;

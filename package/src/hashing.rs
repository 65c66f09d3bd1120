//! Readers that look at what passes through them.

use crate::compression::LimitReached;
use attest::Hash;
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::io::{self, Read};

/// Hashes and counts what passes, and stops at a limit.
pub(crate) struct Hashing<R> {
    inner: R,
    hash: Sha256,
    size: u64,
    limit: u64,
}

impl<R: Read> Hashing<R> {
    /// Nothing has passed yet; more than `limit` bytes are an error ([`LimitReached`]).
    pub(crate) fn new(inner: R, limit: u64) -> Self {
        Self { inner, hash: Sha256::new(), size: 0, limit }
    }

    /// Bytes that passed, and their SHA-256.
    pub(crate) fn finish(self) -> (u64, Hash) {
        (self.size, Hash::new(self.hash.finalize().into()))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.size += read as u64;
        if self.size > self.limit {
            return Err(io::Error::other(LimitReached { limit: self.limit }));
        }
        Ok(read)
    }
}

/// Counts what passes where others can see it.
pub(crate) struct Counted<'a, R> {
    inner: R,
    count: &'a Cell<u64>,
}

impl<'a, R: Read> Counted<'a, R> {
    /// Adds to `count`.
    pub(crate) fn new(inner: R, count: &'a Cell<u64>) -> Self {
        Self { inner, count }
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.set(self.count.get() + read as u64);
        Ok(read)
    }
}

//! Readers that look at what passes through them.

use crate::compression::LimitReached;
use attest::Hash;
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::io::{self, BufRead, Read};

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

/// Refuses to hand out more than the compressed input that was read so far can be worth.
pub(crate) struct Bounded<'a, R> {
    inner: R,
    read: &'a Cell<u64>,
    ratio: u64,
    unpacked: u64,
}

impl<'a, R: Read> Bounded<'a, R> {
    /// `read` counts the compressed bytes; at most `ratio` times as many come out, beyond the first 64 MiB.
    pub(crate) fn new(inner: R, read: &'a Cell<u64>, ratio: u64) -> Self {
        Self { inner, read, ratio, unpacked: 0 }
    }

    /// What is read from.
    pub(crate) fn get_mut(&mut self) -> &mut R {
        &mut self.inner
    }
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.unpacked += read as u64;
        let limit = RATIO_FLOOR.saturating_add(self.read.get().saturating_mul(self.ratio));
        if self.unpacked > limit { Err(io::Error::other(LimitReached { limit })) } else { Ok(read) }
    }
}

/// Hashes exactly what is consumed, so that what a decoder leaves behind is not counted.
pub(crate) struct HashingBuffer<B> {
    inner: B,
    hash: Sha256,
    consumed: u64,
}

impl<B: BufRead> HashingBuffer<B> {
    /// Nothing was consumed yet.
    pub(crate) fn new(inner: B) -> Self {
        Self { inner, hash: Sha256::new(), consumed: 0 }
    }

    /// SHA-256 of what was consumed, and how many bytes that was.
    pub(crate) fn finish(self) -> (Hash, u64) {
        (Hash::new(self.hash.finalize().into()), self.consumed)
    }
}

impl<B: BufRead> Read for HashingBuffer<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let read = available.len().min(buffer.len());
        buffer[..read].copy_from_slice(&available[..read]);
        self.consume(read);
        Ok(read)
    }
}

impl<B: BufRead> BufRead for HashingBuffer<B> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Ok(available) = self.inner.fill_buf() {
            self.hash.update(&available[..amount.min(available.len())]);
            self.consumed += amount as u64;
        }
        self.inner.consume(amount);
    }
}

/// A payload may always unpack to this much, however well it was compressed.
pub(crate) const RATIO_FLOOR: u64 = 64 << 20;

//! A store that fails on purpose: the n-th call, before or after it took effect.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Store, Swap};

/// When the chosen call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The call does nothing and fails.
    Before,
    /// The call takes effect and fails all the same, as when an answer is lost.
    After,
}

/// Wraps a store and fails call number `fail_at` (from 0) and every call after it, as a process does that ends there.
#[derive(Debug)]
pub struct Faulty<S> {
    inner: S,
    fail_at: u64,
    when: When,
    calls: AtomicU64,
}

impl<S: Store> Faulty<S> {
    /// `fail_at = u64::MAX` never fails and only counts.
    pub fn new(inner: S, fail_at: u64, when: When) -> Self {
        Self { inner, fail_at, when, calls: AtomicU64::new(0) }
    }

    /// The calls made so far, failed ones included.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Whether the chosen call has been reached.
    pub fn has_failed(&self) -> bool {
        self.calls() > self.fail_at
    }

    fn call<T>(&self, effect: impl FnOnce(&S) -> io::Result<T>) -> io::Result<T> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        if number < self.fail_at {
            return effect(&self.inner);
        }
        if number == self.fail_at && self.when == When::After {
            effect(&self.inner)?;
        }
        Err(io::Error::other(format!("injected failure at store call {number}")))
    }
}

impl<S: Store> Store for Faulty<S> {
    fn get(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        self.call(|store| store.get(key))
    }
    fn put(&self, key: &str, value: &[u8]) -> io::Result<()> {
        self.call(|store| store.put(key, value))
    }
    fn put_all(&self, objects: &[(String, Vec<u8>)]) -> io::Result<()> {
        // Object by object, so that a round can also be cut in its middle.
        objects.iter().try_for_each(|(key, value)| self.put(key, value))
    }
    fn swap(&self, key: &str, old: Option<&[u8]>, new: &[u8]) -> io::Result<Swap> {
        self.call(|store| store.swap(key, old, new))
    }
    fn rewrite(&self, key: &str) -> io::Result<()> {
        self.call(|store| store.rewrite(key))
    }
    fn discard(&self, key: &str) -> io::Result<()> {
        self.call(|store| store.discard(key))
    }
    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        self.call(|store| store.list(prefix))
    }
}

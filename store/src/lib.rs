//! Bytes under keys: the one small door through which the log and the witness keep what must not be lost.
//!
//! A key is a relative path of plain names (`tile/0/x001/067.p/5`). Objects are written once ([`Store::put`]) or replaced under a
//! comparison ([`Store::swap`]); nothing else changes an object. Absence is `None`, and an error is never read as absence: taking a
//! read error for "no state yet" is how a log comes to sign a second history.
//!
//! The trait is blocking because files block; whoever is asynchronous calls it from a thread made for that.

mod calls;
mod directory;
pub mod disk;
mod faulty;
mod lock;
mod memory;
mod reader;

use std::io;

pub use calls::{Call, Watch};
pub use directory::Directory;
pub use faulty::{Faulty, When};
pub use lock::Lock;
pub use memory::Memory;
pub use reader::Reader;

/// How a swap ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The new value is in place and durable.
    Done,
    /// The stored value was not the expected one; nothing changed.
    Conflict,
}

/// A store of objects under slash-separated keys.
///
/// Every method that writes returns `Ok` only when what it wrote survives a power cut. After an `Err` the effect is unknown: the
/// object may be there, durable or not.
pub trait Store: Send + Sync {
    /// The object; `None` means absent and only that.
    fn get(&self, key: &str) -> io::Result<Option<Vec<u8>>>;

    /// [`Store::get`] into memory that is there: replaces what `into` holds; `false` means absent and only that. After an `Err`
    /// it holds anything.
    fn read_into(&self, key: &str, into: &mut Vec<u8>) -> io::Result<bool> {
        into.clear();
        let found = self.get(key)?;
        into.extend_from_slice(found.as_deref().unwrap_or_default());
        Ok(found.is_some())
    }

    /// Writes an object once. The same bytes again are fine and are made durable again; other bytes are an error of kind
    /// [`io::ErrorKind::AlreadyExists`], and the stored ones stay.
    fn put(&self, key: &str, value: &[u8]) -> io::Result<()>;

    /// [`Store::put`] of these pieces one after the other, for those who would have to put them together first.
    fn put_pieces(&self, key: &str, pieces: &[&[u8]]) -> io::Result<()> {
        self.put(key, &pieces.concat())
    }

    /// [`Store::put`] for all the objects of one round, each as bytes under its key. After an `Err` any of them may be there.
    fn put_all(&self, objects: &[(String, Vec<u8>)]) -> io::Result<()>;

    /// Replaces `old` (`None`: absent) by `new`, atomically. One process may swap at a time: hold a [`Lock`].
    fn swap(&self, key: &str, old: Option<&[u8]>, new: &[u8]) -> io::Result<Swap>;

    /// Writes the object's bytes again, to new storage: after a failed fsync a page cache shows bytes that the disk may not have,
    /// and syncing the old file once more proves nothing. An absent object is an error of kind [`io::ErrorKind::NotFound`].
    fn rewrite(&self, key: &str) -> io::Result<()>;

    /// Removes an object that is no longer needed; absent is fine. A power cut may bring it back. The name of a folder removes
    /// that folder if nothing is in it.
    fn discard(&self, key: &str) -> io::Result<()>;

    /// The keys below `prefix` (a key's leading names, without a final slash; empty for all), in byte order.
    fn list(&self, prefix: &str) -> io::Result<Vec<String>>;
}

impl<S: Store + ?Sized> Store for std::sync::Arc<S> {
    fn get(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        (**self).get(key)
    }
    fn read_into(&self, key: &str, into: &mut Vec<u8>) -> io::Result<bool> {
        (**self).read_into(key, into)
    }
    fn put(&self, key: &str, value: &[u8]) -> io::Result<()> {
        (**self).put(key, value)
    }
    fn put_pieces(&self, key: &str, pieces: &[&[u8]]) -> io::Result<()> {
        (**self).put_pieces(key, pieces)
    }
    fn put_all(&self, objects: &[(String, Vec<u8>)]) -> io::Result<()> {
        (**self).put_all(objects)
    }
    fn swap(&self, key: &str, old: Option<&[u8]>, new: &[u8]) -> io::Result<Swap> {
        (**self).swap(key, old, new)
    }
    fn rewrite(&self, key: &str) -> io::Result<()> {
        (**self).rewrite(key)
    }
    fn discard(&self, key: &str) -> io::Result<()> {
        (**self).discard(key)
    }
    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        (**self).list(prefix)
    }
}

/// Free bytes, for users without privileges, on the file system that `path` is on.
///
/// # Errors
/// What the system answers.
pub fn free_space(path: &std::path::Path) -> io::Result<u64> {
    let answer = rustix::fs::statvfs(path)?;
    Ok(answer.f_bavail.saturating_mul(answer.f_frsize))
}

/// Refuses keys that are not relative paths of plain names: no empty name, none that begins with a dot, no byte outside
/// `[A-Za-z0-9._-]`, at most 255 bytes in all.
fn check_key(key: &str) -> io::Result<()> {
    let plain = |name: &str| {
        !name.is_empty() && !name.starts_with('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    if key.len() <= 255 && key.split('/').all(plain) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("not a store key: {key:?}")))
}

/// The error for a second put with other bytes.
fn differs(key: &str) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, format!("object {key} exists with other bytes"))
}

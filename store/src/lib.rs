//! Bytes under keys. (stub)
use std::io;

/// How a swap ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The new value is in place and durable.
    Done,
    /// The stored value was not the expected one; nothing changed.
    Conflict,
}

/// A store of objects under slash-separated keys.
pub trait Store: Send + Sync {
    /// The object; `None` means absent and only that: an error is never read as absent.
    fn get(&self, key: &str) -> io::Result<Option<Vec<u8>>>;
    /// Writes an object once and durably. The same bytes again are fine; other bytes are an error of kind `AlreadyExists`.
    fn put(&self, key: &str, value: &[u8]) -> io::Result<()>;
    /// Writes many objects durably with few fsyncs; on an error any of them may be there.
    fn put_all(&self, objects: &[(String, Vec<u8>)]) -> io::Result<()>;
    /// Replaces `old` (`None`: absent) by `new`, durably and atomically. An `Err` means that the result is unknown.
    fn swap(&self, key: &str, old: Option<&[u8]>, new: &[u8]) -> io::Result<Swap>;
    /// Writes the object's bytes again to a new inode and fsyncs file and directory: after a failed fsync the page cache proves nothing.
    fn rewrite(&self, key: &str) -> io::Result<()>;
    /// Removes a staged or superseded object; absent is fine.
    fn discard(&self, key: &str) -> io::Result<()>;
    /// Keys under `prefix/`, in order.
    fn list(&self, prefix: &str) -> io::Result<Vec<String>>;
}

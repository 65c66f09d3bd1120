//! Memory for objects on their way to a client, used again: an allocator that keeps a heap for each thread holds on to what one
//! thread allocates, as those do that read, and another one frees, as those do that answer.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;

/// Idle buffers, a bounded number of bounded ones.
#[derive(Default)]
pub struct Buffers {
    idle: Mutex<Vec<Vec<u8>>>,
}

/// A buffer that comes back when nobody reads it any more.
pub struct Lent {
    bytes: Vec<u8>,
    home: Arc<Buffers>,
}

impl Buffers {
    /// An empty buffer.
    pub fn lend(self: &Arc<Self>) -> Lent {
        let mut bytes = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        bytes.clear();
        Lent { bytes, home: self.clone() }
    }
}

impl Lent {
    /// What it holds.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// What it holds, for whoever sends it.
    pub fn send(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut idle = self.home.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.capacity() <= LARGEST && idle.len() < MOST {
            idle.push(bytes);
        }
    }
}

/// Most buffers that wait, and the most bytes that one of them may have: the answer to a batch of 1,000 fits, and bundles do.
const MOST: usize = 16;
const LARGEST: usize = 2 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_unless_they_are_too_large_or_too_many() {
        let buffers = Arc::new(Buffers::default());
        let idle = |buffers: &Buffers| buffers.idle.lock().unwrap().iter().map(Vec::capacity).collect::<Vec<_>>();
        let mut lent = buffers.lend();
        lent.bytes().extend_from_slice(b"an object");
        let sent = lent.send();
        let second = sent.clone();
        drop(sent);
        assert!(idle(&buffers).is_empty(), "somebody reads it still");
        assert_eq!(&second[..], b"an object");
        drop(second);
        assert_eq!(idle(&buffers).len(), 1);
        let mut large = buffers.lend();
        large.bytes().reserve_exact(LARGEST + 1);
        drop(large);
        assert!(idle(&buffers).is_empty());
        drop((0..MOST + 5).map(|_| buffers.lend()).collect::<Vec<_>>());
        assert_eq!(idle(&buffers).len(), MOST);
    }
}

//! An answer of the API, read as it comes by code that blocks.

use std::io::{self, Read};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Instant, timeout_at};

/// Blocking reads over a stream of bytes; at most a few chunks are in memory. Read it outside of the asynchronous runtime's own
/// threads (`spawn_blocking`). Dropping it ends the transfer.
pub struct StreamReader {
    chunks: Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl StreamReader {
    /// The bytes of a stream, which breaks off with an error if they have not all come within `limit`.
    pub(super) fn new(stream: impl Stream<Item = Result<Bytes, bollard::errors::Error>> + Send + 'static, limit: Duration) -> Self {
        let (sender, chunks) = channel(16);
        let deadline = Instant::now() + limit;
        tokio::spawn(async move {
            let mut stream = std::pin::pin!(stream);
            loop {
                let chunk = match timeout_at(deadline, stream.next()).await {
                    Ok(None) => return,
                    Ok(Some(chunk)) => chunk.map_err(|error| io::Error::other(error.to_string())),
                    Err(_) => Err(io::ErrorKind::TimedOut.into()),
                };
                let is_last = chunk.is_err();
                if sender.send(chunk).await.is_err() || is_last {
                    return;
                }
            }
        });
        Self { chunks, current: Bytes::new() }
    }
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.chunks.blocking_recv() {
                Some(Ok(chunk)) => self.current = chunk,
                Some(Err(error)) => return Err(error),
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_that_never_ends_breaks_off() {
        let endless = futures_util::stream::once(async { Ok(Bytes::from_static(b"x")) }).chain(futures_util::stream::pending());
        let mut reader = StreamReader::new(endless, Duration::from_millis(50));
        let read = tokio::task::spawn_blocking(move || (reader.read(&mut [0; 8]), reader.read(&mut [0; 8]))).await.unwrap();
        assert_eq!((read.0.unwrap(), read.1.unwrap_err().kind()), (1, io::ErrorKind::TimedOut));
    }
}

//! An answer of the API, read as it comes by code that blocks.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc::{Receiver, channel};

/// Blocking reads over a stream of bytes; at most a few chunks are in memory. Read it outside of the asynchronous runtime's own
/// threads (`spawn_blocking`). Dropping it ends the transfer.
pub struct StreamReader {
    chunks: Receiver<Result<Bytes, bollard::errors::Error>>,
    current: Bytes,
}

impl StreamReader {
    pub(super) fn new(stream: impl Stream<Item = Result<Bytes, bollard::errors::Error>> + Send + 'static) -> Self {
        let (sender, chunks) = channel(16);
        tokio::spawn(async move {
            let mut stream = std::pin::pin!(stream);
            while let Some(chunk) = stream.next().await {
                if sender.send(chunk).await.is_err() {
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
                Some(Err(error)) => return Err(io::Error::other(error.to_string())),
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

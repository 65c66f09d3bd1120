//! Request bodies: the limit stands before the first byte is read, and a time after which nobody waits for more.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::HttpBody;
use axum::http::Request;
use axum::http::header;
use bytes::{Bytes, BytesMut};

use super::Problem;

/// The body, of at most `limit` bytes, if it comes within `time`. For small ones: those that may be large go through `intake`.
pub async fn read<B: HttpBody<Data = Bytes> + Unpin>(request: Request<B>, limit: usize, time: Duration) -> Result<Bytes, Problem> {
    let expected = announced(&request, limit)?;
    tokio::time::timeout(time, collect(request.into_body(), expected, limit)).await.map_err(|_| Problem::Slow)?
}

/// What the request says of its body's length.
pub fn length<B>(request: &Request<B>) -> Option<usize> {
    request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok())
}

/// The same, 0 if it says nothing; refused where it is more than `limit`.
pub fn announced<B>(request: &Request<B>, limit: usize) -> Result<usize, Problem> {
    let length = length(request).unwrap_or(0);
    if length > limit { Err(Problem::TooLarge(limit)) } else { Ok(length) }
}

async fn collect<B: HttpBody<Data = Bytes> + Unpin>(mut body: B, expected: usize, limit: usize) -> Result<Bytes, Problem> {
    let mut growing = Growing::new(expected, limit);
    while let Some(chunk) = next(&mut body).await? {
        growing.fits(&chunk)?;
        growing.push(chunk);
    }
    Ok(growing.whole())
}

/// The next piece of a body.
pub async fn next<B: HttpBody<Data = Bytes> + Unpin>(body: &mut B) -> Result<Option<Bytes>, Problem> {
    while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        let frame = frame.map_err(|_| Problem::Malformed("the body was cut short".to_owned()))?;
        // What is no data is a trailer, and nobody reads those.
        if let Ok(chunk) = frame.into_data() {
            return Ok(Some(chunk));
        }
    }
    Ok(None)
}

/// A body while it comes. One in a single piece, as small ones are, is not copied.
pub struct Growing {
    first: Bytes,
    all: BytesMut,
    expected: usize,
    limit: usize,
}

impl Growing {
    /// Nothing yet, of a body that is announced as so long.
    pub fn new(expected: usize, limit: usize) -> Self {
        Self { first: Bytes::new(), all: BytesMut::new(), expected, limit }
    }

    /// The length with one more piece, if that is not too long.
    pub fn fits(&self, chunk: &Bytes) -> Result<usize, Problem> {
        let length = self.first.len() + self.all.len() + chunk.len();
        if length > self.limit { Err(Problem::TooLarge(self.limit)) } else { Ok(length) }
    }

    /// Takes one more piece.
    pub fn push(&mut self, chunk: Bytes) {
        if self.first.is_empty() && self.all.is_empty() {
            self.first = chunk;
            return;
        }
        let more = self.first.len() + chunk.len();
        if self.all.capacity() - self.all.len() < more {
            // As much as is announced, but not much more than has come: whoever announces much may send nothing.
            let ahead = self.expected.saturating_sub(self.all.len()).min(PREPARED.max(3 * self.all.len()));
            self.all.reserve(ahead.max(more));
        }
        self.all.extend_from_slice(&std::mem::take(&mut self.first));
        self.all.extend_from_slice(&chunk);
    }

    /// What has come.
    pub fn whole(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}

/// `?wait=SECONDS`: default 30, at most 60.
pub fn wait(query: Option<&str>) -> Result<Duration, Problem> {
    let refuse = || Problem::Malformed("the query is not wait=SECONDS with at most 60 seconds".to_owned());
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(DEFAULT_WAIT) };
    let seconds = query.strip_prefix("wait=").and_then(|text| text.parse::<u64>().ok()).ok_or_else(refuse)?;
    if seconds > MAX_WAIT { Err(refuse()) } else { Ok(Duration::from_secs(seconds)) }
}

/// Longest time for the body of an entry.
pub const ENTRY_TIME: Duration = Duration::from_secs(20);
/// Wait for publication where the request says nothing.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(30);
const MAX_WAIT: u64 = 60;
/// Bytes that are made ready for a body of which little has come.
const PREPARED: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_grow_with_what_comes() {
        let mut growing = Growing::new(64 << 20, 64 << 20);
        let pieces: u8 = 200;
        for piece in 0..pieces {
            let chunk = Bytes::from(vec![piece; 64 << 10]);
            assert_eq!(growing.fits(&chunk), Ok((usize::from(piece) + 1) << 16));
            growing.push(chunk);
            assert!(growing.all.capacity() <= 4 * (PREPARED + growing.all.len()), "after {piece} pieces");
        }
        let whole = growing.whole();
        assert_eq!(whole.len(), usize::from(pieces) << 16);
        assert!(whole.chunks(64 << 10).zip(0..).all(|(chunk, piece)| chunk.first() == Some(&piece) && chunk.last() == Some(&piece)));
        let unannounced = Growing::new(0, 2);
        assert_eq!(unannounced.fits(&Bytes::from_static(b"abc")), Err(Problem::TooLarge(2)));
    }

    #[test]
    fn waits_are_whole_seconds_up_to_a_minute() {
        assert_eq!(wait(None), Ok(DEFAULT_WAIT));
        assert_eq!(wait(Some("wait=0")), Ok(Duration::ZERO));
        assert_eq!(wait(Some("wait=60")), Ok(Duration::from_secs(60)));
        for query in ["wait=61", "wait=-1", "wait=1.5", "wait=", "weight=3"] {
            assert!(matches!(wait(Some(query)), Err(Problem::Malformed(_))), "{query}");
        }
    }
}

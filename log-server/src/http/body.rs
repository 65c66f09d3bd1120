//! Request bodies: the limit stands before the first byte is read, and a time after which nobody waits for more.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::HttpBody;
use axum::http::Request;
use axum::http::header;
use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Problem;

/// The body, of at most `limit` bytes, if it comes within `time`.
pub async fn read<B: HttpBody<Data = Bytes> + Unpin>(request: Request<B>, limit: usize, time: Duration) -> Result<Bytes, Problem> {
    if length(&request).is_some_and(|length| length > limit) {
        return Err(Problem::TooLarge(limit));
    }
    let expected = length(&request).unwrap_or(0);
    tokio::time::timeout(time, collect(request.into_body(), expected, limit)).await.map_err(|_| Problem::Slow)?
}

/// What the request says of its body's length.
pub fn length<B>(request: &Request<B>) -> Option<usize> {
    request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok())
}

async fn collect<B: HttpBody<Data = Bytes> + Unpin>(mut body: B, expected: usize, limit: usize) -> Result<Bytes, Problem> {
    let mut all = BytesMut::new();
    let mut first = Bytes::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|_| Problem::Malformed("the body was cut short".to_owned()))?;
        // What is no data is a trailer, and nobody reads those.
        let Ok(chunk) = frame.into_data() else { continue };
        if first.len() + all.len() + chunk.len() > limit {
            return Err(Problem::TooLarge(limit));
        }
        // A body in one piece, as small ones are, is not copied.
        if first.is_empty() && all.is_empty() {
            first = chunk;
            continue;
        }
        if all.is_empty() {
            // As much as it says, and not twice as much after a few doublings; nothing is touched before it comes.
            all.reserve(expected.max(first.len() + chunk.len()));
        }
        all.extend_from_slice(&std::mem::take(&mut first));
        all.extend_from_slice(&chunk);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// `?wait=SECONDS`: default 30, at most 60.
pub fn wait(query: Option<&str>) -> Result<Duration, Problem> {
    let refuse = || Problem::Malformed("the query is not wait=SECONDS with at most 60 seconds".to_owned());
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(DEFAULT_WAIT) };
    let seconds = query.strip_prefix("wait=").and_then(|text| text.parse::<u64>().ok()).ok_or_else(refuse)?;
    if seconds > MAX_WAIT { Err(refuse()) } else { Ok(Duration::from_secs(seconds)) }
}

/// Takes the memory for a large body before it is read; held until the answer is made.
pub async fn reserve(memory: &Arc<Semaphore>, length: Option<usize>, limit: usize) -> Result<OwnedSemaphorePermit, Problem> {
    let kibibytes = u32::try_from(length.unwrap_or(limit).min(limit) / 1024 + 1).unwrap_or(u32::MAX);
    let busy = || Problem::Unavailable("too many large requests at once".to_owned(), 5);
    let permit = tokio::time::timeout(RESERVE_TIME, memory.clone().acquire_many_owned(kibibytes)).await.map_err(|_| busy())?;
    permit.map_err(|_| busy())
}

/// Longest time for the body of an entry.
pub const ENTRY_TIME: Duration = Duration::from_secs(20);
/// Wait for publication where the request says nothing.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(30);
/// Longest time for a manifest or a batch.
pub const LARGE_TIME: Duration = Duration::from_secs(120);
/// Memory for the bodies of large requests, in KiB: two of the largest manifests.
pub const MEMORY_KIB: usize = 2 * (64 << 10) + 2;
const MAX_WAIT: u64 = 60;
/// Longest wait for memory.
const RESERVE_TIME: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

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

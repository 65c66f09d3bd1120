//! Refusals that arrive. A large request is often refused before its body is read; closing the connection then resets it, and a
//! client in the middle of sending sees the reset and never the reason. So what is left of a refused body is taken in and forgotten,
//! within limits, while the answer is on its way.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header;
use futures_util::StreamExt as _;
use hyper::body::Frame;
use tokio::runtime::Handle;

/// The request, with its body to be drained if nobody reads it to the end. Small bodies are left alone: they are in the socket's
/// buffer already. So are those of clients that ask first (`Expect`): they have not begun to send.
pub fn drained(request: Request) -> Request {
    if is_small(&request) || request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return request;
    }
    request.map(|body| Body::new(Drained(body)))
}

/// Whether a body is known to be so small that it is in the socket's buffer already.
pub fn is_small<B>(request: &axum::http::Request<B>) -> bool {
    super::body::length(request).is_some_and(|length| length <= SMALL)
}

struct Drained(Body);

impl HttpBody for Drained {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        let rest = std::mem::take(&mut self.0);
        // Outside the runtime the server is ending, and nobody waits for an answer.
        if let Ok(runtime) = Handle::try_current()
            && !rest.is_end_stream()
        {
            runtime.spawn(async { tokio::time::timeout(LONGEST, forget(rest)).await });
        }
    }
}

async fn forget(body: Body) {
    let mut left = MOST;
    let mut stream = body.into_data_stream();
    while let Some(Ok(chunk)) = stream.next().await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// Bodies up to this size, in bytes, fit into a socket's buffers.
const SMALL: usize = 64 << 10;
/// Most bytes that are taken in for nothing: twice the largest manifest.
const MOST: usize = 128 << 20;
/// Longest time for that.
const LONGEST: Duration = Duration::from_secs(10);

//! The body of an upload as it comes in: parsed piece by piece, so that no more than a package of it is held unread.

use std::io::Write as _;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, header};
use flate2::write::MultiGzDecoder;
use futures_util::StreamExt as _;
use tlog::mirror::{Malformed, Package, Span, Upload};

use super::copy::Piece;

/// How long a client may be silent.
const SILENCE: Duration = Duration::from_secs(10);
/// Compressed bytes that are expanded at a time: at most 4 MiB come of them.
const SLICE: usize = 4 << 10;

/// The rest of a body.
pub struct Incoming {
    stream: BodyDataStream,
    /// Bytes that came in and have not been taken.
    here: Vec<u8>,
    /// Of a chunk that came in: what has not been expanded.
    packed: Vec<u8>,
    gzip: Option<MultiGzDecoder<Vec<u8>>>,
    has_ended: bool,
}

/// The body is in an encoding that is not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEncoding;

impl Incoming {
    /// A body, plain or as gzip.
    ///
    /// # Errors
    /// See [`UnknownEncoding`].
    pub fn new(headers: &HeaderMap, body: Body) -> Result<Self, UnknownEncoding> {
        let gzip = match headers.get(header::CONTENT_ENCODING).map(axum::http::HeaderValue::as_bytes) {
            None | Some(b"identity") => None,
            Some(b"gzip") => Some(MultiGzDecoder::new(Vec::new())),
            Some(_) => return Err(UnknownEncoding),
        };
        Ok(Self { stream: body.into_data_stream(), here: Vec::new(), packed: Vec::new(), gzip, has_ended: false })
    }

    /// The head.
    ///
    /// # Errors
    /// If the body is malformed or ends inside it.
    pub async fn head(&mut self) -> Result<Upload, Malformed> {
        loop {
            if let Some((upload, length)) = Upload::parse(&self.here)? {
                self.here.drain(..length);
                return Ok(upload);
            }
            if !self.more().await {
                return Err(Malformed);
            }
        }
    }

    /// The next package; `None` if the body ends before it is whole: what is left of it counts as nothing.
    ///
    /// # Errors
    /// If it is malformed.
    pub async fn package(&mut self, span: Span) -> Result<Option<Piece>, Malformed> {
        loop {
            if let Some((package, length)) = Package::parse(&self.here, span.count())? {
                let entries = package.entries.into_iter().map(<[u8]>::to_vec).collect();
                let piece = Piece { span, entries, proof: package.proof };
                self.here.drain(..length);
                return Ok(Some(piece));
            }
            if !self.more().await {
                return Ok(None);
            }
        }
    }

    /// Whether nothing follows.
    pub async fn is_over(&mut self) -> bool {
        self.here.is_empty() && !self.more().await
    }

    /// Takes in more bytes; `false` at the end, and where the client says nothing more or nothing that can be read.
    async fn more(&mut self) -> bool {
        let before = self.here.len();
        while self.here.len() == before {
            if self.has_ended {
                return false;
            }
            if self.packed.is_empty() {
                match tokio::time::timeout(SILENCE, self.stream.next()).await {
                    Ok(Some(Ok(chunk))) if self.gzip.is_none() => self.here.extend_from_slice(&chunk),
                    Ok(Some(Ok(chunk))) => self.packed = chunk.to_vec(),
                    Ok(None) => self.finish(),
                    Ok(Some(Err(_))) | Err(_) => self.has_ended = true,
                }
            }
            self.expand();
        }
        true
    }

    fn expand(&mut self) {
        let Some(gzip) = &mut self.gzip else { return };
        let slice = self.packed.drain(..self.packed.len().min(SLICE)).collect::<Vec<u8>>();
        if gzip.write_all(&slice).is_err() {
            self.has_ended = true;
        }
        self.here.append(gzip.get_mut());
    }

    /// What the decoder still holds comes out at the end.
    fn finish(&mut self) {
        self.has_ended = true;
        if let Some(gzip) = &mut self.gzip
            && gzip.try_finish().is_ok()
        {
            self.here.append(gzip.get_mut());
        }
    }
}

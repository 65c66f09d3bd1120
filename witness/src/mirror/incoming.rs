//! The body of an upload as it comes in: parsed piece by piece, so that no more than a package of it is held unread.

use std::io::Write as _;
use std::time::Instant;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, header};
use flate2::write::MultiGzDecoder;
use futures_util::StreamExt as _;
use tlog::mirror::{Malformed, Package, Span, Upload};

use super::copy::Piece;
use super::patience::{Patience, Uploading};

/// Compressed bytes that are expanded at a time: at most 4 MiB come of them.
const SLICE: usize = 4 << 10;
/// The same while the head is read, which needs no place: at most 64 KiB come of them.
const HEAD_SLICE: usize = 64;

/// The rest of a body.
pub struct Incoming {
    stream: BodyDataStream,
    /// Bytes that came in, of which so many have been taken.
    here: Vec<u8>,
    taken: usize,
    /// Of a chunk that came in: what has not been expanded.
    packed: Bytes,
    gzip: Option<MultiGzDecoder<Vec<u8>>>,
    slice: usize,
    has_ended: bool,
    patience: Patience,
    pace: Uploading,
}

/// The body is in an encoding that is not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEncoding;

/// Why nothing more is read of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It is not as specified.
    Malformed,
    /// Its client is silent or slow.
    Slow,
}

impl From<Malformed> for Broken {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl Incoming {
    /// A body, plain or as gzip.
    ///
    /// # Errors
    /// See [`UnknownEncoding`].
    pub fn new(headers: &HeaderMap, body: Body, patience: Patience) -> Result<Self, UnknownEncoding> {
        let gzip = match headers.get(header::CONTENT_ENCODING).map(axum::http::HeaderValue::as_bytes) {
            None | Some(b"identity") => None,
            Some(b"gzip") => Some(MultiGzDecoder::new(Vec::new())),
            Some(_) => return Err(UnknownEncoding),
        };
        Ok(Self {
            stream: body.into_data_stream(),
            here: Vec::new(),
            taken: 0,
            packed: Bytes::new(),
            gzip,
            slice: HEAD_SLICE,
            has_ended: false,
            patience,
            pace: Uploading::new(patience),
        })
    }

    /// The head.
    ///
    /// # Errors
    /// If the body is malformed, ends inside it, or takes too long.
    pub async fn head(&mut self) -> Result<Upload, Broken> {
        let read = tokio::time::timeout(self.patience.head, self.read_head()).await;
        self.slice = SLICE;
        read.unwrap_or(Err(Broken::Slow))
    }

    async fn read_head(&mut self) -> Result<Upload, Broken> {
        loop {
            if let Some((upload, length)) = Upload::parse(self.unread())? {
                self.taken += length;
                return Ok(upload);
            }
            if !self.more().await? {
                return Err(Broken::Malformed);
            }
        }
    }

    /// The next package; `None` if the body ends before it is whole: what is left of it counts as nothing.
    ///
    /// # Errors
    /// If it is malformed, or takes too long.
    pub async fn package(&mut self, span: Span) -> Result<Option<Piece>, Broken> {
        loop {
            if let Some((package, length)) = Package::parse(self.unread(), span.count())? {
                let entries = package.entries.into_iter().map(<[u8]>::to_vec).collect();
                let piece = Piece { span, entries, proof: package.proof };
                self.taken += length;
                return Ok(Some(piece));
            }
            if !self.more().await? {
                return Ok(None);
            }
        }
    }

    /// Whether nothing follows.
    ///
    /// # Errors
    /// If it takes too long to know.
    pub async fn is_over(&mut self) -> Result<bool, Broken> {
        Ok(self.unread().is_empty() && !self.more().await?)
    }

    fn unread(&self) -> &[u8] {
        &self.here[self.taken..]
    }

    /// Takes in more bytes; `false` at the end, and where nothing more can be read.
    async fn more(&mut self) -> Result<bool, Broken> {
        // Here alone, and not with each package: what is left is moved once for all that were taken.
        self.here.drain(..std::mem::take(&mut self.taken));
        let before = self.here.len();
        while self.here.len() == before {
            if self.has_ended {
                return Ok(false);
            }
            if self.packed.is_empty() {
                self.receive().await?;
            }
            self.expand();
        }
        Ok(true)
    }

    async fn receive(&mut self) -> Result<(), Broken> {
        let asked = Instant::now();
        let came = tokio::time::timeout(self.pace.next_within(), self.stream.next()).await;
        self.pace.waited(asked.elapsed());
        match came {
            Ok(Some(Ok(chunk))) => self.packed = chunk,
            Ok(Some(Err(_))) => self.has_ended = true,
            Ok(None) => self.finish(),
            Err(_) => {
                self.has_ended = true;
                return Err(Broken::Slow);
            }
        }
        Ok(())
    }

    fn expand(&mut self) {
        let before = self.here.len();
        let most = if self.gzip.is_some() { self.slice } else { usize::MAX };
        let slice = self.packed.split_to(self.packed.len().min(most));
        match &mut self.gzip {
            None => self.here.extend_from_slice(&slice),
            Some(gzip) => {
                if gzip.write_all(&slice).is_err() {
                    self.has_ended = true;
                }
                self.here.append(gzip.get_mut());
            }
        }
        self.pace.brought(slice.len(), self.here.len() - before);
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

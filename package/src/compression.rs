//! Decoding streams with limits set before the first byte is decoded (`specs/deb.md`, section 2).

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Stored as it is.
    None,
    /// gzip, one member.
    Gzip,
    /// xz, one stream.
    Xz,
    /// Zstandard, one frame.
    Zstd,
}

impl Compression {
    /// From a file name's last extension, `None` for an unknown one (bz2 and lzma are not read).
    pub fn from_extension(extension: &str) -> Option<Self> {
        match extension {
            "" | "tar" => Some(Self::None),
            "gz" => Some(Self::Gzip),
            "xz" => Some(Self::Xz),
            "zst" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// A limit was met while decoding; carried inside an [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitReached {
    /// The limit in decoded bytes.
    pub limit: u64,
}

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {} bytes when decompressed", self.limit)
    }
}

impl std::error::Error for LimitReached {}

/// A decoder over one stream that yields at most `limit` bytes and then fails with [`LimitReached`].
pub struct Decoder<R: Read> {
    inner: Inner<BufReader<R>>,
    left: u64,
    limit: u64,
}

enum Inner<B: BufRead> {
    Plain(B),
    Gzip(Box<flate2::bufread::GzDecoder<B>>),
    Xz(Box<liblzma::bufread::XzDecoder<B>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, B>>),
}

impl<R: Read> Decoder<R> {
    /// Starts decoding. Memory: at most 128 MiB for xz and zstd windows, larger ones are refused.
    pub fn new(compression: Compression, reader: R, limit: u64) -> io::Result<Self> {
        let reader = BufReader::with_capacity(BUFFER, reader);
        let inner = match compression {
            Compression::None => Inner::Plain(reader),
            Compression::Gzip => Inner::Gzip(Box::new(flate2::bufread::GzDecoder::new(reader))),
            Compression::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0).map_err(io::Error::from)?;
                Inner::Xz(Box::new(liblzma::bufread::XzDecoder::new_stream(reader, stream)))
            }
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?.single_frame();
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Inner::Zstd(Box::new(decoder))
            }
        };
        Ok(Self { inner, left: limit, limit })
    }

    /// True when nothing follows the stream; call it after reading to the end.
    pub fn at_end_of_input(&mut self) -> io::Result<bool> {
        let input = match &mut self.inner {
            Inner::Plain(reader) => reader,
            Inner::Gzip(decoder) => decoder.get_mut(),
            Inner::Xz(decoder) => decoder.get_mut(),
            Inner::Zstd(decoder) => decoder.get_mut(),
        };
        Ok(input.fill_buf()?.is_empty())
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.inner {
            Inner::Plain(reader) => reader.read(buffer),
            Inner::Gzip(decoder) => decoder.read(buffer),
            Inner::Xz(decoder) => decoder.read(buffer),
            Inner::Zstd(decoder) => decoder.read(buffer),
        }?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other(LimitReached { limit: self.limit }))?;
        Ok(read)
    }
}

impl<R: Read> fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("left", &self.left).finish_non_exhaustive()
    }
}

/// Decodes a whole buffer, for indices and other small files: one stream, nothing after it, at most `limit` bytes.
pub fn decode(compression: Compression, bytes: &[u8], limit: u64) -> io::Result<Vec<u8>> {
    let mut decoder = Decoder::new(compression, bytes, limit)?;
    let mut decoded = Vec::new();
    decoder.read_to_end(&mut decoded)?;
    if decoder.at_end_of_input()? {
        Ok(decoded)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "bytes follow the compressed stream"))
    }
}

const BUFFER: usize = 64 * 1024;
/// `xz -9` needs 65 MiB to decode.
const XZ_MEMORY: u64 = 128 << 20;
const ZSTD_WINDOW_LOG: u32 = 27;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn samples(content: &[u8]) -> Vec<(Compression, Vec<u8>)> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(content).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(content).unwrap();
        vec![
            (Compression::None, content.to_vec()),
            (Compression::Gzip, gzip.finish().unwrap()),
            (Compression::Xz, xz.finish().unwrap()),
            (Compression::Zstd, zstd::encode_all(content, 1).unwrap()),
        ]
    }

    #[test]
    fn decodes_each_kind_up_to_the_limit() {
        for (kind, bytes) in samples(&[7; 1000]) {
            assert_eq!(decode(kind, &bytes, 1000).unwrap(), vec![7; 1000], "{kind:?}");
            let error = decode(kind, &bytes, 999).unwrap_err();
            assert_eq!(error.get_ref().and_then(|e| e.downcast_ref()), Some(&LimitReached { limit: 999 }), "{kind:?}");
        }
    }

    #[test]
    fn refuses_cut_and_continued_streams() {
        for (kind, bytes) in samples(&[7; 1000]).into_iter().skip(1) {
            for cut in 1..bytes.len() {
                assert!(decode(kind, &bytes[..cut], 1000).is_err(), "{kind:?} cut at {cut}");
            }
            for tail in [&b"x"[..], &[0], &bytes] {
                assert!(decode(kind, &[&bytes, tail].concat(), 5000).is_err(), "{kind:?} with a tail");
            }
        }
    }
}

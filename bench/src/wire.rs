//! HTTP/1.1 as the load generator speaks it: whole requests made beforehand, answers read up to their end and no further.
//!
//! The generator shares the machine with what it measures, so it does as little as an honest client can: one write for a
//! request, one read for most answers, no header kept.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// An answer: its status and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The whole body; empty unless it was asked for.
    pub body: Vec<u8>,
}

/// One keep-alive connection.
pub struct Connection {
    stream: TcpStream,
    /// What came so far of an answer that did not come in one piece.
    pieces: Vec<u8>,
}

thread_local! {
    /// Where answers are read to: one for all connections of the thread, since most answers come in one piece.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 << 10]);
}

impl Connection {
    /// Connects, without Nagle's delay.
    ///
    /// # Errors
    /// What the network says.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, pieces: Vec::new() })
    }

    /// Sends a whole request and reads its answer; the body is kept only `with_body`.
    ///
    /// # Errors
    /// What the network says, or if the answer is none that this client understands (no `Content-Length`).
    pub async fn ask(&mut self, request: &[u8], with_body: bool) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.pieces.clear();
        loop {
            self.stream.readable().await?;
            match SCRATCH.with_borrow_mut(|scratch| self.read(scratch, with_body)) {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn read(&mut self, scratch: &mut [u8], with_body: bool) -> io::Result<Option<Answer>> {
        let count = self.stream.try_read(scratch)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let new = scratch.get(..count).unwrap_or_default();
        if self.pieces.is_empty() {
            let answer = parse(new, with_body)?;
            if answer.is_none() {
                self.pieces.extend_from_slice(new);
            }
            return Ok(answer);
        }
        self.pieces.extend_from_slice(new);
        parse(&self.pieces, with_body)
    }
}

/// A whole request with a body.
#[must_use]
pub fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!("POST {path} HTTP/1.1\r\nHost: log\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend_from_slice(body);
    request
}

/// The answer, if it is there whole.
fn parse(bytes: &[u8], with_body: bool) -> io::Result<Option<Answer>> {
    let malformed = || io::Error::other("an answer that is not understood");
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let (head, body) = bytes.split_at(end + 4);
    let head = std::str::from_utf8(head).map_err(|_| malformed())?;
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).ok_or_else(malformed)?;
    let length = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.ok_or_else(malformed)?;
    match body.len() {
        len if len < length => Ok(None),
        len if len == length => Ok(Some(Answer { status, body: if with_body { body.to_vec() } else { Vec::new() } })),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_when_they_are_whole() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n42";
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut], true).unwrap(), None, "{cut}");
        }
        assert_eq!(parse(whole, true).unwrap(), Some(Answer { status: 200, body: b"42".to_vec() }));
        assert_eq!(parse(whole, false).unwrap(), Some(Answer { status: 200, body: Vec::new() }));
    }

    #[test]
    fn answers_of_other_kinds_are_errors() {
        for text in
            ["HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab"]
        {
            assert!(parse(text.as_bytes(), true).is_err(), "{text}");
        }
    }
}

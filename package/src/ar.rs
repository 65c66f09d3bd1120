//! The outer container of a `.deb`: a Unix `ar` archive, read strictly and once (`specs/deb.md`, section 1).

use crate::deb::Refusal;
use std::io::{self, Read};

/// A member's header: its name without padding and its size in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Name without trailing spaces and without the one trailing `/` that some writers add.
    pub name: String,
    /// Content length in bytes, padding excluded.
    pub size: u64,
}

/// Walks the members in order; `Read` gives the content of the current one.
#[derive(Debug)]
pub struct Archive<R> {
    inner: R,
    left: u64,
    padded: bool,
}

impl<R: Read> Archive<R> {
    /// Checks the magic. Errors: [`Refusal::NotAnArchive`].
    pub fn open(mut inner: R) -> Result<Self, Refusal> {
        let mut magic = [0; 8];
        if fill(&mut inner, &mut magic)? != magic.len() || &magic != MAGIC {
            return Err(Refusal::NotAnArchive);
        }
        Ok(Self { inner, left: 0, padded: false })
    }

    /// The next member, `None` at a clean end. The current one must have been read to its end.
    pub fn next_member(&mut self) -> Result<Option<Member>, Refusal> {
        if self.left != 0 {
            return Err(Refusal::Archive("the member was not read to its end"));
        }
        self.skip_padding()?;
        let mut header = [0; HEADER];
        match fill(&mut self.inner, &mut header)? {
            0 => return Ok(None),
            HEADER => {}
            _ => return Err(Refusal::Archive("trailing bytes after the last member, or a cut header")),
        }
        let member = parse_header(&header)?;
        self.left = member.size;
        self.padded = member.size % 2 == 1;
        Ok(Some(member))
    }

    /// Reads the whole current member, at most `limit` bytes of it.
    pub fn read_small(&mut self, limit: u64) -> Result<Vec<u8>, Refusal> {
        if self.left > limit {
            return Err(Refusal::TooLarge { what: "archive member", limit });
        }
        let (size, mut content) = (self.left, Vec::new());
        self.read_to_end(&mut content)?;
        if content.len() as u64 != size { Err(Refusal::Truncated) } else { Ok(content) }
    }

    /// Reads the current member to its end without keeping it.
    pub fn skip(&mut self) -> Result<(), Refusal> {
        let size = self.left;
        if io::copy(self, &mut io::sink())? != size { Err(Refusal::Truncated) } else { Ok(()) }
    }

    fn skip_padding(&mut self) -> Result<(), Refusal> {
        if !std::mem::take(&mut self.padded) {
            return Ok(());
        }
        let mut byte = [0];
        match fill(&mut self.inner, &mut byte)? {
            1 if byte == *b"\n" => Ok(()),
            1 => Err(Refusal::Archive("the padding byte is not a newline")),
            _ => Err(Refusal::Truncated),
        }
    }
}

impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let read = self.inner.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// Fills the buffer as far as the reader goes and tells how far that was.
pub(crate) fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match reader.read(&mut buffer[done..]) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

fn parse_header(header: &[u8; HEADER]) -> Result<Member, Refusal> {
    if &header[58..] != b"`\n" {
        return Err(Refusal::Archive("a member header has no end mark"));
    }
    for (field, digits) in [(16..28, b'9'), (28..34, b'9'), (34..40, b'9'), (40..48, b'7')] {
        number(&header[field], digits, true)?;
    }
    let size = number(&header[48..58], b'9', false)?;
    let name = header[..16].trim_ascii_end();
    let name = name.strip_suffix(b"/").unwrap_or(name);
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-+".contains(byte);
    if name.is_empty() || !name.iter().all(plain) {
        return Err(Refusal::Archive("a member name is empty or holds unusual bytes"));
    }
    Ok(Member { name: String::from_utf8_lossy(name).into_owned(), size })
}

/// Digits up to `highest`, then spaces only. At most 12 digits, so the value fits.
fn number(field: &[u8], highest: u8, may_be_empty: bool) -> Result<u64, Refusal> {
    let digits = field.trim_ascii_end();
    if (digits.is_empty() && !may_be_empty) || !digits.iter().all(|byte| (b'0'..=highest).contains(byte)) {
        return Err(Refusal::Archive("a number in a member header is malformed"));
    }
    Ok(digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, size: &str) -> Vec<u8> {
        format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, "100644").into_bytes()
    }

    fn walk(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Refusal> {
        let mut archive = Archive::open(bytes)?;
        let mut members = Vec::new();
        while let Some(member) = archive.next_member()? {
            members.push((member.name, archive.read_small(100)?));
        }
        Ok(members)
    }

    #[test]
    fn reads_members_with_padding_and_slash_names() {
        let bytes = [MAGIC.to_vec(), header("a", "3"), b"one\n".to_vec(), header("b/", "0")].concat();
        assert_eq!(walk(&bytes), Ok(vec![("a".into(), b"one".to_vec()), ("b".into(), Vec::new())]));
    }

    #[test]
    fn refuses_each_malformation() {
        let good = [MAGIC.to_vec(), header("a", "3"), b"one".to_vec()].concat();
        let with = |tail: &[u8]| [good.clone(), tail.to_vec()].concat();
        assert_eq!(walk(b""), Err(Refusal::NotAnArchive));
        assert_eq!(walk(b"!<thin>\n"), Err(Refusal::NotAnArchive));
        assert_eq!(walk(&good), Err(Refusal::Truncated));
        assert_eq!(walk(&with(b"x")), Err(Refusal::Archive("the padding byte is not a newline")));
        assert_eq!(walk(&with(b"\njunk")), Err(Refusal::Archive("trailing bytes after the last member, or a cut header")));
        assert_eq!(walk(&good[..70]), Err(Refusal::Truncated));
        assert_eq!(
            walk(&[MAGIC.to_vec(), header("a", "101"), vec![0; 101]].concat()),
            Err(Refusal::TooLarge { what: "archive member", limit: 100 })
        );
    }

    #[test]
    fn refuses_malformed_headers() {
        for (name, size) in [("a", "-1"), ("a", "0x1"), ("a", ""), ("", "0"), ("a b", "0"), ("a", "1 1")] {
            let bytes = [MAGIC.to_vec(), header(name, size), b"xx".to_vec()].concat();
            assert!(matches!(walk(&bytes), Err(Refusal::Archive(_))), "{name:?} {size:?}");
        }
        let mut unended = [MAGIC.to_vec(), header("a", "0")].concat();
        unended[66] = b'x';
        assert_eq!(walk(&unended), Err(Refusal::Archive("a member header has no end mark")));
    }
}

//! The archive inside an rpm package: cpio "newc", and rpm's own form that names files by their number (`specs/rpm.md`, section 3).

use super::Refusal;
use crate::ar::fill;
use crate::deb;
use std::io::Read;

/// Reads entries one after the other; what follows an entry's header goes through [`Reader::content`].
#[derive(Debug)]
pub(super) struct Reader<R> {
    inner: R,
    position: u64,
    longest_name: usize,
}

/// What stands before an entry's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// By its path, with what the archive says about it.
    Named {
        /// As stored.
        path: Vec<u8>,
        /// Type and permission bits.
        mode: u32,
        /// Bytes of content.
        size: u64,
        /// Device numbers of a device: major, minor.
        device: (u32, u32),
    },
    /// By its number in the header, which says everything else.
    Numbered(usize),
}

impl<R: Read> Reader<R> {
    /// Nothing is read yet; names of more than `longest_name` bytes are refused.
    pub(super) fn new(inner: R, longest_name: usize) -> Self {
        Self { inner, position: 0, longest_name }
    }

    /// The next entry; `None` at the trailer, which only zero bytes may follow.
    pub(super) fn next_entry(&mut self) -> Result<Option<Entry>, Refusal> {
        let mut magic = [0; 6];
        self.exact(&mut magic)?;
        match &magic {
            b"07070X" => {
                let [number] = self.fields()?;
                self.pad()?;
                Ok(Some(Entry::Numbered(usize::try_from(number).unwrap_or(usize::MAX))))
            }
            b"070701" => self.named(),
            _ => Err(Refusal::Payload("an entry begins with another magic")),
        }
    }

    /// Hands over exactly `size` bytes of content, in pieces of at most 64 KiB, and passes over what pads them.
    pub(super) fn content(&mut self, size: u64, sink: &mut dyn FnMut(&[u8]) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let mut buffer = vec![0; CHUNK.min(usize::try_from(size).unwrap_or(CHUNK))];
        let mut left = size;
        while left > 0 {
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let piece = &mut buffer[..most];
            if fill(&mut self.inner, piece)? != most {
                return Err(deb::Refusal::Truncated.into());
            }
            sink(piece)?;
            left -= most as u64;
        }
        self.position += size;
        self.pad()
    }

    fn named(&mut self) -> Result<Option<Entry>, Refusal> {
        let [_, mode, _, _, _, _, size, _, _, major, minor, name_size, check] = self.fields()?;
        if check != 0 {
            return Err(Refusal::Payload("a checksum where there is none"));
        }
        let length = usize::try_from(name_size).unwrap_or(usize::MAX);
        if length < 2 || length > self.longest_name.saturating_add(3) {
            return Err(Refusal::Payload("a name that is empty or too long"));
        }
        let mut path = vec![0; length];
        self.exact(&mut path)?;
        if path.pop() != Some(0) || path.contains(&0) {
            return Err(Refusal::Payload("a name that is not ended by one zero byte"));
        }
        self.pad()?;
        if path == TRAILER {
            return if size == 0 { self.finish().map(|()| None) } else { Err(Refusal::Payload("its trailer has content")) };
        }
        Ok(Some(Entry::Named { path, mode, size: size.into(), device: (major, minor) }))
    }

    /// Numbers of eight hexadecimal digits.
    fn fields<const N: usize>(&mut self) -> Result<[u32; N], Refusal> {
        let mut fields = [0; N];
        for field in &mut fields {
            let mut digits = [0; 8];
            self.exact(&mut digits)?;
            let text = std::str::from_utf8(&digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
            let value = text.and_then(|text| u32::from_str_radix(text, 16).ok());
            *field = value.ok_or(Refusal::Payload("a field is no number of eight hexadecimal digits"))?;
        }
        Ok(fields)
    }

    fn pad(&mut self) -> Result<(), Refusal> {
        let mut padding = [0; 3];
        let padding = &mut padding[..(4 - self.position as usize % 4) % 4];
        self.exact(padding)?;
        if padding.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(Refusal::Payload("padding that is not zero")) }
    }

    fn exact(&mut self, bytes: &mut [u8]) -> Result<(), Refusal> {
        self.position += bytes.len() as u64;
        if fill(&mut self.inner, bytes)? == bytes.len() { Ok(()) } else { Err(deb::Refusal::Truncated.into()) }
    }

    fn finish(&mut self) -> Result<(), Refusal> {
        let mut rest = vec![0; CHUNK];
        loop {
            let read = fill(&mut self.inner, &mut rest)?;
            if rest[..read].iter().any(|byte| *byte != 0) {
                return Err(Refusal::Payload("bytes follow its trailer"));
            }
            if read < rest.len() {
                return Ok(());
            }
        }
    }
}

const TRAILER: &[u8] = b"TRAILER!!!";
const CHUNK: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn newc(path: &str, content: &[u8]) -> Vec<u8> {
        let mut entry = format!("070701{:08x}{:08x}{:032}{:08x}{:08x}", 1, 0o100_644, 0, 0, content.len()).into_bytes();
        entry.truncate(6 + 8 * 7);
        entry.splice(6 + 8 * 6..6 + 8 * 7, format!("{:08x}", content.len()).into_bytes());
        entry.extend(format!("{:032}{:08x}{:08x}", 0, path.len() + 1, 0).into_bytes());
        entry.extend(path.as_bytes());
        entry.push(0);
        entry.resize(entry.len().next_multiple_of(4), 0);
        entry.extend(content);
        entry.resize(entry.len().next_multiple_of(4), 0);
        entry
    }

    fn walk(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, Refusal> {
        let mut reader = Reader::new(bytes, 100);
        let mut all = Vec::new();
        while let Some(entry) = reader.next_entry()? {
            let size = match &entry {
                Entry::Named { size, .. } => *size,
                Entry::Numbered(_) => 3,
            };
            let mut content = Vec::new();
            reader.content(size, &mut |piece| {
                content.extend_from_slice(piece);
                Ok(())
            })?;
            all.push((entry, content));
        }
        Ok(all)
    }

    #[test]
    fn reads_both_forms() {
        let bytes = [newc("./a", b"hello"), b"07070X0000000a\0\0abc\0".to_vec(), newc("TRAILER!!!", b"")].concat();
        let found = walk(&bytes).unwrap();
        assert_eq!(found[0], (Entry::Named { path: b"./a".to_vec(), mode: 0o100_644, size: 5, device: (0, 0) }, b"hello".to_vec()));
        assert_eq!(found[1], (Entry::Numbered(10), b"abc".to_vec()));
    }

    #[test]
    fn refuses_each_malformation() {
        let good = [newc("./a", b"hello"), newc("TRAILER!!!", b"")].concat();
        for cut in 0..good.len() {
            assert!(walk(&good[..cut]).is_err(), "cut at {cut}");
        }
        assert!(walk(&[good.clone(), vec![0; 9]].concat()).is_ok());
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            walk(&bytes)
        };
        assert_eq!(with(5, b'2'), Err(Refusal::Payload("an entry begins with another magic")));
        assert_eq!(with(14, b'+'), Err(Refusal::Payload("a field is no number of eight hexadecimal digits")));
        assert_eq!(with(109, b'1'), Err(Refusal::Payload("a checksum where there is none")));
        assert_eq!(with(113, b'x'), Err(Refusal::Payload("a name that is not ended by one zero byte")));
        assert_eq!(with(121, b'x'), Err(Refusal::Payload("padding that is not zero")));
        assert_eq!(walk(&newc("", b"")), Err(Refusal::Payload("a name that is empty or too long")));
        assert_eq!(walk(&newc(&"x".repeat(103), b"")), Err(Refusal::Payload("a name that is empty or too long")));
        assert_eq!(walk(&newc("TRAILER!!!", b"x")), Err(Refusal::Payload("its trailer has content")));
        assert_eq!(walk(&[good, b"x".to_vec()].concat()), Err(Refusal::Payload("bytes follow its trailer")));
    }
}

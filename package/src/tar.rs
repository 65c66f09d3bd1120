//! A strict streaming tar reader: v7, ustar, GNU long names and sparse files, pax headers (`specs/deb.md`, section 3).
//!
//! Names are raw bytes. Whatever two tar readers could understand differently is refused.

mod header;
mod pax;
mod sparse;

use crate::ar::fill;
use crate::deb::Refusal;
use header::Raw;
use std::io::Read;

pub use header::Kind;

/// One member of a tar archive, extension headers already applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name as stored, without a trailing slash for directories.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, 0 to 0o7777.
    pub mode: u32,
    /// Owner's number.
    pub uid: u64,
    /// Group's number.
    pub gid: u64,
    /// Owner's name, empty if absent.
    pub uname: Vec<u8>,
    /// Group's name, empty if absent.
    pub gname: Vec<u8>,
    /// Bytes of content once expanded, 0 unless a regular file.
    pub size: u64,
    /// Raw value of the `security.capability` attribute.
    pub capability: Option<Vec<u8>>,
    stored: u64,
    segments: Option<Vec<(u64, u64)>>,
}

/// Sizes that a tar may not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TarLimits {
    /// Members.
    pub entries: u64,
    /// Bytes of a name or link target.
    pub path: usize,
    /// Sum of the expanded sizes of all files, in bytes.
    pub expanded: u64,
    /// Pax keys of other makers that say nothing of a file's content; a key with a dot at its end stands for all that begin with it.
    pub passed_over: &'static [&'static str],
}

/// Reads entries one after the other; content goes through [`Reader::content`] and is skipped otherwise.
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
    limits: TarLimits,
    entries: u64,
    expanded: u64,
    unread: u64,
}

/// What extension headers say about the entry that follows.
#[derive(Debug, Default)]
struct Pending {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<pax::Records>,
}

impl<R: Read> Reader<R> {
    /// Nothing is read yet.
    pub fn new(inner: R, limits: TarLimits) -> Self {
        Self { inner, limits, entries: 0, expanded: 0, unread: 0 }
    }

    /// The next entry, `None` after the two zero blocks that end an archive (only zeros may follow them).
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Refusal> {
        let unread = std::mem::take(&mut self.unread);
        self.skip(unread)?;
        let mut pending = Pending::default();
        loop {
            let block = self.block()?;
            if block == [0; BLOCK] {
                return if pending.is_empty() { self.finish().map(|()| None) } else { Err(Refusal::Tar("ends after an extension header")) };
            }
            let raw = Raw::parse(&block)?;
            match raw.flag {
                b'L' => put(&mut pending.path, self.long_name(raw.size)?)?,
                b'K' => put(&mut pending.link, self.long_name(raw.size)?)?,
                b'x' => {
                    let body = self.body(raw.size, PAX)?;
                    put(&mut pending.pax, pax::Records::parse(&body, self.limits.passed_over)?)?;
                }
                _ => return self.entry(raw, &block, pending).map(Some),
            }
        }
    }

    /// Hands the entry's expanded content to `sink`, in pieces of at most 64 KiB, holes as zeros.
    pub fn content(&mut self, entry: &Entry, sink: &mut dyn FnMut(&[u8]) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let mut buffer = vec![0; CHUNK];
        match &entry.segments {
            None => self.copy(entry.stored, &mut buffer, sink)?,
            Some(segments) => {
                let mut position = 0;
                for &(offset, length) in segments {
                    zeros(offset - position, sink)?;
                    self.copy(length, &mut buffer, sink)?;
                    position = offset + length;
                }
                zeros(entry.size - position, sink)?;
            }
        }
        let padding = std::mem::take(&mut self.unread);
        self.skip(padding)
    }

    fn entry(&mut self, raw: Raw, block: &[u8; BLOCK], pending: Pending) -> Result<Entry, Refusal> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(Refusal::TooMany { what: "entries", limit: self.limits.entries });
        }
        let pax = pending.pax.unwrap_or_default();
        let mut stored = pax.size.unwrap_or(raw.size);
        header::check_type(raw.flag)?;
        let regular = matches!(raw.flag, 0 | b'0' | b'7' | b'S');
        if stored != 0 && !regular {
            return Err(Refusal::Tar("an entry that is no file has content"));
        }
        let named = pax.sparse.name.clone().or(pax.path).or(pending.path).unwrap_or(raw.path.clone());
        let link = pax.link.or(pending.link).unwrap_or(raw.link.clone());
        if stored > self.limits.expanded {
            return Err(Refusal::TooLarge { what: "unpacked content", limit: self.limits.expanded });
        }
        let map = match (raw.flag, pax.sparse.is_used()) {
            (b'S', false) => Some(self.old_sparse(block)?),
            (b'S', true) => return Err(Refusal::Tar("two sparse formats in one entry")),
            (_, true) if regular => Some(self.pax_sparse(pax.sparse, &mut stored)?),
            (_, true) => return Err(Refusal::Tar("an entry that is no file has content")),
            _ => None,
        };
        self.unread = stored.div_ceil(BLOCK as u64).saturating_mul(BLOCK as u64);
        let (segments, size) = match map {
            Some(map) => (Some(map.checked(stored)?), map.size),
            None => (None, stored),
        };
        self.expanded = self.expanded.saturating_add(size);
        if self.expanded > self.limits.expanded {
            return Err(Refusal::TooLarge { what: "unpacked content", limit: self.limits.expanded });
        }
        let (path, kind) = header::name_and_kind(&raw, named, link, self.limits.path)?;
        Ok(Entry {
            path,
            kind,
            mode: raw.mode,
            uid: pax.uid.unwrap_or(raw.uid),
            gid: pax.gid.unwrap_or(raw.gid),
            uname: pax.uname.unwrap_or(raw.uname),
            gname: pax.gname.unwrap_or(raw.gname),
            size,
            capability: pax.capability,
            stored,
            segments,
        })
    }

    fn old_sparse(&mut self, block: &[u8; BLOCK]) -> Result<sparse::Map, Refusal> {
        let (mut map, mut more) = sparse::Map::from_header(block)?;
        while more {
            let block = self.block()?;
            more = map.extend(&block)?;
        }
        Ok(map)
    }

    /// Format 1.0 keeps its map in front of the data and so shortens what is stored.
    fn pax_sparse(&mut self, keys: pax::SparseKeys, stored: &mut u64) -> Result<sparse::Map, Refusal> {
        if !keys.map_is_in_data()? {
            return keys.map();
        }
        let mut parser = sparse::InData::default();
        loop {
            *stored = stored.checked_sub(BLOCK as u64).ok_or(Refusal::Tar("a sparse map runs past its data"))?;
            let block = self.block()?;
            if parser.feed(&block)? {
                return parser.map(keys.size()?);
            }
        }
    }

    fn copy(&mut self, length: u64, buffer: &mut [u8], sink: &mut dyn FnMut(&[u8]) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let mut left = length;
        while left > 0 {
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = self.inner.read(&mut buffer[..most])?;
            if read == 0 {
                return Err(Refusal::Truncated);
            }
            sink(&buffer[..read])?;
            left -= read as u64;
            self.unread -= read as u64;
        }
        Ok(())
    }

    fn long_name(&mut self, size: u64) -> Result<Vec<u8>, Refusal> {
        let mut name = self.body(size, self.limits.path as u64 + 1)?;
        if name.pop() != Some(0) || name.is_empty() || name.contains(&0) {
            return Err(Refusal::Tar("a long name is empty or not ended by one zero byte"));
        }
        Ok(name)
    }

    fn body(&mut self, size: u64, limit: u64) -> Result<Vec<u8>, Refusal> {
        if size > limit {
            return Err(Refusal::TooLarge { what: "extension header", limit });
        }
        let mut body = Vec::new();
        while (body.len() as u64) < size {
            body.extend_from_slice(&self.block()?);
        }
        body.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(body)
    }

    fn skip(&mut self, length: u64) -> Result<(), Refusal> {
        let skipped = std::io::copy(&mut (&mut self.inner).take(length), &mut std::io::sink())?;
        if skipped == length { Ok(()) } else { Err(Refusal::Truncated) }
    }

    fn block(&mut self) -> Result<[u8; BLOCK], Refusal> {
        let mut block = [0; BLOCK];
        if fill(&mut self.inner, &mut block)? == BLOCK { Ok(block) } else { Err(Refusal::Truncated) }
    }

    fn finish(&mut self) -> Result<(), Refusal> {
        let mut rest = vec![0; CHUNK];
        if self.block()? != [0; BLOCK] {
            return Err(Refusal::Tar("only one zero block at its end"));
        }
        loop {
            let read = fill(&mut self.inner, &mut rest)?;
            if rest[..read].iter().any(|byte| *byte != 0) {
                return Err(Refusal::Tar("bytes follow its end"));
            }
            if read < rest.len() {
                return Ok(());
            }
        }
    }
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.path.is_none() && self.link.is_none() && self.pax.is_none()
    }
}

fn put<T>(slot: &mut Option<T>, value: T) -> Result<(), Refusal> {
    if slot.replace(value).is_some() { Err(Refusal::Tar("two extension headers of one kind before an entry")) } else { Ok(()) }
}

fn zeros(length: u64, sink: &mut dyn FnMut(&[u8]) -> Result<(), Refusal>) -> Result<(), Refusal> {
    let mut left = length;
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
        sink(&ZEROS[..piece])?;
        left -= piece as u64;
    }
    Ok(())
}

/// Bytes of a tar block.
pub(crate) const BLOCK: usize = 512;
const CHUNK: usize = 64 * 1024;
static ZEROS: [u8; CHUNK] = [0; CHUNK];
/// Bytes of a pax header: a path, a link, names and attributes fit many times.
const PAX: u64 = 1 << 20;

//! rpm's header structure: an index of tags and their data (`specs/rpm.md`, section 2).

use super::Refusal;
use crate::ar::fill;
use attest::Hash;
use sha2::{Digest, Sha256};
use std::io::Read;

/// A header: in a package file, or as the database of installed packages keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    entries: Vec<Entry>,
    /// Index and data as stored, without the magic: what the digest is over, as far as the region goes.
    index: Vec<u8>,
    data: Vec<u8>,
    region: Region,
}

/// The part that is never changed after the package was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Region {
    entries: usize,
    bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    tag: u32,
    kind: u32,
    count: usize,
    start: usize,
    end: usize,
}

impl Header {
    /// Reads the magic and the header that follows; its first entry must be the region `region`, and the region must be all of it.
    /// At most `limit` bytes of data.
    pub(super) fn read(reader: &mut impl Read, region: u32, limit: u64) -> Result<Self, Refusal> {
        if read_array(reader)? != MAGIC {
            return Err(Refusal::Header("no header magic"));
        }
        let header = Self::read_body(reader, region, limit)?;
        if header.region.entries != header.entries.len() + 1 || header.region.bytes != header.data.len() {
            return Err(Refusal::Header("entries outside of the region that the package's digest covers"));
        }
        Ok(header)
    }

    /// Parses a header as the database keeps it: no magic, and entries of the installation after the region.
    pub fn installed(blob: &[u8]) -> Result<Self, Refusal> {
        let mut rest = blob;
        let header = Self::read_body(&mut rest, IMMUTABLE, blob.len() as u64)?;
        if rest.is_empty() { Ok(header) } else { Err(Refusal::Header("bytes follow the header")) }
    }

    /// Reads the signature header with the zero bytes that pad it, and its SHA-256 of the header if it has one.
    pub(super) fn skip_signature(reader: &mut impl Read, limit: u64) -> Result<Option<Hash>, Refusal> {
        if read_array(reader)? != MAGIC {
            return Err(Refusal::Header("no signature header"));
        }
        let header = Self::read_body(reader, SIGNATURES, limit)?;
        let mut padding = [0; 7];
        let padding = &mut padding[..(8 - header.data.len() % 8) % 8];
        if fill(reader, padding)? != padding.len() {
            return Err(Refusal::from(crate::deb::Refusal::Truncated));
        }
        if padding.iter().any(|byte| *byte != 0) {
            return Err(Refusal::Header("the padding of the signature header is not zero"));
        }
        let malformed = Refusal::Tag(SHA256, "is no SHA-256");
        let text = header.text(SHA256)?;
        text.map(|text| std::str::from_utf8(text).ok().and_then(Hash::from_hex).ok_or(malformed)).transpose()
    }

    fn read_body(reader: &mut impl Read, region: u32, limit: u64) -> Result<Self, Refusal> {
        let counts: [u8; 8] = read_array(reader)?;
        let (entries, bytes) = (number(&counts, 0), number(&counts, 4));
        if entries == 0 || entries > ENTRIES {
            return Err(Refusal::from(crate::deb::Refusal::TooMany { what: "header entries", limit: ENTRIES.into() }));
        }
        if u64::from(bytes) > limit {
            return Err(Refusal::from(crate::deb::Refusal::TooLarge { what: "header", limit }));
        }
        let index = read_vec(reader, u64::from(entries) * 16)?;
        let data = read_vec(reader, bytes.into())?;
        let region = parse_region(&index, &data, region)?;
        let entries = parse_entries(&index, &data)?;
        Ok(Self { entries, index, data, region })
    }

    /// SHA-256 of the immutable region with its magic and counts: what `SHA256HEADER` names, and what signing again leaves as it is.
    pub fn digest(&self) -> Hash {
        let counts = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes();
        let mut hash = Sha256::new();
        hash.update(MAGIC);
        hash.update(counts(self.region.entries));
        hash.update(counts(self.region.bytes));
        hash.update(&self.index[..self.region.entries * 16]);
        hash.update(&self.data[..self.region.bytes]);
        Hash::new(hash.finalize().into())
    }

    /// The only tag of this number that the package was built with; in a database the one of the installation, if it has one.
    fn entry(&self, tag: u32) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.tag == tag)
    }

    /// A number that stands twice among the built ones, if there is one.
    pub(super) fn repeated(&self) -> Option<u32> {
        let mut tags: Vec<u32> = self.entries.iter().map(|entry| entry.tag).collect();
        tags.sort_unstable();
        tags.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
    }

    /// A text, or the first of a translated one.
    pub(super) fn text(&self, tag: u32) -> Result<Option<&[u8]>, Refusal> {
        let Some(entry) = self.entry(tag) else { return Ok(None) };
        if !matches!(entry.kind, STRING | I18N) {
            return Err(Refusal::Tag(tag, "is no text"));
        }
        Ok(self.bytes(entry).split(|byte| *byte == 0).next())
    }

    /// A list of texts, empty if absent.
    pub(super) fn texts(&self, tag: u32) -> Result<Vec<&[u8]>, Refusal> {
        let Some(entry) = self.entry(tag) else { return Ok(Vec::new()) };
        if entry.kind != STRINGS {
            return Err(Refusal::Tag(tag, "is no list of texts"));
        }
        let bytes = self.bytes(entry);
        Ok(bytes[..bytes.len() - 1].split(|byte| *byte == 0).collect())
    }

    /// A list of numbers of 8, 16, 32 or 64 bits, empty if absent.
    pub(super) fn numbers(&self, tag: u32, bits: u32) -> Result<Vec<u64>, Refusal> {
        let Some(entry) = self.entry(tag) else { return Ok(Vec::new()) };
        let width = width(entry.kind).filter(|width| *width as u32 * 8 == bits && entry.kind != BINARY);
        let width = width.ok_or(Refusal::Tag(tag, "holds numbers of another size"))?;
        let value = |bytes: &[u8]| bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        Ok(self.bytes(entry).chunks_exact(width).map(value).collect())
    }

    fn bytes(&self, entry: &Entry) -> &[u8] {
        // Both ends were checked when the entry was parsed.
        &self.data[entry.start..entry.end]
    }
}

/// The first entry names the region, a copy of it at the region's end says how many entries belong to it.
fn parse_region(index: &[u8], data: &[u8], tag: u32) -> Result<Region, Refusal> {
    let malformed = Refusal::Header("its region is malformed");
    let is_region = number(index, 0) == tag && number(index, 4) == BINARY && number(index, 12) == 16;
    let at = usize::try_from(number(index, 8)).unwrap_or(usize::MAX);
    let Some(trailer) = at.checked_add(16).and_then(|end| data.get(at..end)).filter(|_| is_region) else { return Err(malformed) };
    if number(trailer, 0) != tag || number(trailer, 4) != BINARY || number(trailer, 12) != 16 {
        return Err(malformed);
    }
    let bytes = number(trailer, 8).wrapping_neg();
    let entries = usize::try_from(bytes / 16).unwrap_or(usize::MAX);
    let fits = bytes.is_multiple_of(16) && entries >= 1 && entries <= index.len() / 16;
    if fits { Ok(Region { entries, bytes: at + 16 }) } else { Err(malformed) }
}

/// All entries but the region's own. As rpm has it: data in the order of the index, aligned, inside, and not overlapping.
fn parse_entries(index: &[u8], data: &[u8]) -> Result<Vec<Entry>, Refusal> {
    let mut entries = Vec::with_capacity(index.len() / 16);
    let mut before = 0;
    for record in index.chunks_exact(16).skip(1) {
        let (tag, kind) = (number(record, 0), number(record, 4));
        let start = usize::try_from(number(record, 8)).unwrap_or(usize::MAX);
        let count = usize::try_from(number(record, 12)).unwrap_or(usize::MAX);
        let length = data.get(start..).and_then(|data| length(kind, count, data)).ok_or(Refusal::Tag(tag, "lies outside of the header"))?;
        let align = width(kind).unwrap_or(1);
        if start < before || start % align != 0 {
            return Err(Refusal::Tag(tag, "overlaps another, or is not aligned"));
        }
        before = start + length;
        entries.push(Entry { tag, kind, count, start, end: before });
    }
    Ok(entries)
}

/// Bytes that `count` values of a type take at the beginning of `data`; `None` if they do not fit or there are none.
fn length(kind: u32, count: usize, data: &[u8]) -> Option<usize> {
    if let Some(width) = width(kind) {
        return count.checked_mul(width).filter(|length| (1..=data.len()).contains(length));
    }
    let texts = match kind {
        STRING if count == 1 => 1,
        STRINGS | I18N if count > 0 => count,
        _ => return None,
    };
    data.iter().enumerate().filter(|(_, byte)| **byte == 0).nth(texts - 1).map(|(end, _)| end + 1)
}

/// Bytes of one value of a type of fixed size.
const fn width(kind: u32) -> Option<usize> {
    match kind {
        1 | 2 | BINARY => Some(1),
        3 => Some(2),
        4 => Some(4),
        5 => Some(8),
        _ => None,
    }
}

/// A number of four bytes; 0 where the bytes are not there, which callers have excluded.
fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
}

fn read_array<const N: usize>(reader: &mut impl Read) -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    if fill(reader, &mut bytes)? == N { Ok(bytes) } else { Err(Refusal::from(crate::deb::Refusal::Truncated)) }
}

/// Reads exactly this much; memory grows with what is there, not with what is announced.
fn read_vec(reader: &mut impl Read, length: u64) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(Refusal::from(crate::deb::Refusal::Truncated)) }
}

const MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0];
/// The region of a package's header.
pub(super) const IMMUTABLE: u32 = 63;
const SIGNATURES: u32 = 62;
/// The signature header's SHA-256 of the header.
const SHA256: u32 = 273;
/// As many entries as rpm allows.
const ENTRIES: u32 = 65_535;

const STRING: u32 = 6;
const BINARY: u32 = 7;
const STRINGS: u32 = 8;
const I18N: u32 = 9;

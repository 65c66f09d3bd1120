//! The payload of an rpm package, read beside its header: whatever both say must agree (`specs/rpm.md`, section 3).

use super::Refusal;
use super::cpio::{self, Entry};
use super::files::{self, FileRecord, S_IFLNK, S_IFREG, disagrees};
use super::header::Header;
use crate::compression::{Compression, Decoder};
use crate::deb::{self, Limits};
use crate::hashing::{Bounded, Counted};
use crate::payload::relative;
use attest::Hash;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use std::cell::Cell;
use std::collections::HashMap;
use std::io::Read;

/// The SHA-256 of each file's content, as the archive has it; all else is compared with the header. In an archive that must be `numbered`, no
/// entry has a path.
pub(super) fn read<R: Read>(
    reader: R,
    header: &Header,
    records: &[FileRecord],
    limits: &Limits,
    numbered: bool,
) -> Result<Vec<Option<Hash>>, Refusal> {
    let text =
        |tag, absent: &'static str| Ok::<_, Refusal>(String::from_utf8_lossy(header.text(tag)?.unwrap_or(absent.as_bytes())).into_owned());
    let format = text(PAYLOAD_FORMAT, "cpio")?;
    if format != "cpio" {
        return Err(Refusal::Format(format));
    }
    let name = text(PAYLOAD_COMPRESSOR, "gzip")?;
    let compression = match name.as_str() {
        "gzip" => Compression::Gzip,
        "xz" => Compression::Xz,
        "zstd" => Compression::Zstd,
        _ => return Err(deb::Refusal::Compression(name).into()),
    };
    let most = announced_size(records, limits)?;
    let read = Cell::new(0);
    let mut decoder = Bounded::new(Decoder::new(compression, Counted::new(reader, &read), most)?, &read, limits.ratio);
    let mut payload = Payload::new(records, header)?;
    let mut archive = cpio::Reader::new(&mut decoder, limits.path);
    while let Some(entry) = archive.next_entry()? {
        if numbered && matches!(entry, Entry::Named { .. }) {
            return Err(Refusal::Payload("an entry by its path in a package of format 6"));
        }
        payload.take(&entry, &mut archive)?;
    }
    if !decoder.get_mut().at_end_of_input()? {
        return Err(deb::Refusal::AfterStream.into());
    }
    payload.finish()
}

/// What the archive can have at most, if it is as the header says.
fn announced_size(records: &[FileRecord], limits: &Limits) -> Result<u64, Refusal> {
    let size = |record: &FileRecord| if record.is_ghost() { 0 } else { record.stored() };
    let content = records.iter().map(size).fold(0, u64::saturating_add);
    if content > limits.payload {
        return Err(deb::Refusal::TooLarge { what: "content", limit: limits.payload }.into());
    }
    let headers: u64 = records.iter().map(|record| record.path.len() as u64 + ENTRY).sum();
    Ok(content + headers + TRAILER)
}

/// What of the files was seen in the archive.
struct Payload<'a> {
    records: &'a [FileRecord],
    numbers: HashMap<&'a [u8], usize>,
    seen: Vec<bool>,
    contents: Vec<Option<Hash>>,
    algorithm: u64,
}

impl<'a> Payload<'a> {
    fn new(records: &'a [FileRecord], header: &Header) -> Result<Self, Refusal> {
        let algorithm = header.numbers(DIGEST_ALGORITHM, 32)?.first().copied().unwrap_or(1);
        if records.iter().any(FileRecord::is_linked) && !matches!(algorithm, 8..=11) {
            return Err(Refusal::WeakDigests(algorithm));
        }
        let numbers = records.iter().enumerate().map(|(at, record)| (record.path.as_slice(), at)).collect();
        let (seen, contents) = (vec![false; records.len()], vec![None; records.len()]);
        Ok(Self { records, numbers, seen, contents, algorithm })
    }

    fn take<R: Read>(&mut self, entry: &Entry, archive: &mut cpio::Reader<R>) -> Result<(), Refusal> {
        let at = self.number(entry)?;
        let record = &self.records[at];
        if record.is_ghost() {
            return Err(disagrees(&record.path, "whether it is there"));
        }
        if std::mem::replace(&mut self.seen[at], true) {
            return Err(files::path_error(&record.path, "stands twice in the payload"));
        }
        let stored = match entry {
            Entry::Numbered(_) => record.stored(),
            Entry::Named { mode, size, device, .. } => agree(record, *mode, *size, *device)?,
        };
        match record.kind() {
            S_IFREG if stored == record.size && (stored > 0 || record.last) => self.hash(at, stored, archive),
            S_IFLNK => {
                let mut target = Vec::new();
                archive.content(stored, &mut |piece| {
                    target.extend_from_slice(piece);
                    Ok(())
                })?;
                if target == record.target { Ok(()) } else { Err(disagrees(&record.path, "the link's target")) }
            }
            _ => archive.content(stored, &mut |_| Ok(())),
        }
    }

    fn number(&self, entry: &Entry) -> Result<usize, Refusal> {
        match entry {
            Entry::Numbered(at) if *at < self.records.len() => Ok(*at),
            Entry::Numbered(_) => Err(Refusal::Payload("an entry's number is that of no file")),
            Entry::Named { path, .. } => {
                let below = relative(path.strip_prefix(b"/").unwrap_or(path))?;
                self.numbers.get(below.as_slice()).copied().ok_or_else(|| disagrees(&below, "whether it is there"))
            }
        }
    }

    /// Hashes a file's content for all of its names, and compares it with the header's digest.
    fn hash<R: Read>(&mut self, at: usize, size: u64, archive: &mut cpio::Reader<R>) -> Result<(), Refusal> {
        let record = &self.records[at];
        let first = record.first;
        if self.contents[first].is_some() {
            return Err(disagrees(&record.path, "the names of one file"));
        }
        let (mut sha256, mut other) = (Sha256::new(), Other::new(self.algorithm));
        archive.content(size, &mut |piece| {
            sha256.update(piece);
            other.update(piece);
            Ok(())
        })?;
        let sha256 = Hash::new(sha256.finalize().into());
        if record.digest != other.finish().unwrap_or_else(|| sha256.as_bytes().to_vec()) {
            return Err(disagrees(&record.path, "its content"));
        }
        self.contents[first] = Some(sha256);
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Option<Hash>>, Refusal> {
        for (at, record) in self.records.iter().enumerate() {
            if !record.is_ghost() && !self.seen[at] {
                return Err(disagrees(&record.path, "whether it is there"));
            }
            self.contents[at] = self.contents[record.first];
        }
        Ok(self.contents)
    }
}

/// What the archive says of an entry must be what the header says; gives the bytes that follow.
fn agree(record: &FileRecord, mode: u32, size: u64, device: (u32, u32)) -> Result<u64, Refusal> {
    if mode != record.mode {
        return Err(disagrees(&record.path, "its type or mode"));
    }
    let fits = match record.kind() {
        // Names of one file: one of them has the content.
        S_IFREG => size == record.size || size == 0,
        S_IFLNK => size == record.size,
        _ => size == 0,
    };
    if !fits {
        return Err(disagrees(&record.path, "its size"));
    }
    let is_device = matches!(record.kind(), 0o020_000 | 0o060_000);
    if is_device && device != (record.device >> 8, record.device & 0xff) {
        return Err(disagrees(&record.path, "its device number"));
    }
    Ok(size)
}

/// The header's kind of digest, where it is not SHA-256.
enum Other {
    None,
    Sha384(Sha384),
    Sha512(Sha512),
    Sha224(Sha224),
}

impl Other {
    fn new(algorithm: u64) -> Self {
        match algorithm {
            9 => Self::Sha384(Sha384::new()),
            10 => Self::Sha512(Sha512::new()),
            11 => Self::Sha224(Sha224::new()),
            _ => Self::None,
        }
    }

    fn update(&mut self, piece: &[u8]) {
        match self {
            Self::None => {}
            Self::Sha384(hash) => hash.update(piece),
            Self::Sha512(hash) => hash.update(piece),
            Self::Sha224(hash) => hash.update(piece),
        }
    }

    fn finish(self) -> Option<Vec<u8>> {
        match self {
            Self::None => None,
            Self::Sha384(hash) => Some(hash.finalize().to_vec()),
            Self::Sha512(hash) => Some(hash.finalize().to_vec()),
            Self::Sha224(hash) => Some(hash.finalize().to_vec()),
        }
    }
}

const PAYLOAD_FORMAT: u32 = 1124;
const PAYLOAD_COMPRESSOR: u32 = 1125;
const DIGEST_ALGORITHM: u32 = 5011;
/// Bytes of an entry's header, the name's prefix and all padding.
const ENTRY: u64 = 110 + 3 + 6;
/// The trailer and the zeros that may follow it.
const TRAILER: u64 = 64 << 10;

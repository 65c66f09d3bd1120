//! The bodies of C2SP tlog-mirror requests, `specs/mirror.md`: what is uploaded to a mirror, and what it says of its state.
//!
//! An upload is read as it comes in: each parser says how many bytes it took, or that more are needed.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use crate::text::{MAX_HASHES, MAX_NUMBER};
use crate::{Checkpoint, Hash, SubtreeProof, bundle, text};

/// Entries in a package: as many as in a full entry bundle.
pub const PACKAGE: u64 = 256;

/// Not such a body (status 400).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What `POST add-entries` begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Of which log.
    pub origin: String,
    /// The first entry that is uploaded.
    pub start: u64,
    /// One past the last: the size of a checkpoint that the mirror knows.
    pub end: u64,
    /// What the mirror gave to be handed back.
    pub ticket: Vec<u8>,
}

/// Which entries a package has, and where its subtree begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The subtree's first leaf, a multiple of 256.
    pub aligned: u64,
    /// The package's first entry.
    pub start: u64,
    /// One past its last, which is the subtree's end, too.
    pub end: u64,
}

/// Up to 256 entries and the proof that they stand where they are said to stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package<'a> {
    /// The entries.
    pub entries: Vec<&'a [u8]>,
    /// From the subtree to the tree of the upload's end.
    pub proof: SubtreeProof,
}

/// What a mirror says of its state (`text/x.tlog.mirror-info`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorInfo {
    /// The size of a checkpoint that can be an upload's end.
    pub size: u64,
    /// The first entry that the mirror has not.
    pub next: u64,
    /// To be handed back with the next upload; nobody but the mirror knows what it means.
    pub ticket: Vec<u8>,
}

impl Upload {
    /// Reads the head of a body and returns it with its length; `None` if more bytes are needed.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let mut rest = bytes;
        let Some(origin) = counted(&mut rest) else { return too_short(bytes, 2 + Checkpoint::MAX_ORIGIN) };
        let origin = core::str::from_utf8(origin).map_err(|_| Malformed)?.to_string();
        if origin.is_empty() || origin.len() > Checkpoint::MAX_ORIGIN || origin.contains('\n') || text::has_controls(&origin) {
            return Err(Malformed);
        }
        let Some((start, end)) = number(&mut rest).zip(number(&mut rest)) else { return Ok(None) };
        if start > end || end > MAX_NUMBER {
            return Err(Malformed);
        }
        let Some(ticket) = counted(&mut rest) else { return Ok(None) };
        Ok(Some((Self { origin, start, end, ticket: ticket.to_vec() }, bytes.len() - rest.len())))
    }

    /// The bytes that packages follow; `None` if the origin or the ticket is too long.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        bundle::push(&mut bytes, self.origin.as_bytes()).ok()?;
        bytes.extend_from_slice(&self.start.to_be_bytes());
        bytes.extend_from_slice(&self.end.to_be_bytes());
        bundle::push(&mut bytes, &self.ticket).ok()?;
        Some(bytes)
    }

    /// The packages that belong to it, in order. A body may end after any of them.
    pub fn spans(&self) -> impl Iterator<Item = Span> + use<> {
        let (start, end) = (self.start, self.end);
        let mut next = start;
        core::iter::from_fn(move || {
            let span = Span { aligned: next - next % PACKAGE, start: next, end: end.min(next - next % PACKAGE + PACKAGE) };
            next = span.end;
            (span.start < span.end).then_some(span)
        })
    }
}

impl Span {
    /// How many entries the package has: at most 256.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::try_from(self.end - self.start).unwrap_or(usize::MAX)
    }
}

impl<'a> Package<'a> {
    /// Reads a package of this many entries and returns it with its length; `None` if more bytes are needed.
    pub fn parse(bytes: &'a [u8], count: usize) -> Result<Option<(Self, usize)>, Malformed> {
        let mut rest = bytes;
        let mut entries = Vec::with_capacity(count.min(256));
        for _ in 0..count {
            let Some(entry) = counted(&mut rest) else { return Ok(None) };
            entries.push(entry);
        }
        let Some((hashes, mut rest)) = rest.split_first() else { return Ok(None) };
        if usize::from(*hashes) > MAX_HASHES {
            return Err(Malformed);
        }
        let mut proof = Vec::with_capacity(usize::from(*hashes));
        for _ in 0..*hashes {
            let Some((hash, after)) = rest.split_first_chunk() else { return Ok(None) };
            proof.push(Hash::new(*hash));
            rest = after;
        }
        Ok(Some((Self { entries, proof: SubtreeProof(proof) }, bytes.len() - rest.len())))
    }

    /// Appends the package's bytes; an entry or a proof that is too long is refused, with the body left unfinished.
    pub fn push(&self, body: &mut Vec<u8>) -> Result<(), Malformed> {
        self.entries.iter().try_for_each(|entry| bundle::push(body, entry)).map_err(|_| Malformed)?;
        let hashes = u8::try_from(self.proof.0.len()).ok().filter(|count| usize::from(*count) <= MAX_HASHES).ok_or(Malformed)?;
        body.push(hashes);
        self.proof.0.iter().for_each(|hash| body.extend_from_slice(hash.as_bytes()));
        Ok(())
    }
}

impl MirrorInfo {
    /// Largest text in bytes.
    pub const MAX_BYTES: usize = 64 + 4 * (65_535 / 3 + 1);

    /// Reads the three lines.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(Malformed);
        }
        let info = core::str::from_utf8(bytes).ok().and_then(Self::read).ok_or(Malformed)?;
        if info.encode().as_bytes() == bytes { Ok(info) } else { Err(Malformed) }
    }

    fn read(text: &str) -> Option<Self> {
        let (size, rest) = text::line(text)?;
        let (next, rest) = text::line(rest)?;
        let (ticket, rest) = text::line(rest)?;
        let ticket = if ticket.is_empty() { Vec::new() } else { text::base64(ticket)? };
        let good = rest.is_empty() && ticket.len() <= usize::from(u16::MAX);
        good.then_some(Self { size: text::decimal(size)?, next: text::decimal(next)?, ticket })
    }

    /// The three lines.
    #[must_use]
    pub fn encode(&self) -> String {
        format!("{}\n{}\n{}\n", self.size, self.next, text::encode_base64(&self.ticket))
    }
}

/// Bytes behind their length in two bytes.
fn counted<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (counted, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *bytes = rest;
    Some(counted)
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_be_bytes(*number))
}

/// More bytes are needed, unless what is here is already longer than this part may be.
fn too_short<T>(bytes: &[u8], longest: usize) -> Result<Option<T>, Malformed> {
    if bytes.len() > longest { Err(Malformed) } else { Ok(None) }
}

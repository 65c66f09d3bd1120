//! Reading a `.deb` once, from front to back, into the list of everything it would install (`specs/deb.md`).
//!
//! In scope: the container, the control information, every entry of the payload with its SHA-256, and the SHA-256
//! of the package file. Out of scope: signatures, dependencies, maintainer scripts (they are only listed).

mod error;

use crate::ar::{Archive, Member};
use crate::compression::{Compression, Decoder};
use crate::control::{Conffile, Control, parse_conffiles};
use crate::hashing::Hashing;
use crate::payload::{Collector, relative};
use crate::tar::{Entry, Kind, Reader, TarLimits};
use attest::{Hash, Manifest};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Read};

pub use error::{Error, Refusal};

/// What a package may cost. The defaults fit every package of Debian with room to spare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the package file.
    pub package: u64,
    /// Bytes of the decompressed control archive.
    pub control: u64,
    /// Bytes of each header of an rpm package.
    pub header: u64,
    /// Bytes of the decompressed payload, and of the sum of its files with holes filled.
    pub payload: u64,
    /// Times that the payload may be larger than its compressed form, beyond the first 64 MiB.
    pub ratio: u64,
    /// Entries of the payload.
    pub entries: u64,
    /// Bytes of a path or link target.
    pub path: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { package: 8 << 30, control: 32 << 20, header: 128 << 20, payload: 64 << 30, ratio: 1000, entries: 1_000_000, path: 4095 }
    }
}

/// Everything that a package file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebPackage {
    /// The control fields.
    pub control: Control,
    /// The configuration files, in the package's order.
    pub conffiles: Vec<Conffile>,
    /// Names of the control archive's files (`postinst`, `md5sums`, ...), sorted.
    pub control_files: Vec<String>,
    /// SHA-256 of the package file.
    pub sha256: Hash,
    /// Bytes of the package file.
    pub size: u64,
    /// What it would install, where, and how strictly that binds.
    pub manifest: Manifest,
}

/// Sees a package's files pass by.
pub trait Visitor {
    /// A file of the control archive, complete.
    fn control_file(&mut self, _name: &str, _content: &[u8]) -> io::Result<()> {
        Ok(())
    }

    /// A payload entry before its content; true if the content is wanted too (regular files only).
    fn entry(&mut self, _path: &[u8], _entry: &Entry) -> io::Result<bool> {
        Ok(false)
    }

    /// The next piece of the wanted content.
    fn content(&mut self, _piece: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// A visitor that looks at nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ignore;

impl Visitor for Ignore {}

/// Reads a package. Memory does not grow with the size of files, only with their number.
pub fn read(reader: impl Read, limits: &Limits) -> Result<DebPackage, Error> {
    read_with(reader, limits, &mut Ignore)
}

/// Reads a package and shows its files to a visitor.
pub fn read_with(reader: impl Read, limits: &Limits, visitor: &mut dyn Visitor) -> Result<DebPackage, Error> {
    let mut place = Place::default();
    read_members(reader, limits, visitor, &mut place).map_err(|reason| Error { package: place.package, member: place.member, reason })
}

/// Where reading has come to, for the error's sake.
#[derive(Default)]
struct Place {
    package: Option<String>,
    member: Option<String>,
}

fn read_members(reader: impl Read, limits: &Limits, visitor: &mut dyn Visitor, place: &mut Place) -> Result<DebPackage, Refusal> {
    let mut hashing = Hashing::new(reader, limits.package);
    let mut archive = Archive::open(&mut hashing)?;

    expect(&mut archive, "debian-binary", place)?;
    if archive.read_small(VERSION.len() as u64)? != VERSION {
        return Err(Refusal::FormatVersion);
    }
    let member = expect(&mut archive, "control.tar", place)?;
    let files = read_control(&mut archive, &member, limits, visitor)?;
    let control = Control::parse(files.get("control").ok_or(Refusal::NoControl)?).map_err(Refusal::Control)?;
    place.package = Some(format!("{} {} {}", control.name, control.version, control.architecture));
    let conffiles = parse_conffiles(files.get("conffiles").map(Vec::as_slice).unwrap_or_default()).map_err(Refusal::Conffiles)?;

    let member = expect(&mut archive, "data.tar", place)?;
    let collector = read_payload(&mut archive, &member, limits, visitor)?;
    while let Some(member) = archive.next_member()? {
        place.member = Some(member.name.clone());
        if !member.name.starts_with('_') {
            return Err(Refusal::Member { expected: "the end", found: member.name });
        }
        archive.skip()?;
    }
    let control_files = files.into_keys().collect();
    let (size, sha256) = hashing.finish();
    let manifest = collector.finish(sha256, &conffiles)?;
    Ok(DebPackage { control, conffiles, control_files, size, sha256, manifest })
}

/// The next member, whose name must be `stem` with one of the extensions that are read.
fn expect<R: Read>(archive: &mut Archive<R>, stem: &'static str, place: &mut Place) -> Result<Member, Refusal> {
    let member = archive.next_member()?.ok_or(Refusal::Member { expected: stem, found: "the end".to_owned() })?;
    place.member = Some(member.name.clone());
    match member.name.strip_prefix(stem) {
        Some(rest) if rest.is_empty() || (rest.starts_with('.') && stem != "debian-binary") => Ok(member),
        _ => Err(Refusal::Member { expected: stem, found: member.name }),
    }
}

fn decoder<'a, R: Read>(
    archive: &'a mut Archive<R>,
    member: &Member,
    stem: &str,
    limit: u64,
) -> Result<Decoder<&'a mut Archive<R>>, Refusal> {
    let extension = member.name[stem.len()..].trim_start_matches('.');
    let compression = Compression::from_extension(extension).ok_or_else(|| Refusal::Compression(extension.to_owned()))?;
    Ok(Decoder::new(compression, archive, limit)?)
}

fn read_control<R: Read>(
    archive: &mut Archive<R>,
    member: &Member,
    limits: &Limits,
    visitor: &mut dyn Visitor,
) -> Result<BTreeMap<String, Vec<u8>>, Refusal> {
    let mut decoder = decoder(archive, member, "control.tar", limits.control)?;
    let tar_limits = TarLimits { entries: CONTROL_FILES, path: limits.path, expanded: limits.control, passed_over: &[] };
    let mut tar = Reader::new(&mut decoder, tar_limits);
    let mut files = BTreeMap::new();
    while let Some(entry) = tar.next_entry()? {
        let path = relative(&entry.path)?;
        if path.is_empty() && entry.kind == Kind::Directory {
            continue;
        }
        let plain = String::from_utf8(path).ok().filter(|name| !name.contains('/') && entry.kind == Kind::File);
        let name = plain.ok_or_else(|| Refusal::Path { path: entry.path.clone(), why: "is no plain file of the control archive" })?;
        let mut content = Vec::new();
        tar.content(&entry, &mut |piece| {
            content.extend_from_slice(piece);
            Ok(())
        })?;
        visitor.control_file(&name, &content)?;
        if files.insert(name, content).is_some() {
            return Err(Refusal::Path { path: entry.path, why: "stands twice in the archive" });
        }
    }
    if decoder.at_end_of_input()? { Ok(files) } else { Err(Refusal::AfterStream) }
}

fn read_payload<R: Read>(
    archive: &mut Archive<R>,
    member: &Member,
    limits: &Limits,
    visitor: &mut dyn Visitor,
) -> Result<Collector, Refusal> {
    let bomb = RATIO_FLOOR.saturating_add(member.size.saturating_mul(limits.ratio));
    let most = limits.payload.min(bomb);
    let mut decoder = decoder(archive, member, "data.tar", most)?;
    let mut tar = Reader::new(&mut decoder, TarLimits { entries: limits.entries, path: limits.path, expanded: most, passed_over: &[] });
    let mut collector = Collector::default();
    while let Some(entry) = tar.next_entry()? {
        let wanted = visitor.entry(&relative(&entry.path)?, &entry)?;
        let digest = match entry.kind {
            Kind::File => Some(hash_content(&mut tar, &entry, wanted, visitor)?),
            _ => None,
        };
        collector.add(&entry, digest)?;
    }
    if decoder.at_end_of_input()? { Ok(collector) } else { Err(Refusal::AfterStream) }
}

fn hash_content<R: Read>(tar: &mut Reader<R>, entry: &Entry, wanted: bool, visitor: &mut dyn Visitor) -> Result<Hash, Refusal> {
    let mut hash = Sha256::new();
    tar.content(entry, &mut |piece| {
        hash.update(piece);
        if wanted {
            visitor.content(piece)?;
        }
        Ok(())
    })?;
    Ok(Hash::new(hash.finalize().into()))
}

const VERSION: &[u8] = b"2.0\n";
const CONTROL_FILES: u64 = 1000;
/// A payload may always unpack to this much, however well it was compressed.
const RATIO_FLOOR: u64 = 64 << 20;

//! pacman's packages, `.pkg.tar.zst` and its like, read once from front to back (`specs/alpm.md`).
//!
//! In scope: the archive, `.PKGINFO`, and that `.MTREE` says of each file what the archive holds. Out of scope: signatures, dependencies;
//! `.INSTALL` is never run.

pub mod mtree;

use crate::ar::fill;
use crate::compression::{Compression, Decoder, decode};
use crate::control::Conffile;
use crate::deb::{self, Limits};
use crate::hashing::{Bounded, Counted, Hashing};
use crate::payload::{Collector, Owners};
use crate::tar::{Entry, Kind, Reader, TarLimits};
use crate::tarball::{self, Error, Identity, Info, Refusal};
use attest::{Hash, Manifest};
use mtree::Listed;
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Read;

/// Everything that a package file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlpmPackage {
    /// Its name, version and architecture.
    pub identity: Identity,
    /// Whether it has an `.INSTALL` script.
    pub has_script: bool,
    /// SHA-256 of the package file.
    pub sha256: Hash,
    /// Bytes of the package file.
    pub size: u64,
    /// Name and version of the source package; `None` where `.PKGINFO` has no `pkgbase`.
    pub source: Option<(String, String)>,
    /// What it would install, where, and how strictly that binds.
    pub manifest: Manifest,
}

/// Reads a package. Memory does not grow with the size of files, only with their number.
pub fn read(reader: impl Read, limits: &Limits) -> Result<AlpmPackage, Error> {
    let mut package = None;
    read_archive(reader, limits, &mut package).map_err(|reason| Error { package, reason })
}

fn read_archive(reader: impl Read, limits: &Limits, package: &mut Option<String>) -> Result<AlpmPackage, Refusal> {
    let mut whole = Hashing::new(reader, limits.package);
    let mut magic = [0; 6];
    let read = fill(&mut whole, &mut magic)?;
    let compression = compression(&magic[..read]).ok_or(Refusal::NotCompressed)?;
    let count = Cell::new(0);
    let input = Counted::new(magic[..read].chain(&mut whole), &count);
    let mut bounded = Bounded::new(Decoder::new(compression, input, limits.payload)?, &count, limits.ratio);
    let mut parts = Parts::default();
    let tar_limits = TarLimits { entries: limits.entries, path: limits.path, expanded: limits.payload, passed_over: PASSED_OVER };
    let mut tar = Reader::new(&mut bounded, tar_limits);
    let mut collector = Collector::new(Owners::Numbers);
    while let Some(entry) = tar.next_entry()? {
        let (path, own) = tarball::place(&entry)?;
        if own {
            parts.own(&mut tar, &entry, path, limits)?;
        } else {
            let digest = tarball::add(&mut tar, &entry, &mut collector)?;
            parts.seen(path, &entry, digest)?;
        }
    }
    if !bounded.get_mut().at_end_of_input()? {
        return Err(deb::Refusal::AfterStream.into());
    }
    drop(bounded);
    let info = parts.info.as_deref().ok_or(Refusal::Missing(".PKGINFO"))?;
    let info = Info::parse(info)?;
    let identity = info.identity()?;
    *package = Some(identity.to_string());
    let base = info.all("pkgbase").next().and_then(|base| std::str::from_utf8(base).ok());
    let source = base.map(|base| (base.to_owned(), identity.version.clone()));
    parts.compare(limits)?;
    let backup = |path: &[u8]| Conffile { path: [b"/", path].concat(), remove_on_upgrade: false };
    let conffiles: Vec<Conffile> = info.all("backup").map(backup).collect();
    let (size, sha256) = whole.finish();
    let manifest = collector.finish(sha256, &conffiles)?;
    Ok(AlpmPackage { identity, has_script: parts.has_script, sha256, size, source, manifest })
}

/// The compression that a file begins with.
pub(crate) fn compression(magic: &[u8]) -> Option<Compression> {
    match magic {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Compression::Zstd),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Some(Compression::Xz),
        [0x1f, 0x8b, ..] => Some(Compression::Gzip),
        _ => None,
    }
}

/// The package's own files, and what the archive held, to be compared with the list.
#[derive(Default)]
struct Parts {
    info: Option<Vec<u8>>,
    list: Option<Vec<u8>>,
    has_script: bool,
    files: BTreeMap<Vec<u8>, Listed>,
}

impl Parts {
    fn own<R: Read>(&mut self, tar: &mut Reader<R>, entry: &Entry, path: Vec<u8>, limits: &Limits) -> Result<(), Refusal> {
        let content = tarball::small(tar, entry, limits.control)?;
        let digest = Hash::new(Sha256::digest(&content).into());
        let twice = match path.as_slice() {
            b".MTREE" => return if self.list.replace(content).is_some() { Err(Refusal::Unexpected(path)) } else { Ok(()) },
            b".PKGINFO" => self.info.replace(content).is_some(),
            b".INSTALL" => std::mem::replace(&mut self.has_script, true),
            b".BUILDINFO" | b".CHANGELOG" => self.files.contains_key(&path),
            _ => true,
        };
        if twice { Err(Refusal::Unexpected(path)) } else { self.seen(path, entry, Some(digest)) }
    }

    /// Takes down what the archive says about a path, in the list's words.
    fn seen(&mut self, path: Vec<u8>, entry: &Entry, sha256: Option<Hash>) -> Result<(), Refusal> {
        if path.is_empty() {
            return Ok(());
        }
        let mut seen = Listed { mode: Some(entry.mode), uid: Some(entry.uid), gid: Some(entry.gid), ..Listed::default() };
        let kind = match &entry.kind {
            Kind::File => "file",
            Kind::HardLink(target) => {
                let target = crate::payload::relative(target)?;
                // The collector has seen to it that the target came before.
                seen = self.files.get(&target).cloned().unwrap_or(seen);
                "file"
            }
            Kind::Symlink(target) => {
                seen.link = Some(target.clone());
                "link"
            }
            Kind::Directory => "dir",
            Kind::Char(..) => "char",
            Kind::Block(..) => "block",
            Kind::Fifo => "fifo",
        };
        kind.clone_into(&mut seen.kind);
        if let Some(sha256) = sha256 {
            (seen.size, seen.sha256) = (Some(entry.size), Some(sha256));
        }
        self.files.insert(path, seen);
        Ok(())
    }

    /// The list names every file of the archive and nothing else, and says the same about it.
    fn compare(&self, limits: &Limits) -> Result<(), Refusal> {
        let list = self.list.as_deref().ok_or(Refusal::Missing(".MTREE"))?;
        let listed = parse_compressed(list, limits.control)?;
        let disagree = |path: &[u8], what| Refusal::Disagrees { path: path.to_vec(), what };
        let only = |a: &BTreeMap<Vec<u8>, Listed>, b: &BTreeMap<Vec<u8>, Listed>| {
            a.keys().find(|path| !b.contains_key(*path)).map(|path| disagree(path, "whether it is there"))
        };
        if let Some(refusal) = only(&self.files, &listed).or_else(|| only(&listed, &self.files)) {
            return Err(refusal);
        }
        for (path, seen) in &self.files {
            let listed = &listed[path];
            if (&listed.kind, &listed.link) != (&seen.kind, &seen.link) {
                return Err(disagree(path, "what it is"));
            }
            if (listed.mode, listed.uid, listed.gid) != (seen.mode, seen.uid, seen.gid) {
                return Err(disagree(path, "its mode or owner"));
            }
            if (listed.size, listed.sha256) != (seen.size, seen.sha256) {
                return Err(disagree(path, "its content"));
            }
        }
        Ok(())
    }
}

/// A list as packages and pacman's database keep it: compressed with gzip.
pub fn parse_compressed(list: &[u8], limit: u64) -> Result<BTreeMap<Vec<u8>, Listed>, Refusal> {
    mtree::parse(&decode(Compression::Gzip, list, limit)?)
}

/// Keys of libarchive: its own copies of attributes, and how it writes names.
const PASSED_OVER: &[&str] = &["LIBARCHIVE.", "hdrcharset"];

//! Alpine's packages, format 2: gzip members for signature, control information and data, read once (`specs/apk.md`).

use crate::deb::{self, Limits};
use crate::hashing::{Bounded, Counted, Hashing, HashingBuffer};
use crate::payload::{Collector, Owners};
use crate::tar::{Reader, TarLimits};
use crate::tarball::{self, Error, Identity, Info, Refusal};
use attest::Hash;
use attest::manifest::{Class, Manifest};
use flate2::bufread::GzDecoder;
use std::cell::Cell;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;

/// Everything that a package file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApkPackage {
    /// Its name, version and architecture.
    pub identity: Identity,
    /// SHA-256 of the compressed control information, which names the data's: the same after signing again.
    pub control: Hash,
    /// Where those bytes lie in the file.
    pub control_bytes: Range<u64>,
    /// SHA-256 of the compressed data.
    pub data: Hash,
    /// Name and version of the source package; `None` where `.PKGINFO` has no `origin`.
    pub source: Option<(String, String)>,
    /// Names of the scripts and triggers, sorted.
    pub scripts: Vec<String>,
    /// SHA-256 of the package file.
    pub sha256: Hash,
    /// Bytes of the package file.
    pub size: u64,
    /// What it would install, where, and how strictly that binds.
    pub manifest: Manifest,
}

/// Reads a package. Memory does not grow with the size of files, only with their number.
pub fn read(reader: impl Read, limits: &Limits) -> Result<ApkPackage, Error> {
    let mut package = None;
    read_members(reader, limits, &mut package).map_err(|reason| Error { package, reason })
}

fn read_members(reader: impl Read, limits: &Limits, package: &mut Option<String>) -> Result<ApkPackage, Refusal> {
    let count = Cell::new(0);
    let mut whole = Hashing::new(reader, limits.package);
    let mut input = BufReader::with_capacity(BUFFER, Counted::new(&mut whole, &count));
    let mut control = Control::default();
    let (mut digest, mut length) = read_control(&mut input, &count, limits, &mut control)?;
    let mut start = 0;
    if control.is_signature {
        (control, start) = (Control::default(), length);
        (digest, length) = read_control(&mut input, &count, limits, &mut control)?;
    }
    let control_bytes = start..start + length;
    let info = Info::parse(control.info.as_deref().ok_or(Refusal::Missing(".PKGINFO"))?)?;
    let identity = info.identity()?;
    *package = Some(identity.to_string());
    let origin = info.all("origin").next().and_then(|origin| std::str::from_utf8(origin).ok());
    let source = origin.map(|origin| (origin.to_owned(), identity.version.clone()));
    let (collector, data) = read_data(&mut input, &count, limits)?;
    if !input.fill_buf()?.is_empty() {
        return Err(deb::Refusal::AfterStream.into());
    }
    if info.one("datahash")? != data.to_hex() {
        return Err(Refusal::Disagrees { path: Vec::new(), what: "the data's digest" });
    }
    drop(input);
    let (size, sha256) = whole.finish();
    let manifest = collector.finish_by(sha256, &[], &class)?;
    control.scripts.sort();
    Ok(ApkPackage { identity, control: digest, control_bytes, data, source, scripts: control.scripts, sha256, size, manifest })
}

/// The first members hold nothing but files at the top whose names begin with a dot.
#[derive(Default)]
struct Control {
    is_signature: bool,
    info: Option<Vec<u8>>,
    scripts: Vec<String>,
}

/// Reads one member whose archive has no end of its own; gives the SHA-256 and the number of its compressed bytes.
fn read_control(input: &mut impl BufRead, count: &Cell<u64>, limits: &Limits, control: &mut Control) -> Result<(Hash, u64), Refusal> {
    let mut compressed = HashingBuffer::new(input);
    let decoder = GzDecoder::new(&mut compressed);
    let mut bounded = Bounded::new(decoder.take(limits.control), count, limits.ratio);
    let end = std::io::Cursor::new([0; 1024]);
    let tar_limits = TarLimits { entries: 100, path: limits.path, expanded: limits.control, passed_over: PASSED_OVER };
    let mut tar = Reader::new((&mut bounded).chain(end), tar_limits);
    while let Some(entry) = tar.next_entry()? {
        let (path, own) = tarball::place(&entry)?;
        let content = tarball::small(&mut tar, &entry, limits.control)?;
        let name = String::from_utf8(path.clone()).ok().filter(|_| own).ok_or(Refusal::Unexpected(path))?;
        match name.as_str() {
            ".PKGINFO" if control.info.is_none() => control.info = Some(content),
            _ if name.starts_with(".SIGN.") => control.is_signature = true,
            ".PKGINFO" => return Err(Refusal::Unexpected(name.into_bytes())),
            _ if control.scripts.contains(&name) => return Err(Refusal::Unexpected(name.into_bytes())),
            _ => control.scripts.push(name),
        }
    }
    tarball::drain(&mut bounded)?;
    if control.is_signature && (control.info.is_some() || !control.scripts.is_empty()) {
        return Err(Refusal::Unexpected(b".SIGN".to_vec()));
    }
    Ok(compressed.finish())
}

fn read_data(input: &mut impl BufRead, count: &Cell<u64>, limits: &Limits) -> Result<(Collector, Hash), Refusal> {
    let mut compressed = HashingBuffer::new(input);
    let decoder = GzDecoder::new(&mut compressed);
    let mut bounded = Bounded::new(decoder.take(limits.payload), count, limits.ratio);
    let tar_limits = TarLimits { entries: limits.entries, path: limits.path, expanded: limits.payload, passed_over: PASSED_OVER };
    let mut tar = Reader::new(&mut bounded, tar_limits);
    let mut collector = Collector::new(Owners::Names);
    while let Some(entry) = tar.next_entry()? {
        tarball::add(&mut tar, &entry, &mut collector)?;
    }
    tarball::drain(&mut bounded)?;
    Ok((collector, compressed.finish().0))
}

/// apk keeps what was edited below `etc`, except its own settings and the init scripts.
fn class(path: &[u8]) -> Option<Class> {
    let below = |tree: &[u8]| path.starts_with(tree);
    (below(b"etc/") && !below(b"etc/apk/") && !below(b"etc/init.d/")).then_some(Class::Config)
}

const BUFFER: usize = 64 * 1024;
/// Digests of apk-tools, which are no proof of anything.
const PASSED_OVER: &[&str] = &["APK-TOOLS."];

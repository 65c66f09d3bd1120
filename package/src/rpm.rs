//! Reading an `.rpm` once, from front to back, into the list of everything it would install (`specs/rpm.md`).
//!
//! In scope: lead, headers, payload, and that all of them agree. Out of scope: signatures, dependencies, scriptlets.

mod caps;
mod cpio;
mod error;
mod files;
mod header;
mod installed;
mod payload;

use crate::ar::fill;
use crate::deb::{self, Limits};
use crate::hashing::Hashing;
use attest::{Hash, Manifest};
use files::disagrees;
use std::io::Read;

pub use caps::parse as parse_capabilities;
pub use error::{Error, Refusal};
pub use header::Header;
pub use installed::{FileState, installed_files};

/// Name, version and architecture, as a header has them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// The epoch; 0 where there is none.
    pub epoch: u32,
    /// `version-release`.
    pub version: String,
    /// The architecture, such as `x86_64` or `noarch`.
    pub architecture: String,
}

/// Everything that a package file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpmPackage {
    /// Its name, version and architecture.
    pub identity: Identity,
    /// SHA-256 of the immutable header: the same after signing again.
    pub header: Hash,
    /// SHA-256 of the compressed payload, likewise.
    pub payload: Hash,
    /// SHA-256 of the package file.
    pub sha256: Hash,
    /// Bytes of the package file.
    pub size: u64,
    /// Name and `version-release` of the source package, from the name of its file; `None` where that has another form.
    pub source: Option<(String, String)>,
    /// What it would install, where, and how strictly that binds.
    pub manifest: Manifest,
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.name, self.version, self.architecture)
    }
}

impl Identity {
    /// The tags that make up a package's identity.
    pub fn of(header: &Header) -> Result<Self, Refusal> {
        let text = |tag| {
            let text = header.text(tag)?.and_then(|text| std::str::from_utf8(text).ok()).filter(|text| is_word(text));
            text.map(str::to_owned).ok_or(Refusal::Tag(tag, "is missing or malformed"))
        };
        let epoch = header.numbers(EPOCH, 32)?.first().copied().unwrap_or(0);
        Ok(Self {
            name: text(NAME)?,
            epoch: u32::try_from(epoch).unwrap_or(0),
            version: format!("{}-{}", text(VERSION)?, text(RELEASE)?),
            architecture: text(ARCH)?,
        })
    }
}

/// Reads a package. Memory grows with the header, not with the size of files.
pub fn read(reader: impl Read, limits: &Limits) -> Result<RpmPackage, Error> {
    let mut package = None;
    read_parts(reader, limits, &mut package).map_err(|reason| Error { package, reason })
}

fn read_parts(reader: impl Read, limits: &Limits, package: &mut Option<String>) -> Result<RpmPackage, Refusal> {
    let mut whole = Hashing::new(reader, limits.package);
    read_lead(&mut whole)?;
    let announced = Header::skip_signature(&mut whole, limits.header)?;
    let header = Header::read(&mut whole, header::IMMUTABLE, limits.header)?;
    let digest = header.digest();
    if announced.is_some_and(|announced| announced != digest) {
        return Err(disagrees(b"", "the header's digest"));
    }
    if let Some(tag) = header.repeated() {
        return Err(Refusal::Tag(tag, "stands twice"));
    }
    let is_format_6 = is_format_6(&header)?;
    if is_format_6 && announced.is_none() {
        return Err(Refusal::Header("a package of format 6 without its header's SHA-256"));
    }
    let source = header.text(SOURCE_RPM)?.ok_or(Refusal::Source)?;
    let source = std::str::from_utf8(source).ok().and_then(source_package);
    let identity = Identity::of(&header)?;
    *package = Some(identity.to_string());
    let records = files::parse(&header, limits)?;
    let mut hashing = Hashing::new(&mut whole, limits.package);
    let contents = payload::read(&mut hashing, &header, &records, limits, is_format_6)?;
    let (_, payload) = hashing.finish();
    check_payload_digest(&header, &payload, is_format_6)?;
    let (size, sha256) = whole.finish();
    let manifest = files::manifest(&records, sha256, &contents)?;
    Ok(RpmPackage { identity, header: digest, payload, sha256, size, source, manifest })
}

/// Name and `version-release` in the name of a source package's file, such as `bash-5.2.15-1.src.rpm`.
fn source_package(file: &str) -> Option<(String, String)> {
    let stem = file.strip_suffix(".src.rpm").or_else(|| file.strip_suffix(".nosrc.rpm"))?;
    let (rest, release) = stem.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    [name, version, release].into_iter().all(is_word).then(|| (name.to_owned(), format!("{version}-{release}")))
}

/// 96 bytes that say little; what they say must be the same for all packages.
fn read_lead(reader: &mut impl Read) -> Result<(), Refusal> {
    let mut lead = [0; 96];
    let read = fill(reader, &mut lead)?;
    if read < 4 || lead[..4] != *LEAD {
        return Err(Refusal::NotAnRpm);
    }
    if read < lead.len() {
        return Err(deb::Refusal::Truncated.into());
    }
    match (lead[4], &lead[6..8], &lead[78..80]) {
        (3 | 4, [0, 0], [0, 5]) => Ok(()),
        (3 | 4, [0, 1], _) => Err(Refusal::Source),
        (3 | 4, [0, 0], _) => Err(Refusal::Lead("its kind of signature is another than 5")),
        _ => Err(Refusal::Lead("its version is another than 3 or 4")),
    }
}

/// Whether it is of format 6; of format 4 where it does not say.
fn is_format_6(header: &Header) -> Result<bool, Refusal> {
    match header.numbers(FORMAT, 32)?.as_slice() {
        [] | [4] => Ok(false),
        [6] => Ok(true),
        _ => Err(Refusal::Tag(FORMAT, "names a format other than 4 and 6")),
    }
}

fn check_payload_digest(header: &Header, payload: &Hash, is_needed: bool) -> Result<(), Refusal> {
    let algorithm = header.numbers(PAYLOAD_ALGORITHM, 32)?.first().copied();
    match header.texts(PAYLOAD_SHA256)?.first() {
        None if is_needed => Err(Refusal::Tag(PAYLOAD_SHA256, "is missing")),
        Some(digest) if algorithm.is_none_or(|algorithm| algorithm == 8) && *digest != payload.to_hex().as_bytes() => {
            Err(disagrees(b"", "the payload's digest"))
        }
        _ => Ok(()),
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
}

const LEAD: &[u8; 4] = &[0xed, 0xab, 0xee, 0xdb];
const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const ARCH: u32 = 1022;
const SOURCE_RPM: u32 = 1044;
const PAYLOAD_SHA256: u32 = 5092;
const PAYLOAD_ALGORITHM: u32 = 5093;
const FORMAT: u32 = 5114;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_the_name_of_its_file() {
        let source = |file: &str| source_package(file).map(|(name, version)| format!("{name} {version}"));
        assert_eq!(source("bash-5.2.15-150600.1.src.rpm").as_deref(), Some("bash 5.2.15-150600.1"));
        assert_eq!(source("gtk-4-devel-4.12-1.nosrc.rpm").as_deref(), Some("gtk-4-devel 4.12-1"));
        for odd in
            ["", "bash", "bash.src.rpm", "bash-5.src.rpm", "-5-1.src.rpm", "bash-5-1.rpm", "a/b-5-1.src.rpm", "b--.src.rpm", "(none)"]
        {
            assert_eq!(source(odd), None, "{odd}");
        }
    }
}

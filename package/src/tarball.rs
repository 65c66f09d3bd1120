//! What packages of pacman and apk have in common: compressed tar archives with a `.PKGINFO` (`specs/alpm.md`, `specs/apk.md`).

mod error;
mod info;

use crate::deb;
use crate::hashing::Bounded;
use crate::payload::{Collector, relative};
use crate::tar::{Entry, Kind, Reader};
use attest::Hash;
use sha2::{Digest, Sha256};
use std::io::Read;

pub use error::{Error, Refusal};
pub use info::Info;

/// Name, version and architecture, as `.PKGINFO` has them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// The version, with its release, and with its epoch where it has one.
    pub version: String,
    /// The architecture, such as `x86_64`, `any` or `noarch`.
    pub architecture: String,
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.name, self.version, self.architecture)
    }
}

/// The content of a small file of the package itself.
pub(crate) fn small<R: Read>(tar: &mut Reader<R>, entry: &Entry, limit: u64) -> Result<Vec<u8>, Refusal> {
    if entry.kind != Kind::File {
        return Err(deb::Refusal::Path { path: entry.path.clone(), why: "is no plain file" }.into());
    }
    if entry.size > limit {
        return Err(deb::Refusal::TooLarge { what: "metadata", limit }.into());
    }
    let mut content = Vec::new();
    tar.content(entry, &mut |piece| {
        content.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(content)
}

/// Adds an entry of the payload; gives its digest where it has content.
pub(crate) fn add<R: Read>(tar: &mut Reader<R>, entry: &Entry, collector: &mut Collector) -> Result<Option<Hash>, Refusal> {
    let digest = if entry.kind == Kind::File {
        let mut hash = Sha256::new();
        tar.content(entry, &mut |piece| {
            hash.update(piece);
            Ok(())
        })?;
        Some(Hash::new(hash.finalize().into()))
    } else {
        None
    };
    collector.add(entry, digest)?;
    Ok(digest)
}

/// The path below the root, and whether it is one of the package's own files: those at the top whose names begin with a dot.
pub(crate) fn place(entry: &Entry) -> Result<(Vec<u8>, bool), Refusal> {
    let path = relative(&entry.path)?;
    let own = path.starts_with(b".") && !path.contains(&b'/');
    Ok((path, own))
}

/// Reads to the end of a stream that must hold nothing more than zeros.
pub(crate) fn drain(reader: &mut Bounded<'_, impl Read>) -> Result<(), Refusal> {
    let mut rest = [0; 4096];
    loop {
        match reader.read(&mut rest)? {
            0 => return Ok(()),
            read if rest[..read].iter().all(|byte| *byte == 0) => {}
            _ => return Err(deb::Refusal::Tar("bytes follow its end").into()),
        }
    }
}

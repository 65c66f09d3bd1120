//! Why a package of pacman or apk is refused.

use crate::deb;
use attest::manifest::ManifestError;
use std::fmt;
use std::io;

/// A refusal, with the package where known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Name, version and architecture, once `.PKGINFO` was read.
    pub package: Option<String>,
    /// What is wrong with it.
    pub reason: Refusal,
}

/// What is wrong with a package file (`specs/alpm.md` and `specs/apk.md` list each).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Neither Zstandard, xz nor gzip at its beginning.
    NotCompressed,
    /// A file of the package's own is missing.
    Missing(&'static str),
    /// A file of the package's own that is not known, or stands where it may not.
    Unexpected(Vec<u8>),
    /// A line of `.PKGINFO`, from 1, or 0 for all of it.
    Info(usize, &'static str),
    /// A line of an index, from 1, or 0 for all of it.
    Index(usize, &'static str),
    /// A line of `.MTREE`, from 1.
    Mtree(usize, &'static str),
    /// The package's own list or digest and its content contradict each other.
    Disagrees {
        /// The path, empty where it is about the whole package.
        path: Vec<u8>,
        /// In what.
        what: &'static str,
    },
    /// Compression, limits, paths, archives, input and output: as for other packages.
    Shared(deb::Refusal),
}

impl From<deb::Refusal> for Refusal {
    fn from(refusal: deb::Refusal) -> Self {
        Self::Shared(refusal)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Shared(error.into())
    }
}

impl From<ManifestError> for Refusal {
    fn from(error: ManifestError) -> Self {
        Self::Shared(error.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(package) = &self.package {
            write!(f, "{package}: ")?;
        }
        self.reason.fmt(f)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCompressed => f.write_str("not a package: compressed neither with zstd, xz nor gzip"),
            Self::Missing(name) => write!(f, "no {name}"),
            Self::Unexpected(path) => write!(f, "{}: not a file that such a package has", path.escape_ascii()),
            Self::Info(0, why) => write!(f, ".PKGINFO: {why}"),
            Self::Info(line, why) => write!(f, ".PKGINFO, line {line}: {why}"),
            Self::Index(0, why) => write!(f, "APKINDEX: {why}"),
            Self::Index(line, why) => write!(f, "APKINDEX, line {line}: {why}"),
            Self::Mtree(line, why) => write!(f, ".MTREE, line {line}: {why}"),
            Self::Disagrees { path, what } if path.is_empty() => write!(f, "the package contradicts itself in {what}"),
            Self::Disagrees { path, what } => write!(f, "{}: the package contradicts itself in {what}", path.escape_ascii()),
            Self::Shared(refusal) => refusal.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

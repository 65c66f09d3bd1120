//! Why an rpm package is refused.

use crate::deb;
use attest::manifest::ManifestError;
use std::fmt;
use std::io;

/// A refusal, with the package where known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Name, version, release and architecture, once the header was read.
    pub package: Option<String>,
    /// What is wrong with it.
    pub reason: Refusal,
}

/// What is wrong with a package file (`specs/rpm.md` lists each).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No lead at the beginning.
    NotAnRpm,
    /// The lead is malformed or of another version.
    Lead(&'static str),
    /// A header is malformed.
    Header(&'static str),
    /// A tag is missing or malformed.
    Tag(u32, &'static str),
    /// A source package: nothing of it is installed as it is.
    Source,
    /// A payload of another kind than cpio.
    Format(String),
    /// Digests of files that are too weak to compare content with.
    WeakDigests(u64),
    /// The payload's archive is malformed.
    Payload(&'static str),
    /// Header and payload, or the package's own digests and its bytes, contradict each other.
    Disagrees {
        /// The path, empty where it is about the whole package.
        path: Vec<u8>,
        /// In what.
        what: &'static str,
    },
    /// Compression, limits, paths, input and output: as for other packages.
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
            Self::NotAnRpm => f.write_str("not an rpm package: it has no lead"),
            Self::Lead(why) => write!(f, "malformed lead: {why}"),
            Self::Header(why) => write!(f, "malformed header: {why}"),
            Self::Tag(tag, why) => write!(f, "tag {tag} of the header {why}"),
            Self::Source => f.write_str("a source package; only what it builds is installed"),
            Self::Format(name) => write!(f, "a payload of the kind {name:?}; only cpio is read"),
            Self::WeakDigests(number) => write!(f, "its files have digests of algorithm {number}; only SHA-2 is strong enough"),
            Self::Payload(why) => write!(f, "malformed cpio archive: {why}"),
            Self::Disagrees { path, what } if path.is_empty() => write!(f, "the package contradicts itself in {what}"),
            Self::Disagrees { path, what } => write!(f, "{}: header and payload contradict each other in {what}", path.escape_ascii()),
            Self::Shared(refusal) => refusal.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

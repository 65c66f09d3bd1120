//! Why a package file is refused.

use crate::compression::LimitReached;
use crate::deb822;
use attest::manifest::ManifestError;
use std::fmt;
use std::io;

/// A refusal, with the package and the member where known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Name, version and architecture, once the control file was read.
    pub package: Option<String>,
    /// The archive member that was being read.
    pub member: Option<String>,
    /// What is wrong with it.
    pub reason: Refusal,
}

/// What is wrong with a package file (`specs/deb.md` lists each).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No `ar` archive at all.
    NotAnArchive,
    /// The `ar` container is malformed.
    Archive(&'static str),
    /// `debian-binary` says another version than 2.0.
    FormatVersion,
    /// A member is missing, unknown or out of order.
    Member {
        /// What had to stand here.
        expected: &'static str,
        /// What does.
        found: String,
    },
    /// A compression that is not read (bzip2, lzma and unknown ones).
    Compression(String),
    /// The compressed stream is damaged.
    Corrupt(String),
    /// Bytes follow the compressed stream inside its member.
    AfterStream,
    /// The input ends too early.
    Truncated,
    /// A limit in bytes.
    TooLarge {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A limit in pieces.
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The tar archive is malformed or holds something that readers understand differently.
    Tar(&'static str),
    /// A path that cannot be attested.
    Path {
        /// As stored in the archive.
        path: Vec<u8>,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No `control` file.
    NoControl,
    /// The `control` file.
    Control(deb822::Error),
    /// The `conffiles` file.
    Conffiles(deb822::Error),
    /// The manifest would be too large or contradictory.
    Manifest(ManifestError),
    /// Reading failed.
    Io(io::ErrorKind, String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        if let Some(reached) = error.get_ref().and_then(|inner| inner.downcast_ref::<LimitReached>()) {
            return Self::TooLarge { what: "content", limit: reached.limit };
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ if error.raw_os_error().is_some() => Self::Io(error.kind(), error.to_string()),
            _ => Self::Corrupt(error.to_string()),
        }
    }
}

impl From<ManifestError> for Refusal {
    fn from(error: ManifestError) -> Self {
        Self::Manifest(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(package) = &self.package {
            write!(f, "{package}: ")?;
        }
        if let Some(member) = &self.member {
            write!(f, "{member}: ")?;
        }
        self.reason.fmt(f)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnArchive => f.write_str("not a .deb: no ar archive"),
            Self::Archive(why) => write!(f, "malformed ar archive: {why}"),
            Self::FormatVersion => f.write_str("the package format is not exactly version 2.0"),
            Self::Member { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::Compression(name) => write!(f, "compressed as {name:?}; only gz, xz, zst and none are read"),
            Self::Corrupt(why) => write!(f, "damaged: {why}"),
            Self::AfterStream => f.write_str("bytes follow the compressed stream"),
            Self::Truncated => f.write_str("ends too early: it was cut"),
            Self::TooLarge { what, limit } => write!(f, "{what} is larger than the limit of {limit} bytes"),
            Self::TooMany { what, limit } => write!(f, "more {what} than the limit of {limit}"),
            Self::Tar(why) => write!(f, "malformed tar archive: {why}"),
            Self::Path { path, why } => write!(f, "{}: {why}", path.escape_ascii()),
            Self::NoControl => f.write_str("no control file"),
            Self::Control(error) => write!(f, "control: {error}"),
            Self::Conffiles(error) => write!(f, "conffiles: {error}"),
            Self::Manifest(error) => error.fmt(f),
            Self::Io(_, why) => write!(f, "cannot be read: {why}"),
        }
    }
}

impl std::error::Error for Error {}

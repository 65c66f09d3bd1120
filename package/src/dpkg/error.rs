//! Why a database cannot be used.

use crate::root::RootError;
use std::fmt;

/// Names the file, and the line where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DpkgError {
    /// Neither `var/lib/dpkg/status` nor `var/lib/dpkg/status.d`.
    NoDatabase,
    /// A file cannot be read.
    Unreadable(RootError),
    /// A file is malformed.
    Malformed {
        /// The file, below the root.
        file: String,
        /// The line, from 1; 0 for the whole file.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
}

impl DpkgError {
    /// A malformed line.
    pub(super) fn malformed(file: &str, line: usize, what: impl Into<String>) -> Self {
        Self::Malformed { file: file.to_owned(), line, what: what.into() }
    }
}

impl From<RootError> for DpkgError {
    fn from(error: RootError) -> Self {
        Self::Unreadable(error)
    }
}

impl fmt::Display for DpkgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDatabase => f.write_str("no dpkg database: neither var/lib/dpkg/status nor var/lib/dpkg/status.d exists"),
            Self::Unreadable(error) => error.fmt(f),
            Self::Malformed { file, line: 0, what } => write!(f, "{file}: {what}"),
            Self::Malformed { file, line, what } => write!(f, "{file}, line {line}: {what}"),
        }
    }
}

impl std::error::Error for DpkgError {}

//! What is to be built again: a package by name, or what a .buildinfo records.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::buildinfo::{Buildinfo, BuildinfoError};
use crate::request::{NotARequest, Request};

/// What the command line names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A package: NAME, NAME=VERSION.
    Package(Request),
    /// A file whose name ends in `.buildinfo`.
    Record(PathBuf),
}

/// The same, with the record read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A package; its environment is derived.
    Package(Request),
    /// A recorded build.
    Record(Box<Buildinfo>),
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct TargetError {
    path: PathBuf,
    reason: String,
}

impl FromStr for Named {
    type Err = NotARequest;

    fn from_str(text: &str) -> Result<Self, NotARequest> {
        if text.ends_with(".buildinfo") { Ok(Self::Record(PathBuf::from(text))) } else { text.parse().map(Self::Package) }
    }
}

impl Named {
    /// Reads the record, if it is one.
    ///
    /// # Errors
    /// If it cannot be read or makes no sense.
    pub fn read(self) -> Result<Target, TargetError> {
        match self {
            Self::Package(request) => Ok(Target::Package(request)),
            Self::Record(path) => {
                let failed = |reason: String| TargetError { path: path.clone(), reason };
                let bytes = client::cli::read_limited(&path, 1 << 20).map_err(|error| failed(format!("{error:#}")))?;
                let parsed = Buildinfo::parse(&bytes).map_err(|error: BuildinfoError| failed(error.to_string()))?;
                Ok(Target::Record(Box::new(parsed)))
            }
        }
    }
}

impl Target {
    /// The record, if there is one.
    #[must_use]
    pub fn record(&self) -> Option<&Buildinfo> {
        match self {
            Self::Package(_) => None,
            Self::Record(record) => Some(record),
        }
    }

    /// Where to build a source package: as recorded, or where Debian's own machines build.
    #[must_use]
    pub fn build_path(&self, source: &str, version: &str) -> PathBuf {
        let upstream = version.split_once(':').map_or(version, |(_, rest)| rest);
        let upstream = upstream.rsplit_once('-').map_or(upstream, |(upstream, _)| upstream);
        let usual = || Path::new(REPRODUCIBLE_PATH).join(format!("{source}-{upstream}"));
        self.record().and_then(|record| record.build_path.clone()).map_or_else(usual, PathBuf::from)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package(request) => request.fmt(f),
            Self::Record(record) => write!(f, "{}={}", record.source, record.version),
        }
    }
}

/// Where Debian's machines build since 2022.
const REPRODUCIBLE_PATH: &str = "/build/reproducible-path";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_records_are_told_apart() {
        assert_eq!("a/b.buildinfo".parse(), Ok(Named::Record(PathBuf::from("a/b.buildinfo"))));
        assert_eq!("sed=4.9-1".parse(), Ok(Named::Package("sed=4.9-1".parse().unwrap())));
        assert!("a b".parse::<Named>().is_err());
        assert!(Named::Record(PathBuf::from("/nowhere.buildinfo")).read().unwrap_err().to_string().contains("/nowhere.buildinfo"));
    }

    #[test]
    fn the_usual_path_is_named_after_the_upstream_version() {
        let path = |version: &str| Target::Package("x".parse().unwrap()).build_path("attr", version).display().to_string();
        assert_eq!(path("1:2.4.47-2"), "/build/reproducible-path/attr-2.4.47");
        assert_eq!(path("2.0-rc1-3"), "/build/reproducible-path/attr-2.0-rc1");
        assert_eq!(path("3.23+nmu1"), "/build/reproducible-path/attr-3.23+nmu1");
    }
}

//! `package-origin/v1`: the signed chain InRelease -> Packages -> package file, as the builder verified it against a pinned keyring.
//!
//! The package file's own digest is the subject's.

use serde::{Deserialize, Serialize};
use tlog::Hash;

use super::is_line;
use crate::json;
use crate::statement::StatementError;

/// Where a package file came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageOrigin {
    /// `Filename` in the Packages index: the path below the repository's root.
    pub filename: String,
    /// SHA-256 of the InRelease file.
    #[serde(rename = "inRelease", with = "json::hash")]
    pub in_release: Hash,
    /// `Origin` of the InRelease file, such as `Debian`.
    pub origin: String,
    /// Path of the Packages index as InRelease lists it, such as `main/binary-amd64/Packages.xz`.
    #[serde(rename = "packagesPath")]
    pub packages_path: String,
    /// SHA-256 of that file.
    #[serde(rename = "packagesSha256", with = "json::hash")]
    pub packages: Hash,
    /// Fingerprints of the keys whose signatures on InRelease verified: uppercase hexadecimal, sorted, each once.
    pub signers: Vec<String>,
    /// `Codename` of the InRelease file, or `Suite` where it has none.
    pub suite: String,
}

impl PackageOrigin {
    pub(super) fn check(&self) -> Result<(), StatementError> {
        for text in [&self.filename, &self.origin, &self.packages_path, &self.suite] {
            if !is_line(text, 1_024) {
                return Err(StatementError::BadPredicate("names and paths are one line of at most 1,024 bytes"));
            }
        }
        if self.signers.is_empty() || self.signers.len() > 16 || !self.signers.is_sorted_by(|a, b| a < b) {
            return Err(StatementError::BadPredicate("1 to 16 signers, sorted, each once"));
        }
        if !self.signers.iter().all(|signer| is_fingerprint(signer)) {
            return Err(StatementError::BadPredicate("a signer is a fingerprint of 40 or 64 uppercase hexadecimal digits"));
        }
        Ok(())
    }
}

fn is_fingerprint(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'))
}

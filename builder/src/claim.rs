//! The claim about a package file, computed from its bytes alone, and the statement of its origin.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use attest::predicate::{PackageFiles, PackageOrigin, PackageSource, Predicate};
use attest::{Purl, Statement};
use package::deb::{self, DebPackage};

use crate::distro::PackageFile;

/// Why there is no claim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// The file could not be opened.
    #[error("{path}: {reason}")]
    Unreadable {
        /// Which file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// The package file is refused.
    #[error("{0}")]
    Package(String),
    /// Nobody said whose packages these are.
    #[error("the repository's Origin or name `{0}` is not among the vendors")]
    UnknownVendor(String),
    /// The name does not make a package URL or the statement breaks its own rules.
    #[error("the package cannot be named or stated: {0}")]
    Statement(String),
}

impl ClaimError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "check the builder's directory",
            Self::Package(_) => "nothing is attested for such a package; specs/deb.md lists every refusal",
            Self::UnknownVendor(_) => "add it to [vendors] in the configuration, as in the log's roles: Debian = \"debian\"",
            Self::Statement(_) => "report this package: its name or content is outside of what statements can say",
        }
    }
}

/// Everything said about a package file before anything was installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The package file as read.
    pub file: PackageFile,
    /// Its package URL.
    pub purl: Purl,
    /// The manifest's text.
    pub manifest: Vec<u8>,
    /// `package-files/v1`.
    pub files: Statement,
    /// `package-origin/v1`.
    pub origin: Statement,
    /// `package-source/v1`, where the package file names its source.
    pub source: Option<Statement>,
}

/// Reads a package file.
///
/// # Errors
/// If it is refused.
pub fn read(path: &Path) -> Result<DebPackage, ClaimError> {
    let file = File::open(path).map_err(|error| ClaimError::Unreadable { path: path.display().to_string(), reason: error.to_string() })?;
    deb::read(file, &deb::Limits::default()).map_err(|error| ClaimError::Package(error.to_string()))
}

impl Claim {
    /// The claim about a package whose origin is verified. `vendors` maps the `Origin` of Release files, and the names of repositories, to
    /// namespaces.
    ///
    /// # Errors
    /// If the vendor is unknown or the statement cannot be made.
    pub fn new(file: PackageFile, origin: &PackageOrigin, vendors: &BTreeMap<String, String>) -> Result<Self, ClaimError> {
        let vendor = vendors.get(&origin.origin).ok_or_else(|| ClaimError::UnknownVendor(origin.origin.clone()))?;
        let purl = file.purl(vendor).map_err(|error| ClaimError::Statement(error.to_string()))?;
        let files = statement(&purl, &file, Predicate::PackageFiles(PackageFiles::of(&file.manifest)))?;
        let origin = statement(&purl, &file, Predicate::PackageOrigin(origin.clone()))?;
        let source = file.source.as_ref().and_then(|(name, version)| PackageSource::of(&purl, name, version));
        let source = source.map(|source| statement(&purl, &file, Predicate::PackageSource(source))).transpose()?;
        Ok(Self { manifest: file.manifest.encode(), file, purl, files, origin, source })
    }
}

/// A statement about a package, checked.
///
/// # Errors
/// If it breaks a rule of statements.
pub fn statement(purl: &Purl, file: &PackageFile, predicate: Predicate) -> Result<Statement, ClaimError> {
    let mut statement = Statement::about_package(purl, file.sha256, predicate);
    let digests = &mut statement.subject.digest;
    (digests.rpm_header, digests.rpm_payload) = file.rpm.unzip();
    digests.apk_control = file.apk;
    statement.check().map_err(|error| ClaimError::Statement(error.to_string()))?;
    Ok(statement)
}

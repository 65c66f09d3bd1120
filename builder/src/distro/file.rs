//! A package file of any format, as a claim needs it.

use std::fs::File;
use std::path::Path;

use attest::purl::PurlError;
use attest::{Manifest, Purl};
use package::alpm::AlpmPackage;
use package::apk::ApkPackage;
use package::control::Control;
use package::deb::{DebPackage, Limits};
use package::rpm::RpmPackage;
use package::tarball::Identity;
use package::{alpm, rpm};
use tlog::Hash;

use super::{Format, Manager};
use crate::claim::ClaimError;

/// What a package file says about itself, and what it would install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageFile {
    /// Which kind of file it is.
    pub format: Format,
    /// Its name.
    pub name: String,
    /// Its version as package URLs spell it; for rpm without the epoch.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// The epoch of rpm packages; 0 where there is none, and for other formats.
    pub epoch: u32,
    /// The branch that an apk package is of.
    pub branch: Option<String>,
    /// SHA-256 of the file.
    pub sha256: Hash,
    /// Bytes of the file.
    pub size: u64,
    /// For rpm: SHA-256 of header and payload.
    pub rpm: Option<(Hash, Hash)>,
    /// For apk: SHA-256 of the control member.
    pub apk: Option<Hash>,
    /// Name and version of its source package, where it names one.
    pub source: Option<(String, String)>,
    /// What it would install.
    pub manifest: Manifest,
}

impl PackageFile {
    /// Reads a package of another manager than apt.
    ///
    /// # Errors
    /// If it is refused.
    pub fn read(manager: Manager, path: &Path) -> Result<Self, ClaimError> {
        let unreadable = |error: std::io::Error| ClaimError::Unreadable { path: path.display().to_string(), reason: error.to_string() };
        let (file, limits) = (File::open(path).map_err(unreadable)?, Limits::default());
        let refused = |error: &dyn std::fmt::Display| ClaimError::Package(error.to_string());
        match manager {
            Manager::Apt => crate::claim::read(path).map(Self::from),
            Manager::Apk => super::apk::read(path).map(Self::from),
            Manager::Pacman => alpm::read(file, &limits).map(Self::from).map_err(|error| refused(&error)),
            Manager::Dnf | Manager::Zypper => rpm::read(file, &limits).map(Self::from).map_err(|error| refused(&error)),
        }
    }

    fn new(format: Format, identity: Identity, (sha256, size): (Hash, u64), manifest: Manifest) -> Self {
        let Identity { name, version, architecture } = identity;
        Self { format, name, version, architecture, epoch: 0, branch: None, sha256, size, rpm: None, apk: None, source: None, manifest }
    }

    /// Its package URL in a namespace.
    ///
    /// # Errors
    /// If its name does not make one.
    pub fn purl(&self, namespace: &str) -> Result<Purl, PurlError> {
        self.format.purl(namespace, &self.name, &self.version, &self.architecture, self.epoch, self.branch.as_deref())
    }

    /// For messages.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{} {} {}", self.name, self.version, self.architecture)
    }
}

impl From<DebPackage> for PackageFile {
    fn from(deb: DebPackage) -> Self {
        let Control { name, version, architecture, source, source_version, .. } = deb.control;
        let new = Self::new(Format::Deb, Identity { name, version, architecture }, (deb.sha256, deb.size), deb.manifest);
        Self { source: Some((source, source_version)), ..new }
    }
}

impl From<RpmPackage> for PackageFile {
    fn from(package: RpmPackage) -> Self {
        let rpm::Identity { name, epoch, version, architecture } = package.identity;
        let new = Self::new(Format::Rpm, Identity { name, version, architecture }, (package.sha256, package.size), package.manifest);
        Self { epoch, rpm: Some((package.header, package.payload)), source: package.source, ..new }
    }
}

impl From<AlpmPackage> for PackageFile {
    fn from(package: AlpmPackage) -> Self {
        let new = Self::new(Format::Alpm, package.identity, (package.sha256, package.size), package.manifest);
        Self { source: package.source, ..new }
    }
}

impl From<ApkPackage> for PackageFile {
    fn from(package: ApkPackage) -> Self {
        let new = Self::new(Format::Apk, package.identity, (package.sha256, package.size), package.manifest);
        Self { apk: Some(package.control), source: package.source, ..new }
    }
}

//! `package-source/v1`: from which source package a binary package was built, by its own words. With it a warning about a source package
//! reaches the packages that are installed (`specs/advisory.md`).

use serde::{Deserialize, Serialize};
use tlog::Hash;

use crate::json;
use crate::purl::Purl;
use crate::statement::{StatementError, Subject};

/// The source of the subject. Without a digest it is a function of the package file's bytes, so that honest builders say the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageSource {
    /// SHA-256 of the .dsc or the .src.rpm, where whoever states it has seen that.
    #[serde(default, with = "json::hash_option", skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Hash>,
    /// Package URL of the source package, of the subject's type and vendor: `pkg:deb/debian/openssl@3.0.17-1?arch=source`.
    pub source: String,
}

impl PackageSource {
    /// The source package with this name and version, of a binary package; `None` if they make no package URL.
    #[must_use]
    pub fn of(binary: &Purl, name: &str, version: &str) -> Option<Self> {
        let source = binary.source(name, version).ok()?;
        Some(Self { sha256: None, source: source.to_string() })
    }

    /// The source package; [`crate::Statement::check`] has seen that it is one.
    #[must_use]
    pub fn purl(&self) -> Option<Purl> {
        Purl::parse(&self.source).ok().filter(Purl::is_source)
    }

    pub(super) fn check(&self, subject: &Subject) -> Result<(), StatementError> {
        let binary = Purl::parse(&subject.name).map_err(|_| StatementError::BadSubject("the name must be a canonical package URL"))?;
        let same_vendor = |source: &Purl| source.kind() == binary.kind() && source.namespace() == binary.namespace();
        if binary.is_source() {
            return Err(StatementError::BadSubject("a binary package; a source package is no other's result"));
        }
        match self.purl().filter(same_vendor) {
            Some(_) => Ok(()),
            None => Err(StatementError::BadPredicate("source: a source package of the subject's type and vendor, arch=source or arch=src")),
        }
    }
}

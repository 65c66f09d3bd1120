//! `rebuild/v1`: a package was built again from its source, with the same result or another.

use serde::{Deserialize, Serialize};
use tlog::Hash;

use super::is_line;
use crate::json;
use crate::statement::StatementError;

/// How a rebuild ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RebuildResult {
    /// Bit for bit the subject.
    Same,
    /// Another file, whose digest is given.
    Different,
    /// No file at all.
    Failed,
}

/// What it was built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Every package of the recorded environment in the recorded version.
    Recorded,
    /// The recorded environment, but for packages that were not to be had in the recorded version: they are listed.
    Differing,
    /// No record was at hand: what the source package asks for, from the suite as it was.
    Derived,
    /// Somebody else's program built it; what in is for its own record to say.
    Imported,
}

/// What kind of difference was met first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Differs {
    /// The bytes of a file.
    Content,
    /// Mode, owner, time, type or link target.
    Attributes,
    /// Whether it is there at all, or in which order.
    Presence,
    /// Nothing but how the same things are packed.
    Encoding,
}

/// Where the subject and what was built instead first differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstDifference {
    /// The member of the package file, such as `data.tar.xz`.
    pub member: String,
    /// The path in it, written as in manifests; absent where the member differs as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What differs.
    pub what: Differs,
}

/// Whose result it is, where the one who states it did not build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// The raw Ed25519 key whose signature on the record was verified.
    #[serde(with = "json::hash")]
    pub key: Hash,
    /// Where it was taken from.
    pub url: String,
}

/// The result of building the subject again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rebuild {
    /// `NAME=VERSION` of recorded packages that were not to be had, sorted; only where the environment is `differing`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differing: Vec<String>,
    /// What it was built in.
    pub environment: Environment,
    /// Where the first difference is, only where the result is `different`; absent if nobody looked.
    #[serde(rename = "firstDifference", default, skip_serializing_if = "Option::is_none")]
    pub first_difference: Option<FirstDifference>,
    /// Whose result it is, only where the environment is `imported`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
    /// SHA-256 of the record: the .buildinfo that was followed, or the signed link that was imported.
    #[serde(default, with = "json::hash_option", skip_serializing_if = "Option::is_none")]
    pub record: Option<Hash>,
    /// How it ended.
    pub result: RebuildResult,
    /// What was built instead, only where the result is `different`.
    #[serde(default, with = "json::hash_option", skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Hash>,
    /// What was built: name and version of the source package.
    pub source: String,
    /// SHA-256 of the source package's .dsc; absent if it is not known.
    #[serde(rename = "sourceSha256", default, with = "json::hash_option", skip_serializing_if = "Option::is_none")]
    pub source_sha256: Option<Hash>,
}

impl Rebuild {
    /// A result in an environment, without more.
    #[must_use]
    pub fn new(source: String, environment: Environment, result: RebuildResult) -> Self {
        let (differing, first_difference, imported) = (Vec::new(), None, None);
        Self { differing, environment, first_difference, imported, record: None, result, sha256: None, source, source_sha256: None }
    }

    pub(super) fn check(&self) -> Result<(), StatementError> {
        let is_different = self.result == RebuildResult::Different;
        if is_different != self.sha256.is_some() || (!is_different && self.first_difference.is_some()) {
            return Err(StatementError::BadPredicate("a different result, and only it, has a digest of its own and a first difference"));
        }
        if self.record.is_some() != (self.environment != Environment::Derived) {
            return Err(StatementError::BadPredicate("a record belongs to every environment but a derived one"));
        }
        if self.imported.is_some() != (self.environment == Environment::Imported) {
            return Err(StatementError::BadPredicate("an imported result, and only it, says from where"));
        }
        if self.differing.is_empty() == (self.environment == Environment::Differing) || !is_package_list(&self.differing) {
            return Err(StatementError::BadPredicate("differing: NAME=VERSION, sorted, at most 1,024, only in a differing environment"));
        }
        let places = self.first_difference.as_ref().is_none_or(FirstDifference::is_bounded);
        if !places || !is_line(&self.source, 1_024) || self.imported.as_ref().is_some_and(|imported| !is_line(&imported.url, 1_024)) {
            return Err(StatementError::BadPredicate("source, url and places are lines of at most 1,024 bytes"));
        }
        Ok(())
    }
}

impl FirstDifference {
    /// A path is there where something inside the member differs.
    fn is_bounded(&self) -> bool {
        let is_inside = self.what != Differs::Encoding;
        let path = self.path.as_deref().is_none_or(|path| is_inside && is_line(path, 1_024) && path.starts_with('.'));
        is_line(&self.member, 255) && path
    }
}

fn is_package_list(list: &[String]) -> bool {
    let is_package = |text: &String| {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.~:=".contains(&byte));
        plain && text.len() <= 256 && text.split_once('=').is_some_and(|(name, version)| !name.is_empty() && !version.is_empty())
    };
    list.len() <= MAX_DIFFERING && list.iter().all(is_package) && list.is_sorted_by(|one, next| one < next)
}

/// More would not fit an envelope.
const MAX_DIFFERING: usize = 1_024;

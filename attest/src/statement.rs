//! Statements: in-toto Statement v1 with exactly one subject, as canonical JSON (`specs/statement.md`).
//!
//! A statement says one thing about one subject: a package file, or one of the log's own affairs (roles, advisories,
//! control heads, repositories). The predicates live in [`crate::predicate`].

use std::fmt;

use serde::{Deserialize, Serialize};
use tlog::Hash;

use crate::envelope;
use crate::json::{self, JsonError};
use crate::predicate::{Kind, Predicate};
use crate::purl::Purl;

/// The value of `_type`.
pub const TYPE: &str = "https://in-toto.io/Statement/v1";

/// Largest statement in bytes; what does not fit an envelope is useless.
pub const MAX_BYTES: usize = envelope::MAX_BYTES / 4 * 3;

/// Why a statement was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatementError {
    /// More bytes than fit into an envelope.
    TooLarge,
    /// Not JSON, not an in-toto statement, or a member is unknown, missing or of the wrong type.
    Malformed,
    /// Understood, but not in the canonical spelling.
    NotCanonical,
    /// A predicate type that this version does not know.
    UnknownPredicate,
    /// The subject does not fit the predicate; the text says what is expected.
    BadSubject(&'static str),
    /// A value of the predicate is out of its bounds; the text says what is expected.
    BadPredicate(&'static str),
}

impl fmt::Display for StatementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the statement is too large for an envelope"),
            Self::Malformed => f.write_str("not an in-toto statement with one subject and only known members"),
            Self::NotCanonical => f.write_str("the statement is not canonical JSON"),
            Self::UnknownPredicate => f.write_str("unknown predicate type"),
            Self::BadSubject(reason) => write!(f, "bad subject: {reason}"),
            Self::BadPredicate(reason) => write!(f, "bad predicate: {reason}"),
        }
    }
}

impl std::error::Error for StatementError {}

impl From<JsonError> for StatementError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::TooLarge => Self::TooLarge,
            JsonError::TooDeep | JsonError::Malformed => Self::Malformed,
            JsonError::NotCanonical => Self::NotCanonical,
        }
    }
}

/// What a statement is about: a name and digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Its digests.
    pub digest: Digests,
    /// A package URL, or `tallystick:roles`, `tallystick:advisory`, `tallystick:control-head`, `tallystick:repository/...`.
    pub name: String,
}

/// Digests of a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digests {
    /// Only for apk: SHA-256 of the compressed control member, which names the data and survives signing again.
    #[serde(rename = "apkControlSha256", default, with = "json::hash_option", skip_serializing_if = "Option::is_none")]
    pub apk_control: Option<Hash>,
    /// Only for rpm: SHA-256 of the immutable header, which survives signing again.
    #[serde(rename = "rpmHeaderSha256", default, with = "json::hash_option", skip_serializing_if = "Option::is_none")]
    pub rpm_header: Option<Hash>,
    /// Only for rpm: SHA-256 of the compressed payload.
    #[serde(rename = "rpmPayloadSha256", default, with = "json::hash_option", skip_serializing_if = "Option::is_none")]
    pub rpm_payload: Option<Hash>,
    /// SHA-256 of the package file; of the roles text; of the repository's index; of the canonical predicate otherwise.
    #[serde(with = "json::hash")]
    pub sha256: Hash,
}

impl Digests {
    /// What survives signing again, where the format has it: which package it is, in whichever file.
    #[must_use]
    pub fn content(&self) -> Option<Hash> {
        self.rpm_header.or(self.apk_control)
    }
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// About what.
    pub subject: Subject,
    /// What is said.
    pub predicate: Predicate,
}

impl Statement {
    /// A statement about a package file.
    #[must_use]
    pub fn about_package(purl: &Purl, package: Hash, predicate: Predicate) -> Self {
        Self { subject: Subject::new(purl.to_string(), package), predicate }
    }

    /// Reads a canonical statement and checks every bound of its predicate and subject.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        json::check_limits(bytes, MAX_BYTES)?;
        let probe: Probe = serde_json::from_slice(bytes).map_err(|_| StatementError::Malformed)?;
        let kind = Kind::from_uri(&probe.predicate_type).ok_or(StatementError::UnknownPredicate)?;
        let statement = kind.parse_statement(bytes)?;
        statement.check()?;
        Ok(statement)
    }

    /// The canonical bytes: the payload of an envelope.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.predicate.encode_statement(&self.subject)
    }

    /// Which predicate.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.predicate.kind()
    }

    /// The subject's package URL, for statements about packages.
    #[must_use]
    pub fn purl(&self) -> Option<Purl> {
        self.subject.name.starts_with("pkg:").then(|| Purl::parse(&self.subject.name).ok()).flatten()
    }

    /// Checks what the types do not: bounds, and that the subject fits the predicate. [`Statement::parse`] has done it;
    /// whoever builds a statement calls it before signing.
    pub fn check(&self) -> Result<(), StatementError> {
        self.predicate.check(&self.subject)
    }
}

impl Subject {
    /// A subject with nothing but its SHA-256.
    #[must_use]
    pub fn new(name: String, sha256: Hash) -> Self {
        Self { digest: Digests { apk_control: None, rpm_header: None, rpm_payload: None, sha256 }, name }
    }

    /// A subject that is a package file.
    pub(crate) fn check_package(&self) -> Result<(), StatementError> {
        let purl = Purl::parse(&self.name).map_err(|_| StatementError::BadSubject("the name must be a canonical package URL"))?;
        let is_rpm = purl.kind() == "rpm";
        if is_rpm != self.digest.rpm_header.is_some() || is_rpm != self.digest.rpm_payload.is_some() {
            return Err(StatementError::BadSubject("header and payload digests belong to rpm packages, and only to them"));
        }
        if (purl.kind() == "apk") != self.digest.apk_control.is_some() {
            return Err(StatementError::BadSubject("the control member's digest belongs to apk packages, and only to them"));
        }
        Ok(())
    }

    /// A subject that is one of the log's own affairs.
    pub(crate) fn check_own(&self, name: &str, sha256: Hash) -> Result<(), StatementError> {
        if *self == Self::new(name.to_owned(), sha256) {
            return Ok(());
        }
        Err(StatementError::BadSubject("the name must be that of the predicate, the digest that of its content"))
    }
}

/// The whole statement for one type of predicate, members in canonical order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Raw<P> {
    #[serde(rename = "_type")]
    pub(crate) statement_type: String,
    pub(crate) predicate: P,
    #[serde(rename = "predicateType")]
    pub(crate) predicate_type: String,
    pub(crate) subject: [Subject; 1],
}

/// Finds out which predicate it is; everything else is read in the second pass.
#[derive(Deserialize)]
struct Probe {
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

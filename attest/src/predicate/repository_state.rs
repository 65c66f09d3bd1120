//! `repository-state/v1`: an index of a repository. A builder says that it saw it; an admin says that it is the current one. The
//! second means "now", so registrations form a chain (`specs/repository.md`).

use serde::{Deserialize, Serialize};
use tlog::Hash;

use super::{is_chain, is_integer, is_line};
use crate::json;
use crate::purl;
use crate::statement::{StatementError, Subject};

/// An index of a repository; its digest is the subject's. What it says is a function of the index's bytes, so builders that saw one
/// index say the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositoryState {
    /// The index's own date, in POSIX seconds; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<u64>,
    /// Name of the index: `InRelease`, `repomd.xml`, `core.db`.
    pub index: String,
    /// SHA-256 of the payload before in this repository's chain; absent in the first, and where it is only seen.
    #[serde(default, with = "json::hash_option", skip_serializing_if = "Option::is_none")]
    pub previous: Option<Hash>,
    /// From 1, where an admin registers the index as the current one; absent where a builder only saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Until when the index itself asks to be believed, in POSIX seconds; absent where it does not say.
    #[serde(rename = "validUntil", default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<u64>,
}

impl RepositoryState {
    /// What a builder says of an index that it saw.
    #[must_use]
    pub fn seen(index: &str, date: Option<u64>, valid_until: Option<u64>) -> Self {
        Self { date, index: index.to_owned(), previous: None, sequence: None, valid_until }
    }

    /// The same index, registered as the current one after the registration with this number and payload.
    #[must_use]
    pub fn registered(self, after: Option<(u64, Hash)>) -> Self {
        let sequence = Some(after.map_or(0, |(sequence, _)| sequence) + 1);
        Self { previous: after.map(|(_, payload)| payload), sequence, ..self }
    }

    /// Whether an admin says that it is the current one.
    #[must_use]
    pub const fn is_registration(&self) -> bool {
        self.sequence.is_some()
    }

    /// The name of the subject of everything that is said about a repository such as `deb/debian/bookworm`.
    #[must_use]
    pub fn subject_of(repository: &str) -> String {
        format!("{SUBJECT_PREFIX}{repository}")
    }

    /// Whether a text names a repository, such as `deb/debian/bookworm`.
    #[must_use]
    pub fn is_repository(text: &str) -> bool {
        Self::repository(&Self::subject_of(text)).is_some()
    }

    /// Whether a text is a pattern of repositories: a name, or the beginning of one, from the type on, with a star.
    #[must_use]
    pub fn is_pattern(text: &str) -> bool {
        let Some(prefix) = text.strip_suffix('*') else { return Self::is_repository(text) };
        let Some((kind, rest)) = prefix.split_once('/') else { return false };
        let (namespace, suite) = rest.split_once('/').unwrap_or((rest, ""));
        let begun = rest.is_empty() || purl::is_namespace(namespace);
        purl::is_repository_kind(kind) && begun && (suite.is_empty() || is_suite(suite))
    }

    /// The pattern of all packages of a vendor that a pattern of repositories stays within: `pkg:deb/debian/*` for `deb/debian/bookworm*`,
    /// `pkg:deb/*` for `deb/*`. `None` where there is none, as for `deb/deb*`.
    #[must_use]
    pub fn vendor_pattern(pattern: &str) -> Option<String> {
        let mut parts = pattern.splitn(3, '/');
        let (kind, namespace, suite) = (parts.next()?, parts.next()?, parts.next());
        match (namespace, suite) {
            ("*", None) => Some(format!("pkg:{kind}/*")),
            (_, Some(_)) => Some(format!("pkg:{kind}/{namespace}/*")),
            _ => None,
        }
    }

    /// The repository that a subject's name is about: `deb/debian/bookworm`.
    #[must_use]
    pub fn name(subject_name: &str) -> Option<&str> {
        Self::repository(subject_name).and_then(|_| subject_name.strip_prefix(SUBJECT_PREFIX))
    }

    /// The subject's name for a repository: `tallystick:repository/deb/debian/bookworm`.
    #[must_use]
    pub fn subject_name(kind: &str, namespace: &str, suite: &str) -> String {
        format!("{SUBJECT_PREFIX}{kind}/{namespace}/{suite}")
    }

    /// Package type and namespace of a subject's name: what scopes are compared with.
    #[must_use]
    pub fn repository(subject_name: &str) -> Option<(&str, &str)> {
        let mut parts = subject_name.strip_prefix(SUBJECT_PREFIX)?.splitn(3, '/');
        let (kind, namespace, suite) = (parts.next()?, parts.next()?, parts.next()?);
        (purl::is_repository_kind(kind) && purl::is_namespace(namespace) && is_suite(suite)).then_some((kind, namespace))
    }

    pub(super) fn check(&self, subject: &Subject) -> Result<(), StatementError> {
        if Self::repository(&subject.name).is_none() || *subject != Subject::new(subject.name.clone(), subject.digest.sha256) {
            return Err(StatementError::BadSubject("the name must be tallystick:repository/<type>/<namespace>/<suite>"));
        }
        let chained = self.sequence.map_or(self.previous.is_none(), |sequence| is_chain(sequence, self.previous));
        let times = self.date.is_none_or(is_integer) && self.valid_until.is_none_or(is_integer);
        if !chained || !times || self.valid_until < self.date.filter(|_| self.valid_until.is_some()) {
            return Err(StatementError::BadPredicate("sequence from 1, the first without previous; a time in which the index is valid"));
        }
        if !is_line(&self.index, 255) || self.index.contains('/') {
            return Err(StatementError::BadPredicate("the index is named as its file, such as InRelease"));
        }
        Ok(())
    }
}

fn is_suite(text: &str) -> bool {
    is_line(text, 128) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/+~-".contains(&byte))
}

const SUBJECT_PREFIX: &str = "tallystick:repository/";

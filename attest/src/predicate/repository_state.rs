//! `repository-state/v1`: which index of a repository is the current one. Means "now", so states form a chain.

use serde::{Deserialize, Serialize};
use tlog::Hash;

use super::{is_chain, is_integer, is_line};
use crate::json;
use crate::purl;
use crate::statement::{StatementError, Subject};

/// The current index of a repository; its digest is the subject's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositoryState {
    /// The index's own date, in POSIX seconds.
    pub date: u64,
    /// Name of the index: `InRelease`, `repomd.xml`, `core.db`.
    pub index: String,
    /// SHA-256 of the payload before in this repository's chain; absent in the first.
    #[serde(default, with = "json::hash_option", skip_serializing_if = "Option::is_none")]
    pub previous: Option<Hash>,
    /// From 1.
    pub sequence: u64,
}

impl RepositoryState {
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
        (purl::is_kind(kind) && purl::is_namespace(namespace) && is_suite(suite)).then_some((kind, namespace))
    }

    pub(super) fn check(&self, subject: &Subject) -> Result<(), StatementError> {
        if Self::repository(&subject.name).is_none() || *subject != Subject::new(subject.name.clone(), subject.digest.sha256) {
            return Err(StatementError::BadSubject("the name must be tallystick:repository/<type>/<namespace>/<suite>"));
        }
        if !is_chain(self.sequence, self.previous) || !is_integer(self.date) || !is_line(&self.index, 255) {
            return Err(StatementError::BadPredicate("sequence from 1, the first without previous; a date and an index name"));
        }
        Ok(())
    }
}

fn is_suite(text: &str) -> bool {
    is_line(text, 128) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/+~-".contains(&byte))
}

const SUBJECT_PREFIX: &str = "tallystick:repository/";

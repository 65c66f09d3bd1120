//! `lifecycle/v1`: packages or a repository reach their end of life, are superseded by others, or are supported after all. What is said
//! forms one chain per log, numbered from 1 (`specs/ends.md`).

use serde::{Deserialize, Serialize};
use tlog::Hash;

use super::{Affected, RepositoryState, chained_subject, check_chained, is_integer, is_line};
use crate::json;
use crate::purl::{Purl, Scope};
use crate::statement::{StatementError, Subject};

/// What becomes of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// From a date on nobody repairs it, and nobody warns of it.
    EndOfLife,
    /// Something else has taken its place.
    Superseded,
    /// What the same office said of it before no longer holds.
    Supported,
}

/// What is said of one pattern of packages or repositories; the subject's digest is that of the canonical predicate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lifecycle {
    /// Of what. Whoever speaks of the very same again replaces what was said.
    pub affected: Affected,
    /// From when it holds, in POSIX seconds; absent exactly where the stage is `supported`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<u64>,
    /// SHA-256 of the payload of the statement before; absent in number 1.
    #[serde(default, with = "json::hash_option", skip_serializing_if = "Option::is_none")]
    pub previous: Option<Hash>,
    /// Where to read more: an address, or a name that people know.
    pub reference: String,
    /// Number of the statement, from 1 without gaps.
    pub sequence: u64,
    /// What becomes of it.
    pub stage: Stage,
    /// What to use instead: a package such as `pkg:deb/debian/mariadb-server`, or a repository such as `deb/debian/trixie`; present where
    /// the stage is `superseded`, absent where it is `supported`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
    /// Why, in one line.
    pub summary: String,
}

impl Lifecycle {
    /// The subject's name.
    pub const SUBJECT: &'static str = "tallystick:lifecycle";

    /// The subject that belongs to this predicate.
    #[must_use]
    pub fn subject(&self) -> Subject {
        chained_subject(Self::SUBJECT, self)
    }

    /// Whether it holds at a time in POSIX seconds.
    #[must_use]
    pub fn holds(&self, now: u64) -> bool {
        self.date.is_some_and(|date| date <= now)
    }

    /// Whether patterns of an admin's scopes cover all that this is about: a repository if they cover its vendor, as for its registration.
    #[must_use]
    pub fn is_within(&self, scopes: &[Scope]) -> bool {
        let Affected { purl, repository, source, .. } = &self.affected;
        let within = |pattern: &str| Scope::parse(pattern).is_ok_and(|pattern| scopes.iter().any(|scope| scope.contains(&pattern)));
        match (purl.as_deref().or(source.as_deref()), repository) {
            (Some(pattern), _) => within(pattern),
            (None, Some(repository)) => {
                let vendor = RepositoryState::vendor_pattern(repository);
                vendor.is_some_and(|vendor| within(&vendor))
            }
            (None, None) => false,
        }
    }

    pub(super) fn check(&self, subject: &Subject) -> Result<(), StatementError> {
        check_chained(subject, &self.subject(), self.sequence, self.previous)?;
        self.affected.check().map_err(StatementError::BadPredicate)?;
        if !is_line(&self.reference, 1_024) || !is_line(&self.summary, 1_024) {
            return Err(StatementError::BadPredicate("texts are one line of 1 to 1,024 bytes"));
        }
        let ends = self.stage != Stage::Supported;
        if ends != self.date.is_some() || !self.date.is_none_or(is_integer) {
            return Err(StatementError::BadPredicate("a date in POSIX seconds, but where the stage is supported"));
        }
        let fits = self.successor.as_deref().map(|successor| is_successor(successor, &self.affected));
        match (self.stage, fits) {
            (Stage::EndOfLife | Stage::Supported, None) | (Stage::EndOfLife | Stage::Superseded, Some(true)) => Ok(()),
            _ => Err(StatementError::BadPredicate("a successor of the same sort, without a star; superseded has one, supported has none")),
        }
    }
}

/// Packages are followed by a package, with or without its version, and repositories by a repository.
fn is_successor(text: &str, affected: &Affected) -> bool {
    if affected.repository.is_some() {
        return RepositoryState::is_repository(text);
    }
    !text.ends_with('*') && (Scope::parse(text).is_ok() || Purl::parse(text).is_ok())
}

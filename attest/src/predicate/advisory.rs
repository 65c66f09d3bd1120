//! `advisory/v1`: the security team warns, or withdraws a warning. Advisories form one chain per log, numbered from 1.

use serde::{Deserialize, Serialize};
use tlog::Hash;

use super::{RepositoryState, chained_subject, check_chained, is_line};
use crate::json;
use crate::purl::{Purl, Scope};
use crate::statement::{StatementError, Subject};
use crate::version;

/// Warn or withdraw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// From now on, packages that match are `warned`.
    Warn,
    /// The warning with this `id` no longer holds.
    Withdraw,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Little harm, or only in unusual settings.
    Low,
    /// Harm in common settings.
    Medium,
    /// Act soon.
    High,
    /// Act now.
    Critical,
}

/// What an advisory is about: packages, of which the pattern, the versions and (where given) the digests must match; packages that were
/// built from a source package of which the pattern and the versions do; or the indexes of repositories, of which the pattern and (where
/// given) the digests must.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affected {
    /// First version that is not affected any more; absent: all later ones are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// SHA-256 of affected package files or indexes, sorted; empty: any.
    #[serde(with = "json::hashes")]
    pub digests: Vec<Hash>,
    /// First affected version; absent: all earlier ones are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Pattern of package URLs, such as `pkg:deb/debian/openssh-server` or `pkg:deb/debian/*` ([`Scope`]); absent where it is about
    /// repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    /// Pattern of repositories, such as `deb/debian/bookworm` or `deb/debian/*`; absent where it is about packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Pattern of package URLs of source packages; absent where it is about packages by their own names, or repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A warning or its withdrawal; the subject's digest is that of the canonical predicate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advisory {
    /// Warn or withdraw.
    pub action: Action,
    /// What to do, in one line.
    pub advice: String,
    /// What is affected; empty exactly in a withdrawal.
    pub affected: Vec<Affected>,
    /// Name of the warning, such as `TSA-2026-0001`; a withdrawal names the warning that it ends.
    pub id: String,
    /// SHA-256 of the payload of the advisory before; absent in number 1.
    #[serde(default, with = "json::hash_option", skip_serializing_if = "Option::is_none")]
    pub previous: Option<Hash>,
    /// Where to read more: an address or a CVE number.
    pub reference: String,
    /// Number of the advisory, from 1 without gaps.
    pub sequence: u64,
    /// How bad.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub summary: String,
}

impl Affected {
    /// All packages of a pattern.
    #[must_use]
    pub fn packages(pattern: &str) -> Self {
        Self { purl: Some(pattern.to_owned()), ..Self::nothing() }
    }

    /// All packages that were built from the source packages of a pattern.
    #[must_use]
    pub fn sources(pattern: &str) -> Self {
        Self { source: Some(pattern.to_owned()), ..Self::nothing() }
    }

    /// All indexes of the repositories of a pattern.
    #[must_use]
    pub fn repositories(pattern: &str) -> Self {
        Self { repository: Some(pattern.to_owned()), ..Self::nothing() }
    }

    const fn nothing() -> Self {
        Self { before: None, digests: Vec::new(), from: None, purl: None, repository: None, source: None }
    }

    /// The pattern, of packages, source packages or repositories.
    #[must_use]
    pub fn pattern(&self) -> &str {
        self.purl.as_deref().or(self.source.as_deref()).or(self.repository.as_deref()).unwrap_or_default()
    }

    /// Whether this is about an index of a repository, named as `deb/debian/bookworm`.
    #[must_use]
    pub fn covers_index(&self, repository: &str, index: &Hash) -> bool {
        let is_meant = |pattern: &str| match pattern.strip_suffix('*') {
            Some(prefix) => repository.starts_with(prefix),
            None => repository == pattern,
        };
        self.repository.as_deref().is_some_and(is_meant) && (self.digests.is_empty() || self.digests.contains(index))
    }

    /// Whether this is about a package file, which was built from these source packages as far as anybody says. A version that cannot be
    /// compared (no rule for its ecosystem here) counts as affected: a needless warning is better than none.
    #[must_use]
    pub fn covers(&self, purl: &Purl, package: &Hash, sources: &[Purl]) -> bool {
        let is_meant = |pattern: &Option<String>, purl: &Purl| {
            let scope = pattern.as_deref().and_then(|pattern| Scope::parse(pattern).ok());
            scope.is_some_and(|scope| scope.covers(purl)) && version::is_within(purl, self.from.as_deref(), self.before.as_deref())
        };
        let by_name = is_meant(&self.purl, purl) && (self.digests.is_empty() || self.digests.contains(package));
        by_name || sources.iter().any(|source| is_meant(&self.source, source))
    }

    /// Whether a package, of whose source nobody says anything, may be meant: it is of a vendor of the source packages.
    #[must_use]
    pub fn may_cover(&self, purl: &Purl) -> bool {
        let scope = self.source.as_deref().and_then(|pattern| Scope::parse(pattern).ok());
        scope.is_some_and(|scope| scope.touches_namespace(purl.kind(), purl.namespace()))
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        let versions = [&self.before, &self.from];
        let are_versions = versions.iter().all(|text| text.as_deref().is_none_or(|text| is_line(text, 256)));
        let is_good = match (&self.purl, &self.source, &self.repository) {
            (Some(pattern), None, None) => Scope::parse(pattern).is_ok() && are_versions,
            (None, Some(pattern), None) => Scope::parse(pattern).is_ok() && are_versions && self.digests.is_empty(),
            (None, None, Some(pattern)) => RepositoryState::is_pattern(pattern) && versions.iter().all(|text| text.is_none()),
            _ => false,
        };
        if !is_good {
            return Err(
                "one pattern: of packages such as pkg:deb/debian/attr, with versions; of source packages, the same without digests; \
                 or of repositories such as deb/debian/sid, without versions",
            );
        }
        if self.digests.len() > 256 || !self.digests.is_sorted_by(|a, b| a < b) {
            return Err("at most 256 digests, sorted, each once");
        }
        Ok(())
    }
}

impl Advisory {
    /// The subject's name.
    pub const SUBJECT: &'static str = "tallystick:advisory";

    /// The subject that belongs to this predicate.
    #[must_use]
    pub fn subject(&self) -> Subject {
        chained_subject(Self::SUBJECT, self)
    }

    pub(super) fn check(&self, subject: &Subject) -> Result<(), StatementError> {
        check_chained(subject, &self.subject(), self.sequence, self.previous)?;
        if !is_line(&self.id, 64) || ![&self.advice, &self.reference, &self.summary].iter().all(|text| is_line(text, 1_024)) {
            return Err(StatementError::BadPredicate("texts are one line of 1 to 1,024 bytes, the id of at most 64"));
        }
        if (self.action == Action::Withdraw) != self.affected.is_empty() || self.affected.len() > 64 {
            return Err(StatementError::BadPredicate("a warning names 1 to 64 affected patterns, a withdrawal none"));
        }
        self.affected.iter().try_for_each(Affected::check).map_err(StatementError::BadPredicate)
    }
}

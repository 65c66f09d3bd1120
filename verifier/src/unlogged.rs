//! Warnings by a second road: signed advisories that the log does not show (`specs/advisory.md`).
//!
//! A log that refuses the security team cannot silence it: the signed entry itself, as a file or from any address, is judged by the roles in
//! force. It can warn and nothing else, and every finding says that the log does not show it.

use attest::judge::{Judge, Leaf};
use attest::predicate::{Action, Advisory, Affected, Predicate};
use attest::roles::{KeyState, Role};
use attest::{Hash, Purl};
use tlog::VerifierKey;

use crate::finding::{Finding, Kind};
use crate::warnings::tell;

/// A warning that the log does not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlogged {
    advisory: Advisory,
    keys: Vec<VerifierKey>,
    confirmed: bool,
}

/// Why an entry is no such warning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnloggedError {
    /// Envelope or statement.
    #[error("it is no signed entry: {0}")]
    Malformed(attest::judge::Refusal),
    /// Another statement than a warning. Withdrawals count in the log alone: whoever holds one key must not silence what all can see.
    #[error("only warnings are taken by this road; withdrawals and all else count in the log alone")]
    NoWarning,
    /// Not by the security team in force.
    #[error("the roles in force do not name the key {0} as one of the security team")]
    NotOfTheTeam(String),
}

/// Who says which warning in this entry.
///
/// # Errors
/// See [`UnloggedError`].
pub fn check(entry: &[u8], judge: &Judge) -> Result<(VerifierKey, Advisory), UnloggedError> {
    let (envelope, statement) = Judge::open(entry).map_err(UnloggedError::Malformed)?;
    let Predicate::Advisory(advisory) = statement.predicate else { return Err(UnloggedError::NoWarning) };
    if advisory.action != Action::Warn {
        return Err(UnloggedError::NoWarning);
    }
    let key = envelope.key();
    let held = judge.roles().current().and_then(|current| current.roles.find(Role::Security, key));
    let is_active = held.is_some_and(|held| held.state == KeyState::Active) && judge.roles().compromised_from(key).is_none();
    if is_active { Ok((key.clone(), advisory)) } else { Err(UnloggedError::NotOfTheTeam(key.name().as_str().to_owned())) }
}

/// The warnings among entries that the log does not show and that it has not withdrawn. Keys are counted, never entries.
#[must_use]
pub fn hear(entries: &[Vec<u8>], judge: &Judge, logged: &[Leaf]) -> Vec<Unlogged> {
    let threshold = judge.roles().current().map_or(1, |current| current.roles.security.threshold.max(1));
    let mut heard: Vec<Unlogged> = Vec::new();
    for (key, advisory) in entries.iter().filter_map(|entry| check(entry, judge).ok()) {
        if is_answered(&advisory, logged, threshold) {
            continue;
        }
        match heard.iter_mut().find(|known| known.advisory == advisory) {
            Some(known) if known.keys.iter().any(|other| other.public() == key.public()) => {}
            Some(known) => known.keys.push(key),
            None => heard.push(Unlogged { advisory, keys: vec![key], confirmed: false }),
        }
    }
    heard.iter_mut().for_each(|unlogged| unlogged.confirmed = unlogged.keys.len() >= threshold);
    heard
}

/// Whether the log shows this very warning, or enough of the team withdrew one of its name in the log, not before it.
fn is_answered(advisory: &Advisory, logged: &[Leaf], threshold: usize) -> bool {
    let said = |leaf: &Leaf| match &leaf.statement.predicate {
        Predicate::Advisory(said) => Some(said.clone()),
        _ => None,
    };
    let mut withdrawn: Vec<&[u8]> = Vec::new();
    for leaf in logged {
        let Some(said) = said(leaf) else { continue };
        if said == *advisory {
            return true;
        }
        let ends = said.action == Action::Withdraw && said.id == advisory.id && said.sequence >= advisory.sequence;
        if ends && !withdrawn.contains(&leaf.key.public()) {
            withdrawn.push(leaf.key.public());
        }
    }
    withdrawn.len() >= threshold
}

impl Unlogged {
    /// The finding, if it is about this package file.
    #[must_use]
    pub fn about(&self, purl: &Purl, package: &Hash, sources: &[Purl]) -> Option<Finding> {
        self.finding(|affected| affected.covers(purl, package, sources))
    }

    /// The finding, if it is about this index of a repository.
    #[must_use]
    pub fn about_index(&self, repository: &str, index: &Hash) -> Option<Finding> {
        self.finding(|affected| affected.covers_index(repository, index))
    }

    fn finding(&self, is_meant: impl Fn(&Affected) -> bool) -> Option<Finding> {
        let kind = if self.confirmed { Kind::Warned } else { Kind::Unconfirmed };
        self.advisory.affected.iter().any(is_meant).then(|| Finding::new(kind, self.words()))
    }

    /// Who says what.
    #[must_use]
    pub fn words(&self) -> String {
        let names: Vec<&str> = self.keys.iter().map(|key| key.name().as_str()).collect();
        format!("not in the log yet, brought by another road, signed by {}: {}", names.join(", "), tell(&self.advisory))
    }
}

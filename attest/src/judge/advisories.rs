//! Which warnings are in force.

use tlog::Hash;

use super::claims::add_attester;
use super::{Attester, Judge, Leaf};
use crate::predicate::{Action, Advisory, Kind, Predicate};
use crate::purl::Purl;

/// A warning that has not been withdrawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The warning.
    pub advisory: Advisory,
    /// Who said it, by distinct keys of the security team.
    pub attesters: Vec<Attester>,
    /// Whether the team's threshold is reached. Below it the warning is to be shown, too, as unconfirmed.
    pub confirmed: bool,
}

/// All advisories of a log and what became of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advisories {
    in_force: Vec<InForce>,
    newest: u64,
}

impl Advisories {
    /// From the leaves that stand; `judge` is the state after the last of them.
    #[must_use]
    pub fn new(judge: &Judge, standing: &[Leaf]) -> Self {
        let threshold = judge.roles().current().map_or(1, |current| current.roles.security.threshold.max(1));
        let mut said = all(standing);
        said.iter_mut().for_each(|entry| entry.confirmed = entry.attesters.len() >= threshold);
        let newest = judge.chain(Kind::Advisory, Advisory::SUBJECT).map_or(0, |end| end.sequence);
        Self { in_force: in_force(said), newest }
    }

    /// The warnings in force, in order of their numbers.
    #[must_use]
    pub fn in_force(&self) -> &[InForce] {
        &self.in_force
    }

    /// Number of the newest advisory, withdrawals counted; 0 if there is none.
    #[must_use]
    pub const fn newest(&self) -> u64 {
        self.newest
    }

    /// The warnings about an index of a repository, named as `deb/debian/bookworm`.
    pub fn about_index(&self, repository: &str, index: &Hash) -> impl Iterator<Item = &InForce> {
        let is_meant = move |entry: &&InForce| entry.advisory.affected.iter().any(|affected| affected.covers_index(repository, index));
        self.in_force.iter().filter(is_meant)
    }

    /// The warnings about a package file that was built from these source packages, as far as anybody says.
    pub fn about(&self, purl: &Purl, package: &Hash, sources: &[Purl]) -> impl Iterator<Item = &InForce> {
        self.in_force.iter().filter(move |entry| entry.advisory.affected.iter().any(|affected| affected.covers(purl, package, sources)))
    }

    /// The warnings that may be about a package of whose source nobody says anything.
    pub fn in_doubt(&self, purl: &Purl) -> impl Iterator<Item = &InForce> {
        self.in_force.iter().filter(move |entry| entry.advisory.affected.iter().any(|affected| affected.may_cover(purl)))
    }
}

/// All advisories by number, each with everybody who said it.
fn all(standing: &[Leaf]) -> Vec<InForce> {
    let mut said: Vec<InForce> = Vec::new();
    for leaf in standing {
        let Predicate::Advisory(advisory) = &leaf.statement.predicate else { continue };
        if !said.iter().any(|entry| entry.advisory == *advisory) {
            said.push(InForce { advisory: advisory.clone(), attesters: Vec::new(), confirmed: false });
        }
        let same = said.iter_mut().filter(|entry| entry.advisory == *advisory);
        same.for_each(|entry| add_attester(&mut entry.attesters, leaf));
    }
    said.sort_by_key(|entry| entry.advisory.sequence);
    said
}

/// Warnings without a later, confirmed withdrawal of the same id. An unconfirmed withdrawal silences nothing.
fn in_force(said: Vec<InForce>) -> Vec<InForce> {
    let mut standing: Vec<InForce> = Vec::new();
    for entry in said {
        match entry.advisory.action {
            Action::Warn => standing.push(entry),
            Action::Withdraw if entry.confirmed => standing.retain(|warning| warning.advisory.id != entry.advisory.id),
            Action::Withdraw => {}
        }
    }
    standing
}

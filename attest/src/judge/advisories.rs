//! Which warnings are in force.

use tlog::Hash;

use super::{Attester, Judge, Leaf};
use crate::predicate::Advisory;
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
    pub fn new(_judge: &Judge, _standing: &[Leaf]) -> Self {
        todo!()
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

    /// The warnings about a package file.
    pub fn about(&self, purl: &Purl, package: &Hash) -> impl Iterator<Item = &InForce> {
        self.in_force.iter().filter(move |entry| entry.advisory.affected.iter().any(|affected| affected.covers(purl, package)))
    }
}

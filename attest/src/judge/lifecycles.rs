//! What has reached its end of life, and what is superseded.

use tlog::Hash;

use super::claims::add_attester;
use super::{Attester, Judge, Leaf};
use crate::predicate::{Kind, Lifecycle, Predicate, Stage};
use crate::purl::Purl;
use crate::roles::Role;

/// A statement in force, as one office said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What was said.
    pub lifecycle: Lifecycle,
    /// As the security team, or as admin.
    pub office: Role,
    /// Who said it in this office, by distinct keys.
    pub attesters: Vec<Attester>,
    /// Whether it binds: one admin is enough for what is in scope, of the security team its threshold.
    pub confirmed: bool,
}

/// All lifecycle statements of a log and what became of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycles {
    in_force: Vec<Said>,
    newest: u64,
}

impl Lifecycles {
    /// From the leaves that stand; `judge` is the state after the last of them.
    #[must_use]
    pub fn new(judge: &Judge, standing: &[Leaf]) -> Self {
        let team = judge.roles().current().map_or(1, |current| current.roles.security.threshold.max(1));
        let mut said = all(standing);
        for entry in &mut said {
            entry.confirmed = entry.attesters.len() >= if entry.office == Role::Admin { 1 } else { team };
        }
        let newest = judge.chain(Kind::Lifecycle, Lifecycle::SUBJECT).map_or(0, |end| end.sequence);
        Self { in_force: in_force(said), newest }
    }

    /// What is in force, in order of numbers.
    #[must_use]
    pub fn in_force(&self) -> &[Said] {
        &self.in_force
    }

    /// Number of the newest statement; 0 if there is none.
    #[must_use]
    pub const fn newest(&self) -> u64 {
        self.newest
    }

    /// What is in force about an index of a repository, named as `deb/debian/bookworm`.
    pub fn about_index(&self, repository: &str, index: &Hash) -> impl Iterator<Item = &Said> {
        self.in_force.iter().filter(move |said| said.lifecycle.affected.covers_index(repository, index))
    }

    /// What is in force about a package file that was built from these source packages, as far as anybody says.
    pub fn about(&self, purl: &Purl, package: &Hash, sources: &[Purl]) -> impl Iterator<Item = &Said> {
        self.in_force.iter().filter(move |said| said.lifecycle.affected.covers(purl, package, sources))
    }

    /// What may be about a package of whose source nobody says anything.
    pub fn in_doubt(&self, purl: &Purl) -> impl Iterator<Item = &Said> {
        self.in_force.iter().filter(move |said| said.lifecycle.affected.may_cover(purl))
    }
}

/// All statements by number, once for each office that said them.
fn all(standing: &[Leaf]) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    for leaf in standing {
        let (Predicate::Lifecycle(lifecycle), Some(office)) = (&leaf.statement.predicate, leaf.role) else { continue };
        let is_same = |entry: &Said| entry.office == office && entry.lifecycle == *lifecycle;
        if !said.iter().any(is_same) {
            said.push(Said { lifecycle: lifecycle.clone(), office, attesters: Vec::new(), confirmed: false });
        }
        said.iter_mut().filter(|entry| is_same(entry)).for_each(|entry| add_attester(&mut entry.attesters, leaf));
    }
    said.sort_by_key(|entry| entry.lifecycle.sequence);
    said
}

/// What binds takes the place of what the same office said of the very same before. No office silences another, and what does not bind
/// silences nothing.
fn in_force(said: Vec<Said>) -> Vec<Said> {
    let mut standing: Vec<Said> = Vec::new();
    for entry in said {
        if entry.confirmed {
            standing.retain(|earlier| earlier.office != entry.office || earlier.lifecycle.affected != entry.lifecycle.affected);
        }
        if entry.lifecycle.stage != Stage::Supported {
            standing.push(entry);
        }
    }
    standing
}

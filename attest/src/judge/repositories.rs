//! Which index of a repository is the current one, who registered it, and who saw it (`specs/repository.md`).

use tlog::Hash;

use super::claims::add_attester;
use super::{Attester, Leaf};
use crate::predicate::{Predicate, RepositoryState};

/// An index that was seen or registered, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownState {
    /// SHA-256 of the index.
    pub digest: Hash,
    /// What is said of the index itself: its name and its dates; the place in the chain is left out.
    pub index: RepositoryState,
    /// Its newest registration, if an admin registered it.
    pub registered: Option<Registration>,
    /// Builders that saw it, by distinct keys.
    pub seen: Vec<Attester>,
}

/// That an index is, or was, the current one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its number in the repository's chain.
    pub sequence: u64,
    /// SHA-256 of its payload: what the next one names.
    pub payload: Hash,
    /// Admins that said so, by distinct keys.
    pub by: Vec<Attester>,
}

/// What is known of the indexes of one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositoryStates(Vec<KnownState>);

impl RepositoryStates {
    /// From the leaves that stand about one repository.
    #[must_use]
    pub fn new(standing: &[Leaf]) -> Self {
        let mut states = Self::default();
        for leaf in standing {
            let Predicate::RepositoryState(said) = &leaf.statement.predicate else { continue };
            let state = states.entry(leaf.statement.subject.digest.sha256, said);
            let Some(sequence) = said.sequence else {
                add_attester(&mut state.seen, leaf);
                continue;
            };
            match &mut state.registered {
                Some(registered) if registered.sequence >= sequence => {}
                registered => *registered = Some(Registration { sequence, payload: leaf.payload, by: Vec::new() }),
            }
            if let Some(registered) = state.registered.as_mut().filter(|registered| registered.sequence == sequence) {
                add_attester(&mut registered.by, leaf);
            }
        }
        states
    }

    fn entry(&mut self, digest: Hash, said: &RepositoryState) -> &mut KnownState {
        let index = RepositoryState::seen(&said.index, said.date, said.valid_until);
        let found = self.0.iter().position(|state| state.digest == digest && state.index == index);
        let place = found.unwrap_or(self.0.len());
        if found.is_none() {
            self.0.push(KnownState { digest, index, registered: None, seen: Vec::new() });
        }
        &mut self.0[place]
    }

    /// All of them, in the order in which they were first spoken of.
    #[must_use]
    pub fn all(&self) -> &[KnownState] {
        &self.0
    }

    /// What is said of the index with this digest, as this index: who says that the same bytes have another name or date speaks of
    /// something else.
    #[must_use]
    pub fn find(&self, digest: &Hash, index: &RepositoryState) -> Option<&KnownState> {
        self.0.iter().find(|state| state.digest == *digest && state.index == *index)
    }

    /// The index that the last registration calls current.
    #[must_use]
    pub fn registered(&self) -> Option<&KnownState> {
        let sequence = |state: &&KnownState| state.registered.as_ref().map(|registered| registered.sequence);
        self.0.iter().filter(|state| state.registered.is_some()).max_by_key(sequence)
    }

    /// The newest index, by its own date, that at least k builders saw; of one date, the one that was spoken of last.
    #[must_use]
    pub fn newest_seen(&self, k: usize) -> Option<&KnownState> {
        self.0.iter().filter(|state| state.seen.len() >= k.max(1)).max_by_key(|state| state.index.date)
    }

    /// The current index: the registered one; where nothing is registered, the newest that k builders saw.
    #[must_use]
    pub fn current(&self, k: usize) -> Option<&KnownState> {
        self.registered().or_else(|| self.newest_seen(k))
    }
}

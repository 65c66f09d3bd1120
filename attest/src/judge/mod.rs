//! Judging: which leaves count, and what follows from those that do (`specs/statement.md`, `specs/roles.md`).
//!
//! Pure: leaves come in order of their indices, all of them or only those that concern the question (roles leaves always
//! belong to it). The log asks before it admits, verifiers ask again before they believe, auditors compare the two.

mod advisories;
mod claims;
mod observations;
mod refusal;

pub use advisories::{Advisories, InForce};
pub use claims::{Attester, Claim, ClaimVerdict, PackageClaims, claims_for};
pub use observations::{AgreedObservation, observations_for};
pub use refusal::Refusal;

use std::collections::BTreeMap;

use tlog::{Hash, VerifierKey};

use crate::envelope::Envelope;
use crate::predicate::Kind;
use crate::roles::RolesChain;
use crate::statement::Statement;

/// A leaf that was judged and counts, as long as its key is not called compromised later ([`Judge::is_void`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its index.
    pub index: u64,
    /// Who said it.
    pub key: VerifierKey,
    /// SHA-256 of the payload.
    pub payload: Hash,
    /// What was said.
    pub statement: Statement,
}

/// The state that judging needs: the chain of roles, and the ends of the chains of advisories, control heads and
/// repository states.
#[derive(Clone, Debug)]
pub struct Judge {
    roles: RolesChain,
    chains: BTreeMap<(Kind, String), Chain>,
}

/// The end of one chain of statements that mean "now".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Sequence number of the last statement.
    pub sequence: u64,
    /// SHA-256 of its payload.
    pub payload: Hash,
}

impl Judge {
    /// Nothing said yet; the first thing to be said is the roles document with this SHA-256.
    #[must_use]
    pub const fn new(roles_pin: Hash) -> Self {
        Self { roles: RolesChain::new(roles_pin), chains: BTreeMap::new() }
    }

    /// Whether the next leaf may be this one. Nothing changes. The envelope's signature is checked by [`Judge::open`].
    pub fn may(&self, _key: &VerifierKey, _payload: &Hash, _statement: &Statement) -> Result<(), Refusal> {
        todo!()
    }

    /// Parses and verifies an envelope and its statement: all that needs no roles. The slow part, and free of state, so
    /// that many threads can do it.
    pub fn open(_leaf: &[u8]) -> Result<(Envelope, Statement), Refusal> {
        todo!()
    }

    /// Judges leaf `index` and, if it counts, lets it change the state. Indices grow from call to call.
    pub fn admit(&mut self, _index: u64, _key: &VerifierKey, _payload: Hash, _statement: Statement) -> Result<Leaf, Refusal> {
        todo!()
    }

    /// [`Judge::open`] and [`Judge::admit`] in one.
    pub fn admit_bytes(&mut self, _index: u64, _leaf: &[u8]) -> Result<Leaf, Refusal> {
        todo!()
    }

    /// Whether a leaf that counted is void by now, since its key is called compromised from an entry at or before it.
    #[must_use]
    pub fn is_void(&self, leaf: &Leaf) -> bool {
        self.roles.compromised_from(&leaf.key).is_some_and(|from| from <= leaf.index)
    }

    /// The chain of roles.
    #[must_use]
    pub const fn roles(&self) -> &RolesChain {
        &self.roles
    }

    /// The end of a chain: kind and subject name.
    #[must_use]
    pub fn chain(&self, kind: Kind, subject_name: &str) -> Option<&Chain> {
        self.chains.get(&(kind, subject_name.to_owned()))
    }
}

/// What became of a list of leaves.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The state after the last leaf.
    pub judge: Judge,
    /// Leaves that count, void ones left out, in order.
    pub standing: Vec<Leaf>,
    /// Leaves that do not count, with the reason.
    pub refused: Vec<(u64, Refusal)>,
}

/// Judges leaves in order of their indices.
#[must_use]
pub fn judge_all<'a>(_roles_pin: Hash, _leaves: impl IntoIterator<Item = (u64, &'a [u8])>) -> Judged {
    todo!()
}

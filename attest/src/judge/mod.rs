//! Judging: which leaves count, and what follows from those that do (`specs/statement.md`, `specs/roles.md`).
//!
//! Pure: leaves come in order of their indices, all of them or only those that concern the question (roles leaves always
//! belong to it). The log asks before it admits, verifiers ask again before they believe, auditors compare the two.

mod advisories;
mod claims;
mod completeness;
mod heads;
mod lifecycles;
mod observations;
mod rebuilds;
mod refusal;
mod repositories;
mod sources;

pub use advisories::{Advisories, InForce};
pub use claims::{Attester, Claim, ClaimVerdict, PackageClaims, claims_for};
pub use completeness::{Completeness, completeness};
pub use lifecycles::{Lifecycles, Said};
pub use observations::{AgreedObservation, observations_for};
pub use rebuilds::{Rebuilds, Rebuilt, rebuilds_for};
pub use refusal::Refusal;
pub use repositories::{KnownState, Registration, RepositoryStates};
pub use sources::{StatedSource, sources_for};

use std::collections::BTreeMap;
use std::sync::Arc;

use tlog::{Hash, VerifierKey};

use crate::envelope::{Envelope, KnownKeys};
use crate::predicate::{Kind, Predicate, RepositoryState};
use crate::purl::Purl;
use crate::roles::{ChainError, KeyState, Role, RoleKey, RolesChain, SignedRoles};
use crate::statement::Statement;
use heads::Heads;

/// A leaf that was judged and counts, as long as its key is not called compromised later ([`Judge::is_void`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its index.
    pub index: u64,
    /// Who said it.
    pub key: VerifierKey,
    /// In which role; none for roles documents, which bind by their own signatures.
    pub role: Option<Role>,
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
    /// Payloads of all advisories and lifecycle statements by number: other members of the team may second any of them.
    said: BTreeMap<Kind, Vec<Hash>>,
    heads: Heads,
    keys: Arc<KnownKeys>,
    next: u64,
}

/// The end of one chain of statements that mean "now". It only grows: a statement that turns out void later keeps its
/// number, so that nobody has to count again.
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
    pub fn new(roles_pin: Hash) -> Self {
        let (roles, keys) = (RolesChain::new(roles_pin), Arc::new(KnownKeys::default()));
        Self { roles, chains: BTreeMap::new(), said: BTreeMap::new(), heads: Heads::default(), keys, next: 0 }
    }

    /// Whether the next leaf may be this one. Nothing changes. `payload` is the hash of the statement's bytes; that the key
    /// signed them was checked by [`Judge::open`].
    pub fn may(&self, key: &VerifierKey, payload: &Hash, statement: &Statement) -> Result<(), Refusal> {
        if let Some(signed) = SignedRoles::from_statement(statement) {
            let checked = signed.map_err(ChainError::Signed).and_then(|signed| self.roles.check(&signed));
            return checked.map_err(Refusal::Roles);
        }
        let (role, entry) = self.role_key(key, &statement.predicate)?;
        check_scope(role, entry, statement)?;
        self.check_chain(payload, statement)?;
        match &statement.predicate {
            // A head that knows more than this judge has seen is no fault of the head: `completeness`.
            Predicate::ControlHead(head) if !self.heads.allow(&self.roles, head) => Err(Refusal::WrongControlHead),
            Predicate::PackageOrigin(origin) => self.check_vendor(&origin.origin, statement),
            _ => Ok(()),
        }
    }

    /// Nobody's repository fills another vendor's namespace.
    fn check_vendor(&self, origin: &str, statement: &Statement) -> Result<(), Refusal> {
        let current = self.roles.current().ok_or(Refusal::NoRoles)?;
        let named = |purl: &Purl| current.roles.namespace(purl.kind(), origin) == Some(purl.namespace());
        let refusal = || Refusal::WrongVendor { origin: origin.to_owned() };
        statement.purl().filter(named).map(|_| ()).ok_or_else(refusal)
    }

    /// Parses and verifies an envelope and its statement: all that needs no roles. The slow part, and free of state, so
    /// that many threads can do it.
    pub fn open(leaf: &[u8]) -> Result<(Envelope, Statement), Refusal> {
        Self::open_known(leaf, &KnownKeys::default())
    }

    /// The same, faster for keys that are known ([`Judge::known_keys`]).
    pub fn open_known(leaf: &[u8], keys: &KnownKeys) -> Result<(Envelope, Statement), Refusal> {
        let envelope = Envelope::parse_known(leaf, keys).map_err(Refusal::Envelope)?;
        envelope.verify().map_err(Refusal::Envelope)?;
        let statement = Statement::parse(envelope.payload()).map_err(Refusal::Statement)?;
        Ok((envelope, statement))
    }

    /// Judges leaf `index` and, if it counts, lets it change the state. Indices grow from call to call.
    pub fn admit(&mut self, index: u64, key: &VerifierKey, payload: Hash, statement: Statement) -> Result<Leaf, Refusal> {
        if index < self.next {
            return Err(Refusal::OutOfOrder);
        }
        self.may(key, &payload, &statement)?;
        let role = self.role(key, &statement.predicate);
        self.next = index + 1;
        if let Some(Ok(signed)) = SignedRoles::from_statement(&statement) {
            self.roles.push(index, &signed).map_err(Refusal::Roles)?;
            let entries = Role::ALL.into_iter().flat_map(|role| signed.roles().keys(role));
            self.keys = Arc::new(entries.map(|entry| &entry.key).collect());
        }
        self.extend_chain(payload, &statement);
        if let Predicate::ControlHead(head) = &statement.predicate {
            self.heads.learn(index, key, head);
        }
        Ok(Leaf { index, key: key.clone(), role, payload, statement })
    }

    /// [`Judge::open`] and [`Judge::admit`] in one.
    pub fn admit_bytes(&mut self, index: u64, leaf: &[u8]) -> Result<Leaf, Refusal> {
        let (envelope, statement) = Self::open(leaf)?;
        self.admit(index, envelope.key(), envelope.payload_hash(), statement)
    }

    /// The role in which a key may say something of this kind now; none for roles documents.
    #[must_use]
    pub fn role(&self, key: &VerifierKey, predicate: &Predicate) -> Option<Role> {
        self.role_key(key, predicate).ok().map(|(role, _)| role)
    }

    /// The key's entry in a role that the predicate needs, if it may say anything new.
    fn role_key(&self, key: &VerifierKey, predicate: &Predicate) -> Result<(Role, &RoleKey), Refusal> {
        let current = self.roles.current().ok_or(Refusal::NoRoles)?;
        if let Some(from) = self.roles.compromised_from(key) {
            return Err(Refusal::Compromised { from });
        }
        let roles = Role::may_say(predicate);
        let needed = *roles.first().ok_or(Refusal::UnknownKey)?;
        let mut held = roles.iter().filter_map(|role| Some((*role, current.roles.find(*role, key)?))).peekable();
        if held.peek().is_none() {
            let known = Role::ALL.into_iter().any(|role| current.roles.find(role, key).is_some());
            return Err(if known { Refusal::WrongRole { needed } } else { Refusal::UnknownKey });
        }
        held.find(|(_, entry)| entry.state != KeyState::Retired).ok_or(Refusal::Retired)
    }

    /// The next number with the hash of the one before; or the same statement again, by another key (whoever repeats its
    /// own is stopped by the log's dedup, and counted once by verifiers).
    fn check_chain(&self, payload: &Hash, statement: &Statement) -> Result<(), Refusal> {
        let Some((found, previous)) = statement.predicate.chain() else { return Ok(()) };
        let end = self.chain(statement.kind(), &statement.subject.name);
        let repeated = match statement.kind() {
            Kind::ControlHead => false,
            kind @ (Kind::Advisory | Kind::Lifecycle) => self.said(kind, found) == Some(payload),
            _ => end.is_some_and(|end| end.payload == *payload),
        };
        let expected = end.map_or(1, |end| end.sequence + 1);
        if repeated {
            Ok(())
        } else if found != expected {
            Err(Refusal::WrongSequence { expected, found })
        } else if previous != end.map(|end| end.payload) {
            Err(Refusal::WrongPrevious)
        } else {
            Ok(())
        }
    }

    fn extend_chain(&mut self, payload: Hash, statement: &Statement) {
        let Some((sequence, _)) = statement.predicate.chain() else { return };
        let key = (statement.kind(), statement.subject.name.clone());
        if self.chains.get(&key).is_some_and(|end| end.sequence >= sequence) {
            return;
        }
        self.chains.insert(key, Chain { sequence, payload });
        if let Kind::Advisory | Kind::Lifecycle = statement.kind() {
            self.said.entry(statement.kind()).or_default().push(payload);
        }
    }

    fn said(&self, kind: Kind, number: u64) -> Option<&Hash> {
        self.said.get(&kind)?.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    /// Whether a leaf that counted is void by now, since its key is called compromised from an entry at or before it.
    #[must_use]
    pub fn is_void(&self, leaf: &Leaf) -> bool {
        let from = self.roles.compromised_from(&leaf.key);
        leaf.statement.kind() != Kind::Roles && from.is_some_and(|from| from <= leaf.index)
    }

    /// All keys of the roles in force, decoded.
    #[must_use]
    pub fn known_keys(&self) -> &KnownKeys {
        &self.keys
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
pub fn judge_all<'a>(roles_pin: Hash, leaves: impl IntoIterator<Item = (u64, &'a [u8])>) -> Judged {
    let mut judged = Judged { judge: Judge::new(roles_pin), standing: Vec::new(), refused: Vec::new() };
    for (index, leaf) in leaves {
        match judged.judge.admit_bytes(index, leaf) {
            Ok(leaf) => judged.standing.push(leaf),
            Err(refusal) => judged.refused.push((index, refusal)),
        }
    }
    judged.drop_void();
    judged
}

impl Judged {
    /// Moves leaves whose keys turned out compromised to the refused ones. Roles leaves bind by their own signatures,
    /// whoever carried them.
    fn drop_void(&mut self) {
        let judge = &self.judge;
        let (void, standing) = std::mem::take(&mut self.standing).into_iter().partition(|leaf| judge.is_void(leaf));
        self.standing = standing;
        let void: Vec<Leaf> = void;
        for leaf in void {
            let from = judge.roles.compromised_from(&leaf.key).unwrap_or_default();
            self.refused.push((leaf.index, Refusal::Compromised { from }));
        }
        self.refused.sort_by_key(|(index, _)| *index);
    }
}

fn check_scope(role: Role, entry: &RoleKey, statement: &Statement) -> Result<(), Refusal> {
    let name = &statement.subject.name;
    let covered = match statement.kind() {
        Kind::PackageFiles | Kind::InstallObservation | Kind::PackageOrigin | Kind::PackageSource | Kind::Rebuild => {
            statement.purl().is_some_and(|purl| entry.covers(&purl))
        }
        Kind::RepositoryState => RepositoryState::repository(name)
            .is_some_and(|(kind, namespace)| entry.scopes.iter().any(|scope| scope.covers_namespace(kind, namespace))),
        Kind::Lifecycle => match &statement.predicate {
            Predicate::Lifecycle(lifecycle) if role == Role::Admin => lifecycle.is_within(&entry.scopes),
            _ => true,
        },
        Kind::Advisory | Kind::ControlHead | Kind::Roles => true,
    };
    if covered { Ok(()) } else { Err(Refusal::OutOfScope { subject: name.clone() }) }
}

//! Roles: the readable document that says who may say what, signed by the foundation with minisign (`specs/roles.md`).

mod chain;
mod draft;
mod signed;
mod text;

pub use chain::{ChainError, RolesChain, RolesVersion};
pub use signed::{MinisignKey, SignedRoles, SignedRolesError};
pub use text::{MAX_BYTES, RolesError};

use tlog::{Hash, VerifierKey};

use crate::predicate::Predicate;
use crate::purl::{Purl, PurlError, Scope};

/// One version of the roles document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    /// The log's origin.
    pub origin: String,
    /// From 1.
    pub version: u64,
    /// SHA-256 of the document before; `None` in version 1.
    pub previous: Option<Hash>,
    /// SHA-256 of the witness policy file (C2SP tlog-policy).
    pub policy: Hash,
    /// From which day on, as its number since 1970, verifiers call this version stale; `None`: never.
    pub expires: Option<u64>,
    /// Free lines for readers.
    pub notes: Vec<String>,
    /// Who signs roles documents.
    pub foundation: Foundation,
    /// Which package repositories are whose.
    pub vendors: Vec<Vendor>,
    /// Who may say `package-files`, `install-observation` and `package-origin`, and which indexes it saw.
    pub builders: Vec<RoleKey>,
    /// Who may register a `repository-state`.
    pub admins: Vec<RoleKey>,
    /// Who may say `rebuild`.
    pub rebuilders: Vec<RoleKey>,
    /// Who may say `advisory`.
    pub security: Security,
    /// Who may say `control-head` (the security team's online keys).
    pub control: Vec<RoleKey>,
}

impl Roles {
    /// Version 1 for a log, in which nobody has a role yet.
    #[must_use]
    pub fn first(origin: &str, policy: Hash, foundation: Foundation) -> Self {
        let security = Security { threshold: 0, keys: Vec::new() };
        let (notes, vendors) = (Vec::new(), Vec::new());
        let (builders, admins, rebuilders, control) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let origin = origin.to_owned();
        Self {
            origin,
            version: 1,
            previous: None,
            policy,
            expires: None,
            notes,
            foundation,
            vendors,
            builders,
            admins,
            rebuilders,
            security,
            control,
        }
    }
}

/// Members with minisign keys, and how many must sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foundation {
    /// How many distinct members must sign the next version.
    pub threshold: usize,
    /// In the document's order; names and keys are distinct.
    pub members: Vec<Member>,
}

/// One member of the foundation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// A short name without white space.
    pub name: String,
    /// The minisign public key.
    pub key: MinisignKey,
}

/// The security team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// How many distinct keys must say the same advisory before it is in force.
    pub threshold: usize,
    /// The keys; no scopes.
    pub keys: Vec<RoleKey>,
}

/// Whose packages a repository with this signed `Origin` has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vendor {
    /// Package type, such as `deb`.
    pub kind: String,
    /// Namespace in package URLs, such as `debian`.
    pub namespace: String,
    /// `Origin` of the signed Release file, such as `Debian`.
    pub origin: String,
}

impl Vendor {
    /// Debian's packages of the repositories that sign themselves `Debian`.
    #[must_use]
    pub fn debian() -> Self {
        Self { kind: "deb".to_owned(), namespace: "debian".to_owned(), origin: "Debian".to_owned() }
    }
}

/// A key in a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleKey {
    /// The verifier key (type 01).
    pub key: VerifierKey,
    /// For which packages; empty for roles without scopes.
    pub scopes: Vec<Scope>,
    /// Whether it still counts.
    pub state: KeyState,
}

impl RoleKey {
    /// A key that counts from now on, for the packages of these patterns.
    pub fn active(key: VerifierKey, scopes: &[&str]) -> Result<Self, PurlError> {
        let scopes = scopes.iter().map(|scope| Scope::parse(scope)).collect::<Result<_, _>>()?;
        Ok(Self { key, scopes, state: KeyState::Active })
    }
}

/// Whether a key still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Yes.
    Active,
    /// Leaves before this document stand, new ones are refused.
    Retired,
    /// Leaves from this entry on are void, whatever was said when they came; new ones are refused.
    CompromisedFrom(u64),
}

/// A role that is held by keys in envelopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// `package-files`, `install-observation`, `package-origin`, `package-source`, and a `repository-state` that was seen.
    Builder,
    /// A `repository-state` that is registered as the current one, and `lifecycle` of what is in scope.
    Admin,
    /// `rebuild`.
    Rebuilder,
    /// `advisory`, `lifecycle`.
    Security,
    /// `control-head`.
    Control,
}

impl Role {
    /// All of them, in the document's order.
    pub const ALL: [Self; 5] = [Self::Builder, Self::Admin, Self::Rebuilder, Self::Security, Self::Control];

    /// The roles of which a predicate needs one, the more usual first; none for roles documents, which bind by their own signatures.
    #[must_use]
    pub const fn may_say(predicate: &Predicate) -> &'static [Self] {
        match predicate {
            Predicate::PackageFiles(_) | Predicate::InstallObservation(_) | Predicate::PackageOrigin(_) | Predicate::PackageSource(_) => {
                &[Self::Builder]
            }
            Predicate::RepositoryState(state) if state.is_registration() => &[Self::Admin],
            Predicate::RepositoryState(_) => &[Self::Builder],
            Predicate::Rebuild(_) => &[Self::Rebuilder],
            Predicate::Advisory(_) => &[Self::Security],
            Predicate::Lifecycle(_) => &[Self::Security, Self::Admin],
            Predicate::ControlHead(_) => &[Self::Control],
            Predicate::Roles(_) => &[],
        }
    }

    /// The role's word in the document.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Builder => "builder",
            Self::Admin => "admin",
            Self::Rebuilder => "rebuilder",
            Self::Security => "security",
            Self::Control => "control",
        }
    }
}

impl Roles {
    /// The keys in a role.
    #[must_use]
    pub fn keys(&self, role: Role) -> &[RoleKey] {
        match role {
            Role::Builder => &self.builders,
            Role::Admin => &self.admins,
            Role::Rebuilder => &self.rebuilders,
            Role::Security => &self.security.keys,
            Role::Control => &self.control,
        }
    }

    /// The entry of a key in a role.
    #[must_use]
    pub fn find(&self, role: Role, key: &VerifierKey) -> Option<&RoleKey> {
        self.keys(role).iter().find(|entry| entry.key == *key)
    }

    /// Whether the key has any role and is neither retired nor compromised: who may upload manifests.
    #[must_use]
    pub fn is_active(&self, key: &VerifierKey) -> bool {
        Role::ALL.into_iter().filter_map(|role| self.find(role, key)).any(|entry| entry.state == KeyState::Active)
    }

    /// Whether this version is over at a time in POSIX seconds: a foundation that is gone, or held back, publishes no next one.
    #[must_use]
    pub const fn is_over(&self, now: u64) -> bool {
        match self.expires {
            Some(day) => day.saturating_mul(DAY) <= now,
            None => false,
        }
    }

    /// The namespace of packages of this type from a repository with this signed `Origin`.
    #[must_use]
    pub fn namespace(&self, kind: &str, origin: &str) -> Option<&str> {
        self.vendors.iter().find(|vendor| vendor.kind == kind && vendor.origin == origin).map(|vendor| vendor.namespace.as_str())
    }
}

impl RoleKey {
    /// Whether a package is in scope.
    #[must_use]
    pub fn covers(&self, purl: &Purl) -> bool {
        self.scopes.iter().any(|scope| scope.covers(purl))
    }
}

const DAY: u64 = 86_400;

//! The chain of versions: version 1 is pinned by its digest, each later one is signed by the foundation of the one before.

use std::collections::BTreeMap;
use std::fmt;

use tlog::{Hash, VerifierKey};

use super::{KeyState, Role, Roles, SignedRoles, SignedRolesError};

/// Why a version does not continue the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChainError {
    /// The first version is not the pinned one.
    NotPinned,
    /// Signatures or text.
    Signed(SignedRolesError),
    /// Another version number than the next.
    WrongVersion {
        /// The next one.
        expected: u64,
        /// The one given.
        found: u64,
    },
    /// `previous` is not the digest of the version before.
    WrongPrevious,
    /// Another origin than the version before.
    WrongOrigin,
    /// A validly signed second document at a version that the chain has already: evidence against the foundation.
    Fork {
        /// The version that exists twice.
        version: u64,
    },
    /// The very document that the chain ends with.
    Duplicate,
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPinned => f.write_str("version 1 of the roles is not the pinned one"),
            Self::Signed(error) => error.fmt(f),
            Self::WrongVersion { expected, found } => write!(f, "roles version {found} where version {expected} is due"),
            Self::WrongPrevious => f.write_str("the roles name another previous document"),
            Self::WrongOrigin => f.write_str("the roles are of another log"),
            Self::Fork { version } => write!(f, "two signed roles documents claim to be version {version}"),
            Self::Duplicate => f.write_str("these roles are in force already"),
        }
    }
}

impl std::error::Error for ChainError {}

/// One version in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolesVersion {
    /// Index of its leaf: it governs the leaves after that.
    pub index: u64,
    /// SHA-256 of the text.
    pub digest: Hash,
    /// The document.
    pub roles: Roles,
}

/// All versions so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolesChain {
    pin: Hash,
    versions: Vec<RolesVersion>,
    /// Public key to the smallest entry from which any version calls it compromised.
    compromised: BTreeMap<Vec<u8>, u64>,
}

impl RolesChain {
    /// An empty chain that begins with the document of this SHA-256.
    #[must_use]
    pub const fn new(pin: Hash) -> Self {
        Self { pin, versions: Vec::new(), compromised: BTreeMap::new() }
    }

    /// Checks whether a document continues the chain.
    pub fn check(&self, signed: &SignedRoles) -> Result<(), ChainError> {
        let Some(last) = self.versions.last() else { return self.check_first(signed) };
        let roles = signed.roles();
        if roles.digest() == last.digest {
            return Err(ChainError::Duplicate);
        }
        if roles.version != last.roles.version + 1 {
            return Err(self.wrong_version(signed));
        }
        if roles.origin != last.roles.origin {
            return Err(ChainError::WrongOrigin);
        }
        if roles.previous != Some(last.digest) {
            return Err(ChainError::WrongPrevious);
        }
        signed.verify(&last.roles.foundation).map_err(ChainError::Signed)
    }

    fn check_first(&self, signed: &SignedRoles) -> Result<(), ChainError> {
        if signed.roles().digest() != self.pin {
            return Err(ChainError::NotPinned);
        }
        if signed.roles().version != 1 {
            return Err(ChainError::WrongVersion { expected: 1, found: signed.roles().version });
        }
        signed.verify(&signed.roles().foundation).map_err(ChainError::Signed)
    }

    /// Tells a second, validly signed document at a known version (the foundation said two things) from a mere mistake.
    fn wrong_version(&self, signed: &SignedRoles) -> ChainError {
        let roles = signed.roles();
        let numbered = |version: u64| self.versions.iter().find(move |known| known.roles.version == version);
        let known = numbered(roles.version).is_some_and(|known| known.digest != roles.digest());
        let before = roles.version.checked_sub(1).and_then(numbered);
        if known && before.is_some_and(|before| signed.verify(&before.roles.foundation).is_ok()) {
            return ChainError::Fork { version: roles.version };
        }
        let expected = self.versions.last().map_or(1, |last| last.roles.version + 1);
        ChainError::WrongVersion { expected, found: roles.version }
    }

    /// Checks and appends; `index` is that of the leaf, larger than all before.
    pub fn push(&mut self, index: u64, signed: &SignedRoles) -> Result<(), ChainError> {
        self.check(signed)?;
        let roles = signed.roles().clone();
        for entry in Role::ALL.into_iter().flat_map(|role| roles.keys(role)) {
            if let KeyState::CompromisedFrom(from) = entry.state {
                let known = self.compromised.entry(entry.key.public().to_vec()).or_insert(from);
                *known = from.min(*known);
            }
        }
        self.versions.push(RolesVersion { index, digest: roles.digest(), roles });
        Ok(())
    }

    /// The versions, oldest first.
    #[must_use]
    pub fn versions(&self) -> &[RolesVersion] {
        &self.versions
    }

    /// The newest version.
    #[must_use]
    pub fn current(&self) -> Option<&RolesVersion> {
        self.versions.last()
    }

    /// The version that governs leaf `index`: the last one before it.
    #[must_use]
    pub fn before(&self, index: u64) -> Option<&RolesVersion> {
        self.versions.iter().rev().find(|version| version.index < index)
    }

    /// From which entry on the key's leaves are void: the smallest that any version names, since a key that was once
    /// called compromised stays so.
    #[must_use]
    pub fn compromised_from(&self, key: &VerifierKey) -> Option<u64> {
        self.compromised.get(key.public()).copied()
    }
}

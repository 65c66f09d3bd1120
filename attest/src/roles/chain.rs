//! The chain of versions: version 1 is pinned by its digest, each later one is signed by the foundation of the one before.

use std::fmt;

use tlog::{Hash, VerifierKey};

use super::{Roles, SignedRoles, SignedRolesError};

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
}

impl RolesChain {
    /// An empty chain that begins with the document of this SHA-256.
    #[must_use]
    pub const fn new(pin: Hash) -> Self {
        Self { pin, versions: Vec::new() }
    }

    /// Checks whether a document continues the chain.
    pub fn check(&self, _signed: &SignedRoles) -> Result<(), ChainError> {
        todo!()
    }

    /// Checks and appends; `index` is that of the leaf, larger than all before.
    pub fn push(&mut self, _index: u64, _signed: &SignedRoles) -> Result<(), ChainError> {
        todo!()
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
    pub fn compromised_from(&self, _key: &VerifierKey) -> Option<u64> {
        todo!()
    }
}

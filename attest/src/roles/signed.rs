//! A document with the minisign files beside it.

use std::fmt;

use super::{Foundation, Roles, RolesError};
use crate::predicate::RolesSignature;
use crate::statement::Statement;

/// A minisign public key, as minisign prints it: 56 characters of canonical base64.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MinisignKey(String);

impl MinisignKey {
    /// Reads the base64 line of a `minisign.pub` file.
    #[must_use]
    pub fn parse(_text: &str) -> Option<Self> {
        todo!()
    }

    /// The base64 text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a signed document was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignedRolesError {
    /// The document itself.
    Roles(RolesError),
    /// A file is not a minisign signature of the present kind (prehashed), or too long.
    Malformed,
    /// A signature is by a key that neither document names.
    UnknownKey,
    /// Two signatures by one key.
    Repeated,
    /// A signature does not verify.
    BadSignature,
    /// Fewer distinct members signed than the threshold.
    TooFew {
        /// Members that signed.
        signed: usize,
        /// Members that must.
        needed: usize,
    },
    /// Text and signatures do not fit into a leaf.
    TooLarge,
}

impl fmt::Display for SignedRolesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Roles(error) => error.fmt(f),
            Self::Malformed => f.write_str("a file is not a minisign signature (minisign 0.10 or later, prehashed)"),
            Self::UnknownKey => f.write_str("a signature is by a key that is not of the foundation"),
            Self::Repeated => f.write_str("two signatures are by the same key"),
            Self::BadSignature => f.write_str("a minisign signature does not verify"),
            Self::TooFew { signed, needed } => write!(f, "{signed} members of the foundation signed, {needed} must"),
            Self::TooLarge => f.write_str("the roles document does not fit into a log entry"),
        }
    }
}

impl std::error::Error for SignedRolesError {}

/// A document, parsed, with its signatures, none of them checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRoles {
    roles: Roles,
    signatures: Vec<RolesSignature>,
}

impl SignedRoles {
    /// Most signatures.
    pub const MAX_SIGNATURES: usize = 64;

    /// Puts a document and its `.minisig` files together; finds out which foundation key of `known` (or of the document
    /// itself) made each file by its key number.
    pub fn assemble(_text: &str, _minisigs: &[String], _known: Option<&Foundation>) -> Result<Self, SignedRolesError> {
        todo!()
    }

    /// From a statement with a `roles/v1` predicate; `None` for any other.
    pub fn from_statement(_statement: &Statement) -> Option<Result<Self, SignedRolesError>> {
        todo!()
    }

    /// The statement to put into the log, under anybody's envelope.
    pub fn to_statement(&self) -> Result<Statement, SignedRolesError> {
        todo!()
    }

    /// The document.
    #[must_use]
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// The signatures, sorted by key.
    #[must_use]
    pub fn signatures(&self) -> &[RolesSignature] {
        &self.signatures
    }

    /// Checks that enough distinct members of `foundation` signed; every signature must verify and be by a member of
    /// `foundation` or of the document's own.
    pub fn verify(&self, _foundation: &Foundation) -> Result<(), SignedRolesError> {
        todo!()
    }
}

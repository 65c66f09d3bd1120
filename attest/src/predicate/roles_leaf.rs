//! `roles/v1`: a roles document with its minisign signatures. Who envelopes it does not matter.

use serde::{Deserialize, Serialize};
use tlog::Hash;

use crate::roles::{MinisignKey, SignedRoles};
use crate::statement::{StatementError, Subject};

/// One minisign signature file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolesSignature {
    /// The public key that made it, as minisign prints it (56 characters of base64).
    pub key: String,
    /// The `.minisig` file, verbatim.
    pub minisig: String,
}

/// Text and signatures; the subject's digest is that of the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolesLeaf {
    /// Sorted by key, each key once.
    pub signatures: Vec<RolesSignature>,
    /// The roles document, verbatim ([`crate::Roles::parse`]).
    pub text: String,
}

impl RolesLeaf {
    /// The subject's name.
    pub const SUBJECT: &'static str = "tallystick:roles";

    /// The subject that belongs to this predicate.
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject::new(Self::SUBJECT.to_owned(), Hash::digest(self.text.as_bytes()))
    }

    pub(super) fn check(&self, subject: &Subject) -> Result<(), StatementError> {
        subject.check_own(Self::SUBJECT, self.subject().digest.sha256)?;
        if !self.signatures.is_sorted_by(|a, b| a.key < b.key) || self.signatures.len() > SignedRoles::MAX_SIGNATURES {
            return Err(StatementError::BadPredicate("at most 64 signatures, sorted by key, each key once"));
        }
        let plain = |signature: &RolesSignature| MinisignKey::parse(&signature.key).is_some() && signature.minisig.len() <= 1_024;
        if !self.signatures.iter().all(plain) {
            return Err(StatementError::BadPredicate("each signature has a minisign public key and a file of at most 1,024 bytes"));
        }
        Ok(())
    }
}

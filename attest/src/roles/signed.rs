//! A document with the minisign files beside it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign_verify::{PublicKey, Signature};

use super::{Foundation, Roles, RolesError};
use crate::envelope::MAX_PAYLOAD;
use crate::predicate::{Predicate, RolesLeaf, RolesSignature};
use crate::statement::Statement;

/// A minisign public key, as minisign prints it: 56 characters of canonical base64.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MinisignKey(String);

impl MinisignKey {
    /// Reads the base64 line of a `minisign.pub` file.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok().filter(|bytes| bytes.len() == 42 && bytes.starts_with(b"Ed"))?;
        (STANDARD.encode(bytes) == text).then(|| Self(text.to_owned()))
    }

    /// The base64 text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Algorithm, key number (8 bytes from 2) and key (32 bytes from 10).
    fn bytes(&self) -> Vec<u8> {
        STANDARD.decode(&self.0).unwrap_or_default()
    }

    /// Whether two keys share the key or the key number, by which signature files name it.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let (a, b) = (self.bytes(), other.bytes());
        a.get(2..10) == b.get(2..10) || a.get(10..) == b.get(10..)
    }

    /// Whether the signature file says that it is by this key.
    fn is_named_by(&self, minisig: &str) -> bool {
        signature_bytes(minisig).is_some_and(|signature| self.bytes().get(2..10) == signature.get(2..10))
    }

    fn verify(&self, text: &str, minisig: &str) -> Result<(), SignedRolesError> {
        let key = PublicKey::from_base64(&self.0).map_err(|_| SignedRolesError::Malformed)?;
        let signature = decode(minisig)?;
        key.verify(text.as_bytes(), &signature, false).map_err(|_| SignedRolesError::BadSignature)
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

    /// Puts a document and its `.minisig` files together. Which key made a file is found by its key number, among the
    /// document's own foundation and `known` (that of the version before).
    pub fn assemble(text: &str, minisigs: &[String], known: Option<&Foundation>) -> Result<Self, SignedRolesError> {
        let roles = Roles::parse(text).map_err(SignedRolesError::Roles)?;
        let foundations = [Some(&roles.foundation), known];
        let members = || foundations.into_iter().flatten().flat_map(|foundation| &foundation.members);
        let mut signatures = Vec::with_capacity(minisigs.len());
        for minisig in minisigs {
            decode(minisig)?;
            let member = members().find(|member| member.key.is_named_by(minisig)).ok_or(SignedRolesError::UnknownKey)?;
            signatures.push(RolesSignature { key: member.key.as_str().to_owned(), minisig: minisig.clone() });
        }
        signatures.sort_by(|a, b| a.key.cmp(&b.key));
        Self::new(roles, signatures)
    }

    /// From a statement with a `roles/v1` predicate; `None` for any other.
    #[must_use]
    pub fn from_statement(statement: &Statement) -> Option<Result<Self, SignedRolesError>> {
        let Predicate::Roles(leaf) = &statement.predicate else { return None };
        let roles = Roles::parse(&leaf.text).map_err(SignedRolesError::Roles);
        Some(roles.and_then(|roles| Self::new(roles, leaf.signatures.clone())))
    }

    fn new(roles: Roles, signatures: Vec<RolesSignature>) -> Result<Self, SignedRolesError> {
        if signatures.len() > Self::MAX_SIGNATURES {
            return Err(SignedRolesError::TooLarge);
        }
        if !signatures.is_sorted_by(|a, b| a.key < b.key) {
            return Err(SignedRolesError::Repeated);
        }
        Ok(Self { roles, signatures })
    }

    /// The statement to put into the log, under anybody's envelope.
    pub fn to_statement(&self) -> Result<Statement, SignedRolesError> {
        let leaf = RolesLeaf { signatures: self.signatures.clone(), text: self.roles.encode() };
        let statement = Statement { subject: leaf.subject(), predicate: Predicate::Roles(leaf) };
        if statement.encode().len() > MAX_PAYLOAD { Err(SignedRolesError::TooLarge) } else { Ok(statement) }
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
    pub fn verify(&self, foundation: &Foundation) -> Result<(), SignedRolesError> {
        let text = self.roles.encode();
        let is_member = |foundation: &Foundation, key: &MinisignKey| foundation.members.iter().any(|member| member.key == *key);
        let mut signed = 0;
        for signature in &self.signatures {
            let key = MinisignKey::parse(&signature.key).ok_or(SignedRolesError::Malformed)?;
            if !is_member(foundation, &key) && !is_member(&self.roles.foundation, &key) {
                return Err(SignedRolesError::UnknownKey);
            }
            key.verify(&text, &signature.minisig)?;
            signed += usize::from(is_member(foundation, &key));
        }
        if signed < foundation.threshold {
            return Err(SignedRolesError::TooFew { signed, needed: foundation.threshold });
        }
        Ok(())
    }
}

/// Four lines with their line feeds, as minisign writes them, prehashed, not too long.
fn decode(minisig: &str) -> Result<Signature, SignedRolesError> {
    let four_lines = minisig.len() <= MAX_MINISIG && minisig.ends_with('\n') && minisig.lines().count() == 4 && !minisig.contains('\r');
    let current = signature_bytes(minisig).is_some_and(|bytes| bytes.len() == 74 && bytes.starts_with(b"ED"));
    if !four_lines || !current || !minisig.starts_with("untrusted comment: ") {
        return Err(SignedRolesError::Malformed);
    }
    Signature::decode(minisig).map_err(|_| SignedRolesError::Malformed)
}

/// Algorithm, key number and signature of a signature file.
fn signature_bytes(minisig: &str) -> Option<Vec<u8>> {
    STANDARD.decode(minisig.lines().nth(1)?).ok()
}

const MAX_MINISIG: usize = 1_024;

//! The document's text.

use std::fmt;

use tlog::Hash;

use super::Roles;

/// Why a document was refused: the line's number, from 1 (0: the whole document), and the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolesError {
    /// From 1.
    pub line: usize,
    /// What is expected.
    pub reason: &'static str,
}

impl fmt::Display for RolesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "roles, line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for RolesError {}

impl Roles {
    /// Reads a document; it must be exactly what [`Roles::encode`] writes.
    pub fn parse(_text: &str) -> Result<Self, RolesError> {
        todo!()
    }

    /// The document's text.
    #[must_use]
    pub fn encode(&self) -> String {
        todo!()
    }

    /// SHA-256 of the text: what clients pin of version 1, and what version n+1 names.
    #[must_use]
    pub fn digest(&self) -> Hash {
        Hash::digest(self.encode().as_bytes())
    }
}

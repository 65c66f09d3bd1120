//! `rebuild/v1`: a package was built again from its source, with the same result or another.

use serde::{Deserialize, Serialize};
use tlog::Hash;

use super::is_line;
use crate::json;
use crate::statement::StatementError;

/// How a rebuild ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RebuildResult {
    /// Bit for bit the subject.
    Same,
    /// Another file, whose digest is given.
    Different,
    /// No file at all.
    Failed,
}

/// The result of building the subject again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rebuild {
    /// SHA-256 of the record of the build (such as a .buildinfo file); absent if none is kept.
    #[serde(default, with = "json::hash_option", skip_serializing_if = "Option::is_none")]
    pub record: Option<Hash>,
    /// How it ended.
    pub result: RebuildResult,
    /// What was built instead, only where the result is `different`.
    #[serde(default, with = "json::hash_option", skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Hash>,
    /// What was built: name and version of the source package, or the address and commit of a repository.
    pub source: String,
}

impl Rebuild {
    pub(super) fn check(&self) -> Result<(), StatementError> {
        if (self.result == RebuildResult::Different) != self.sha256.is_some() {
            return Err(StatementError::BadPredicate("a different result, and only it, has a digest of its own"));
        }
        if !is_line(&self.source, 1_024) {
            return Err(StatementError::BadPredicate("the source is one line of at most 1,024 bytes"));
        }
        Ok(())
    }
}

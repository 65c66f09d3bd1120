//! `control-head/v1`: the newest numbers of roles, advisories and lifecycle statements, as of a tree size. Says "you have not missed a warning".

use serde::{Deserialize, Serialize};
use tlog::Hash;

use super::{chained_subject, check_chained, is_integer};
use crate::json;
use crate::statement::{StatementError, Subject};

/// What the security team's online key vouches for, every few minutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlHead {
    /// Number of the newest advisory among the first `size` entries; 0 if there is none.
    pub advisory: u64,
    /// Number of the newest lifecycle statement among the first `size` entries; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<u64>,
    /// SHA-256 of the payload of the control head before; absent in number 1.
    #[serde(default, with = "json::hash_option", skip_serializing_if = "Option::is_none")]
    pub previous: Option<Hash>,
    /// Newest version of the roles among the first `size` entries.
    pub roles: u64,
    /// Number of the control head, from 1 without gaps.
    pub sequence: u64,
    /// The tree size that was looked at.
    pub size: u64,
    /// When it was made, in POSIX seconds.
    pub time: u64,
}

impl ControlHead {
    /// The subject's name.
    pub const SUBJECT: &'static str = "tallystick:control-head";

    /// The subject that belongs to this predicate.
    #[must_use]
    pub fn subject(&self) -> Subject {
        chained_subject(Self::SUBJECT, self)
    }

    pub(super) fn check(&self, subject: &Subject) -> Result<(), StatementError> {
        check_chained(subject, &self.subject(), self.sequence, self.previous)?;
        let numbers = [self.advisory, self.roles, self.size, self.time, self.lifecycle.unwrap_or(1)];
        if !numbers.into_iter().all(is_integer) || [self.roles, self.size, self.lifecycle.unwrap_or(1)].contains(&0) {
            return Err(StatementError::BadPredicate("numbers up to 2^53-1; roles version, size and lifecycle from 1"));
        }
        Ok(())
    }
}

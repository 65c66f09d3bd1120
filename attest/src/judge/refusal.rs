//! Why a leaf does not count.

use std::fmt;

use crate::envelope::EnvelopeError;
use crate::roles::{ChainError, Role};
use crate::statement::StatementError;

/// Why a leaf does not count (or, asked by the log, may not come in).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The envelope is malformed or its signature wrong.
    Envelope(EnvelopeError),
    /// The statement is malformed.
    Statement(StatementError),
    /// There are no roles yet: the first leaf must be the pinned roles document.
    NoRoles,
    /// No role names the key.
    UnknownKey,
    /// The key has roles, but not the one that this predicate needs.
    WrongRole {
        /// The role that it needs.
        needed: Role,
    },
    /// The key has the role, but not for this package or repository.
    OutOfScope {
        /// The package URL or repository.
        subject: String,
    },
    /// The roles do not give packages from repositories with this signed `Origin` the package URL's namespace.
    WrongVendor {
        /// The `Origin`.
        origin: String,
    },
    /// The key is retired.
    Retired,
    /// The key is compromised from this entry on.
    Compromised {
        /// The entry.
        from: u64,
    },
    /// Not the next version of the roles.
    Roles(ChainError),
    /// The sequence number is not the next one.
    WrongSequence {
        /// The next one.
        expected: u64,
        /// The one given.
        found: u64,
    },
    /// `previous` is not the payload of the statement before.
    WrongPrevious,
    /// A control head that goes back behind one that binds: a smaller tree, an earlier time, or an older version or number.
    WrongControlHead,
    /// Leaves out of order.
    OutOfOrder,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Envelope(error) => error.fmt(f),
            Self::Statement(error) => error.fmt(f),
            Self::NoRoles => f.write_str("the log has no roles yet"),
            Self::UnknownKey => f.write_str("the roles do not name this key; ask the foundation to add it"),
            Self::WrongRole { needed } => write!(f, "the roles do not name this key as {}", needed.word()),
            Self::OutOfScope { subject } => write!(f, "the key's scopes do not cover {subject}"),
            Self::WrongVendor { origin } => {
                write!(f, "the roles do not let repositories of {origin} fill this namespace; ask the foundation to name the vendor")
            }
            Self::Retired => f.write_str("the key is retired"),
            Self::Compromised { from } => write!(f, "the key is compromised from entry {from} on"),
            Self::Roles(error) => error.fmt(f),
            Self::WrongSequence { expected, found } => {
                write!(f, "sequence {found} where {expected} is due; fetch the newest statement and sign again")
            }
            Self::WrongPrevious => f.write_str("previous is not the statement before; fetch the newest statement and sign again"),
            Self::WrongControlHead => f.write_str("the control head contradicts the log"),
            Self::OutOfOrder => f.write_str("entries must be judged in order of their indices"),
        }
    }
}

impl std::error::Error for Refusal {}

//! Why configurations are refused.

/// Why a configuration was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not a readable text file.
    #[error("{path}: {reason}")]
    Unreadable {
        /// Which file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// Not TOML, or a member is unknown, missing or of the wrong type.
    #[error("{path}: {reason}")]
    Malformed {
        /// Which file.
        path: String,
        /// What the parser said.
        reason: String,
    },
    /// A value cannot be used.
    #[error("{path}: {member}: {reason}")]
    Value {
        /// Which file.
        path: String,
        /// Which member.
        member: &'static str,
        /// What is expected.
        reason: &'static str,
    },
}

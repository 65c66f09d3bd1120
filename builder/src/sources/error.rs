//! Why sources lists are refused.

/// Why a sources list was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourcesError {
    /// The list could not be read.
    #[error("{place}: {reason}")]
    Unreadable {
        /// Which file.
        place: String,
        /// What the system said.
        reason: String,
    },
    /// An entry that apt itself would not read.
    #[error("{place}: not an entry of a sources list")]
    Malformed {
        /// File, and line or paragraph.
        place: String,
    },
    /// A repository that would be believed without a signature.
    #[error("{place}: `{option}` makes apt believe unsigned packages; such sources are refused")]
    Unauthenticated {
        /// File, and line or paragraph.
        place: String,
        /// The option.
        option: String,
    },
    /// `check-valid-until=no` for something that names no time.
    #[error("{place}: `check-valid-until=no` is for dated snapshots alone: the address must have one part such as 20240131T000000Z")]
    NoSnapshot {
        /// File, and line or paragraph.
        place: String,
    },
    /// A repository without suites and components.
    #[error("{place}: repositories without `dists/` are not read")]
    Flat {
        /// File, and line or paragraph.
        place: String,
    },
    /// An image that names a directory of this machine.
    #[error("the image's own /etc/apt names {uri}, a directory of this machine; only its operator may do that")]
    OfImage {
        /// The directory, as a source names it.
        uri: String,
    },
    /// Nothing to download from.
    #[error("{place}: no source for the suite {suite}")]
    NoSource {
        /// Where was looked.
        place: String,
        /// For which suite.
        suite: String,
    },
}

impl SourcesError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Unauthenticated { .. } => "remove the option and put the repository's key into the keyring, or remove the source",
            Self::NoSnapshot { .. } => "name the snapshot's address, or remove the option: an index that is over may be held back",
            Self::OfImage { .. } => {
                "if packages are to come from there, name it in a sources list of yours, and that as `sources` in the configuration"
            }
            Self::NoSource { .. } => "set `mirror` in [bootstrap], or `sources`, in the configuration",
            _ => {
                "name a sources list with entries such as `deb http://mirror.example/debian bookworm main` as `sources` in the configuration"
            }
        }
    }
}

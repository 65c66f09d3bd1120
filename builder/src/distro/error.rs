//! Why repositories of other managers than apt are not believed.

use crate::chain::GpgvError;
use crate::watch::WatchError;

/// Why nothing is known of a package file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// An index could not be fetched.
    #[error(transparent)]
    Fetch(#[from] WatchError),
    /// A scratch file could not be written.
    #[error("{0}: {1}")]
    Io(String, String),
    /// There is no signature at all.
    #[error("{0} is not signed")]
    Unsigned(String),
    /// The signature does not hold.
    #[error("{place}: {reason}")]
    Signature {
        /// Which file.
        place: String,
        /// Why.
        reason: GpgvError,
    },
    /// The public keys cannot be used.
    #[error("{path}: {reason}")]
    Keys {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// No signature holds.
    #[error("{0} has no signature by a key of the keyring")]
    NotByOurKeys(String),
    /// An index is that of another branch, well signed.
    #[error("{place} is the index of branch {found}, not of {wanted}")]
    OtherBranch {
        /// Which file.
        place: String,
        /// What it says.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// An index is not what its repository signed.
    #[error("{0} is not the index that its repository signed")]
    Altered(String),
    /// An index is not one.
    #[error("{place} is malformed: {reason}")]
    Malformed {
        /// Which file.
        place: String,
        /// In which way.
        reason: String,
    },
    /// A package file is in no verified index.
    #[error("{0} is in no signed index")]
    Unauthenticated(String),
    /// A package file calls itself differently than its index.
    #[error("{package} is listed as {listed}")]
    OtherName {
        /// What it says.
        package: String,
        /// What the index says.
        listed: String,
    },
}

impl IndexError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Fetch(_) => "check network and address of the repository",
            Self::Io(..) => "check that the disk is not full",
            Self::Unsigned(_) => {
                "repositories without signed metadata are not attested: rpm-md needs repomd.xml.asc, pacman NAME.db.sig, apk a signature in APKINDEX.tar.gz"
            }
            Self::Signature { reason, .. } => reason.hint(),
            Self::Keys { .. } => {
                "put the distribution's public keys, as they lie in /etc/apk/keys, one behind the other into the file `keyring`"
            }
            Self::NotByOurKeys(_) => {
                "compare the keyring with the keys that the distribution publishes; if it has them, do not trust the mirror"
            }
            Self::OtherBranch { .. } => "check `suite` and the repository's `url`; if they are right, do not trust the mirror",
            Self::Altered(_) | Self::Malformed { .. } => {
                "the mirror may be in the middle of an update: try again in a few minutes; if it stays so, do not trust the mirror"
            }
            Self::Unauthenticated(_) | Self::OtherName { .. } => {
                "nothing was attested for it; if the mirror is not in the middle of an update, somebody altered the file or its index"
            }
        }
    }
}

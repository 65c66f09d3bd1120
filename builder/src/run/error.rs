//! Why a whole run failed.

use crate::chain::{ChainError, GpgvError};
use crate::distro::IndexError;
use crate::download::DownloadError;
use crate::home::HomeError;
use crate::image::ImageError;
use crate::observe::ObserveError;
use crate::podman::PodmanError;
use crate::record::RecordError;
use crate::sources::SourcesError;
use crate::spool::SpoolError;

/// Why a whole run failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The builder's directory.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The keyring.
    #[error(transparent)]
    Keyring(#[from] GpgvError),
    /// The sources.
    #[error(transparent)]
    Sources(#[from] SourcesError),
    /// Podman.
    #[error(transparent)]
    Podman(#[from] PodmanError),
    /// The image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The download.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The chain of signatures.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The same of other managers than apt.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The image's own file system.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// What was said before.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A directory for one rebuild could not be made.
    #[error("no directory for a rebuild: {0}")]
    Scratch(String),
    /// A statement could not be signed.
    #[error("the builder's key did not sign: {0}")]
    Sign(String),
    /// A thread of this program failed.
    #[error("a worker thread failed")]
    Worker,
}

impl RunError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Home(error) => error.hint(),
            Self::Keyring(error) => error.hint(),
            Self::Sources(error) => error.hint(),
            Self::Podman(error) => error.hint(),
            Self::Image(error) => error.hint(),
            Self::Download(error) => error.hint(),
            Self::Chain(error) => error.hint(),
            Self::Index(error) => error.hint(),
            Self::Observe(error) => error.hint(),
            Self::Spool(error) => error.hint(),
            Self::Record(error) => error.hint(),
            Self::Scratch(_) => "check that the disk is not full and that the builder's directory belongs to you",
            Self::Sign(_) => "the key must be an Ed25519 key (type 01) as `tally-builder init` makes it",
            Self::Worker => "report this with the messages above",
        }
    }
}

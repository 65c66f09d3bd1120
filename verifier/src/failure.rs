//! Everything that ends a run without a verdict: its exit status and what to do next, each in one `match`.

use std::path::PathBuf;

use client::FetchError;

use crate::accept::AcceptError;
use crate::advise::AdviseError;
use crate::cache::CacheError;
use crate::config::ConfigError;
use crate::exit;
use crate::follow::FollowError;
use crate::gate::GateError;
use crate::install::InstallError;
use crate::knowledge::KnowledgeError;
use crate::repo::RegisterError;
use crate::sync::SyncError;
use crate::verify::VerifyError;

/// Why a command ended.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration or the policy.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The accept file.
    #[error(transparent)]
    Accept(#[from] AcceptError),
    /// The witness policy.
    #[error("{path}, line {line}: {reason}")]
    WitnessPolicy {
        /// The file.
        path: String,
        /// The line, 0 for the whole file.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// What the cache holds does not verify.
    #[error("the cache was refused: {0}")]
    Knowledge(#[from] KnowledgeError),
    /// The sync.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// The log forked; here is the evidence.
    #[error("the log has forked: it signed two histories that exclude each other; the evidence is in {0}")]
    Fork(PathBuf),
    /// The log's address.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// An index was not registered.
    #[error(transparent)]
    Register(RegisterError),
    /// Nothing was said.
    #[error(transparent)]
    Advise(AdviseError),
    /// The root.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The gate.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// A hook was not installed.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// A bundle, proof or evidence file that proves nothing.
    #[error("{0}")]
    Unproven(String),
    /// A file that is not what it should be.
    #[error("{0}")]
    File(String),
    /// A command line that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Anything else.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl Failure {
    /// The exit status.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Accept(_) | Self::WitnessPolicy { .. } => exit::CONFIG,
            Self::Cache(CacheError::Busy(_)) | Self::Sync(SyncError::Cache(CacheError::Busy(_))) => exit::BUSY,
            Self::Cache(_) | Self::Knowledge(_) | Self::Sync(SyncError::Cache(_)) => exit::NO_CACHE,
            Self::Sync(SyncError::Database(_) | SyncError::Root(_)) => exit::DATABASE,
            Self::Sync(SyncError::Follow(FollowError::Fork(_))) | Self::Fork(_) | Self::Unproven(_) => exit::INTEGRITY,
            Self::Sync(_) | Self::Fetch(_) | Self::Advise(AdviseError::Fetch(_) | AdviseError::Pending(_) | AdviseError::Unproven(_)) => {
                exit::NETWORK
            }
            Self::Advise(_) => exit::FAILED,
            Self::Verify(VerifyError::Busy(_)) => exit::BUSY,
            Self::Verify(VerifyError::Database(_) | VerifyError::Empty) => exit::DATABASE,
            Self::Verify(_) | Self::Gate(_) | Self::Install(_) | Self::Register(_) | Self::File(_) | Self::Other(_) => exit::FAILED,
            Self::Usage(_) => exit::USAGE,
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Config(_) => "see specs/verdict.md for the files' fields, and --config for another file",
            Self::Accept(_) => "see specs/accept.md for its fields",
            Self::WitnessPolicy { .. } => "see specs/policy.md for its grammar",
            Self::Cache(CacheError::Absent(_)) => "run: tally sync",
            Self::Cache(CacheError::Busy(_)) | Self::Sync(SyncError::Cache(CacheError::Busy(_))) => "wait until it has ended",
            Self::Cache(CacheError::Damaged(_)) | Self::Knowledge(_) => {
                "run: tally sync; what it cannot mend, remove from the cache by hand"
            }
            Self::Cache(_) | Self::Sync(SyncError::Cache(_)) => {
                "is there space left, and may this user write there? the cache still holds what it held"
            }
            Self::Sync(SyncError::Follow(FollowError::OtherLog { .. })) => "a new log needs a new cache directory",
            Self::Sync(SyncError::Follow(FollowError::Checkpoint(_))) => {
                "compare the witness policy with the one that the foundation publishes"
            }
            Self::Sync(SyncError::Follow(FollowError::Unproven(_))) => {
                "both checkpoints are kept in the cache under \"unproven\" and are compared at the next sync; they prove no fork"
            }
            Self::Sync(SyncError::Follow(FollowError::Fork(_))) | Self::Fork(_) => {
                "send the file to the foundation and the witnesses; trust nothing newer from this log"
            }
            Self::Sync(SyncError::Database(_) | SyncError::Root(_)) | Self::Verify(VerifyError::Database(_) | VerifyError::Empty) => {
                "is this the root of a system with dpkg, rpm, pacman or apk?"
            }
            Self::Sync(_) | Self::Fetch(_) => "check the address of the log and the network; the cache still holds what it held",
            Self::Register(_) => "tally repo register --help shows examples; nothing was said",
            Self::Advise(_) => "tally advise --help shows examples; the key must be one of the security team's, see specs/roles.md",
            Self::Verify(VerifyError::Busy(_)) => "wait until it has ended, then verify again",
            Self::Verify(VerifyError::NotInstalled(_)) => "tally verify --all judges everything that is installed",
            Self::Verify(VerifyError::Nothing(_)) => "is the path spelled right? tally verify --all lists files that are missing",
            Self::Verify(_) => "is the path right, and can it be read?",
            Self::Gate(_) => "see specs/gate.md; to go on nevertheless, once: tally gate allow --once --reason WHY",
            Self::Install(_) => "tally setup --help shows examples; nothing was changed",
            Self::Unproven(_) => "do not rely on it; ask its sender for another",
            Self::File(_) | Self::Other(_) => "tally --help shows examples",
            Self::Usage(_) => "tally --help",
        }
    }
}

//! What the sequencer shows to everybody else: the published tree, and how the log stands.

use std::sync::{Arc, PoisonError, RwLock};

use tlog::{Prover, Tree};

/// A published tree.
#[derive(Clone, Debug)]
pub struct View {
    /// Size and root.
    pub tree: Tree,
    /// The cosigned checkpoint, as published.
    pub note: String,
    /// When it was published here, by the log's clock, in POSIX seconds.
    pub at: u64,
    /// The round that led to it, if this process made it.
    pub round: Option<Recent>,
}

impl PartialEq for View {
    fn eq(&self, other: &Self) -> bool {
        (self.tree, &self.note, self.at) == (other.tree, &other.note, other.at)
    }
}

/// The proofs of a round's entries, at hand for those who wait for them.
#[derive(Clone, Debug)]
pub struct Recent {
    /// The first of its leaves.
    pub first: u64,
    /// Proves it and all that follow.
    pub prover: Arc<Prover>,
}

/// How the log stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Reads only, until the witnesses have said what they know.
    Asking(String),
    /// Entries are taken.
    Running,
    /// Entries are taken and queue up, but nothing is published at present.
    Waiting(String),
    /// Nothing is taken until the log is started again.
    Stopped(String),
}

/// Shared by the sequencer (which writes) and the requests (which read).
#[derive(Debug)]
pub struct Shared {
    view: RwLock<Option<Arc<View>>>,
    status: RwLock<Status>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { view: RwLock::new(None), status: RwLock::new(Status::Asking(STARTING.to_owned())) }
    }
}

impl Shared {
    /// The published tree; none before the first publication.
    #[must_use]
    pub fn view(&self) -> Option<Arc<View>> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows a newly published tree.
    pub fn show(&self, view: Arc<View>) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Some(view);
    }

    /// How the log stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it is still open how the log starts: the witnesses were not asked yet, or fewer than `least` leaves are
    /// published and nothing stands in the way.
    #[must_use]
    pub fn is_starting(&self, least: u64) -> bool {
        match self.status() {
            Status::Asking(why) => why == STARTING,
            Status::Running => self.view().is_none_or(|view| view.tree.size < least),
            Status::Waiting(_) | Status::Stopped(_) => false,
        }
    }

    /// Changes the status, and says so in the records if it is news.
    pub fn set(&self, status: Status) {
        let mut held = self.status.write().unwrap_or_else(PoisonError::into_inner);
        if *held == status {
            return;
        }
        match &status {
            Status::Running => tracing::info!("taking entries"),
            Status::Asking(why) => tracing::warn!("reads only: {why}"),
            Status::Waiting(why) => tracing::warn!("publishing nothing new: {why}"),
            Status::Stopped(why) => tracing::error!("stopped: {why}"),
        }
        *held = status;
    }
}

const STARTING: &str = "the log is starting";

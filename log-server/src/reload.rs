//! Another witness policy for a running log: laid down by whoever read it, taken up by the sequencer between two steps.

use std::sync::{Arc, Mutex, PoisonError};

use crate::quorum::Quorum;

/// Where the next policy waits. Clones share it.
#[derive(Clone, Default)]
pub struct Reload(Arc<Mutex<Option<Quorum>>>);

impl Reload {
    /// Lays a policy down; one that was not taken up yet is forgotten.
    pub fn put(&self, quorum: Quorum) {
        // The slot is filled and emptied by one statement.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(quorum);
    }

    /// Takes up what is there.
    #[must_use]
    pub fn take(&self) -> Option<Quorum> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

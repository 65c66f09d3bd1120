//! What others have seen of the log, told once for as long as it lasts.

use std::collections::BTreeMap;

use tlog::SignedCheckpoint;

use super::alert::{Alert, Kind};
use crate::follow::FollowError;
use crate::sync::{SyncError, Syncer};
use crate::views::{Place, Seen, Views};

/// The places that are asked in every round.
pub struct Others {
    places: Vec<Place>,
    /// What was said of a place last, so that it is not said again.
    said: BTreeMap<String, String>,
}

impl Others {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(places: Vec<Place>) -> Self {
        Self { places, said: BTreeMap::new() }
    }

    /// Asks all of them.
    ///
    /// # Errors
    /// A fork, with its evidence; or if an unproven checkpoint cannot be kept. A place that does not answer is no error.
    pub async fn compare(&mut self, syncer: &Syncer<'_>, known: &SignedCheckpoint) -> Result<Vec<Alert>, SyncError> {
        let views = Views { log: syncer.log, policy: syncer.policy, known };
        let mut alerts = Vec::new();
        for view in views.look(&self.places).await {
            let (kind, text) = match view.seen {
                Seen::Same(_) | Seen::Nothing => {
                    self.said.remove(&view.place);
                    continue;
                }
                Seen::Fork(evidence) => {
                    tracing::error!("{} has seen another history of the log", view.place);
                    return Err(FollowError::Fork(evidence).into());
                }
                Seen::Unproven(unproven) => {
                    for note in [&unproven.smaller, &unproven.larger] {
                        syncer.cache.keep_unproven(syncer.lock, note)?;
                    }
                    (
                        Some(Kind::OtherView),
                        format!("{} has a checkpoint that may be of another history: {unproven}; both are kept", view.place),
                    )
                }
                Seen::Refused(why) => (None, format!("{} could not be compared with: {why}", view.place)),
            };
            if self.said.get(&view.place) == Some(&text) {
                continue;
            }
            match kind {
                Some(kind) => alerts.push(Alert::new(kind, &[], None, &text)),
                None => tracing::warn!("{text}"),
            }
            self.said.insert(view.place, text);
        }
        Ok(alerts)
    }
}

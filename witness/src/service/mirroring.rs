//! What a mirror needs of a witness's state: the checkpoints whose entries it waits for, and its word that it has them.

use std::io;
use std::sync::Arc;

use store::Swap;
use tracing::error;

use super::{Failure, Slot, Watched, Witness};
use crate::logs::id;
use crate::{Known, Refusal};

/// Checkpoints whose entries may still be uploaded after a newer one has come.
const MAX_PENDING: usize = 8;

impl Witness {
    /// The checkpoints whose entries may be uploaded, oldest first. All of them are durable and of one history.
    pub(crate) async fn pending(self: &Arc<Self>, origin: &str) -> Result<Vec<Known>, Failure> {
        let watched = self.logs.get(origin).ok_or(Refusal::UnknownLog)?;
        self.with_slot(watched, |witness, watched, slot| {
            let newest = witness.unheld(watched, slot)?;
            if let Some(newest) = newest {
                slot.wait_for(newest);
            }
            Ok(slot.pending.iter().cloned().collect())
        })
        .await
    }

    /// Says, by both keys, that the tree of one of the pending checkpoints is held here; the caller has made its entries durable.
    /// `None` if the word was given for a larger tree already.
    pub(crate) async fn vouch(self: &Arc<Self>, origin: &str, known: Known) -> Result<Option<String>, Failure> {
        let watched = self.logs.get(origin).ok_or(Refusal::UnknownLog)?;
        self.with_slot(watched, move |witness, watched, slot| {
            // While the entries came in, something may have shown that the state is not the newest.
            witness.unheld(watched, slot)?;
            let (before, raw) = witness.states.vouched(&watched.id).map_err(|problem| not_read(watched, &problem))?;
            if before.as_ref().is_some_and(|before| before.tree().size > known.tree().size) {
                return Ok(None);
            }
            if before.as_ref().is_some_and(|before| before.tree().size == known.tree().size && before.tree() != known.tree()) {
                error!(origin = watched.log.origin, "the word was given for another tree of this size; nothing was signed");
                return Err(Failure::NotSaved);
            }
            // Two uploads of one tree may end in either order; time does not go back.
            let next = before.clone().filter(|before| before.tree() == known.tree() && before.time > known.time).unwrap_or(known);
            if before.as_ref() != Some(&next) {
                let swapped = witness.states.vouch(&watched.id, raw.as_deref(), &next.encode());
                if !matches!(swapped, Ok(Swap::Done)) {
                    error!(origin = watched.log.origin, ?swapped, "the word could not be saved; nothing was signed");
                    return Err(Failure::NotSaved);
                }
            }
            slot.pending.retain(|pending| pending.tree().size >= next.tree().size);
            witness.sign(watched, &next).map(Some)
        })
        .await
    }

    /// What was vouched for last.
    pub(super) fn vouched(&self, watched: &Watched) -> Result<Option<Known>, Failure> {
        Ok(self.states.vouched(&watched.id).map_err(|problem| not_read(watched, &problem))?.0)
    }

    /// The size that was vouched for last, as it reads now; 0 if none was. Blocks.
    pub(crate) fn vouched_size(&self, origin: &str) -> io::Result<u64> {
        Ok(self.states.seen_vouched(&id(origin))?.map_or(0, |known| known.tree().size))
    }

    /// The newest checkpoint, unless the log is held: then nothing is signed for it.
    fn unheld(&self, watched: &Watched, slot: &mut Slot) -> Result<Option<Known>, Failure> {
        let outside = slot.hold.clone();
        let stored = self.load(watched, slot).map_err(|_| Failure::NotSaved)?;
        match outside.or_else(|| stored.hold.clone()) {
            Some(hold) => Err(Refusal::Held(hold).into()),
            None => Ok(stored.known.clone()),
        }
    }
}

impl Slot {
    /// Notes a durable checkpoint; of one size the newest counts. What is answered to its `add-checkpoint`: nothing yet.
    pub(super) fn wait_for(&mut self, known: Known) -> String {
        self.pending.retain(|pending| pending.tree().size != known.tree().size);
        self.pending.push_back(known);
        if self.pending.len() > MAX_PENDING {
            self.pending.pop_front();
        }
        String::new()
    }
}

fn not_read(watched: &Watched, problem: &io::Error) -> Failure {
    error!(origin = watched.log.origin, %problem, "what was vouched for could not be read");
    Failure::NotSaved
}

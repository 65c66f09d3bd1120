//! Places for uploads: as many as there is memory for, few of one log, and whoever brings nothing gives way.
//!
//! Anybody may upload, so anybody may take a place. Nobody can keep one by doing nothing: who comes takes the place of who has waited
//! longest since his last proven package, in the same log where that one has all its places.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Uploads at a time; each holds a batch and a package at most.
const ALL: usize = 16;
/// Of one log.
const OF_ONE_LOG: usize = 4;

/// All places.
#[derive(Default)]
pub(super) struct Places(Mutex<Uploads>);

#[derive(Default)]
struct Uploads {
    /// Counts what happens, to know what was first.
    events: u64,
    going_on: Vec<Going>,
}

struct Going {
    number: u64,
    /// The log's ID.
    log: String,
    /// When it came, or brought its last proven package.
    since: u64,
    /// The mirror works for it: it is not the client who is slow.
    is_worked_for: bool,
    /// Dropped when it has to go.
    _stays: oneshot::Sender<()>,
}

/// One upload's place, until it is dropped or given to another.
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    given_away: oneshot::Receiver<()>,
}

impl Places {
    /// A place for an upload of this log; `None` if the mirror is at work for all who have one.
    pub(super) fn enter(self: &Arc<Self>, log: &str) -> Option<Place> {
        let mut uploads = self.lock();
        let of_log = uploads.going_on.iter().filter(|going| going.log == log).count();
        if of_log >= OF_ONE_LOG {
            uploads.free_one(|going| going.log == log)?;
        } else if uploads.going_on.len() >= ALL {
            uploads.free_one(|_| true)?;
        }
        let number = uploads.event();
        let (stays, given_away) = oneshot::channel();
        let going = Going { number, log: log.to_owned(), since: number, is_worked_for: false, _stays: stays };
        uploads.going_on.push(going);
        Some(Place { places: Arc::clone(self), number, given_away })
    }

    fn lock(&self) -> MutexGuard<'_, Uploads> {
        // Nothing that is done under the lock leaves it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Uploads {
    fn event(&mut self) -> u64 {
        self.events += 1;
        self.events
    }

    fn free_one(&mut self, among: impl Fn(&Going) -> bool) -> Option<()> {
        let waiting = self.going_on.iter().enumerate().filter(|(_, going)| !going.is_worked_for && among(going));
        let (stalest, _) = waiting.min_by_key(|(_, going)| going.since)?;
        self.going_on.swap_remove(stalest);
        Some(())
    }
}

impl Place {
    /// Something has come in, and the place is safe while the mirror works on it. `false` if it was given away before.
    pub(super) fn works(&self) -> bool {
        let mut uploads = self.places.lock();
        let going = uploads.going_on.iter_mut().find(|going| going.number == self.number);
        going.map(|going| going.is_worked_for = true).is_some()
    }

    /// The work is done and was worth it: from now on the client is waited for.
    pub(super) fn waits(&self) {
        let mut uploads = self.places.lock();
        let now = uploads.event();
        if let Some(going) = uploads.going_on.iter_mut().find(|going| going.number == self.number) {
            (going.is_worked_for, going.since) = (false, now);
        }
    }

    /// Ends when the place is given to another; it must not be asked again then.
    pub(super) async fn given_away(&mut self) {
        // Nothing is ever sent: the other half is dropped.
        let _ = (&mut self.given_away).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().going_on.retain(|going| going.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_kept(place: &mut Place) -> bool {
        place.given_away.try_recv() == Err(oneshot::error::TryRecvError::Empty)
    }

    #[test]
    fn a_fifth_upload_of_a_log_takes_the_place_of_the_one_that_brings_nothing() {
        let places = Arc::new(Places::default());
        let mut four: Vec<Place> = (0..4).map(|_| places.enter("a").unwrap()).collect();
        // The first brings a package, the second is being worked for: the third is the stalest that waits.
        assert!(four[0].works());
        four[0].waits();
        assert!(four[1].works());
        let mut other = places.enter("b").unwrap();
        let mut fifth = places.enter("a").unwrap();
        let kept: Vec<bool> = four.iter_mut().map(is_kept).collect();
        assert_eq!(kept, [true, true, false, true]);
        assert!(is_kept(&mut other) && is_kept(&mut fifth));
        assert!(!four[2].works(), "what comes too late finds its place gone");
        // Where all are worked for nobody gives way.
        assert!(four[0].works() && four[3].works() && fifth.works());
        assert!(places.enter("a").is_none());
        drop(four);
        assert!(places.enter("a").is_some());
    }

    #[test]
    fn sixteen_are_all_and_the_stalest_of_any_log_gives_way() {
        let places = Arc::new(Places::default());
        let mut all: Vec<Place> = (0..16).map(|number| places.enter(&format!("{}", number % 8)).unwrap()).collect();
        let more = places.enter("one more").unwrap();
        assert!(!is_kept(&mut all[0]) && all[1..].iter_mut().all(is_kept));
        assert_eq!(places.lock().going_on.len(), 16);
        drop((all, more));
        assert!(places.lock().going_on.is_empty());
    }
}

//! How long a mirror waits for those who upload, and for a log's manifests.

use std::time::Duration;

use client::pace::Pace;

/// Limits in time. A mirror has the default ones; others are for trying what happens when they are reached.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the head of an upload, which is read before it has a place.
    pub head: Duration,
    /// For a client that sends nothing at all.
    pub silence: Duration,
    /// How far a body may fall behind [`Patience::rate`].
    pub lag: Duration,
    /// How many bytes a second a body has to bring, as they are sent.
    pub rate: u32,
    /// For all the manifests that one batch of entries claims.
    pub manifests: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { head: seconds(10), silence: seconds(10), lag: seconds(20), rate: 64 << 10, manifests: seconds(60) }
    }
}

/// How far one upload is behind.
pub(super) struct Uploading {
    silence: Duration,
    pace: Pace,
    sent: u64,
    expanded: u64,
    counted: u64,
}

impl Uploading {
    pub(super) fn new(patience: Patience) -> Self {
        Self { silence: patience.silence, pace: Pace::new(patience.lag, patience.rate), sent: 0, expanded: 0, counted: 0 }
    }

    /// How long the next bytes may take.
    pub(super) fn next_within(&self) -> Duration {
        self.pace.next_within().min(self.silence)
    }

    pub(super) fn waited(&mut self, time: Duration) {
        self.pace.waited(time);
    }

    /// So many bytes came in, and so many came of them: compressed ones that come to nothing count as nothing.
    pub(super) fn brought(&mut self, sent: usize, expanded: usize) {
        self.sent += sent as u64;
        self.expanded += expanded as u64;
        let useful = self.sent.min(self.expanded);
        self.pace.brought(useful - self.counted);
        self.counted = useful;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pace() -> Uploading {
        Uploading::new(Patience { silence: 10 * SECOND, lag: 20 * SECOND, rate: 1000, ..Patience::default() })
    }

    #[test]
    fn a_trickle_uses_up_what_it_may_lag_behind() {
        let mut pace = pace();
        for _ in 0..30 {
            pace.waited(SECOND);
            pace.brought(500, 500);
        }
        assert_eq!(pace.next_within(), 5 * SECOND, "half a second behind with each");
        for _ in 0..10 {
            pace.waited(SECOND);
            pace.brought(500, 500);
        }
        pace.waited(SECOND);
        assert_eq!(pace.next_within(), Duration::ZERO);
    }

    #[test]
    fn who_keeps_the_rate_may_go_on_and_saves_nothing_up() {
        let mut pace = pace();
        for _ in 0..1000 {
            pace.waited(SECOND);
            pace.brought(1000, 9000);
        }
        pace.brought(1 << 30, 1 << 30);
        pace.waited(15 * SECOND);
        assert_eq!(pace.next_within(), 5 * SECOND);
    }

    #[test]
    fn compressed_nothing_is_nothing() {
        let mut pace = pace();
        for _ in 0..20 {
            pace.waited(SECOND);
            pace.brought(1000, 0);
        }
        assert_eq!(pace.next_within(), Duration::ZERO);
    }
}

//! Bodies that come too slowly: a rate that a client must keep, and how far it may fall behind.

use std::time::Duration;

/// How far one body is behind a rate. Only the time counts in which the client is waited for, not that in which the server works; and what it
/// sends fast now does not let it stop for long later.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    lag: Duration,
    rate: u32,
    left: Duration,
}

impl Pace {
    /// Of a body that may fall behind `rate`, in bytes a second, by `lag`.
    #[must_use]
    pub fn new(lag: Duration, rate: u32) -> Self {
        Self { lag, rate: rate.max(1), left: lag }
    }

    /// How long the next bytes may take.
    #[must_use]
    pub fn next_within(&self) -> Duration {
        self.left
    }

    /// The client was waited for.
    pub fn waited(&mut self, time: Duration) {
        self.left = self.left.saturating_sub(time);
    }

    /// So many bytes came.
    pub fn brought(&mut self, bytes: u64) {
        self.left = (self.left + Duration::from_secs(bytes) / self.rate).min(self.lag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn time_is_used_up_and_earned_back() {
        let mut pace = Pace::new(10 * SECOND, 1000);
        pace.waited(4 * SECOND);
        pace.brought(2500);
        assert_eq!(pace.next_within(), Duration::from_millis(8500));
        pace.brought(1 << 30);
        assert_eq!(pace.next_within(), 10 * SECOND, "nothing is saved up");
        pace.waited(11 * SECOND);
        assert_eq!(pace.next_within(), Duration::ZERO);
    }

    #[test]
    fn a_rate_of_nothing_is_the_slowest_there_is() {
        let mut pace = Pace::new(SECOND, 0);
        pace.waited(SECOND);
        pace.brought(1);
        assert_eq!(pace.next_within(), SECOND);
    }
}

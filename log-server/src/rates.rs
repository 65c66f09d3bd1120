//! How much a key may submit: a bucket of tokens for each key and role, filled at the role's rate.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use attest::roles::Role;
use serde::{Deserialize, Serialize};
use tlog::{Hash, VerifierKey};

/// Entries a second that one key may submit in a role; 0 sets no limit. A burst of ten seconds' worth is let through at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Claims, observations, origins and sources.
    pub builder: u32,
    /// States of repositories, and what their admins say of ends of life.
    pub admin: u32,
    /// Rebuilds.
    pub rebuilder: u32,
    /// Advisories and lifecycle statements.
    pub security: u32,
    /// Control heads.
    pub control: u32,
}

impl Limits {
    fn of(&self, role: Role) -> u32 {
        match role {
            Role::Builder => self.builder,
            Role::Admin => self.admin,
            Role::Rebuilder => self.rebuilder,
            Role::Security => self.security,
            Role::Control => self.control,
        }
    }
}

/// The buckets of all keys. Only keys that the roles name get one, so that there are few.
#[derive(Debug)]
pub struct Rates {
    limits: Limits,
    buckets: Mutex<HashMap<(Role, Hash), Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Rates {
    /// Full buckets.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, buckets: Mutex::default() }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// The seconds after which there is one again, at least 1.
    pub fn take(&self, role: Role, key: &VerifierKey, now: Instant) -> Result<(), u32> {
        let rate = self.limits.of(role);
        if rate == 0 {
            return Ok(());
        }
        let (rate, most) = (f64::from(rate), f64::from(rate) * BURST);
        // A bucket is changed by one statement at a time.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry((role, Hash::digest(key.encode().as_bytes()))).or_insert(Bucket { tokens: most, at: now });
        bucket.tokens = (bucket.tokens + now.saturating_duration_since(bucket.at).as_secs_f64() * rate).min(most);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return Err(1);
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

/// Seconds of its rate that a key may use up at once.
const BURST: f64 = 10.0;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tlog::{KeyKind, KeyName, Signer as _, SigningKey};

    #[test]
    fn each_key_and_role_has_its_own_rate() {
        let key = |seed| SigningKey::from_seed(KeyName::parse("k").unwrap(), KeyKind::Ed25519, &[seed; 32]).unwrap().key().clone();
        let rates = Rates::new(Limits { builder: 2, ..Limits::default() });
        let start = Instant::now();
        for _ in 0..20 {
            assert_eq!(rates.take(Role::Builder, &key(1), start), Ok(()));
        }
        assert_eq!(rates.take(Role::Builder, &key(1), start), Err(1), "the burst is used up");
        assert_eq!(rates.take(Role::Builder, &key(2), start), Ok(()), "another key");
        assert_eq!(rates.take(Role::Security, &key(1), start), Ok(()), "a role without a limit");
        let later = start + Duration::from_secs(1);
        assert_eq!((0..3).map(|_| rates.take(Role::Builder, &key(1), later)).collect::<Vec<_>>(), [Ok(()), Ok(()), Err(1)]);
    }
}

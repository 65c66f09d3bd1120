//! `log.toml`: what a log is, and how it paces itself. Made by `init`, readable and editable; unknown fields are refused.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::rates::Limits;

/// The file's contents. Every field but `origin` and `keys` has a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The name that every checkpoint opens with, and of both keys.
    pub origin: String,
    /// Whether anyone may add anything (`POST /add`); such a log takes no roles.
    #[serde(default)]
    pub open: bool,
    /// The verifier keys, Ed25519 and ML-DSA-44.
    pub keys: Vec<String>,
    /// How long a batch is collected, in milliseconds.
    #[serde(default = "default_batch_interval")]
    pub batch_interval_ms: u64,
    /// Most bytes of entries in one batch.
    #[serde(default = "default_batch_bytes")]
    pub batch_bytes: usize,
    /// Most entries in one batch.
    #[serde(default = "default_batch_entries")]
    pub batch_entries: usize,
    /// Most bytes of entries that wait; beyond it submissions get 503.
    #[serde(default = "default_queue_bytes")]
    pub queue_bytes: usize,
    /// How long one request to a witness may take, in milliseconds.
    #[serde(default = "default_witness_timeout")]
    pub witness_timeout_ms: u64,
    /// How long to wait for further cosignatures once the quorum is reached, in milliseconds.
    #[serde(default = "default_cosign_grace")]
    pub cosign_grace_ms: u64,
    /// After how many seconds an idle log's head is cosigned afresh.
    #[serde(default = "default_republish")]
    pub republish_seconds: u64,
    /// Most bytes of manifests per role key that no entry refers to yet; beyond it uploads get 429.
    #[serde(default = "default_manifest_quota")]
    pub manifest_quota_bytes: u64,
    /// How fast everything at rest is checked again and again, in bytes a second; 0 switches it off.
    #[serde(default = "default_scrub")]
    pub scrub_bytes_per_second: u64,
    /// Most connections at one time; further ones wait in the kernel's queue.
    #[serde(default = "default_connections")]
    pub connections: usize,
    /// After how many seconds the published checkpoint counts as old (`/healthz`); 0: twice `republish_seconds`.
    #[serde(default)]
    pub stale_seconds: u64,
    /// Bytes of free space below which nothing new is taken; 0: no such reserve.
    #[serde(default = "default_reserve")]
    pub reserve_bytes: u64,
    /// How much a key may submit in each role.
    #[serde(default)]
    pub rates: Limits,
}

/// Why `log.toml` was refused, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError(pub String);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log.toml: {}", self.0)
    }
}
impl std::error::Error for SettingsError {}

impl Settings {
    /// The settings of a new log.
    #[must_use]
    pub fn new(origin: &str, open: bool, keys: Vec<String>) -> Self {
        Self {
            origin: origin.to_owned(),
            open,
            keys,
            batch_interval_ms: default_batch_interval(),
            batch_bytes: default_batch_bytes(),
            batch_entries: default_batch_entries(),
            queue_bytes: default_queue_bytes(),
            witness_timeout_ms: default_witness_timeout(),
            cosign_grace_ms: default_cosign_grace(),
            republish_seconds: default_republish(),
            manifest_quota_bytes: default_manifest_quota(),
            scrub_bytes_per_second: default_scrub(),
            connections: default_connections(),
            stale_seconds: 0,
            reserve_bytes: default_reserve(),
            rates: Limits::default(),
        }
    }

    /// Reads the file's text.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let settings: Self = toml::from_str(text).map_err(|error| SettingsError(error.to_string()))?;
        settings.checked()
    }

    /// The file's text, with every field.
    #[must_use]
    pub fn encode(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    fn checked(self) -> Result<Self, SettingsError> {
        let refuse = |why: &str| Err(SettingsError(why.to_owned()));
        if self.batch_entries == 0 || self.batch_bytes < tlog::bundle::MAX_ENTRY {
            return refuse("batch_entries must not be 0, batch_bytes not under 65535");
        }
        if self.queue_bytes < self.batch_bytes {
            return refuse("queue_bytes must not be under batch_bytes");
        }
        if self.connections == 0 || self.witness_timeout_ms == 0 || self.republish_seconds == 0 {
            return refuse("connections, witness_timeout_ms and republish_seconds must not be 0");
        }
        Ok(self)
    }
}

fn default_batch_interval() -> u64 {
    100
}
fn default_batch_bytes() -> usize {
    4 << 20
}
fn default_batch_entries() -> usize {
    4_096
}
fn default_queue_bytes() -> usize {
    32 << 20
}
fn default_witness_timeout() -> u64 {
    5_000
}
fn default_cosign_grace() -> u64 {
    20
}
fn default_republish() -> u64 {
    600
}
fn default_manifest_quota() -> u64 {
    1 << 30
}
fn default_scrub() -> u64 {
    8 << 20
}
fn default_connections() -> usize {
    8_192
}
fn default_reserve() -> u64 {
    128 << 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_their_file() {
        let settings = Settings::new("example.com/log", false, vec!["a".into(), "b".into()]);
        assert_eq!(Settings::parse(&settings.encode()), Ok(settings));
    }

    #[test]
    fn only_origin_and_keys_are_needed() {
        let settings = Settings::parse("origin = \"o\"\nkeys = []\n").unwrap();
        assert_eq!(settings, Settings::new("o", false, vec![]));
    }

    #[test]
    fn unknown_and_senseless_settings_are_refused() {
        for text in [
            "origin = \"o\"\nkeys = []\nbatch_intervall_ms = 3\n",
            "keys = []\n",
            "origin = \"o\"\nkeys = []\nbatch_entries = 0\n",
            "origin = \"o\"\nkeys = []\nqueue_bytes = 1\n",
            "origin = \"o\"\nkeys = []\nconnections = 0\n",
            "origin = \"o\"\nkeys = []\n[rates]\nbuilders = 3\n",
        ] {
            assert!(Settings::parse(text).is_err(), "{text}");
        }
    }
}

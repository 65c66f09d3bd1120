//! `install-observation/v1`: what installing the package in a clean container changed, relative to its manifest.
//!
//! Observations explain; they never replace the claim. Builders may use different images, so agreement is counted per
//! entry and not per statement ([`crate::judge`]).

use serde::{Deserialize, Serialize};
use tlog::Hash;

use super::is_integer;
use crate::envelope;
use crate::json;
use crate::manifest::{is_escaped_path, is_escaped_target, is_mode, is_owner};
use crate::statement::StatementError;

/// How a path differs after the installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// In the manifest, and there, but with the attributes given here instead of the manifest's.
    Modified,
    /// In the manifest, but not there.
    Missing,
    /// Not in the manifest, but there, and not part of the image: made by a script.
    Generated,
    /// In the manifest, but moved away by a diversion; `to` says where.
    Diverted,
}

/// One path that differs. Only attributes that differ (or, for generated paths, all that were found) are present.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// `security.capability` in lowercase hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caps: Option<String>,
    /// What happened.
    pub change: Change,
    /// Group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gname: Option<String>,
    /// Target of a symbolic link, escaped as in manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Octal mode as in manifests, such as `04755`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The path, escaped as in manifests: `./usr/bin/ping`.
    pub path: String,
    /// SHA-256 of a regular file's content.
    #[serde(default, with = "json::hash_option", skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Hash>,
    /// Where a diverted path went, escaped as in manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Type as in manifests: `file`, `dir`, `link`, `char`, `block`, `fifo`; or `socket`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uname: Option<String>,
}

/// Stands for a list that does not fit into a leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FullList {
    /// Number of entries of the full list.
    pub entries: u64,
    /// SHA-256 over the full list: one canonical JSON object a line, sorted, each with a line feed.
    #[serde(with = "json::hash")]
    pub sha256: Hash,
}

/// What one container run found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallObservation {
    /// The differences, sorted by path, then by change; each path and change once.
    pub entries: Vec<Observed>,
    /// Present if `entries` is only a part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<FullList>,
    /// Digest of the image that the container was made from: `sha256:` and 64 hexadecimal digits.
    pub image: String,
    /// Root of the manifest that the differences are relative to.
    #[serde(with = "json::hash")]
    pub manifest: Hash,
}

impl Observed {
    /// An entry without attributes; `path` escaped as in manifests.
    #[must_use]
    pub fn new(path: String, change: Change) -> Self {
        Self { caps: None, change, gname: None, link: None, mode: None, path, sha256: None, to: None, node: None, uname: None }
    }

    fn key(&self) -> (&str, Change) {
        (&self.path, self.change)
    }

    fn check(&self) -> Result<(), &'static str> {
        let fits = |value: &Option<String>, rule: fn(&str) -> bool| value.as_deref().is_none_or(rule);
        if !is_escaped_path(&self.path) || !fits(&self.to, is_escaped_path) {
            return Err("paths are written as in manifests");
        }
        if !fits(&self.mode, is_mode) || !fits(&self.uname, is_owner) || !fits(&self.gname, is_owner) {
            return Err("mode and owners are written as in manifests");
        }
        if !fits(&self.caps, is_caps) || !fits(&self.node, is_node) || !fits(&self.link, is_escaped_target) {
            return Err("caps are lowercase hexadecimal, types and links those of manifests");
        }
        if (self.change == Change::Diverted) != self.to.is_some() {
            return Err("diverted paths, and only they, say where to");
        }
        Ok(())
    }
}

impl InstallObservation {
    /// Sorts the entries and keeps as many as fit into a leaf: changes of packaged paths first, generated ones after
    /// them, each in order of paths. The second value is the full list's text when it did not fit.
    #[must_use]
    pub fn new(manifest: Hash, image: String, mut entries: Vec<Observed>) -> (Self, Option<Vec<u8>>) {
        entries.sort();
        entries.sort_by(|a, b| a.key().cmp(&b.key()));
        entries.dedup_by(|later, first| later.key() == first.key());
        let lines: Vec<Vec<u8>> = entries.iter().map(json::encode).collect();
        if lines.iter().map(|line| line.len() + 1).sum::<usize>() <= ENTRIES_BUDGET {
            return (Self { entries, full: None, image, manifest }, None);
        }
        let text: Vec<u8> = lines.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect();
        let full = FullList { entries: entries.len() as u64, sha256: Hash::digest(&text) };
        (Self { entries: first_that_fit(entries), full: Some(full), image, manifest }, Some(text))
    }

    pub(super) fn check(&self) -> Result<(), StatementError> {
        let digest = self.image.strip_prefix("sha256:").and_then(Hash::from_hex);
        if digest.is_none() {
            return Err(StatementError::BadPredicate("the image is named by sha256:<64 hexadecimal digits>"));
        }
        if !self.entries.is_sorted_by(|a, b| a.key() < b.key()) {
            return Err(StatementError::BadPredicate("entries are sorted by path and change, each once"));
        }
        if self.full.as_ref().is_some_and(|full| !is_integer(full.entries) || full.entries <= self.entries.len() as u64) {
            return Err(StatementError::BadPredicate("a full list has more entries than its part"));
        }
        self.entries.iter().try_for_each(Observed::check).map_err(StatementError::BadPredicate)
    }
}

fn first_that_fit(mut entries: Vec<Observed>) -> Vec<Observed> {
    entries.sort_by(|a, b| (a.change == Change::Generated, a.key()).cmp(&(b.change == Change::Generated, b.key())));
    let mut used = 0;
    entries.retain(|entry| {
        used += json::encode(entry).len() + 1;
        used <= ENTRIES_BUDGET
    });
    entries.sort_by(|a, b| a.key().cmp(&b.key()));
    entries
}

fn is_caps(text: &str) -> bool {
    !text.is_empty() && text.len() <= 128 && hex::decode(text).is_ok_and(|bytes| hex::encode(bytes) == text)
}

fn is_node(text: &str) -> bool {
    matches!(text, "file" | "dir" | "link" | "char" | "block" | "fifo" | "socket")
}

/// What entries may take of [`envelope::MAX_PAYLOAD`]; the rest is for subject, image, digests and member names.
const ENTRIES_BUDGET: usize = envelope::MAX_PAYLOAD - 3_000;

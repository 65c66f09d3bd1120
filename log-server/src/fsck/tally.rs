//! What a part of a check has counted and found.

use std::collections::BTreeSet;

/// One thing that is wrong: which object, and in which way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Its path below the log's public root.
    pub object: String,
    /// What is wrong.
    pub what: String,
}

/// Counts and findings. Parts are added up in the order of the log, so that a saved check can say exactly what it stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tiles and bundles compared, older partial ones included.
    pub objects: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Manifests compared with their names.
    pub manifests: u64,
    /// What is wrong, by object: the first [`MAX_FINDINGS`].
    pub findings: BTreeSet<Finding>,
    /// How many more findings there were.
    pub omitted: u64,
}

impl Tally {
    /// Notes a finding. Control characters, which names on a disk may hold, are shown as `?`.
    pub fn find(&mut self, object: impl AsRef<str>, what: impl AsRef<str>) {
        let plain = |text: &str| text.chars().take(MAX_TEXT).map(|c| if c.is_control() { '?' } else { c }).collect();
        self.add(Finding { object: plain(object.as_ref()), what: plain(what.as_ref()) });
    }

    /// Adds what another part has counted and found.
    pub fn absorb(&mut self, part: Self) {
        self.objects += part.objects;
        self.bytes += part.bytes;
        self.manifests += part.manifests;
        self.omitted += part.omitted;
        part.findings.into_iter().for_each(|finding| self.add(finding));
    }

    fn add(&mut self, finding: Finding) {
        if self.findings.len() < MAX_FINDINGS || self.findings.contains(&finding) {
            self.findings.insert(finding);
        } else {
            self.omitted += 1;
        }
    }
}

/// Most findings that are kept; a log with more of them is wrecked, and its first ones tell as much.
pub const MAX_FINDINGS: usize = 10_000;
/// Most characters of a finding's object or description.
pub const MAX_TEXT: usize = 500;

//! What a check came to, for people and for scripts.

use std::time::Duration;

use serde_json::json;
use tlog::Tree;

use super::tally::Finding;

/// What was checked, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The checkpoint's origin.
    pub origin: String,
    /// The checkpoint's tree.
    pub tree: Tree,
    /// Verified signatures of the log.
    pub signatures: usize,
    /// Witnesses whose cosignatures were verified and satisfy the policy; `None` without a policy, or if they do not.
    pub cosigned: Option<usize>,
    /// Entries that an earlier, unfinished run had hashed.
    pub resumed: u64,
    /// Tiles and bundles compared, older partial ones included.
    pub objects: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Manifests compared with their names.
    pub manifests: u64,
    /// What is wrong, by object; empty if all is well.
    pub findings: Vec<Finding>,
    /// How many more findings there were than are kept.
    pub omitted: u64,
    /// How long this run took.
    pub time: Duration,
}

impl Report {
    /// Whether all is well.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Entries that this run has hashed, in a second.
    #[must_use]
    pub fn entries_per_second(&self) -> f64 {
        (self.tree.size - self.resumed.min(self.tree.size)) as f64 / self.time.as_secs_f64().max(1e-9)
    }

    /// What is wrong, a line each, and a summary.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text: String = self.findings.iter().map(|finding| format!("{}: {}\n", finding.object, finding.what)).collect();
        if self.omitted > 0 {
            text.push_str(&format!("and {} more findings\n", self.omitted));
        }
        let signatures = match self.signatures {
            0 => "no signature checked (give the log's keys with --key)".to_owned(),
            count => format!("{count} signatures of the log"),
        };
        let cosigned = self.cosigned.map_or_else(String::new, |count| format!(", {count} witnesses"));
        text.push_str(&format!(
            "{}: size {} root {}, {signatures}{cosigned}, {} objects, {} manifests, {} findings\n",
            if self.is_clean() { "clean" } else { "DAMAGED" },
            self.tree.size,
            self.tree.root,
            self.objects,
            self.manifests,
            self.findings.len() as u64 + self.omitted,
        ));
        text
    }

    /// The same as one JSON object; its fields are listed in `specs/fsck.md`.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let findings: Vec<_> = self.findings.iter().map(|finding| json!({ "object": finding.object, "what": finding.what })).collect();
        json!({
            "origin": self.origin,
            "size": self.tree.size,
            "root": self.tree.root.to_hex(),
            "clean": self.is_clean(),
            "signatures": self.signatures,
            "witnesses": self.cosigned,
            "objects": self.objects,
            "bytes": self.bytes,
            "manifests": self.manifests,
            "findings": findings,
            "findings_omitted": self.omitted,
            "resumed_entries": self.resumed,
            "seconds": self.time.as_secs_f64(),
            "entries_per_second": self.entries_per_second(),
            "max_rss_mb": max_rss_mb(),
        })
    }
}

/// The most memory that this process has had, in MiB; `None` where the system does not say.
fn max_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

//! The accept file: what the administrator has judged (`specs/accept.md`).

use std::path::Path;

use serde::Deserialize;

use crate::config::{decode_hex, encode_hex};
use crate::finding::{Finding, Kind};
use crate::time;

/// Why an accept file was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("accept file: {0}")]
pub struct AcceptError(pub String);

/// One accepted finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    path: Vec<u8>,
    finding: Kind,
    digest: [u8; 32],
    reason: String,
    /// The first second at which it no longer holds.
    expires: u64,
}

/// All entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    accept: Vec<FileEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    path: String,
    #[serde(default)]
    finding: Option<String>,
    sha256: String,
    reason: String,
    expires: String,
}

impl Accept {
    /// Reads the file; an absent file is an error, since the policy names it.
    ///
    /// # Errors
    /// If it cannot be read, or an entry makes no sense.
    pub fn load(path: &Path) -> Result<Self, AcceptError> {
        let bytes = client::cli::read_limited(path, 1 << 20).map_err(|error| AcceptError(format!("{error:#}")))?;
        let text = String::from_utf8(bytes).map_err(|_| AcceptError("not UTF-8".to_owned()))?;
        Self::parse(&text)
    }

    /// Reads the text of an accept file.
    ///
    /// # Errors
    /// If an entry has an unknown field, lacks one, or a value makes no sense.
    pub fn parse(text: &str) -> Result<Self, AcceptError> {
        let file: File = toml::from_str(text).map_err(|error| AcceptError(error.to_string().trim_end().replace('\n', "; ")))?;
        Ok(Self { entries: file.accept.into_iter().map(entry).collect::<Result<_, _>>()? })
    }

    /// Turns accepted findings into [`Kind::Accepted`] and reports entries that have expired; those that fit nothing only where
    /// everything was looked at.
    #[must_use]
    pub fn apply(&self, findings: Vec<Finding>, now: u64, everything: bool) -> Vec<Finding> {
        let mut used = vec![false; self.entries.len()];
        let mut result: Vec<Finding> = findings.into_iter().map(|finding| self.silence(finding, now, &mut used)).collect();
        let unused = self.entries.iter().zip(&used).filter(|(entry, used)| !**used && (everything || entry.expires <= now));
        result.extend(unused.map(|(entry, _)| {
            let what = if entry.expires <= now { "has expired" } else { "fits nothing that was found" };
            let why = format!("the accept entry for {} {what} (reason given: {})", entry.finding, entry.reason);
            Finding::new(Kind::AcceptUnused, why).at(&entry.path)
        }));
        result
    }

    fn silence(&self, finding: Finding, now: u64, used: &mut [bool]) -> Finding {
        let fits = |entry: &Entry| {
            entry.expires > now
                && entry.finding == finding.kind
                && finding.path.as_ref() == Some(&entry.path)
                && finding.digest == Some(entry.digest)
        };
        let Some(position) = self.entries.iter().position(fits) else { return finding };
        used[position] = true;
        let entry = &self.entries[position];
        let why = format!("{}; accepted until {}: {}", finding.kind, &time::format(entry.expires)[..10], entry.reason);
        Finding { kind: Kind::Accepted, why, ..finding }
    }
}

/// The lines that would accept a finding, for the administrator to complete; `None` where nothing can be accepted.
#[must_use]
pub fn suggestion(finding: &Finding) -> Option<String> {
    let path = std::str::from_utf8(finding.path.as_deref()?).ok()?;
    let digest = encode_hex(&finding.digest?);
    Some(format!("[[accept]]\npath = {path:?}\nfinding = \"{}\"\nsha256 = \"{digest}\"\nreason = \"\"\nexpires = \"\"\n", finding.kind))
}

fn entry(file: FileEntry) -> Result<Entry, AcceptError> {
    let refuse = |reason: &str| AcceptError(format!("{}: {reason}", file.path));
    if !file.path.starts_with('/') {
        return Err(refuse("the path is not absolute"));
    }
    if file.reason.trim().is_empty() {
        return Err(refuse("the reason is empty"));
    }
    let name = file.finding.as_deref().unwrap_or("modified");
    let finding = Kind::ALL.into_iter().find(|kind| kind.name() == name && acceptable(*kind));
    let digest =
        Some(&file.sha256).filter(|text| text.len() == 64).and_then(|text| decode_hex(text)).and_then(|bytes| bytes.try_into().ok());
    Ok(Entry {
        finding: finding.ok_or_else(|| refuse("no such finding, or not one that can be accepted"))?,
        digest: digest.ok_or_else(|| refuse("sha256 is not 64 lowercase hexadecimal digits"))?,
        expires: time::parse_date(&file.expires).ok_or_else(|| refuse("expires is not a date such as 2027-01-31"))?,
        path: file.path.into_bytes(),
        reason: file.reason,
    })
}

/// Only differences of files: what builders, witnesses and the security team say cannot be waved through.
fn acceptable(kind: Kind) -> bool {
    matches!(kind, Kind::Modified | Kind::Missing | Kind::Mode | Kind::Owner | Kind::Capability | Kind::Unowned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[[accept]]\npath = \"/usr/bin/x\"\nsha256 = \"0101010101010101010101010101010101010101010101010101010101010101\"\nreason = \"patched here\"\nexpires = \"2030-01-01\"\n";

    fn finding(digest: [u8; 32]) -> Finding {
        Finding { digest: Some(digest), ..Finding::new(Kind::Modified, "differs").at(b"/usr/bin/x") }
    }

    #[test]
    fn an_entry_silences_its_digest_only() {
        let accept = Accept::parse(TEXT).unwrap();
        let kinds = |digest| accept.apply(vec![finding(digest)], 0, true).iter().map(|finding| finding.kind).collect::<Vec<_>>();
        assert_eq!(kinds([1; 32]), [Kind::Accepted]);
        assert_eq!(kinds([2; 32]), [Kind::Modified, Kind::AcceptUnused]);
    }

    #[test]
    fn an_expired_entry_silences_nothing() {
        let expiry = time::parse_date("2030-01-01").unwrap();
        let accept = Accept::parse(TEXT).unwrap();
        assert_eq!(accept.apply(vec![finding([1; 32])], expiry - 1, true)[0].kind, Kind::Accepted);
        assert_eq!(accept.apply(vec![finding([1; 32])], expiry, true)[0].kind, Kind::Modified);
    }

    #[test]
    fn refusals() {
        for (from, to) in [
            ("/usr/bin/x", "usr/bin/x"),
            ("patched here", " "),
            ("2030-01-01", "2030-02-30"),
            ("0101010101010101", "01"),
            ("0101010101010101", "010101010101010G"),
            ("reason", "because"),
            ("path", "finding = \"warned\"\npath"),
            ("path", "finding = \"nonsense\"\npath"),
        ] {
            assert!(Accept::parse(&TEXT.replacen(from, to, 1)).is_err(), "{to}");
        }
    }

    #[test]
    fn a_suggestion_is_an_entry() {
        let text = suggestion(&finding([1; 32])).unwrap();
        let full = text.replace("reason = \"\"", "reason = \"r\"").replace("expires = \"\"", "expires = \"2030-01-01\"");
        assert_eq!(Accept::parse(&full).unwrap().apply(vec![finding([1; 32])], 0, true)[0].kind, Kind::Accepted);
    }
}

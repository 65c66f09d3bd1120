//! A frozen log: read-only for good, under a last checkpoint (`specs/operate.md`). `public/frozen` says so, to servers and readers.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use client::cli::Advice;
use serde::{Deserialize, Serialize};
use store::{Directory, Store};
use tlog::{Hash, Tree};

use crate::layout;
use crate::ledger::{Ledger, Published};
use crate::server::{load_keys, lock, read_settings, unopened};

/// The file's contents, in TOML. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frozen {
    /// The log's name.
    pub origin: String,
    /// Size of the last tree.
    pub size: u64,
    /// Its root, 64 hexadecimal digits.
    pub root: String,
    /// Why, in one line for those who wanted to add something.
    pub reason: String,
    /// The log to go to instead: its origin or address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
}

impl Frozen {
    /// Reads the file; `None` if the log is not frozen.
    ///
    /// # Errors
    /// If it cannot be read or is not such a file: a log that may be frozen must not take entries.
    pub fn read(store: &dyn Store) -> anyhow::Result<Option<Self>> {
        let Some(bytes) = store.get(layout::FROZEN).with_context(|| format!("reading {}", layout::FROZEN))? else { return Ok(None) };
        Self::parse(&bytes).map(Some).ok_or_else(|| {
            Advice::new(
                format!("{} is damaged", layout::FROZEN),
                "restore it from a mirror: without it nobody can tell whether this log may grow",
            )
            .into()
        })
    }

    /// Reads the file's bytes: at most 4 KiB, and written as [`Self::encode`] writes them.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_BYTES)?;
        let frozen: Self = toml::from_str(text).ok()?;
        (frozen.tree().is_some() && frozen.encode() == text).then_some(frozen)
    }

    /// The file's text.
    #[must_use]
    pub fn encode(&self) -> String {
        // A struct of strings and one number always has such a text.
        toml::to_string(self).unwrap_or_default()
    }

    /// The last tree.
    #[must_use]
    pub fn tree(&self) -> Option<Tree> {
        Some(Tree { size: self.size, root: Hash::from_hex(&self.root)? })
    }

    /// What a submitter is told.
    #[must_use]
    pub fn text(&self) -> String {
        let next = self.successor.as_ref().map_or_else(String::new, |successor| format!("; submit to {successor}"));
        format!("this log is frozen at size {}: {}{next}", self.size, self.reason)
    }
}

/// Freezes the log in `dir` and returns its last checkpoint. No server may run on it; what is committed must be published.
pub fn freeze(dir: &Path, reason: &str, successor: Option<&str>) -> anyhow::Result<Published> {
    for text in [Some(reason), successor].into_iter().flatten() {
        if text.is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control) {
            return Err(
                Advice::new(format!("{text:?} cannot be told to submitters"), format!("use one line of at most {MAX_TEXT} bytes")).into()
            );
        }
    }
    let settings = read_settings(dir)?;
    let _lock = lock(dir)?;
    let store: Arc<dyn Store> = Arc::new(Directory::open(dir).with_context(|| format!("opening {}", dir.display()))?);
    let ledger = Ledger::open(store.clone(), Arc::new(load_keys(dir, &settings)?)).map_err(unopened)?;
    let published = ledger.published().filter(|_| !ledger.is_pending()).cloned().ok_or_else(|| {
        Advice::new("the committed tree is not published yet", "start the log with its witnesses until it is, stop it, and freeze it then")
    })?;
    let tree = published.tree;
    let (successor, reason) = (successor.map(str::to_owned), reason.to_owned());
    let frozen = Frozen { origin: settings.origin, size: tree.size, root: tree.root.to_string(), reason, successor };
    store.put(layout::FROZEN, frozen.encode().as_bytes()).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Advice::new("this log is frozen already, for another reason", "a log is frozen once, for good").into()
        }
        _ => anyhow::Error::new(error).context(format!("writing {}", layout::FROZEN)),
    })?;
    Ok(published)
}

/// Refuses a directory that has grown since it was frozen.
pub fn check(frozen: &Frozen, committed: &Tree) -> anyhow::Result<()> {
    if frozen.tree().as_ref() == Some(committed) {
        return Ok(());
    }
    let what = format!("the log was frozen at size {}, and this directory has size {}", frozen.size, committed.size);
    Err(Advice::new(what, "this is not the directory that was frozen: find that one, or restore it from a mirror").into())
}

const MAX_BYTES: usize = 4096;
const MAX_TEXT: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_survive_their_file_and_have_one_spelling() {
        let notice = Frozen {
            origin: "example.com/log".into(),
            size: 7,
            root: Hash::EMPTY.to_string(),
            reason: "a \"b\" ü".into(),
            successor: None,
        };
        for notice in [notice.clone(), Frozen { successor: Some("example.com/next".into()), ..notice }] {
            let text = notice.encode();
            assert_eq!(Frozen::parse(text.as_bytes()), Some(notice));
            let others =
                [text.replace(" = ", "="), format!("{text}\n"), text.replace("size = 7", "size = -7"), text.replace("root", "roots")];
            for other in others.iter().chain([&text.replace(&Hash::EMPTY.to_string(), "no hash"), &format!("{text}more = 1\n")]) {
                assert_eq!(Frozen::parse(other.as_bytes()), None, "{other}");
            }
            for at in 0..text.len() {
                assert_eq!(Frozen::parse(&text.as_bytes()[..at]).filter(|cut| cut.encode().len() != at), None);
                let mut changed = text.clone().into_bytes();
                changed[at] ^= 0x80;
                assert_eq!(Frozen::parse(&changed), None, "byte {at}");
            }
        }
        assert_eq!(Frozen::parse(&[b' '; MAX_BYTES + 1]), None);
    }
}

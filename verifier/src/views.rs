//! What others have seen of the log, against what was seen here (`specs/audit.md`, section 2): the policy's witnesses, mirrors and other
//! auditors, files that were handed over. One of them that was shown another history is enough to convict the log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use client::witness::WitnessClient;
use client::{FetchError, Http, LogClient};
use tlog::evidence::Evidence;
use tlog::{Hash, Note, Policy, SignedCheckpoint};

use crate::follow::{FollowError, Unproven, compare, extends};
use crate::knowledge::{KnowledgeError, verify_checkpoint};

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Every witness of the policy that has an address.
    Witnesses,
    /// A mirror, or anything else that serves a checkpoint and tiles.
    Mirror(String),
    /// A file with a checkpoint or with evidence.
    File(PathBuf),
}

/// What came of looking at one place.
#[derive(Debug)]
pub struct View {
    /// The place, in words.
    pub place: String,
    /// What was seen there.
    pub seen: Seen,
}

/// What was seen.
#[derive(Debug)]
pub enum Seen {
    /// A tree of the same history, of this size.
    Same(u64),
    /// Nothing of this log.
    Nothing,
    /// Two histories.
    Fork(Box<Evidence>),
    /// A checkpoint of the log, and nothing that shows what it is to the one known here.
    Unproven(Box<Unproven>),
    /// Something that is not of this log, or no answer.
    Refused(String),
}

/// Whom to ask, and what is known here.
pub struct Views<'a> {
    /// The log.
    pub log: &'a LogClient,
    /// Its keys, and the witnesses with their addresses.
    pub policy: &'a Policy,
    /// The newest checkpoint known here.
    pub known: &'a SignedCheckpoint,
}

impl Place {
    /// `witnesses`, an address, or a file.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "witnesses" => Self::Witnesses,
            text if text.starts_with("http://") || text.starts_with("https://") => Self::Mirror(text.to_owned()),
            file => Self::File(PathBuf::from(file)),
        }
    }

    /// A file's path is relative to this directory.
    #[must_use]
    pub fn below(self, base: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(base.join(path)),
            place => place,
        }
    }
}

impl Views<'_> {
    /// Looks at all of these places, each once. Nothing that a place says or fails to say ends it: what was seen is the result.
    pub async fn look(&self, places: &[Place]) -> Vec<View> {
        let mut views = Vec::new();
        for place in places {
            match place {
                Place::Witnesses => {
                    for url in self.witnesses() {
                        views.push(View { place: format!("the witness at {url}"), seen: self.witness(url).await });
                    }
                }
                Place::Mirror(url) => views.push(View { place: format!("the mirror at {url}"), seen: self.mirror(url).await }),
                Place::File(path) => views.push(View { place: path.display().to_string(), seen: self.file(path).await }),
            }
        }
        views
    }

    /// The addresses of the policy's witnesses, each once: a witness has several keys.
    fn witnesses(&self) -> Vec<&str> {
        let mut urls: Vec<&str> = self.policy.witnesses().iter().filter_map(|witness| witness.url.as_deref()).collect();
        urls.sort_unstable();
        urls.dedup();
        urls
    }

    /// Its newest checkpoint of the log, and the evidence that it keeps.
    async fn witness(&self, url: &str) -> Seen {
        match self.kept_evidence(url).await {
            Ok(None) => {}
            Ok(Some(evidence)) => return Seen::Fork(evidence),
            Err(error) => tracing::debug!("{url} does not show evidence: {error}"),
        }
        let newest = match WitnessClient::new(url, PATIENCE) {
            Ok(witness) => witness.newest(&self.known.checkpoint.origin).await,
            Err(error) => Err(error),
        };
        match newest {
            Ok(None) => Seen::Nothing,
            Ok(Some(theirs)) => self.judge(&theirs, None).await,
            Err(error) => Seen::Refused(error.to_string()),
        }
    }

    /// The first evidence of the witness's list that convicts; a witness of another make has no such list.
    async fn kept_evidence(&self, url: &str) -> Result<Option<Box<Evidence>>, FetchError> {
        let (http, id) = (Http::new(url, PATIENCE)?, Hash::digest(self.known.checkpoint.origin.as_bytes()));
        let listed = http.get(&format!("{id}/evidence"), MAX_LIST).await?;
        let listed = String::from_utf8_lossy(&listed.body).into_owned();
        for name in listed.lines().filter(|name| Hash::from_hex(name).is_some()).take(MOST_EVIDENCE) {
            let file = http.get(&format!("{id}/evidence/{name}"), Evidence::MAX_BYTES).await?;
            if let Some(evidence) = self.convicting(&file.body) {
                return Ok(Some(evidence));
            }
        }
        Ok(None)
    }

    /// Evidence that convicts this log by its own keys.
    fn convicting(&self, bytes: &[u8]) -> Option<Box<Evidence>> {
        let keys: Vec<_> = self.policy.logs().iter().map(|log| log.key.clone()).collect();
        let evidence = Evidence::parse(bytes).ok()?;
        let is_own = evidence.smaller.checkpoint.origin == self.known.checkpoint.origin;
        (is_own && evidence.verify(&keys).is_ok()).then(|| Box::new(evidence))
    }

    async fn mirror(&self, url: &str) -> Seen {
        let mirror = match LogClient::with_timeout(url, PATIENCE) {
            Ok(mirror) => mirror,
            Err(error) => return Seen::Refused(error.to_string()),
        };
        match mirror.checkpoint().await {
            Ok(theirs) => self.judge(&theirs, Some(&mirror)).await,
            Err(FetchError::Status { status: 404, .. }) => Seen::Nothing,
            Err(error) => Seen::Refused(error.to_string()),
        }
    }

    async fn file(&self, path: &Path) -> Seen {
        let bytes = match client::cli::read_limited(path, Evidence::MAX_BYTES as u64) {
            Ok(bytes) => bytes,
            Err(error) => return Seen::Refused(format!("{error:#}")),
        };
        if let Some(evidence) = self.convicting(&bytes) {
            return Seen::Fork(evidence);
        }
        match SignedCheckpoint::parse(&bytes) {
            Ok(theirs) if bytes.len() <= Note::MAX_BYTES => self.judge(&theirs, None).await,
            _ => Seen::Refused("it is neither a checkpoint nor evidence against this log".to_owned()),
        }
    }

    /// Compares their checkpoint with the one known here, by the log's tiles; where these decide nothing, by the mirror's.
    async fn judge(&self, theirs: &SignedCheckpoint, mirror: Option<&LogClient>) -> Seen {
        if theirs.checkpoint.origin != self.known.checkpoint.origin {
            return Seen::Refused(format!("it is a checkpoint of {}, another log", theirs.checkpoint.origin));
        }
        // A quorum is not asked for: the log's own signature is enough to convict it.
        if verify_checkpoint(self.policy, theirs) == Err(KnowledgeError::NotTheLog) {
            return Seen::Refused("its checkpoint is not signed by the log".to_owned());
        }
        let unproven = match compare(self.log, self.known, theirs).await {
            Ok(_) => return Seen::Same(theirs.tree().size),
            Err(FollowError::Fork(evidence)) => return Seen::Fork(evidence),
            Err(FollowError::Unproven(unproven)) => unproven,
            Err(error) => return Seen::Refused(error.to_string()),
        };
        let Some(mirror) = mirror else { return Seen::Unproven(unproven) };
        match extends(mirror, &unproven.smaller, &unproven.larger).await {
            Ok(_) => Seen::Same(theirs.tree().size),
            Err(FollowError::Fork(evidence)) => Seen::Fork(evidence),
            Err(_) => Seen::Unproven(unproven),
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
const MAX_LIST: usize = 64 << 10;
/// A witness keeps at most these of one log.
const MOST_EVIDENCE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart() {
        assert_eq!(Place::parse("witnesses"), Place::Witnesses);
        assert_eq!(Place::parse("https://m.example/log"), Place::Mirror("https://m.example/log".to_owned()));
        assert_eq!(Place::parse("/media/usb/checkpoint"), Place::File(PathBuf::from("/media/usb/checkpoint")));
    }
}

//! What is kept, where, and in which order: `specs/witness.md` section 4.
//!
//! | key | what |
//! |---|---|
//! | `state/<id>/known` | the record of [`Known`], replaced under comparison |
//! | `state/<id>/hold` | a checkpoint with an own cosignature that the record does not know |
//! | `state/<id>/vouched` | a mirror's: the [`Known`] of which all entries are held |
//! | `evidence/<id>/<digest>` | a proven split view |
//!
//! `<id>` is the hexadecimal SHA-256 of the origin.

use std::io;
use std::sync::Arc;

use store::{Store, Swap};
use tlog::evidence::Evidence;
use tlog::{Hash, SignedCheckpoint, VerifierKey};

use crate::decide::{is_newer, own_cosignatures};
use crate::{Hold, Known};

/// Most evidence files for one log: one convicts, and a log must not be able to fill the disk.
pub const MAX_EVIDENCE: usize = 16;

/// The durable state of all logs.
#[derive(Clone)]
pub struct States {
    store: Arc<dyn Store>,
}

/// The state of one log, as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The record, where it can be read.
    pub known: Option<Known>,
    /// Its bytes, for the next comparison.
    pub raw: Option<Vec<u8>>,
    /// Why nothing may be signed.
    pub hold: Option<Hold>,
}

impl States {
    /// State in this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Reads a log's state and makes what it read durable: after a failed or interrupted write the page cache may show bytes that the
    /// disk does not have, and a signature must not rest on those.
    ///
    /// # Errors
    /// The store's; never taken for absence.
    pub fn load(&self, id: &str, own: &[VerifierKey]) -> io::Result<Stored> {
        let raw = self.durable(&known_key(id))?;
        let known = raw.as_deref().map(Known::parse).transpose();
        let hold = match &known {
            Err(_) => Some(Hold::Damaged),
            Ok(known) => self.own_newer(id, known.as_ref(), own)?,
        };
        Ok(Stored { known: known.unwrap_or_default(), raw, hold })
    }

    /// Replaces the record; when this returns [`Swap::Done`], and only then, the new one may be signed.
    ///
    /// # Errors
    /// The result is unknown: load again before the next decision.
    pub fn save(&self, id: &str, old: Option<&[u8]>, new: &[u8]) -> io::Result<Swap> {
        self.store.swap(&known_key(id), old, new)
    }

    /// What a mirror has vouched for, and its bytes; made durable again, as in [`States::load`].
    ///
    /// # Errors
    /// The store's; a damaged record is one, too.
    pub fn vouched(&self, id: &str) -> io::Result<(Option<Known>, Option<Vec<u8>>)> {
        let raw = self.durable(&vouched_key(id))?;
        Ok((parse_vouched(id, raw.as_deref())?, raw))
    }

    /// The same as it reads now, without a write: what may not be durable is no ground to sign on.
    ///
    /// # Errors
    /// As [`States::vouched`].
    pub fn seen_vouched(&self, id: &str) -> io::Result<Option<Known>> {
        parse_vouched(id, self.store.get(&vouched_key(id))?.as_deref())
    }

    /// Replaces it; when this returns [`Swap::Done`], and only then, the mirror may sign.
    ///
    /// # Errors
    /// The result is unknown.
    pub fn vouch(&self, id: &str, old: Option<&[u8]>, new: &[u8]) -> io::Result<Swap> {
        self.store.swap(&vouched_key(id), old, new)
    }

    /// Remembers a checkpoint that proves the record to be old, so that the proof outlives a restart.
    ///
    /// # Errors
    /// The store's.
    pub fn hold(&self, id: &str, own: &SignedCheckpoint) -> io::Result<()> {
        let key = hold_key(id);
        let old = self.store.get(&key)?;
        self.store.swap(&key, old.as_deref(), own.encode().as_bytes())?;
        Ok(())
    }

    /// Forgets that checkpoint, once the record is as new.
    ///
    /// # Errors
    /// The store's; harmless, because a checkpoint that is not newer than the record holds nothing.
    pub fn release(&self, id: &str) -> io::Result<()> {
        self.store.discard(&hold_key(id))
    }

    /// The remembered checkpoint, if it is still newer than the record. Unreadable counts as nothing remembered: it was no proof.
    fn own_newer(&self, id: &str, known: Option<&Known>, own: &[VerifierKey]) -> io::Result<Option<Hold>> {
        let Some(bytes) = self.store.get(&hold_key(id))? else { return Ok(None) };
        let Ok(signed) = SignedCheckpoint::parse(&bytes) else { return Ok(None) };
        let newest = own_cosignatures(&signed, own).into_iter().map(|(time, _)| time).max();
        let newer = newest.is_some_and(|time| is_newer(known, signed.checkpoint.tree, time));
        Ok(newer.then(|| Hold::OwnNewer(Box::new(signed))))
    }

    fn durable(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        if self.store.get(key)?.is_none() {
            return Ok(None);
        }
        self.store.rewrite(key)?;
        self.store.get(key)
    }

    /// Whether no log has a record: then this directory is new.
    ///
    /// # Errors
    /// The store's.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.store.list("state")?.is_empty())
    }

    /// Keeps a proven split view, durably. Returns whether it is new.
    ///
    /// The name is the digest of the two statements, without their signatures: a log that signs the same two again adds nothing.
    ///
    /// # Errors
    /// The store's.
    pub fn keep_evidence(&self, id: &str, evidence: &Evidence) -> io::Result<bool> {
        let statements = format!("{}\n{}", evidence.smaller.note.text, evidence.larger.note.text);
        let name = Hash::digest(statements.as_bytes()).to_hex();
        let kept = self.evidence(id)?;
        if kept.contains(&name) || kept.len() >= MAX_EVIDENCE {
            return Ok(false);
        }
        self.store.put(&evidence_key(id, &name), evidence.encode().as_bytes())?;
        Ok(true)
    }

    /// The names of a log's evidence files, in order.
    ///
    /// # Errors
    /// The store's.
    pub fn evidence(&self, id: &str) -> io::Result<Vec<String>> {
        let prefix = format!("evidence/{id}");
        let keys = self.store.list(&prefix)?;
        Ok(keys.iter().filter_map(|key| key.rsplit('/').next()).map(str::to_owned).collect())
    }

    /// One evidence file.
    ///
    /// # Errors
    /// The store's.
    pub fn evidence_file(&self, id: &str, name: &str) -> io::Result<Option<Vec<u8>>> {
        match Hash::from_hex(name) {
            Some(_) => self.store.get(&evidence_key(id, name)),
            None => Ok(None),
        }
    }
}

fn parse_vouched(id: &str, raw: Option<&[u8]>) -> io::Result<Option<Known>> {
    raw.map(Known::parse).transpose().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", vouched_key(id))))
}

fn known_key(id: &str) -> String {
    format!("state/{id}/known")
}
fn vouched_key(id: &str) -> String {
    format!("state/{id}/vouched")
}
fn hold_key(id: &str) -> String {
    format!("state/{id}/hold")
}
fn evidence_key(id: &str, name: &str) -> String {
    format!("evidence/{id}/{name}")
}

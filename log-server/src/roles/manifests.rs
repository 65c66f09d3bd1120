//! Manifests: uploaded before the entries that claim them, kept for good once an entry does, dropped an hour later otherwise.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use attest::Manifest;
use attest::manifest::tree_of;
use store::Store;
use tlog::{Hash, Tree, VerifierKey};

use crate::index::{Index, IndexError, ManifestRow};
use crate::layout;

/// Why a manifest was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// It is not a manifest; in words.
    Malformed(String),
    /// Its root is not the name that it was uploaded under.
    WrongRoot(Hash),
    /// The uploader has used up its room for manifests without entries.
    Quota(u64),
    /// The store or the index failed; in words, for the operator.
    Failed(String),
}

/// The stored manifests.
pub struct Manifests {
    store: Arc<dyn Store>,
    index: Arc<Index>,
    quota: u64,
    /// Bytes of unclaimed manifests by uploader. Also what makes "look, then change" one step.
    unclaimed: Mutex<HashMap<Hash, u64>>,
}

impl Manifests {
    /// Counts what the rows say; `reconcile` has brought them in line with the store.
    pub fn open(store: Arc<dyn Store>, index: Arc<Index>, quota: u64) -> Result<Self, IndexError> {
        let mut unclaimed = HashMap::new();
        for (_, row) in index.manifests()?.iter().filter(|(_, row)| row.uploaded != 0) {
            *unclaimed.entry(row.uploader).or_default() += row.bytes;
        }
        Ok(Self { store, index, quota, unclaimed: Mutex::new(unclaimed) })
    }

    /// Whether the uploader may send this many bytes more.
    pub fn check_quota(&self, key: &VerifierKey, bytes: u64) -> Result<(), ManifestError> {
        let used = self.lock().get(&uploader(key)).copied().unwrap_or(0);
        if used.saturating_add(bytes) > self.quota { Err(ManifestError::Quota(self.quota)) } else { Ok(()) }
    }

    /// Checks and stores a manifest; `true` if it is new.
    pub fn put(&self, root: &Hash, text: &[u8], key: &VerifierKey, now: u64) -> Result<bool, ManifestError> {
        let tree = tree_of(text);
        if tree.root != *root {
            return Err(ManifestError::WrongRoot(tree.root));
        }
        let package = *Manifest::parse(text).map_err(|error| ManifestError::Malformed(error.to_string()))?.package();
        self.check_quota(key, text.len() as u64)?;
        // A known one gets its hour anew before the object is looked at, so that it cannot go in between.
        self.refresh(root, now)?;
        self.store.put(&layout::manifest(root), text).map_err(failed)?;
        let row = ManifestRow { bytes: text.len() as u64, lines: tree.size, package, uploader: uploader(key), uploaded: now };
        let mut unclaimed = self.lock();
        match self.index.manifest(root).map_err(failed)? {
            Some(known) if known.bytes != 0 => return Ok(false),
            // An entry has claimed it before: it came back.
            Some(_) => {
                self.index.set_manifest(root, Some(&ManifestRow { uploaded: 0, ..row })).map_err(failed)?;
                return Ok(true);
            }
            None => self.index.set_manifest(root, Some(&row)).map_err(failed)?,
        }
        *unclaimed.entry(row.uploader).or_default() += row.bytes;
        Ok(true)
    }

    /// Whether the manifest is stored that a claim describes; `Err` says what differs.
    pub fn check_claim(&self, claim: &Tree, bytes: u64, package: &Hash) -> Result<Result<(), String>, IndexError> {
        let Some(row) = self.index.manifest(&claim.root)?.filter(|row| row.bytes != 0) else {
            return Ok(Err(format!("manifest {} is not stored: upload it first", claim.root)));
        };
        if (row.lines, row.bytes) != (claim.size, bytes) {
            return Ok(Err(format!("manifest {} has {} lines and {} bytes", claim.root, row.lines, row.bytes)));
        }
        if row.package != *package {
            return Ok(Err(format!("manifest {} is of another package file than the subject", claim.root)));
        }
        Ok(Ok(()))
    }

    /// An entry claims this manifest now: it no longer counts against its uploader. (The index keeps it for good.)
    pub fn claim(&self, root: &Hash) -> Result<(), IndexError> {
        let mut unclaimed = self.lock();
        let row = self.index.manifest(root)?.filter(|row| row.uploaded != 0);
        if let Some((row, used)) = row.and_then(|row| Some((row, unclaimed.get_mut(&row.uploader)?))) {
            *used = used.saturating_sub(row.bytes);
        }
        Ok(())
    }

    /// Drops manifests that no entry has claimed within an hour. Called between rounds, when no entry is on its way.
    pub fn sweep(&self, now: u64) -> Result<usize, ManifestError> {
        let old = |row: &ManifestRow| row.uploaded != 0 && now.saturating_sub(row.uploaded) > UNCLAIMED_SECONDS;
        let stale: Vec<Hash> =
            self.index.unclaimed().map_err(failed)?.into_iter().filter(|(_, row)| old(row)).map(|(root, _)| root).collect();
        for root in &stale {
            let mut unclaimed = self.lock();
            let Some(row) = self.index.manifest(root).map_err(failed)?.filter(old) else { continue };
            self.index.set_manifest(root, None).map_err(failed)?;
            self.store.discard(&layout::manifest(root)).map_err(failed)?;
            if let Some(used) = unclaimed.get_mut(&row.uploader) {
                *used = used.saturating_sub(row.bytes);
            }
        }
        Ok(stale.len())
    }

    fn refresh(&self, root: &Hash, now: u64) -> Result<(), ManifestError> {
        let _one_step = self.lock();
        match self.index.manifest(root).map_err(failed)? {
            Some(row) if row.uploaded != 0 => self.index.set_manifest(root, Some(&ManifestRow { uploaded: now, ..row })).map_err(failed),
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Hash, u64>> {
        // The counts are changed by one statement at a time.
        self.unclaimed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Brings the index's rows in line with the stored manifests, before entries are replayed into it: those without a row count
/// as uploaded at `now` (and replaying claims them), unclaimed rows without an object are dropped.
pub fn reconcile(store: &dyn Store, index: &Index, now: u64) -> Result<(), IndexError> {
    let failed = |error: std::io::Error| IndexError::Failed(error.to_string());
    let mut rows: HashMap<Hash, ManifestRow> = index.manifests()?.into_iter().collect();
    for key in store.list(layout::MANIFESTS).map_err(failed)? {
        let Some(root) = key.rsplit('/').next().and_then(Hash::from_hex) else { continue };
        let known = rows.remove(&root);
        if known.is_some_and(|row| row.bytes != 0) {
            continue;
        }
        let text = store.get(&key).map_err(failed)?.unwrap_or_default();
        match describe(&text, &root) {
            Some(row) => index.set_manifest(&root, Some(&ManifestRow { uploaded: known.map_or(now, |known| known.uploaded), ..row }))?,
            None => tracing::error!("{key} is damaged: it is not the manifest that its name says"),
        }
    }
    for (root, row) in rows {
        if row.uploaded != 0 {
            index.set_manifest(&root, None)?;
        } else {
            tracing::error!("{} is missing, and entries claim it: restore it from a mirror", layout::manifest(&root));
        }
    }
    Ok(())
}

/// A row for a stored manifest whose uploader is no longer known.
fn describe(text: &[u8], root: &Hash) -> Option<ManifestRow> {
    let tree = tree_of(text);
    let package = *Manifest::parse(text).ok()?.package();
    let row = ManifestRow { bytes: text.len() as u64, lines: tree.size, package, uploader: Hash::EMPTY, uploaded: 0 };
    (tree.root == *root).then_some(row)
}

fn uploader(key: &VerifierKey) -> Hash {
    Hash::digest(key.encode().as_bytes())
}

fn failed(error: impl std::fmt::Display) -> ManifestError {
    ManifestError::Failed(error.to_string())
}

/// How long a manifest waits for its first claim.
const UNCLAIMED_SECONDS: u64 = 3_600;

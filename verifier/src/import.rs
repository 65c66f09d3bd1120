//! Taking a bundle into the cache: everything is verified before anything is touched.

use attest::Bundle;
use tlog::{Hash, Policy};

use crate::cache::{Cache, CacheError, CacheLock};
use crate::follow::{FollowError, Step, compare_offline};
use crate::knowledge::{Knowledge, KnowledgeError};

/// Why a bundle was refused.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Signatures, proofs, manifests or roles.
    #[error(transparent)]
    Knowledge(#[from] KnowledgeError),
    /// Another log, or a fork.
    #[error(transparent)]
    Follow(FollowError),
    /// Older than what is known.
    #[error("its checkpoint has {found} entries, and one of {known} is known here: it is older")]
    Older {
        /// The size known here.
        known: u64,
        /// The bundle's.
        found: u64,
    },
    /// An entry that is known here is another one in the bundle: the log has two histories, though this does not prove it.
    #[error("entry {0} is another one in the bundle than here: the log shows two histories")]
    OtherEntry(u64),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Verifies a bundle and keeps it: log signature, quorum, all proofs, all manifests, the roles from their pin on.
///
/// That a larger tree extends the known one is taken from the witnesses' quorum, which cosigns nothing else; the next sync proves it
/// again. Entries known here must stand unchanged in the bundle.
///
/// # Errors
/// See [`ImportError`]; nothing was changed then.
pub fn import(bundle: &Bundle, policy: &Policy, roles_pin: Hash, cache: &Cache, lock: &CacheLock) -> Result<(), ImportError> {
    let knowledge = Knowledge::new(bundle, policy, roles_pin)?;
    let newest = cache.newest()?;
    let step = newest.as_ref().map(|known| compare_offline(known, &bundle.checkpoint)).transpose().map_err(ImportError::Follow)?;
    if step == Some(Some(Step::Behind)) {
        let known = newest.map_or(0, |known| known.tree().size);
        return Err(ImportError::Older { known, found: bundle.checkpoint.tree().size });
    }
    let here = match cache.known() {
        Ok(here) => here.leaves,
        Err(CacheError::Absent(_) | CacheError::Damaged(_)) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    for leaf in &bundle.leaves {
        let same = here.binary_search_by_key(&leaf.index, |here| here.index).map_or(true, |at| here[at].leaf == leaf.leaf);
        if !same {
            return Err(ImportError::OtherEntry(leaf.index));
        }
    }
    let wanted = knowledge.manifests();
    for manifest in bundle.manifests.iter().filter(|manifest| wanted.contains_key(&manifest.root)) {
        cache.keep_manifest(lock, &manifest.root, &manifest.text)?;
    }
    cache.keep_newest(lock, &bundle.checkpoint)?;
    cache.keep_known(lock, &Bundle { manifests: Vec::new(), ..bundle.clone() })?;
    Ok(())
}

//! Taking a bundle into the cache: everything is verified before anything is touched, and what is known is added to, never replaced.

use attest::Bundle;
use tlog::evidence::Evidence;
use tlog::{Hash, Policy, SignedCheckpoint};

use crate::cache::{Cache, CacheError, CacheLock};
use crate::coverage::Coverage;
use crate::knowledge::{Knowledge, KnowledgeError};
use crate::merge::{OtherEntry, Relation, carry, convict, is_within, join, relate};
use crate::sync::fresher;

/// Why a bundle was refused.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Signatures, proofs, manifests or roles.
    #[error(transparent)]
    Knowledge(#[from] KnowledgeError),
    /// A bundle of another log.
    #[error("it is of the log {found}, and the cache follows {known}")]
    OtherLog {
        /// The origin in the cache.
        known: String,
        /// The bundle's.
        found: String,
    },
    /// The log shows two histories.
    #[error("the log has forked: it signed two histories that exclude each other")]
    Fork(Box<Evidence>),
    /// Two histories, though this does not prove it.
    #[error(transparent)]
    OtherEntry(#[from] OtherEntry),
    /// Too many bundles that nothing joins.
    #[error("{0} bundles are kept aside, since nothing shows that they are of one history; run tally sync before you import more")]
    TooMany(usize),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// What an import did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Entries that were not known before.
    pub entries: usize,
    /// Manifests that were not here before.
    pub manifests: usize,
    /// Whether it is shown that the bundle and what was known are of one history. If not, it is the witnesses' word until the next sync.
    pub proven: bool,
}

/// Verifies a bundle and adds it to what is known: log signature, quorum, all proofs, all manifests, the roles from their pin on.
///
/// The newest checkpoint moves forward only with a proof. A bundle whose tree nothing connects with the known one is kept aside, and
/// counts: the next sync shows whether both are of one history.
///
/// # Errors
/// See [`ImportError`]; nothing that counts was changed then.
pub fn import(bundle: &Bundle, policy: &Policy, roles_pin: Hash, cache: &Cache, lock: &CacheLock) -> Result<Imported, ImportError> {
    let knowledge = Knowledge::new(bundle, policy, roles_pin)?;
    let newest = cache.newest()?;
    let mut holdings = Holdings::load(cache)?;
    let (entries, before) = (holdings.unknown(bundle), holdings.known.clone());
    judge_histories(bundle, newest.iter().chain(&cache.unproven()?).chain(holdings.all().map(|held| &held.checkpoint)))?;
    let slim = Bundle { manifests: Vec::new(), ..bundle.clone() };
    if let Err(other) = holdings.add(policy, slim) {
        // Perhaps the next sync can convict the log with it.
        cache.keep_unproven(lock, &bundle.checkpoint)?;
        return Err(other);
    }
    if holdings.asides.len() > MAX_ASIDES {
        return Err(ImportError::TooMany(MAX_ASIDES));
    }
    let manifests = keep_manifests(bundle, &knowledge, cache, lock)?;
    let proven = keep_newest(bundle, newest, before.as_ref(), policy, cache, lock)? && holdings.asides.is_empty();
    // What is kept aside is written last: between the two, entries are known twice.
    if let Some(known) = &holdings.known {
        cache.keep_known(lock, known, &holdings.coverage)?;
    }
    cache.keep_asides(lock, &holdings.asides)?;
    Ok(Imported { entries, manifests, proven })
}

/// Every checkpoint that is known, against the bundle's: other logs are refused, and a fork that the bundle proves is told.
fn judge_histories<'a>(bundle: &Bundle, known: impl Iterator<Item = &'a SignedCheckpoint>) -> Result<(), ImportError> {
    let found = &bundle.checkpoint.checkpoint.origin;
    for checkpoint in known {
        let origin = &checkpoint.checkpoint.origin;
        if origin != found {
            return Err(ImportError::OtherLog { known: origin.clone(), found: found.clone() });
        }
        if checkpoint.tree().size <= bundle.checkpoint.tree().size {
            convict(checkpoint, bundle).map_err(ImportError::Fork)?;
        }
    }
    Ok(())
}

/// Moves the newest checkpoint forward if the bundle shows that its tree extends it; keeps the bundle's as unproven if nothing shows what
/// they are to each other. Whether it is shown.
fn keep_newest(
    bundle: &Bundle,
    newest: Option<SignedCheckpoint>,
    known: Option<&Bundle>,
    policy: &Policy,
    cache: &Cache,
    lock: &CacheLock,
) -> Result<bool, ImportError> {
    let Some(newest) = newest else {
        cache.keep_newest(lock, &bundle.checkpoint)?;
        return Ok(true);
    };
    if newest.tree().size <= bundle.checkpoint.tree().size && convict(&newest, bundle).map_err(ImportError::Fork)?.is_some() {
        cache.keep_newest(lock, &fresher(policy, newest, bundle.checkpoint.clone()))?;
        for note in cache.unproven()? {
            if note.tree().size <= bundle.checkpoint.tree().size && convict(&note, bundle).map_err(ImportError::Fork)?.is_some() {
                cache.drop_unproven(lock, &note)?;
            }
        }
        return Ok(true);
    }
    let known = known.filter(|known| known.checkpoint.tree() == newest.tree() && newest.tree().size > bundle.checkpoint.tree().size);
    let is_earlier = known.map(|known| convict(&bundle.checkpoint, known)).transpose().map_err(ImportError::Fork)?.flatten().is_some();
    if !is_earlier {
        cache.keep_unproven(lock, &newest)?;
        cache.keep_unproven(lock, &bundle.checkpoint)?;
    }
    Ok(is_earlier)
}

fn keep_manifests(bundle: &Bundle, knowledge: &Knowledge, cache: &Cache, lock: &CacheLock) -> Result<usize, ImportError> {
    let wanted = knowledge.manifests();
    let mut new = 0;
    for manifest in &bundle.manifests {
        let Some(files) = wanted.get(&manifest.root) else { continue };
        if cache.manifests().text(files).is_err() {
            cache.keep_manifest(lock, &manifest.root, &manifest.text)?;
            new += 1;
        }
    }
    Ok(new)
}

/// What is known: one bundle, and those that nothing joins with it.
struct Holdings {
    known: Option<Bundle>,
    coverage: Coverage,
    asides: Vec<Bundle>,
}

impl Holdings {
    fn load(cache: &Cache) -> Result<Self, ImportError> {
        let (known, coverage) = match cache.known() {
            Ok((known, coverage)) => (Some(known), coverage),
            Err(CacheError::Absent(_) | CacheError::Damaged(_)) => (None, cache.coverage(&Hash::EMPTY)?),
            Err(error) => return Err(error.into()),
        };
        // A damaged one is replaced: it proves nothing, and what it held is in the log.
        let known = known.filter(|known| known.verify().is_ok());
        let mut coverage = coverage;
        if known.is_none() {
            coverage.forget();
        }
        Ok(Self { known, coverage, asides: cache.asides()? })
    }

    fn all(&self) -> impl Iterator<Item = &Bundle> {
        self.known.iter().chain(&self.asides)
    }

    /// How many entries of the bundle are not known.
    fn unknown(&self, bundle: &Bundle) -> usize {
        let is_known = |index: u64| self.all().any(|held| held.leaves.binary_search_by_key(&index, |leaf| leaf.index).is_ok());
        bundle.leaves.iter().filter(|leaf| !is_known(leaf.index)).count()
    }

    /// Adds a bundle, and joins whatever it connects.
    fn add(&mut self, policy: &Policy, bundle: Bundle) -> Result<(), ImportError> {
        let Some(known) = self.known.take() else {
            self.known = Some(bundle);
            return Ok(());
        };
        let mut apart = std::mem::take(&mut self.asides);
        apart.push(bundle);
        let mut known = known;
        loop {
            let (before, mut rest) = (apart.len(), Vec::new());
            for other in apart {
                known = match absorb(policy, known, &other)? {
                    (known, true) => known,
                    (known, false) => {
                        rest.push(other);
                        known
                    }
                };
            }
            apart = rest;
            if apart.len() == before {
                break;
            }
        }
        (self.known, self.asides) = (Some(known), apart);
        Ok(())
    }
}

/// Joins two bundles if their trees are shown to be of one history, or if one of them has nothing that the other has not; says whether.
fn absorb(policy: &Policy, known: Bundle, other: &Bundle) -> Result<(Bundle, bool), ImportError> {
    let joined = match relate(&known, other) {
        Relation::Fork(evidence) => return Err(ImportError::Fork(evidence)),
        Relation::Same => {
            let checkpoint = fresher(policy, known.checkpoint.clone(), other.checkpoint.clone());
            Some(join(Bundle { checkpoint, ..known.clone() }, other.clone())?)
        }
        Relation::Extended(proof) => match carry(&known, &other.checkpoint, &proof) {
            Some(carried) => Some(join(other.clone(), carried)?),
            None => None,
        },
        Relation::Extends(proof) => match carry(other, &known.checkpoint, &proof) {
            Some(carried) => Some(join(known.clone(), carried)?),
            None => None,
        },
        Relation::Unproven => {
            let (known_within, other_within) = (is_within(&known, other)?, is_within(other, &known)?);
            let is_older = other.checkpoint.tree().size < known.checkpoint.tree().size;
            match (is_older, known_within, other_within) {
                (true, _, true) => Some(known.clone()),
                (false, true, _) => Some(other.clone()),
                _ => None,
            }
        }
    };
    Ok(match joined {
        Some(joined) => (joined, true),
        None => (known, false),
    })
}

/// Bundles kept aside at the most; each counts, and costs time at every verdict.
const MAX_ASIDES: usize = 16;

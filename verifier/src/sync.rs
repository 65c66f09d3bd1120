//! Bringing the cache up to date over the network: the checkpoint forward, the leaves about what is installed, their manifests.

use std::collections::BTreeSet;
use std::path::Path;

use attest::Bundle;
use attest::bundle::BundledLeaf;
use attest::manifest::tree_of;
use attest::predicate::{Kind, PackageFiles};
use client::log::Lookup;
use client::{FetchError, LogClient};
use package::dpkg::{Database, DpkgError};
use package::root::{Root, RootError};
use tlog::{Hash, Policy, SignedCheckpoint};

use crate::cache::{Cache, CacheError, CacheLock};
use crate::follow::{FollowError, Step, follow};
use crate::knowledge::{Knowledge, KnowledgeError};
use crate::manifests::fits;
use crate::subject::purls;

/// Why the cache was not brought up to date. What it held before still stands.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The checkpoint was not followed.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The network, or the log's answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What the log answered proves nothing.
    #[error("the log's answer was refused: {0}")]
    Answer(#[from] KnowledgeError),
    /// The log answered with a tree older than one that it had shown before.
    #[error("the log answers with a tree of {found} entries after it had shown one of {known}; try again later")]
    Behind {
        /// The size that was seen before.
        known: u64,
        /// The size of the answer.
        found: u64,
    },
    /// The log's answers came from different trees again and again.
    #[error("the log grows faster than it answers; try again")]
    Moving,
    /// The log's entries do not hash to its root.
    #[error("the log's entries do not hash to the tree that it signed: {0}")]
    Entries(String),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The installed database.
    #[error(transparent)]
    Database(#[from] DpkgError),
    /// The root.
    #[error(transparent)]
    Root(#[from] RootError),
}

/// What a sync did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// Size of the tree.
    pub size: u64,
    /// Leaves kept, proven under it.
    pub leaves: usize,
    /// Names that were looked up.
    pub names: usize,
    /// Manifests fetched now.
    pub manifests: usize,
    /// Manifests that the log does not have (any more).
    pub missing: Vec<Hash>,
    /// SHA-256 of the witness policy that the roles name.
    pub policy: Option<Hash>,
}

/// What a sync needs.
pub struct Syncer<'a> {
    /// The log.
    pub log: &'a LogClient,
    /// Whom to trust.
    pub policy: &'a Policy,
    /// Anchor of the roles.
    pub roles_pin: Hash,
    /// Namespaces that the policy restricts lookups to; empty: those of the roles.
    pub vendors: &'a [String],
    /// Where to keep it.
    pub cache: &'a Cache,
    /// The right to.
    pub lock: &'a CacheLock,
}

/// Queries that every lookup begins with: what binds everybody.
#[must_use]
pub fn control_queries() -> Vec<String> {
    [Kind::Roles, Kind::Advisory, Kind::ControlHead].iter().map(|kind| format!("type:{}", kind.short_name())).collect()
}

impl Syncer<'_> {
    /// Fetches the newest checkpoint and moves forward to it.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn advance(&self) -> Result<SignedCheckpoint, SyncError> {
        let newest = self.log.checkpoint().await?;
        self.move_to(&newest).await
    }

    /// Moves forward to a checkpoint that the log has shown; an older one of the same history is an error, since the answer that came
    /// with it is old, too.
    async fn move_to(&self, new: &SignedCheckpoint) -> Result<SignedCheckpoint, SyncError> {
        let known = self.cache.newest()?;
        match follow(self.log, self.policy, known.as_ref(), new).await? {
            Step::Forward => {
                self.cache.keep_newest(self.lock, new)?;
                Ok(new.clone())
            }
            Step::Behind => {
                let known = known.map_or(0, |known| known.tree().size);
                Err(SyncError::Behind { known, found: new.tree().size })
            }
        }
    }

    /// Looks up everything about these names, and what binds everybody.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn lookup(&self, names: &[String]) -> Result<Bundle, SyncError> {
        let mut queries = control_queries();
        queries.extend_from_slice(names);
        for _ in 0..TRIES {
            if let Some(bundle) = self.lookup_once(&queries).await? {
                self.move_to(&bundle.checkpoint).await?;
                return Ok(bundle);
            }
        }
        Err(SyncError::Moving)
    }

    /// All answers have to be of one tree; `None` if the log moved between them.
    async fn lookup_once(&self, queries: &[String]) -> Result<Option<Bundle>, SyncError> {
        let mut bundle: Option<Bundle> = None;
        for part in queries.chunks(QUERIES) {
            let Lookup { checkpoint, found } = self.log.lookup(part).await?;
            let leaves = found.into_iter().map(|found| BundledLeaf { index: found.index, leaf: found.leaf, proof: found.proof });
            match &mut bundle {
                None => bundle = Some(Bundle { checkpoint, leaves: leaves.collect(), manifests: Vec::new() }),
                Some(bundle) if bundle.checkpoint.tree() == checkpoint.tree() => bundle.leaves.extend(leaves),
                Some(_) => return Ok(None),
            }
        }
        let mut bundle = bundle.ok_or(SyncError::Moving)?;
        bundle.leaves.sort_by_key(|leaf| leaf.index);
        bundle.leaves.dedup_by_key(|leaf| leaf.index);
        Ok(Some(bundle))
    }

    /// The namespaces to look in: those of the policy, else those of the roles.
    #[must_use]
    pub fn namespaces(&self, knowledge: &Knowledge) -> Vec<String> {
        if self.vendors.is_empty() { knowledge.namespaces() } else { self.vendors.to_vec() }
    }

    /// Verifies a bundle.
    ///
    /// # Errors
    /// See [`KnowledgeError`].
    pub fn know(&self, bundle: &Bundle) -> Result<Knowledge, SyncError> {
        Ok(Knowledge::new(bundle, self.policy, self.roles_pin)?)
    }

    /// Brings the cache up to date for what is installed on these roots; names of earlier syncs are looked up again unless `prune`.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn installed(&self, roots: &[&Path], extra: &[String], prune: bool) -> Result<Synced, SyncError> {
        self.advance().await?;
        // The roles say whose names to ask for.
        let control = self.know(&self.lookup(&[]).await?)?;
        let mut names: BTreeSet<String> = extra.iter().cloned().collect();
        names.extend(installed_names(roots, &self.namespaces(&control))?);
        if !prune {
            names.extend(self.cache.names()?);
        }
        let names: Vec<String> = names.into_iter().collect();
        let bundle = self.lookup(&names).await?;
        self.keep(&bundle, &names).await
    }

    /// Verifies a bundle, fetches the manifests that it names, and keeps all of it.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn keep(&self, bundle: &Bundle, names: &[String]) -> Result<Synced, SyncError> {
        let knowledge = self.know(bundle)?;
        let (manifests, missing) = self.fetch_manifests(&knowledge).await?;
        self.cache.keep_names(self.lock, names)?;
        self.cache.keep_known(self.lock, bundle)?;
        let policy = knowledge.policy_digest();
        Ok(Synced { size: bundle.checkpoint.tree().size, leaves: bundle.leaves.len(), names: names.len(), manifests, missing, policy })
    }

    /// Fetches the manifests that are not here yet, and checks each against its name before it is kept.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn fetch_manifests(&self, knowledge: &Knowledge) -> Result<(usize, Vec<Hash>), SyncError> {
        let (mut fetched, mut missing) = (0, Vec::new());
        for (root, files) in knowledge.manifests() {
            if self.cache.manifests().text(&files).is_ok() {
                continue;
            }
            match self.fetch_manifest(&root, &files).await? {
                true => fetched += 1,
                false => missing.push(root),
            }
        }
        Ok((fetched, missing))
    }

    async fn fetch_manifest(&self, root: &Hash, files: &PackageFiles) -> Result<bool, SyncError> {
        let text = match self.log.manifest(root).await {
            Err(FetchError::Status { status: 404, .. }) => return Ok(false),
            text => text?,
        };
        if !fits(&text, files) {
            tracing::warn!(%root, found = %tree_of(&text).root, "the log served another manifest; it was not kept");
            return Ok(false);
        }
        self.cache.keep_manifest(self.lock, root, &text)?;
        Ok(true)
    }
}

/// The package URLs of everything that is installed on these roots.
///
/// # Errors
/// If a database cannot be read.
pub fn installed_names(roots: &[&Path], namespaces: &[String]) -> Result<BTreeSet<String>, SyncError> {
    let mut names = BTreeSet::new();
    for root in roots {
        let database = Database::open(&Root::open(root)?)?;
        let there = database.packages.iter().filter(|installed| installed.status.is_installed() || installed.status.is_unfinished());
        names.extend(there.flat_map(|installed| purls(installed, namespaces)).map(|purl| purl.to_string()));
    }
    Ok(names)
}

/// Lines of one lookup; its bytes stay below a mebibyte, since names have at most 100 bytes on average.
const QUERIES: usize = 5_000;
/// How often a lookup is begun again because the log grew between its parts.
const TRIES: usize = 5;

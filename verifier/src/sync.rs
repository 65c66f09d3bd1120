//! Bringing the cache up to date over the network: the checkpoint forward, the leaves about what is installed, their manifests. What is
//! kept is carried over to the new tree; only what came after is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use attest::Bundle;
use attest::bundle::BundledLeaf;
use attest::manifest::tree_of;
use attest::predicate::{Kind, PackageFiles};
use client::log::Lookup;
use client::{FetchError, LogClient};
use package::installed::{Database, DatabaseError};
use package::root::{Root, RootError};
use tlog::{Hash, Policy, SignedCheckpoint};

use crate::cache::{Cache, CacheError, CacheLock};
use crate::coverage::Coverage;
use crate::follow::{FollowError, Step, compare, extends, follow};
use crate::full::{Mirror, names_of};
use crate::knowledge::{Knowledge, KnowledgeError, verify_checkpoint};
use crate::manifests::fits;
use crate::merge::{carry, join};
use crate::repo::{self, rules::RepositoryRules};
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
    Database(#[from] DatabaseError),
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
    /// How many of them are new here.
    pub new: usize,
    /// Names that were looked up.
    pub names: usize,
    /// Manifests fetched now.
    pub manifests: usize,
    /// Manifests that the log does not have (any more).
    pub missing: Vec<Hash>,
    /// SHA-256 of the witness policy that the roles name.
    pub policy: Option<Hash>,
}

/// What is kept, and what was asked for it.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Leaves with proofs; verified. `None` before the first sync.
    pub bundle: Option<Bundle>,
    /// What was asked.
    pub coverage: Coverage,
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
    /// Which repositories are which, where their indexes do not say it.
    pub repositories: &'a RepositoryRules,
    /// Where to keep it.
    pub cache: &'a Cache,
    /// The right to.
    pub lock: &'a CacheLock,
    /// Where every entry is kept, if nobody is to be asked about names.
    pub mirror: Option<Mirror>,
}

/// Queries that every lookup begins with: what binds everybody.
#[must_use]
pub fn control_queries() -> Vec<String> {
    [Kind::Roles, Kind::Advisory, Kind::Lifecycle, Kind::ControlHead].iter().map(|kind| format!("type:{}", kind.short_name())).collect()
}

impl Syncer<'_> {
    /// Fetches the newest checkpoint and moves forward to it.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn advance(&self) -> Result<SignedCheckpoint, SyncError> {
        let newest = self.log.checkpoint().await?;
        self.move_to(newest).await
    }

    /// Moves forward to a checkpoint that the log has shown; an older one of the same history is an error, since the answer that came
    /// with it is old, too. Of one tree, the checkpoint with the newer cosignatures stays.
    async fn move_to(&self, new: SignedCheckpoint) -> Result<SignedCheckpoint, SyncError> {
        let known = self.cache.newest()?;
        let step = self.noted(follow(self.log, self.policy, known.as_ref(), &new).await)?;
        let shown = self.settle(&new).await?;
        let size = new.tree().size;
        let newest = match (step, known) {
            (Step::Behind, known) => {
                let known = known.map_or(0, |known| known.tree().size);
                return Err(SyncError::Behind { known, found: size });
            }
            (Step::Forward, Some(known)) => fresher(self.policy, known, new),
            (Step::Forward, None) => new,
        };
        self.cache.keep_newest(self.lock, &newest)?;
        shown.iter().try_for_each(|note| self.cache.drop_unproven(self.lock, note))?;
        Ok(newest)
    }

    /// Checkpoints that were unproven so far, of which the log now shows that `new` extends them.
    async fn settle(&self, new: &SignedCheckpoint) -> Result<Vec<SignedCheckpoint>, SyncError> {
        let notes = self.cache.unproven()?;
        for note in &notes {
            if self.noted(compare(self.log, note, new).await)? == Step::Behind {
                return Err(SyncError::Behind { known: note.tree().size, found: new.tree().size });
            }
        }
        Ok(notes)
    }

    /// Keeps both checkpoints where nothing shows what they are to each other: a later answer of the log may convict it.
    fn noted<T>(&self, followed: Result<T, FollowError>) -> Result<T, SyncError> {
        if let Err(FollowError::Unproven(unproven)) = &followed {
            for note in [&unproven.smaller, &unproven.larger] {
                self.cache.keep_unproven(self.lock, note)?;
            }
        }
        Ok(followed?)
    }

    /// What is kept here; nothing, where it is damaged or not what this configuration trusts.
    ///
    /// # Errors
    /// If the cache cannot be read.
    pub fn held(&self) -> Result<Held, SyncError> {
        let why = match self.cache.known() {
            Ok((bundle, coverage)) => match verify_checkpoint(self.policy, &bundle.checkpoint).map(|_| bundle.verify()) {
                Ok(Ok(())) => return Ok(Held { bundle: Some(bundle), coverage }),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            },
            Err(CacheError::Absent(_)) => String::new(),
            Err(error @ CacheError::Damaged(_)) => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        if !why.is_empty() {
            tracing::warn!("what is kept is of no use ({why}); all of it is fetched again");
        }
        Ok(Held { bundle: None, coverage: self.cache.coverage(&Hash::EMPTY)? })
    }

    /// Learns what is new about these names, and about what binds everybody. Nothing but the newest checkpoint is kept yet.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn learn(&self, held: &Held, names: &[String]) -> Result<Held, SyncError> {
        let mut queries = control_queries();
        queries.extend_from_slice(names);
        let mut coverage = held.coverage.clone();
        let answer = match &self.mirror {
            Some(mirror) => {
                let checkpoint = self.advance().await?;
                coverage.whole = checkpoint.tree().size;
                mirror.answer(self, &checkpoint, &queries).await?
            }
            None => {
                coverage.took_its_word(&queries);
                self.ask(&coverage.due(&queries)).await?
            }
        };
        coverage.asked(&queries, answer.checkpoint.tree().size);
        let bundle = match &held.bundle {
            Some(kept) => self.take_in(answer, kept).await?,
            None => answer,
        };
        Ok(Held { bundle: Some(bundle), coverage })
    }

    /// Joins a bundle of an earlier tree to one of a later tree.
    async fn take_in(&self, newer: Bundle, older: &Bundle) -> Result<Bundle, SyncError> {
        let proof = self.noted(extends(self.log, &older.checkpoint, &newer.checkpoint).await)?;
        let carried = carry(older, &newer.checkpoint, &proof).ok_or_else(|| SyncError::Entries("what is kept fits no tree".to_owned()))?;
        join(newer, carried).map_err(|other| SyncError::Entries(other.to_string()))
    }

    async fn ask(&self, due: &BTreeMap<u64, Vec<String>>) -> Result<Bundle, SyncError> {
        for _ in 0..TRIES {
            if let Some(bundle) = self.ask_once(due).await? {
                let checkpoint = self.move_to(bundle.checkpoint.clone()).await?;
                return Ok(Bundle { checkpoint, ..bundle });
            }
        }
        Err(SyncError::Moving)
    }

    /// All answers have to be of one tree; `None` if the log moved between them.
    async fn ask_once(&self, due: &BTreeMap<u64, Vec<String>>) -> Result<Option<Bundle>, SyncError> {
        let mut bundle: Option<Bundle> = None;
        for (from, part) in due.iter().flat_map(|(from, names)| names.chunks(QUERIES).map(move |part| (*from, part))) {
            let mut queries = part.to_vec();
            queries.extend((from > 0).then(|| format!("from:{from}")));
            let Lookup { checkpoint, found } = self.log.lookup(&queries).await?;
            let leaves = found.into_iter().map(|found| BundledLeaf { index: found.index, leaf: found.leaf, proof: found.proof });
            match &mut bundle {
                None => bundle = Some(Bundle { checkpoint, history: Vec::new(), leaves: leaves.collect(), manifests: Vec::new() }),
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

    /// Verifies and judges what is held.
    ///
    /// # Errors
    /// See [`KnowledgeError`].
    pub fn know(&self, held: &Held) -> Result<Knowledge, SyncError> {
        let bundle = held.bundle.as_ref().ok_or(KnowledgeError::NoRoles)?;
        Ok(Knowledge::new(bundle, self.policy, self.roles_pin)?)
    }

    /// Brings the cache up to date for what is installed on these roots; names of earlier syncs are looked up again unless `prune`.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn installed(&self, roots: &[&Path], extra: &[String], prune: bool) -> Result<Synced, SyncError> {
        self.advance().await?;
        let before = self.held()?;
        // The roles say whose names to ask for.
        let control = self.learn(&before, &[]).await?;
        let mut names: BTreeSet<String> = extra.iter().cloned().collect();
        let known = self.know(&control)?;
        names.extend(installed_names(roots, &self.namespaces(&known))?);
        names.extend(repo::subjects(roots, self, &known));
        if !prune {
            names.extend(control.coverage.subjects().cloned());
        }
        let names: Vec<String> = names.into_iter().collect();
        let mut held = self.learn(&control, &names).await?;
        for aside in self.cache.asides()? {
            if let Some(bundle) = held.bundle.take() {
                held.bundle = Some(self.take_in(bundle, &aside).await?);
            }
        }
        if prune {
            forget_others(&mut held, &names);
        }
        let kept = before.bundle.map_or(0, |bundle| bundle.leaves.len());
        let mut synced = self.keep(&held).await?;
        (synced.names, synced.new) = (names.len(), synced.leaves.saturating_sub(kept));
        Ok(synced)
    }

    /// Verifies what is held, fetches the manifests that it names, and keeps all of it.
    ///
    /// # Errors
    /// See [`SyncError`].
    async fn keep(&self, held: &Held) -> Result<Synced, SyncError> {
        let knowledge = self.know(held)?;
        let (manifests, missing) = self.fetch_manifests(&knowledge).await?;
        if let Some(bundle) = &held.bundle {
            self.cache.keep_known(self.lock, bundle, &held.coverage)?;
        }
        self.cache.keep_asides(self.lock, &[])?;
        let (size, leaves, policy) = (knowledge.checkpoint().tree().size, knowledge.leaves(), knowledge.policy_digest());
        Ok(Synced { size, leaves, manifests, missing, policy, ..Synced::default() })
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
        names.extend(database.packages.iter().flat_map(|installed| purls(installed, namespaces)).map(|purl| purl.to_string()));
    }
    Ok(names)
}

/// Leaves about nothing but other names go, and what was asked about these.
fn forget_others(held: &mut Held, names: &[String]) {
    let mut wanted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let control = control_queries();
    wanted.extend(control.iter().map(String::as_str));
    held.coverage.names.retain(|name, _| wanted.contains(name.as_str()));
    if let Some(bundle) = &mut held.bundle {
        bundle.leaves.retain(|leaf| names_of(&leaf.leaf).iter().any(|name| wanted.contains(name.as_str())));
    }
}

/// Of two checkpoints of one tree, the one for which the quorum vouches later; else the second.
#[must_use]
pub fn fresher(policy: &Policy, known: SignedCheckpoint, new: SignedCheckpoint) -> SignedCheckpoint {
    let time = |checkpoint| verify_checkpoint(policy, checkpoint).ok().and_then(|cosigned| policy.freshness(&cosigned, u64::MAX));
    if known.tree() == new.tree() && time(&known) > time(&new) { known } else { new }
}

/// Lines of one lookup; its bytes stay below a mebibyte, since names have at most 100 bytes on average.
const QUERIES: usize = 5_000;
/// How often a lookup is begun again because the log grew between its parts.
const TRIES: usize = 5;

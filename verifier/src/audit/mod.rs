//! `tally audit`: follows a log, judges every entry again, and says what is wrong (`specs/audit.md`).
//!
//! A round of entries is fetched, judged and written before it counts, so that an auditor that is killed goes on where it was: what it
//! found in a round is on the disk before the round is.

mod alert;
mod claims;
mod command;
mod deliver;
mod manifests;
mod observer;
mod others;
mod pending;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use attest::{Bundle, Predicate};
use client::{LogClient, block_on};
use tlog::{Edge, Growth, Hash, SignedCheckpoint, Tile, Tree, hash_leaf};

use crate::cache::{Cache, CacheError};
use crate::config::Rules;
use crate::copy::{self, Copy};
use crate::knowledge::verify_checkpoint;
use crate::sync::{SyncError, Syncer};
use crate::time;
use crate::unlogged;
use crate::views::Place;

pub use alert::{Alert, Kind, Level, status};
pub use claims::Claims;
pub use command::{Plan, run};
pub use deliver::Post;
pub use observer::{Observer, Opened, Watch};

use manifests::Manifests;
use others::Others;
use pending::Pending;

/// What an auditor is told.
pub struct Request<'a> {
    /// How it reaches the log, whom it trusts, and its own directory (as the cache).
    pub syncer: Syncer<'a>,
    /// What it demands.
    pub rules: &'a Rules,
    /// The same log once more, for fetching on another thread.
    pub ahead: LogClient,
    /// SHA-256 of the witness policy in use.
    pub own_policy: Hash,
    /// Where the copy of the log is kept.
    pub copy: PathBuf,
    /// Whether manifests are kept in the copy, which makes it whole.
    pub is_mirror: bool,
    /// Packages about which everything is told.
    pub watch: Watch,
    /// Where warnings are kept that came by another road than the log's.
    pub other_road: &'a Cache,
    /// Whose views of the log are compared with this one.
    pub places: Vec<Place>,
}

/// An auditor that has read what is in its copy.
pub struct Auditor<'a> {
    request: Request<'a>,
    /// One auditor writes to one copy.
    _lock: fs::File,
    copy: Copy,
    pending: Pending,
    manifests: Manifests,
    observer: Observer,
    others: Others,
    edge: Edge,
    ahead: Option<Ahead>,
    is_stale: bool,
    /// Warnings that the log does not show, of which it was told.
    withheld: BTreeSet<String>,
    other_policy: Option<Hash>,
}

/// The entries `first..last`, which came in before their round.
struct Ahead {
    first: u64,
    last: u64,
    entries: Vec<Vec<u8>>,
}

impl<'a> Auditor<'a> {
    /// Reads and judges what is in the copy. A damaged copy is begun anew, by hashing and judging everything again.
    ///
    /// # Errors
    /// If something cannot be read or written.
    pub fn open(request: Request<'a>) -> Result<Self, CacheError> {
        let copy = Copy::new(request.copy.clone());
        let lock = copy.lock()?;
        let pending = Pending::new(request.syncer.cache.dir());
        let manifests = Manifests::new(request.is_mirror.then(|| copy.clone()));
        let observer = Observer::new(request.syncer.roles_pin, request.watch.clone());
        let others = Others::new(request.places.clone());
        let mut auditor = Self {
            request,
            _lock: lock,
            copy,
            pending,
            manifests,
            observer,
            others,
            edge: Edge::empty(),
            ahead: None,
            is_stale: false,
            withheld: BTreeSet::new(),
            other_policy: None,
        };
        match auditor.replay() {
            Err(CacheError::Damaged(path)) => {
                tracing::warn!("{} is damaged; the whole log is audited again", path.display());
                auditor.copy.put(TREE, encode_tree(&Tree::EMPTY).as_bytes())?;
                auditor.observer = Observer::new(auditor.request.syncer.roles_pin, auditor.request.watch.clone());
                auditor.manifests = Manifests::new(auditor.request.is_mirror.then(|| auditor.copy.clone()));
                auditor.edge = Edge::empty();
            }
            replayed => replayed?,
        }
        Ok(auditor)
    }

    /// The directory of the cache, for evidence.
    #[must_use]
    pub fn home(&self) -> &Cache {
        self.request.syncer.cache
    }

    /// The log's name, once anything of it has been seen.
    #[must_use]
    pub fn origin(&self) -> String {
        self.home().newest().ok().flatten().map(|newest| newest.checkpoint.origin).unwrap_or_default()
    }

    /// Entries that have been judged.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.edge.tree().size
    }

    /// Judges what is here, so that later entries are judged after it. Their signatures were verified before they were written, and the
    /// root shows that they are the same.
    fn replay(&mut self) -> Result<(), CacheError> {
        let tree = self.tree()?;
        let (mut growth, mut first) = (Growth::new(), 0);
        while first < tree.size {
            let last = copy::end_of_round(tree.size, first);
            let entries = self.copy.entries(&tree, first, last)?;
            for entry in &entries {
                growth.push(hash_leaf(entry), &mut |_, _| {}).map_err(|_| CacheError::Damaged(self.copy.dir().to_owned()))?;
            }
            for (index, opened) in (first..).zip(self.observer.open(&entries, true)) {
                if let Ok((_, statement)) = &opened {
                    self.manifests.remember(statement);
                }
                self.observer.take(index, opened);
            }
            first = last;
        }
        if growth.tree() != tree {
            return Err(CacheError::Damaged(self.copy.dir().to_owned()));
        }
        self.edge = self.copy.edge(&tree)?;
        Ok(())
    }

    fn tree(&self) -> Result<Tree, CacheError> {
        let path = self.copy.dir().join(TREE);
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Tree::EMPTY),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err(CacheError::Damaged(path)),
            text => parse_tree(&text.map_err(|error| CacheError::Io(path.clone(), error))?).ok_or(CacheError::Damaged(path)),
        }
    }

    /// Follows the log to its newest checkpoint and judges all that is new. Gives what was found, evidence included; it stays pending
    /// until [`Auditor::told`].
    ///
    /// # Errors
    /// See [`SyncError`]. After one of the network the next call goes on.
    pub async fn catch_up(&mut self, progress: &dyn Fn(u64, u64)) -> Result<Vec<Alert>, SyncError> {
        let checkpoint = self.request.syncer.advance().await?;
        // Before anything is read from it: a log that shows others something else convicts itself here.
        let seen = self.others.compare(&self.request.syncer, &checkpoint).await?;
        let target = checkpoint.tree();
        if self.size() > target.size {
            return Err(SyncError::Behind { known: self.size(), found: target.size });
        }
        while self.size() < target.size {
            self.round(&target).await?;
            progress(self.size(), target.size);
        }
        if self.edge.tree() != target {
            return Err(SyncError::Entries(format!("their root is {}", self.edge.tree().root)));
        }
        self.copy.put("checkpoint", checkpoint.encode().as_bytes())?;
        let mut alerts = self.pending.load()?;
        alerts.extend(seen);
        alerts.extend(self.about_now(&checkpoint));
        alerts.extend(self.withheld()?);
        self.prove(&mut alerts, &checkpoint)?;
        Ok(alerts)
    }

    /// What was found in rounds that did not lead to the end, without evidence.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn found(&self) -> Result<Vec<Alert>, CacheError> {
        self.pending.load()
    }

    /// What was found has reached whoever is to hear it.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn told(&self) -> Result<(), CacheError> {
        self.pending.clear()
    }

    /// One round: nothing has changed, here or on the disk, if the network fails.
    async fn round(&mut self, target: &Tree) -> Result<(), SyncError> {
        let first = self.size();
        let last = copy::end_of_round(target.size, first);
        let entries = match self.ahead.take() {
            Some(ahead) if (ahead.first, ahead.last) == (first, last) => ahead.entries,
            _ => copy::fetch(self.request.syncer.log, target, first, last).await?,
        };
        let opened = self.open_and_fetch(&entries, target, last);
        let statements = (first..).zip(&opened).filter_map(|(index, opened)| Some((index, &opened.as_ref().ok()?.1)));
        let claims = statements.filter(|(_, statement)| matches!(statement.predicate, Predicate::PackageFiles(_)));
        let mut alerts = self.manifests.check(self.request.syncer.log, claims).await?;
        for (index, opened) in (first..).zip(opened) {
            alerts.extend(self.observer.take(index, opened));
        }
        let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        let batch = self.edge.append(&slices).map_err(|error| SyncError::Entries(format!("{error:?}")))?;
        self.pending.add(&alerts)?;
        self.copy.write(&batch)?;
        self.copy.put(TREE, encode_tree(&batch.tree).as_bytes())?;
        self.remove_superseded(&batch);
        self.edge = batch.edge;
        Ok(())
    }

    /// Verifies a round's signatures; meanwhile the next round's entries come in. If they do not, that round asks again.
    fn open_and_fetch(&mut self, entries: &[Vec<u8>], target: &Tree, next: u64) -> Vec<Opened> {
        let (log, last) = (&self.request.ahead, copy::end_of_round(target.size, next));
        let (opened, ahead) = std::thread::scope(|scope| {
            let fetch = || block_on(copy::fetch(log, target, next, last)).ok()?.ok();
            let ahead = (next < last).then(|| scope.spawn(fetch));
            (self.observer.open(entries, false), ahead.and_then(|ahead| ahead.join().ok().flatten()))
        });
        self.ahead = ahead.map(|entries| Ahead { first: next, last, entries });
        opened
    }

    /// Partial tiles and bundles that are full by now: a reader of an earlier checkpoint takes the full ones.
    fn remove_superseded(&self, batch: &tlog::edge::Batch) {
        let tiles = batch.tiles.iter().filter(|(tile, _)| tile.width() == Tile::FULL).map(|(tile, _)| tile.path());
        let bundles = batch.bundles.iter().filter(|(id, _)| id.width() == Tile::FULL).map(|(id, _)| id.path());
        for path in tiles.chain(bundles) {
            // What cannot be removed takes room and does no harm.
            let _ = fs::remove_dir_all(self.copy.dir().join(format!("{path}.p")));
        }
    }

    /// What is wrong at present, said once for as long as it lasts.
    fn about_now(&mut self, checkpoint: &SignedCheckpoint) -> Vec<Alert> {
        let (policy, rules, now) = (self.request.syncer.policy, self.request.rules, time::now());
        let mut alerts = Vec::new();
        let cosigned = verify_checkpoint(policy, checkpoint).unwrap_or_default();
        let fresh = policy.freshness(&cosigned, now.saturating_add(rules.allowed_skew));
        let age = fresh.map(|fresh| now.saturating_sub(fresh));
        let is_stale = age.is_none_or(|age| age > rules.max_age);
        if is_stale && !self.is_stale {
            let text = match age {
                Some(age) => format!("no quorum of witnesses has vouched for the log for {}", time::span(age)),
                None => "no quorum of witnesses vouches for the log's time".to_owned(),
            };
            alerts.push(Alert::new(Kind::Stale, &[], None, text));
        }
        self.is_stale = is_stale;
        let named = self.observer.judge().roles().current().map(|current| current.roles.policy);
        if let Some(other) = named.filter(|named| *named != self.request.own_policy && self.other_policy != Some(*named)) {
            let entries: Vec<u64> = self.observer.roles().last().copied().into_iter().collect();
            let text = format!("the foundation's roles name the witness policy with SHA-256 {other}, and another is used here");
            alerts.push(Alert::new(Kind::OtherPolicy, &entries, None, text));
        }
        self.other_policy = named;
        alerts
    }

    /// Signed warnings that came by another road and that no entry shows, each said once for as long as that lasts.
    fn withheld(&mut self) -> Result<Vec<Alert>, CacheError> {
        let entries = self.request.other_road.unlogged()?;
        let heard = unlogged::hear(&entries, self.observer.judge(), &self.observer.advisories());
        let now: BTreeSet<String> = heard.iter().map(unlogged::Unlogged::words).collect();
        let new = now.difference(&self.withheld).map(|words| Alert::new(Kind::Withheld, &[], None, words.clone())).collect();
        self.withheld = now;
        Ok(new)
    }

    /// Writes, for each alarm and warning, a bundle of the entries that show it and of the roles, proven under the checkpoint.
    fn prove(&self, alerts: &mut [Alert], checkpoint: &SignedCheckpoint) -> Result<(), CacheError> {
        let shown = |alert: &&mut Alert| alert.level != Level::Notice && !alert.entries.is_empty() && alert.evidence.is_none();
        let mut worst: Vec<&mut Alert> = alerts.iter_mut().filter(shown).collect();
        worst.sort_by_key(|alert| alert.level);
        for alert in worst.into_iter().take(MAX_PROVEN) {
            let indices: BTreeSet<u64> = alert.entries.iter().chain(self.observer.roles()).copied().collect();
            let leaves = self.copy.leaves(&checkpoint.tree(), &indices)?;
            let bundle = Bundle { checkpoint: checkpoint.clone(), history: Vec::new(), leaves, manifests: Vec::new() };
            alert.evidence = Some(self.home().keep_proof(&bundle)?.display().to_string());
        }
        Ok(())
    }
}

/// The line of `.audited`: size and root of what was judged.
#[must_use]
pub fn encode_tree(tree: &Tree) -> String {
    format!("{} {}\n", tree.size, tree.root)
}

/// Reads it; `None` unless it is exactly what [`encode_tree`] gives.
#[must_use]
pub fn parse_tree(text: &str) -> Option<Tree> {
    let (size, root) = text.strip_suffix('\n')?.split_once(' ')?;
    let tree = Tree { size: size.parse().ok()?, root: Hash::from_hex(root)? };
    (encode_tree(&tree) == text).then_some(tree)
}

/// The tree of the entries that have been judged and written.
const TREE: &str = ".audited";
/// More would fill the disk with what tells no more.
const MAX_PROVEN: usize = 1_000;

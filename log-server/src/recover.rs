//! Opening a log: the steps of a round from wherever the last process ended, after everything that they rest on has been
//! written to new inodes (`specs/lifecycle.md`, "Recovery").

use std::sync::Arc;

use store::Store;
use tlog::plan::ConsistencyPlan;
use tlog::{Hash, SignedCheckpoint, Tree};

use crate::keys::{LogKeys, OwnCheckpoint, OwnError};
use crate::layout;
use crate::ledger::{Ledger, Phase, Published};
use crate::stage::{Stage, StageError};
use crate::verify::{VerifyError, fetch, read, stored_edge};

/// Why a log cannot be opened. Reads of what is published may go on; nothing may be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The directory holds no committed checkpoint: it was never initialised, or is not a log.
    NotALog,
    /// The store failed, or an object is missing or damaged.
    Objects(VerifyError),
    /// A checkpoint is not the log's own.
    Checkpoint(&'static str, OwnError),
    /// The staging file of the committed tree is unreadable.
    Stage(String, StageError),
    /// The published tree is not a prefix of the committed one: the state has been rolled back or mixed.
    RolledBack {
        /// Size of the committed tree.
        committed: u64,
        /// Size of the published tree.
        published: u64,
    },
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotALog => write!(f, "{} is missing: this directory holds no log", layout::COMMITTED),
            Self::Objects(error) => error.fmt(f),
            Self::Checkpoint(key, why) => write!(f, "{key} is not a checkpoint of this log: {why:?}"),
            Self::Stage(key, why) => write!(f, "{key} is not the staging file of the committed tree: {why:?}"),
            Self::RolledBack { committed, published } => {
                write!(f, "the published tree (size {published}) is not a prefix of the committed one (size {committed})")
            }
        }
    }
}
impl std::error::Error for OpenError {}

/// Writes the first committed checkpoint, of the empty tree.
pub fn create(store: &dyn Store, keys: &LogKeys, now: u64) -> Result<OwnCheckpoint, OpenError> {
    let first = keys.sign(Tree::EMPTY, now).map_err(|why| OpenError::Checkpoint(layout::COMMITTED, why))?;
    put(store, layout::COMMITTED, first.signed.encode().as_bytes())?;
    Ok(first)
}

impl Ledger {
    /// Opens a log, finishing what the last process committed. Nothing is signed here.
    pub fn open(store: Arc<dyn Store>, keys: Arc<LogKeys>) -> Result<Self, OpenError> {
        Phase::Collect.begins();
        let (committed, committed_bytes) = committed(&*store, &keys)?;
        rewrite(&*store, layout::COMMITTED)?;
        finish_stage(&*store, &committed.tree())?;
        stored_edge(&*store, &committed.tree()).map_err(OpenError::Objects)?;
        let published = published(&*store, &keys)?;
        if let Some(published) = &published {
            check_prefix(&*store, &published.tree, &committed.tree())?;
        }
        discard_stages(&*store, &committed.tree(), published.as_ref())?;
        Ok(Self { store, keys, committed, committed_bytes, published, spare: Vec::new() })
    }
}

fn committed(store: &dyn Store, keys: &LogKeys) -> Result<(OwnCheckpoint, Vec<u8>), OpenError> {
    let bytes = match read(store, layout::COMMITTED) {
        Err(VerifyError::Missing(_)) => return Err(OpenError::NotALog),
        other => other.map_err(OpenError::Objects)?,
    };
    let checkpoint = keys.open(&bytes).map_err(|why| OpenError::Checkpoint(layout::COMMITTED, why))?;
    Ok((checkpoint, bytes))
}

fn published(store: &dyn Store, keys: &LogKeys) -> Result<Option<Published>, OpenError> {
    let note = match read(store, layout::PUBLISHED) {
        Err(VerifyError::Missing(_)) => return Ok(None),
        other => other.map_err(OpenError::Objects)?,
    };
    let own = keys.open(&note).map_err(|why| OpenError::Checkpoint(layout::PUBLISHED, why))?;
    rewrite(store, layout::PUBLISHED)?;
    Ok(Some(Published { tree: own.tree(), note }))
}

/// Writes the committed tree's staged objects out, each to a new inode: those that a process left behind may lie in the page
/// cache alone.
fn finish_stage(store: &dyn Store, committed: &Tree) -> Result<(), OpenError> {
    let key = layout::stage(committed);
    let bytes = match read(store, &key) {
        Err(VerifyError::Missing(_)) => return Ok(()),
        other => other.map_err(OpenError::Objects)?,
    };
    let stage = Stage::parse(&bytes).map_err(|why| OpenError::Stage(key.clone(), why))?;
    if stage.new != *committed {
        return Err(OpenError::Stage(key, StageError::WrongObjects));
    }
    rewrite(store, &key)?;
    Phase::Spread.begins();
    for (key, bytes) in stage.into_keyed() {
        put(store, &key, &bytes)?;
        rewrite(store, &key)?;
    }
    Ok(())
}

/// Stages other than the committed tree's belong to rounds that never happened, or that are published long since.
fn discard_stages(store: &dyn Store, committed: &Tree, published: Option<&Published>) -> Result<(), OpenError> {
    let is_published = published.is_some_and(|published| published.tree == *committed);
    for key in store.list(layout::STAGES).map_err(|error| storage(layout::STAGES, &error))? {
        if is_published || key != layout::stage(committed) {
            store.discard(&key).map_err(|error| storage(&key, &error))?;
        }
    }
    Ok(())
}

fn check_prefix(store: &dyn Store, old: &Tree, new: &Tree) -> Result<(), OpenError> {
    let rolled_back = OpenError::RolledBack { committed: new.size, published: old.size };
    if old.size > new.size || (old.size == new.size && old.root != new.root) {
        return Err(rolled_back);
    }
    match root_at(store, new, old.size).map_err(OpenError::Objects)? {
        root if root == old.root => Ok(()),
        _ => Err(rolled_back),
    }
}

/// The root that `tree` had when it was `size` leaves, from stored tiles that lead to `tree`'s root.
pub fn root_at(store: &dyn Store, tree: &Tree, size: u64) -> Result<Hash, VerifyError> {
    match size {
        0 => Ok(Hash::EMPTY),
        _ if size == tree.size => Ok(tree.root),
        _ => Ok(consistency(store, tree, size)?.0),
    }
}

/// The root at `size` and the proof from there to `tree`, from stored tiles, verified.
pub fn consistency(store: &dyn Store, tree: &Tree, size: u64) -> Result<(Hash, tlog::ConsistencyProof), VerifyError> {
    let wrong = || VerifyError::Damaged(format!("the tiles between sizes {size} and {}", tree.size));
    let plan = ConsistencyPlan::new(size, tree).map_err(|_| wrong())?;
    let (root, proof) = plan.finish(&fetch(store, plan.tiles())?).map_err(|_| wrong())?;
    proof.verify(&Tree { size, root }, tree).map_err(|_| wrong())?;
    Ok((root, proof))
}

/// Whether a checkpoint that somebody shows is of `tree`'s history: not larger, and the same root at its size.
pub fn is_prefix(store: &dyn Store, shown: &SignedCheckpoint, tree: &Tree) -> Result<bool, VerifyError> {
    let shown = shown.checkpoint.tree;
    Ok(shown.size <= tree.size && root_at(store, tree, shown.size)? == shown.root)
}

fn put(store: &dyn Store, key: &str, bytes: &[u8]) -> Result<(), OpenError> {
    store.put(key, bytes).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => OpenError::Objects(VerifyError::Damaged(key.to_owned())),
        _ => storage(key, &error),
    })
}

fn rewrite(store: &dyn Store, key: &str) -> Result<(), OpenError> {
    store.rewrite(key).map_err(|error| storage(key, &error))
}

fn storage(key: &str, error: &std::io::Error) -> OpenError {
    OpenError::Objects(VerifyError::Storage(key.to_owned(), error.to_string()))
}

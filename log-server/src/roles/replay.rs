//! Bringing index and judge to the committed tree: before the log serves, and from nothing when the index is lost.

use std::path::Path;
use std::sync::Arc;

use attest::predicate::{Kind, Predicate};
use attest::{Envelope, Judge, Statement};
use store::Store;
use tlog::{Hash, Tree};

use super::Submission;
use super::gate::changes_state;
use super::manifests::reconcile;
use crate::entries::Entries;
use crate::index::{Index, IndexError};
use crate::recover::root_at;

/// What the log's leaves come to.
pub struct State {
    /// Indexed up to the committed tree.
    pub index: Arc<Index>,
    /// After the committed tree; `None` while the log has no leaves.
    pub judge: Option<Judge>,
}

/// Opens the index and replays what it lacks. One that is damaged, or of another history, is built from nothing.
pub fn open_index(path: &Path, store: &dyn Store, committed: &Tree, now: u64) -> Result<State, IndexError> {
    let opened = Index::open(path).and_then(|index| fits(&index, store, committed).map(|()| index));
    let index = match opened {
        Ok(index) => index,
        Err(IndexError::Stale(why)) => {
            tracing::warn!("building the index from nothing: {why}");
            return rebuild(path, store, committed, now);
        }
        Err(error) => return Err(error),
    };
    reconcile(store, &index, now)?;
    replay(&index, store, committed)?;
    state(index, store, committed)
}

/// Builds the index from the bundles.
pub fn rebuild(path: &Path, store: &dyn Store, committed: &Tree, now: u64) -> Result<State, IndexError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(IndexError::Failed(error.to_string())),
        _ => {}
    }
    let index = Index::open(path)?;
    reconcile(store, &index, now)?;
    replay(&index, store, committed)?;
    state(index, store, committed)
}

/// Whether the index is of a prefix of the committed tree.
fn fits(index: &Index, store: &dyn Store, committed: &Tree) -> Result<(), IndexError> {
    let tree = index.tree()?;
    if tree.size > committed.size {
        return Err(IndexError::Stale("it is ahead of the committed tree".to_owned()));
    }
    match root_at(store, committed, tree.size) {
        Ok(root) if root == tree.root => Ok(()),
        Ok(_) => Err(IndexError::Stale("it is of another history".to_owned())),
        Err(error) => Err(IndexError::Failed(error.to_string())),
    }
}

fn replay(index: &Index, store: &dyn Store, committed: &Tree) -> Result<(), IndexError> {
    let mut entries = Entries::new(store, committed.size);
    let mut first = index.tree()?.size;
    while first < committed.size {
        let end = (first + REPLAY_STEP).min(committed.size);
        let mut rows = Vec::new();
        for leaf in first..end {
            rows.push(submission(&mut entries, leaf)?.row());
        }
        let root = root_at(store, committed, end).map_err(failed)?;
        index.extend(first, &rows, &Tree { size: end, root })?;
        first = end;
    }
    Ok(())
}

/// Judges the leaves that change the state, in order.
fn state(index: Index, store: &dyn Store, committed: &Tree) -> Result<State, IndexError> {
    let mut leaves = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| changes_state(*kind)) {
        leaves.extend(index.with_term(&format!("type:{}", kind.short_name()), 0..committed.size, usize::MAX)?);
    }
    leaves.sort_unstable();
    let mut entries = Entries::new(store, committed.size);
    let mut judge = None;
    for leaf in leaves {
        let Submission { key, payload, statement, .. } = submission(&mut entries, leaf)?;
        let judge: &mut Judge = judge.get_or_insert_with(|| Judge::new(pin(&statement)));
        if let Err(refusal) = judge.admit(leaf, &key, payload, statement) {
            // Verifiers skip it as well.
            tracing::error!(leaf, "a leaf of this log does not count: {refusal}");
        }
    }
    Ok(State { index: Arc::new(index), judge })
}

/// Version 1 of the roles is the first leaf of a log; clients pin it.
fn pin(first: &Statement) -> Hash {
    match &first.predicate {
        Predicate::Roles(leaf) => Hash::digest(leaf.text.as_bytes()),
        _ => Hash::EMPTY,
    }
}

/// A stored leaf; its signature was verified when it came in.
pub(super) fn submission(entries: &mut Entries<'_>, leaf: u64) -> Result<Submission, IndexError> {
    let bytes = entries.leaf(leaf).map_err(failed)?;
    let unreadable = |why: String| IndexError::Failed(format!("leaf {leaf} is not an entry of a log with roles: {why}"));
    let envelope = Envelope::parse(&bytes).map_err(|error| unreadable(error.to_string()))?;
    let statement = Statement::parse(envelope.payload()).map_err(|error| unreadable(error.to_string()))?;
    Ok(Submission::new(&envelope, statement))
}

fn failed(error: crate::verify::VerifyError) -> IndexError {
    IndexError::Failed(error.to_string())
}

/// Leaves that are indexed in one transaction.
const REPLAY_STEP: u64 = 4_096;

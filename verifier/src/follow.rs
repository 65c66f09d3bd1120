//! Following the log: the newest checkpoint seen only ever moves forward, and a log that shows two histories leaves evidence.

use client::{FetchError, LogClient};
use tlog::evidence::Evidence;
use tlog::plan::{ConsistencyPlan, PlanError};
use tlog::{Policy, SignedCheckpoint};

use crate::knowledge::{KnowledgeError, verify_checkpoint};

/// Why a checkpoint was not followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Not signed or not cosigned as the policy demands.
    #[error(transparent)]
    Checkpoint(#[from] KnowledgeError),
    /// Another log than the one followed so far.
    #[error("the log at this address is {found}, and the cache follows {known}")]
    OtherLog {
        /// The origin in the cache.
        known: String,
        /// The origin shown.
        found: String,
    },
    /// The log shows two histories; the file convicts it.
    #[error("the log has forked: it signed two histories that exclude each other")]
    Fork(Box<Evidence>),
    /// The tiles that would show whether the history is one cannot be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The log's tiles do not belong to what it signed.
    #[error("the log serves tiles that do not belong to the tree that it signed ({0:?}); nothing was changed")]
    Tiles(PlanError),
}

/// What a verified checkpoint is to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The first, the same tree again, or a larger one that extends it: keep it.
    Forward,
    /// An earlier tree of the same history: keep what is known.
    Behind,
}

/// Verifies `new` and that it belongs to one history with `known`; `tiles` are the log's.
///
/// # Errors
/// See [`FollowError`].
pub async fn follow(
    log: &LogClient,
    policy: &Policy,
    known: Option<&SignedCheckpoint>,
    new: &SignedCheckpoint,
) -> Result<Step, FollowError> {
    let quorum = match verify_checkpoint(policy, new) {
        // The log's own signature is enough to convict it, so the histories are compared before the quorum decides.
        Err(KnowledgeError::NoQuorum) => Err(KnowledgeError::NoQuorum),
        verified => Ok(verified.map(drop)?),
    };
    let step = compare(log, known, new).await;
    if matches!(step, Err(FollowError::Fork(_))) {
        return step;
    }
    quorum?;
    step
}

/// Whether both belong to one history.
async fn compare(log: &LogClient, known: Option<&SignedCheckpoint>, new: &SignedCheckpoint) -> Result<Step, FollowError> {
    let Some(known) = known else { return Ok(Step::Forward) };
    same_log(known, new)?;
    if let Some(step) = compare_roots(known, new)? {
        return Ok(step);
    }
    let (smaller, larger) = if known.tree().size < new.tree().size { (known, new) } else { (new, known) };
    let plan = ConsistencyPlan::new(smaller.tree().size, &larger.tree()).map_err(FollowError::Tiles)?;
    let tiles = log.tiles(plan.tiles()).await?;
    let (root, proof) = plan.finish(&tiles).map_err(FollowError::Tiles)?;
    if root != smaller.tree().root {
        return Err(FollowError::Fork(Box::new(Evidence::new(smaller.clone(), larger.clone(), Some((root, proof))))));
    }
    Ok(if known.tree().size < new.tree().size { Step::Forward } else { Step::Behind })
}

/// The same without a network, for bundles: a larger tree cannot be proven to extend the known one, so only what needs no proof is told.
/// `None`: the bundle's tree is larger, and its history is unproven.
///
/// # Errors
/// If it is another log, or its trees of one size differ.
pub fn compare_offline(known: &SignedCheckpoint, new: &SignedCheckpoint) -> Result<Option<Step>, FollowError> {
    same_log(known, new)?;
    if let Some(step) = compare_roots(known, new)? {
        return Ok(Some(step));
    }
    Ok((new.tree().size < known.tree().size).then_some(Step::Behind))
}

fn same_log(known: &SignedCheckpoint, new: &SignedCheckpoint) -> Result<(), FollowError> {
    let (known, found) = (&known.checkpoint.origin, &new.checkpoint.origin);
    if known == found { Ok(()) } else { Err(FollowError::OtherLog { known: known.clone(), found: found.clone() }) }
}

fn compare_roots(known: &SignedCheckpoint, new: &SignedCheckpoint) -> Result<Option<Step>, FollowError> {
    if known.tree().size != new.tree().size {
        return Ok(None);
    }
    if known.tree().root != new.tree().root {
        return Err(FollowError::Fork(Box::new(Evidence::new(known.clone(), new.clone(), None))));
    }
    Ok(Some(Step::Forward))
}

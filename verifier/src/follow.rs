//! Following the log: the newest checkpoint seen only ever moves forward, and a log that shows two histories leaves evidence.

use client::LogClient;
use tlog::evidence::Evidence;
use tlog::plan::PlanError;
use tlog::{Comparison, ConsistencyProof, Policy, Relation, SignedCheckpoint};

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
    /// Two trees that the log signed, and nothing that shows whether the history is one.
    #[error("{0}")]
    Unproven(Box<Unproven>),
}

/// Two checkpoints of two sizes that may or may not be of one history.
#[derive(Debug)]
pub struct Unproven {
    /// The smaller.
    pub smaller: SignedCheckpoint,
    /// The larger.
    pub larger: SignedCheckpoint,
    /// Why it could not be shown.
    pub why: String,
}

impl std::fmt::Display for Unproven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (old, new) = (self.smaller.tree().size, self.larger.tree().size);
        write!(f, "the log signed trees of {old} and {new} entries and does not show that the one begins with the other ({})", self.why)
    }
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
    let step = match known {
        Some(known) => compare(log, known, new).await,
        None => Ok(Step::Forward),
    };
    if matches!(step, Err(FollowError::Fork(_) | FollowError::Unproven(_))) {
        return step;
    }
    quorum?;
    step
}

/// Whether both belong to one history.
///
/// # Errors
/// See [`FollowError`].
pub async fn compare(log: &LogClient, known: &SignedCheckpoint, new: &SignedCheckpoint) -> Result<Step, FollowError> {
    let (known_origin, found) = (&known.checkpoint.origin, &new.checkpoint.origin);
    if known_origin != found {
        return Err(FollowError::OtherLog { known: known_origin.clone(), found: found.clone() });
    }
    if known.tree().size <= new.tree().size {
        extends(log, known, new).await?;
        Ok(Step::Forward)
    } else {
        extends(log, new, known).await?;
        Ok(Step::Behind)
    }
}

/// The proof that the larger checkpoint's tree, or the same, extends the smaller one's, from the log's tiles.
///
/// # Errors
/// A fork with its evidence, or [`FollowError::Unproven`].
pub async fn extends(log: &LogClient, smaller: &SignedCheckpoint, larger: &SignedCheckpoint) -> Result<ConsistencyProof, FollowError> {
    let unproven = |why: String| FollowError::Unproven(Box::new(Unproven { smaller: smaller.clone(), larger: larger.clone(), why }));
    let tiles = |error: PlanError| unproven(format!("its tiles do not belong to the tree that it signed: {error:?}"));
    let comparison = Comparison::new(smaller, larger).map_err(|error| unproven(format!("{error:?}")))?;
    let fetched = log.tiles(comparison.tiles()).await.map_err(|error| unproven(error.to_string()))?;
    match comparison.finish(&fetched).map_err(tiles)? {
        Relation::One(proof) => Ok(proof),
        Relation::Two(evidence) => Err(FollowError::Fork(evidence)),
    }
}

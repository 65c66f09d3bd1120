//! Two checkpoints of one log against each other: one history, or evidence of two (`specs/evidence.md`).
//!
//! Which tiles decide it comes out as a list, and the tiles as an argument: those of the larger tree, from whoever has them. They are
//! believed no further than they lead to the root that the log signed.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::evidence::Evidence;
use crate::plan::{ConsistencyPlan, PlanError, Tiles};
use crate::{ConsistencyProof, SignedCheckpoint, Tile};

/// Two checkpoints that are to be compared.
#[derive(Clone, Debug)]
pub struct Comparison<'a> {
    smaller: &'a SignedCheckpoint,
    larger: &'a SignedCheckpoint,
    /// `None` where the sizes are the same, and the roots say all.
    plan: Option<ConsistencyPlan>,
}

/// What two checkpoints of one log are to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The larger tree extends the smaller, or is the same; with the proof.
    One(ConsistencyProof),
    /// No single history has both.
    Two(Box<Evidence>),
}

/// Why they cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ComparisonError {
    /// They are of different logs.
    OtherLog,
    /// A size beyond all trees.
    Plan(PlanError),
}

impl<'a> Comparison<'a> {
    /// Plans the comparison, in whichever order they are given. That the log signed both is for the caller to check.
    pub fn new(one: &'a SignedCheckpoint, other: &'a SignedCheckpoint) -> Result<Self, ComparisonError> {
        if one.checkpoint.origin != other.checkpoint.origin {
            return Err(ComparisonError::OtherLog);
        }
        let (smaller, larger) = if one.tree().size <= other.tree().size { (one, other) } else { (other, one) };
        let plan = if smaller.tree().size == larger.tree().size {
            None
        } else {
            Some(ConsistencyPlan::new(smaller.tree().size, &larger.tree()).map_err(ComparisonError::Plan)?)
        };
        Ok(Self { smaller, larger, plan })
    }

    /// The smaller of the two.
    #[must_use]
    pub const fn smaller(&self) -> &'a SignedCheckpoint {
        self.smaller
    }

    /// The larger of the two.
    #[must_use]
    pub const fn larger(&self) -> &'a SignedCheckpoint {
        self.larger
    }

    /// The tiles of the larger tree that decide it; none where the sizes are the same.
    #[must_use]
    pub fn tiles(&self) -> &[Tile] {
        self.plan.as_ref().map_or(&[], ConsistencyPlan::tiles)
    }

    /// Decides it. Tiles that do not lead to the larger root decide nothing.
    pub fn finish(&self, tiles: &Tiles) -> Result<Relation, PlanError> {
        let (old, new) = (self.smaller.tree(), self.larger.tree());
        let two = |divergence| Relation::Two(Box::new(Evidence::new(self.smaller.clone(), self.larger.clone(), divergence)));
        let Some(plan) = &self.plan else {
            return Ok(if old.root == new.root { Relation::One(ConsistencyProof(Vec::new())) } else { two(None) });
        };
        let (root, proof) = plan.finish(tiles)?;
        Ok(if root == old.root { Relation::One(proof) } else { two(Some((root, proof))) })
    }
}

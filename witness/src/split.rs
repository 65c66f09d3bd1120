//! Whether a submitted checkpoint proves that its log shows two histories. Anything less than a proof is nothing.

use tlog::evidence::Evidence;
use tlog::{Hash, Tree, VerifierKey};

use crate::{Known, Submission};

/// The evidence that a submission and the state give together, verified as a stranger will verify it; `None` where they prove
/// nothing.
#[must_use]
pub fn proven(known: &Known, submission: &Submission, log: &[VerifierKey]) -> Option<Evidence> {
    let (old, new) = (known.tree(), submission.signed.checkpoint.tree);
    let divergence = match old.size {
        size if size == new.size => None,
        size if size == submission.old_size => Some((other_root(&old, &new, submission)?, submission.proof.clone())),
        _ => return None,
    };
    let evidence = Evidence { smaller: known.signed.clone(), larger: submission.signed.clone(), divergence };
    evidence.verify(log).is_ok().then_some(evidence)
}

/// The root at the old size that the proof shows the new tree to have. (Where the old size is a power of two the proof does not hold
/// that root, and shows nothing.)
fn other_root(old: &Tree, new: &Tree, submission: &Submission) -> Option<Hash> {
    let root = submission.proof.old_root(old.size, new)?;
    (root != old.root).then_some(root)
}

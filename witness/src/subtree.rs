//! The verdict on `sign-subtree`: stateless, because the witness's own cosignature on the submitted checkpoint is all that it needs
//! to remember (C2SP tlog-witness; `specs/witness.md` section 5).

use tlog::witness::SignSubtree;
use tlog::{Checkpoint, Hash, KeyKind, Note, SignedCheckpoint, VerifierKey, cosignature};

use crate::Refusal;

/// A subtree that may be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subtree {
    /// Of which log.
    pub origin: String,
    /// First leaf.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// The subtree's hash.
    pub hash: Hash,
}

/// Judges a request; `is_known` says whether an origin is on the list.
///
/// # Errors
/// In the order of the status codes: malformed (400), unknown log (404), no own ML-DSA-44 cosignature (403), wrong proof (422).
pub fn judge(request: SignSubtree, own: &[VerifierKey], is_known: impl Fn(&str) -> bool) -> Result<Subtree, Refusal> {
    let SignSubtree { start, end, hash, proof, checkpoint: note } = request;
    if !tlog::merkle::is_subtree(start, end) {
        return Err(Refusal::Malformed("the range is not a subtree"));
    }
    let signed = read(note)?;
    let Checkpoint { origin, tree, .. } = &signed.checkpoint;
    if end > tree.size {
        return Err(Refusal::Malformed("the range ends beyond the checkpoint's size"));
    }
    if !is_known(origin) {
        return Err(Refusal::UnknownLog);
    }
    if !is_cosigned(&signed, own) {
        return Err(Refusal::NotCosigned);
    }
    proof.verify(tree, start, end, &hash).map_err(|_| Refusal::Inconsistent)?;
    Ok(Subtree { origin: origin.clone(), start, end, hash })
}

fn read(note: Note) -> Result<SignedCheckpoint, Refusal> {
    let checkpoint = Checkpoint::parse(&note.text).map_err(|_| Refusal::Malformed("the text is not a checkpoint"))?;
    if !checkpoint.extensions.is_empty() {
        return Err(Refusal::Malformed("extension lines are not cosigned"));
    }
    Ok(SignedCheckpoint { checkpoint, note })
}

/// A line of type 06 by this witness that verifies; its type 04 line does not count.
fn is_cosigned(signed: &SignedCheckpoint, own: &[VerifierKey]) -> bool {
    let ml_dsa = own.iter().filter(|key| key.kind() == KeyKind::MlDsa44);
    ml_dsa.into_iter().any(|key| {
        let mut by_key = signed.note.lines.iter().filter(|line| line.is_by(key)).take(4);
        by_key.any(|line| cosignature::verify(key, line, &signed.checkpoint).is_ok())
    })
}

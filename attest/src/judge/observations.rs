//! Agreement of builders on what installing a package changes.

use tlog::Hash;

use super::{Attester, Leaf};
use crate::predicate::Observed;

/// One observed difference and everybody who saw exactly it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreedObservation {
    /// The difference.
    pub observed: Observed,
    /// Who saw it, by distinct keys, in order of entries.
    pub attesters: Vec<Attester>,
}

/// The differences that at least k builders report in the same way for a package file, relative to this manifest;
/// sorted by path and change.
#[must_use]
pub fn observations_for(_package: &Hash, _manifest: &Hash, _k: usize, _standing: &[Leaf]) -> Vec<AgreedObservation> {
    todo!()
}

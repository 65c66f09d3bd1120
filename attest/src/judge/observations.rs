//! Agreement of builders on what installing a package changes.

use std::collections::BTreeMap;

use tlog::Hash;

use super::claims::add_attester;
use super::{Attester, Leaf};
use crate::predicate::{Observed, Predicate};

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
pub fn observations_for(package: &Hash, manifest: &Hash, k: usize, standing: &[Leaf]) -> Vec<AgreedObservation> {
    let mut seen: BTreeMap<&Observed, Vec<Attester>> = BTreeMap::new();
    for leaf in standing.iter().filter(|leaf| leaf.statement.subject.digest.sha256 == *package) {
        let Predicate::InstallObservation(observation) = &leaf.statement.predicate else { continue };
        if observation.manifest == *manifest {
            observation.entries.iter().for_each(|observed| add_attester(seen.entry(observed).or_default(), leaf));
        }
    }
    let agreed = seen.into_iter().filter(|(_, attesters)| attesters.len() >= k.max(1));
    let mut agreed: Vec<_> = agreed.map(|(observed, attesters)| AgreedObservation { observed: observed.clone(), attesters }).collect();
    agreed.sort_by(|a, b| (&a.observed.path, a.observed.change).cmp(&(&b.observed.path, b.observed.change)));
    agreed
}

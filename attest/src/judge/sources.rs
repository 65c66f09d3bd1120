//! From which source packages a package was built, by the word of builders.

use super::claims::add_attester;
use super::{Attester, Leaf};
use crate::predicate::Predicate;
use crate::purl::Purl;

/// A source package, and who states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedSource {
    /// The source package.
    pub source: Purl,
    /// Builders that state it, by distinct keys.
    pub attesters: Vec<Attester>,
}

/// Every source package that any builder states for any package file of this name and version. One builder is enough, and others do not
/// outvote it: a source only makes warnings reach further, and a needless warning is better than none.
#[must_use]
pub fn sources_for(purl: &Purl, standing: &[Leaf]) -> Vec<StatedSource> {
    let name = purl.to_string();
    let mut stated: Vec<StatedSource> = Vec::new();
    for leaf in standing.iter().filter(|leaf| leaf.statement.subject.name == name) {
        let Predicate::PackageSource(said) = &leaf.statement.predicate else { continue };
        let Some(source) = said.purl() else { continue };
        let place = stated.iter().position(|known| known.source == source).unwrap_or_else(|| {
            stated.push(StatedSource { source, attesters: Vec::new() });
            stated.len() - 1
        });
        add_attester(&mut stated[place].attesters, leaf);
    }
    stated
}

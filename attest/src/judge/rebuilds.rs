//! What rebuilders say about a package file.

use tlog::Hash;

use super::Leaf;
use super::claims::Attester;
use crate::predicate::{Predicate, Rebuild, RebuildResult};

/// One result and who states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// The result.
    pub rebuild: Rebuild,
    /// Who states it, and in which entry.
    pub attester: Attester,
}

/// Every result for one package file, in order of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilds {
    /// All of them.
    pub all: Vec<Rebuilt>,
}

impl Rebuilds {
    /// The rebuilders that came to the same file, each once. A result that is different or failed takes nothing away: it shows that one
    /// environment does not lead to the file, and one that does is enough.
    ///
    /// A key counts once whatever it imports, and what was imported counts once for the key that signed it, however many state it: they
    /// are one party that built.
    pub fn same(&self) -> Vec<&Rebuilt> {
        let mut counted: Vec<&Rebuilt> = Vec::new();
        for rebuilt in self.all.iter().filter(|rebuilt| rebuilt.rebuild.result == RebuildResult::Same) {
            let origin = |one: &Rebuilt| one.rebuild.imported.as_ref().map(|imported| imported.key);
            let is_known = |known: &&Rebuilt| {
                known.attester.is(&rebuilt.attester.key) || (origin(rebuilt).is_some() && origin(known) == origin(rebuilt))
            };
            if !counted.iter().any(is_known) {
                counted.push(rebuilt);
            }
        }
        counted
    }
}

/// What rebuilders say about a package file.
#[must_use]
pub fn rebuilds_for(package: &Hash, standing: &[Leaf]) -> Rebuilds {
    let about = standing.iter().filter(|leaf| leaf.statement.subject.digest.sha256 == *package);
    let rebuilt = |leaf: &Leaf| match &leaf.statement.predicate {
        Predicate::Rebuild(rebuild) => {
            Some(Rebuilt { rebuild: rebuild.clone(), attester: Attester { key: leaf.key.clone(), index: leaf.index } })
        }
        _ => None,
    };
    Rebuilds { all: about.filter_map(rebuilt).collect() }
}

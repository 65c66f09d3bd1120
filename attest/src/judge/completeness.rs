//! Whether everything that binds was shown: the newest control head against what was seen.

use super::{Judge, Leaf};
use crate::predicate::{Advisory, ControlHead, Kind, Lifecycle, Predicate};

/// What the newest control head says about what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// No control head stands: that nothing is missing is the log's word.
    Unknown,
    /// Everything that the head names was seen. How old the head may be is for the verifier's policy.
    Complete(ControlHead),
    /// The head names a roles version, an advisory or a lifecycle statement that was not seen: somebody withholds it.
    Withheld(ControlHead),
}

/// Compares the newest control head among the leaves that stand with the roles, advisories and lifecycle statements that the judge has seen.
#[must_use]
pub fn completeness(judge: &Judge, standing: &[Leaf]) -> Completeness {
    let heads = standing.iter().rev().filter_map(|leaf| match &leaf.statement.predicate {
        Predicate::ControlHead(head) => Some(head),
        _ => None,
    });
    let Some(head) = heads.max_by_key(|head| head.sequence) else { return Completeness::Unknown };
    let roles = judge.roles().current().map_or(0, |current| current.roles.version);
    let newest = |kind, subject| judge.chain(kind, subject).map_or(0, |end| end.sequence);
    let (advisory, lifecycle) = (newest(Kind::Advisory, Advisory::SUBJECT), newest(Kind::Lifecycle, Lifecycle::SUBJECT));
    if roles < head.roles || advisory < head.advisory || lifecycle < head.lifecycle.unwrap_or(0) {
        return Completeness::Withheld(head.clone());
    }
    Completeness::Complete(head.clone())
}

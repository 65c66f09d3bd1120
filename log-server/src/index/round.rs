//! The rows of one round in memory, to be searched and then written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use tlog::{Hash, Tree};

use super::{Row, TermKey, index_of, is_common, term_key};

/// Which leaves of a group have a term: a bit for each.
pub(super) type Group = [u8; 32];

/// What one call of [`super::Index::extend`] adds.
pub(super) struct Round {
    /// The tree that its leaves end.
    pub(super) tree: Tree,
    /// Where each (key, payload) is.
    pub(super) identities: HashMap<Hash, u64>,
    /// Terms that few leaves have, sorted.
    pub(super) terms: Vec<TermKey>,
    /// Terms that many leaves have.
    pub(super) groups: BTreeMap<TermKey, Group>,
    claimed: BTreeSet<Hash>,
}

impl Round {
    pub(super) fn new(first: u64, rows: &[Row], tree: Tree) -> Self {
        let identities = (first..).zip(rows).map(|(index, row)| (row.identity, index)).collect();
        let claimed = rows.iter().filter_map(|row| row.manifest).collect();
        let (mut terms, mut groups) = (Vec::with_capacity(rows.len()), BTreeMap::new());
        for (index, term) in (first..).zip(rows).flat_map(|(index, row)| row.terms.iter().map(move |term| (index, term))) {
            if is_common(term) {
                mark(groups.entry(term_key(term, index / LEAVES)).or_default(), index);
            } else {
                terms.push(term_key(term, index));
            }
        }
        terms.sort_unstable();
        Self { tree, identities, terms, groups, claimed }
    }

    pub(super) fn find(&self, identity: &Hash) -> Option<u64> {
        self.identities.get(identity).copied()
    }

    pub(super) fn with_term(&self, term: &str, leaves: &Range<u64>) -> Vec<u64> {
        if leaves.is_empty() {
            return Vec::new();
        }
        if is_common(term) {
            return self.groups.range(group_keys(term, leaves)).flat_map(|(key, group)| members(key, group, leaves)).collect();
        }
        let place = |index| self.terms.partition_point(|key| *key < term_key(term, index));
        self.terms.get(place(leaves.start)..place(leaves.end)).unwrap_or_default().iter().map(index_of).collect()
    }

    pub(super) fn claims(&self, root: &Hash) -> bool {
        self.claimed.contains(root)
    }

    /// The manifests that its leaves claim.
    pub(super) fn claimed(&self) -> impl Iterator<Item = &Hash> {
        self.claimed.iter()
    }

    pub(super) fn rows(&self) -> usize {
        self.identities.len()
    }
}

/// The keys of the groups that hold these leaves, of which there is at least one.
pub(super) fn group_keys(term: &str, leaves: &Range<u64>) -> Range<TermKey> {
    term_key(term, leaves.start / LEAVES)..term_key(term, leaves.end.div_ceil(LEAVES))
}

/// The leaves of a group that are wanted, in order.
pub(super) fn members(key: &TermKey, group: &Group, wanted: &Range<u64>) -> Vec<u64> {
    let first = index_of(key) * LEAVES;
    let is_in = |leaf: &u64| group[(leaf / 8) as usize] >> (leaf % 8) & 1 == 1;
    (0..LEAVES).filter(is_in).map(|leaf| first + leaf).filter(|index| wanted.contains(index)).collect()
}

fn mark(group: &mut Group, index: u64) {
    group[(index % LEAVES / 8) as usize] |= 1 << (index % 8);
}

/// Leaves in a group.
const LEAVES: u64 = 256;

//! The part of a policy that counts: groups of witnesses and groups, each with a threshold.
//!
//! Members are defined before the groups that list them, and everything is a member at most once. So the groups form a tree in
//! which a loop over the list visits children first: nothing here recurses, however deep a file nests.

use alloc::string::String;
use alloc::vec::Vec;

/// A witness or a group, by its number in the order of definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    Witness(usize),
    Group(usize),
}

/// At least `threshold` of the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) threshold: usize,
    pub(crate) members: Vec<Member>,
}

/// All groups, in order of definition, and what must be satisfied; `None` asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quorum {
    pub(crate) groups: Vec<Group>,
    pub(crate) root: Option<Member>,
}

/// Which of two parties, A and B, a member can be made to satisfy, and whether both at once with different witnesses.
#[derive(Clone, Copy, Default)]
struct Sides {
    a: bool,
    b: bool,
    both: bool,
}

/// Who the witnesses below a member are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    One(usize),
    Several,
}

impl Quorum {
    /// Whether the witnesses for which `has` holds suffice.
    pub(crate) fn is_satisfied(&self, has: &dyn Fn(usize) -> bool) -> bool {
        let values = self.fold(has, &|_, group, members| members.iter().filter(|satisfied| **satisfied).count() >= group.threshold);
        self.root.is_none_or(|root| pick(root, &values, has))
    }

    /// Whether two quorums exist that share no owner, where witness `i` belongs to `owners[i]`: an honest owner never helps
    /// both. Exact; `None` if more owners than [`MAX_SPREAD`] have keys in several places, since each doubles the work.
    pub(crate) fn has_disjoint(&self, owners: &[usize]) -> Option<bool> {
        let Some(root) = self.root else { return Some(true) };
        let owned = self.owned(owners);
        let spread = self.spread(owners, &owned)?;
        let bits: Vec<Option<usize>> = (0..owners.len()).map(|owner| spread.iter().position(|other| *other == owner)).collect();
        // A and B can change names, so the first of these owners works for A.
        let found = (0..1_u64 << spread.len().saturating_sub(1)).any(|half| {
            let assignment = half << 1;
            let side = |owner: usize| match bits.get(owner) {
                // An owner with keys in several places works for one party, in all of them.
                Some(Some(bit)) => Sides { a: assignment >> bit & 1 == 0, b: assignment >> bit & 1 == 1, both: false },
                _ => Sides { a: true, b: true, both: false },
            };
            self.sides(root, owners, &owned, &side).both
        });
        Some(found)
    }

    fn sides(&self, root: Member, owners: &[usize], owned: &[Owner], side: &dyn Fn(usize) -> Sides) -> Sides {
        let leaf = |witness: usize| owners.get(witness).map_or_else(Sides::default, |owner| side(*owner));
        let values = self.fold(&leaf, &|index, group, members| match owned.get(index) {
            Some(Owner::One(owner)) => side(*owner),
            _ => share(group.threshold, members),
        });
        pick(root, &values, &leaf)
    }

    /// For each group, whether all witnesses below it are one owner's.
    fn owned(&self, owners: &[usize]) -> Vec<Owner> {
        let leaf = |witness: usize| owners.get(witness).map_or(Owner::Several, |owner| Owner::One(*owner));
        self.fold(&leaf, &|_, _, members| match members.split_first() {
            Some((first, rest)) if rest.iter().all(|other| other == first) => *first,
            _ => Owner::Several,
        })
    }

    /// The owners that stand in several places of the tree below the root, where a group of one owner's keys is one place.
    fn spread(&self, owners: &[usize], owned: &[Owner]) -> Option<Vec<usize>> {
        let (mut seen, mut spread) = (Vec::new(), Vec::new());
        let mut open: Vec<Member> = self.root.into_iter().collect();
        while let Some(member) = open.pop() {
            let owner = match member {
                Member::Witness(witness) => owners.get(witness).map(|owner| Owner::One(*owner)),
                Member::Group(group) => owned.get(group).copied(),
            };
            match (owner, member) {
                (Some(Owner::One(owner)), _) if !seen.contains(&owner) => seen.push(owner),
                (Some(Owner::One(owner)), _) if !spread.contains(&owner) => spread.push(owner),
                (Some(Owner::Several), Member::Group(group)) => {
                    open.extend(self.groups.get(group).into_iter().flat_map(|group| &group.members));
                }
                _ => {}
            }
        }
        (spread.len() <= MAX_SPREAD).then_some(spread)
    }

    /// A value for every group, computed from those of its members, in order of definition.
    fn fold<T: Copy>(&self, leaf: &dyn Fn(usize) -> T, node: &dyn Fn(usize, &Group, &[T]) -> T) -> Vec<T> {
        let mut values = Vec::with_capacity(self.groups.len());
        for (index, group) in self.groups.iter().enumerate() {
            let members: Vec<T> = group.members.iter().filter_map(|member| value(*member, &values, leaf)).collect();
            values.push(node(index, group, &members));
        }
        values
    }
}

/// How two parties can share members whose witnesses are disjoint: those that only one can have, then those that either can.
fn share(threshold: usize, members: &[Sides]) -> Sides {
    let count = |which: fn(&Sides) -> bool| members.iter().filter(|sides| which(sides)).count();
    let both = count(|s| s.both);
    let (only_a, only_b) = (count(|s| !s.both && s.a && !s.b), count(|s| !s.both && s.b && !s.a));
    let either = count(|s| !s.both && s.a && s.b);
    let missing = |have: usize| threshold.saturating_sub(both.saturating_add(have));
    Sides { a: missing(only_a) <= either, b: missing(only_b) <= either, both: missing(only_a).saturating_add(missing(only_b)) <= either }
}

fn value<T: Copy>(member: Member, groups: &[T], leaf: &dyn Fn(usize) -> T) -> Option<T> {
    match member {
        Member::Witness(witness) => Some(leaf(witness)),
        Member::Group(group) => groups.get(group).copied(),
    }
}

fn pick<T: Copy + Default>(member: Member, groups: &[T], leaf: &dyn Fn(usize) -> T) -> T {
    value(member, groups, leaf).unwrap_or_default()
}

/// 2^16 rounds over a policy of the largest size take well under a second.
const MAX_SPREAD: usize = 16;

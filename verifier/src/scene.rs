//! Everything that is to be looked at on a root: places, what stands there, and what is in it. Each inode is read once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::os::fd::BorrowedFd;

use crate::compare::Sight;
use crate::hash::{Job, Outcome, Progress, hash_all};
use crate::parallel;
use crate::survey::{Inode, Seen, SeenNode, Surveyor};

/// An entry that puts something at a place: numbers of subject, variant and manifest entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claimed {
    /// Number of the subject.
    pub subject: u32,
    /// Number of its variant.
    pub variant: u32,
    /// Number of the entry in the variant's manifest.
    pub entry: u32,
}

/// How much of a file's content has to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Nothing: a directory, a link, or content that may not be judged.
    #[default]
    Nothing,
    /// All, if it is small.
    Content,
    /// All, if it has this size or is small.
    Sized(u64),
}

/// One reason to look at a place: an entry that puts something there, or a diversion that moved something away.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason<'a> {
    /// The canonical path, below the root.
    pub place: Cow<'a, [u8]>,
    /// The entry.
    pub claim: Option<Claimed>,
    /// Whether content is to be read for it.
    pub need: Need,
}

/// The reasons by place.
#[derive(Clone, Debug, Default)]
pub struct Spots<'a> {
    reasons: Vec<Reason<'a>>,
    /// Where the reasons of each place begin, and the end of all.
    starts: Vec<u32>,
}

/// A place and all that is claimed about it.
#[derive(Clone, Copy, Debug)]
pub struct Spot<'a>(&'a [Reason<'a>]);

impl<'a> Spots<'a> {
    /// Sorts the reasons by place.
    #[must_use]
    pub fn new(mut reasons: Vec<Reason<'a>>) -> Self {
        // Stable sorting makes use of the order that manifests have already.
        reasons.sort();
        let is_first = |at: &usize| *at == 0 || reasons[*at].place != reasons[*at - 1].place;
        let starts = (0..reasons.len()).filter(is_first).chain([reasons.len()]).map(number).collect();
        Self { reasons, starts }
    }

    /// How many places there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The place of this number, below [`Spots::len`].
    #[must_use]
    pub fn spot(&self, number: usize) -> Spot<'_> {
        Spot(&self.reasons[self.starts[number] as usize..self.starts[number + 1] as usize])
    }

    /// All places, by their paths.
    pub fn iter(&self) -> impl Iterator<Item = Spot<'_>> {
        (0..self.len()).map(|number| self.spot(number))
    }

    /// The number of a place.
    #[must_use]
    pub fn find(&self, place: &[u8]) -> Option<usize> {
        let at = self.reasons.partition_point(|reason| *reason.place < *place);
        let start = self.starts.binary_search(&u32::try_from(at).ok()?).ok()?;
        (start < self.len() && self.spot(start).place() == place).then_some(start)
    }
}

impl<'a> Spot<'a> {
    /// The canonical path, below the root.
    #[must_use]
    pub fn place(&self) -> &'a [u8] {
        self.0.first().map_or(&[], |reason| &reason.place)
    }

    /// The entries, in the order of their packages.
    pub fn claims(&self) -> impl Iterator<Item = Claimed> + use<'a> {
        self.0.iter().filter_map(|reason| reason.claim)
    }

    /// A regular file is read if an entry attests content here; one of another size than attested only if that costs little, since its
    /// size alone is the verdict (a sparse file of terabytes must not hold up the run).
    fn wants(&self, seen: &Seen) -> bool {
        let Seen::There(Inode { node: SeenNode::File(size), .. }) = seen else { return false };
        self.0.iter().any(|reason| match reason.need {
            Need::Nothing => false,
            Need::Content => *size <= ODD_SIZE,
            Need::Sized(attested) => *size == attested || *size <= ODD_SIZE,
        })
    }
}

/// What stands at the places.
pub struct Scene<'s> {
    spots: &'s Spots<'s>,
    /// For each place, and the number of the outcome where it was read.
    seen: Vec<(Seen, Option<u32>)>,
    outcomes: Vec<Outcome>,
    bytes: u64,
}

impl<'s> Scene<'s> {
    /// Looks at all places and reads what has to be read.
    #[must_use]
    pub fn look(root: BorrowedFd<'_>, spots: &'s Spots<'s>, threads: usize, progress: &dyn Progress) -> Self {
        let mut seen: Vec<(Seen, Option<u32>)> = Vec::new();
        seen.resize_with(spots.len(), || (Seen::Absent, None));
        parallel::fill(&mut seen, threads, |first, part| {
            let mut surveyor = Surveyor::new(root);
            (first..).zip(part).for_each(|(number, (seen, _))| *seen = surveyor.look(spots.spot(number).place()));
        });
        let firsts = share(spots, &mut seen);
        let job = |number: &usize| match &seen[*number].0 {
            Seen::There(inode) => Some(Job { path: spots.spot(*number).place(), inode }),
            _ => None,
        };
        let jobs: Vec<Job<'_>> = firsts.iter().filter_map(job).collect();
        let bytes = jobs.iter().map(|job| job.inode.stamp.size()).sum();
        progress.expect(jobs.len() as u64, bytes);
        let outcomes = hash_all(root, &jobs, threads, progress);
        Self { spots, seen, outcomes, bytes }
    }

    /// What stands at a place; `None` for one that was not asked for.
    #[must_use]
    pub fn at(&self, place: &[u8]) -> Option<Sight<'_>> {
        Some(self.sight(self.spots.find(place)?))
    }

    /// What stands at the place of this number.
    #[must_use]
    pub fn sight(&self, number: usize) -> Sight<'_> {
        let (seen, outcome) = &self.seen[number];
        Sight { seen, read: outcome.and_then(|outcome| self.outcomes.get(outcome as usize)) }
    }

    /// Bytes that were to be read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Gives every place whose content is wanted the number of an outcome, one for each inode; returns the places to read, in the order of
/// these numbers.
fn share(spots: &Spots<'_>, seen: &mut [(Seen, Option<u32>)]) -> Vec<usize> {
    let mut by_inode: HashMap<(u64, u64), u32> = HashMap::new();
    let mut firsts = Vec::new();
    for (at, (seen, outcome)) in seen.iter_mut().enumerate() {
        if !spots.spot(at).wants(seen) {
            continue;
        }
        let Seen::There(inode) = seen else { continue };
        let next = number(firsts.len());
        // A file with one name is met once.
        let given = if inode.links == 1 { next } else { *by_inode.entry(inode.id).or_insert(next) };
        if given == next {
            firsts.push(at);
        }
        *outcome = Some(given);
    }
    firsts
}

/// Places are numbered by 32 bits: each comes from a line of a manifest, and so many do not fit into memory.
fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or_else(|_| panic!("more than 2^32 places"))
}

/// The largest file of another size than attested that is still read, for its digest in the report.
const ODD_SIZE: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(place: &str, claim: Option<u32>, need: Need) -> Reason<'_> {
        let claim = claim.map(|subject| Claimed { subject, variant: 0, entry: 1 });
        Reason { place: Cow::Borrowed(place.as_bytes()), claim, need }
    }

    #[test]
    fn places_come_together() {
        let reasons = [("b", Some(0)), ("a", Some(2)), ("b", None), ("a", Some(1)), ("b/c", Some(3))];
        let spots = Spots::new(reasons.iter().map(|(place, claim)| reason(place, *claim, Need::Nothing)).collect());
        let list = |spot: Spot<'_>| (spot.place().to_vec(), spot.claims().map(|claim| claim.subject).collect::<Vec<_>>());
        let expected = [(b"a".to_vec(), vec![1, 2]), (b"b".to_vec(), vec![0]), (b"b/c".to_vec(), vec![3])];
        assert_eq!(spots.iter().map(list).collect::<Vec<_>>(), expected);
        let found = ["", "a", "b", "b/", "b/c", "c"].map(|place| spots.find(place.as_bytes()));
        assert_eq!(found, [None, Some(0), Some(1), None, Some(2), None]);
        assert!(Spots::new(Vec::new()).is_empty() && Spots::default().find(b"a").is_none());
    }

    #[test]
    fn what_has_another_size_is_read_if_it_is_small() {
        let dir = tempfile::tempdir().unwrap();
        let size = ODD_SIZE + 1;
        std::fs::File::create(dir.path().join("large")).unwrap().set_len(size).unwrap();
        std::fs::write(dir.path().join("small"), "x").unwrap();
        let root = crate::survey::open_root(dir.path()).unwrap();
        let read = |place: &str, need: Need| {
            let spots = Spots::new(vec![reason(place, Some(0), need)]);
            let fd = std::os::fd::AsFd::as_fd(&root);
            let scene = Scene::look(fd, &spots, 1, &crate::hash::Silent);
            (scene.sight(0).read.is_some(), scene.bytes())
        };
        assert_eq!(read("large", Need::Sized(size - 1)), (false, 0));
        assert_eq!(read("large", Need::Content), (false, 0));
        assert_eq!(read("large", Need::Sized(size)), (true, size));
        assert_eq!(read("small", Need::Sized(7)), (true, 1));
        assert_eq!(read("small", Need::Nothing), (false, 0));
    }
}

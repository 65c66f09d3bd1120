//! Everything that is to be looked at on a root: places, what stands there, and what is in it. Each inode is read once.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::BorrowedFd;

use crate::compare::Sight;
use crate::hash::{Job, Outcome, Progress, hash_all};
use crate::survey::{Inode, Seen, SeenNode, Surveyor};

/// An entry that puts something at a place: numbers of subject, variant and manifest entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claimed {
    /// Number of the subject.
    pub subject: usize,
    /// Number of its variant.
    pub variant: usize,
    /// Number of the entry in the variant's manifest.
    pub entry: usize,
}

/// How much of a file's content has to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Nothing: a directory, a link, or content that may not be judged.
    #[default]
    Nothing,
    /// All, if it has one of the attested sizes or is small.
    Content,
}

/// A place and all entries that claim it.
#[derive(Clone, Debug, Default)]
pub struct Spot {
    /// The entries.
    pub claims: Vec<Claimed>,
    /// Whether content is to be read.
    pub need: Need,
    /// Attested sizes.
    pub sizes: Vec<u64>,
}

/// Places by canonical path, below the root.
pub type Spots = BTreeMap<Vec<u8>, Spot>;

/// What stands at the places.
pub struct Scene {
    seen: HashMap<Vec<u8>, (Seen, Option<usize>)>,
    outcomes: Vec<Outcome>,
    bytes: u64,
}

impl Scene {
    /// Looks at all places and reads what has to be read.
    #[must_use]
    pub fn look(root: BorrowedFd<'_>, spots: &Spots, threads: usize, progress: &dyn Progress) -> Self {
        let places: Vec<&Vec<u8>> = spots.keys().collect();
        let seen = survey(root, &places, threads);
        let mut jobs: Vec<Job> = Vec::new();
        let mut by_inode: HashMap<(u64, u64), usize> = HashMap::new();
        let mut scene = HashMap::with_capacity(places.len());
        for ((path, spot), seen) in spots.iter().zip(seen) {
            let job = wanted(spot, &seen).map(|inode| {
                *by_inode.entry(inode.id).or_insert_with(|| {
                    jobs.push(Job { path: path.clone(), inode: inode.clone() });
                    jobs.len() - 1
                })
            });
            scene.insert(path.clone(), (seen, job));
        }
        let bytes = jobs.iter().map(|job| job.inode.stamp.size()).sum();
        progress.expect(jobs.len() as u64, bytes);
        let outcomes = hash_all(root, &jobs, threads, progress);
        Self { seen: scene, outcomes, bytes }
    }

    /// What stands at a place; `None` for one that was not asked for.
    #[must_use]
    pub fn at(&self, place: &[u8]) -> Option<Sight<'_>> {
        let (seen, job) = self.seen.get(place)?;
        Some(Sight { seen, read: job.and_then(|job| self.outcomes.get(job)) })
    }

    /// The inode at a place, if there is one.
    #[must_use]
    pub fn inode(&self, place: &[u8]) -> Option<&Inode> {
        match self.seen.get(place) {
            Some((Seen::There(inode), _)) => Some(inode),
            _ => None,
        }
    }

    /// Bytes that were to be read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn survey(root: BorrowedFd<'_>, places: &[&Vec<u8>], threads: usize) -> Vec<Seen> {
    let chunk = places.len().div_ceil(threads.max(1)).max(1);
    std::thread::scope(|scope| {
        let look = |places: &[&Vec<u8>]| {
            let mut surveyor = Surveyor::new(root);
            places.iter().map(|place| surveyor.look(place)).collect::<Vec<_>>()
        };
        let handles: Vec<_> = places.chunks(chunk).map(|places| scope.spawn(move || look(places))).collect();
        handles.into_iter().flat_map(|handle| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

/// A regular file is read if an entry attests content here; one of another size than attested only if that costs little, since its
/// size alone is the verdict (a sparse file of terabytes must not hold up the run).
fn wanted<'a>(spot: &Spot, seen: &'a Seen) -> Option<&'a Inode> {
    let Seen::There(inode) = seen else { return None };
    let SeenNode::File(size) = inode.node else { return None };
    let read = spot.need == Need::Content && (spot.sizes.contains(&size) || size <= ODD_SIZE);
    read.then_some(inode)
}

/// The largest file of another size than attested that is still read, for its digest in the report.
const ODD_SIZE: u64 = 64 << 20;

//! A log whose store is watched: what was acknowledged at each system call, and whether a later start keeps it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use store::Directory;
use store::disk::{Disk, Fate, Image, Recorder};
use tally_log::fsck::{DirectorySource, check};
use tally_log::pool::Outcome;
use tally_log::sequencer::Turn;
use tlog::{SignedCheckpoint, Tree, hash_leaf};
use tokio::sync::oneshot::Receiver;

use super::{TestLog, TestWitness, World, entries, log_keys};

/// Submitted entries and what became of them, known as soon as the sequencer has answered.
#[derive(Clone, Default)]
pub struct Answers(Arc<Mutex<Vec<Submitted>>>);

pub struct Submitted {
    pub leaf: Vec<u8>,
    receiver: Receiver<Outcome>,
    index: Option<u64>,
}

impl Answers {
    /// Submits entries and lets the sequencer work.
    pub fn submit(&self, log: &mut TestLog, leaves: impl IntoIterator<Item = Vec<u8>>) -> Turn {
        for leaf in leaves {
            let receiver = log.submit(&leaf);
            self.lock().push(Submitted { leaf, receiver, index: None });
        }
        log.settle()
    }

    /// Index and leaf of everything that has been acknowledged by now.
    pub fn acknowledged(&self) -> Vec<(u64, Vec<u8>)> {
        let mut submitted = self.lock();
        for one in submitted.iter_mut().filter(|one| one.index.is_none()) {
            if let Ok(Outcome::Logged { index, .. }) = one.receiver.try_recv() {
                one.index = Some(index);
            }
        }
        submitted.iter().filter_map(|one| Some((one.index?, one.leaf.clone()))).collect()
    }

    /// Every leaf that was ever submitted.
    pub fn leaves(&self) -> Vec<Vec<u8>> {
        self.lock().iter().map(|one| one.leaf.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Submitted>> {
        self.0.lock().unwrap()
    }
}

/// What everybody but the disk knows at one moment.
#[derive(Clone)]
pub struct Moment {
    pub acknowledged: Vec<(u64, Vec<u8>)>,
    /// What each witness has cosigned.
    pub cosigned: Vec<Option<SignedCheckpoint>>,
    pub now: u64,
}

impl Moment {
    pub fn of(world: &World, answers: &Answers) -> Self {
        use tally_log::clock::Clock as _;
        let cosigned = world.witnesses.iter().map(|witness| witness.state().seen.clone()).collect();
        Self { acknowledged: answers.acknowledged(), cosigned, now: world.clock.now() }
    }

    /// A world in which the witnesses know what they knew then, over a directory.
    pub fn world(&self, template: &World, dir: &Path, watch: Option<Arc<Recorder>>) -> World {
        let clock = Arc::new(tally_log::clock::ManualClock::new(self.now));
        let witnesses = (0..).zip(&self.cosigned).map(|(n, seen)| {
            let witness = TestWitness::new(&format!("witness-{n}"), 10 + n, &clock);
            witness.state().seen.clone_from(seen);
            witness
        });
        let watch = watch.map(|watch| watch as Arc<dyn store::Watch>);
        let store = Directory::open_watched(dir, watch).unwrap();
        store.clean().unwrap();
        World { store: Arc::new(store), witnesses: witnesses.collect(), clock, ..template.clone() }
    }
}

/// Writes what a cut left into a new directory.
pub fn written(image: &Image) -> tempfile::TempDir {
    // The model says what is durable; memory is enough for the files.
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    image.write(dir.path()).unwrap();
    dir
}

/// Starts the log over `dir`, adds an entry, and checks that nothing acknowledged is lost, that every tree that was ever cosigned is
/// one of its past, and that `fsck` is clean.
pub fn is_whole(world: &World, dir: &Path, moment: &Moment, submitted: &[Vec<u8>], what: &str) {
    let mut log = world.open().unwrap_or_else(|error| panic!("{what}: it does not start: {error}"));
    let published = log.published().map_or(0, |tree| tree.size);
    assert!(published >= moment.acknowledged.len() as u64, "{what}: the published checkpoint is lost");
    assert_eq!(log.settle(), Turn::Idle, "{what}: {:?}", log.shared.status());
    log.add(&[b"after"]);
    let (_, leaves) = entries(&*world.store);
    for (index, leaf) in &moment.acknowledged {
        assert_eq!(leaves.get(*index as usize), Some(leaf), "{what}: acknowledged entry {index} is lost");
    }
    let (last, before) = leaves.split_last().unwrap();
    assert_eq!(last, b"after", "{what}");
    assert!(before.iter().all(|leaf| submitted.contains(leaf)), "{what}: an entry came from nowhere");
    let hashes: Vec<_> = leaves.iter().map(|leaf| hash_leaf(leaf)).collect();
    let seen = world.witnesses.iter().filter_map(|witness| witness.state().seen.clone());
    for tree in moment.cosigned.iter().flatten().cloned().chain(seen).map(|signed| signed.tree()) {
        assert_eq!(Tree::of(&hashes[..tree.size as usize]), tree, "{what}: another tree was cosigned");
    }
    let report = check(&DirectorySource::open(dir).unwrap(), &log_keys().verifier_keys()).unwrap();
    assert_eq!(report.findings, [], "{what}");
}

pub fn leaves(numbers: std::ops::Range<u32>) -> Vec<Vec<u8>> {
    numbers.map(|n| [&n.to_be_bytes()[..], &[7; 40]].concat()).collect()
}

/// A tile that fills and reaches the next level, small rounds, a quorum that comes late, and an idle head that is cosigned afresh.
pub fn life(world: &World, log: &mut TestLog, answers: &Answers) {
    answers.submit(log, leaves(0..3));
    answers.submit(log, leaves(3..254));
    answers.submit(log, leaves(254..259));
    world.away(2);
    answers.submit(log, leaves(259..260));
    world.away(0);
    log.settle();
    world.clock.pass(700);
    log.settle();
    answers.submit(log, leaves(260..262));
}

/// A new log in `dir`, before anything happened to it; its disk.
pub fn made(dir: &Path) -> (World, Disk) {
    let recorder = Arc::new(Recorder::new(Disk::new(dir), Box::new(|_, _, _| Fate::Happens)));
    let world = World::new(Arc::new(Directory::open_watched(dir, Some(recorder.clone())).unwrap()));
    (world, recorder.disk().1)
}

/// Evenly chosen cases: at most `few`, or at most `many` with `TALLY_CASES=many`.
pub fn spread<T>(cases: Vec<T>, few: usize, many: usize) -> Vec<T> {
    let step = cases.len().div_ceil(if is_many() { many } else { few }).max(1);
    cases.into_iter().step_by(step).collect()
}

/// This step through the cases; with `TALLY_CASES=many` each of them.
pub fn step(step: u64) -> u64 {
    if is_many() { 1 } else { step }
}

fn is_many() -> bool {
    std::env::var("TALLY_CASES").is_ok_and(|value| value == "many")
}

pub const EIO: i32 = 5;

//! Power cuts on a model disk (`store::disk`) at every system call of a witness's life, and while a start repairs what a cut left:
//! whatever is left, it never signs a second history, and goes on with one.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use store::disk::{Disk, Fate, Image, Recorder};
use store::{Call, Directory, Store};
use support::{ORIGIN, TestLog, advance};
use tally_witness::Witness;
use tlog::Tree;

/// What was answered, and what a cut then may leave.
type Cuts = Arc<Mutex<Vec<(Vec<Tree>, Vec<Image>)>>>;

/// Which side grows its tree, from which size, to which.
type Step = (usize, usize, usize);

struct Life {
    log: TestLog,
    fork: TestLog,
    /// Requests that were made already, by the side that makes them and their sizes: signing takes most of the time here.
    requests: Arc<Mutex<BTreeMap<Step, String>>>,
    /// The trees whose signatures left the process.
    answered: Arc<Mutex<Vec<Tree>>>,
}

impl Life {
    fn new(answered: Vec<Tree>) -> Self {
        let answered = Arc::new(Mutex::new(answered));
        Self { log: TestLog::new(ORIGIN), fork: TestLog::forked(ORIGIN, 2), requests: Arc::default(), answered }
    }

    /// The same logs, before other signatures were answered.
    fn after(&self, answered: &[Tree]) -> Self {
        Self { requests: self.requests.clone(), ..Self::new(answered.to_vec()) }
    }

    fn request(&self, side: usize, old: usize, new: usize) -> String {
        let make = || [&self.log, &self.fork][side].request(old, new);
        self.requests.lock().unwrap().entry((side, old, new)).or_insert_with(make).clone()
    }

    /// Steps of both histories, in turn, from whatever size the witness has.
    async fn steps(&self, witness: &Arc<Witness>, sizes: &[usize]) {
        for side in [0, 1, 0] {
            for steps in sizes.windows(2) {
                if advance(witness, &self.request(side, steps[0], steps[1])).await.is_ok() {
                    let from = [&self.log, &self.fork][side];
                    self.answered.lock().unwrap().push(from.checkpoint(steps[1]).tree);
                }
            }
        }
    }

    fn is_one_history(&self) -> bool {
        let trees = self.answered.lock().unwrap();
        let all_of = |view: &TestLog| trees.iter().all(|tree| *tree == Tree::of(&view.leaves[..tree.size as usize]));
        all_of(&self.log) || all_of(&self.fork)
    }

    /// Follows a store on `disk` and notes what a cut before each changing call would leave.
    fn noting(&self, disk: Disk) -> (Arc<Recorder>, Cuts) {
        let cuts = Cuts::default();
        let (noted, answered) = (cuts.clone(), self.answered.clone());
        let plan = move |_, call: &Call<'_>, disk: &Disk| {
            if !matches!(call, Call::Read(_)) {
                noted.lock().unwrap().push((answered.lock().unwrap().clone(), disk.cuts(0).into_iter().collect()));
            }
            Fate::Happens
        };
        (Arc::new(Recorder::new(disk, Box::new(plan))), cuts)
    }
}

/// From every size that a cut can leave to the next, and beyond.
const SIZES: [usize; 4] = [0, 5, 8, 20];

async fn goes_on(life: &Life, store: Arc<dyn Store>) {
    let before = life.answered.lock().unwrap().len();
    let witness = support::open(&[&life.log], store).unwrap();
    life.steps(&witness, &SIZES).await;
    life.steps(&witness, &[20, 30]).await;
    assert!(life.is_one_history(), "two histories were signed: {:?}", life.answered.lock().unwrap());
    assert!(life.answered.lock().unwrap().len() > before, "it does not go on");
}

/// What a cut left, in memory where there is such a file system: the model says what is durable.
fn written(image: &Image) -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    image.write(dir.path()).unwrap();
    dir
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_cut_at_any_call_one_history_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::new(Vec::new());
    let (recorder, cuts) = life.noting(Disk::new(dir.path()));
    let store = Directory::open_watched(dir.path(), Some(recorder)).unwrap();
    let witness = support::open(&[&life.log], Arc::new(store)).unwrap();
    life.steps(&witness, &SIZES[..3]).await;
    assert!(life.answered.lock().unwrap().len() >= 2);
    let (mut first, mut second) = (0, 0);
    let cuts = std::mem::take(&mut *cuts.lock().unwrap());
    for (answered, images) in cuts {
        for image in images {
            let life = life.after(&answered);
            let dir = written(&image);
            let (recorder, cuts) = life.noting(Disk::after(&image, dir.path()));
            goes_on(&life, Arc::new(Directory::open_watched(dir.path(), Some(recorder)).unwrap())).await;
            first += 1;
            // Of the second cuts, a spread: two of each life.
            let again: Vec<_> = std::mem::take(&mut *cuts.lock().unwrap());
            let again: Vec<_> = again.into_iter().flat_map(|(a, images)| images.into_iter().map(move |image| (a.clone(), image))).collect();
            for (answered, image) in again.iter().skip(first % 7).step_by(again.len() / 2 + 1) {
                let dir = written(image);
                goes_on(&life.after(answered), Arc::new(Directory::open(dir.path()).unwrap())).await;
                second += 1;
            }
        }
    }
    println!("{first} states after a cut, {second} after a second one in the life that followed; two histories signed: 0");
    assert!(first >= 40 && second >= first, "{first} {second}");
}

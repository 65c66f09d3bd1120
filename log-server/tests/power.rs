//! Power cuts on a model disk (`store::disk`): at every system call of several rounds everything that was not fsynced is lost, torn
//! or reordered; the log must start from what is left, keep what it has acknowledged, and go on. The same for a cut while a start is
//! repairing what a cut left, and for a process that is killed, goes on with what the page cache shows, and loses its power later.
//!
//! `TALLY_CASES=many` tries many more cases, the first kind all of them; without it, a spread that takes a minute.

mod kit;

use std::sync::{Arc, Mutex};

use kit::World;
use kit::watched::{Answers, EIO, Moment, is_whole, leaves, life, made, spread, step, written};
use store::Directory;
use store::disk::{Disk, Fate, Image, Recorder};
use tally_log::sequencer::Turn;

/// One moment and what a cut then may leave.
type Cuts = Arc<Mutex<Vec<(Moment, Vec<Image>)>>>;

/// Follows a log from here on and notes what a cut would leave, before every call that changes anything.
fn noting(disk: Disk, world: &World, answers: &Answers, more: u64) -> (Arc<Recorder>, Cuts) {
    let cuts = Cuts::default();
    let (noted, world, answers) = (cuts.clone(), world.clone(), answers.clone());
    let plan = move |_, call: &store::Call<'_>, disk: &Disk| {
        if !matches!(call, store::Call::Read(_)) {
            noted.lock().unwrap().push((Moment::of(&world, &answers), disk.cuts(more).into_iter().collect()));
        }
        Fate::Happens
    };
    (Arc::new(Recorder::new(disk, Box::new(plan))), cuts)
}

fn lived(more: u64) -> (World, Answers, Vec<(Moment, Vec<Image>)>) {
    let dir = tempfile::tempdir().unwrap();
    let (world, disk) = made(dir.path());
    let answers = Answers::default();
    let (recorder, cuts) = noting(disk, &world, &answers, more);
    let store = Arc::new(Directory::open_watched(dir.path(), Some(recorder.clone())).unwrap());
    let world = World { store, ..world };
    life(&world, &mut world.open().unwrap(), &answers);
    assert_eq!(answers.acknowledged().len(), 262);
    let last = (Moment::of(&world, &answers), recorder.disk().1.cuts(more).into_iter().collect());
    let mut cuts = std::mem::take(&mut *cuts.lock().unwrap());
    cuts.push(last);
    (world, answers, cuts)
}

#[test]
fn a_cut_at_any_call_loses_nothing() {
    let (template, answers, cuts) = lived(8);
    let submitted = answers.leaves();
    let calls = cuts.len();
    let cases: Vec<_> =
        cuts.iter().enumerate().flat_map(|(call, (moment, images))| images.iter().map(move |image| (call, moment, image))).collect();
    let all = cases.len();
    let cases = spread(cases, 160, usize::MAX);
    for (call, moment, image) in &cases {
        let dir = written(image);
        is_whole(&moment.world(&template, dir.path(), None), dir.path(), moment, &submitted, &format!("cut before call {call}"));
    }
    println!("{} of {all} states after a cut at one of {calls} calls; 0 acknowledged entries lost", cases.len());
    assert!(calls > 150 && all > 1_000 && cases.len() > 100, "{calls} {all}");
}

#[test]
fn a_cut_while_a_start_repairs_loses_nothing() {
    let (template, answers, cuts) = lived(0);
    let submitted = answers.leaves();
    let first: Vec<_> = cuts.iter().flat_map(|(moment, images)| images.iter().map(move |image| (moment, image))).collect();
    let (mut tried, mut all) = (0, 0);
    for (moment, image) in spread(first, 8, 60) {
        let dir = written(image);
        let disk = Disk::after(image, dir.path());
        // The recorder notes what the witnesses know in the very world that it watches.
        let world = moment.world(&template, dir.path(), None);
        let (recorder, cuts) = noting(disk, &world, &answers, 0);
        let store = Arc::new(Directory::open_watched(dir.path(), Some(recorder)).unwrap());
        let world = World { store, ..world };
        assert_eq!(world.open().unwrap().settle(), Turn::Idle);
        let second: Vec<_> = std::mem::take(&mut *cuts.lock().unwrap());
        let second: Vec<_> =
            second.into_iter().flat_map(|(later, images)| images.into_iter().map(move |image| (later.clone(), image))).collect();
        all += second.len();
        for (later, image) in spread(second, 12, 60) {
            let later = Moment { acknowledged: moment.acknowledged.clone(), ..later };
            let dir = written(&image);
            is_whole(&later.world(&template, dir.path(), None), dir.path(), &later, &submitted, "cut during recovery");
            tried += 1;
        }
    }
    println!("{tried} of {all} states after a second cut, while a start repaired what the first had left; 0 acknowledged entries lost");
    assert!(tried > 60, "{tried}");
}

#[test]
fn a_killed_process_whose_successor_loses_its_power_loses_nothing() {
    let mut tried = 0;
    let (mut states, mut call) = (0, 0);
    loop {
        let dir = tempfile::tempdir().unwrap();
        let (world, disk) = made(dir.path());
        let answers = Answers::default();
        let dies = move |number, _: &store::Call<'_>, _: &Disk| {
            if number < call { Fate::Happens } else { Fate::FailsBefore(EIO) }
        };
        let killed = Arc::new(Recorder::new(disk, Box::new(dies)));
        if let Ok(store) = Directory::open_watched(dir.path(), Some(killed.clone())) {
            let world = World { store: Arc::new(store), ..world.clone() };
            if let Ok(mut log) = world.open() {
                life(&world, &mut log, &answers);
            }
        }
        let (calls, disk) = killed.disk();
        let next = Arc::new(Recorder::new(disk, Box::new(|_, _, _| Fate::Happens)));
        let moment = Moment::of(&world, &answers);
        let successor = moment.world(&world, dir.path(), Some(next.clone()));
        let mut log = successor.open().unwrap_or_else(|error| panic!("killed at call {call}: {error}"));
        assert_eq!(answers.submit(&mut log, leaves(900..903)), Turn::Idle, "killed at call {call}: {:?}", log.shared.status());
        let moment = Moment::of(&successor, &answers);
        for image in spread(next.disk().1.cuts(0).into_iter().collect(), 3, 6) {
            let dir = written(&image);
            let what = format!("killed at call {call}, then cut");
            is_whole(&moment.world(&world, dir.path(), None), dir.path(), &moment, &answers.leaves(), &what);
            states += 1;
        }
        tried += 1;
        if calls <= call {
            break;
        }
        call += step(15);
    }
    println!("{tried} kills, {states} states after a later cut; 0 acknowledged entries lost");
    assert!(tried > 10 && states > 20, "{tried} {states}");
}

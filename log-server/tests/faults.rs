//! Failing disks and flipped bits: each system call of a log's life fails, once or from then on, before or after it took effect; one
//! bit of each object is another. What comes of it is a log that goes on, or a clear error that names the object: never a lost
//! acknowledged entry, never a signature over a wrong root. Failed fsyncs lose their bytes for good, as on Linux.
//!
//! `TALLY_CASES=many` tries every call and many bits; without it, a spread of them.

mod kit;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kit::watched::{Answers, EIO, Moment, is_whole, leaves, life, made, spread, step, written};
use kit::{World, entries, log_keys};
use store::disk::{Disk, Fate, Recorder};
use store::{Call, Directory, Store};
use tally_log::fsck::{DirectorySource, check};
use tally_log::sequencer::Turn;
use tally_log::shared::Status;
use tlog::{Tree, hash_leaf};

const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

/// What happens at the chosen call, and whether to the later ones that change something.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Once(Fate),
    Ever(Fate),
}

const FAULTS: [Fault; 5] = [
    Fault::Once(Fate::FailsBefore(EIO)),
    Fault::Once(Fate::FailsAfter(EIO)),
    Fault::Ever(Fate::FailsBefore(EIO)),
    Fault::Ever(Fate::FailsBefore(ENOSPC)),
    Fault::Ever(Fate::FailsBefore(EROFS)),
];

/// Whether the fault has struck, and whether it was an fsync that failed on a sick disk.
#[derive(Default)]
struct Struck {
    any: AtomicBool,
    fsync: AtomicBool,
}

fn plan(call: u64, fault: Fault) -> (store::disk::Plan, Arc<Struck>) {
    let struck = Arc::new(Struck::default());
    let strikes = struck.clone();
    let plan = move |number, made: &Call<'_>, _: &Disk| {
        let fate = match fault {
            Fault::Once(fate) if number == call => fate,
            // A full or read-only disk is still read.
            Fault::Ever(Fate::FailsBefore(ENOSPC | EROFS)) if matches!(made, Call::Read(_) | Call::Remove(_)) => Fate::Happens,
            Fault::Ever(fate) if number >= call => fate,
            _ => Fate::Happens,
        };
        strikes.any.fetch_or(fate != Fate::Happens, Ordering::SeqCst);
        let is_fsync = matches!(made, Call::SyncFile(_) | Call::SyncDirectory(_));
        strikes.fsync.fetch_or(is_fsync && matches!(fate, Fate::FailsBefore(EIO) | Fate::FailsAfter(EIO)), Ordering::SeqCst);
        fate
    };
    (Box::new(plan), struck)
}

/// An error that an operator can act on names the object, or says that it is the whole disk.
fn is_clear(why: &str) -> bool {
    let names_object = ["state/", "public/", ".tmp"].iter().any(|part| why.contains(part));
    names_object && (why.contains("os error") || why.contains("exists with other bytes") || why.contains("changed"))
}

#[test]
fn whatever_call_fails_nothing_is_lost_and_the_reason_is_clear() {
    let (mut cases, mut stopped, mut waited, mut refused, mut unnoticed) = (0, 0, 0, 0, 0);
    for fault in FAULTS {
        let mut call = 0;
        loop {
            let dir = tempfile::tempdir().unwrap();
            let (world, disk) = made(dir.path());
            let answers = Answers::default();
            let (plan, struck) = plan(call, fault);
            let faulty = Arc::new(Recorder::new(disk, plan));
            let what = format!("call {call} {fault:?}");
            let opened =
                Directory::open_watched(dir.path(), Some(faulty.clone())).map(|store| World { store: Arc::new(store), ..world.clone() });
            match opened.as_ref().map(|world| (world, world.open())) {
                Err(_) => refused += 1,
                Ok((_, Err(error))) => {
                    assert!(is_clear(&error.to_string()), "{what}: {error}");
                    refused += 1;
                }
                Ok((world, Ok(mut log))) => {
                    life(world, &mut log, &answers);
                    match log.shared.status() {
                        Status::Stopped(why) => {
                            assert!(is_clear(&why), "{what}: {why}");
                            stopped += 1;
                        }
                        Status::Waiting(why) => {
                            assert!(!struck.fsync.load(Ordering::SeqCst), "{what}: it goes on after a failed fsync: {why}");
                            assert!(is_clear(&why), "{what}: {why}");
                            waited += 1;
                        }
                        other => {
                            assert!(!struck.fsync.load(Ordering::SeqCst), "{what}: {other:?} after a failed fsync");
                            unnoticed += 1;
                        }
                    }
                }
            }
            // A new process, over what the page cache shows; then a power cut.
            let next = Arc::new(Recorder::new(faulty.disk().1, Box::new(|_, _, _| Fate::Happens)));
            let successor = Moment::of(&world, &answers).world(&world, dir.path(), Some(next.clone()));
            let mut log = successor.open().unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(answers.submit(&mut log, leaves(900..903)), Turn::Idle, "{what}: {:?}", log.shared.status());
            let moment = Moment::of(&successor, &answers);
            for image in spread(next.disk().1.cuts(0).into_iter().collect(), 2, 2) {
                let dir = written(&image);
                is_whole(&moment.world(&world, dir.path(), None), dir.path(), &moment, &answers.leaves(), &what);
            }
            cases += 1;
            if !struck.any.load(Ordering::SeqCst) {
                break;
            }
            call += step(17);
        }
    }
    println!("{cases} faults: {refused} starts refused, {stopped} stops, {waited} waits, {unnoticed} got over");
    println!("acknowledged entries lost: 0, wrong roots signed: 0");
    assert!(cases > 30 && stopped > 5 && waited > 0 && refused > 2 && unnoticed > 0, "{cases}");
}

/// A log with full and superseded tiles, and a committed tree that waits for its quorum: every kind of object but manifests.
fn grown(dir: &Path) -> (World, Answers) {
    let world = World::new(Arc::new(Directory::open(dir).unwrap()));
    let mut log = world.open().unwrap();
    let answers = Answers::default();
    for end in [3, 200, 300] {
        let from = answers.leaves().len() as u32;
        answers.submit(&mut log, leaves(from..end));
    }
    world.away(2);
    answers.submit(&mut log, leaves(300..303));
    world.away(0);
    (world, answers)
}

/// What a kind of object is called in the summary.
fn kind(key: &str) -> &'static str {
    match key {
        "state/committed" => "committed checkpoint",
        "public/checkpoint" => "published checkpoint",
        _ if key.starts_with("state/stage/") => "staging file",
        _ if key.starts_with("public/tile/entries/") => "bundle",
        _ => "tile",
    }
}

#[test]
fn a_flipped_bit_anywhere_is_named_and_never_signed() {
    let dir = tempfile::tempdir().unwrap();
    let (world, answers) = grown(dir.path());
    let moment = Moment::of(&world, &answers);
    let mut tally: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    for key in world.store.list("").unwrap() {
        let original = world.store.get(&key).unwrap().unwrap();
        let bits = (0..original.len() * 8).collect::<Vec<_>>();
        for bit in spread(bits, 10, 400) {
            let copy = tempfile::tempdir().unwrap();
            for other in world.store.list("").unwrap() {
                let mut bytes = world.store.get(&other).unwrap().unwrap();
                if other == key {
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
                let path = copy.path().join(&other);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
            let damaged = moment.world(&world, copy.path(), None);
            let counts = tally.entry(kind(&key)).or_default();
            counts[0] += 1;
            let what = format!("{key}, bit {bit}");
            let mut log = match damaged.open() {
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains(&key) || text.contains("edge"), "{what}: {text}");
                    counts[1] += 1;
                    continue;
                }
                Ok(log) => log,
            };
            let turn = answers.submit(&mut log, leaves(500..501));
            // Whatever was signed is a root of what was submitted.
            let (tree, logged) = committed(&damaged, &answers);
            assert_eq!(Tree::of(&logged.iter().map(|leaf| hash_leaf(leaf)).collect::<Vec<_>>()[..tree.size as usize]), tree, "{what}");
            let findings = check(&DirectorySource::open(copy.path()).unwrap(), &log_keys().verifier_keys()).unwrap().findings;
            let is_named = findings.iter().any(|one| key.ends_with(&one.object) || one.what.contains(key.trim_start_matches("public/")));
            if is_named {
                counts[2] += 1;
            } else {
                assert_eq!((turn, findings.as_slice()), (Turn::Idle, &[][..]), "{what}: neither named nor healed");
                assert_eq!(entries(&*damaged.store).0, tree, "{what}");
                counts[3] += 1;
            }
        }
    }
    for (kind, [flips, refused, named, healed]) in &tally {
        println!("{kind}: {flips} flipped bits; {refused} starts refused, {named} named by fsck, {healed} healed");
    }
    println!("wrong roots signed: 0");
    assert_eq!(tally.len(), 5, "every kind: {tally:?}");
}

/// The newest tree that the log has signed, and the leaves in the order that they must have.
fn committed(world: &World, answers: &Answers) -> (Tree, Vec<Vec<u8>>) {
    let bytes = world.store.get("state/committed").unwrap().unwrap();
    let mut leaves = answers.leaves();
    let last = leaves.pop().unwrap();
    leaves.truncate(303);
    leaves.push(last);
    (log_keys().open(&bytes).unwrap().tree(), leaves)
}

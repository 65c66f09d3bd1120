//! Where a log cannot trust what it finds: somebody else writes to its store, or the page cache shows what the disk may not have.

mod kit;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use client::cli::Advice;
use client::witness::AddAnswer;
use kit::served::{Served, security, sign, warning};
use kit::{Mood, START, TestWitness, World, entries, index, log_keys};
use store::{Directory, Memory, Store};
use tally_log::clock::{ManualClock, SystemClock};
use tally_log::gate::{Broken, Gate, Verdict};
use tally_log::pool::Entry;
use tally_log::quorum::{Gathered, Quorum};
use tally_log::recover;
use tally_log::sequencer::Turn;
use tally_log::shared::Status;
use tally_log::witnesses::{Endpoint, Fault, Question, Report, Subject, Witnesses};
use tally_log::{Config, build, init};
use tlog::witness::AddCheckpoint;
use tlog::{Policy, SignedCheckpoint, Tree};

#[test]
fn somebody_else_on_the_same_store_stops_the_log() {
    let world = World::new(Arc::new(Memory::new()));
    let mut log = world.open().unwrap();
    log.add(&[b"a"]);
    let mut other = world.open().unwrap();
    other.add(&[b"b"]);
    let answer = log.submit(b"c");
    assert_eq!(log.settle(), Turn::Stopped);
    let Status::Stopped(why) = log.shared.status() else { panic!("not stopped") };
    assert!(why.contains("somebody else has changed state/committed"), "{why}");
    assert_eq!(index(answer), None);
    other.add(&[b"d"]);
    assert_eq!(entries(&*world.store).1, [b"a", b"b", b"d"], "one history");
}

#[test]
fn what_a_start_rests_on_is_written_to_new_inodes() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(Arc::new(Directory::open(dir.path()).unwrap()));
    let mut log = world.open().unwrap();
    log.add(&[b"a"]);
    world.away(2);
    drop(log.submit(b"b"));
    assert_eq!(log.settle(), Turn::Waiting, "committed and not published");
    drop(log);
    let mut keys = world.store.list("state/stage").unwrap();
    assert_eq!(keys.len(), 1);
    keys.extend(["state/committed", "public/checkpoint", "public/tile/0/000.p/2", "public/tile/entries/000.p/2"].map(str::to_owned));
    let inodes = || -> BTreeMap<String, u64> {
        keys.iter().map(|key| (key.clone(), std::fs::metadata(dir.path().join(key)).unwrap().ino())).collect()
    };
    let before = inodes();
    let _log = world.open().unwrap();
    for (key, inode) in inodes() {
        assert_ne!(before[&key], inode, "{key}");
    }
}

#[test]
fn staging_files_of_trees_that_never_were_are_discarded() {
    let world = World::new(Arc::new(Memory::new()));
    world.open().unwrap().add(&[b"a"]);
    let never = format!("state/stage/7-{}", tlog::Hash::digest(b"never").to_hex());
    world.store.put(&never, b"cut short").unwrap();
    let mut log = world.open().unwrap();
    assert_eq!(world.store.list("state/stage").unwrap(), Vec::<String>::new());
    assert_eq!(log.add(&[b"b"]), [1]);
}

/// Takes everything, and cannot write down what was published.
struct BrokenIndex;

impl Gate for BrokenIndex {
    type Meta = ();

    fn judge(&mut self, _: &Entry<()>, _: u64) -> Result<Verdict, Broken> {
        Ok(Verdict::Take)
    }
    fn abandon(&mut self) {}
    fn record(&mut self, _: u64, _: &[Entry<()>], _: &Tree) -> Result<(), Broken> {
        Err(Broken("no room".to_owned()))
    }
    fn tidy(&mut self, _: u64) {}
}

#[test]
fn an_index_that_cannot_be_written_stops_the_log_after_its_answers() {
    let world = World::new(Arc::new(Memory::new()));
    let mut log = world.open_behind(world.store.clone(), BrokenIndex).unwrap();
    assert_eq!(log.settle(), Turn::Idle);
    let answer = log.submit(b"a");
    assert_eq!(log.settle(), Turn::Stopped, "an index that misses silently would cost exactness");
    assert_eq!(index(answer), Some(0), "what is published is answered");
    assert_eq!(log.shared.status(), Status::Stopped("the index cannot be written: no room".to_owned()));
}

/// Answers what it knows when it is told to.
struct Slow(Receiver<SignedCheckpoint>);

impl Endpoint for Slow {
    fn newest(&mut self, _: &str) -> Result<Option<SignedCheckpoint>, Fault> {
        Ok(Some(self.0.recv().unwrap()))
    }
    fn add_checkpoint(&mut self, _: &AddCheckpoint) -> Result<AddAnswer, Fault> {
        unreachable!("it is busy")
    }
}

#[test]
fn a_fork_that_is_seen_late_is_a_fork_all_the_same() {
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let keys = log_keys();
    let committed = recover::create(&*store, &keys, START).unwrap();
    let newer = |size| keys.sign(Tree { size, root: tlog::Hash::digest(b"other") }, START).unwrap().signed;
    let (tell, told) = channel();
    let line = TestWitness::new("slow", 1, &Arc::new(ManualClock::new(START))).line();
    let mut witnesses = Witnesses::new(vec![(vec![line], Box::new(Slow(told)) as Box<dyn Endpoint>)]);
    let larger = newer(9);
    let subject = Arc::new(Subject { store, keys: Arc::new(log_keys()), committed });
    witnesses.begin();
    assert!(witnesses.ask(Question::Newest, &subject, &|_| true));
    assert!(witnesses.next(Duration::from_millis(1)).is_none(), "no answer in time");
    witnesses.begin();
    tell.send(larger.clone()).unwrap();
    let (_, _, report) = witnesses.next(Duration::from_secs(30)).expect("the late answer");
    assert_eq!(report, Report::Contradicts(Box::new(larger)));
}

/// Needs half a minute for each cosignature, by the test's clock.
struct Slowly(TestWitness, Arc<ManualClock>);

impl Endpoint for Slowly {
    fn newest(&mut self, origin: &str) -> Result<Option<SignedCheckpoint>, Fault> {
        self.0.newest(origin)
    }
    fn add_checkpoint(&mut self, request: &AddCheckpoint) -> Result<AddAnswer, Fault> {
        if self.0.state().mood == Mood::Good {
            self.1.pass(30);
        }
        self.0.add_checkpoint(request)
    }
}

#[test]
fn cosignatures_that_grow_old_while_others_are_awaited_do_not_count() {
    let mut world = World::new(Arc::new(Memory::new()));
    world.witnesses.truncate(2);
    let committed = world.open().unwrap().sequencer.ledger().committed().clone();
    let subject = Arc::new(Subject { store: world.store.clone(), keys: Arc::new(log_keys()), committed });
    let (quick, slow) = (world.witnesses[0].clone(), world.witnesses[1].clone());
    let endpoints: Vec<(_, Box<dyn Endpoint>)> =
        vec![(vec![quick.line()], Box::new(quick.clone())), (vec![slow.line()], Box::new(Slowly(slow.clone(), world.clock.clone())))];
    let mut quorum = Quorum::new(world.policy(), Witnesses::new(endpoints), Duration::from_secs(10), Duration::from_millis(20));
    let mut gather = || quorum.gather(&subject, &*world.clock, false);
    slow.set(Mood::Away);
    assert!(matches!(gather(), Gathered::TooFew(_)));
    world.clock.pass(40);
    slow.set(Mood::Good);
    assert!(matches!(gather(), Gathered::TooFew(_)), "the first one is seventy seconds old by now");
    assert!(matches!(gather(), Gathered::Enough(lines) if lines.len() == 2), "it was asked for again");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_write_nothing_is_taken() {
    let served = Served::start(false).await;
    let stage = served.log_dir().join("state/stage");
    std::fs::remove_dir(&stage).unwrap();
    std::fs::write(&stage, "in the way").unwrap();
    let post = async |name: &str| {
        let leaf = sign(&warning(1, None, name), &security());
        reqwest::Client::new().post(served.path("entries")).body(leaf).send().await.unwrap().status().as_u16()
    };
    assert_eq!(post("T-1").await, 503);
    std::fs::remove_file(&stage).unwrap();
    std::fs::create_dir(&stage).unwrap();
    assert_eq!(post("T-2").await, 503, "a write failed for another reason than room: only a new start goes on");
}

#[test]
fn a_clock_that_goes_back_has_the_head_cosigned_at_once() {
    let world = World::new(Arc::new(Memory::new()));
    let mut log = world.open().unwrap();
    log.add(&[b"a"]);
    let asked = || world.witnesses.iter().map(|witness| witness.state().asked).sum::<usize>();
    let before = asked();
    assert_eq!((log.settle(), asked()), (Turn::Idle, before), "nothing is due");
    world.clock.set(START - 5_000);
    assert_eq!(log.settle(), Turn::Idle);
    assert!(asked() >= before + 2, "otherwise nobody would be asked for hours");
}

#[tokio::test]
async fn a_log_without_its_own_files_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    init::init(dir.path(), "example.com/files", true, &SystemClock).unwrap();
    for (file, hint) in
        [("log.toml", "specs/log.md"), ("keys/ed25519", "restore the key files"), ("keys/ml-dsa-44", "restore the key files")]
    {
        let path = dir.path().join(file);
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, "nonsense\n").unwrap();
        let config = Config::new(dir.path().to_owned(), "127.0.0.1:0", Policy::parse(b"quorum none\n").unwrap());
        let refused = build(config).await.err().expect("refused");
        assert!(refused.downcast_ref::<Advice>().is_some_and(|advice| advice.hint.contains(hint)), "{file}: {refused:#}");
        std::fs::write(&path, good).unwrap();
    }
}

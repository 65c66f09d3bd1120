//! What the tests share: a log over any store, witnesses in this process that check what real ones check, and a clock.
#![allow(dead_code, reason = "each test file uses its own part of the kit")]

pub mod http_witness;
pub mod program;
pub mod served;
pub mod watched;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use client::witness::AddAnswer;
use store::Store;
use tally_log::clock::{Clock, ManualClock};
use tally_log::gate::{Gate, OpenGate};
use tally_log::keys::LogKeys;
use tally_log::ledger::Ledger;
use tally_log::metrics::Metrics;
use tally_log::pool::{Outcome, Pool};
use tally_log::quorum::Quorum;
use tally_log::recover::{self, OpenError};
use tally_log::sequencer::{Pace, Parts, Sequencer, Turn};
use tally_log::shared::Shared;
use tally_log::verify::hashes;
use tally_log::witnesses::{Endpoint, Fault, Witnesses};
use tlog::policy::WitnessLine;
use tlog::tile::BundleId;
use tlog::witness::AddCheckpoint;
use tlog::{Hash, KeyKind, KeyName, Policy, SignedCheckpoint, SigningKey, Tile, Tree, VerifierKey, bundle, cosignature, hash_leaf};
use tokio::sync::oneshot;

pub const ORIGIN: &str = "example.com/test-log";
/// 2026-01-01.
pub const START: u64 = 1_767_225_600;

pub fn signing_key(name: &str, kind: KeyKind, seed: u8) -> SigningKey {
    SigningKey::from_seed(KeyName::parse(name).unwrap(), kind, &[seed; 32]).unwrap()
}

pub fn log_keys() -> LogKeys {
    let ed25519 = signing_key(ORIGIN, KeyKind::Ed25519, 1);
    let ml_dsa = signing_key(ORIGIN, KeyKind::MlDsa44, 2);
    LogKeys::new(Box::new(ed25519), Box::new(ml_dsa)).unwrap()
}

/// How a witness behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Good,
    /// Answers nothing.
    Away,
    /// Names a size that it does not show a checkpoint of.
    Boasting,
    /// Cosigns with a key that is not its own.
    Forging,
}

pub struct WitnessState {
    pub mood: Mood,
    pub seen: Option<SignedCheckpoint>,
    /// Added to the test's clock.
    pub ahead: i64,
    pub asked: usize,
}

/// A witness made of the core's functions, with the checks of C2SP tlog-witness.
#[derive(Clone)]
pub struct TestWitness {
    pub name: String,
    key: Arc<SigningKey>,
    log: Vec<VerifierKey>,
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<WitnessState>>,
}

impl TestWitness {
    pub fn new(name: &str, seed: u8, clock: &Arc<ManualClock>) -> Self {
        Self::of_log(name, seed, clock.clone(), &log_keys().verifier_keys())
    }

    /// A witness of the log with these keys.
    pub fn of_log(name: &str, seed: u8, clock: Arc<dyn Clock>, log: &[VerifierKey]) -> Self {
        let state = WitnessState { mood: Mood::Good, seen: None, ahead: 0, asked: 0 };
        Self {
            name: name.to_owned(),
            key: Arc::new(signing_key(name, KeyKind::CosignatureV1, seed)),
            log: log.to_vec(),
            clock,
            state: Arc::new(Mutex::new(state)),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, WitnessState> {
        self.state.lock().unwrap()
    }

    pub fn set(&self, mood: Mood) {
        self.state().mood = mood;
    }

    pub fn line(&self) -> WitnessLine {
        use tlog::Signer as _;
        WitnessLine { name: self.name.clone(), key: self.key.key().clone(), url: Some(format!("http://{}", self.name)) }
    }
}

impl Endpoint for TestWitness {
    fn newest(&mut self, _: &str) -> Result<Option<SignedCheckpoint>, Fault> {
        let state = self.state();
        if state.mood == Mood::Away { Err(Fault::Silent("away".to_owned())) } else { Ok(state.seen.clone()) }
    }

    fn add_checkpoint(&mut self, request: &AddCheckpoint) -> Result<AddAnswer, Fault> {
        // What is sent must also survive the wire.
        assert_eq!(AddCheckpoint::parse(request.encode().as_bytes()).as_ref(), Ok(request));
        let mut state = self.state();
        state.asked += 1;
        match state.mood {
            Mood::Away => return Err(Fault::Silent("away".to_owned())),
            Mood::Boasting => return Ok(AddAnswer::OtherSize(1 << 40)),
            Mood::Good | Mood::Forging => {}
        }
        let signed = SignedCheckpoint::from_note(request.checkpoint.clone()).unwrap();
        signed.verify_log(&self.log).unwrap();
        let (old, new) = (state.seen.as_ref().map_or(Tree::EMPTY, SignedCheckpoint::tree), signed.tree());
        if request.old_size != old.size {
            return Ok(AddAnswer::OtherSize(old.size));
        }
        request.proof.verify(&old, &new).map_err(|error| Fault::Refused(format!("422: {error:?}")))?;
        let time = self.clock.now().saturating_add_signed(state.ahead);
        state.seen = Some(signed.clone());
        let other = signing_key(&self.name, KeyKind::CosignatureV1, 99);
        let key = if state.mood == Mood::Forging { &other } else { &*self.key };
        let mut line = cosignature::cosign(key, &signed.checkpoint, time).unwrap();
        line.id = tlog::Signer::key(&*self.key).id();
        Ok(AddAnswer::Cosigned(vec![line]))
    }
}

/// A log that a test turns by hand.
pub struct TestLog<G: Gate<Meta = ()> = OpenGate> {
    pub sequencer: Sequencer<G>,
    pub pool: Arc<Pool<()>>,
    pub shared: Arc<Shared>,
}

/// What stays when a log's process ends: its store, its witnesses, the time.
#[derive(Clone)]
pub struct World {
    pub store: Arc<dyn Store>,
    pub witnesses: Vec<TestWitness>,
    pub clock: Arc<ManualClock>,
    pub quorum: usize,
    pub queue_bytes: usize,
}

impl World {
    /// A new log with three witnesses, of whom two must cosign.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let witnesses = (0..3_u8).map(|n| TestWitness::new(&format!("witness-{n}"), 10 + n, &clock)).collect();
        recover::create(&*store, &log_keys(), clock.now()).unwrap();
        Self { store, witnesses, clock, quorum: 2, queue_bytes: 10 << 20 }
    }

    pub fn policy(&self) -> Policy {
        let mut text = String::new();
        for witness in &self.witnesses {
            let line = witness.line();
            text += &format!("witness {} {} {}\n", line.name, line.key.encode(), line.url.unwrap());
        }
        let names: Vec<_> = self.witnesses.iter().map(|witness| witness.name.clone()).collect();
        match self.quorum {
            0 => text += "quorum none\n",
            k => text += &format!("group g {k} {}\nquorum g\n", names.join(" ")),
        }
        Policy::parse(text.as_bytes()).unwrap()
    }

    pub fn open(&self) -> Result<TestLog, OpenError> {
        self.open_over(self.store.clone())
    }

    /// Opens the log as a new process would, over another store than the world's if it is to fail.
    pub fn open_over(&self, store: Arc<dyn Store>) -> Result<TestLog, OpenError> {
        self.open_behind(store, OpenGate)
    }

    /// The same with another gate.
    pub fn open_behind<G: Gate<Meta = ()>>(&self, store: Arc<dyn Store>, gate: G) -> Result<TestLog<G>, OpenError> {
        let ledger = Ledger::open(store, Arc::new(log_keys()))?;
        let endpoints = self.witnesses.iter().map(|witness| {
            let endpoint: Box<dyn Endpoint> = Box::new(witness.clone());
            (vec![witness.line()], endpoint)
        });
        let witnesses = Witnesses::new(endpoints.collect());
        let quorum = Quorum::new(self.policy(), witnesses, Duration::from_secs(10), Duration::from_millis(20));
        let (pool, shared) = (Arc::new(Pool::new(self.queue_bytes)), Arc::new(Shared::default()));
        let pace = Pace { interval: Duration::ZERO, batch_bytes: 1 << 20, batch_entries: 1000, republish_seconds: 600 };
        let parts = Parts {
            ledger,
            quorum,
            pool: pool.clone(),
            gate,
            shared: shared.clone(),
            clock: self.clock.clone(),
            metrics: Arc::new(Metrics::default()),
            pace,
        };
        Ok(TestLog { sequencer: Sequencer::new(parts), pool, shared })
    }

    pub fn away(&self, count: usize) {
        for (n, witness) in self.witnesses.iter().enumerate() {
            witness.set(if n < count { Mood::Away } else { Mood::Good });
        }
    }
}

impl<G: Gate<Meta = ()>> TestLog<G> {
    pub fn submit(&self, leaf: &[u8]) -> oneshot::Receiver<Outcome> {
        self.pool.submit(None, leaf.to_vec(), ()).unwrap()
    }

    /// Turns until there is nothing more to do now, and says why there is not.
    pub fn settle(&mut self) -> Turn {
        for _ in 0..100 {
            match self.sequencer.turn() {
                Turn::Worked => {}
                other => return other,
            }
        }
        panic!("the sequencer never comes to rest");
    }

    /// Adds entries and expects them to be published.
    pub fn add(&mut self, leaves: &[&[u8]]) -> Vec<u64> {
        let receivers: Vec<_> = leaves.iter().map(|leaf| self.submit(leaf)).collect();
        assert_eq!(self.settle(), Turn::Idle, "{:?}", self.shared.status());
        receivers.into_iter().map(|receiver| index(receiver).expect("an answer")).collect()
    }

    pub fn committed(&self) -> Tree {
        self.sequencer.ledger().committed().tree()
    }

    pub fn published(&self) -> Option<Tree> {
        self.shared.view().map(|view| view.tree)
    }
}

/// The index that an entry was given, if it was published.
pub fn index(mut receiver: oneshot::Receiver<Outcome>) -> Option<u64> {
    match receiver.try_recv() {
        Ok(Outcome::Logged { index, .. }) => Some(index),
        _ => None,
    }
}

/// Waits, at most a minute, until it is done.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads every entry of the published tree from the store, recomputing all tiles; panics where anything is wrong.
pub fn entries(store: &dyn Store) -> (Tree, Vec<Vec<u8>>) {
    let note = store.get("public/checkpoint").unwrap().expect("a published checkpoint");
    let published = log_keys().open(&note).unwrap();
    let tree = published.tree();
    let mut entries: Vec<Vec<u8>> = Vec::new();
    while (entries.len() as u64) < tree.size {
        let id = BundleId::holding(entries.len() as u64, tree.size).unwrap();
        let bytes = store.get(&format!("public/{}", id.path())).unwrap().expect("a bundle");
        entries.extend(bundle::parse(&bytes, id.width()).unwrap().into_iter().map(<[u8]>::to_vec));
    }
    let leaves: Vec<Hash> = entries.iter().map(|entry| hash_leaf(entry)).collect();
    assert_eq!(Tree::of(&leaves), tree);
    for tile in Tile::all(tree.size) {
        let bytes = store.get(&format!("public/{}", tile.path())).unwrap().unwrap_or_else(|| panic!("no {}", tile.path()));
        let span = 256_usize.pow(u32::from(tile.level()));
        for (n, hash) in hashes(&bytes).iter().enumerate() {
            let from = (usize::try_from(tile.index()).unwrap() * 256 + n) * span;
            assert_eq!(*hash, Tree::of(&leaves[from..from + span]).root, "{} item {n}", tile.path());
        }
    }
    (tree, entries)
}

//! A process that ends at any store call, a disk that loses an answer, and requests that race: at no time are there two signatures
//! that no single history explains, and nothing is signed that a restart could forget.

mod support;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use store::{Directory, Faulty, Memory, Store, When};
use support::{NAME, ORIGIN, TestClock, TestLog, add, advance};
use tally_witness::{Failure, Known, Refusal, Signers, Witness};
use tlog::key::SignError;
use tlog::{ConsistencyProof, KeyKind, Signer, SigningKey, Tree, VerifierKey};

/// What was signed over all lives of a witness, and whether the state said so each time before.
#[derive(Default)]
struct Signed {
    trees: Mutex<Vec<Tree>>,
}

/// Signs only after it has seen that the store, without any faults, holds exactly what is being signed.
struct Watchful {
    key: SigningKey,
    store: Arc<dyn Store>,
    record: String,
    signed: Arc<Signed>,
}

impl Signer for Watchful {
    fn key(&self) -> &VerifierKey {
        self.key.key()
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let record = self.store.get(&self.record).unwrap().expect("signed before the state was kept");
        let known = Known::parse(&record).unwrap();
        let expected = format!("cosignature/v1\ntime {}\n{}", known.time, known.signed.checkpoint.encode());
        if self.key().kind() == KeyKind::CosignatureV1 {
            assert_eq!(String::from_utf8_lossy(message), expected, "signed something else than the state says");
        }
        self.signed.trees.lock().unwrap().push(known.tree());
        self.key.sign(message)
    }
}

fn watchful(kept: &Arc<dyn Store>, log: &TestLog, signed: &Arc<Signed>) -> Signers {
    let signer = |kind, seed| {
        let record = format!("state/{}/known", log.id());
        Box::new(Watchful { key: support::key(NAME, kind, seed), store: Arc::clone(kept), record, signed: Arc::clone(signed) })
    };
    Signers { cosignature: signer(KeyKind::CosignatureV1, 100), subtree: signer(KeyKind::MlDsa44, 101) }
}

/// Honest growth, and at every step a log that tries to have its fork signed as well.
async fn life(witness: &Arc<Witness>, log: &TestLog, fork: &TestLog) -> Vec<(Tree, String)> {
    let mut answers = Vec::new();
    for (from, old, new) in [(log, 0, 5), (fork, 0, 5), (log, 5, 8), (fork, 5, 8), (fork, 0, 9), (log, 8, 8), (log, 8, 20), (fork, 8, 20)] {
        if let Ok(answer) = advance(witness, &from.request(old, new)).await {
            answers.push((from.checkpoint(new).tree, answer));
        }
    }
    answers
}

/// The same, from whatever size the state has; at most one of the two views can go on.
async fn later_life(witness: &Arc<Witness>, log: &TestLog, fork: &TestLog) -> Vec<(Tree, String)> {
    let mut answers = Vec::new();
    for from in [fork, log, fork] {
        for (old, new) in [(0, 5), (5, 8), (5, 20), (8, 20), (20, 30)] {
            if let Ok(answer) = advance(witness, &from.request(old, new)).await {
                answers.push((from.checkpoint(new).tree, answer));
            }
        }
    }
    answers
}

fn one_history(trees: &[Tree], log: &TestLog, fork: &TestLog) {
    let all_of = |view: &TestLog| trees.iter().all(|tree| *tree == Tree::of(&view.leaves[..tree.size as usize]));
    assert!(all_of(log) || all_of(fork), "two histories were signed: {trees:?}");
}

async fn every_call_fails(mut make: impl FnMut() -> Arc<dyn Store>) -> u64 {
    let (log, fork) = (TestLog::new(ORIGIN), TestLog::forked(ORIGIN, 2));
    for call in 0.. {
        let mut reached = false;
        for when in [When::Before, When::After] {
            let kept = make();
            let signed = Arc::new(Signed::default());
            let faulty = Arc::new(Faulty::new(Arc::clone(&kept), call, when));
            let clock = TestClock::new();
            let first = Witness::new(watchful(&kept, &log, &signed), support::logs(&[&log]), faulty.clone(), clock.clock(), None);
            let mut answers = match &first {
                Ok(witness) => life(witness, &log, &fork).await,
                Err(_) => Vec::new(),
            };
            drop(first);
            reached |= faulty.has_failed();
            let second = Witness::new(watchful(&kept, &log, &signed), support::logs(&[&log]), Arc::clone(&kept), clock.clock(), None);
            answers.extend(later_life(&second.unwrap(), &log, &fork).await);
            one_history(&signed.trees.lock().unwrap(), &log, &fork);
            // An answer is nothing but signatures that were watched.
            assert!(answers.iter().all(|(tree, _)| signed.trees.lock().unwrap().contains(tree)));
            assert!(!answers.is_empty(), "after a restart on a good disk the witness goes on");
        }
        if !reached {
            return call;
        }
    }
    unreachable!("the loop ends when no call fails");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_every_call_in_memory() {
    let calls = every_call_fails(|| Arc::new(Memory::new())).await;
    println!("{calls} store calls, each failing before and after it took effect");
    assert!(calls >= 12, "{calls}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_every_call_in_a_directory() {
    let mut dirs = Vec::new();
    let calls = every_call_fails(|| {
        let dir = tempfile::tempdir().unwrap();
        let store = Directory::open(dir.path()).unwrap();
        dirs.push(dir);
        Arc::new(store)
    })
    .await;
    assert!(calls >= 12, "{calls}");
}

/// A store whose calls fail as a plan says, by their number, and which goes on afterwards as if nothing had been.
struct Planned {
    inner: Arc<Memory>,
    calls: AtomicU64,
    plan: Box<dyn Fn(u64, bool) -> Option<When> + Send + Sync>,
}

impl Planned {
    fn new(plan: impl Fn(u64, bool) -> Option<When> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { inner: Arc::new(Memory::new()), calls: AtomicU64::new(0), plan: Box::new(plan) })
    }

    fn call<T>(&self, writes: bool, effect: impl FnOnce(&Memory) -> io::Result<T>) -> io::Result<T> {
        let failing = (self.plan)(self.calls.fetch_add(1, Ordering::SeqCst), writes);
        let done = if failing == Some(When::Before) { None } else { Some(effect(&self.inner)) };
        done.filter(|_| failing.is_none()).unwrap_or_else(|| Err(io::ErrorKind::StorageFull.into()))
    }
}

impl Store for Planned {
    fn get(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        self.call(false, |store| store.get(key))
    }
    fn put(&self, key: &str, value: &[u8]) -> io::Result<()> {
        self.call(true, |store| store.put(key, value))
    }
    fn put_all(&self, objects: &[(String, Vec<u8>)]) -> io::Result<()> {
        self.call(true, |store| store.put_all(objects))
    }
    fn swap(&self, key: &str, old: Option<&[u8]>, new: &[u8]) -> io::Result<store::Swap> {
        self.call(true, |store| store.swap(key, old, new))
    }
    fn rewrite(&self, key: &str) -> io::Result<()> {
        self.call(true, |store| store.rewrite(key))
    }
    fn discard(&self, key: &str) -> io::Result<()> {
        self.call(true, |store| store.discard(key))
    }
    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        self.call(false, |store| store.list(prefix))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failed_call_is_got_over_without_a_restart() {
    let (log, fork) = (TestLog::new(ORIGIN), TestLog::forked(ORIGIN, 2));
    for call in 3..60 {
        for when in [When::Before, When::After] {
            let store = Planned::new(move |number, _| (number == call).then_some(when));
            let (kept, signed): (Arc<dyn Store>, _) = (store.inner.clone(), Arc::new(Signed::default()));
            let signers = watchful(&kept, &log, &signed);
            let witness = Witness::new(signers, support::logs(&[&log]), store, TestClock::new().clock(), None).unwrap();
            life(&witness, &log, &fork).await;
            let mut again = later_life(&witness, &log, &fork).await;
            if again.is_empty() {
                // The one step that was left met the failure: the next try, or asking for what it had kept, must work.
                again = later_life(&witness, &log, &fork).await;
                for from in [&log, &fork] {
                    again.extend(advance(&witness, &from.request(30, 30)).await.map(|answer| (from.checkpoint(30).tree, answer)));
                }
            }
            one_history(&signed.trees.lock().unwrap(), &log, &fork);
            assert!(!again.is_empty(), "call {call} {when:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_signs_nothing_and_goes_on_when_there_is_room() {
    let log = TestLog::new(ORIGIN);
    let is_full = Arc::new(AtomicBool::new(false));
    let full = Arc::clone(&is_full);
    let store = Planned::new(move |_, writes| (writes && full.load(Ordering::SeqCst)).then_some(When::Before));
    let witness = support::open(&[&log], store).unwrap();
    advance(&witness, &log.request(0, 5)).await.unwrap();
    is_full.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(advance(&witness, &log.request(5, 8)).await, Err(Failure::NotSaved));
    }
    is_full.store(false, Ordering::SeqCst);
    assert_eq!(advance(&witness, &log.request(4, 8)).await, Err(Failure::Refused(Refusal::Stale { size: 5 })));
    advance(&witness, &log.request(5, 8)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_somebody_else_changed_is_read_again() {
    let log = TestLog::new(ORIGIN);
    let store = Arc::new(Memory::new());
    let (first, second) = (support::open(&[&log], store.clone()).unwrap(), support::open(&[&log], store).unwrap());
    advance(&first, &log.request(0, 5)).await.unwrap();
    assert_eq!(advance(&second, &log.request(0, 7)).await, Err(Failure::NotSaved));
    assert_eq!(advance(&second, &log.request(0, 7)).await, Err(Failure::Refused(Refusal::Stale { size: 5 })));
    advance(&second, &log.request(5, 7)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_requests_from_one_size_have_one_winner() {
    let (log, fork) = (TestLog::new(ORIGIN), TestLog::forked(ORIGIN, 6));
    for round in 0..20 {
        let witness = support::open(&[&log], Arc::new(Memory::new())).unwrap();
        advance(&witness, &log.request(0, 5)).await.unwrap();
        let mut racing = tokio::task::JoinSet::new();
        for (from, new) in [(&log, 8), (&fork, 8), (&log, 9), (&fork, 9), (&log, 10), (&fork, 11)] {
            let (witness, body) = (Arc::clone(&witness), from.request(5, new));
            racing.spawn(async move { advance(&witness, &body).await });
        }
        let results = racing.join_all().await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "round {round}: {results:?}");
        let lost = |result: &Result<String, Failure>| matches!(result, Err(Failure::Refused(Refusal::Stale { size: 8..=11 })));
        assert_eq!(results.iter().filter(|result| lost(result)).count(), 5, "round {round}: {results:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_first_contacts_have_one_winner() {
    let (log, fork) = (TestLog::new(ORIGIN), TestLog::forked(ORIGIN, 0));
    for _ in 0..20 {
        let witness = support::open(&[&log], Arc::new(Memory::new())).unwrap();
        let mut racing = tokio::task::JoinSet::new();
        for from in [&log, &fork] {
            let (witness, body) = (Arc::clone(&witness), from.request(0, 5));
            racing.spawn(async move { advance(&witness, &body).await });
        }
        assert_eq!(racing.join_all().await.iter().filter(|result| result.is_ok()).count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_do_not_wait_for_each_other() {
    let logs: Vec<_> = (0..20).map(|number| TestLog::new(&format!("example.org/log{number}"))).collect();
    let witness = support::open(&logs.iter().collect::<Vec<_>>(), Arc::new(Memory::new())).unwrap();
    let mut racing = tokio::task::JoinSet::new();
    for log in &logs {
        let (witness, first, second) = (Arc::clone(&witness), log.request(0, 5), log.request(5, 9));
        racing.spawn(async move { advance(&witness, &first).await.and(advance(&witness, &second).await) });
    }
    assert!(racing.join_all().await.iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_that_fails_leaves_a_state_that_allows_the_same_again() {
    struct Broken(SigningKey);
    impl Signer for Broken {
        fn key(&self) -> &VerifierKey {
            self.0.key()
        }
        fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignError> {
            Err(SignError)
        }
    }
    let (log, store, clock) = (TestLog::new(ORIGIN), Arc::new(Memory::new()), TestClock::new());
    let signers = Signers { subtree: Box::new(Broken(support::key(NAME, KeyKind::MlDsa44, 101))), ..support::signers() };
    let witness = Witness::new(signers, support::logs(&[&log]), store.clone(), clock.clock(), None).unwrap();
    assert_eq!(advance(&witness, &log.request(0, 5)).await, Err(Failure::NotSigned));
    let repaired = support::open(&[&log], store).unwrap();
    advance(&repaired, &add(5, ConsistencyProof(Vec::new()), log.signed(5).note)).await.unwrap();
}

//! A state that is older than what the witness has signed: found, refused, kept in mind, and ended by the operator alone.

mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use store::{Memory, Store};
use support::{NOW, ORIGIN, Running, TestClock, TestLog, add, own, with_answer};
use tally_witness::accept::accept;
use tally_witness::{Hold, Logs, Witness, ask};
use tlog::{ConsistencyProof, KeyKind, SignedCheckpoint};

/// A store in the state of size 5, and the checkpoint of size 9 that was cosigned after that copy was taken.
async fn restored(log: &TestLog) -> (Arc<Memory>, SignedCheckpoint) {
    let store = Arc::new(Memory::new());
    let witness = support::open(&[log], store.clone()).unwrap();
    support::advance(&witness, &log.request(0, 5)).await.unwrap();
    let copy = copy(&store);
    let answer = support::advance(&witness, &log.request(5, 9)).await.unwrap();
    (copy, with_answer(&log.signed(9), &answer))
}

fn copy(store: &Memory) -> Arc<Memory> {
    let copy = Memory::new();
    for key in store.list("").unwrap() {
        copy.put(&key, &store.get(&key).unwrap().unwrap()).unwrap();
    }
    Arc::new(copy)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_cosignature_that_the_state_does_not_know_stops_the_log() {
    let log = TestLog::new(ORIGIN);
    let fork = TestLog::forked(ORIGIN, 6);
    let (store, own_signed) = restored(&log).await;
    let server = Running::start(support::open(&[&log], store.clone()).unwrap()).await;
    // Whatever old size the request names: what it carries proves enough.
    let reply = server.post("/add-checkpoint", add(7, ConsistencyProof(Vec::new()), own_signed.note.clone())).await;
    assert_eq!((reply.status, reply.retry_after), (503, None));
    assert!(reply.body.contains("cosignature of size 9"), "{}", reply.body);
    for body in [log.request(5, 9), fork.request(5, 9), log.request(5, 5), fork.request(5, 12)] {
        assert_eq!(server.post("/add-checkpoint", body).await.status, 503);
    }
    let health = server.get("/healthz").await;
    assert_eq!(health.status, 503);
    assert!(health.body.contains(&format!("refusing {ORIGIN}: ")), "{}", health.body);
    assert!(server.get("/metrics").await.body.contains("tally_witness_held{origin=\"example.org/log\"} 1"));
    server.stop().await;

    // A restart does not forget it.
    let server = Running::start(support::open(&[&log], store.clone()).unwrap()).await;
    assert_eq!(server.post("/add-checkpoint", fork.request(5, 9)).await.status, 503);
    server.stop().await;

    // The operator's word ends it, at the newest own cosignature.
    let logs = support::logs(&[&log]);
    let known = accept(store.clone(), &logs.0[ORIGIN], &own(), &[], NOW).unwrap().unwrap();
    assert_eq!(known.tree(), log.checkpoint(9).tree);
    let server = Running::start(support::open(&[&log], store).unwrap()).await;
    assert_eq!(server.get("/healthz").await.status, 200);
    assert_eq!(server.post("/add-checkpoint", fork.request(5, 9)).await.status, 409);
    assert_eq!(server.post("/add-checkpoint", fork.request(9, 12)).await.status, 422);
    assert_eq!(server.post("/add-checkpoint", log.request(9, 12)).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_state_is_an_older_one() {
    let log = TestLog::new(ORIGIN);
    let (_, own_signed) = restored(&log).await;
    let server = Running::start(support::open(&[&log], Arc::new(Memory::new())).unwrap()).await;
    assert_eq!(server.post("/add-checkpoint", add(0, ConsistencyProof(Vec::new()), own_signed.note)).await.status, 503);
    assert_eq!(server.post("/add-checkpoint", log.request(0, 9)).await.status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_own_line_of_either_kind_is_enough() {
    let log = TestLog::new(ORIGIN);
    for key in own() {
        let (store, mut own_signed) = restored(&log).await;
        own_signed.note.lines.retain(|line| line.is_by(&key) || log.keys().iter().any(|key| line.is_by(key)));
        let server = Running::start(support::open(&[&log], store).unwrap()).await;
        assert_eq!(server.post("/add-checkpoint", add(5, log.proof(5, 9), own_signed.note)).await.status, 503);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_tree_signed_later_proves_it_too() {
    let (log, clock, store) = (TestLog::new(ORIGIN), TestClock::new(), Arc::new(Memory::new()));
    let witness = support::opened(&[&log], store.clone(), &clock, None);
    let first = support::advance(&witness, &log.request(0, 5)).await.unwrap();
    let old = copy(&store);
    clock.set(NOW + 1000);
    let later = support::advance(&witness, &log.request(5, 5)).await.unwrap();
    // Its own older line is what clients send when they ask for a fresh one.
    let server = Running::start(support::opened(&[&log], copy(&old), &clock, None)).await;
    let known = with_answer(&log.signed(5), &first);
    assert_eq!(server.post("/add-checkpoint", add(5, ConsistencyProof(Vec::new()), known.note)).await.status, 200);
    let server = Running::start(support::opened(&[&log], old, &clock, None)).await;
    let unknown = with_answer(&log.signed(5), &later);
    assert_eq!(server.post("/add-checkpoint", add(5, ConsistencyProof(Vec::new()), unknown.note)).await.status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn older_and_forged_lines_hold_nothing() {
    let log = TestLog::new(ORIGIN);
    let (store, own_signed) = restored(&log).await;
    let server = Running::start(support::open(&[&log], store).unwrap()).await;
    let mut forged = own_signed.clone();
    let own_line = |line: &tlog::SignatureLine| own().iter().any(|key| line.is_by(key));
    for line in forged.note.lines.iter_mut().filter(|line| own_line(line)) {
        *line.signature.last_mut().unwrap() ^= 1;
    }
    assert_eq!(server.post("/add-checkpoint", add(5, log.proof(5, 9), forged.note)).await.status, 200);
    assert_eq!(server.post("/add-checkpoint", add(9, log.proof(9, 9), own_signed.note)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_is_held_and_never_taken_for_absent() {
    let log = TestLog::new(ORIGIN);
    let (store, own_signed) = restored(&log).await;
    let key = format!("state/{}/known", log.id());
    let record = store.get(&key).unwrap().unwrap();
    let logs = support::logs(&[&log]);
    for position in (0..record.len()).step_by(97) {
        let mut damaged = record.clone();
        damaged[position] ^= 4;
        let store: Arc<dyn Store> = Arc::new(Memory::new());
        store.put(&key, &damaged).unwrap();
        let server = Running::start(support::open(&[&log], Arc::clone(&store)).unwrap()).await;
        for body in [log.request(0, 5), log.request(5, 9)] {
            assert_eq!(server.post("/add-checkpoint", body).await.status, 503, "flipped at {position}");
        }
        assert_eq!(server.get(&format!("/{}/checkpoint", log.id())).await.status, 503);
        server.stop().await;
        assert!(accept(Arc::clone(&store), &logs.0[ORIGIN], &own(), &[], NOW).is_err(), "nothing to accept");
    }
    // With the newest own cosignature at hand the operator can go on.
    store.swap(&key, Some(&record), b"damaged").unwrap();
    let known = accept(store.clone(), &logs.0[ORIGIN], &own(), &[own_signed], NOW).unwrap().unwrap();
    assert_eq!(known.tree().size, 9);
    let witness = support::open(&[&log], store).unwrap();
    support::advance(&witness, &log.request(9, 12)).await.unwrap();
}

/// After a failed fsync the page cache may show bytes that the disk never had, and syncing the old file again proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_start_reads_it_writes_to_a_new_inode() {
    use std::os::unix::fs::MetadataExt as _;
    let (log, dir) = (TestLog::new(support::ORIGIN), tempfile::tempdir().unwrap());
    let open = || support::opened(&[&log], Arc::new(store::Directory::open(dir.path()).unwrap()), &support::TestClock::new(), None);
    support::advance(&open(), &log.request(0, 5)).await.unwrap();
    let inode = || std::fs::metadata(dir.path().join("state").join(log.id()).join("known")).unwrap().ino();
    let before = inode();
    let _again = open();
    assert_ne!(inode(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn accepting_wants_this_logs_checkpoints_with_own_lines() {
    let (log, fork, other) = (TestLog::new(ORIGIN), TestLog::forked(ORIGIN, 2), TestLog::new("example.org/other"));
    let (store, own_signed) = restored(&log).await;
    let logs = support::logs(&[&log]);
    let refused = |shown: SignedCheckpoint| accept(store.clone(), &logs.0[ORIGIN], &own(), &[shown], NOW).unwrap_err().to_string();
    assert!(refused(log.signed(9)).contains("no cosignature of this witness"));
    assert!(refused(other.signed(9)).contains("not one of example.org/log"));
    // Two own cosignatures of one size with two roots: this witness is finished.
    let elsewhere = support::open(&[&log], Arc::new(Memory::new())).unwrap();
    let answer = support::advance(&elsewhere, &fork.request(0, 5)).await.unwrap();
    assert!(refused(with_answer(&fork.signed(5), &answer)).contains("two trees"));
    // A time far ahead would make every later one a lie.
    let early = accept(store.clone(), &logs.0[ORIGIN], &own(), &[own_signed], NOW - 1000).unwrap_err();
    assert!(early.to_string().contains("clock"));
}

/// A server that shows one text as a log's checkpoint; `None`: not found.
async fn log_address(shown: Option<String>) -> String {
    let checkpoint = move || {
        let shown = shown.clone();
        async move { shown.ok_or(StatusCode::NOT_FOUND) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/checkpoint", get(checkpoint))).await });
    url
}

fn with_urls(log: &TestLog, urls: &[String], store: Arc<Memory>) -> Arc<Witness> {
    let list = Logs::parse(format!("logs/v0\n{}", log.block(urls)).as_bytes()).unwrap();
    Witness::new(support::signers(), list, store, TestClock::new().clock(), None).unwrap()
}

async fn asked(witness: &Arc<Witness>) {
    tokio::time::timeout(Duration::from_secs(30), ask::ask_all(Arc::clone(witness))).await.expect("every address answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logs_address_is_asked_before_the_first_signature() {
    let log = TestLog::new(ORIGIN);
    let (store, own_signed) = restored(&log).await;
    let url = log_address(Some(own_signed.encode())).await;
    let server = Running::start(with_urls(&log, &[url], store.clone())).await;
    let unasked = server.post("/add-checkpoint", log.request(5, 9)).await;
    assert_eq!((unasked.status, unasked.retry_after.as_deref()), (503, Some("5")));
    asked(&server.witness).await;
    let held = server.post("/add-checkpoint", log.request(5, 9)).await;
    assert_eq!((held.status, held.retry_after), (503, None), "{}", held.body);
    assert!(store.get(&format!("state/{}/hold", log.id())).unwrap().is_some(), "kept for the next start");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_knows_nothing_newer_frees_the_log() {
    let log = TestLog::new(ORIGIN);
    let (_, own_signed) = restored(&log).await;
    for shown in [None, Some(log.signed(3).encode()), Some(log.signed(50).encode()), Some(own_signed.encode())] {
        let store = Arc::new(Memory::new());
        let witness = support::open(&[&log], store.clone()).unwrap();
        support::advance(&witness, &log.request(0, 9)).await.unwrap();
        let witness = with_urls(&log, &[log_address(shown).await], store);
        asked(&witness).await;
        support::advance(&witness, &log.request(9, 12)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_address_is_asked_and_only_the_logs_word_counts() {
    let log = TestLog::new(ORIGIN);
    let (store, own_signed) = restored(&log).await;
    let stranger = TestLog { signers: vec![support::key(ORIGIN, KeyKind::Ed25519, 99)], ..TestLog::new(ORIGIN) };
    let urls = [
        log_address(Some("garbage".to_owned())).await,
        log_address(Some(stranger.signed(3).encode())).await,
        log_address(Some(log.signed(3).encode())).await,
        log_address(Some(own_signed.encode())).await,
    ];
    let witness = with_urls(&log, &urls[..2], store.clone());
    assert!(tokio::time::timeout(Duration::from_secs(3), ask::ask_all(Arc::clone(&witness))).await.is_err(), "no answer of the log");
    assert!(support::advance(&witness, &log.request(5, 9)).await.is_err());
    // One address hides the newer cosignature, another one shows it.
    let witness = with_urls(&log, &urls[2..], store);
    asked(&witness).await;
    assert!(support::advance(&witness, &log.request(5, 9)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_directory_signs_nothing() {
    let log = TestLog::new(ORIGIN);
    let (store, _) = restored(&log).await;
    let server = Running::start(support::opened(&[&log], store, &TestClock::new(), Some(&Hold::Moved))).await;
    let reply = server.post("/add-checkpoint", log.request(5, 9)).await;
    assert_eq!((reply.status, reply.retry_after), (503, None));
    assert_eq!(server.get("/healthz").await.status, 503);
    // What was said already can still be read.
    assert_eq!(server.get(&format!("/{}/checkpoint", log.id())).await.status, 200);
}

//! Proven split views are kept and shown; anything less is not.

mod support;

use std::sync::Arc;

use store::Memory;
use support::{ORIGIN, Running, TestLog, add};
use tlog::ConsistencyProof;
use tlog::evidence::Evidence;

async fn at_size(log: &TestLog, size: usize) -> (Running, Arc<Memory>) {
    let store = Arc::new(Memory::new());
    let server = Running::start(support::open(&[log], store.clone()).unwrap()).await;
    assert_eq!(server.post("/add-checkpoint", log.request(0, size)).await.status, 200);
    (server, store)
}

async fn names(server: &Running, log: &TestLog) -> Vec<String> {
    let reply = server.get(&format!("/{}/evidence", log.id())).await;
    assert_eq!(reply.status, 200);
    reply.body.lines().map(str::to_owned).collect()
}

/// The file convicts with nothing but the log's keys.
async fn convicts(server: &Running, log: &TestLog, name: &str) -> Evidence {
    let file = server.get(&format!("/{}/evidence/{name}", log.id())).await;
    assert_eq!(file.status, 200);
    let evidence = Evidence::parse(file.body.as_bytes()).unwrap();
    evidence.verify(&log.keys()).unwrap();
    evidence
}

#[tokio::test(flavor = "multi_thread")]
async fn two_roots_of_one_size_are_kept_whatever_the_answer() {
    let (log, fork) = (TestLog::new(ORIGIN), TestLog::forked(ORIGIN, 2));
    for (old, status) in [(5, 422), (0, 409)] {
        let (server, store) = at_size(&log, 5).await;
        assert_eq!(server.post("/add-checkpoint", fork.request(old, 5)).await.status, status);
        let kept = names(&server, &log).await;
        assert_eq!(kept.len(), 1);
        let evidence = convicts(&server, &log, &kept[0]).await;
        assert_eq!((evidence.smaller.checkpoint, evidence.larger.checkpoint), (log.checkpoint(5), fork.checkpoint(5)));
        // The same statements again are the same evidence.
        assert_eq!(server.post("/add-checkpoint", fork.request(old, 5)).await.status, status);
        assert_eq!(names(&server, &log).await, kept);
        let health = server.get("/healthz").await;
        assert_eq!(health.status, 200, "the log's guilt is not the witness's illness");
        assert!(health.body.contains(&format!("split view of {ORIGIN}")), "{}", health.body);
        assert!(server.get("/metrics").await.body.contains("tally_witness_evidence_files{origin=\"example.org/log\"} 1"));
        server.stop().await;
        let again = Running::start(support::open(&[&log], store).unwrap()).await;
        assert_eq!(names(&again, &log).await, kept);
        assert!(again.get("/healthz").await.body.contains("split view"));
        // The first view goes on.
        assert_eq!(again.post("/add-checkpoint", log.request(5, 7)).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_from_another_root_is_kept() {
    let (log, fork) = (TestLog::new(ORIGIN), TestLog::forked(ORIGIN, 2));
    let (server, _) = at_size(&log, 5).await;
    assert_eq!(server.post("/add-checkpoint", fork.request(5, 9)).await.status, 422);
    let kept = names(&server, &log).await;
    assert_eq!(kept.len(), 1);
    let evidence = convicts(&server, &log, &kept[0]).await;
    assert_eq!(evidence.divergence.unwrap().0, fork.checkpoint(5).tree.root);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_proven_is_not_kept() {
    let (log, fork) = (TestLog::new(ORIGIN), TestLog::forked(ORIGIN, 2));
    let (server, _) = at_size(&log, 8).await;
    let unproven = [
        // A failing proof shows nothing; from a power of two it does not even show the other root.
        add(8, ConsistencyProof(Vec::new()), fork.signed(12).note),
        fork.request(8, 12),
        add(8, fork.proof(7, 12), fork.signed(12).note),
        // Another size says nothing about this one.
        fork.request(0, 5),
        fork.request(5, 12),
        log.request(5, 12),
        log.request(0, 8),
    ];
    for body in unproven {
        assert_ne!(server.post("/add-checkpoint", body).await.status, 200);
    }
    // Not signed by the log.
    let stranger = TestLog { signers: TestLog::new("example.org/stranger").signers, ..TestLog::forked(ORIGIN, 2) };
    assert_eq!(server.post("/add-checkpoint", stranger.request(8, 8)).await.status, 403);
    assert_eq!(names(&server, &log).await, Vec::<String>::new());
    assert_eq!(server.get("/healthz").await.body, "ok\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_cannot_fill_the_disk_with_its_guilt() {
    let log = TestLog::new(ORIGIN);
    let (server, _) = at_size(&log, 5).await;
    let mut kept = 0;
    for number in 0..40 {
        let fork = TestLog { leaves: (0..5).map(|leaf| tlog::hash_leaf(&[number, leaf, 0xee])).collect(), ..TestLog::new(ORIGIN) };
        assert_eq!(server.post("/add-checkpoint", fork.request(5, 5)).await.status, 422);
        kept += 1;
        assert_eq!(names(&server, &log).await.len(), kept.min(16));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_logs_and_names_are_404() {
    let log = TestLog::new(ORIGIN);
    let (server, _) = at_size(&log, 5).await;
    let id = log.id();
    for path in
        [format!("/{}/evidence", "0".repeat(64)), format!("/{id}/evidence/{}", "0".repeat(64)), format!("/{id}/evidence/..%2fknown")]
    {
        assert_eq!(server.get(&path).await.status, 404, "{path}");
    }
}

//! Every refusal of `specs/witness.md` with its status, in the order of the checks, over HTTP.

mod support;

use std::sync::Arc;

use store::{Memory, Store as _};
use support::{NOW, ORIGIN, Running, TestClock, TestLog, add};
use tlog::{ConsistencyProof, SignatureLine, SignedCheckpoint, Signer as _, hash_leaf};

struct Setup {
    log: TestLog,
    clock: TestClock,
    store: Arc<Memory>,
    server: Running,
}

/// A witness that has cosigned size 5.
async fn setup() -> Setup {
    let (log, clock, store) = (TestLog::new(ORIGIN), TestClock::new(), Arc::new(Memory::new()));
    let witness = support::opened(&[&log], store.clone(), &clock, None);
    let server = Running::start(witness).await;
    assert_eq!(server.post("/add-checkpoint", log.request(0, 5)).await.status, 200);
    Setup { log, clock, store, server }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_bodies_are_400() {
    let setup = setup().await;
    let good = setup.log.request(5, 7);
    let cases = [
        String::new(),
        "old 5\n".to_owned(),
        good.replacen("old 5", "old 05", 1),
        good.replacen("old 5", "old +5", 1),
        good.replacen("old 5", "old 9223372036854775808", 1),
        good.replacen("old 5", "old  5", 1),
        good.replacen("old 5\n", "old 5\r\n", 1),
        good.replacen("old 5\n", "old 5\nAAAA\n", 1),
        good.replacen("old 5\n", &format!("old 5\n{}", format!("{}\n", hash_leaf(b"x").to_base64()).repeat(64)), 1),
        good.trim_end_matches('\n').to_owned(),
        good.replace('\u{2014}', "-"),
        format!("{good}\n"),
        "\0".repeat(100),
    ];
    for body in cases {
        let reply = setup.server.post("/add-checkpoint", body.clone()).await;
        assert_eq!(reply.status, 400, "{body:?}: {}", reply.body);
        assert_eq!(reply.body.lines().count(), 1);
    }
    let reply = setup.server.post("/add-checkpoint", vec![0xff; 1000]).await;
    assert_eq!(reply.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_signs_nothing_else() {
    let setup = setup().await;
    let good = setup.log.request(5, 7).into_bytes();
    let signatures = String::from_utf8_lossy(&good).find('\u{2014}').unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut flip = |from: usize, to: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (mut body, position) = (good.clone(), from + (state >> 33) as usize % (to - from));
        body[position] ^= 1 << (state >> 60 & 7);
        body
    };
    for _ in 0..300 {
        let reply = setup.server.post("/add-checkpoint", flip(0, signatures)).await;
        assert!([400, 403, 404, 409, 422].contains(&reply.status), "{}", reply.status);
    }
    for _ in 0..100 {
        // A line whose name or key ID changed is an unknown one, and the other line may carry the request: the statement is the same.
        let reply = setup.server.post("/add-checkpoint", flip(signatures, good.len())).await;
        match reply.status {
            200 => assert_eq!(support::times(&reply.body, &setup.log.checkpoint(7)), [NOW; 2]),
            status => assert!([400, 403, 409].contains(&status), "{status}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_origin_is_404_before_anything_else() {
    let setup = setup().await;
    let other = TestLog::new("example.org/other");
    let mut unsigned = other.signed(7).note;
    unsigned.lines.truncate(1);
    unsigned.lines[0].signature[3] ^= 1;
    assert_eq!(setup.server.post("/add-checkpoint", add(9, ConsistencyProof(Vec::new()), unsigned)).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_did_not_sign_is_403() {
    let setup = setup().await;
    let stranger = TestLog { signers: TestLog::new("example.org/stranger").signers, ..TestLog::new(ORIGIN) };
    assert_eq!(setup.server.post("/add-checkpoint", stranger.request(5, 7)).await.status, 403);
    for wrong in 0..2 {
        let mut note = setup.log.signed(7).note;
        note.lines[wrong].signature[20] ^= 1;
        let reply = setup.server.post("/add-checkpoint", add(5, setup.log.proof(5, 7), note)).await;
        assert_eq!(reply.status, 403, "a wrong signature beside a good one");
    }
    // Not a checkpoint, and signed by nobody known: who may know the log's text is checked first.
    let text = format!("{ORIGIN}\nnonsense\n");
    let note = tlog::Note { text, lines: stranger.signed(7).note.lines };
    assert_eq!(setup.server.post("/add-checkpoint", add(5, ConsistencyProof(Vec::new()), note)).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_nonsense_and_shrinking_are_400() {
    let setup = setup().await;
    let mut note = tlog::Note::unsigned(&format!("{ORIGIN}\n007\nnonsense\n")).unwrap();
    note.sign(&setup.log.signers[0]).unwrap();
    assert_eq!(setup.server.post("/add-checkpoint", add(5, ConsistencyProof(Vec::new()), note)).await.status, 400);
    let smaller = add(5, ConsistencyProof(Vec::new()), setup.log.signed(4).note);
    assert_eq!(setup.server.post("/add-checkpoint", smaller).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_old_size_is_409_with_the_stored_one() {
    let setup = setup().await;
    for (old, new) in [(0, 7), (4, 7), (6, 7), (0, 5), (0, 3)] {
        let reply = setup.server.post("/add-checkpoint", setup.log.request(old, new)).await;
        assert_eq!((reply.status, reply.body.as_str(), reply.content_type.as_str()), (409, "5\n", "text/x.tlog.size"), "{old} to {new}");
    }
    // Before any proof is looked at.
    let wrong = add(4, ConsistencyProof(vec![hash_leaf(b"x")]), setup.log.signed(7).note);
    assert_eq!(setup.server.post("/add-checkpoint", wrong).await.status, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_proofs_are_422_and_change_nothing() {
    let setup = setup().await;
    let fork = TestLog::forked(ORIGIN, 3);
    let good = setup.log.proof(5, 7);
    let mut longer = good.clone();
    longer.0.push(hash_leaf(b"x"));
    let mut shorter = good.clone();
    shorter.0.pop();
    let cases = [
        add(5, longer, setup.log.signed(7).note),
        add(5, shorter, setup.log.signed(7).note),
        add(5, ConsistencyProof(Vec::new()), setup.log.signed(7).note),
        add(5, ConsistencyProof(vec![hash_leaf(b"x")]), setup.log.signed(5).note),
        fork.request(5, 7),
        fork.request(5, 5),
        add(5, good, fork.signed(7).note),
    ];
    for body in cases {
        assert_eq!(setup.server.post("/add-checkpoint", body).await.status, 422);
    }
    assert_eq!(setup.server.post("/add-checkpoint", setup.log.request(5, 7)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_limited_and_methods_are_fixed() {
    let setup = setup().await;
    let reply = setup.server.post("/add-checkpoint", vec![b'x'; (128 << 10) + 1]).await;
    assert_eq!(reply.status, 413);
    assert_eq!(setup.server.post("/sign-subtree", vec![b'x'; (128 << 10) + 1]).await.status, 413);
    assert_eq!(setup.server.get("/add-checkpoint").await.status, 405);
    assert_eq!(setup.server.post("/metrics", "").await.status, 405);
    assert_eq!(setup.server.get("/nothing").await.status, 404);
    // A full request of unusual size passes: many unknown cosigners' lines.
    let mut note = setup.log.signed(7).note;
    let name = tlog::KeyName::parse("cosigner.example.net").unwrap();
    for number in 0..24_u8 {
        note.lines.push(tlog::SignatureLine { name: name.clone(), id: tlog::KeyId([number; 4]), signature: vec![number; 2428] });
    }
    let body = add(5, setup.log.proof(5, 7), note);
    assert!(body.len() > 64 << 10);
    assert_eq!(setup.server.post("/add-checkpoint", body).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_size_again_has_a_fresh_time() {
    let setup = setup().await;
    for (now, want) in [(NOW, NOW), (NOW + 9, NOW + 9), (NOW + 9 - 60, NOW + 9), (NOW + 10, NOW + 10)] {
        setup.clock.set(now);
        let reply = setup.server.post("/add-checkpoint", setup.log.request(5, 5)).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(support::times(&reply.body, &setup.log.checkpoint(5)), [want; 2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_cannot_be_right_is_503() {
    let setup = setup().await;
    for now in [NOW - 61, 0, 1_700_000_000] {
        setup.clock.set(now);
        let reply = setup.server.post("/add-checkpoint", setup.log.request(5, 7)).await;
        assert_eq!((reply.status, reply.retry_after.as_deref()), (503, Some("5")), "{now}");
        // What the state alone can tell is still told first.
        assert_eq!(setup.server.post("/add-checkpoint", setup.log.request(4, 7)).await.status, 409);
    }
    setup.clock.set(NOW - 60);
    let reply = setup.server.post("/add-checkpoint", setup.log.request(5, 7)).await;
    assert_eq!(support::times(&reply.body, &setup.log.checkpoint(7)), [NOW; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_checkpoint_is_shown_also_after_a_start() {
    let setup = setup().await;
    let path = format!("/{}/checkpoint", setup.log.id());
    let before = setup.server.get(&path).await;
    assert_eq!(before.status, 200);
    setup.server.stop().await;
    setup.clock.set(NOW + 500);
    let again = Running::start(support::opened(&[&setup.log], setup.store.clone(), &setup.clock, None)).await;
    let after = again.get(&path).await;
    // Nothing new was said: the times are those of the stored state.
    let signed = SignedCheckpoint::parse(after.body.as_bytes()).unwrap();
    let own_lines: String = signed.note.lines[2..].iter().map(tlog::SignatureLine::encode).collect();
    assert_eq!(support::times(&own_lines, &setup.log.checkpoint(5)), [NOW; 2]);
    assert_eq!(again.get(&format!("/{}/checkpoint", "0".repeat(64))).await.status, 404);
    assert_eq!(again.get("/nonsense/checkpoint").await.status, 404);
}

/// What nobody verified would be shown, and believed, as if the witness had.
#[tokio::test(flavor = "multi_thread")]
async fn lines_that_the_witness_cannot_verify_are_never_kept() {
    let setup = setup().await;
    let mut note = setup.log.signed(7).note;
    let stranger = support::key("stranger.example", tlog::KeyKind::Ed25519, 9);
    note.lines.push(SignatureLine::by(stranger.key(), stranger.sign(note.text.as_bytes()).unwrap()));
    let forged = |key: &tlog::VerifierKey, length| SignatureLine::by(key, vec![1; length]);
    note.lines.extend(support::own().iter().zip([72, 2428]).map(|(key, length)| forged(key, length)));
    assert_eq!(setup.server.post("/add-checkpoint", add(5, setup.log.proof(5, 7), note)).await.status, 200);
    let (logs, own) = (setup.log.keys(), support::own());
    let shown = setup.server.get(&format!("/{}/checkpoint", setup.log.id())).await.body;
    let shown = SignedCheckpoint::parse(shown.as_bytes()).unwrap();
    let by: Vec<_> = logs.iter().chain(&own).collect();
    assert_eq!(shown.note.lines.len(), by.len());
    assert!(shown.note.lines.iter().zip(&by).all(|(line, key)| line.is_by(key)), "{:?}", shown.note.lines);
    let kept = setup.store.get(&format!("state/{}/known", setup.log.id())).unwrap().unwrap();
    let kept = String::from_utf8(kept).unwrap();
    assert_eq!(kept.lines().filter(|line| line.starts_with('\u{2014}')).count(), logs.len(), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_log_without_checkpoint_is_404() {
    let (log, other) = (TestLog::new(ORIGIN), TestLog::new("example.org/other"));
    let server = Running::start(support::open(&[&log, &other], Arc::new(Memory::new())).unwrap()).await;
    assert_eq!(server.post("/add-checkpoint", log.request(0, 5)).await.status, 200);
    assert_eq!(server.get(&format!("/{}/checkpoint", other.id())).await.status, 404);
    let health = server.get("/healthz").await;
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
    let metrics = server.get("/metrics").await.body;
    assert!(metrics.contains("tally_witness_answers_total{call=\"add-checkpoint\",status=\"200\"} 1"), "{metrics}");
    assert!(metrics.contains("tally_witness_size{origin=\"example.org/log\"} 5"), "{metrics}");
}

#[test]
fn a_log_key_of_the_witness_itself_is_refused() {
    let log = TestLog { signers: vec![support::key(ORIGIN, tlog::KeyKind::MlDsa44, 101)], ..TestLog::new(ORIGIN) };
    assert!(support::open(&[&log], Arc::new(Memory::new())).is_err());
}

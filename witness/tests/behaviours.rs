//! The behaviour matrix and the request vectors that implementations of C2SP tlog-witness share, against the real HTTP server.

mod support;

use std::sync::Arc;

use store::Memory;
use support::{Running, TestLog, add, own, with_answer};
use tally_witness::Logs;
use tlog::{Checkpoint, ConsistencyProof, Hash, KeyKind, Note, SignatureLine, SignedCheckpoint, Tree, cosignature, hash_leaf};

/// The shared vectors, or a plain word where there are none.
fn vectors(file: &str) -> Option<serde_json::Value> {
    let folder =
        std::env::var("TALLYSTICK_VECTORS").unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors").to_owned());
    let Ok(text) = std::fs::read_to_string(format!("{folder}/witness/{file}")) else {
        eprintln!("SKIPPED: no vectors at {folder}; set TALLYSTICK_VECTORS");
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

async fn fresh(log: &TestLog) -> Running {
    Running::start(support::open(&[log], Arc::new(Memory::new())).unwrap()).await
}

/// Checks the answer's status and returns its body.
async fn post(server: &Running, path: &str, body: String, want: u64) -> String {
    let reply = server.post(path, body).await;
    assert_eq!(u64::from(reply.status), want, "{}", reply.body);
    reply.body
}

fn bad_root(log: &TestLog) -> Note {
    log.sign(Checkpoint { tree: Tree { size: 0, root: hash_leaf(b"x") }, ..log.checkpoint(0) }).note
}

async fn add_checkpoint(case: &str, want: u64) {
    let log = TestLog::new(support::ORIGIN);
    let server = fresh(&log).await;
    let empty = || add(0, ConsistencyProof(Vec::new()), log.signed(0).note);
    let path = "/add-checkpoint";
    match case {
        "checkpoint has extension lines" => {
            let extended = log.sign(Checkpoint { extensions: vec!["extension".to_owned()], ..log.checkpoint(5) });
            post(&server, path, add(0, ConsistencyProof(Vec::new()), extended.note), want).await;
        }
        "size 0, empty-tree root, old 0" => {
            post(&server, path, empty(), want).await;
        }
        "then grow 0 to 5 with old 0 and no proof" => {
            post(&server, path, empty(), 200).await;
            post(&server, path, log.request(0, 5), want).await;
        }
        "old 0 with one proof line after size 0" => {
            post(&server, path, empty(), 200).await;
            post(&server, path, add(0, ConsistencyProof(vec![hash_leaf(b"x")]), log.signed(5).note), want).await;
        }
        "size 0, root not the empty-tree hash, fresh witness" => {
            post(&server, path, add(0, ConsistencyProof(Vec::new()), bad_root(&log)), want).await;
        }
        "same, with size 0 stored" => {
            post(&server, path, empty(), 200).await;
            post(&server, path, add(0, ConsistencyProof(Vec::new()), bad_root(&log)), want).await;
        }
        "response has only the witness lines (Ed25519 and ML-DSA-44), never the log line" => {
            let answer = post(&server, path, log.request(0, 5), want).await;
            let times = support::times(&answer, &log.checkpoint(5));
            assert_eq!(times, [support::NOW; 2]);
        }
        "submitted note carries a forged line with the witness name and key ID" => forged_line(&server, &log, want).await,
        other => panic!("no test for add-checkpoint: {other}"),
    }
    server.stop().await;
}

async fn forged_line(server: &Running, log: &TestLog, want: u64) {
    let mut signed = log.signed(5);
    for key in own() {
        let length = if key.kind() == KeyKind::MlDsa44 { 8 + 2420 } else { 8 + 64 };
        signed.note.lines.push(SignatureLine { name: key.name().clone(), id: key.id(), signature: vec![1; length] });
    }
    post(server, "/add-checkpoint", add(0, ConsistencyProof(Vec::new()), signed.note), want).await;
    post(server, "/add-checkpoint", log.request(5, 7), 200).await;
    let newest = server.get(&format!("/{}/checkpoint", log.id())).await;
    let newest = SignedCheckpoint::parse(newest.body.as_bytes()).unwrap();
    assert_eq!(newest.checkpoint, log.checkpoint(7));
    assert_eq!(newest.note.lines.len(), 4, "two lines of the log and two own ones");
    newest.verify_log(&log.keys()).unwrap();
    for key in own() {
        let line = newest.note.lines.iter().find(|line| line.is_by(&key)).unwrap();
        cosignature::verify(&key, line, &newest.checkpoint).unwrap();
    }
}

async fn sign_subtree(case: &str, want: u64) {
    let log = TestLog::new(support::ORIGIN);
    let server = fresh(&log).await;
    let answer = post(&server, "/add-checkpoint", log.request(0, 5), 200).await;
    let cosigned = with_answer(&log.signed(5), &answer).note;
    let only = |kinds: &[KeyKind]| {
        let keys: Vec<_> = own().into_iter().filter(|key| kinds.contains(&key.kind())).collect();
        let mut note = cosigned.clone();
        note.lines.retain(|line| keys.iter().any(|key| line.is_by(key)));
        note
    };
    let good = log.subtree(4, 5, cosigned.clone());
    let body = match case {
        "tree 5, subtree [4,5), right proof, witness lines present" => good.encode(),
        "[0,4) with proof" => log.subtree(0, 4, cosigned.clone()).encode(),
        "[0,5) with empty proof" => log.subtree(0, 5, cosigned.clone()).encode(),
        "checkpoint has the witness ML-DSA line only" => log.subtree(4, 5, only(&[KeyKind::MlDsa44])).encode(),
        "[1,3) misaligned" => good.encode().replace("subtree 4 5", "subtree 1 3"),
        "[4,6) beyond size 5" => good.encode().replace("subtree 4 5", "subtree 4 6"),
        "start written 04" => good.encode().replace("subtree 4 5", "subtree 04 5"),
        "no checkpoint part" => good.encode().split_once("\n\n").unwrap().0.to_owned() + "\n\n",
        "wrong subtree hash" => tlog::witness::SignSubtree { hash: hash_leaf(b"x"), ..good.clone() }.encode(),
        "wrong proof hash" => {
            let mut wrong = good.clone();
            wrong.proof.0[0] = hash_leaf(b"x");
            wrong.encode()
        }
        "unknown origin" => {
            let other = TestLog::new("example.org/other");
            other.subtree(4, 5, other.signed(5).note).encode()
        }
        "log line only" => log.subtree(4, 5, log.signed(5).note).encode(),
        "witness Ed25519 line only" => log.subtree(4, 5, only(&[KeyKind::CosignatureV1])).encode(),
        other => panic!("no test for sign-subtree: {other}"),
    };
    let answer = post(&server, "/sign-subtree", body, want).await;
    if want == 200 {
        let (start, end) = if case.contains("[0,4)") {
            (0, 4)
        } else if case.contains("[0,5)") {
            (0, 5)
        } else {
            (4, 5)
        };
        let line = SignatureLine::parse(answer.strip_suffix('\n').unwrap()).unwrap();
        let hash: Hash = Tree::of(&log.leaves[start..end]).root;
        cosignature::verify_subtree(&own()[1], &line, support::ORIGIN, start as u64, end as u64, &hash).unwrap();
        assert_eq!(line.signature[..8], [0; 8]);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behaviour_matrix() {
    let Some(vectors) = vectors("behaviours.json") else { return };
    let cases = vectors["cases"].as_array().unwrap();
    for case in cases {
        let (call, name) = (case["call"].as_str().unwrap(), case["case"].as_str().unwrap());
        let want = case["want_status"].as_u64().unwrap();
        match call {
            "add-checkpoint" => add_checkpoint(name, want).await,
            "sign-subtree" => sign_subtree(name, want).await,
            other => panic!("unknown call {other}"),
        }
    }
    println!("witness/behaviours.json: {} of {} cases", cases.len(), cases.len());
    assert!(cases.len() >= 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn single_requests() {
    let Some(vectors) = vectors("add-checkpoint-single.json") else { return };
    let cases = vectors["cases"].as_array().unwrap();
    for case in cases {
        let text = |field: &str| case[field].as_str().unwrap_or_default();
        let Some(origin) = case["origin"].as_str().or_else(|| text("request_body").lines().nth(2)) else { panic!("no origin") };
        let list = format!("logs/v0\nvkey {}\norigin {origin}\nqpd 24\ncontact nobody\n", text("log_vkey"));
        let logs = Logs::parse(list.as_bytes()).unwrap();
        let clock = support::TestClock::new();
        let witness = tally_witness::Witness::new(support::signers(), logs, Arc::new(Memory::new()), clock.clock(), None).unwrap();
        let server = Running::start(witness).await;
        let answer = post(&server, "/add-checkpoint", text("request_body").to_owned(), case["want_status"].as_u64().unwrap()).await;
        assert_eq!(answer.lines().count(), 2, "{}", text("name"));
        let note = text("request_body").split_once("\n\n").unwrap().1;
        let signed = SignedCheckpoint::parse(note.as_bytes()).unwrap();
        support::times(&answer, &signed.checkpoint);
        server.stop().await;
    }
    println!("witness/add-checkpoint-single.json: {} of {} cases", cases.len(), cases.len());
    assert!(cases.len() >= 3);
}

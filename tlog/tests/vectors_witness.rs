//! The shared vectors of witness requests. (The behaviour matrix has no bytes; the witness program's tests rebuild it.)

mod support;

use support::{Count, array, load, string, valid};
use tlog::witness::AddCheckpoint;
use tlog::{Hash, SignedCheckpoint, Tree, VerifierKey};

#[test]
fn add_checkpoint_parse() {
    let Some(file) = load("witness/add-checkpoint-parse.json") else { return };
    let mut count = Count::of("witness/add-checkpoint-parse.json");
    for case in array(&file, "cases") {
        let (name, body) = (string(case, "name"), string(case, "body"));
        let short = case["proof_base64"].as_array().is_some_and(|lines| lines.iter().any(|line| line.as_str().unwrap().len() != 44));
        if short {
            assert!(AddCheckpoint::parse(body.as_bytes()).is_err(), "{name}");
            check_with_whole_hashes(case);
            count.list(name, "the proof lines hold 2 bytes, not 32: refused here, and read once they are whole");
            continue;
        }
        check(case, body);
        count.ran();
    }
    count.finish(5, 1);
}

fn check_with_whole_hashes(case: &serde_json::Value) {
    let body = string(case, "body").replace("abc=", &Hash::EMPTY.to_base64()).replace("def=", &Hash::EMPTY.to_base64());
    let request = AddCheckpoint::parse(body.as_bytes()).unwrap();
    assert_eq!((request.old_size, request.proof.0.len()), (case["old"].as_u64().unwrap(), 2));
    assert_eq!(request.checkpoint.encode(), string(case, "checkpoint"));
}

fn check(case: &serde_json::Value, body: &str) {
    let parsed = AddCheckpoint::parse(body.as_bytes());
    assert_eq!(parsed.is_ok(), valid(case), "{}", string(case, "name"));
    if let Ok(request) = parsed {
        assert_eq!(request.encode(), body);
        assert_eq!(request.old_size, case["old"].as_u64().unwrap());
        let hashes: Vec<_> = request.proof.0.iter().map(Hash::to_base64).collect();
        assert_eq!(hashes, *array(case, "proof_base64"));
    }
}

#[test]
fn add_checkpoint_single() {
    let Some(file) = load("witness/add-checkpoint-single.json") else { return };
    let mut count = Count::of("witness/add-checkpoint-single.json");
    for case in array(&file, "cases") {
        let name = string(case, "name");
        let request = AddCheckpoint::parse(string(case, "request_body").as_bytes()).unwrap();
        let signed = SignedCheckpoint::from_note(request.checkpoint.clone()).unwrap();
        let key = VerifierKey::parse(string(case, "log_vkey")).unwrap();
        assert_eq!(signed.expect_origin(string(case, "origin")), Ok(()), "{name}");
        assert_eq!(signed.verify_log(&[key]), Ok(()), "{name}");
        assert_eq!((request.old_size, request.proof.verify(&Tree::EMPTY, &signed.tree())), (0, Ok(())), "{name}");
        assert_eq!(case["want_status"], 200, "{name}");
        count.ran();
    }
    count.finish(3, 0);
}

//! The vectors in `testdata/witness` and `testdata/logs`: each states its verdict.

mod support;

use std::path::PathBuf;
use std::sync::Arc;

use store::{Memory, Store as _};
use support::{NOW, ORIGIN, Running};
use tally_witness::{Logs, Witness, logs};

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let folder = format!("{}/../testdata/{folder}", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == ending));
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn requests() {
    let list = std::fs::read(format!("{}/../testdata/witness/logs.txt", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let files = files("witness", "json");
    for file in &files {
        let case: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let text = |field: &str| case[field].as_str().unwrap();
        let store = Arc::new(Memory::new());
        if let Some(known) = case["known"].as_str() {
            store.put(&format!("state/{}/known", logs::id(ORIGIN)), known.as_bytes()).unwrap();
        }
        assert_eq!(case["now"], NOW);
        let list = Logs::parse(&list).unwrap();
        let server = Running::start(Witness::new(support::signers(), list, store, Arc::new(|| NOW), None).unwrap()).await;
        let reply = server.post(text("path"), text("body")).await;
        assert_eq!(case["verdict"], reply.status, "{}: {}: {}", file.display(), text("why"), reply.body);
        server.stop().await;
    }
    println!("testdata/witness: {} cases", files.len());
    assert!(files.len() >= 25);
}

#[test]
fn lists() {
    let files = files("logs", "txt");
    for file in &files {
        let list = std::fs::read(file).unwrap();
        let verdict = match Logs::parse(&list) {
            Err(error) => error.to_string(),
            Ok(logs) => {
                let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
                let keys = logs.0.values().map(|log| log.keys.len()).sum();
                format!("{}, {}", count(logs.0.len(), "log"), count(keys, "key"))
            }
        };
        let expected = String::from_utf8_lossy(&list).lines().next().and_then(|line| line.strip_prefix("# verdict: ").map(str::to_owned));
        assert_eq!(Some(verdict), expected, "{}", file.display());
    }
    println!("testdata/logs: {} cases", files.len());
    assert!(files.len() >= 16);
}

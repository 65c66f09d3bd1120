//! `fsck` over directories and HTTP, and the damage that it must name.

mod kit;

use std::path::Path;
use std::process::Command;

use kit::served::{Served, builder, claim, manifest, sign};
use kit::{ORIGIN, World};
use store::{Directory, Store};
use tally_log::fsck::{DirectorySource, Finding, check};

/// Runs the program; exit status and standard output.
fn fsck(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tally-log")).arg("fsck").args(arguments).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

/// A log of 600 entries in steps, so that superseded partial tiles lie about.
fn grown(dir: &Path) -> World {
    let mut world = World::new(std::sync::Arc::new(Directory::open(dir).unwrap()));
    world.quorum = 0;
    let mut log = world.open().unwrap();
    let mut count = 0_u32;
    for step in [1, 200, 60, 300, 39] {
        let leaves: Vec<Vec<u8>> = (count..count + step).map(|n| n.to_be_bytes().to_vec()).collect();
        log.add(&leaves.iter().map(Vec::as_slice).collect::<Vec<_>>());
        count += step;
    }
    world
}

#[test]
fn every_damaged_object_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let world = grown(dir.path());
    let keys = kit::log_keys().verifier_keys();
    let findings = || check(&DirectorySource::open(dir.path()).unwrap(), &keys).unwrap().findings;
    assert_eq!(findings(), []);
    let mut tried = 0;
    for key in world.store.list("public/tile").unwrap() {
        let object = key.strip_prefix("public/").unwrap();
        let original = world.store.get(&key).unwrap().unwrap();
        let mut flipped = original.clone();
        let at = original.len() - 1;
        flipped[at] ^= 0x20;
        for damaged in [Some(flipped), Some(original[..at].to_vec()), Some(Vec::new()), Some(vec![0xff; 9_000]), None] {
            world.store.discard(&key).unwrap();
            if let Some(bytes) = &damaged {
                world.store.put(&key, bytes).unwrap();
            }
            let found = findings();
            let is_superseded = damaged.is_none() && object.contains(".p/") && !object.ends_with(".p/88") && !object.ends_with(".p/2");
            let is_named = found.iter().any(|finding| finding.object == object || finding.what.contains(object));
            assert_eq!(is_named, !is_superseded, "{object}: {found:?}");
            tried += 1;
        }
        world.store.discard(&key).unwrap();
        world.store.put(&key, &original).unwrap();
    }
    assert_eq!(findings(), []);
    println!("{tried} damaged objects, each named");
    assert!(tried > 60, "{tried}");
}

#[test]
fn foreign_objects_and_checkpoints_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let world = grown(dir.path());
    let keys = kit::log_keys().verifier_keys();
    let findings = || check(&DirectorySource::open(dir.path()).unwrap(), &keys).unwrap().findings;
    for key in ["public/tile/0/009.p/3", "public/tile/entries/x001/000", "public/tile/0/zzz"] {
        world.store.put(key, &[0; 96]).unwrap();
        let object = key.strip_prefix("public/").unwrap();
        assert!(findings().iter().any(|finding| finding.object == object), "{key}");
        world.store.discard(key).unwrap();
    }
    let other = kit::signing_key("another.example/log", tlog::KeyKind::Ed25519, 9);
    let report = check(&DirectorySource::open(dir.path()).unwrap(), &[tlog::Signer::key(&other).clone()]).unwrap();
    assert_eq!(report.findings.len(), 2, "no signature by it, and of another log: {:?}", report.findings);
    let note = String::from_utf8(world.store.get("public/checkpoint").unwrap().unwrap()).unwrap();
    let shrunk = note.replacen("\n600\n", "\n599\n", 1);
    assert_eq!(world.store.swap("public/checkpoint", Some(note.as_bytes()), shrunk.as_bytes()).unwrap(), store::Swap::Done);
    let found = findings();
    let root = Finding { object: "checkpoint".into(), what: "its root is not the root of the entries".into() };
    assert!(found.contains(&root) && found.iter().any(|finding| finding.what.contains("does not verify")), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_checks_directories_and_servers() {
    let mut served = Served::start(false).await;
    for name in ["jq", "sl"] {
        let text = manifest(name);
        served.client().put_manifest(ORIGIN, &text.root(), text.encode(), &builder()).await.unwrap();
        served.client().submit(sign(&claim(name), &builder()), std::time::Duration::from_secs(30)).await.unwrap();
    }
    let dir = served.log_dir();
    let dir_text = dir.to_str().unwrap();
    let key = served.keys[0].encode();
    let (url, run) = (served.url.clone(), |arguments: Vec<String>| {
        tokio::task::spawn_blocking(move || fsck(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
    });
    let (status, text) = run(vec![dir_text.into()]).await.unwrap();
    assert_eq!(status, 0, "{text}");
    assert!(text.starts_with("clean: size 3 ") && text.contains("2 signatures") && text.contains("2 manifests"), "{text}");
    let (status, text) = run(vec![url.clone(), "--key".into(), key]).await.unwrap();
    assert_eq!((status, text.contains("1 signatures of the log") && text.contains("2 manifests")), (0, true), "{text}");
    let (status, text) = run(vec![url.clone()]).await.unwrap();
    assert_eq!((status, text.contains("no signature checked")), (0, true), "{text}");
    // A damaged manifest, found in the directory and through the server.
    let manifest_path = dir.join("public/manifest").join(manifest("jq").root().to_string());
    std::fs::write(&manifest_path, "damaged").unwrap();
    for target in [dir_text.to_owned(), url.clone()] {
        let (status, text) = run(vec![target]).await.unwrap();
        assert_eq!(status, 1);
        assert!(text.contains(&format!("manifest/{}: its root is not its name", manifest("jq").root())), "{text}");
    }
    served.stop().await;
    assert_eq!(run(vec![url]).await.unwrap().0, 2, "an unreachable log cannot be checked");
    assert_eq!(run(vec!["/nonexistent".into()]).await.unwrap().0, 2);
    let reindex = Command::new(env!("CARGO_BIN_EXE_tally-log")).args(["reindex", "--dir", dir_text]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&reindex.stdout), "indexed 3 entries\n", "{}", String::from_utf8_lossy(&reindex.stderr));
}

//! `fsck` over directories and HTTP, and the damage that it must name.

mod kit;

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use kit::served::{Served, builder, claim, manifest, sign};
use kit::{ORIGIN, World};
use store::{Directory, Store as _};
use tally_log::fsck::{
    Alone, Check, DirectorySource, Finding, FsckError, Listing, Observer, Progress, Report, Source, State, StateError, Trouble, check,
};
use tlog::Tree;

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
    for step in [1, 200, 60, 300, 20, 10, 9] {
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

/// Stops after so many reads, and counts them.
struct Impatient {
    reads: AtomicU64,
    most: u64,
}

impl Impatient {
    fn after(most: u64) -> Self {
        Self { reads: AtomicU64::new(0), most }
    }
}

impl Observer for Impatient {
    fn read(&self, _: usize) {
        self.reads.fetch_add(1, Ordering::SeqCst);
    }
    fn stops(&self) -> bool {
        self.reads.load(Ordering::SeqCst) >= self.most
    }
}

/// 20,000 entries: four whole chunks and an end, with superseded partial tiles between them.
fn large(dir: &Path) -> World {
    let mut world = World::new(std::sync::Arc::new(Directory::open(dir).unwrap()));
    world.quorum = 0;
    let mut log = world.open().unwrap();
    for step in 0..20_u32 {
        let leaves: Vec<Vec<u8>> = (0..1000).map(|n| (step * 1000 + n).to_be_bytes().to_vec()).collect();
        log.add(&leaves.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
    // A superseded tile that was not collected, as a power cut may leave it.
    let full = world.store.get("public/tile/0/003").unwrap().unwrap();
    world.store.put("public/tile/0/003.p/232", &full[..232 * 32]).unwrap();
    world
}

fn run(dir: &Path, state: &Path, observer: &dyn Observer) -> Result<Report, FsckError> {
    let (source, keys) = (DirectorySource::open(dir).unwrap(), kit::log_keys().verifier_keys());
    Check { source: &source, keys: &keys, policy: None, state: Some(state), observer }.run()
}

#[test]
fn a_stopped_check_goes_on_where_it_was_and_comes_to_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let world = large(dir.path());
    let state = dir.path().join("unfinished");
    for damage in [None, Some("public/tile/entries/005"), Some("public/tile/0/001"), Some("public/tile/0/003.p/232")] {
        let original = damage.map(|key| world.store.get(key).unwrap().unwrap());
        if let (Some(key), Some(original)) = (damage, &original) {
            world.store.discard(key).unwrap();
            world.store.put(key, &original[1..]).unwrap();
        }
        let whole = run(dir.path(), &state, &Alone).unwrap();
        assert_eq!((whole.tree.size, whole.is_clean(), whole.resumed), (20_000, damage.is_none(), 0));
        let mut resumed = Vec::new();
        let report = loop {
            match run(dir.path(), &state, &Impatient::after(100 + 20 * resumed.len() as u64)) {
                Ok(report) => break report,
                Err(error) => assert_eq!(error, FsckError::Stopped),
            }
            let saved = State::load(&state).unwrap().expect("a saved state");
            resumed.push((saved.growth.size(), saved.after));
            assert!(resumed.len() < 100, "it never ends: {resumed:?}");
        };
        assert!(resumed.is_sorted() && resumed.iter().any(|(size, _)| (1..20_000).contains(size)), "{resumed:?}");
        let counts = |report: &Report| (report.objects, report.bytes, report.manifests, report.findings.clone(), report.omitted);
        assert_eq!(counts(&report), counts(&whole), "{damage:?}");
        assert!(!state.exists(), "a finished check leaves no state");
        if let (Some(key), Some(original)) = (damage, original) {
            world.store.discard(key).unwrap();
            world.store.put(key, &original).unwrap();
        }
    }
}

#[test]
fn a_state_of_another_log_or_history_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let world = large(dir.path());
    let state = dir.path().join("unfinished");
    assert_eq!(run(dir.path(), &state, &Impatient::after(100)), Err(FsckError::Stopped));
    let saved = State::load(&state).unwrap().unwrap();
    let refused = |changed: &State| {
        changed.save(&state).unwrap();
        let FsckError::State(error) = run(dir.path(), &state, &Alone).unwrap_err() else { panic!("another error") };
        error
    };
    let other = tlog::Hash::digest(b"other");
    assert_eq!(refused(&State { origin: "other".into(), ..saved.clone() }), StateError::Foreign("other".into()));
    assert_eq!(refused(&State { tree: Tree { root: other, ..saved.tree }, ..saved.clone() }), StateError::NotExtended(20_000));
    assert_eq!(refused(&State { tree: Tree { size: 20_001, root: other }, ..saved.clone() }), StateError::NotExtended(20_001));
    assert_eq!(refused(&State { tree: Tree { size: 300, root: other }, ..saved.clone() }), StateError::NotExtended(300));
    let mut growth = tlog::Growth::new();
    (0..16).for_each(|_| growth.push_tile(other, &mut |_, _| {}).unwrap());
    assert_eq!(refused(&State { growth: growth.clone(), ..saved.clone() }), StateError::NotExtended(4096));
    growth.push(other, &mut |_, _| {}).unwrap();
    assert_eq!(refused(&State { growth, ..saved.clone() }), StateError::Damaged);
    std::fs::write(&state, "tallystick/fsck/v1\n").unwrap();
    assert_eq!(run(dir.path(), &state, &Alone), Err(FsckError::State(StateError::Damaged)));
    // What shows that the log extends the state's tree is damaged itself.
    let grown = State { tree: Tree { size: 300, root: other }, ..saved };
    grown.save(&state).unwrap();
    world.store.discard("public/tile/0/001").unwrap();
    let error = run(dir.path(), &state, &Alone).unwrap_err();
    assert!(matches!(&error, FsckError::State(StateError::NotProven(why)) if why.contains("tile/0/001")), "{error:?}");
}

/// A network that fails for good after so many reads.
struct Failing {
    inner: DirectorySource,
    left: AtomicU64,
}

impl Failing {
    fn turn(&self) -> Result<(), Trouble> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| Trouble::Source("the network is down".to_owned()))
    }
}

impl Source for Failing {
    fn checkpoint(&self) -> Result<Vec<u8>, Trouble> {
        self.inner.checkpoint()
    }
    fn tile(&self, tile: tlog::Tile, into: &mut Vec<u8>) -> Result<(), Trouble> {
        self.turn().and_then(|()| self.inner.tile(tile, into))
    }
    fn bundle(&self, id: tlog::BundleId, into: &mut Vec<u8>) -> Result<(), Trouble> {
        self.turn().and_then(|()| self.inner.bundle(id, into))
    }
    fn manifest(&self, root: &tlog::Hash, into: &mut Vec<u8>) -> Result<(), Trouble> {
        self.turn().and_then(|()| self.inner.manifest(root, into))
    }
    fn listing(&self) -> Option<&dyn Listing> {
        None
    }
    fn workers(&self) -> usize {
        2
    }
}

#[test]
fn a_network_that_fails_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let _world = large(dir.path());
    let state = dir.path().join("unfinished");
    let source = |left: u64| Failing { inner: DirectorySource::open(dir.path()).unwrap(), left: AtomicU64::new(left) };
    let over = |source: Failing| Check { source: &source, keys: &[], policy: None, state: Some(&state), observer: &Alone }.run();
    assert_eq!(over(source(150)), Err(FsckError::Source("the network is down".into())));
    let done = State::load(&state).unwrap().unwrap().growth.size();
    assert!(done >= 4096 && done.is_multiple_of(4096), "{done}");
    let report = over(source(1000)).unwrap();
    assert_eq!((report.is_clean(), report.resumed), (true, done));
}

/// What is told while a check runs.
#[derive(Default)]
struct Told(Mutex<(u64, Vec<Finding>)>);

impl Observer for Told {
    fn progress(&self, progress: &Progress) {
        let mut told = self.0.lock().unwrap();
        assert!(told.0 <= progress.entries && progress.entries <= progress.tree.size);
        told.0 = progress.entries;
    }
    fn found(&self, finding: &Finding) {
        self.0.lock().unwrap().1.push(finding.clone());
    }
}

#[test]
fn who_looks_on_hears_of_everything() {
    let dir = tempfile::tempdir().unwrap();
    let world = large(dir.path());
    for key in ["public/tile/entries/005", "public/tile/0/017", "public/tile/0/078.p/32", "public/tile/0/003.p/232"] {
        world.store.swap(key, Some(&world.store.get(key).unwrap().unwrap()), b"damaged").unwrap();
    }
    let told = Told::default();
    let report = run(dir.path(), &dir.path().join("unfinished"), &told).unwrap();
    let (entries, mut findings) = told.0.into_inner().unwrap();
    findings.sort();
    assert_eq!((entries, findings), (20_000, report.findings.clone()));
    assert_eq!(report.findings.len(), 4, "{:?}", report.findings);
}

#[test]
fn a_damaged_bundle_is_told_from_a_damaged_tile() {
    let dir = tempfile::tempdir().unwrap();
    let world = large(dir.path());
    for (key, other) in [("public/tile/entries/005", "tile/0/005"), ("public/tile/0/005", "tile/entries/005")] {
        let original = world.store.get(key).unwrap().unwrap();
        let mut flipped = original.clone();
        flipped[100] ^= 1;
        world.store.swap(key, Some(&original), &flipped).unwrap();
        let report = run(dir.path(), &dir.path().join("unfinished"), &Alone).unwrap();
        let findings = report.findings;
        assert!(matches!(&findings[..], [one] if format!("public/{}", one.object) == key && one.what.contains(other)), "{findings:?}");
        world.store.swap(key, Some(&flipped), &original).unwrap();
    }
}

#[test]
fn a_policy_must_be_satisfied() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(std::sync::Arc::new(Directory::open(dir.path()).unwrap()));
    world.open().unwrap().add(&[b"one"]);
    let source = DirectorySource::open(dir.path()).unwrap();
    let under =
        |policy: &tlog::Policy| Check { source: &source, keys: &[], policy: Some(policy), state: None, observer: &Alone }.run().unwrap();
    let report = under(&world.policy());
    assert!(report.is_clean() && report.cosigned.is_some_and(|count| count >= 2), "{report:?}");
    world.quorum = 2;
    world.witnesses = (0..3_u8).map(|n| kit::TestWitness::new(&format!("witness-{n}"), 60 + n, &world.clock)).collect();
    let report = under(&world.policy());
    assert_eq!(report.findings.len(), 1, "other keys of these names: {report:?}");
    assert_eq!(report.cosigned, None);
}

#[test]
fn the_report_is_json_for_scripts() {
    let dir = tempfile::tempdir().unwrap();
    let _world = grown(dir.path());
    let key = kit::log_keys().verifier_keys()[0].encode();
    let (status, text) = fsck(&[dir.path().to_str().unwrap(), "--key", &key, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, json["clean"].as_bool(), json["size"].as_u64(), json["signatures"].as_u64()), (0, Some(true), Some(600), Some(1)));
    assert!(json["seconds"].as_f64().unwrap() > 0.0 && json["entries_per_second"].as_f64().unwrap() > 0.0, "{text}");
    std::fs::write(dir.path().join("public/tile/0/002.p/88"), [0; 64]).unwrap();
    let (status, text) = fsck(&[dir.path().to_str().unwrap(), "--key", &key, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, json["findings"][0]["object"].as_str()), (1, Some("tile/0/002.p/49")), "{text}");
    let state = dir.path().join("unfinished");
    std::fs::write(&state, "x").unwrap();
    assert_eq!(fsck(&[dir.path().to_str().unwrap(), "--key", &key, "--state", state.to_str().unwrap()]).0, 2);
}

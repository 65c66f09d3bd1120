//! `repair` and the scrub: every kind of damage, good, foreign and lying mirrors, with a server and without one.

mod kit;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use kit::served::{Served, builder, claim, manifest, sign};
use kit::{ORIGIN, World, wait_until};
use store::{Directory, Store as _};
use tally_log::clock::SystemClock;
use tally_log::fsck::{DirectorySource, Source, check};
use tally_log::repair::{Donor, Fate, Outcome, Own, Repair, RepairError};
use tally_log::scrub::{Board, Gauges, Running, Scrub};

/// A log of 1,400 entries in steps, with superseded partial tiles.
fn grown(dir: &Path) -> World {
    let mut world = World::new(Arc::new(Directory::open(dir).unwrap()));
    world.quorum = 0;
    let mut log = world.open().unwrap();
    let mut count = 0_u32;
    for step in [1, 200, 60, 300, 839] {
        let leaves: Vec<Vec<u8>> = (count..count + step).map(|n| n.to_be_bytes().to_vec()).collect();
        log.add(&leaves.iter().map(Vec::as_slice).collect::<Vec<_>>());
        count += step;
    }
    world
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(status.success());
}

fn mirror(dir: &Path) -> Donor {
    let source: Box<dyn Source> = Box::new(DirectorySource::open(dir).unwrap());
    Donor::mirror("the mirror", source, ORIGIN).unwrap()
}

fn repair(dir: &Path, donors: Vec<Donor>, objects: &[&str]) -> Result<Outcome, RepairError> {
    let own = Own::read(dir, ORIGIN, &kit::log_keys().verifier_keys())?;
    let directory = Directory::open(dir).unwrap();
    let donors = own.stage.map(Donor::stage).into_iter().chain(donors).collect();
    let mut repair = Repair::new(DirectorySource::open(dir).unwrap(), Some(&directory), own.tree, donors)?;
    match objects {
        [] => repair.everything()?,
        some => some.iter().try_for_each(|path| repair.object(path))?,
    }
    Ok(repair.outcome())
}

fn is_clean(dir: &Path) -> bool {
    check(&DirectorySource::open(dir).unwrap(), &kit::log_keys().verifier_keys()).unwrap().findings.is_empty()
}

/// Flipped, cut, emptied, too long, and gone.
fn damages(original: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut flipped = original.to_vec();
    flipped[original.len() / 2] ^= 0x20;
    vec![Some(flipped), Some(original[..original.len() - 1].to_vec()), Some(Vec::new()), Some(vec![0xff; 70_000]), None]
}

fn put(file: &Path, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => std::fs::write(file, bytes).unwrap(),
        None => drop(std::fs::remove_file(file)),
    }
}

#[test]
fn every_kind_of_damage_is_put_right_from_a_mirror() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = grown(dir.path());
    copy(dir.path(), other.path());
    let mut tried = 0;
    for key in world.store.list("public/tile").unwrap() {
        let (file, object) = (dir.path().join(&key), key.strip_prefix("public/").unwrap());
        let original = std::fs::read(&file).unwrap();
        for damage in damages(&original) {
            put(&file, damage.as_deref());
            let is_collected = damage.is_none() && is_clean(dir.path());
            for objects in [&[object][..], &[]] {
                let outcome = repair(dir.path(), vec![mirror(other.path())], objects).unwrap();
                let named = outcome.mended.iter().any(|mended| mended.object == object && matches!(mended.fate, Fate::Restored(_)));
                assert_eq!((outcome.remaining().count(), named), (0, !is_collected), "{object}: {outcome:?}");
                assert!(is_collected || std::fs::read(&file).unwrap() == original, "{object}");
                put(&file, damage.as_deref().or((!is_collected).then_some(&[])));
                tried += 1;
            }
            put(&file, Some(&original));
        }
    }
    assert!(is_clean(dir.path()));
    println!("{tried} repairs");
    assert!(tried > 150, "{tried}");
}

#[test]
fn tiles_are_put_right_from_what_lies_below_them_without_a_mirror() {
    let dir = tempfile::tempdir().unwrap();
    let world = grown(dir.path());
    let keys = world.store.list("public/tile").unwrap();
    let (bundles, tiles): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.starts_with("public/tile/entries/"));
    for key in &tiles {
        std::fs::write(dir.path().join(key), "damaged").unwrap();
    }
    let outcome = repair(dir.path(), vec![], &[]).unwrap();
    assert_eq!((outcome.remaining().count(), outcome.mended.len()), (0, tiles.len()), "{outcome:?}");
    assert!(is_clean(dir.path()));
    // A whole bundle cannot be made from anything else.
    let full = bundles.iter().find(|key| !key.contains(".p/")).unwrap();
    std::fs::write(dir.path().join(full), "damaged").unwrap();
    let outcome = repair(dir.path(), vec![], &[]).unwrap();
    assert_eq!(outcome.remaining().filter(|mended| format!("public/{}", mended.object) == **full).count(), 1, "{outcome:?}");
}

#[test]
fn a_lying_mirror_is_refused_and_an_honest_one_beside_it_is_not() {
    let (dir, honest, liar) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = grown(dir.path());
    copy(dir.path(), honest.path());
    copy(dir.path(), liar.path());
    let objects = ["tile/0/000", "tile/0/005.p/120", "tile/1/000.p/5", "tile/entries/002", "tile/entries/005.p/120"];
    for key in world.store.list("public/tile").unwrap() {
        let mut bytes = std::fs::read(liar.path().join(&key)).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(liar.path().join(&key), bytes).unwrap();
    }
    let damage = || {
        for object in ["tile/0/000", "tile/entries/000", "tile/entries/002", "tile/entries/005.p/120"] {
            std::fs::write(dir.path().join("public").join(object), "damaged").unwrap();
        }
    };
    damage();
    let before = std::fs::read(dir.path().join("public/tile/entries/002")).unwrap();
    let outcome = repair(dir.path(), vec![mirror(liar.path())], &[]).unwrap();
    assert!(outcome.remaining().any(|mended| mended.object == "tile/entries/002") && !outcome.refused.is_empty(), "{outcome:?}");
    assert_eq!(std::fs::read(dir.path().join("public/tile/entries/002")).unwrap(), before, "nothing of the liar's is written");
    damage();
    let outcome = repair(dir.path(), vec![mirror(liar.path()), mirror(honest.path())], &[]).unwrap();
    assert!(outcome.remaining().next().is_none() && outcome.refused.iter().any(|(object, _)| object == "tile/entries/002"), "{outcome:?}");
    assert!(is_clean(dir.path()));
    // An edge of which nothing is left but lies leads nowhere.
    for object in objects {
        std::fs::write(dir.path().join("public").join(object), "damaged").unwrap();
    }
    assert_eq!(repair(dir.path(), vec![mirror(liar.path())], &[]), Err(RepairError::NoEdge));
    assert!(repair(dir.path(), vec![mirror(liar.path()), mirror(honest.path())], &[]).unwrap().remaining().next().is_none());
    assert!(is_clean(dir.path()));
}

#[test]
fn a_mirror_that_has_grown_and_collected_helps_and_another_logs_is_refused() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = grown(dir.path());
    copy(dir.path(), other.path());
    let mut ahead = World { store: Arc::new(Directory::open(other.path()).unwrap()), ..world.clone() };
    ahead.quorum = 0;
    let more: Vec<Vec<u8>> = (0..700_u32).map(|n| n.to_le_bytes().to_vec()).collect();
    ahead.open().unwrap().add(&more.iter().map(Vec::as_slice).collect::<Vec<_>>());
    for old in ["tile/entries/005.p/120", "tile/0/005.p/120", "tile/1/000.p/5"] {
        std::fs::remove_file(other.path().join("public").join(old)).unwrap();
        std::fs::remove_file(dir.path().join("public").join(old)).unwrap();
    }
    let outcome = repair(dir.path(), vec![mirror(other.path())], &[]).unwrap();
    assert!(outcome.remaining().next().is_none(), "{outcome:?}");
    assert!(is_clean(dir.path()));
    let source: Box<dyn Source> = Box::new(DirectorySource::open(other.path()).unwrap());
    let refused = Donor::mirror("m", source, "another.example/log").err();
    assert_eq!(refused, Some(RepairError::WrongMirror("m".into(), ORIGIN.into())));
    std::fs::remove_file(other.path().join("public/checkpoint")).unwrap();
    let source: Box<dyn Source> = Box::new(DirectorySource::open(other.path()).unwrap());
    assert!(matches!(Donor::mirror("m", source, ORIGIN).err(), Some(RepairError::Mirror(..))));
}

#[test]
fn nothing_is_repaired_towards_a_checkpoint_that_is_not_the_logs() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let _world = grown(dir.path());
    copy(dir.path(), other.path());
    let committed = dir.path().join("state/committed");
    let good = std::fs::read(&committed).unwrap();
    let shrunk = String::from_utf8(good.clone()).unwrap().replacen("\n1400\n", "\n1399\n", 1);
    for bytes in [b"damaged".as_slice(), shrunk.as_bytes()] {
        std::fs::write(&committed, bytes).unwrap();
        assert!(matches!(repair(dir.path(), vec![mirror(other.path())], &[]), Err(RepairError::Checkpoint(_))));
    }
    std::fs::remove_file(&committed).unwrap();
    assert!(matches!(repair(dir.path(), vec![], &[]), Err(RepairError::Checkpoint(_))));
    std::fs::write(&committed, good).unwrap();
    for path in ["tile/0/zzz", "manifest/xyz", "../state/committed", "checkpoint"] {
        assert_eq!(repair(dir.path(), vec![], &[path]), Err(RepairError::NoObject(path.into())));
    }
    let outcome = repair(dir.path(), vec![], &["tile/0/006", "tile/9/000", "tile/entries/005.p/121"]).unwrap();
    assert_eq!(outcome.remaining().count(), 3, "not of the tree: {outcome:?}");
}

/// The program: exit status and standard output.
async fn command(arguments: Vec<String>) -> (i32, String) {
    let run = move || Command::new(env!("CARGO_BIN_EXE_tally-log")).arg("repair").args(arguments).output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_restores_manifests_and_entries_beside_a_server_from_a_server() {
    let mut served = Served::start(false).await;
    for name in ["jq", "sl"] {
        let text = manifest(name);
        served.client().put_manifest(ORIGIN, &text.root(), text.encode(), &builder()).await.unwrap();
        served.client().submit(sign(&claim(name), &builder()), Duration::from_secs(30)).await.unwrap();
    }
    let (dir, damaged) = (served.log_dir(), tempfile::tempdir().unwrap());
    // A running log collects superseded partial tiles, under the hands of whoever copies its directory.
    served.stop().await;
    copy(&dir, damaged.path());
    served.serve().await.unwrap();
    let jq = format!("manifest/{}", manifest("jq").root());
    let entries = "tile/entries/000.p/3";
    let (text, bundle) = (manifest("jq").encode(), std::fs::read(dir.join("public").join(entries)).unwrap());
    let at = |path: &str| damaged.path().join("public").join(path);
    let arguments = |more: &[&str]| -> Vec<String> {
        ["--dir", damaged.path().to_str().unwrap()].iter().chain(more).map(|text| (*text).to_owned()).collect()
    };
    // The last line feed alone: the same root, and other bytes.
    for damage in [&text[..text.len() - 1], b"damaged"] {
        std::fs::write(at(&jq), damage).unwrap();
        std::fs::write(at(entries), damage).unwrap();
        let (status, said) = command(arguments(&[])).await;
        assert_eq!((status, said.contains("REMAINS DAMAGED") && said.contains("--from")), (1, true), "{said}");
        let (status, said) = command(arguments(&["--dry-run", "--from", &served.url])).await;
        assert_eq!((status, said.contains("could be restored"), std::fs::read(at(entries)).unwrap() == damage), (0, true, true), "{said}");
        let (status, said) = command(arguments(&["--json", "--from", &served.url])).await;
        let json: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!((status, json["objects"].as_array().map(Vec::len)), (0, Some(2)), "{said}");
        assert_eq!((std::fs::read(at(&jq)).unwrap(), std::fs::read(at(entries)).unwrap()), (text.clone(), bundle.clone()));
    }
    assert_eq!(command(arguments(&["--from", "http://127.0.0.1:9"])).await.0, 2, "a mirror that is not there");
    // Beside the running server, from the copy.
    let copy_of = damaged.path().to_str().unwrap().to_owned();
    std::fs::remove_file(dir.join("public").join(entries)).unwrap();
    let (status, said) = command(vec!["--dir".into(), dir.to_str().unwrap().into(), "--from".into(), copy_of]).await;
    assert_eq!((status, said.contains(&format!("{entries}: restored from"))), (0, true), "{said}");
    assert_eq!(std::fs::read(dir.join("public").join(entries)).unwrap(), bundle);
    served.stop().await;
}

fn scrub(dir: &Path) -> (Arc<Board>, Running) {
    let board = Arc::new(Board::open(&dir.join("scrub.damaged"), Gauges::default()));
    let scrub = Scrub {
        dir: dir.to_owned(),
        origin: ORIGIN.to_owned(),
        keys: kit::log_keys().verifier_keys().to_vec(),
        bytes_per_second: 100 << 20,
        pause: Duration::from_millis(20),
        clock: Arc::new(SystemClock),
        board: board.clone(),
    };
    (board, scrub.start().unwrap())
}

#[test]
fn the_scrub_finds_damage_remembers_it_and_sees_it_repaired() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let _world = grown(dir.path());
    copy(dir.path(), other.path());
    let object = "tile/entries/003";
    let file: PathBuf = dir.path().join("public").join(object);
    // As a server has it beside the scrub.
    let _lock = store::Lock::acquire(&dir.path().join("lock")).unwrap();
    let (board, running) = scrub(dir.path());
    assert_eq!(board.damage(), None);
    std::fs::write(&file, "damaged").unwrap();
    wait_until("the damage is found", || board.damage() == Some((object.to_owned(), 0)));
    drop(running);
    let again = Board::open(&dir.path().join("scrub.damaged"), Gauges::default());
    assert_eq!(again.objects(), [object], "a restart does not forget it");
    assert!(repair(dir.path(), vec![mirror(other.path())], &[object]).unwrap().remaining().next().is_none());
    let (board, _running) = scrub(dir.path());
    wait_until("the repair is seen", || board.damage().is_none());
    assert_eq!(std::fs::read_to_string(dir.path().join("scrub.damaged")).unwrap(), "");
}

#[test]
fn a_scrub_survives_a_bad_state_file_and_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let _world = grown(dir.path());
    std::fs::write(dir.path().join("scrub.state"), "another program's").unwrap();
    let file = dir.path().join("public/tile/0/001");
    std::fs::remove_file(&file).unwrap();
    let _lock = store::Lock::acquire(&dir.path().join("lock")).unwrap();
    let (board, running) = scrub(dir.path());
    wait_until("it begins anew", || board.damage() == Some(("tile/0/001".to_owned(), 0)));
    drop(running);
}

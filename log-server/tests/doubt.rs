//! Where a log cannot trust what it finds: somebody else writes to its store, or the page cache shows what the disk may not have.

mod kit;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use kit::{World, entries, index};
use store::{Directory, Memory, Store};
use tally_log::sequencer::Turn;
use tally_log::shared::Status;

#[test]
fn somebody_else_on_the_same_store_stops_the_log() {
    let world = World::new(Arc::new(Memory::new()));
    let mut log = world.open().unwrap();
    log.add(&[b"a"]);
    let mut other = world.open().unwrap();
    other.add(&[b"b"]);
    let answer = log.submit(b"c");
    assert_eq!(log.settle(), Turn::Stopped);
    let Status::Stopped(why) = log.shared.status() else { panic!("not stopped") };
    assert!(why.contains("somebody else has changed state/committed"), "{why}");
    assert_eq!(index(answer), None);
    other.add(&[b"d"]);
    assert_eq!(entries(&*world.store).1, [b"a", b"b", b"d"], "one history");
}

#[test]
fn what_a_start_rests_on_is_written_to_new_inodes() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(Arc::new(Directory::open(dir.path()).unwrap()));
    let mut log = world.open().unwrap();
    log.add(&[b"a"]);
    world.away(2);
    drop(log.submit(b"b"));
    assert_eq!(log.settle(), Turn::Waiting, "committed and not published");
    drop(log);
    let mut keys = world.store.list("state/stage").unwrap();
    assert_eq!(keys.len(), 1);
    keys.extend(["state/committed", "public/checkpoint", "public/tile/0/000.p/2", "public/tile/entries/000.p/2"].map(str::to_owned));
    let inodes = || -> BTreeMap<String, u64> {
        keys.iter().map(|key| (key.clone(), std::fs::metadata(dir.path().join(key)).unwrap().ino())).collect()
    };
    let before = inodes();
    let _log = world.open().unwrap();
    for (key, inode) in inodes() {
        assert_ne!(before[&key], inode, "{key}");
    }
}

#[test]
fn staging_files_of_trees_that_never_were_are_discarded() {
    let world = World::new(Arc::new(Memory::new()));
    world.open().unwrap().add(&[b"a"]);
    let never = format!("state/stage/7-{}", tlog::Hash::digest(b"never").to_hex());
    world.store.put(&never, b"cut short").unwrap();
    let mut log = world.open().unwrap();
    assert_eq!(world.store.list("state/stage").unwrap(), Vec::<String>::new());
    assert_eq!(log.add(&[b"b"]), [1]);
}

//! A database of rpm with any bytes: refused or read, never a crash, an endless loop or memory without bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use package::root::Root;
use package::rpmdb::{Kind, Place};

fuzz_target!(|bytes: &[u8]| {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let place = directory.path().join("var/lib/rpm");
    std::fs::create_dir_all(&place).expect("it is ours");
    // The last byte says how much of the rest is the write-ahead log.
    let (database, log) = bytes.split_at(bytes.last().map_or(0, |last| bytes.len() - usize::from(*last) * bytes.len() / 1024));
    std::fs::write(place.join("rpmdb.sqlite"), database).expect("it is ours");
    std::fs::write(place.join("rpmdb.sqlite-wal"), log).expect("it is ours");
    let root = Root::open(directory.path()).expect("it is there");
    let read = || package::rpmdb::read(&root, Place { directory: "var/lib/rpm", kind: Kind::Sqlite });
    assert_eq!(read(), read());
});

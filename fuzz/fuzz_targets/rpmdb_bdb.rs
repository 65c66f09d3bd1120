//! A database of rpm as Berkeley's library wrote it, with any bytes: refused or read, never a crash, an endless loop or memory without bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use package::root::Root;
use package::rpmdb::{Kind, Place, read};

fuzz_target!(|bytes: &[u8]| {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let place = Place { directory: "var/lib/rpm", kind: Kind::Bdb };
    std::fs::create_dir_all(directory.path().join(place.directory)).expect("it is ours");
    std::fs::write(directory.path().join(place.to_string()), bytes).expect("it is ours");
    let root = Root::open(directory.path()).expect("it is there");
    assert_eq!(read(&root, place), read(&root, place));
});

//! What is read from an index of a repository can be said in a statement, whatever the bytes and the file's name.
#![no_main]

use attest::predicate::{Predicate, RepositoryState};
use attest::{Hash, Statement, Subject};
use libfuzzer_sys::fuzz_target;
use package::repository::Index;

fuzz_target!(|input: (&str, &[u8])| {
    let (file, bytes) = input;
    let name = file.rsplit('/').next().unwrap_or_default();
    if let Ok(index) = Index::read(bytes, name) {
        let state = RepositoryState::seen(&index.name, index.date, index.valid_until);
        let subject = Subject::new(RepositoryState::subject_of("deb/debian/sid"), Hash::digest(bytes));
        let statement = Statement { subject, predicate: Predicate::RepositoryState(state) };
        // Only pacman's indexes are named after their file, which may have any name.
        assert!(statement.check().is_ok() || index.name == format!("{}.db", index.suite.unwrap_or_default()));
    }
});

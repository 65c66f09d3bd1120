//! What is read from an index of a repository can be said in a statement, whatever the bytes.
#![no_main]

use attest::predicate::{Predicate, RepositoryState};
use attest::{Hash, Statement, Subject};
use libfuzzer_sys::fuzz_target;
use package::repository::Index;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(index) = Index::read(bytes, "core.db") {
        let state = RepositoryState::seen(&index.name, index.date, index.valid_until);
        let subject = Subject::new(RepositoryState::subject_of("deb/debian/sid"), Hash::digest(bytes));
        let statement = Statement { subject, predicate: Predicate::RepositoryState(state) };
        assert_eq!(statement.check(), Ok(()));
    }
});

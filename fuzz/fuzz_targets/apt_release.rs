//! A Release file of any kind says who it is, or nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tally::gate::repository::Repository;

fuzz_target!(|bytes: &[u8]| {
    let repository = Repository::parse(bytes);
    assert!(repository.suites.len() <= 2);
    let text = format!("{}\n", repository.origin.as_deref().unwrap_or_default());
    assert_eq!(text.lines().count(), 1, "an origin is one line");
});

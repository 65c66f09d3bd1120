//! What a plugin in a package manager is believed to have written has one spelling; libzypp's frames never panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tally::gate::coming::Coming;
use tally::gate::dnf::Conversation;
use tally::gate::zypper;
use tally::repo::sigcheck;

fuzz_target!(|bytes: &[u8]| {
    if let Some(coming) = Coming::parse(bytes) {
        assert_eq!(coming.encode(), bytes);
    }
    let _ = Conversation::new(bytes, std::io::sink()).coming();
    if let Some(steps) = zypper::steps(bytes) {
        assert!(steps.windows(2).all(|pair| pair[0] < pair[1]));
    }
    let _ = sigcheck::converse(bytes, std::io::sink(), |index| {
        assert!(index.is_absolute());
        Ok(())
    });
});

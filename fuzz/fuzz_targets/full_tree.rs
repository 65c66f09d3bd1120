//! The state of a full copy of a log: an accepted line re-encodes to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tally::full::State;

fuzz_target!(|text: &str| {
    if let Some(state) = State::parse(text) {
        assert_eq!(state.encode(), text);
    }
});

//! Accepted records of a witness's state re-encode to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../witness/src/known.rs"]
mod known;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(known) = known::Known::parse(bytes) {
        assert_eq!(known.encode(), bytes);
    }
});

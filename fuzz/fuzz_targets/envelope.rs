//! Accepted envelopes re-encode to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = attest::Envelope::parse(bytes) {
        assert_eq!(value.encode(), bytes);
    }
});

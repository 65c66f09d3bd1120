//! Accepted add-checkpoint bodies re-encode to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = tlog::witness::AddCheckpoint::parse(bytes) {
        assert_eq!(request.encode().as_bytes(), bytes);
        assert!(request.proof.0.len() <= 63);
    }
});

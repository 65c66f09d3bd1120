//! Accepted signed checkpoints re-encode to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(signed) = tlog::SignedCheckpoint::parse(bytes) {
        assert_eq!(signed.encode().as_bytes(), bytes);
    }
});

//! Accepted signed checkpoints, and accepted texts of checkpoints, re-encode to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(signed) = tlog::SignedCheckpoint::parse(bytes) {
        assert_eq!(signed.encode().as_bytes(), bytes);
        assert_eq!(signed.checkpoint.encode(), signed.note.text);
    }
    if let Some(checkpoint) = std::str::from_utf8(bytes).ok().and_then(|text| tlog::Checkpoint::parse(text).ok()) {
        assert_eq!(checkpoint.encode().as_bytes(), bytes);
    }
});

//! Accepted notes re-encode to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(note) = tlog::Note::parse(bytes) {
        assert_eq!(note.encode().as_bytes(), bytes);
        assert!((1..=tlog::Note::MAX_LINES).contains(&note.lines.len()));
    }
});

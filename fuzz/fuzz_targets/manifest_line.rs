//! Accepted lines of a manifest re-encode to the same bytes, and their paths stay inside.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(entry) = attest::manifest::parse_line(bytes) {
        assert_eq!(entry.encode().as_bytes(), bytes);
        assert!(!entry.path.starts_with(b"/") && !entry.path.split(|byte| *byte == b'/').any(|part| part == b".."));
    }
});

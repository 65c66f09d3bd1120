//! Accepted verifier keys re-encode to the same text, and verifying with them does not panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(key) = tlog::VerifierKey::parse(text) {
        assert_eq!(key.encode(), text);
        assert!(!key.verify(b"", text.as_bytes()));
    }
});

//! Accepted evidence re-encodes to the same bytes, and what nobody signed convicts nobody.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(evidence) = tlog::evidence::Evidence::parse(bytes) {
        assert_eq!(evidence.encode().as_bytes(), bytes);
        assert!(evidence.verify(&[]).is_err());
    }
});

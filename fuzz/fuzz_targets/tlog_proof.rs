//! Accepted proofs re-encode to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(proof) = tlog::TlogProof::parse(bytes) {
        assert_eq!(proof.encode().as_bytes(), bytes);
        assert!(proof.proof.0.len() <= 63);
    }
});

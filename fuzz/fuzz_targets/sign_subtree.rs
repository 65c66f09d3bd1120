//! Accepted sign-subtree bodies re-encode to the same bytes, and their intervals are subtrees.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = tlog::witness::SignSubtree::parse(bytes) {
        assert_eq!(request.encode().as_bytes(), bytes);
        assert!(request.proof.0.len() <= 63 && tlog::merkle::is_subtree(request.start, request.end));
    }
});

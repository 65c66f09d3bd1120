//! Accepted policies mean the same after encoding, the encoding is stable, and judging by them ends.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(policy) = tlog::Policy::parse(bytes) else { return };
    let text = policy.encode();
    let again = tlog::Policy::parse(text.as_bytes()).expect("what was encoded parses");
    assert_eq!(again, policy);
    assert_eq!(again.encode(), text);
    assert!(policy.is_satisfied_by(&|_| true));
    assert_eq!(policy.is_satisfied_by(&|_| false), policy.is_unwitnessed());
    let _ = policy.has_disjoint_quorums();
});

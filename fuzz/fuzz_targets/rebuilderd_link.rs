//! Canonical JSON reads back as itself; and no link is believed without a signature.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../builder/src/rebuilderd/link.rs"]
mod link;

fuzz_target!(|text: &str| {
    let keys = link::parse_keys(text).unwrap_or_default();
    assert!(link::Link::verify(text.as_bytes(), &keys).is_err(), "nobody has signed this");
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return };
    let Some(canonical) = link::canonical(&value) else { return };
    let again: serde_json::Value = serde_json::from_slice(&canonical).expect("canonical JSON is JSON");
    assert_eq!(link::canonical(&again), Some(canonical));
});

//! The note of how far a mirror's copy reaches has one spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../witness/src/mirror/next.rs"]
mod next;

fuzz_target!(|bytes: &[u8]| {
    if let Some(tree) = next::parse(bytes) {
        assert_eq!(next::encode(&tree).as_deref(), Some(bytes));
    }
});

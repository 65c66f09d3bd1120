//! A list of backends that is read has one spelling, and that spelling reads as the same list.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The modules alone: the program around them would bring a whole HTTP server into the build.
#[allow(dead_code)]
#[path = "../../witness/src/bastion/allow.rs"]
mod allow;
#[allow(dead_code)]
#[path = "../../witness/src/bastion/key_hash.rs"]
mod key_hash;

use key_hash::KeyHash;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(list) = allow::Allowed::parse(bytes) {
        let spelling = list.encode();
        assert_eq!(allow::Allowed::parse(spelling.as_bytes()), Ok(list.clone()));
        assert_eq!(list.is_empty(), spelling.is_empty());
        assert!(spelling.lines().all(|line| KeyHash::parse(line).is_some_and(|hash| list.has(&hash))));
    }
});

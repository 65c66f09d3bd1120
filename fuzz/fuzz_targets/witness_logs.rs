//! A list of logs that is read has one spelling, and that spelling reads as the same list.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The module alone: the program around it would bring a whole HTTP server into the build.
#[allow(dead_code)]
#[path = "../../witness/src/logs.rs"]
mod logs;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(list) = logs::Logs::parse(bytes) {
        let spelling = list.encode();
        let again = logs::Logs::parse(spelling.as_bytes()).expect("what was written can be read");
        assert_eq!(again, list);
        assert_eq!(again.encode(), spelling);
        assert!(list.0.values().all(|log| !log.keys.is_empty() && log.urls.len() <= logs::MAX_URLS));
    }
});

//! A list that is read says the same when it is written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tally::expect::parse;

fuzz_target!(|text: &str| {
    if let Ok(list) = parse(text) {
        let written: String = list.iter().map(|expected| format!("{expected}\n")).collect();
        assert_eq!(parse(&written), Ok(list));
    }
});

//! What an auditor keeps: the tree that it has judged re-encodes to the same bytes, and an alert that is read says the same when written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tally::audit::{Alert, encode_tree, parse_tree, status};

fuzz_target!(|text: &str| {
    if let Some(tree) = parse_tree(text) {
        assert_eq!(encode_tree(&tree), text);
    }
    if let Ok(alert) = serde_json::from_str::<Alert>(text) {
        let written = serde_json::to_string(&alert).expect("it is written");
        assert_eq!(serde_json::from_str::<Alert>(&written).ok().as_ref(), Some(&alert));
        assert!(!alert.to_string().contains(char::is_control) && status(&[alert]) <= 3);
    }
});

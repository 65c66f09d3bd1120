//! Accepted verdicts re-encode to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tally::verdict::statement::Statement;

fuzz_target!(|bytes: &[u8]| {
    if let Some(statement) = Statement::parse(bytes) {
        assert_eq!(statement.encode(), bytes);
    }
});

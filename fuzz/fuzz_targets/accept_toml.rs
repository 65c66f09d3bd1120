//! An accept file that is read silences nothing that it does not name; anything else is refused without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tally::accept::Accept;
use tally::finding::{Finding, Kind};

fuzz_target!(|text: &str| {
    if let Ok(accept) = Accept::parse(text) {
        // No path and no digest, and a kind that cannot be accepted.
        let findings = vec![Finding::new(Kind::Warned, "w"), Finding::new(Kind::Modified, "m").at(b"/no/such\xff")];
        let left = accept.apply(findings.clone(), 0, false);
        assert_eq!(left[..2], findings);
    }
});

//! The answer to a batch: one result for each entry, and nothing in a refusal that a terminal would obey.
#![no_main]

use client::log::{BatchLine, Submitted, parse_batch};
use libfuzzer_sys::fuzz_target;
use tlog::TlogProof;

fuzz_target!(|body: &[u8]| {
    let count = body.iter().filter(|byte| **byte == b'\n').count().saturating_sub(1);
    for entries in [count, count + 1] {
        let Some(lines) = parse_batch(body, entries) else { continue };
        assert_eq!(lines.len(), entries);
        let checkpoints = lines.iter().filter_map(|line| match line {
            BatchLine::Submitted(Submitted::Proven(proof)) => Some(&proof.checkpoint),
            _ => None,
        });
        let checkpoints: Vec<_> = checkpoints.collect();
        assert!(checkpoints.windows(2).all(|pair| pair[0] == pair[1]), "the checkpoint comes once");
        for line in &lines {
            match line {
                BatchLine::Submitted(Submitted::Proven(proof)) => {
                    let text = proof.encode();
                    assert!(text.len() > TlogProof::MAX_BYTES || TlogProof::parse(text.as_bytes()).as_ref() == Ok(&**proof));
                }
                BatchLine::Submitted(Submitted::Pending) => {}
                BatchLine::Refused { status, reason } => assert!(*status >= 400 && !reason.contains(char::is_control)),
            }
        }
    }
});

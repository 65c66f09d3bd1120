//! The state of an unfinished check: an accepted file re-encodes to the same bytes. The input is the file without its last line, a digest.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../log-server/src/fsck"]
mod fsck {
    pub mod state;
    pub mod tally;
}

fuzz_target!(|body: &str| {
    let file = format!("{body}sha256 {}\n", tlog::Hash::digest(body.as_bytes()));
    if let Some(state) = fsck::state::State::parse(file.as_bytes()) {
        assert_eq!(state.encode(), file.as_bytes());
        assert!(state.structure.findings.len() <= fsck::tally::MAX_FINDINGS && state.listed.findings.len() <= fsck::tally::MAX_FINDINGS);
    }
    assert!(fsck::state::State::parse(body.as_bytes()).is_none() || body.len() > 72);
});

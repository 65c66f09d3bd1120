//! Staged objects that are accepted re-encode to the same bytes. The input is the file without its last line, a digest.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../log-server/src/layout.rs"]
mod layout;
#[allow(dead_code)]
#[path = "../../log-server/src/stage.rs"]
mod stage;

fuzz_target!(|body: &[u8]| {
    let file = [body, format!("sha256 {}\n", tlog::Hash::digest(body)).as_bytes()].concat();
    if let Ok(stage) = stage::Stage::parse(&file) {
        assert_eq!(stage.encode(), file);
        assert!(stage.new.size > stage.old.size);
    }
    assert!(stage::Stage::parse(body).is_err() || body.len() > 72);
});

//! What the container's apt is given says the same as what was read of the machine's lists, in either format.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../builder/src/sources.rs"]
mod sources;

fuzz_target!(|text: &str| {
    let Ok(mut read) = sources::parse(text, "list", &|_| true) else { return };
    let written = sources::encode(&read);
    for source in &mut read {
        if let Some(path) = source.uri.strip_prefix("file:") {
            source.uri = format!("copy:{path}");
        }
    }
    assert_eq!(sources::parse(&written, "list", &|_| true), Ok(read), "{written}");
});

//! PKCS#11 URIs that are understood have one spelling, and key files that name them re-encode to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../custody/src/uri.rs"]
mod uri;

use uri::{InToken, Uri};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(uri) = Uri::parse(text) {
        assert_eq!(Uri::parse(&uri.encode()).as_ref(), Ok(&uri));
    }
    if let Some(parsed) = InToken::parse(text) {
        assert_eq!(parsed.encode(), text);
    }
});

//! Accepted roles documents re-encode to the same bytes; what a draft becomes is accepted.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(roles) = attest::Roles::parse(text) {
        assert_eq!(roles.encode(), text);
    }
    if let Ok(roles) = attest::Roles::from_draft(text) {
        let document = roles.encode();
        assert!(attest::Roles::parse(&document).as_ref() == Ok(&roles) || document.len() > 40_000);
    }
});

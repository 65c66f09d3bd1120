//! Accepted package URLs and patterns are written the same; versions compare without panicking and in both directions.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(purl) = attest::Purl::parse(text) {
        assert_eq!(purl.to_string(), text);
    }
    if let Ok(scope) = attest::Scope::parse(text) {
        assert_eq!(scope.as_str(), text);
    }
    if let Some((a, b)) = text.split_once(' ') {
        assert_eq!(attest::version::compare_debian(a, b), attest::version::compare_debian(b, a).reverse());
    }
});

//! Accepted signing keys re-encode to the same text, and what they sign verifies.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    use tlog::Signer as _;
    if let Ok(key) = tlog::SigningKey::parse(text) {
        assert_eq!(*key.encode(), text);
        let signature = key.sign(b"message").expect("a key in memory signs");
        assert!(key.key().verify(b"message", &signature));
    }
});

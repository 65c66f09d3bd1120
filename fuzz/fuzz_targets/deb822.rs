//! Paragraphs keep every byte of their fields: encoded again, they parse to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use package::deb822::{Paragraph, paragraphs};

fuzz_target!(|bytes: &[u8]| {
    let parsed: Result<Vec<Paragraph<'_>>, _> = paragraphs(bytes).collect();
    if let Ok(all) = parsed {
        let encoded: Vec<Vec<u8>> = all.iter().map(Paragraph::encode).collect();
        for (paragraph, text) in all.iter().zip(&encoded) {
            let again = package::deb822::single(text).expect("an encoded paragraph is one paragraph");
            assert_eq!(again.fields, paragraph.fields);
            assert!(bytes.windows(text.len()).any(|window| window == text));
        }
    }
});

//! A bundle that parses encodes again to the same bytes, and each of its beginnings is a bundle too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tlog::bundle;

fuzz_target!(|input: (u16, &[u8])| {
    let (width, bytes) = input;
    let Ok(entries) = bundle::parse(bytes, width) else { return };
    let mut again = Vec::new();
    for (count, entry) in (0..).zip(&entries) {
        assert_eq!(bundle::cut(bytes, count), Ok(again.as_slice()));
        bundle::push(&mut again, entry).unwrap();
    }
    assert_eq!(again, bytes);
    assert_eq!(bundle::leaf_hashes(bytes, width).unwrap().len(), entries.len());
});

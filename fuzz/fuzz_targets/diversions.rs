//! Accepted diversions re-encode to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use package::dpkg::{Diversion, parse_diversions};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(diversions) = parse_diversions(bytes, "diversions") {
        let record = |d: &Diversion| [b"/", &d.from[..], b"\n/", &d.to, b"\n", d.by.as_deref().unwrap_or(":").as_bytes(), b"\n"].concat();
        assert_eq!(diversions.iter().flat_map(record).collect::<Vec<u8>>(), bytes);
    }
});

//! What was asked: an accepted file re-encodes to the same bytes. The input is the file without its last line, a digest.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tally::coverage::Coverage;
use tlog::Hash;

fuzz_target!(|body: &str| {
    let file = format!("{body}{}\n", Hash::digest(body.as_bytes()));
    let known = body.lines().nth(1).and_then(|line| Hash::from_hex(line.strip_prefix("known ")?)).unwrap_or(Hash::EMPTY);
    if let Some(coverage) = Coverage::parse(file.as_bytes(), &known) {
        assert_eq!(coverage.encode(&known), file.as_bytes());
        let other = Coverage::parse(file.as_bytes(), &Hash::EMPTY).expect("it is whole");
        assert!(known == Hash::EMPTY || (other.whole == 0 && other.names.values().all(|size| *size == 0)));
    }
    assert_eq!(Coverage::parse(body.as_bytes(), &known).filter(|_| !body.ends_with('\n')), None);
});

//! The payload alone: the bytes are the archive of a package whose header is sound. Its digest is checked last, so all of the reading is
//! done before a changed one is refused.
#![no_main]

use flate2::{Compression, write::GzEncoder};
use libfuzzer_sys::fuzz_target;
use package::deb::Limits;
use package::rpm::read;
use std::io::Write as _;

fuzz_target!(|bytes: &[u8]| {
    let mut payload = GzEncoder::new(include_bytes!("../../testdata/fuzz/sound.rpm-head").to_vec(), Compression::none());
    payload.write_all(bytes).expect("memory takes it");
    let file = payload.finish().expect("memory takes it");
    let limits = Limits { package: 1 << 21, payload: 1 << 20, ..Limits::default() };
    assert!(read(&file[..], &limits).is_err(), "no other bytes than rpm's own have the digest that the header names");
});

//! The same for a payload alone: the bytes are the uncompressed data archive of a package that is otherwise sound.
//! Every block's checksum is made right, so that mutated headers get past that check.
#![no_main]

use libfuzzer_sys::fuzz_target;
use package::deb::{Limits, read};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { package: 1 << 21, payload: 1 << 20, ..Limits::default() };
    let mut file = include_bytes!("../../testdata/fuzz/sound.deb-head").to_vec();
    file.extend_from_slice(format!("{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", "data.tar", 0, 0, 0, 100_644, bytes.len()).as_bytes());
    let mut payload = bytes.to_vec();
    for block in payload.chunks_exact_mut(512).filter(|block| block.iter().any(|byte| *byte != 0)) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    file.extend_from_slice(&payload);
    if bytes.len() % 2 == 1 {
        file.push(b'\n');
    }
    if let Ok(deb) = read(&file[..], &limits) {
        assert_eq!(attest::Manifest::parse(&deb.manifest.encode()).as_ref(), Ok(&deb.manifest));
        for entry in deb.manifest.entries() {
            assert!(!entry.path.starts_with(b"/") && !entry.path.split(|byte| *byte == b'/').any(|part| part == b".."));
        }
    }
});

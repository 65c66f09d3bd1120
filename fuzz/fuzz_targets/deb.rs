//! An accepted package file gives a manifest that is canonical, and the same one again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use package::deb::{Limits, read};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { package: 1 << 20, control: 1 << 20, payload: 1 << 20, ..Limits::default() };
    if let Ok(deb) = read(bytes, &limits) {
        let text = deb.manifest.encode();
        assert_eq!(attest::Manifest::parse(&text).as_ref(), Ok(&deb.manifest));
        assert_eq!(deb.size, bytes.len() as u64);
        assert_eq!(*deb.manifest.package(), deb.sha256);
        assert_eq!(read(bytes, &limits).as_ref(), Ok(&deb));
    }
});

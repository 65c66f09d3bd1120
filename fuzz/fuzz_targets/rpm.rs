//! An accepted rpm package gives a manifest that is canonical, and the same one again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use package::deb::Limits;
use package::rpm::read;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { package: 1 << 20, header: 1 << 20, payload: 1 << 20, ..Limits::default() };
    if let Ok(rpm) = read(bytes, &limits) {
        assert_eq!(attest::Manifest::parse(&rpm.manifest.encode()).as_ref(), Ok(&rpm.manifest));
        assert_eq!((rpm.size, *rpm.manifest.package()), (bytes.len() as u64, rpm.sha256));
        assert_eq!(read(bytes, &limits).as_ref(), Ok(&rpm));
    }
});

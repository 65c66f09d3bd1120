//! An accepted pacman package gives a manifest that is canonical, and the same one again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use package::alpm::read;
use package::deb::Limits;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { package: 1 << 20, control: 1 << 20, payload: 1 << 20, ..Limits::default() };
    if let Ok(package) = read(bytes, &limits) {
        assert_eq!(attest::Manifest::parse(&package.manifest.encode()).as_ref(), Ok(&package.manifest));
        assert_eq!((package.size, *package.manifest.package()), (bytes.len() as u64, package.sha256));
        assert_eq!(read(bytes, &limits).as_ref(), Ok(&package));
    }
});

//! An index of Alpine's with any bytes: refused or read, and what is signed is the end of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use package::apkindex::read;
use package::deb::Limits;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { control: 1 << 20, ..Limits::default() };
    if let Ok(index) = read(bytes, &limits) {
        assert!(bytes.ends_with(index.signed));
        assert_eq!(index.signed.len() == bytes.len(), index.signatures.is_empty());
        assert_eq!(read(bytes, &limits).as_ref(), Ok(&index));
    }
});

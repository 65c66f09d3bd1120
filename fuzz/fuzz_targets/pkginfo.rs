//! `.PKGINFO`: what is accepted means the same behind a comment.
#![no_main]

use libfuzzer_sys::fuzz_target;
use package::tarball::Info;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(info) = Info::parse(bytes) {
        let _ = info.identity();
        let commented = [b"# made\n", bytes].concat();
        assert_eq!(Info::parse(&commented), Ok(info));
    }
});

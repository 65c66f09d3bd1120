//! Headers as a database keeps them: an accepted one has a digest over its region, and its identity is read without fail.
#![no_main]

use libfuzzer_sys::fuzz_target;
use package::rpm::{Header, Identity};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(header) = Header::installed(bytes) {
        assert_eq!(Header::installed(bytes).map(|again| again.digest()), Ok(header.digest()));
        let _ = Identity::of(&header);
    }
});

//! Heads, packages and states of mirrors re-encode to the bytes that they were read from, and more bytes do not change what was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tlog::mirror::{MirrorInfo, Package, Upload};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(info) = MirrorInfo::parse(bytes) {
        assert_eq!(info.encode().as_bytes(), bytes);
    }
    let Ok(Some((upload, length))) = Upload::parse(bytes) else { return };
    assert_eq!(upload.encode().as_deref(), Some(&bytes[..length]));
    let (mut rest, mut last) = (&bytes[length..], upload.start);
    for span in upload.spans().take(64) {
        assert!(span.start == last && span.start < span.end && span.end <= upload.end && span.end - span.aligned <= 256);
        let Ok(Some((package, length))) = Package::parse(rest, span.count()) else { return };
        assert_eq!(package.entries.len(), span.count());
        let mut body = Vec::new();
        package.push(&mut body).expect("what was read is not too long");
        assert_eq!(body, rest[..length]);
        (rest, last) = (&rest[length..], span.end);
    }
});

//! A database of apk with any bytes: refused or read; what is read stays below the root, and each package stands there once.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(packages) = package::apkdb::parse(bytes) {
        assert!(packages.windows(2).all(|pair| pair[0].identity.name < pair[1].identity.name));
        let outside = |path: &Vec<u8>| path.starts_with(b"/") || path.split(|byte| *byte == b'/').any(|part| part == b"..");
        assert!(!packages.iter().flat_map(|package| &package.files).any(outside));
    }
});

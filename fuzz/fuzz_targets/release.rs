//! Paths in accepted indices never leave the repository.
#![no_main]

use libfuzzer_sys::fuzz_target;
use package::release::{Release, packages};

fuzz_target!(|bytes: &[u8]| {
    let clean = |path: &str| !path.starts_with('/') && !path.split('/').any(|part| matches!(part, "" | "." | ".."));
    if let Ok(release) = Release::parse(bytes) {
        assert!(release.files.iter().all(|file| clean(&file.path) && clean(&file.by_hash_path())));
    }
    assert!(packages(bytes).filter_map(Result::ok).all(|record| clean(&record.filename)));
});

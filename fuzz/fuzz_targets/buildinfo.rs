//! What is read of a .buildinfo becomes words of a shell script and a path: each is harmless, whatever the file says.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../builder/src/chain/source.rs"]
mod source;

/// Where the builder has it.
mod chain {
    pub use super::source::is_file_name;
}

#[allow(dead_code)]
#[path = "../../builder/src/rebuild/buildinfo.rs"]
mod buildinfo;

fuzz_target!(|bytes: &[u8]| {
    let Ok(read) = buildinfo::Buildinfo::parse(bytes) else { return };
    let harmless = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.~:=".contains(&byte));
    assert!([&read.source, &read.source_version, &read.version].into_iter().chain(&read.binaries).all(|word| harmless(word)));
    assert!(read.installed.iter().all(|package| harmless(package)) && read.installed.is_sorted());
    assert!(read.build_path.is_none_or(|path| path.starts_with('/') && !path.split('/').any(|part| part == "..")));
    assert!(read.environment.iter().all(|(name, value)| !name.contains('=') && !value.contains('\0')));
});

//! A source package that is found in an index has the name and version that were asked for, and plain file names.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../builder/src/chain/source.rs"]
mod source;

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some(record)) = source::find(bytes, "sed", "4.9-1") else { return };
    assert_eq!((record.name.as_str(), record.version.as_str()), ("sed", "4.9-1"));
    assert!(record.dsc().is_some() && record.files.iter().all(|file| !file.name.contains('/') && !file.name.starts_with('.')));
});

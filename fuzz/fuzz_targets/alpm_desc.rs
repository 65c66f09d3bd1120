//! What a database of pacman says about a package is words; each field stands once.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../builder/src/distro/desc.rs"]
mod desc;

fuzz_target!(|text: &str| {
    let Ok(package) = desc::parse_desc(text) else { return };
    let again = format!(
        "%NAME%\n{}\n\n%VERSION%\n{}\n\n%ARCH%\n{}\n\n%CSIZE%\n{}\n\n%SHA256SUM%\n{}\n\n%FILENAME%\n{}\n",
        package.name, package.version, package.architecture, package.size, package.sha256, package.filename
    );
    assert_eq!(desc::parse_desc(&again), Ok(package));
});

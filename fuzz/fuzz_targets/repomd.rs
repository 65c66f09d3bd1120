//! What repomd.xml and primary indexes name lies below the repository, and names and versions are words.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../builder/src/distro/primary.rs"]
mod primary;

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_below(href: &str) -> bool {
    is_word(href) && !href.starts_with('/') && href.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(index) = primary::parse_repomd(bytes) {
        assert!(is_below(&index.href));
    }
    for package in primary::parse_primary(bytes).unwrap_or_default() {
        assert!(is_below(&package.href) && [&package.name, &package.version, &package.architecture].into_iter().all(|text| is_word(text)));
        assert!(package.architecture != "src" && package.version.contains('-'));
    }
});

//! Any status file is read or refused; what is read holds no names that leave a directory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use package::dpkg::{Alternative, parse_status};

fuzz_target!(|bytes: &[u8]| {
    for package in parse_status(bytes, "status").unwrap_or_default() {
        assert!(!package.name.contains('/') && !package.architecture.contains('/') && !package.name.starts_with('.'));
        assert!(!(package.status.is_installed() && package.status.is_unfinished()));
    }
    if let Ok(group) = Alternative::parse("name", bytes, "alternatives/name") {
        assert!(group.choices.iter().all(|choice| choice.slaves.len() == group.slaves.len()));
    }
});

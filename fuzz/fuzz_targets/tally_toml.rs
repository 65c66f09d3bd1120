//! A configuration that is read has a whole cache path and a digest; anything else is refused without a panic.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tally::config::Config;

fuzz_target!(|text: &str| {
    if let Ok(config) = Config::parse(text, Path::new("/etc/tallystick/tally.toml")) {
        assert!([&config.witness_policy, &config.policy, &config.cache].iter().all(|path| path.is_absolute()));
        assert!(text.contains(&config.roles_sha256.to_hex()));
        assert_eq!(Config::parse(text, Path::new("/etc/tallystick/tally.toml")), Ok(config));
    }
});

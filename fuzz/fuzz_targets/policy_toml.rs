//! Rules that are read keep their limits; anything else is refused without a panic.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tally::config::Rules;

fuzz_target!(|text: &str| {
    if let Ok(rules) = Rules::parse(text, Path::new("/etc/tallystick/policy.toml")) {
        assert!(rules.builders >= 1);
        assert!(rules.accept.iter().all(|path| path.is_absolute()));
        assert!(rules.allow.iter().all(|(path, allowed)| path.starts_with(b"/") && allowed.iter().all(|state| state.mode <= 0o7777)));
        // The two directories that apt gives away are never lost.
        assert!(rules.allow.len() >= 2);
    }
});

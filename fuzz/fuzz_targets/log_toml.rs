//! Settings of a log that are read keep their limits and survive being written.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The module alone: the program around it would bring a whole HTTP server into the build.
#[allow(dead_code)]
#[path = "../../log-server/src/config.rs"]
mod config;
#[allow(dead_code)]
#[path = "../../log-server/src/rates.rs"]
mod rates;

fuzz_target!(|text: &str| {
    if let Ok(settings) = config::Settings::parse(text) {
        assert!(settings.batch_entries > 0 && settings.queue_bytes >= settings.batch_bytes && settings.connections > 0);
        assert_eq!(config::Settings::parse(&settings.encode()), Ok(settings));
    }
});

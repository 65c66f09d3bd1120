//! A builder's configuration that is read keeps its limits, and its paths stand on their own.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../builder/src/config.rs"]
mod config;

#[allow(dead_code)]
#[path = "../../builder/src/distro/manager.rs"]
mod distro;

#[allow(dead_code)]
#[path = "../../builder/src/service/config.rs"]
mod service;

/// What the configuration takes from the parts that run containers.
mod podman {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct IdRange {
        pub first: u32,
        pub count: u32,
    }
}

fuzz_target!(|text: &str| {
    let Ok(config) = config::Config::parse(text, Path::new("/etc/tallystick/builder.toml")) else { return };
    let optional = [&config.sources, &config.witness_policy, &config.container.socket, &config.bootstrap.cache];
    assert!([&config.dir, &config.keyring].into_iter().chain(optional.into_iter().flatten()).all(|path| path.is_absolute()));
    assert!((1..=5).contains(&config.observe_runs) && config.container.timeout > 0 && config.container.memory >= 64);
    assert_eq!(config.ids().is_some(), config.container.uid_range.is_some());
    assert!(config.ids().is_none_or(|ids| ids.count >= 65_536 && ids.first.checked_add(ids.count).is_some()));
    assert!((1..=604_800).contains(&config.run.interval) && config.run.scopes().len() == config.run.packages.len());
    assert_eq!(config.manager == distro::Manager::Apt, config.repositories.is_empty());
    assert!(config.repositories.iter().all(distro::Repository::is_sound));
    let target = config.log_target();
    assert_eq!(target.is_some(), config.log.is_some());
    assert!(target.is_none_or(|target| !target.keys.is_empty() && target.keys.len() == config.log_keys.len()));
});

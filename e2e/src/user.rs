//! A user of the world: a configuration that pins its roles, and the verifier's program.

use std::fs;
use std::process::Output;

use crate::program::run;
use crate::world::{World, path};

/// Someone who trusts what two builders say and the world's witnesses cosign.
pub struct User<'a> {
    world: &'a World,
}

impl<'a> User<'a> {
    /// Writes a configuration for the running log, whose heads may be `max_age` old.
    ///
    /// # Panics
    /// If the log is stopped or the files cannot be written.
    #[must_use]
    pub fn new(world: &'a World, max_age: &str) -> Self {
        let url = world.log.as_ref().expect("the log runs").url();
        let text = format!(
            "log = \"{url}\"\nwitness_policy = \"log.policy\"\npolicy = \"policy.toml\"\ncache = \"cache\"\nroles_sha256 = \"{}\"\n",
            world.roles_sha256
        );
        fs::write(world.at("tally.toml"), text).expect("written");
        fs::write(world.at("policy.toml"), format!("builders = 2\nmax_age = \"{max_age}\"\n")).expect("written");
        Self { world }
    }

    /// Runs `tally` with these arguments.
    #[must_use]
    pub fn tally(&self, arguments: &[&str]) -> Output {
        let config = self.world.at("tally.toml");
        run("tally", [&["--config", path(&config)], arguments].concat())
    }
}

//! A builder of the world that works with real containers: its own configuration, downloads and image, all removed at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::program::{self, run};
use crate::world::{ORIGIN, World, path};

/// One of the world's two builders, with a configuration. Its containers and image go when it is dropped.
pub struct Builder {
    home: PathBuf,
    config: PathBuf,
}

impl Builder {
    /// Writes the configuration file `NAME.toml` of the builder in the world's directory `home` for the running log, and `more` into it.
    ///
    /// # Panics
    /// If the log is stopped or the file cannot be written.
    #[must_use]
    pub fn new(world: &World, home: &str, name: &str, more: &str) -> Self {
        let keys: Vec<String> = world.log_keys.iter().map(|key| format!("{:?}", key.encode())).collect();
        let log = world.log.as_ref().expect("the log runs").url();
        let text = format!(
            "dir = \"{home}\"\nlog = \"{log}\"\norigin = \"{ORIGIN}\"\nlog_keys = [{}]\nwitness_policy = \"log.policy\"\n{more}",
            keys.join(", ")
        );
        let config = world.at(&format!("{name}.toml"));
        fs::write(&config, text).expect("written");
        Self { home: world.at(home), config }
    }

    /// Attests packages and waits for it, at most an hour.
    ///
    /// # Panics
    /// If the program cannot be started.
    #[must_use]
    pub fn attest<S: AsRef<str>>(&self, packages: &[S]) -> Output {
        let mut command = Command::new("timeout");
        command.args(["-k", "30", "3600"]).arg(program::path("tally-builder")).args(["attest", "--config", path(&self.config)]);
        command.args(packages.iter().map(AsRef::as_ref)).output().expect("tally-builder starts")
    }

    /// Builds targets again and waits for it, at most two hours; one JSON object a line. What dpkg recorded of the builds is in `records` of its
    /// directory.
    ///
    /// # Panics
    /// If the program cannot be started.
    #[must_use]
    pub fn rebuild<S: AsRef<str>>(&self, targets: &[S]) -> Output {
        let mut command = Command::new("timeout");
        command.args(["-k", "30", "7200"]).arg(program::path("tally-builder")).args(["rebuild", "--json", "--config", path(&self.config)]);
        command.args(["--record", path(&self.home.join("records"))]);
        command.args(targets.iter().map(AsRef::as_ref)).output().expect("tally-builder starts")
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The builder's directory.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The ID of the image that its containers are made from, once it has one.
    ///
    /// # Panics
    /// If it has none.
    #[must_use]
    pub fn image(&self) -> String {
        let text = fs::read(self.home.join("image.json")).expect("an image");
        let pin: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        pin["id"].as_str().expect("an ID").to_owned()
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        let output = run("tally-builder", ["clean", "--config", path(&self.config)]);
        if !output.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

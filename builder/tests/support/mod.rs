//! What several tests need: a builder's directory, package files, a signed repository, a log of one process.
#![allow(dead_code, reason = "every test file uses another part")]

pub mod containers;
pub mod log;
pub mod repository;
pub mod service;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tally_builder::home::Home;
use tlog::{KeyName, VerifierKey};

/// Where the tests of this machine share what is slow to make.
pub fn cache() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("builder-cache")
}

/// A builder's directory below `dir`.
pub fn builder(dir: &Path, name: &str) -> (Home, VerifierKey) {
    let path = dir.join(name);
    let key = Home::create(&path, &KeyName::parse(&format!("example.org/{name}")).unwrap()).unwrap();
    (Home::open(&path).unwrap(), key)
}

/// Runs the program and waits for it, at most `seconds`.
pub fn tally_builder(arguments: &[&str], seconds: u32) -> Output {
    let program = env!("CARGO_BIN_EXE_tally-builder");
    Command::new("timeout").arg("-k5").arg(seconds.to_string()).arg(program).args(arguments).output().unwrap()
}

/// Both outputs of a program, for messages.
pub fn text(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a tool that must succeed.
pub fn tool(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    output.stdout
}

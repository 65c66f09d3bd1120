//! What the tests share: running tools, and directories that are kept between runs.
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A file of this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A directory below `target/tmp` that outlives the test.
pub fn kept(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&directory).expect("target/tmp is writable");
    directory
}

/// True when a program is there; says loudly when not.
pub fn have(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$0\" >/dev/null", program]).status().is_ok_and(|status| status.success());
    if !found {
        eprintln!("SKIPPED: {program} is not installed, so this test proves NOTHING here");
    }
    found
}

/// Runs a command and returns its output; fails the test when the command fails.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    output
}

/// Runs a command and returns its standard output as text.
pub fn text(command: &mut Command) -> String {
    String::from_utf8(run(command).stdout).expect("UTF-8")
}

/// The second implementation's manifests of packages: writes `NAME.deb.mtree` into `out`.
pub fn oracle(out: &Path, packages: &[PathBuf]) {
    for some in packages.chunks(50) {
        run(Command::new("python3").arg(repository("package/tests/oracle.py")).arg(out).args(some));
    }
}

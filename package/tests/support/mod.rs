//! What the tests share: running tools, and directories that are kept between runs.
#![allow(dead_code, reason = "each test file uses its part")]

use attest::Manifest;
use attest::manifest::{Class, Node};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
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

/// Every line of a manifest must hold for what another tool unpacked into a directory.
pub fn holds_for(manifest: &Manifest, directory: &Path) {
    let mut groups: BTreeMap<u64, u64> = BTreeMap::new();
    let mut found = 0;
    for entry in manifest.entries() {
        let shipped = entry.class != Class::NoVerify || matches!(entry.node, Node::File { .. });
        if entry.class == Class::Implied || !shipped {
            continue;
        }
        let path = directory.join(std::ffi::OsStr::from_bytes(&entry.path));
        let there = fs::symlink_metadata(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let same = match &entry.node {
            Node::File { size, sha256 } => {
                there.is_file() && there.len() == *size && hex::encode(Sha256::digest(fs::read(&path).unwrap())) == sha256.to_hex()
            }
            Node::Dir => there.is_dir(),
            Node::Link(target) => there.is_symlink() && fs::read_link(&path).unwrap().as_os_str().as_bytes() == target,
            Node::Char(device) => there.file_type().is_char_device() && there.rdev() == *device,
            Node::Block(device) => there.file_type().is_block_device() && there.rdev() == *device,
            Node::Fifo => there.file_type().is_fifo(),
            Node::Ghost => false,
        };
        assert!(same, "{}", entry.encode());
        assert!(there.is_symlink() || there.mode() & 0o7777 == entry.attributes.as_ref().unwrap().mode, "{}", entry.encode());
        if let Some(group) = entry.hardlink {
            assert_eq!(*groups.entry(group).or_insert(there.ino()), there.ino(), "{}", entry.encode());
        }
        found += 1;
    }
    assert!(found > 0 || manifest.entries().len() == 1, "nothing was compared");
}

/// The root of a Debian suite, to be changed at will: what is written lies beside the one that is kept.
pub struct Suite {
    dir: tempfile::TempDir,
}

impl Suite {
    /// With these packages, bootstrapped if nobody did so before. Needs root.
    pub fn new(suite: &str, packages: &str) -> Self {
        let base = text(Command::new(repository(".ci/root")).args([suite, packages]));
        let dir = tempfile::tempdir().unwrap();
        let script = "mkdir upper work root && mount -t overlay overlay -o lowerdir=\"$1\",upperdir=upper,workdir=work root && rm -f root/dev/null && mknod -m 666 root/dev/null c 1 3";
        run(Command::new("sh").args(["-euc", script, "-", base.trim()]).current_dir(dir.path()));
        Self { dir }
    }

    /// Where it is.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// A program of it, which runs inside.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new("chroot");
        command.arg(self.root()).arg(name).env("LC_ALL", "C").env("HOME", "/root");
        command
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.root()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// Debian's newest rpm, with what else tests of other package managers want of it: one root for all of them.
pub const SID: [&str; 2] =
    ["sid", "zypper,dnf,dnf5,python3-libdnf5-python-plugins-loader,pacman-package-manager,makepkg,createrepo-c,rpm,zstd,libarchive-tools"];

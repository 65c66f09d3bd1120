//! Roots of Debian suites, whose package managers are of another generation than this machine's.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::packages::sh;

/// Of today, and of Debian 12: one root each for all tests of package managers.
pub const SID: [&str; 2] =
    ["sid", "zypper,dnf,dnf5,python3-libdnf5-python-plugins-loader,pacman-package-manager,makepkg,createrepo-c,rpm,zstd,libarchive-tools"];
pub const BOOKWORM: [&str; 2] = ["bookworm", "zypper,dnf,pacman-package-manager,makepkg,createrepo-c,rpm,zstd,libarchive-tools"];

/// A root to be changed at will: what is written lies beside the one that is kept.
pub struct Suite {
    dir: tempfile::TempDir,
}

impl Suite {
    /// With these packages, bootstrapped if nobody did so before.
    pub fn new([suite, packages]: [&str; 2]) -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests work inside roots of their own");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/root");
        let output = Command::new(script).args([suite, packages]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let base = String::from_utf8(output.stdout).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mount = "mkdir upper work root; mount -t overlay overlay -o lowerdir=BASE,upperdir=$PWD/upper,workdir=$PWD/work root";
        sh(dir.path(), &mount.replace("BASE", base.trim()));
        sh(dir.path(), "rm -f root/dev/null; mknod -m 666 root/dev/null c 1 3; mount -t proc proc root/proc");
        Self { dir }
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// Runs a script inside, which must succeed, and gives what it says.
    pub fn run(&self, script: &str) -> String {
        let mut command = Command::new("timeout");
        command.args(["300", "chroot"]).arg(self.root()).args(["bash", "-euc", script]);
        let output = command.env("LC_ALL", "C").env("HOME", "/root").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{script}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        for place in ["root/proc", "root"] {
            let unmounted = Command::new("umount").arg("-l").arg(self.dir.path().join(place)).status();
            assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
        }
    }
}

//! The Debian root that holds the peers' programs, and how to run them in it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// How long a peer may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);
/// In a mount namespace of its own, so that the root stays as it was made: `$1` is the root, `$2` what becomes `/mnt`.
const ENTER: &str = r#"root=$1 work=$2; shift 2
mount --bind "$work" "$root/mnt" && mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" || exit 125
cd / && exec chroot "$root" env -C /mnt/run -i PATH=/usr/bin:/bin HOME=/mnt/run GOPATH=/usr/share/gocode GO111MODULE=off GOFLAGS=-p=2 \
    GOCACHE=/mnt/cache GODEBUG=httpmuxgo121=0 "$@""#;

/// The root, and a directory that the programs in it see as `/mnt`: `run` is new each time, `cache` and `bin` stay.
pub struct Root {
    path: PathBuf,
    work: PathBuf,
}

/// A peer's server, killed when dropped.
pub struct Peer {
    child: Child,
    log: PathBuf,
}

impl Root {
    /// The root that the environment names, with `TALLY_INTEROP_WORK` beside it.
    ///
    /// # Errors
    /// If the variables are missing.
    pub fn from_environment() -> anyhow::Result<Self> {
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).with_context(|| format!("{name} is not set: make interop"));
        let root = Self { path: variable("TALLY_INTEROP_ROOT")?, work: variable("TALLY_INTEROP_WORK")? };
        let run = root.work.join("run");
        if run.exists() {
            // Sunlight makes what it has published immutable, where the file system can; where it cannot, nothing has to be undone.
            let _ = Command::new("chattr").args(["-R", "-f", "-i"]).arg(&run).status();
            fs::remove_dir_all(&run)?;
        }
        for name in ["run", "cache", "bin"] {
            fs::create_dir_all(root.work.join(name))?;
        }
        Ok(root)
    }

    /// A file of this run, as it is called outside; inside it is `/mnt/run/NAME`.
    pub fn at(&self, name: &str) -> PathBuf {
        self.work.join("run").join(name)
    }

    /// Copies a directory into this run.
    ///
    /// # Errors
    /// If `cp` cannot.
    pub fn copy(&self, from: &str, name: &str) -> anyhow::Result<()> {
        ensure!(Command::new("cp").args(["-rT", from]).arg(self.at(name)).status()?.success(), "copying {from}");
        Ok(())
    }

    fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", ENTER, "sh"]).arg(&self.path).arg(&self.work).args(arguments);
        command
    }

    /// Runs a program of the root to its end and returns what it printed.
    ///
    /// # Errors
    /// With what it said, if it did not succeed.
    pub fn run(&self, arguments: &[&str], input: &Path) -> anyhow::Result<String> {
        let output = self.command(arguments).stdin(File::open(input)?).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {}: {}", output.status, last_lines(&said));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The same without input.
    ///
    /// # Errors
    /// As for [`Root::run`].
    pub fn tell(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.run(arguments, Path::new("/dev/null"))
    }

    /// Starts a server and waits until it listens at `address`.
    ///
    /// # Errors
    /// With what it said, if it ends first.
    pub fn start(&self, name: &str, arguments: &[&str], address: SocketAddr) -> anyhow::Result<Peer> {
        let log = self.at(&format!("{name}.stderr"));
        let file = File::create(&log)?;
        let child = self.command(arguments).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn()?;
        let mut peer = Peer { child, log };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = peer.child.try_wait()? {
                bail!("{name} ended with {status}: {}", last_lines(&peer.said()));
            }
            ensure!(started.elapsed() < PATIENCE, "{name} does not listen at {address}: {}", last_lines(&peer.said()));
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(peer)
    }
}

impl Peer {
    /// What it has said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of this machine that was free just now: for peers that cannot say which one they took.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().rev().take(6).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

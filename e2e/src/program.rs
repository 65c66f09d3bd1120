//! The programs as a user starts them: separate processes, found beside the tests that run them.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take to announce itself, or to end when told to.
const PATIENCE: Duration = Duration::from_secs(60);

/// The path of one of the programs: beside this executable, or one directory above.
///
/// # Panics
/// If it is not built; `cargo build --bins` builds all of them.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("this executable has a path");
    let found = this.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built: run `cargo build --bins` first"))
}

/// Runs a program to its end and returns what it printed and its status.
///
/// # Panics
/// If it cannot be started.
pub fn run<A: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = A>) -> Output {
    Command::new(path(name)).args(arguments).output().expect("the program starts")
}

/// Waits until it is so.
///
/// # Panics
/// If it is not so after a minute.
pub fn wait_until(mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "it did not happen within a minute");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A server, killed when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Program {
    /// Starts a server and waits for its first line, `listening on ADDRESS`. Its standard error goes to the file `log`.
    ///
    /// # Errors
    /// With the end of the log, if the server ends or says something else first.
    pub fn start<A: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = A>, log: &Path) -> io::Result<Self> {
        Self::start_in(name, arguments, log, &[])
    }

    /// The same with more in its environment.
    ///
    /// # Errors
    /// As for [`Program::start`].
    pub fn start_in<A: AsRef<OsStr>>(
        name: &str,
        arguments: impl IntoIterator<Item = A>,
        log: &Path,
        environment: &[(&str, String)],
    ) -> io::Result<Self> {
        let mut child = Command::new(path(name))
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(log)?)
            .spawn()?;
        let mut first = String::new();
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut lines = BufReader::new(stdout);
        lines.read_line(&mut first)?;
        // Keeps the pipe open and empty for as long as the server runs.
        std::thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
        match first.trim_end().strip_prefix("listening on ").and_then(|address| address.parse().ok()) {
            Some(address) => Ok(Self { child, address, log: log.to_owned() }),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                let said = std::fs::read_to_string(log).unwrap_or_default();
                let end: Vec<&str> = said.lines().rev().take(5).collect();
                Err(io::Error::other(format!("{name} did not start: {first:?} {end:?}")))
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens, as `host:port`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard error.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it at once, as a crash does.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end (SIGTERM) and waits for that.
    ///
    /// # Errors
    /// If it has not ended after a minute.
    pub fn terminate(mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        Ok(kill_process(pid, signal)?)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

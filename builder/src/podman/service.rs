//! Podman's API service: found, or started and ended here.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bollard::{ClientVersion, Docker};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::{PodmanError, Settings};
use crate::home::WORK;

/// A socket that answers, and the process behind it if it is ours.
pub(super) struct Service {
    child: Option<Child>,
    runtime: Option<String>,
    /// Holds socket, log and temporary files of a started service; removed with it.
    scratch: Option<Scratch>,
}

/// The directories of one service.
struct Scratch {
    /// Podman copies whole images here and forgets them.
    temporary: TempDir,
    /// Where the socket's path is short enough.
    socket: TempDir,
}

impl Service {
    /// Uses the configured socket, or one of the usual ones, or starts a service.
    pub(super) async fn open(settings: &Settings) -> Result<(Self, Docker), PodmanError> {
        if let Some(socket) = &settings.socket {
            let docker = connect(socket).await.map_err(|error| PodmanError::NoService(error.to_string()))?;
            return Ok((Self { child: None, runtime: None, scratch: None }, docker));
        }
        if settings.runtime.is_none() {
            for socket in usual_sockets() {
                if let Ok(docker) = connect(&socket).await {
                    return Ok((Self { child: None, runtime: None, scratch: None }, docker));
                }
            }
        }
        let mut service = Self { child: None, runtime: settings.runtime.clone(), scratch: Some(Scratch::new(&settings.dir)?) };
        let docker = service.start().await?;
        Ok((service, docker))
    }

    /// The process whose limits bound those of containers, if it was started here.
    pub(super) fn process(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Where its temporary files are, if it was started here.
    pub(super) fn temporary(&self) -> Option<&Path> {
        self.scratch.as_ref().map(|scratch| scratch.temporary.path())
    }

    /// The runtimes worth trying, in order; `None` is Podman's own choice. A service that others started keeps its runtime.
    pub(super) fn runtimes(&self, settings: &Settings) -> Vec<Option<String>> {
        if self.child.is_none() || settings.runtime.is_some() {
            return vec![self.runtime.clone()];
        }
        let installed = |name: &str| RUNTIME_DIRS.iter().any(|dir| Path::new(dir).join(name).exists());
        std::iter::once(None).chain(RUNTIMES.into_iter().filter(|name| installed(name)).map(|name| Some(name.to_owned()))).collect()
    }

    pub(super) fn uses(&self, runtime: Option<&str>) -> bool {
        self.runtime.as_deref() == runtime
    }

    /// Ends the service and starts it again with another runtime.
    pub(super) async fn restart(&mut self, settings: &Settings, runtime: Option<String>) -> Result<Docker, PodmanError> {
        self.stop().await;
        self.scratch = Some(Scratch::new(&settings.dir)?);
        self.runtime = runtime;
        self.start().await
    }

    pub(super) async fn close(mut self) {
        self.stop().await;
    }

    async fn start(&mut self) -> Result<Docker, PodmanError> {
        let scratch = self.scratch.as_ref().ok_or(PodmanError::Answer("no directory for the socket"))?;
        let (log, socket) = (scratch.temporary.path().join("log"), scratch.socket.path().join("s"));
        let errors = std::fs::File::create(&log).map_err(PodmanError::io(log.display().to_string()))?;
        let mut command = podman()?;
        command.env("TMPDIR", scratch.temporary.path());
        if let Some(runtime) = &self.runtime {
            command.arg("--runtime").arg(runtime);
        }
        // Should this process be killed, the service ends with it or, where that cannot be had, once it has been idle.
        command.args(["system", "service", "--time", IDLE_SECONDS]).arg(format!("unix://{}", socket.display()));
        // A group of its own: an interruption from the terminal must reach this process first, which still has to clean up.
        command.process_group(0).kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        self.child = Some(command.spawn().map_err(PodmanError::io("starting podman"))?);
        self.wait_for(&socket, &log).await
    }

    async fn wait_for(&mut self, socket: &Path, log: &Path) -> Result<Docker, PodmanError> {
        let deadline = Instant::now() + START_TIME;
        loop {
            if let Ok(docker) = connect(socket).await {
                return Ok(docker);
            }
            let ended = self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if ended || Instant::now() > deadline {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                return Err(PodmanError::NoService(text.lines().last().unwrap_or("it says nothing").to_owned()));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if let Some(pid) = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
            // It may have ended by itself; then there is nothing to tell.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if timeout(STOP_TIME, child.wait()).await.is_err() {
            let _ = child.kill().await;
        }
        self.scratch = None;
    }
}

async fn connect(socket: &Path) -> Result<Docker, bollard::errors::Error> {
    let docker = Docker::connect_with_unix(&socket.to_string_lossy(), REQUEST_SECONDS, &API_VERSION)?;
    match timeout(Duration::from_secs(5), docker.ping()).await {
        Ok(answer) => answer.map(|_| docker),
        Err(_) => Err(bollard::errors::Error::RequestTimeoutError),
    }
}

fn usual_sockets() -> Vec<PathBuf> {
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("podman/podman.sock"));
    let system = rustix::process::geteuid().is_root().then(|| PathBuf::from("/run/podman/podman.sock"));
    system.into_iter().chain(own).collect()
}

impl Scratch {
    /// Below the builder's `work`; the socket, whose whole path has at most 107 bytes, below /tmp where that is too deep.
    fn new(dir: &Path) -> Result<Self, PodmanError> {
        let work = dir.join(WORK);
        let socket = if work.as_os_str().len() <= 80 { &work } else { Path::new("/tmp") };
        let make = |parent: &Path| {
            let made = tempfile::Builder::new().prefix(&prefix(dir)).tempdir_in(parent);
            made.map_err(PodmanError::io(format!("a directory in {}", parent.display())))
        };
        Ok(Self { temporary: make(&work)?, socket: make(socket)? })
    }
}

/// Names that tell whose they are, also where others have theirs.
fn prefix(dir: &Path) -> String {
    format!("podman-{:.12}-", tlog::Hash::digest(dir.as_os_str().as_encoded_bytes()).to_hex())
}

/// Removes what services of killed runs left below /tmp; the caller holds the lock of the builder's directory.
pub(super) fn clear(dir: &Path) {
    let own = |entry: &std::fs::DirEntry| {
        let is_ours = entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw());
        is_ours && entry.file_name().to_string_lossy().starts_with(&prefix(dir))
    };
    for entry in std::fs::read_dir("/tmp").into_iter().flatten().flatten().filter(own) {
        // Best effort: a leftover socket costs nothing.
        let _ = std::fs::remove_dir_all(entry.path());
    }
}

/// `podman`, told to end when this process ends in whatever way, if util-linux is there to arrange it.
fn podman() -> Result<Command, PodmanError> {
    let found = |name: &str| std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(name).is_file());
    if !found("podman") {
        return Err(PodmanError::NotInstalled);
    }
    if !found("setpriv") {
        return Ok(Command::new("podman"));
    }
    let mut command = Command::new("setpriv");
    // Not TERM: a service that waits for a container of the killed run ignores it for long, and holds Podman's locks meanwhile.
    command.args(["--pdeathsig", "KILL", "podman"]);
    Ok(command)
}

/// What Podman 4.3 speaks, and later versions still do.
const API_VERSION: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };
/// A request lasts as long as the container that it waits for.
const REQUEST_SECONDS: u64 = 24 * 3600;
const IDLE_SECONDS: &str = "900";
const START_TIME: Duration = Duration::from_secs(20);
const STOP_TIME: Duration = Duration::from_secs(10);
const RUNTIMES: [&str; 2] = ["crun", "runc"];
const RUNTIME_DIRS: [&str; 4] = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];

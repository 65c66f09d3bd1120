//! The image that all containers of a builder are made from: bootstrapped or found once, then pinned by its digest.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use tlog::Hash;
use tokio::process::{Child, Command};

use crate::config::{BOOTSTRAP, Config};
use crate::home::{Home, move_durably, write_durably};
use crate::podman::{Podman, PodmanError};
use crate::progress::Progress;
use crate::sources::{self, Source, SourcesError};

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Podman failed.
    #[error(transparent)]
    Podman(#[from] PodmanError),
    /// There is nothing to bootstrap from.
    #[error(transparent)]
    Sources(#[from] SourcesError),
    /// Neither of the programs that bootstrap is there.
    #[error("neither mmdebstrap nor debootstrap is installed")]
    NoTool,
    /// The program that bootstraps failed.
    #[error("bootstrapping {suite} failed: {reason}")]
    Bootstrap {
        /// Which suite.
        suite: String,
        /// The last thing that it said.
        reason: String,
    },
    /// The system failed.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
}

impl ImageError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Podman(error) => error.hint(),
            Self::Sources(error) => error.hint(),
            Self::NoTool => "install it: apt-get install mmdebstrap; or name an image reference as `image` in the configuration",
            Self::Bootstrap { .. } => {
                "check mirror, suite and keyring; as a user other than root, mmdebstrap needs the package uidmap and a range in /etc/subuid"
            }
            Self::Io { .. } => "check that the disk is not full and that the builder's directory belongs to you",
        }
    }
}

/// What is remembered about the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pin {
    /// The configured reference, or `bootstrap`.
    reference: String,
    /// What a bootstrapped root depends on; empty for references.
    basis: String,
    /// `sha256:` and 64 digits.
    id: String,
}

/// The ID of the pinned image; makes or finds it the first time, and whenever it has gone.
///
/// # Errors
/// If it can neither be found nor made.
pub async fn pinned(podman: &Podman, config: &Config, home: &Home, progress: &Progress) -> Result<String, ImageError> {
    let path = home.dir().join("image.json");
    let old: Option<Pin> = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let sources = if config.image == BOOTSTRAP { machine_sources(config)? } else { Vec::new() };
    let basis = if config.image == BOOTSTRAP { basis(config, &sources)? } else { String::new() };
    if let Some(pin) = old.filter(|pin| pin.reference == config.image && pin.basis == basis) {
        if podman.image_id(&pin.id).await?.is_some() {
            podman.sweep_images(Some(&pin.id)).await?;
            return Ok(pin.id);
        }
        tracing::warn!("the pinned image {} is gone; a new one is pinned", pin.id);
    }
    let id = if config.image == BOOTSTRAP {
        let archive = bootstrapped(config, home, &sources, &basis, progress).await?;
        let step = progress.step("importing the image");
        let id = podman.import(&archive, &format!("localhost/tallystick-{}", &basis[..16])).await?;
        step.done(&format!("image {} imported", short(&id)));
        id
    } else {
        find(podman, &config.image, progress).await?
    };
    let pin = Pin { reference: config.image.clone(), basis, id };
    let text = serde_json::to_vec(&pin).map_err(|error| io(&path)(error.into()))?;
    write_durably(&path, &text).map_err(io(&path))?;
    // The one before, and what was imported and never pinned because a run was killed.
    podman.sweep_images(Some(&pin.id)).await?;
    Ok(pin.id)
}

/// Forgets the pin, so that the next run makes or finds the image afresh; a bootstrapped root in the cache goes too.
///
/// # Errors
/// If a file cannot be removed.
pub fn forget(config: &Config, home: &Home) -> Result<(), ImageError> {
    let mut paths = vec![home.dir().join("image.json")];
    if config.image == BOOTSTRAP {
        let sources = machine_sources(config)?;
        paths.push(archive_path(config, home, &basis(config, &sources)?));
    }
    for path in paths {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(&path)(error)),
            _ => {}
        }
    }
    Ok(())
}

/// Removes every image that the builder imported from Podman's storage; images of others stay.
///
/// # Errors
/// If Podman refuses.
pub async fn discard(podman: &Podman) -> Result<(), ImageError> {
    Ok(podman.sweep_images(None).await?)
}

/// The sources of a bootstrapped root: configured ones, a configured mirror, or the machine's own.
///
/// # Errors
/// If there are none for the suite, or one is refused.
pub fn machine_sources(config: &Config) -> Result<Vec<Source>, SourcesError> {
    if let Some(mirror) = &config.bootstrap.mirror {
        let source = Source {
            uri: mirror.trim_end_matches('/').to_owned(),
            suite: config.suite.clone(),
            components: vec!["main".to_owned()],
            snapshot: None,
        };
        return Ok(vec![source]);
    }
    sources::of_directory(Path::new("/etc/apt"), &config.suite)
}

async fn find(podman: &Podman, reference: &str, progress: &Progress) -> Result<String, ImageError> {
    if let Some(id) = podman.image_id(reference).await? {
        return Ok(id);
    }
    let step = progress.step(&format!("pulling {reference}"));
    let id = podman.pull(reference).await?;
    step.done(&format!("image {reference} pulled as {}", short(&id)));
    Ok(id)
}

fn basis(config: &Config, sources: &[Source]) -> Result<String, ImageError> {
    let keyring = std::fs::read(&config.keyring).map_err(io(&config.keyring))?;
    let text = format!("{}\n{}\n{}\n{}", config.suite, std::env::consts::ARCH, sources::encode(sources), Hash::digest(&keyring));
    Ok(Hash::digest(text.as_bytes()).to_hex())
}

fn archive_path(config: &Config, home: &Home, basis: &str) -> PathBuf {
    let dir = config.bootstrap.cache.clone().unwrap_or_else(|| home.dir().join("cache"));
    dir.join(format!("root-{}-{}.tar", config.suite, &basis[..16]))
}

/// The root's archive from the cache, or a new one. Builders that share a cache wait for each other.
async fn bootstrapped(config: &Config, home: &Home, sources: &[Source], basis: &str, progress: &Progress) -> Result<PathBuf, ImageError> {
    let archive = archive_path(config, home, basis);
    let dir = archive.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).map_err(io(dir))?;
    let lock = wait_for_lock(dir.join("lock")).await?;
    if archive.exists() {
        return Ok(archive);
    }
    clear(dir);
    let step = progress.step(&format!("bootstrapping {} (about half a minute)", config.suite));
    let scratch = tempfile::Builder::new().prefix(SCRATCH).tempdir_in(dir).map_err(io(dir))?;
    let made = scratch.path().join("root.tar");
    bootstrap(config, sources, &made, scratch.path()).await?;
    // Whoever finds it later takes it as it is.
    std::fs::File::open(&made).and_then(|file| file.sync_all()).map_err(io(&made))?;
    move_durably(&made, &archive).map_err(io(&archive))?;
    drop(lock);
    step.done(&format!("{} bootstrapped", config.suite));
    Ok(archive)
}

/// Removes what killed runs left; the caller holds the directory's lock. Where something is still mounted (debootstrap mounts /proc) nothing
/// is touched.
fn clear(dir: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let is_free = |path: &Path| !mounts.contains(&format!("{}/", path.display()));
    let left = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with(SCRATCH) && is_free(&entry.path());
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten().filter(left) {
        // Best effort: a leftover costs space, not correctness.
        let _ = std::fs::remove_dir_all(entry.path());
    }
}

async fn wait_for_lock(path: PathBuf) -> Result<std::fs::File, ImageError> {
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(io(&path))?;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => tokio::time::sleep(std::time::Duration::from_secs(1)).await,
            Err(error) => return Err(io(&path)(error.into())),
        }
    }
}

async fn bootstrap(config: &Config, sources: &[Source], target: &Path, scratch: &Path) -> Result<(), ImageError> {
    let keyring = format!("--keyring={}", config.keyring.display());
    let mut command = Command::new("mmdebstrap");
    command.args(["--variant=minbase", "--format=tar", "--aptopt=Acquire::Languages \"none\"", &keyring]);
    command.arg(&config.suite).arg(target).args(sources::encode(sources).lines());
    match run(command, config, scratch).await {
        Err(ImageError::NoTool) => debootstrap(config, sources, &keyring, target, scratch).await,
        result => result,
    }
}

/// The older program makes a directory, from one mirror and one suite: enough for a root, whose packages apt updates afterwards.
async fn debootstrap(config: &Config, sources: &[Source], keyring: &str, target: &Path, scratch: &Path) -> Result<(), ImageError> {
    let root = scratch.join("root");
    let mirror = sources.iter().find(|source| source.suite == config.suite).map_or("", |source| &source.uri);
    let mut command = Command::new("/usr/sbin/debootstrap");
    command.args(["--variant=minbase", keyring, &config.suite]).arg(&root).arg(mirror);
    run(command, config, scratch).await?;
    let mut command = Command::new("tar");
    command.args(["--create", "--numeric-owner", "--xattrs", "--xattrs-include=security.capability", "--file"]).arg(target);
    command.arg("--directory").arg(&root).args(["--exclude=./var/cache/apt/archives/*.deb", "--exclude=./var/lib/apt/lists/*_*", "."]);
    run(command, config, scratch).await
}

async fn run(mut command: Command, config: &Config, scratch: &Path) -> Result<(), ImageError> {
    let log = scratch.join("log");
    let open = std::fs::File::create(&log).and_then(|output| Ok((output.try_clone()?, output)));
    let (output, errors) = open.map_err(io(&log))?;
    // Temporary roots stand below TMPDIR, and go when the program is told to end; a group of its own lets it be told with its children.
    command.env("TMPDIR", scratch).process_group(0).stdin(Stdio::null()).stdout(output).stderr(errors);
    let mut running = Running(command.spawn().map_err(not_started)?);
    let status = running.0.wait().await.map_err(io(&log))?;
    if status.success() {
        return Ok(());
    }
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let reason = text.lines().rfind(|line| line.starts_with("E:")).or(text.lines().last()).unwrap_or("no message").to_owned();
    Err(ImageError::Bootstrap { suite: config.suite.clone(), reason })
}

/// A process group that is told to end, and awaited, when whoever waits for it gives up.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let Some(group) = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed())) else { return };
        if kill_process_group(group, Signal::TERM).is_err() {
            return;
        }
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while matches!(self.0.try_wait(), Ok(None)) && std::time::Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

fn not_started(error: std::io::Error) -> ImageError {
    if error.kind() == std::io::ErrorKind::NotFound {
        return ImageError::NoTool;
    }
    ImageError::Io { path: PathBuf::from("mmdebstrap"), source: error }
}

/// What names of unfinished roots begin with.
const SCRATCH: &str = "bootstrap-";

/// The first digits of an image's ID, for people.
#[must_use]
pub fn short(id: &str) -> &str {
    id.get(7..19).unwrap_or(id)
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ImageError {
    let path = path.to_owned();
    move |source| ImageError::Io { path, source }
}

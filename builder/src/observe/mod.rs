//! Observing what installing a package does, from outside of its container (`specs/observation.md`).

mod capability;
mod compare;
mod database;
mod room;
mod tree;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use attest::Manifest;
use attest::predicate::{InstallObservation, Observed};

use crate::claim::Claim;
use crate::config::Config;
use crate::distro::{self, Manager};
use crate::home::readable_dir;
use crate::podman::{Bind, Job, MOUNTS, Podman, PodmanError};
use crate::progress::{Phase, Progress};

pub use compare::{compare, merge};
pub use tree::{Found, Kind, Tree, TreeError};

/// Why there is no observation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// Podman failed.
    #[error(transparent)]
    Podman(#[from] PodmanError),
    /// The package did not install.
    #[error("installing it failed: {0}")]
    Install(String),
    /// The exported file system is refused.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The system failed.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
}

impl ObserveError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Podman(error) => error.hint(),
            Self::Install(_) => "the claim stands without an observation; `observe = false` leaves observations out",
            Self::Tree(_) => "try again; if it stays so, report the package",
            Self::Io { .. } => "check that the disk is not full",
        }
    }
}

/// What one package's installation takes: files that were verified before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The package and its dependencies.
    pub files: Vec<PathBuf>,
    /// Architectures to allow beside the image's own.
    pub architectures: Vec<String>,
    /// The package that holds `libfaketime.so.1`.
    pub faketime: Option<PathBuf>,
}

/// The image's own file system: a container that never ran.
///
/// # Errors
/// If it cannot be made or read.
pub async fn baseline(podman: &Podman, image: &str, config: &Config) -> Result<Tree, ObserveError> {
    let job = Job { ids: config.ids(), ..Job::new(image, "exit 0") };
    let id = podman.create(&job).await?;
    let tree = read(podman, &id, config).await;
    podman.remove(&id).await?;
    tree
}

/// Where and how packages are installed.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    /// Podman.
    pub podman: &'a Podman,
    /// The image's ID.
    pub image: &'a str,
    /// The configuration.
    pub config: &'a Config,
    /// Where times are added up.
    pub progress: &'a Progress,
    /// The run's scratch files.
    pub scratch: &'a Path,
}

/// Installs a package in fresh containers and reports what differs from its manifest, and what is there beside it. Where more than one
/// run is configured, only what all runs agree on is reported.
///
/// # Errors
/// If the installation fails or its result cannot be read.
pub async fn observe(
    work: &Work<'_>,
    baseline: &Arc<Tree>,
    claim: &Claim,
    installation: &Installation,
) -> Result<(InstallObservation, Option<Vec<u8>>), ObserveError> {
    let own = tempfile::Builder::new().prefix("install-").tempdir_in(work.scratch).map_err(io(work.scratch))?;
    let dir = own.path().join("in");
    stage(installation, &dir)?;
    let of = Arc::new((claim.file.name.clone(), claim.file.manifest.clone()));
    let mut agreed: Option<Vec<Observed>> = None;
    for run in 0..work.config.observe_runs {
        let tree = install(work, installation, &dir, run).await?;
        let (of, baseline) = (Arc::clone(&of), Arc::clone(baseline));
        agreed = Some(outside(move || agree(&of, &baseline, &tree, agreed)).await??);
    }
    let image = work.image.to_owned();
    outside(move || InstallObservation::new(of.1.root(), image, agreed.unwrap_or_default())).await
}

/// What this run shows, where those before it showed it too.
fn agree(of: &(String, Manifest), baseline: &Tree, tree: &Tree, before: Option<Vec<Observed>>) -> Result<Vec<Observed>, TreeError> {
    let entries = compare(&of.0, &of.1, baseline, tree)?;
    Ok(match before {
        Some(before) => merge(before, entries),
        None => entries,
    })
}

/// A package decides how much there is to compare: signals are heard meanwhile.
async fn outside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ObserveError> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| TreeError::Malformed("comparing was interrupted"))?)
}

/// Links the files into a directory of their own: a container sees its own package's files and no others.
fn stage(installation: &Installation, dir: &Path) -> Result<(), ObserveError> {
    let packages = dir.join("packages");
    for part in [dir, &packages] {
        readable_dir(part).map_err(io(part))?;
    }
    let link = |from: &Path, to: PathBuf| std::fs::hard_link(from, &to).map_err(io(&to));
    for file in &installation.files {
        link(file, packages.join(file.file_name().unwrap_or_default()))?;
    }
    installation.faketime.as_deref().map_or(Ok(()), |file| link(file, dir.join("faketime.deb")))
}

async fn install(work: &Work<'_>, installation: &Installation, dir: &Path, run: u8) -> Result<Tree, ObserveError> {
    let Work { podman, image, config, progress, .. } = *work;
    let hostname = if run == 0 { config.container.hostname.clone() } else { format!("{}-{}", config.container.hostname, run + 1) };
    let job = Job {
        hostname,
        binds: vec![Bind { source: dir.to_owned(), target: format!("{MOUNTS}/in") }],
        ids: config.ids(),
        timeout: config.timeout(),
        ..Job::new(image, &script(config, installation))
    };
    let started = Instant::now();
    let finished = podman.run(&job).await?;
    progress.took(Phase::Install, started.elapsed());
    let started = Instant::now();
    let tree = if finished.exit == 0 {
        read(podman, &finished.id, config).await
    } else {
        let lines: Vec<&str> = finished.log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        Err(ObserveError::Install(lines[lines.len().saturating_sub(4)..].join("; ")))
    };
    progress.took(Phase::Observe, started.elapsed());
    podman.remove(&finished.id).await?;
    tree
}

async fn read(podman: &Podman, id: &str, config: &Config) -> Result<Tree, ObserveError> {
    podman.check_size(id).await?;
    let (reader, first) = (podman.export(id, config.timeout()), config.ids().map_or(0, |ids| u64::from(ids.first)));
    let tree = tokio::task::spawn_blocking(move || Tree::read(reader, first)).await;
    Ok(tree.unwrap_or(Err(TreeError::Malformed("reading was interrupted")))?)
}

fn script(config: &Config, installation: &Installation) -> String {
    match config.manager {
        Manager::Apt => {}
        // The configuration does not let its packages be installed.
        Manager::Apk => return "exit 1".to_owned(),
        Manager::Pacman => return distro::INSTALL_PACMAN.to_owned(),
        Manager::Dnf | Manager::Zypper => return distro::INSTALL_RPM.to_owned(),
    }
    let mut script = PROLOGUE.to_owned();
    for architecture in &installation.architectures {
        script.push_str(&format!("dpkg --add-architecture {architecture}\n"));
    }
    if let (Some(time), Some(_)) = (&config.container.faketime, &installation.faketime) {
        // A date alone would stop the clock; behind `@` it runs on from there.
        let start = if time.starts_with(|c: char| c.is_ascii_digit()) { "@" } else { "" };
        script.push_str(&format!("{FAKETIME}export FAKETIME='{start}{time}'\n"));
    }
    script.push_str(INSTALL);
    script
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ObserveError {
    let path = path.to_owned();
    move |source| ObserveError::Io { path, source }
}

/// Slim images leave documentation out; here everything must be unpacked. Nothing is started: there is no system to start it in.
const PROLOGUE: &str = r"set -eu
for file in /etc/dpkg/dpkg.cfg /etc/dpkg/dpkg.cfg.d/*; do
  if [ -f $file ]; then sed -i '/^[[:space:]]*path-\(exclude\|include\)/d' $file; fi
done
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
";
/// Unpacked beside the system, so that the clock's disguise is no part of what is observed.
const FAKETIME: &str = r"dpkg-deb -x /run/tallystick/in/faketime.deb /run/tallystick/tmp
export LD_PRELOAD=$(find /run/tallystick/tmp -name libfaketime.so.1)
";
/// What dpkg does for safety on a real disk is lost time here: the container is thrown away.
const INSTALL: &str = r"exec apt-get -q -y --reinstall --allow-downgrades --allow-change-held-packages \
  -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=/dev/null -o Dpkg::Use-Pty=0 \
  -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Options::=--force-confnew \
  install /run/tallystick/in/packages/*.deb
";

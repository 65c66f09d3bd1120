//! Downloading packages with a container's own apt, and copying them out (`specs/builder.md`, section 4).
//!
//! The container only fetches; nothing is installed in it. What comes out is not believed: [`crate::chain`] verifies it.

mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::chain::Keyring;
use crate::config::Config;
use crate::distro::{self, Manager};
use crate::home::readable_dir;
use crate::podman::{Bind, Finished, Job, MOUNTS, Network, Podman, PodmanError, StreamReader};
use crate::request::Request;
use crate::sources::{self, Source};

pub(crate) use script::PROLOGUE;
use script::script;

/// Why nothing was downloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// Podman failed.
    #[error(transparent)]
    Podman(#[from] PodmanError),
    /// `apt-get update` failed.
    #[error("apt-get update failed in the container: {0}")]
    Update(String),
    /// What was copied out is not what the script writes.
    #[error("the container's files make no sense: {0}")]
    Malformed(&'static str),
    /// The system failed.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
}

impl DownloadError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Podman(error) => error.hint(),
            Self::Update(_) => "check network, mirror and keyring; the container uses the host's network and its http_proxy",
            Self::Malformed(_) => "try again with a fresh image: tally-builder attest --new-image",
            Self::Io { .. } => "check that the disk is not full",
        }
    }
}

/// What was downloaded, on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// Copy of apt's `lists`.
    pub lists: PathBuf,
    /// The image's architecture.
    pub native: String,
    /// One plan per request, in order.
    pub plans: Vec<Plan>,
    /// The package that holds `libfaketime.so.1`, if it was asked for.
    pub faketime: Option<PathBuf>,
}

/// The files that installing one package takes, itself among them; or why there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// For what.
    pub request: Request,
    /// The package files, or apt's error.
    pub files: Result<Vec<PathBuf>, String>,
}

/// What is to be downloaded, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Whose signatures apt believes.
    pub keyring: &'a Keyring,
    /// The only sources that it sees.
    pub sources: &'a [Source],
    /// The packages; none for the lists alone.
    pub requests: &'a [Request],
    /// Lists of an earlier download: what has not changed is not fetched again.
    pub lists: Option<&'a Path>,
}

/// Downloads the packages and everything that installing them takes into `scratch`.
///
/// # Errors
/// If the container fails, or `apt-get update` in it; a single package that is not to be had is an error of its plan only.
pub async fn download(
    podman: &Podman,
    image: &str,
    config: &Config,
    order: &Order<'_>,
    scratch: &Path,
) -> Result<Downloaded, DownloadError> {
    let Order { keyring, sources, requests, lists } = *order;
    let (name, text) = match config.manager {
        Manager::Apt => ("sources.list", sources::encode(sources)),
        manager => distro::settings(manager, &config.repositories),
    };
    let input = setup(scratch, keyring, name, &text)?;
    if let Some(lists) = lists.filter(|_| config.manager == Manager::Apt) {
        link_all(lists, &input.join("lists"))?;
    }
    let job = Job {
        hostname: config.container.hostname.clone(),
        env: proxies(),
        binds: binds(&input, sources),
        // No user namespace: it may not go with the host's network, and no maintainer script runs here.
        network: Network::Host,
        timeout: config.timeout(),
        ..Job::new(image, &script(config, requests))
    };
    let finished = podman.run(&job).await?;
    let copied = copy(podman, &finished, config, scratch).await;
    podman.remove(&finished.id).await?;
    copied?;
    collect(&scratch.join(OUTPUT), config.manager, requests, &finished)
}

/// Keeps the lists of a download below `dir` for the next one.
///
/// # Errors
/// If they cannot be linked there.
pub fn keep_lists(downloaded: &Downloaded, dir: &Path, kept: &Mutex<Option<PathBuf>>) -> Result<(), DownloadError> {
    if !downloaded.lists.is_dir() {
        return Ok(());
    }
    let new = tempfile::Builder::new().prefix("lists-").tempdir_in(dir).map_err(io(dir))?.keep();
    link_all(&downloaded.lists, &new.join("lists"))?;
    let old = kept.lock().unwrap_or_else(PoisonError::into_inner).replace(new.join("lists"));
    match old.as_deref().and_then(Path::parent) {
        Some(old) => std::fs::remove_dir_all(old).map_err(io(old)),
        None => Ok(()),
    }
}

/// The same plain files in another directory, which is made.
fn link_all(from: &Path, to: &Path) -> Result<(), DownloadError> {
    readable_dir(to).map_err(io(to))?;
    for entry in std::fs::read_dir(from).map_err(io(from))? {
        let path = entry.map_err(io(from))?.path();
        if path.is_file() {
            std::fs::hard_link(&path, to.join(path.file_name().unwrap_or_default())).map_err(io(&path))?;
        }
    }
    Ok(())
}

/// What a container's package manager is given: its settings, under a name, and a keyring, in a directory that it can read.
pub(crate) fn setup(scratch: &Path, keyring: &Keyring, name: &str, text: &str) -> Result<PathBuf, DownloadError> {
    let input = scratch.join("setup");
    readable_dir(&input).map_err(io(&input))?;
    std::fs::write(input.join(name), text).map_err(io(&input))?;
    readable(&input.join(name))?;
    std::fs::copy(keyring.path(), input.join("keyring.gpg")).map_err(io(&input))?;
    readable(&input.join("keyring.gpg"))?;
    Ok(input)
}

/// The `/etc/apt` of an image that nobody has run yet.
///
/// # Errors
/// If it cannot be copied out.
pub async fn apt_directory(podman: &Podman, image: &str, config: &Config, scratch: &Path) -> Result<PathBuf, DownloadError> {
    let target = scratch.join("image");
    std::fs::create_dir_all(&target).map_err(io(&target))?;
    let id = podman.create(&Job::new(image, "exit 0")).await?;
    let (reader, dir) = (podman.copy_out(&id, "/etc/apt", config.timeout()), target.clone());
    let unpacked = tokio::task::spawn_blocking(move || unpack(reader, "apt", &dir)).await;
    podman.remove(&id).await?;
    unpacked.unwrap_or(Err(DownloadError::Malformed("unpacking was interrupted")))?;
    Ok(target.join("apt"))
}

pub(crate) async fn copy(podman: &Podman, finished: &Finished, config: &Config, scratch: &Path) -> Result<(), DownloadError> {
    let reader = podman.copy_out(&finished.id, &format!("/var/lib/{OUTPUT}"), config.timeout());
    let target = scratch.to_owned();
    let unpacked = tokio::task::spawn_blocking(move || unpack(reader, OUTPUT, &target)).await;
    unpacked.unwrap_or(Err(DownloadError::Malformed("unpacking was interrupted")))
}

/// A local repository must be visible inside the container at its own path.
pub(crate) fn binds(input: &Path, sources: &[Source]) -> Vec<Bind> {
    let local: BTreeSet<&str> = sources.iter().filter_map(Source::local).collect();
    let own = Bind { source: input.to_owned(), target: format!("{MOUNTS}/setup") };
    let bind = |path: &str| Bind { source: PathBuf::from(path), target: path.to_owned() };
    std::iter::once(own).chain(local.into_iter().map(bind)).collect()
}

/// Takes plain files at most two levels deep out of a tar stream whose top directory is `top`, and nothing else.
fn unpack(reader: StreamReader, top: &str, target: &Path) -> Result<(), DownloadError> {
    let mut archive = tar::Archive::new(reader);
    let mut room = MAX_OUTPUT;
    for entry in archive.entries().map_err(io(target))? {
        let mut entry = entry.map_err(io(target))?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path().map_err(io(target))?.into_owned();
        let Some(path) = plain(&path, top) else { continue };
        room = room.checked_sub(entry.size()).ok_or(DownloadError::Malformed("it holds too much"))?;
        let path = target.join(path);
        let parent = path.parent().unwrap_or(target);
        std::fs::create_dir_all(parent).map_err(io(parent))?;
        // A path twice in one archive would be a container's trick.
        let mut file = std::fs::File::create_new(&path).map_err(io(&path))?;
        let size = entry.size();
        std::io::copy(&mut entry.by_ref().take(size), &mut file).map_err(io(&path))?;
        // apt asks a repository what is newer than this.
        let modified = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(entry.header().mtime().unwrap_or(0)));
        modified.map_or(Ok(()), |time| file.set_modified(time)).map_err(io(&path))?;
        readable(&path)?;
    }
    Ok(())
}

/// `TOP/FILE` or `TOP/DIR/FILE` made of normal parts.
fn plain(path: &Path, top: &str) -> Option<PathBuf> {
    let parts: Vec<_> = path.components().filter(|part| *part != Component::CurDir).collect();
    let normal = parts.iter().all(|part| matches!(part, Component::Normal(_)));
    let ours = matches!(parts.first(), Some(Component::Normal(name)) if *name == top);
    (normal && ours && (2..=3).contains(&parts.len())).then(|| parts.iter().collect())
}

fn collect(dir: &Path, manager: Manager, requests: &[Request], finished: &Finished) -> Result<Downloaded, DownloadError> {
    match finished.exit {
        0 => {}
        20 => return Err(DownloadError::Update(last_lines(&finished.log))),
        _ => return Err(DownloadError::Update(format!("the script ended with status {}: {}", finished.exit, last_lines(&finished.log)))),
    }
    let native = std::fs::read_to_string(dir.join("native")).map_err(io(dir))?.trim().to_owned();
    if !native.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) || native.is_empty() {
        return Err(DownloadError::Malformed("the native architecture"));
    }
    let archives = dir.join("archives");
    let files = by_name(&archives, manager)?;
    let has_plans = manager != Manager::Apt || dir.join("plans/0").exists();
    let one = |(number, request)| if has_plans { plan(dir, manager, number, request, &files) } else { alone(dir, request, &files) };
    let plans = requests.iter().enumerate().map(one).collect();
    let faketime = by_name(&dir.join("faketime"), manager)?.into_values().next();
    Ok(Downloaded { lists: dir.join("lists"), native, plans, faketime })
}

/// The files of a plan: the second word of each line that `--print-uris` printed; of other managers than apt, whole lines.
fn plan(dir: &Path, manager: Manager, number: usize, request: &Request, files: &BTreeMap<String, PathBuf>) -> Plan {
    let text = std::fs::read_to_string(dir.join(format!("plans/{number}"))).unwrap_or_default();
    let mut found = Vec::new();
    for name in text.lines().filter_map(|line| if manager == Manager::Apt { line.split(' ').nth(1) } else { Some(line) }) {
        match files.get(name) {
            Some(path) => found.push(path.clone()),
            None => return Plan { request: request.clone(), files: Err(format!("{name} was not downloaded")) },
        }
    }
    if found.is_empty() {
        let error = std::fs::read_to_string(dir.join(format!("errors/{number}"))).unwrap_or_default();
        let said = match manager {
            Manager::Apt => error.lines().find(|line| line.starts_with("E:")).unwrap_or_default().to_owned(),
            _ => last_lines(&error),
        };
        let reason = if said.is_empty() { "nothing was found to download".to_owned() } else { said };
        return Plan { request: request.clone(), files: Err(reason) };
    }
    Plan { request: request.clone(), files: Ok(found) }
}

/// Without plans: every downloaded file of the package's name; which of them is meant shows when it is read.
fn alone(dir: &Path, request: &Request, files: &BTreeMap<String, PathBuf>) -> Plan {
    let prefix = format!("{}_", request.name);
    let found: Vec<PathBuf> = files.iter().filter(|(name, _)| name.starts_with(&prefix)).map(|(_, path)| path.clone()).collect();
    if !found.is_empty() {
        return Plan { request: request.clone(), files: Ok(found) };
    }
    let errors = std::fs::read_to_string(dir.join("errors/alone")).unwrap_or_default();
    let own = errors.lines().find(|line| line.starts_with("E:") && line.contains(&request.name));
    Plan { request: request.clone(), files: Err(own.unwrap_or("apt found nothing to download").to_owned()) }
}

pub(crate) fn by_name(dir: &Path, manager: Manager) -> Result<BTreeMap<String, PathBuf>, DownloadError> {
    if !dir.exists() {
        return Ok(BTreeMap::new());
    }
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).map_err(io(dir))? {
        let path = entry.map_err(io(dir))?.path();
        if let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| manager.is_package(name)) {
            files.insert(name.to_owned(), path.clone());
        }
    }
    Ok(files)
}

fn readable(path: &Path) -> Result<(), DownloadError> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).map_err(io(path))
}

pub(crate) fn proxies() -> Vec<(String, String)> {
    ["http_proxy", "https_proxy", "no_proxy"].into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?))).collect()
}

pub(crate) fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> DownloadError {
    let path = path.to_owned();
    move |source| DownloadError::Io { path, source }
}

/// Name of the directory below `/var/lib` that is copied out.
pub(crate) const OUTPUT: &str = "tallystick";
const MAX_OUTPUT: u64 = 64 << 30;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_of_ours_are_taken() {
        let taken = |path: &str| plain(Path::new(path), OUTPUT).map(|path| path.display().to_string());
        assert_eq!(taken("tallystick/native").as_deref(), Some("tallystick/native"));
        assert_eq!(taken("./tallystick/lists/x").as_deref(), Some("tallystick/lists/x"));
        for path in ["tallystick", "x/y", "tallystick/../x", "/tallystick/x", "../tallystick/x", "tallystick/a/b/c"] {
            assert_eq!(taken(path), None, "{path}");
        }
    }

    #[test]
    fn without_plans_files_are_found_by_name() {
        let files: BTreeMap<String, PathBuf> =
            ["a_1_all.deb", "a-b_1_all.deb"].iter().map(|name| ((*name).to_owned(), PathBuf::from(name))).collect();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("errors")).unwrap();
        std::fs::write(dir.path().join("errors/alone"), "E: Unable to locate package c\n").unwrap();
        let found = |name: &str| alone(dir.path(), &name.parse().unwrap(), &files).files;
        assert_eq!(found("a"), Ok(vec![PathBuf::from("a_1_all.deb")]));
        assert_eq!(found("c"), Err("E: Unable to locate package c".to_owned()));
        assert_eq!(found("d"), Err("apt found nothing to download".to_owned()));
    }

    #[test]
    fn plans_name_downloaded_files_or_say_why_not() {
        let dir = tempfile::tempdir().unwrap();
        for part in ["plans", "errors", "archives"] {
            std::fs::create_dir(dir.path().join(part)).unwrap();
        }
        std::fs::write(dir.path().join("native"), "amd64\n").unwrap();
        std::fs::write(dir.path().join("plans/0"), "'http://h/a_1.deb' a_1.deb 3 MD5Sum:00\n").unwrap();
        std::fs::write(dir.path().join("plans/1"), "").unwrap();
        std::fs::write(dir.path().join("errors/1"), "W: x\nE: Unable to locate package b\n").unwrap();
        std::fs::write(dir.path().join("plans/2"), "'http://h/c_1.deb' c_1.deb 3 MD5Sum:00\n").unwrap();
        std::fs::write(dir.path().join("archives/a_1.deb"), "deb").unwrap();
        let requests: Vec<Request> = ["a", "b", "c"].iter().map(|name| name.parse().unwrap()).collect();
        let finished = |exit, log: &str| Finished { id: String::new(), exit, log: log.to_owned() };
        let downloaded = collect(dir.path(), Manager::Apt, &requests, &finished(0, "")).unwrap();
        let files: Vec<_> = downloaded.plans.iter().map(|plan| plan.files.as_ref().map(Vec::len).map_err(String::as_str)).collect();
        assert_eq!(files, [Ok(1), Err("E: Unable to locate package b"), Err("c_1.deb was not downloaded")]);
        assert!(
            matches!(collect(dir.path(), Manager::Apt, &requests, &finished(20, "E: x\n")), Err(DownloadError::Update(text)) if text == "E: x")
        );
        std::fs::write(dir.path().join("native"), "../x\n").unwrap();
        assert!(matches!(collect(dir.path(), Manager::Apt, &requests, &finished(0, "")), Err(DownloadError::Malformed(_))));
    }
}

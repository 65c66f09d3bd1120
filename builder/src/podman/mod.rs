//! Containers through Podman's API socket: one [`Podman`] for one run of the builder.
//!
//! Every container carries the label of the builder's directory. [`Podman::sweep`] removes by that label, so nothing is left behind
//! after an error or an interruption, and what a killed run left is gone at the next start.

mod disk;
mod image;
mod job;
mod limits;
mod service;
mod stream;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{ListContainersOptionsBuilder, PruneContainersOptionsBuilder, RemoveContainerOptionsBuilder};

pub use job::{Bind, Finished, IdRange, Job, MOUNTS, Network};
pub use limits::{Group, Limits};
pub use stream::StreamReader;

use disk::Disk;
use service::Service;

/// Why a container could not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PodmanError {
    /// There is no `podman` to start.
    #[error("podman is not installed")]
    NotInstalled,
    /// The service ended, or does not answer on its socket.
    #[error("podman's service does not answer: {0}")]
    NoService(String),
    /// Not one runtime could run `true` in the image.
    #[error("no container runtime works here: {0}")]
    NoRuntime(String),
    /// The API refused a request.
    #[error("podman could not {what}: {source}")]
    Api {
        /// Which request.
        what: &'static str,
        /// Its answer.
        source: Box<bollard::errors::Error>,
    },
    /// The API answered with something unexpected.
    #[error("podman's answer makes no sense: {0}")]
    Answer(&'static str),
    /// The container ran too long and was removed.
    #[error("the container did not end within {} seconds", .0.as_secs())]
    TooSlow(Duration),
    /// The service took a request and never answered it.
    #[error("podman did not {what} within {} seconds", limit.as_secs())]
    Stuck {
        /// Which request.
        what: &'static str,
        /// How long it had.
        limit: Duration,
    },
    /// A container's file system is larger than any installation has reason to make it.
    #[error("the container's file system holds more than 64 GiB or a million new files")]
    TooLarge,
    /// Too little room is left where containers are stored or copied to.
    #[error("{path} has less than {reserve} MiB left")]
    DiskFull {
        /// Podman's storage, or its temporary files.
        path: PathBuf,
        /// What is needed there, in MiB.
        reserve: u32,
    },
    /// A file or process of this machine failed.
    #[error("{what}: {source}")]
    Io {
        /// What was done.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl PodmanError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NotInstalled => "install it: apt-get install podman",
            Self::NoService(_) => {
                "try `podman info`; as a user other than root, podman needs a range in /etc/subuid and the package uidmap, or run tally-builder as root"
            }
            Self::NoRuntime(_) => "install another runtime: apt-get install runc (or crun), and try `podman run --rm IMAGE true`",
            Self::Api { .. } | Self::Answer(_) => {
                "look at the message above; `podman info` shows what Podman itself thinks of this machine"
            }
            Self::Stuck { .. } => {
                "try again; if `podman ps` hangs too, end Podman's processes; on a slow machine attest fewer packages at a time"
            }
            Self::TooLarge => "a script of the package filled it; the claim stands without an observation",
            Self::DiskFull { .. } => {
                "make room there; if it has room, a package's scripts filled it and their container was removed; `reserve` in [container] says what must stay free"
            }
            Self::TooSlow(_) => "raise `timeout` in the section [container] of the configuration",
            Self::Io { .. } => "check that the disk is not full and that the builder's directory belongs to you",
        }
    }

    /// The HTTP status with which a request was refused.
    fn status(&self) -> Option<u16> {
        let Self::Api { source, .. } = self else { return None };
        let bollard::errors::Error::DockerResponseServerError { status_code, .. } = **source else { return None };
        Some(status_code)
    }

    /// Whether an answer came that is not of the API.
    fn is_unreadable(&self) -> bool {
        matches!(self, Self::Api { source, .. } if matches!(**source, bollard::errors::Error::JsonDataError { .. }))
    }

    /// The container over which Podman stumbles: killed while it removed one, it has thrown away half of it, and lists none from then on.
    fn half_removed(&self) -> Option<String> {
        let Self::Api { source, .. } = self else { return None };
        let bollard::errors::Error::DockerResponseServerError { message, .. } = &**source else { return None };
        let (_, rest) = message.split_once("from store \"")?;
        let (id, reason) = rest.split_once('"')?;
        let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_id && reason.contains("container not known")).then(|| id.to_owned())
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// For `map_err`: names the request that failed.
fn api(what: &'static str) -> impl FnOnce(bollard::errors::Error) -> PodmanError {
    move |source| PodmanError::Api { what, source: Box::new(source) }
}

/// Waits for a request that should be answered soon: Podman has been seen to lock itself up for ever.
async fn soon<T>(what: &'static str, request: impl Future<Output = Result<T, bollard::errors::Error>>) -> Result<T, PodmanError> {
    within(SOON, what, request).await
}

async fn within<T>(
    limit: Duration,
    what: &'static str,
    request: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, PodmanError> {
    match tokio::time::timeout(limit, request).await {
        Ok(answer) => answer.map_err(api(what)),
        Err(_) => Err(PodmanError::Stuck { what, limit }),
    }
}

/// How to reach Podman.
#[derive(Clone, Debug)]
pub struct Settings {
    /// An API socket to use; `None` looks in the usual places and starts a service where there is none.
    pub socket: Option<PathBuf>,
    /// Runtime to use; `None` tries Podman's own choice first.
    pub runtime: Option<String>,
    /// Where a started service puts its socket and its temporary files.
    pub dir: PathBuf,
    /// The value of the label on everything that this builder makes.
    pub label: String,
    /// What one container may have.
    pub group: Group,
    /// What must stay free where containers are stored, in MiB.
    pub reserve: u32,
}

/// A connection to Podman, and the service behind it if it was started here.
pub struct Podman {
    docker: Docker,
    service: Service,
    settings: Settings,
    limits: Limits,
    disk: Disk,
}

impl Podman {
    /// Connects, starting a service if none answers, and removes what an earlier run left.
    ///
    /// # Errors
    /// If there is no Podman or it does not answer.
    pub async fn open(settings: Settings) -> Result<Self, PodmanError> {
        service::clear(&settings.dir);
        let (service, docker) = Service::open(&settings).await?;
        let limits = Limits::of_process(service.process(), settings.group);
        let info = soon("say where it stores containers", docker.info()).await?;
        let disk = Disk::new(info.docker_root_dir, settings.reserve);
        let podman = Self { docker, service, settings, limits, disk };
        podman.sweep().await?;
        Ok(podman)
    }

    /// Finds a runtime and resource limits with which a container of this image starts. Hosts differ in both: a runtime may not
    /// know the host's cgroups, and a container may never be allowed more than the process that starts it.
    ///
    /// # Errors
    /// If nothing works.
    pub async fn adapt(&mut self, image: &str) -> Result<(), PodmanError> {
        self.disk.settled().await?;
        let mut last = String::new();
        for runtime in self.service.runtimes(&self.settings) {
            if !self.service.uses(runtime.as_deref()) {
                self.docker = self.service.restart(&self.settings, runtime.clone()).await?;
            }
            for limits in Limits::of_process(self.service.process(), self.settings.group).candidates() {
                self.limits = limits;
                match self.try_start(image).await {
                    Ok(()) => {
                        self.warn_of_missing_limits();
                        return Ok(());
                    }
                    Err(error) => last = error.to_string(),
                }
            }
        }
        Err(PodmanError::NoRuntime(last))
    }

    fn warn_of_missing_limits(&self) {
        if self.limits.group.is_none() {
            tracing::warn!("this machine has no control groups for containers: memory and number of their processes are not bounded");
        }
    }

    async fn try_start(&self, image: &str) -> Result<(), PodmanError> {
        let job = Job::new(image, "exit 0");
        let finished = self.run(&job).await?;
        self.remove(&finished.id).await?;
        if finished.exit == 0 { Ok(()) } else { Err(PodmanError::NoRuntime(finished.log)) }
    }

    /// Removes one container with everything that belongs to it. Podman unmounts what a container used a moment after it has ended, and
    /// until then refuses: that is tried again.
    ///
    /// # Errors
    /// If Podman keeps refusing.
    pub async fn remove(&self, id: &str) -> Result<(), PodmanError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        for tries in 1.. {
            match soon("remove a container", self.docker.remove_container(id, Some(options.clone()))).await {
                Err(error) if error.status() == Some(404) => break,
                Err(error) if matches!(error.status(), Some(409 | 500)) && tries <= REMOVE_TRIES => {
                    tokio::time::sleep(Duration::from_millis(200) * tries).await;
                }
                result => return result,
            }
        }
        Ok(())
    }

    /// Removes every container of this builder's label.
    ///
    /// # Errors
    /// If Podman cannot list or remove them.
    pub async fn sweep(&self) -> Result<(), PodmanError> {
        for tries in 1.. {
            match self.containers().await {
                // Podman's own word `stopped`, for a container that has ended and is not cleaned up yet, is none of the API.
                Err(error) if error.is_unreadable() && tries <= REMOVE_TRIES => {
                    self.prune().await?;
                    tokio::time::sleep(Duration::from_millis(200) * tries).await;
                }
                // Whoever is at it may end it yet.
                Err(error) if error.half_removed().is_some() && tries <= REMOVE_TRIES => {
                    tokio::time::sleep(Duration::from_millis(200) * tries).await;
                    if tries > REMOVE_TRIES / 2
                        && let Some(id) = error.half_removed()
                    {
                        tracing::warn!("removing container {id}, half of which was removed before");
                        self.remove(&id).await?;
                    }
                }
                containers => {
                    for id in containers? {
                        self.remove(&id).await?;
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    /// All containers of this builder's label.
    async fn containers(&self) -> Result<Vec<String>, PodmanError> {
        let filters = HashMap::from([("label", vec![self.label()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let containers = soon("list containers", self.docker.list_containers(Some(options))).await?;
        Ok(containers.into_iter().filter_map(|container| container.id).collect())
    }

    /// Removes this builder's containers that do not run, without looking at them.
    async fn prune(&self) -> Result<(), PodmanError> {
        let filters = HashMap::from([("label", vec![self.label()])]);
        let options = PruneContainersOptionsBuilder::default().filters(&filters).build();
        soon("remove old containers", self.docker.prune_containers(Some(options))).await.map(drop)
    }

    /// Removes what is left and ends the service if it was started here. Errors are only logged: the work is done or has failed.
    pub async fn close(self) {
        if let Err(error) = self.sweep().await {
            tracing::warn!("containers may be left behind: {error}");
        }
        self.service.close().await;
    }

    fn label(&self) -> String {
        format!("{LABEL}={}", self.settings.label)
    }
}

/// Long enough for a disk that is slow and a machine that is busy.
const SOON: Duration = Duration::from_secs(300);
const REMOVE_TRIES: u32 = 8;
/// The label's key, on containers and on images that were imported here.
const LABEL: &str = "dev.tallystick.builder";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_is_half_gone_is_named() {
        let refused = |message: &str| {
            api("list containers")(bollard::errors::Error::DockerResponseServerError { status_code: 500, message: message.to_owned() })
        };
        let id = "954f254513dac02cf2ebc4d471b3c0a3aa1f417757cd2768f7c409a8747ec4d3";
        let known = format!("getting container from store \"{id}\": container not known");
        assert_eq!(refused(&known).half_removed().as_deref(), Some(id));
        for other in
            [known.replace("954f", "954"), known.replace("not known", "in use"), "container not known".to_owned(), known.replace('"', "")]
        {
            assert_eq!(refused(&other).half_removed(), None, "{other}");
        }
        assert_eq!(PodmanError::NotInstalled.half_removed(), None);
    }
}

//! One container: made, started, awaited, read from outside.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptions, DownloadFromContainerOptionsBuilder, InspectContainerOptions, LogsOptionsBuilder, StartContainerOptions,
    WaitContainerOptionsBuilder,
};
use futures_util::{Stream, StreamExt as _};

use super::{LABEL, Podman, PodmanError, StreamReader, api, soon};

/// Which network a container sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// None at all, not even to the host.
    None,
    /// The host's: only for downloads.
    Host,
}

/// A directory or file of the host, readable in the container at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// On the host.
    pub source: PathBuf,
    /// In the container.
    pub target: String,
}

/// Host user and group numbers from `first` stand for 0 and up in the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// What 0 becomes.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// What a container is made of and what it does.
#[derive(Clone, Debug)]
pub struct Job {
    /// The image's ID.
    pub image: String,
    /// A shell script.
    pub script: String,
    /// Host name inside.
    pub hostname: String,
    /// Further environment variables.
    pub env: Vec<(String, String)>,
    /// Read-only mounts.
    pub binds: Vec<Bind>,
    /// Which network.
    pub network: Network,
    /// A user namespace, if wanted.
    pub ids: Option<IdRange>,
    /// When to give up.
    pub timeout: Duration,
}

impl Job {
    /// A script in a fresh container of an image: no network, no mounts, at most an hour.
    #[must_use]
    pub fn new(image: &str, script: &str) -> Self {
        Self {
            image: image.to_owned(),
            script: script.to_owned(),
            hostname: "builder".to_owned(),
            env: Vec::new(),
            binds: Vec::new(),
            network: Network::None,
            ids: None,
            timeout: Duration::from_secs(3600),
        }
    }
}

/// A container that has ended and still can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its ID.
    pub id: String,
    /// The script's exit status.
    pub exit: i64,
    /// The end of its output.
    pub log: String,
}

impl Podman {
    /// Makes a container without starting it: its file system is the image's.
    ///
    /// # Errors
    /// If Podman refuses.
    pub async fn create(&self, job: &Job) -> Result<String, PodmanError> {
        let body = ContainerCreateBody {
            image: Some(job.image.clone()),
            hostname: Some(job.hostname.clone()),
            entrypoint: Some(vec!["/bin/sh".to_owned(), "-c".to_owned()]),
            cmd: Some(vec![job.script.clone()]),
            user: Some("0:0".to_owned()),
            working_dir: Some("/".to_owned()),
            env: Some(environment(&job.env)),
            labels: Some(HashMap::from([(LABEL.to_owned(), self.settings.label.clone())])),
            host_config: Some(self.host_config(job)),
            ..ContainerCreateBody::default()
        };
        let created = soon("make a container", self.docker.create_container(None::<CreateContainerOptions>, body)).await?;
        Ok(created.id)
    }

    /// Makes a container, runs its script to the end and keeps it for reading. On an error it is removed.
    ///
    /// # Errors
    /// If the container cannot be made or started, or does not end in time. A script that fails is no error here.
    pub async fn run(&self, job: &Job) -> Result<Finished, PodmanError> {
        let id = self.create(job).await?;
        match self.start_and_wait(&id, job.timeout).await {
            Ok(finished) => Ok(finished),
            Err(error) => {
                // The first error is the one to report; what this leaves goes with the sweep.
                let _ = self.remove(&id).await;
                Err(error)
            }
        }
    }

    async fn start_and_wait(&self, id: &str, limit: Duration) -> Result<Finished, PodmanError> {
        soon("start a container", self.docker.start_container(id, None::<StartContainerOptions>)).await?;
        let exit = tokio::select! {
            exit = tokio::time::timeout(limit, self.wait(id)) => exit.map_err(|_| PodmanError::TooSlow(limit))??,
            full = self.disk.full() => return Err(full),
        };
        Ok(Finished { id: id.to_owned(), exit, log: self.log(id).await? })
    }

    async fn wait(&self, id: &str) -> Result<i64, PodmanError> {
        // While a container runs, some versions of Podman answer a wait by looking without a pause, which takes a whole core.
        let mut pause = SHORTEST_PAUSE;
        while self.is_running(id).await? {
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
        let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
        match self.docker.wait_container(id, Some(options)).next().await {
            Some(Ok(answer)) => Ok(answer.status_code),
            Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(error)) => Err(api("wait for a container")(error)),
            None => Err(PodmanError::Answer("waiting gave no exit status")),
        }
    }

    async fn is_running(&self, id: &str) -> Result<bool, PodmanError> {
        match soon("look at a container", self.docker.inspect_container(id, None::<InspectContainerOptions>)).await {
            Ok(seen) => Ok(seen.state.and_then(|state| state.running).unwrap_or(false)),
            // Between its end and its clean-up it is in a state that only Podman knows.
            Err(error) if error.is_unreadable() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn log(&self, id: &str) -> Result<String, PodmanError> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail("200").build();
        soon("read a container's output", end_of(self.docker.logs(id, Some(options)))).await
    }

    /// A directory or file of a container as a tar archive, which must have come within `limit`. Nothing inside the container takes part.
    #[must_use]
    pub fn copy_out(&self, id: &str, path: &str, limit: Duration) -> StreamReader {
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        StreamReader::new(self.docker.download_from_container(id, Some(options)), limit)
    }

    /// The whole file system of a container as a tar archive, with numeric owners and extended attributes, which must have come within `limit`.
    #[must_use]
    pub fn export(&self, id: &str, limit: Duration) -> StreamReader {
        StreamReader::new(self.docker.export_container(id), limit)
    }

    fn host_config(&self, job: &Job) -> HostConfig {
        let network = match job.network {
            Network::None => "none",
            Network::Host => "host",
        };
        let mount = |bind: &Bind| format!("{}:{}:ro,z", bind.source.display(), bind.target);
        HostConfig {
            network_mode: Some(network.to_owned()),
            binds: Some(job.binds.iter().map(mount).collect()),
            tmpfs: Some(HashMap::from([(format!("{MOUNTS}/tmp"), "rw,exec,mode=0755".to_owned())])),
            ulimits: Some(self.limits.ulimits()),
            pids_limit: self.limits.group.map(|group| group.pids),
            memory: self.limits.group.map(|group| group.memory),
            memory_swap: self.limits.group.map(|group| group.memory),
            // Podman takes explicit mappings behind `auto` only; the plain word would want ranges in /etc/subuid.
            userns_mode: job.ids.map(|ids| {
                let map = format!("0:{}:{}", ids.first, ids.count);
                format!("auto:uidmapping={map},gidmapping={map}")
            }),
            ..HostConfig::default()
        }
    }
}

/// The end of what comes as pieces of text.
async fn end_of<T: ToString, E>(pieces: impl Stream<Item = Result<T, E>>) -> Result<String, E> {
    let mut pieces = std::pin::pin!(pieces);
    let mut text = String::new();
    while let Some(piece) = pieces.next().await {
        text.push_str(&piece?.to_string());
        if text.len() > 4 * MAX_LOG {
            text = tail(&text);
        }
    }
    Ok(tail(&text))
}

fn environment(extra: &[(String, String)]) -> Vec<String> {
    let fixed = [("DEBIAN_FRONTEND", "noninteractive"), ("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("HOME", "/root")];
    let fixed = fixed.iter().map(|(name, value)| format!("{name}={value}"));
    fixed.chain(extra.iter().map(|(name, value)| format!("{name}={value}"))).collect()
}

/// The last [`MAX_LOG`] bytes at a character's boundary.
fn tail(text: &str) -> String {
    let mut start = text.len().saturating_sub(MAX_LOG);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text[start..].to_owned()
}

/// Where mounts of the builder stand in a container. Nothing below it is part of an observation.
pub const MOUNTS: &str = "/run/tallystick";
const MAX_LOG: usize = 16 * 1024;
const SHORTEST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    /// Podman has been seen to begin an answer and never to end it.
    #[tokio::test]
    async fn output_that_never_ends_is_not_awaited_for_ever() {
        let pieces = || futures_util::stream::iter([Ok::<_, bollard::errors::Error>("some")]);
        assert_eq!(soon("read", end_of(pieces())).await.unwrap(), "some");
        let endless = end_of(pieces().chain(futures_util::stream::pending()));
        let read = super::super::within(Duration::from_millis(50), "read", endless).await;
        assert!(matches!(read, Err(PodmanError::Stuck { what: "read", .. })), "{read:?}");
        let many = futures_util::stream::repeat_with(|| Ok::<_, bollard::errors::Error>("x".repeat(100))).take(10_000);
        assert_eq!(end_of(many).await.unwrap(), "x".repeat(MAX_LOG));
    }

    #[test]
    fn long_output_keeps_its_end_at_a_character() {
        assert_eq!(tail("short"), "short");
        let long = "ä".repeat(MAX_LOG) + "x";
        let kept = tail(&long);
        assert!(kept.len() <= MAX_LOG && kept.len() >= MAX_LOG - 1 && kept.ends_with("äx"));
    }
}

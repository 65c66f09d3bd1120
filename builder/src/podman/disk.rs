//! Room where containers are stored: no quota bounds what a container writes, so the host's free space is watched instead.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::query_parameters::InspectContainerOptionsBuilder;

use super::{Podman, PodmanError, soon};

/// What must stay free, and where.
pub(super) struct Disk {
    path: Option<PathBuf>,
    reserve: u32,
}

impl Disk {
    /// Podman's storage; a service on another machine has none that could be watched from here.
    pub(super) fn new(root: Option<String>, reserve: u32) -> Self {
        Self { path: root.map(PathBuf::from).filter(|path| path.is_dir()), reserve }
    }

    /// Refuses if less than the reserve is free.
    pub(super) fn check(&self) -> Result<(), PodmanError> {
        let Some(path) = &self.path else { return Ok(()) };
        let free = rustix::fs::statvfs(path).map_err(|error| PodmanError::io(path.display().to_string())(error.into()))?;
        if free.f_bavail.saturating_mul(free.f_frsize) >> 20 < u64::from(self.reserve) {
            return Err(PodmanError::DiskFull { path: path.clone(), reserve: self.reserve });
        }
        Ok(())
    }

    /// Refuses if less than the reserve is free and stays so for a while: what a container wrote takes room until the last of its processes
    /// is gone, and that can be later than its removal.
    pub(super) async fn settled(&self) -> Result<(), PodmanError> {
        let deadline = tokio::time::Instant::now() + SETTLING;
        while self.check().is_err() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(INTERVAL).await;
        }
        self.check()
    }

    /// Ends when less than the reserve is free; never otherwise.
    pub(super) async fn full(&self) -> PodmanError {
        loop {
            if let Err(error) = self.check() {
                return error;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

impl Podman {
    /// Refuses a container that has ended and whose file system is too large to be exported: Podman first writes the whole archive among its
    /// temporary files, and a script makes a file of any length without taking any room for it.
    ///
    /// # Errors
    /// If it is too large, or Podman cannot say where it is.
    pub async fn check_size(&self, id: &str) -> Result<(), PodmanError> {
        let options = InspectContainerOptionsBuilder::default().size(true).build();
        let found = soon("measure a container", self.docker.inspect_container(id, Some(options))).await?;
        // What the container wrote has a directory of its own; Podman's number for it counts blocks, not lengths.
        let own = found.graph_driver.and_then(|driver| driver.data.get("UpperDir").map(PathBuf::from));
        let written = tokio::task::spawn_blocking(move || own.map_or(Ok(0), |own| length(&own))).await;
        let written = written.unwrap_or(Err(PodmanError::TooLarge))?;
        let whole = written.saturating_add(found.size_root_fs.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0));
        if whole > MAX_EXPORT {
            return Err(PodmanError::TooLarge);
        }
        let needed = u32::try_from(whole >> 20).unwrap_or(u32::MAX);
        Disk::new(self.service.temporary().map(|path| path.display().to_string()), needed).check()
    }
}

/// The lengths of all files below a directory, holes included. What cannot be read, as another user of a namespace, counts as nothing: there
/// the length of each file is bounded, and the time.
fn length(dir: &Path) -> Result<u64, PodmanError> {
    let (mut dirs, mut paths, mut bytes) = (vec![dir.to_owned()], 0, 0_u64);
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            paths += 1;
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                dirs.push(entry.path());
            } else if metadata.is_file() {
                bytes = bytes.saturating_add(metadata.len());
            }
            if paths > MAX_PATHS || bytes > MAX_EXPORT {
                return Err(PodmanError::TooLarge);
            }
        }
    }
    Ok(bytes)
}

/// More than any package makes of an image, in bytes and in paths.
const MAX_EXPORT: u64 = 64 << 30;
const MAX_PATHS: usize = 1_000_000;
/// A fast disk takes a gigabyte in this time: as much as is kept free where nothing else is configured.
const INTERVAL: Duration = Duration::from_millis(250);
/// How long room that has been given up may take to be free.
const SETTLING: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_compared_with_the_reserve() {
        let disk = |reserve| Disk::new(Some("/".to_owned()), reserve);
        assert!(disk(0).check().is_ok());
        assert!(matches!(disk(u32::MAX).check(), Err(PodmanError::DiskFull { reserve: u32::MAX, .. })));
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        std::fs::File::create(dir.path().join("d/hole")).unwrap().set_len(1 << 30).unwrap();
        assert_eq!(length(dir.path()).unwrap(), 1 << 30);
        std::fs::File::create(dir.path().join("longer")).unwrap().set_len(MAX_EXPORT).unwrap();
        assert!(matches!(length(dir.path()), Err(PodmanError::TooLarge)));
        assert!(Disk::new(Some("/nowhere".to_owned()), u32::MAX).check().is_ok());
    }
}

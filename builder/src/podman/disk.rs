//! Room where containers are stored: no quota bounds what a container writes, so the host's free space is watched instead.

use std::path::PathBuf;
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
    /// Refuses a container whose file system is too large to be exported: Podman first writes the whole archive among its temporary files,
    /// and a script makes a file of any size without taking any room for it.
    ///
    /// # Errors
    /// If it is too large, or Podman cannot say.
    pub async fn check_size(&self, id: &str) -> Result<(), PodmanError> {
        let options = InspectContainerOptionsBuilder::default().size(true).build();
        let found = soon("measure a container", self.docker.inspect_container(id, Some(options))).await?;
        let bytes = found.size_root_fs.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
        if bytes > MAX_EXPORT {
            return Err(PodmanError::TooLarge(bytes >> 20));
        }
        let reserve = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
        Disk::new(self.service.temporary().map(|path| path.display().to_string()), reserve).check()
    }
}

/// More than any package makes of an image.
const MAX_EXPORT: u64 = 64 << 30;
/// A fast disk takes a gigabyte in this time: as much as is kept free where nothing else is configured.
const INTERVAL: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_compared_with_the_reserve() {
        let disk = |reserve| Disk::new(Some("/".to_owned()), reserve);
        assert!(disk(0).check().is_ok());
        assert!(matches!(disk(u32::MAX).check(), Err(PodmanError::DiskFull { reserve: u32::MAX, .. })));
        assert!(Disk::new(Some("/nowhere".to_owned()), u32::MAX).check().is_ok());
    }
}

//! What a root says of itself: its package databases and its accounts, read before anything is judged.

use std::os::fd::OwnedFd;
use std::path::Path;

use package::accounts::Accounts;
use package::installed::{Database, busy};
use package::root::{Root, RootError, RootReason};
use rustix::io::Errno;

use super::VerifyError;
use crate::finding::{Finding, Kind};
use crate::gate::status::Watch;
use crate::survey::open_root;

/// A root that is to be judged.
pub struct Ground {
    pub(super) top: OwnedFd,
    pub(super) database: Database,
    pub(super) accounts: Accounts,
    /// Whether it is another root than that of this process.
    pub(super) is_elsewhere: bool,
    /// That nobody could see whether a package manager is at work.
    pub(super) unseen: Option<Finding>,
}

impl Ground {
    /// Reads it. Needs nothing of the log, so that both can be read at once.
    ///
    /// # Errors
    /// If it cannot be read, has no database, or a package manager is at work on it.
    pub fn open(path: &Path) -> Result<Self, VerifyError> {
        let root = Root::open(path)?;
        let unseen = check_lock(&root)?;
        let top = open_root(path).map_err(|error| VerifyError::Open(path.display().to_string(), error))?;
        let is_elsewhere = is_elsewhere(&top).unwrap_or(false);
        Ok(Self { top, database: Database::open(&root)?, accounts: Accounts::open(&root)?, is_elsewhere, unseen })
    }

    /// What the gate of this machine has seen and what came past it, where there is one.
    #[must_use]
    pub fn watch(&self, state: &Path) -> Option<Result<Watch, String>> {
        Watch::of_this_machine(state, &self.database).map_err(|error| error.to_string()).transpose()
    }
}

fn is_elsewhere(top: &OwnedFd) -> Result<bool, Errno> {
    let (one, other) = (rustix::fs::fstat(top)?, rustix::fs::stat("/")?);
    Ok((one.st_dev, one.st_ino) != (other.st_dev, other.st_ino))
}

/// Refuses to judge while a package manager is at work. Its locks are root's: another user is told that nobody looked.
fn check_lock(root: &Root) -> Result<Option<Finding>, VerifyError> {
    match busy(root) {
        Ok(None) => Ok(None),
        Ok(Some(holder)) => {
            let process = holder.process.map(|process| format!(" (process {process})")).unwrap_or_default();
            Err(VerifyError::Busy(format!("/{} is locked{process}", holder.file)))
        }
        Err(error) if error.unreadable().is_some_and(is_denied) => {
            let why = "this user may not see whether a package manager is at work; run as root to know";
            Ok(Some(Finding::new(Kind::PackageState, why)))
        }
        Err(error) => Err(error.into()),
    }
}

fn is_denied(error: &RootError) -> bool {
    matches!(error.reason, RootReason::System(number) if number == Errno::ACCESS.raw_os_error())
}

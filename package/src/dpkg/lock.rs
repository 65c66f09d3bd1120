//! Whether dpkg or apt is at work on a root.

use super::{DATABASE, DpkgError};
use crate::root::{Root, RootError};
use rustix::process::{Flock, FlockType, fcntl_getlk};

/// Someone holds a lock of the package manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHolder {
    /// The lock's file, below the root.
    pub file: &'static str,
    /// The process, where the system tells.
    pub process: Option<i32>,
}

/// Who holds one of dpkg's locks; nothing is locked by asking. The answer can be old as soon as it is given.
pub fn lock_holder(root: &Root) -> Result<Option<LockHolder>, DpkgError> {
    for file in ["var/lib/dpkg/lock-frontend", "var/lib/dpkg/lock"] {
        if let Some(found) = holder(root, file)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Who holds a lock of this file.
pub(crate) fn holder(root: &Root, file: &'static str) -> Result<Option<LockHolder>, RootError> {
    let Some(open) = root.open_file(file.as_bytes())? else { return Ok(None) };
    let held = fcntl_getlk(&open, &Flock::from(FlockType::WriteLock)).ok().flatten();
    Ok(held.map(|lock| LockHolder { file, process: lock.pid.map(|pid| pid.as_raw_nonzero().get()) }))
}

/// Names of the journal's files: digits only. Others are left-overs that dpkg passes over too.
pub(super) fn journal(root: &Root) -> Result<Vec<String>, DpkgError> {
    let names = root.list(format!("{DATABASE}/updates").as_bytes())?.unwrap_or_default();
    let numbered = names.into_iter().filter(|name| name.iter().all(u8::is_ascii_digit));
    Ok(numbered.map(|name| String::from_utf8_lossy(&name).into_owned()).collect())
}

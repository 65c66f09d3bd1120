//! How much of an exported file system is read.

use super::tree::{Found, Kind, TreeError};

/// Bounds of an export: its scripts decide how much there is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) paths: usize,
    pub(super) names: usize,
    pub(super) content: u64,
    pub(super) database: usize,
    /// What the package database may say.
    pub(super) diversions: usize,
    pub(super) listed: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { paths: 1_000_000, names: 256 << 20, content: 64 << 30, database: 64 << 20, diversions: 10_000, listed: 1_000_000 }
    }
}

impl Room {
    pub(super) fn path(&mut self, path: &[u8]) -> Result<(), TreeError> {
        self.paths = self.paths.checked_sub(1).ok_or(TreeError::TooMuch("paths"))?;
        self.name(path)
    }

    /// A path, or what is kept beside one.
    fn name(&mut self, name: &[u8]) -> Result<(), TreeError> {
        self.names = self.names.checked_sub(name.len()).ok_or(TreeError::TooMuch("long paths"))?;
        Ok(())
    }

    /// Each name of a file has a copy of what it is.
    pub(super) fn found(&mut self, found: &Found) -> Result<(), TreeError> {
        if let Kind::Link(target) = &found.kind {
            self.name(target)?;
        }
        found.caps.as_ref().map_or(Ok(()), |caps| self.name(caps))
    }

    pub(super) fn content(&mut self, count: usize) -> Result<(), TreeError> {
        self.content = self.content.checked_sub(count as u64).ok_or(TreeError::TooMuch("content"))?;
        Ok(())
    }
}

//! A log's directory, read without a lock: a server may run on it meanwhile.

use std::path::Path;

use store::{Directory, Store};
use tlog::tile::BundleId;
use tlog::{Hash, SignedCheckpoint, Tile};

use super::Source;
use crate::layout;

/// The objects of a directory.
pub struct DirectorySource {
    store: Directory,
}

impl DirectorySource {
    /// Opens a directory for reading.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(dir: &Path) -> std::io::Result<Self> {
        Ok(Self { store: Directory::open_read_only(dir)? })
    }

    /// Size of the committed tree, read anew each time: a running server moves it.
    fn committed(&self) -> u64 {
        let note = self.read(layout::COMMITTED).ok();
        note.and_then(|bytes| SignedCheckpoint::parse(&bytes).ok()).map_or(0, |signed| signed.tree().size)
    }

    fn read(&self, key: &str) -> Result<Vec<u8>, String> {
        match self.store.get(key) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err("is missing".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Source for DirectorySource {
    fn checkpoint(&self) -> Result<Vec<u8>, String> {
        self.read(layout::PUBLISHED)
    }
    fn tile(&self, tile: Tile) -> Result<Vec<u8>, String> {
        self.read(&layout::tile(&tile))
    }
    fn bundle(&self, id: BundleId) -> Result<Vec<u8>, String> {
        self.read(&layout::bundle(&id))
    }
    fn manifest(&self, root: &Hash) -> Result<Vec<u8>, String> {
        self.read(&layout::manifest(root))
    }
    fn object(&self, path: &str) -> Result<Vec<u8>, String> {
        self.read(&format!("public/{path}"))
    }
    fn listed(&self) -> Vec<String> {
        let keys = self.store.list(layout::TILES).unwrap_or_default();
        keys.into_iter().filter_map(|key| key.strip_prefix("public/").map(str::to_owned)).collect()
    }
    fn manifests(&self) -> Vec<Hash> {
        let keys = self.store.list(layout::MANIFESTS).unwrap_or_default();
        keys.iter().filter_map(|key| key.rsplit('/').next().and_then(Hash::from_hex)).collect()
    }
    fn may_exceed(&self, items: u64, level: Option<Tile>) -> bool {
        let committed = self.committed();
        items <= level.map_or(committed, |tile| committed >> (u32::from(tile.level()) * 8))
    }
    fn workers(&self) -> usize {
        std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
    }
}

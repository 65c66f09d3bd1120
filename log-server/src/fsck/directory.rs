//! A log's directory, read without a lock: a server may run on it meanwhile.

use std::path::Path;

use store::Reader;
use tlog::tile::BundleId;
use tlog::{Hash, SignedCheckpoint, Tile, bundle};

use super::source::{Listing, Source, Trouble, cut, level_size};
use crate::layout;

/// The objects of a directory.
pub struct DirectorySource {
    reader: Reader,
    workers: usize,
}

impl DirectorySource {
    /// Opens a directory for reading.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(dir: &Path) -> std::io::Result<Self> {
        let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Ok(Self { reader: Reader::open(dir)?, workers })
    }

    /// Reads the disk, not the page cache (see [`Reader::from_disk`]), on one thread.
    #[must_use]
    pub fn from_disk(self) -> Self {
        Self { reader: self.reader.from_disk(), workers: 1 }
    }

    /// Size of the committed tree, read anew each time: a running server moves it.
    fn committed(&self) -> u64 {
        let mut note = Vec::new();
        let read = self.read(layout::COMMITTED, tlog::Note::MAX_BYTES, &mut note).ok();
        read.and_then(|()| SignedCheckpoint::parse(&note).ok()).map_or(0, |signed| signed.tree().size)
    }

    fn read(&self, key: &str, limit: usize, into: &mut Vec<u8>) -> Result<(), Trouble> {
        match self.reader.read_into(key, limit, into) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Trouble::missing()),
            Err(error) => Err(Trouble::Object(error.to_string())),
        }
    }
}

impl Source for DirectorySource {
    fn checkpoint(&self) -> Result<Vec<u8>, Trouble> {
        let mut note = Vec::new();
        self.read(layout::PUBLISHED, tlog::Note::MAX_BYTES, &mut note).map(|()| note)
    }
    fn tile(&self, tile: Tile, into: &mut Vec<u8>) -> Result<(), Trouble> {
        match self.read(&layout::tile(&tile), MAX_TILE, into) {
            Err(trouble) if trouble.is_missing() && tile.is_partial() => {
                self.read(&layout::tile(&tile.full()), MAX_TILE, into)?;
                into.truncate(tile.byte_len());
                Ok(())
            }
            read => read,
        }
    }
    fn bundle(&self, id: BundleId, into: &mut Vec<u8>) -> Result<(), Trouble> {
        match self.read(&layout::bundle(&id), bundle::MAX_BUNDLE, into) {
            Err(trouble) if trouble.is_missing() && id.width() < Tile::FULL => {
                self.read(&layout::bundle(&id.full()), bundle::MAX_BUNDLE, into)?;
                cut(id, into);
                Ok(())
            }
            read => read,
        }
    }
    fn manifest(&self, root: &Hash, into: &mut Vec<u8>) -> Result<(), Trouble> {
        self.read(&layout::manifest(root), attest::manifest::MAX_BYTES, into)
    }
    fn listing(&self) -> Option<&dyn Listing> {
        Some(self)
    }
    fn workers(&self) -> usize {
        self.workers
    }
}

impl Listing for DirectorySource {
    fn walk(&self, visit: &mut dyn FnMut(&str) -> bool) -> Result<(), String> {
        let mut goes_on = true;
        for folder in [layout::TILES, layout::MANIFESTS] {
            let mut show = |key: &str| {
                goes_on = key.strip_prefix("public/").is_none_or(&mut *visit);
                goes_on
            };
            self.reader.walk(folder, &mut show).map_err(|error| format!("{folder} cannot be listed: {error}"))?;
            if !goes_on {
                break;
            }
        }
        Ok(())
    }
    fn object(&self, path: &str, into: &mut Vec<u8>) -> Result<(), Trouble> {
        self.read(&format!("public/{path}"), attest::manifest::MAX_BYTES, into)
    }
    fn has_manifest(&self, root: &Hash) -> Result<bool, Trouble> {
        self.reader.has(&layout::manifest(root)).map_err(|error| Trouble::Object(error.to_string()))
    }
    fn may_exceed(&self, items: u64, level: Option<Tile>) -> bool {
        let committed = self.committed();
        items <= level.map_or(committed, |tile| level_size(committed, &tile))
    }
}

/// Longer than any tile, so that a damaged one is read and named rather than refused.
const MAX_TILE: usize = 64 << 10;

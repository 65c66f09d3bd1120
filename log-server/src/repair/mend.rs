//! Which objects a repair looks at, and how bundles, manifests and superseded objects are put right.

use std::collections::HashSet;

use attest::Manifest;
use tlog::growth::tile_bytes;
use tlog::tile::BundleId;
use tlog::{Hash, Tile, bundle, hash_leaf};

use super::authority::{BELOW, NO_COPY};
use super::{Repair, RepairError};
use crate::fsck::{Listing as _, Source as _, claim};

impl Repair<'_> {
    /// Everything: all tiles from the top down, all bundles, all claimed and stored manifests, all superseded partial objects.
    pub fn everything(&mut self) -> Result<(), RepairError> {
        let size = self.tree.size;
        for level in (0..8).rev() {
            let mut first = 0;
            while let Some(tile) = Tile::holding(level, first, size) {
                let _ = self.tile(tile);
                first += 256;
            }
        }
        let mut claimed = HashSet::new();
        for id in BundleId::all(size) {
            if let Some(bytes) = self.bundle(id) {
                let entries = bundle::parse(&bytes, id.width()).unwrap_or_default();
                claimed.extend(entries.into_iter().filter_map(claim));
            }
        }
        let mut listed = Vec::new();
        let walked = self.source.walk(&mut |path| {
            let is_old = is_partial(path);
            match path.strip_prefix("manifest/").and_then(Hash::from_hex) {
                Some(root) => {
                    claimed.insert(root);
                }
                None if is_old => listed.push(path.to_owned()),
                None => {}
            }
            true
        });
        walked.map_err(RepairError::Directory)?;
        for path in listed {
            self.superseded(&path);
        }
        let mut claimed: Vec<Hash> = claimed.into_iter().collect();
        claimed.sort_unstable();
        claimed.iter().for_each(|root| self.manifest(root));
        Ok(())
    }

    /// One object by its path below the log's public root.
    pub fn object(&mut self, path: &str) -> Result<(), RepairError> {
        let no_object = || RepairError::NoObject(path.to_owned());
        if let Some(root) = path.strip_prefix("manifest/") {
            self.manifest(&Hash::from_hex(root).ok_or_else(no_object)?);
            return Ok(());
        }
        let (tile, id) = (Tile::parse(path), BundleId::parse(path));
        let now = match (tile, id) {
            (Some(tile), _) => Tile::holding(tile.level(), tile.index().saturating_mul(256), self.tree.size).map(|now| now.width()),
            (_, Some(id)) => BundleId::holding(id.index().saturating_mul(256), self.tree.size).map(|now| now.width()),
            _ => return Err(no_object()),
        };
        let width = tile.map(|tile| tile.width()).or(id.map(|id| id.width())).unwrap_or(0);
        match now {
            Some(now) if now == width => {
                if let Some(tile) = tile {
                    let _ = self.tile(tile);
                } else if let Some(id) = id {
                    let _ = self.bundle(id);
                }
            }
            Some(now) if now > width => self.superseded(path),
            _ => self.remains(path.to_owned(), "it is not of the log's tree").unwrap_or(()),
        }
        Ok(())
    }

    /// A bundle's bytes as they must be; the stored ones are made so.
    fn bundle(&mut self, id: BundleId) -> Option<Vec<u8>> {
        let Some(leaves) = self.tile(id.tile()) else {
            return self.remains(id.path(), "its tile is damaged, so it cannot be told what it must be");
        };
        self.outcome.checked += 1;
        let is_right = |bytes: &Vec<u8>| {
            bundle::parse(bytes, id.width()).is_ok_and(|entries| entries.iter().map(|entry| hash_leaf(entry)).eq(leaves.iter().copied()))
        };
        let mut bytes = Vec::new();
        if self.source.bundle(id, &mut bytes).is_ok() && is_right(&bytes) {
            return Some(bytes);
        }
        for number in 0..self.donors.len() {
            match self.ask(number, |donor| donor.bundle(id)) {
                Some(bytes) if is_right(&bytes) => {
                    let from = self.name(number);
                    return self.put(id.path(), &bytes, &from).map(|()| bytes);
                }
                Some(_) => self.refuse(id.path(), number),
                None => {}
            }
        }
        self.remains(id.path(), NO_COPY)
    }

    /// A manifest is named by its root, which says what it must be.
    fn manifest(&mut self, root: &Hash) {
        let path = format!("manifest/{root}");
        self.outcome.checked += 1;
        let mut bytes = Vec::new();
        if self.source.manifest(root, &mut bytes).is_ok() && is_manifest(&bytes, root) {
            return;
        }
        for number in 0..self.donors.len() {
            match self.ask(number, |donor| donor.manifest(root)) {
                Some(bytes) if is_manifest(&bytes, root) => {
                    let from = self.name(number);
                    let _ = self.put(path, &bytes, &from);
                    return;
                }
                Some(_) => self.refuse(path.clone(), number),
                None => {}
            }
        }
        let _: Option<()> = self.remains(path, NO_COPY);
    }

    /// An older partial object is the beginning of what replaced it. One that is gone has been collected.
    fn superseded(&mut self, path: &str) {
        let mut stored = Vec::new();
        if self.source.object(path, &mut stored).is_err_and(|trouble| trouble.is_missing()) {
            return;
        }
        let size = self.tree.size;
        let right = if let Some(tile) = Tile::parse(path) {
            let now = Tile::holding(tile.level(), tile.index().saturating_mul(256), size).filter(|now| now.width() > tile.width());
            let Some(now) = now else { return };
            self.tile(now).map(|hashes| tile_bytes(hashes.get(..usize::from(tile.width())).unwrap_or_default()))
        } else if let Some(id) = BundleId::parse(path) {
            let now = BundleId::holding(id.index().saturating_mul(256), size).filter(|now| now.width() > id.width());
            let Some(now) = now else { return };
            self.bundle(now).and_then(|bytes| bundle::cut(&bytes, id.width()).map(<[u8]>::to_vec).ok())
        } else {
            return;
        };
        self.outcome.checked += 1;
        match right {
            Some(right) if right == stored => {}
            Some(right) => drop(self.put(path.to_owned(), &right, BELOW)),
            None => drop(self.remains::<()>(path.to_owned(), "what replaced it is damaged, so it cannot be told what it must be")),
        }
    }
}

fn is_partial(path: &str) -> bool {
    Tile::parse(path).is_some_and(|tile| tile.is_partial()) || BundleId::parse(path).is_some_and(|id| id.width() < Tile::FULL)
}

/// Whether these are exactly the bytes of the manifest with this root.
fn is_manifest(bytes: &[u8], root: &Hash) -> bool {
    Manifest::parse(bytes).is_ok_and(|manifest| manifest.root() == *root && manifest.encode() == bytes)
}

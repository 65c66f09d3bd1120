//! What a listing shows beyond the tree: older partial tiles and bundles, and manifests.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use attest::manifest::tree_of;
use tlog::tile::BundleId;
use tlog::{Hash, Tile, bundle};

use super::source::{Listing, level_size};
use super::tally::Tally;
use super::{FsckError, Run};

/// Objects that are checked together, between two saved positions.
const BATCH: usize = 256;

impl Run<'_> {
    /// Checks everything that the listing shows after the path `after`. `save` is called between batches, with the path up to which
    /// all is done and what was found so far.
    pub(super) fn listed(
        &self,
        listing: &dyn Listing,
        after: Option<String>,
        tally: &mut Tally,
        save: &mut dyn FnMut(&str, &Tally) -> Result<(), FsckError>,
    ) -> Result<(), FsckError> {
        let mut batch = Vec::with_capacity(BATCH);
        let mut outcome = Ok(());
        let listed = listing.walk(&mut |path| {
            if after.as_deref().is_some_and(|after| place(path) <= place(after)) {
                return true;
            }
            batch.push(path.to_owned());
            if batch.len() == BATCH {
                outcome = self.batch(listing, &batch, tally).and_then(|()| save(path, tally));
                batch.clear();
            }
            outcome.is_ok()
        });
        outcome?;
        if let Err(what) = listed {
            tally.find("public", what);
        }
        self.batch(listing, &batch, tally)
    }

    fn batch(&self, listing: &dyn Listing, paths: &[String], tally: &mut Tally) -> Result<(), FsckError> {
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Ok(Tally::default()));
        std::thread::scope(|scope| {
            for _ in 0..self.source.workers().min(paths.len()) {
                scope.spawn(|| {
                    let part = self.some(listing, paths, &next);
                    let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    match (&mut *done, part) {
                        (Ok(all), Ok(part)) => all.absorb(part),
                        (_, Err(error)) => *done = Err(error),
                        (Err(_), Ok(_)) => {}
                    }
                });
            }
        });
        let part = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)?;
        part.findings.iter().for_each(|finding| self.observer.found(finding));
        tally.absorb(part);
        Ok(())
    }

    fn some(&self, listing: &dyn Listing, paths: &[String], next: &AtomicUsize) -> Result<Tally, FsckError> {
        let (mut tally, mut bytes, mut whole) = (Tally::default(), Vec::new(), Vec::new());
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            let fault = match path.strip_prefix("manifest/") {
                Some(name) => self.manifest(listing, path, name, &mut bytes, &mut tally)?,
                None => self.leftover(listing, path, [&mut bytes, &mut whole], &mut tally)?,
            };
            if let Some(fault) = fault {
                tally.find(path, fault);
            }
        }
        Ok(tally)
    }

    fn manifest(
        &self,
        listing: &dyn Listing,
        path: &str,
        name: &str,
        bytes: &mut Vec<u8>,
        tally: &mut Tally,
    ) -> Result<Option<String>, FsckError> {
        let Some(root) = Hash::from_hex(name) else { return Ok(Some("is not the name of a manifest".to_owned())) };
        match listing.object(path, bytes) {
            // Swept since it was listed; one that an entry claims is missed where it is claimed.
            Err(trouble) if trouble.is_missing() => Ok(None),
            read => {
                let fault = self.read(read, bytes, tally)?;
                tally.manifests += 1;
                Ok(fault.or_else(|| named_by(bytes, &root)))
            }
        }
    }

    /// An older partial tile or bundle must be the beginning of what replaced it.
    fn leftover(
        &self,
        listing: &dyn Listing,
        path: &str,
        [bytes, whole]: [&mut Vec<u8>; 2],
        tally: &mut Tally,
    ) -> Result<Option<String>, FsckError> {
        let (tile, id) = (Tile::parse(path), BundleId::parse(path));
        let (index, width, size) = match (tile, id) {
            (Some(tile), _) => (tile.index(), tile.width(), level_size(self.tree.size, &tile)),
            (_, Some(id)) => (id.index(), id.width(), self.tree.size),
            _ => return Ok(Some("is not the name of a tile or bundle".to_owned())),
        };
        let present = size.saturating_sub(index.saturating_mul(256)).min(256);
        if u64::from(width) > present {
            // Of a tree that is committed and not published yet.
            let may_be = listing.may_exceed(index.saturating_mul(256).saturating_add(u64::from(width)), tile);
            return Ok(if may_be { None } else { Some("is of no published tree".to_owned()) });
        }
        if u64::from(width) == present {
            return Ok(None); // compared already
        }
        let read = match listing.object(path, bytes) {
            // Collected since it was listed.
            Err(trouble) if trouble.is_missing() => return Ok(None),
            read => read,
        };
        tally.objects += 1;
        if let Some(fault) = self.read(read, bytes, tally)? {
            return Ok(Some(fault));
        }
        let present = u16::try_from(present).unwrap_or(256);
        let successor = match tile {
            Some(tile) => Tile::new(tile.level(), index, present).map(|tile| self.source.tile(tile, whole)),
            None => BundleId::new(index, present).map(|id| self.source.bundle(id, whole)),
        };
        let Some(successor) = successor else { return Ok(Some("has no successor".to_owned())) };
        if let Some(fault) = self.read(successor, whole, tally)? {
            return Ok(Some(format!("cannot be compared: what replaced it {fault}")));
        }
        let is_whole = tile.map_or_else(|| bundle::parse(bytes, width).is_ok(), |tile| bytes.len() == tile.byte_len());
        let is_same = is_whole && whole.starts_with(bytes);
        Ok(if is_same { None } else { Some("differs from the beginning of what replaced it".to_owned()) })
    }
}

/// What is wrong with a manifest's text under this name.
pub(super) fn named_by(text: &[u8], root: &Hash) -> Option<String> {
    if tree_of(text).root != *root {
        Some("its root is not its name".to_owned())
    } else if text.last().is_some_and(|byte| *byte != b'\n') {
        Some("its last line is cut".to_owned())
    } else {
        None
    }
}

/// Where a walk comes by a path: tiles before manifests, then name by name.
fn place(path: &str) -> (bool, Vec<&str>) {
    (path.starts_with("manifest/"), path.split('/').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_placed_as_they_are_walked() {
        let walked =
            ["tile/0/000", "tile/0/000.p/30", "tile/0/000.p/7", "tile/0/x001/000", "tile/entries/000", "manifest/00", "manifest/ff"];
        assert!(walked.is_sorted_by(|a, b| place(a) < place(b)));
    }
}

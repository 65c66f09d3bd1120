//! One chunk of a log: its entries hashed and compared with the level-0 tiles. Chunks know nothing of each other, so any number
//! of threads may each have one in hand.

use std::collections::HashSet;
use std::mem;

use attest::{Envelope, Predicate, Statement};
use tlog::growth::tile_root;
use tlog::tile::BundleId;
use tlog::{Hash, Tile, bundle, hash_leaf};

use super::manifests::named_by;
use super::tally::Tally;
use super::{FsckError, Run};
use crate::verify::hashes;

/// What a chunk comes to.
#[derive(Default)]
pub(super) struct Chunk {
    /// The root of each full level-0 tile.
    pub roots: Vec<Hash>,
    /// The leaf hashes of the partial bundle at the tree's end.
    pub rest: Vec<Hash>,
    pub tally: Tally,
}

/// Memory that one thread uses again and again.
#[derive(Default)]
pub(super) struct Buffers {
    bundle: Vec<u8>,
    pub tile: Vec<u8>,
    manifest: Vec<u8>,
}

/// What stands under a place of level 1.
enum Under {
    Leaves(Vec<Hash>),
    /// Nothing of it could be read: what the level above says.
    Root(Hash),
}

impl Run<'_> {
    /// Number of chunks in the tree.
    pub(super) fn chunks(&self) -> u64 {
        self.tree.size.div_ceil(LEAVES)
    }

    pub(super) fn chunk(&self, number: u64, buffers: &mut Buffers) -> Result<Chunk, FsckError> {
        let mut chunk = Chunk::default();
        let first = number * BUNDLES;
        for index in first..self.tree.size.div_ceil(256).min(first + BUNDLES) {
            let Some(id) = BundleId::holding(index * 256, self.tree.size) else { break };
            match self.under(id, buffers, &mut chunk.tally)? {
                Under::Leaves(leaves) if id.width() < Tile::FULL => chunk.rest = leaves,
                Under::Leaves(leaves) => chunk.roots.push(tile_root(&leaves)),
                Under::Root(root) => chunk.roots.push(root),
            }
        }
        Ok(chunk)
    }

    /// Leaf hashes of one bundle, compared with its level-0 tile. Where the bundle is unreadable, those of the tile stand in, so
    /// that one damaged object is one finding.
    fn under(&self, id: BundleId, buffers: &mut Buffers, tally: &mut Tally) -> Result<Under, FsckError> {
        let leaves = self.leaves(id, buffers, tally)?;
        let tile = id.tile();
        let stored = match self.read(self.source.tile(tile, &mut buffers.tile), &buffers.tile, tally)? {
            Some(fault) => Err(fault),
            None if buffers.tile.len() != tile.byte_len() => {
                Err(format!("has {} bytes instead of {}", buffers.tile.len(), tile.byte_len()))
            }
            None => Ok(&buffers.tile),
        };
        tally.objects += 1;
        match (leaves, stored) {
            (Ok(leaves), Ok(stored)) => match first_difference(stored, &leaves) {
                None => Ok(Under::Leaves(leaves)),
                Some(at) => {
                    let stored = hashes(stored);
                    self.blame(id, at, leaves, stored, tally)
                }
            },
            (Ok(leaves), Err(fault)) => {
                tally.find(tile.path(), fault);
                Ok(Under::Leaves(leaves))
            }
            (Err(fault), Ok(stored)) => {
                tally.find(id.path(), fault);
                Ok(Under::Leaves(hashes(stored)))
            }
            (Err(bundle_fault), Err(tile_fault)) => {
                tally.find(id.path(), bundle_fault);
                tally.find(tile.path(), tile_fault);
                Ok(self.parent(tile)?.map_or_else(|| Under::Leaves(Vec::new()), Under::Root))
            }
        }
    }

    /// Bundle and tile differ: the level above tells which of them is as it was, unless it is damaged itself.
    fn blame(&self, id: BundleId, at: usize, leaves: Vec<Hash>, stored: Vec<Hash>, tally: &mut Tally) -> Result<Under, FsckError> {
        if self.parent(id.tile())? == Some(tile_root(&stored)) {
            tally.find(id.path(), format!("entry {at} differs from {}, which the level above confirms", id.tile().path()));
            return Ok(Under::Leaves(stored));
        }
        tally.find(id.tile().path(), format!("hash {at} differs from {}", id.path()));
        Ok(Under::Leaves(leaves))
    }

    /// What the stored tile above says of this one. Nothing is found or counted: that tile's own turn comes.
    fn parent(&self, tile: Tile) -> Result<Option<Hash>, FsckError> {
        let Some((parent, place)) = tile.parent(self.tree.size) else { return Ok(None) };
        let mut bytes = Vec::new();
        let fault = self.read(self.source.tile(parent, &mut bytes), &bytes, &mut Tally::default())?;
        Ok(if fault.is_none() { hashes(&bytes).get(usize::from(place)).copied() } else { None })
    }

    fn leaves(&self, id: BundleId, buffers: &mut Buffers, tally: &mut Tally) -> Result<Result<Vec<Hash>, String>, FsckError> {
        if let Some(fault) = self.read(self.source.bundle(id, &mut buffers.bundle), &buffers.bundle, tally)? {
            return Ok(Err(fault));
        }
        tally.objects += 1;
        let Ok(entries) = bundle::parse(&buffers.bundle, id.width()) else {
            return Ok(Err(format!("is not a bundle of {} entries", id.width())));
        };
        let mut leaves = Vec::with_capacity(entries.len());
        for entry in entries {
            leaves.push(hash_leaf(entry));
            if let Some(root) = claim(entry) {
                self.claimed(&root, &mut buffers.manifest, tally)?;
            }
        }
        Ok(Ok(leaves))
    }

    /// A claimed manifest must be there. Where manifests can be listed, they are read in their own turn.
    fn claimed(&self, root: &Hash, buffer: &mut Vec<u8>, tally: &mut Tally) -> Result<(), FsckError> {
        if !self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_new(root) {
            return Ok(());
        }
        let fault = match self.source.listing() {
            Some(listing) => match listing.has_manifest(root) {
                Ok(true) => return Ok(()),
                Ok(false) => Some("is missing".to_owned()),
                Err(trouble) => self.read(Err(trouble), &[], tally)?,
            },
            None => match self.read(self.source.manifest(root, buffer), buffer, tally)? {
                None => named_by(buffer, root),
                fault => fault,
            },
        };
        tally.manifests += 1;
        if let Some(fault) = fault {
            tally.find(format!("manifest/{root}"), fault);
        }
        Ok(())
    }
}

/// The number of the first hash that differs; both have the same length.
fn first_difference(stored: &[u8], computed: &[Hash]) -> Option<usize> {
    stored.as_chunks::<32>().0.iter().zip(computed).position(|(stored, computed)| stored != computed.as_bytes())
}

/// The manifest that an entry claims, if it is such an entry.
pub(crate) fn claim(entry: &[u8]) -> Option<Hash> {
    if !entry.starts_with(b"{\"payload\":") {
        return None;
    }
    match Statement::parse(Envelope::parse(entry).ok()?.payload()).ok()?.predicate {
        Predicate::PackageFiles(files) => Some(files.manifest),
        _ => None,
    }
}

/// Roots met of late, in two generations: builders claim the same manifest at about the same time, and what is asked for twice
/// costs time only.
#[derive(Default)]
pub(super) struct Seen {
    young: HashSet<Hash>,
    old: HashSet<Hash>,
}

impl Seen {
    fn is_new(&mut self, root: &Hash) -> bool {
        if self.old.contains(root) || !self.young.insert(*root) {
            return false;
        }
        if self.young.len() >= GENERATION {
            self.old = mem::take(&mut self.young);
        }
        true
    }
}

/// Bundles in a chunk: 4 MB of 1 KB entries, a few milliseconds.
const BUNDLES: u64 = 16;
/// Leaves in a chunk.
pub(super) const LEAVES: u64 = BUNDLES * 256;
/// Roots in one generation: 1 MiB.
const GENERATION: usize = 32_768;

//! Growing a tree leaf by leaf while holding only its right edge: at most 255 hashes for each level. The same code writes
//! the tiles of new entries ([`crate::Edge`]) and recomputes a whole log from its bytes.

use alloc::vec::Vec;

use crate::merkle::root;
use crate::{Hash, Tile, Tree, hash_children};

/// The partial tile of each level of a tree, and its size.
///
/// Rebuilding a log: [`Growth::push`] each leaf hash (or [`Growth::push_tile`] the root of 256 at once, which may have been
/// hashed on another thread), compare each tile that comes out with the stored one, and at the end compare
/// [`Growth::partials`] and [`Growth::tree`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    size: u64,
    /// Level `l` has the hashes of the rightmost tile of that level, 0 to 255 of them.
    levels: Vec<Vec<Hash>>,
}

/// Why the tree does not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GrowthError {
    /// It would have more than [`Tree::MAX_SIZE`] leaves.
    TreeFull,
    /// A whole tile can be added only where the last one is full.
    NotAligned,
}

impl Growth {
    /// The tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A tree of `size` from the hashes of its partial tiles, in the order of [`Tile::edge`]; `None` if they do not fit. The
    /// hashes are taken as they are: compare [`Growth::tree`] with a root that is trusted.
    #[must_use]
    pub fn resume(size: u64, edge: &[(Tile, Vec<Hash>)]) -> Option<Self> {
        let mut levels = Vec::new();
        for (tile, hashes) in edge {
            levels.resize(usize::from(tile.level()), Vec::new());
            levels.push(hashes.clone());
        }
        let fits = edge.iter().map(|(tile, _)| *tile).eq(Tile::edge(size))
            && edge.iter().all(|(tile, hashes)| hashes.len() == usize::from(tile.width()));
        fits.then_some(Self { size, levels })
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Size and root, recomputed from the hashes at every call.
    #[must_use]
    pub fn tree(&self) -> Tree {
        let mut right = None;
        for hashes in &self.levels {
            right = join_level(hashes, right);
        }
        Tree { size: self.size, root: right.unwrap_or(Hash::EMPTY) }
    }

    /// Adds one leaf. Each tile that becomes full is handed to `full`, lower levels first.
    pub fn push(&mut self, leaf: Hash, full: &mut impl FnMut(Tile, &[Hash])) -> Result<(), GrowthError> {
        self.size = self.size.checked_add(1).filter(|size| *size <= Tree::MAX_SIZE).ok_or(GrowthError::TreeFull)?;
        self.carry(0, leaf, full);
        Ok(())
    }

    /// Adds 256 leaves at once, given the root of their full level-0 tile. That tile itself is not handed out.
    pub fn push_tile(&mut self, tile_root: Hash, full: &mut impl FnMut(Tile, &[Hash])) -> Result<(), GrowthError> {
        let leaves = u64::from(Tile::FULL);
        if !self.size.is_multiple_of(leaves) {
            return Err(GrowthError::NotAligned);
        }
        self.size = self.size.checked_add(leaves).filter(|size| *size <= Tree::MAX_SIZE).ok_or(GrowthError::TreeFull)?;
        self.carry(1, tile_root, full);
        Ok(())
    }

    /// The partial tiles, lower levels first: what [`Tile::edge`] names, with the hashes.
    pub fn partials(&self) -> impl Iterator<Item = (Tile, &[Hash])> {
        let hashes = |tile: &Tile| self.levels.get(usize::from(tile.level())).map(Vec::as_slice);
        Tile::edge(self.size).filter_map(move |tile| hashes(&tile).map(|hashes| (tile, hashes)))
    }

    /// Puts a hash into its level; a tile that is full then puts its root into the level above.
    fn carry(&mut self, level: u8, hash: Hash, full: &mut impl FnMut(Tile, &[Hash])) {
        let (mut level, mut hash) = (level, hash);
        loop {
            if self.levels.len() <= usize::from(level) {
                self.levels.resize(usize::from(level) + 1, Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(usize::from(level)) else { return };
            hashes.push(hash);
            if hashes.len() < usize::from(Tile::FULL) {
                return;
            }
            // The size counts this leaf already, so the tile that it fills is the one before the next.
            let tiles = self.size.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0);
            if let Some(tile) = tiles.checked_sub(1).and_then(|index| Tile::new(level, index, Tile::FULL)) {
                full(tile, hashes);
            }
            hash = root(hashes);
            hashes.clear();
            level += 1;
        }
    }
}

/// The root of a full tile's hashes, or the part of a tree's root that a partial tile stands for.
#[must_use]
pub fn tile_root(hashes: &[Hash]) -> Hash {
    root(hashes)
}

/// A tile's bytes: its hashes one after another.
#[must_use]
pub fn tile_bytes(hashes: &[Hash]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32 * hashes.len());
    for hash in hashes {
        bytes.extend_from_slice(hash.as_bytes());
    }
    bytes
}

/// The hash of everything from this level's partial tile to the right: its complete nodes, the smallest joined first with
/// what the levels below gave.
fn join_level(hashes: &[Hash], right: Option<Hash>) -> Option<Hash> {
    let (mut right, mut rest) = (right, hashes);
    while !rest.is_empty() {
        let (before, node) = rest.split_at_checked(rest.len() & (rest.len() - 1))?;
        let node = root(node);
        right = Some(right.map_or(node, |right| hash_children(&node, &right)));
        rest = before;
    }
    right
}

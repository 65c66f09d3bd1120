//! Tiles of height 8 and their paths, C2SP tlog-tiles. (stub)

use alloc::string::String;

/// One hash tile: 256 (or, at the right edge, 1 to 255) hashes of one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

impl Tile {
    /// `None` unless `level` <= 63 and 1 <= `width` <= 256.
    #[must_use]
    pub fn new(_level: u8, _index: u64, _width: u16) -> Option<Self> {
        todo!()
    }
    /// Level, 0 for leaf hashes.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.level
    }
    /// Number of the tile in its level.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }
    /// Number of hashes, 1 to 256.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }
    /// `tile/0/x001/067` or `tile/0/x001/067.p/5`.
    #[must_use]
    pub fn path(&self) -> String {
        todo!()
    }
    /// The inverse of [`Tile::path`]; `None` for any other spelling.
    #[must_use]
    pub fn parse(_path: &str) -> Option<Self> {
        todo!()
    }
    /// All tiles of a tree of this size, partial ones included.
    pub fn all(_size: u64) -> impl Iterator<Item = Self> {
        core::iter::empty()
    }
}

/// One entry bundle: 256 (or, at the right edge, 1 to 255) entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId {
    index: u64,
    width: u16,
}
impl BundleId {
    /// `None` unless 1 <= `width` <= 256.
    #[must_use]
    pub fn new(_index: u64, _width: u16) -> Option<Self> {
        todo!()
    }
    /// Number of the bundle.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }
    /// Number of entries, 1 to 256.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }
    /// The bundle that holds entry `index` of a tree of `size`.
    #[must_use]
    pub fn holding(_index: u64, _size: u64) -> Option<Self> {
        todo!()
    }
    /// `tile/entries/x001/067` or `tile/entries/x001/067.p/5`.
    #[must_use]
    pub fn path(&self) -> String {
        todo!()
    }
    /// The inverse of [`BundleId::path`].
    #[must_use]
    pub fn parse(_path: &str) -> Option<Self> {
        todo!()
    }
}

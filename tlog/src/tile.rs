//! Tiles of height 8 and entry bundles: which of them a tree has, and their paths (C2SP tlog-tiles). See `specs/tiles.md`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::Hash;

/// One hash tile: 256 (or, at the right edge, 1 to 255) hashes of one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

impl Tile {
    /// The number of hashes in a full tile, and of entries in a full bundle.
    pub const FULL: u16 = 256;
    /// The highest level that a path can name. A tree of at most 2^63-1 leaves ends at level 7.
    pub const MAX_LEVEL: u8 = 63;

    /// `None` unless `level` <= 63 and 1 <= `width` <= 256.
    #[must_use]
    pub fn new(level: u8, index: u64, width: u16) -> Option<Self> {
        (level <= Self::MAX_LEVEL && (1..=Self::FULL).contains(&width)).then_some(Self { level, index, width })
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

    /// Number of bytes, 32 for each hash.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        32 * usize::from(self.width)
    }

    /// `tile/0/x001/067` or `tile/0/x001/067.p/5`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("tile/{}/{}", self.level, encode_place(self.index, self.width))
    }

    /// The inverse of [`Tile::path`]; `None` for any other spelling.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (level, place) = short(path)?.strip_prefix("tile/")?.split_once('/')?;
        let (index, width) = parse_place(place)?;
        let tile = Self::new(level.parse().ok()?, index, width)?;
        (tile.path() == path).then_some(tile)
    }

    /// All tiles of a tree of this size, partial ones included, from the lowest level up and from left to right.
    pub fn all(size: u64) -> impl Iterator<Item = Self> {
        Self::grown(0, size)
    }

    /// The tiles that a tree of `new_size` has and one of `old_size` has not: new ones and wider ones.
    pub fn grown(old_size: u64, new_size: u64) -> impl Iterator<Item = Self> {
        grown(HEIGHT, old_size, new_size)
            .filter_map(|(level, index, width)| Self::new(u8::try_from(level).ok()?, index, u16::try_from(width).ok()?))
    }

    /// The partial tiles of a tree of this size, from the lowest level up: its right edge, whose hashes give its root.
    pub fn edge(size: u64) -> impl Iterator<Item = Self> {
        (0..8).filter_map(move |level| Self::holding(level, level_len(level, size).checked_sub(1)?, size)).filter(Self::is_partial)
    }

    /// The tile, as wide as a tree of `size` has it, that holds hash number `index` of `level`; `None` if the tree has no
    /// such hash.
    #[must_use]
    pub fn holding(level: u8, index: u64, size: u64) -> Option<Self> {
        let width = width_holding(index, level_len(level, size))?;
        Self::new(level, index / u64::from(Self::FULL), width)
    }

    /// Whether a tree of `size` has this tile, exactly this wide.
    #[must_use]
    pub fn is_of(&self, size: u64) -> bool {
        self.index.checked_mul(u64::from(Self::FULL)).and_then(|first| Self::holding(self.level, first, size)) == Some(*self)
    }

    /// Whether the tile is not full. Partial tiles have no parent.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.width < Self::FULL
    }

    /// The tile of a tree of `size` that holds the root of this full tile, and the number of that hash in it, 0 to 255.
    /// `None` for a partial tile, and where the tree has no such hash.
    #[must_use]
    pub fn parent(&self, size: u64) -> Option<(Self, u8)> {
        if self.is_partial() {
            return None;
        }
        let tile = Self::holding(self.level.checked_add(1)?, self.index, size)?;
        Some((tile, u8::try_from(self.index % u64::from(Self::FULL)).ok()?))
    }

    /// The full tile at the same place. A log may have dropped a partial tile once this one exists; see [`Tile::cut`].
    #[must_use]
    pub fn full(&self) -> Self {
        Self { width: Self::FULL, ..*self }
    }

    /// This tile's bytes out of those of a wider one at the same place; `None` if there are fewer, or not whole hashes.
    #[must_use]
    pub fn cut<'a>(&self, wider: &'a [u8]) -> Option<&'a [u8]> {
        if wider.len() > self.full().byte_len() || !wider.len().is_multiple_of(32) {
            return None;
        }
        wider.get(..self.byte_len())
    }

    /// The tile's hashes; `None` unless there are exactly as many bytes as its width demands.
    #[must_use]
    pub fn hashes(&self, bytes: &[u8]) -> Option<Vec<Hash>> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        let fits = rest.is_empty() && hashes.len() == usize::from(self.width);
        fits.then(|| hashes.iter().copied().map(Hash::new).collect())
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
    pub fn new(index: u64, width: u16) -> Option<Self> {
        (1..=Tile::FULL).contains(&width).then_some(Self { index, width })
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
    pub fn holding(index: u64, size: u64) -> Option<Self> {
        Self::new(index / u64::from(Tile::FULL), width_holding(index, size)?)
    }

    /// All bundles of a tree of this size, the partial one included, from left to right.
    pub fn all(size: u64) -> impl Iterator<Item = Self> {
        Self::grown(0, size)
    }

    /// The bundles that a tree of `new_size` has and one of `old_size` has not: new ones and wider ones.
    pub fn grown(old_size: u64, new_size: u64) -> impl Iterator<Item = Self> {
        Tile::grown(old_size, new_size).take_while(|tile| tile.level == 0).map(|tile| Self { index: tile.index, width: tile.width })
    }

    /// The full bundle at the same place; [`crate::bundle::cut`] makes this one out of it.
    #[must_use]
    pub fn full(&self) -> Self {
        Self { width: Tile::FULL, ..*self }
    }

    /// The level-0 tile with the leaf hashes of this bundle's entries.
    #[must_use]
    pub fn tile(&self) -> Tile {
        Tile { level: 0, index: self.index, width: self.width }
    }

    /// `tile/entries/x001/067` or `tile/entries/x001/067.p/5`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("tile/entries/{}", encode_place(self.index, self.width))
    }

    /// The inverse of [`BundleId::path`].
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (index, width) = parse_place(short(path)?.strip_prefix("tile/entries/")?)?;
        let id = Self::new(index, width)?;
        (id.path() == path).then_some(id)
    }
}

/// How many hashes a tree of `size` has in a level: complete nodes only.
fn level_len(level: u8, size: u64) -> u64 {
    size.checked_shr(HEIGHT * u32::from(level)).unwrap_or(0)
}

/// The width of the tile or bundle that holds item `index` of `len`.
fn width_holding(index: u64, len: u64) -> Option<u16> {
    let full = u64::from(Tile::FULL);
    let after_first = len.checked_sub(index / full * full)?;
    if index < len { u16::try_from(after_first.min(full)).ok() } else { None }
}

/// Level, index and width of all tiles that growth makes new or wider, for tiles of 2^`height` hashes.
fn grown(height: u32, old_size: u64, new_size: u64) -> impl Iterator<Item = (u32, u64, u64)> {
    let levels = (0..).map_while(move |level| {
        let shift = height.checked_mul(level)?;
        let len = new_size.checked_shr(shift).filter(|len| *len > 0)?;
        Some((level, old_size.checked_shr(shift)?, len))
    });
    levels.flat_map(move |(level, old_len, len)| {
        let full = 1 << height;
        let last = (old_len < len && len % full > 0).then_some((level, len / full, len % full));
        (old_len / full..len / full).map(move |index| (level, index, full)).chain(last)
    })
}

/// The index in groups of three digits, all but the last marked with `x`; `.p/W` for a partial width.
fn encode_place(index: u64, width: u16) -> String {
    let mut place = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        place = format!("x{:03}/{place}", rest % 1000);
        rest /= 1000;
    }
    if width < Tile::FULL { format!("{place}.p/{width}") } else { place }
}

/// Reads the digits and nothing else: whether the groups stand as they must shows when the caller encodes again.
fn parse_place(place: &str) -> Option<(u64, u16)> {
    let (groups, width) = match place.split_once(".p/") {
        Some((groups, width)) => (groups, width.parse().ok()?),
        None => (place, Tile::FULL),
    };
    let digits = groups.bytes().filter(|byte| !matches!(byte, b'x' | b'/'));
    let index = digits.into_iter().try_fold(0_u64, |index, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        index.checked_mul(10)?.checked_add(digit)
    })?;
    Some((index, width))
}

/// The longest path has 51 bytes: an index of 20 digits in seven groups, and `.p/255`.
fn short(path: &str) -> Option<&str> {
    (path.len() <= MAX_PATH).then_some(path)
}

const HEIGHT: u32 = 8;
const MAX_PATH: usize = 64;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail this way")]
mod tests {
    use std::{eprintln, fs, println};

    use super::*;

    /// The arithmetic is the same for tiles of any height; the vectors for it were made with height 10.
    #[test]
    fn grown_tiles_are_counted_as_elsewhere() {
        let folder =
            std::env::var_os("TALLYSTICK_VECTORS").unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors").into());
        let file = "tiles/new-tiles-sumdb-height10.json";
        if !std::path::Path::new(&folder).is_dir() {
            eprintln!("NOT RUN: {file}: there is no folder of vectors (set TALLYSTICK_VECTORS)");
            return;
        }
        let vectors: serde_json::Value = serde_json::from_slice(&fs::read(std::path::Path::new(&folder).join(file)).unwrap()).unwrap();
        let cases = vectors["cases"].as_array().unwrap();
        for case in cases {
            let [height, old, new, count] = ["height", "old", "new", "want_count"].map(|key| case[key].as_u64().unwrap());
            assert_eq!(grown(u32::try_from(height).unwrap(), old, new).count(), usize::try_from(count).unwrap(), "{case}");
        }
        println!("{file}: {} run, 0 listed, 7 expected", cases.len());
        assert!(cases.len() >= 7);
    }
}

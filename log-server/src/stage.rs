//! The staged objects of one round, in one file, so that a round's data costs one fsync before the point of no return.
//! Format: `specs/lifecycle.md`, "The staging file".
//!
//! ```text
//! tallystick/stage/v1
//! <old size> <old root, hex>
//! <new size> <new root, hex>
//! <path> <length>        then that many bytes, for each object in the order of `expected`
//! sha256 <hex of everything before this line>
//! ```

use std::borrow::Cow;

use tlog::{BundleId, Hash, Tile, Tree};

use crate::layout;

/// What one round of growth writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The tree before the round.
    pub old: Tree,
    /// The tree after it.
    pub new: Tree,
    /// Entry bundles, new or wider than before, in order.
    pub bundles: Vec<(BundleId, Vec<u8>)>,
    /// Hash tiles, new or wider than before, by level and index.
    pub tiles: Vec<(Tile, Vec<u8>)>,
}

/// Why a staging file was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageError {
    /// Not a staging file, or cut short, or with something left over.
    Malformed,
    /// The closing hash is another: bytes have changed.
    WrongHash,
    /// Not exactly the objects that growth from the old to the new size gives.
    WrongObjects,
}

impl Stage {
    /// Takes over what `append` gave.
    #[must_use]
    pub fn new(old: Tree, batch: tlog::edge::Batch) -> Self {
        let (mut tiles, mut bundles) = (batch.tiles, batch.bundles);
        tiles.sort_by_key(|(tile, _)| *tile);
        bundles.sort_by_key(|(bundle, _)| *bundle);
        Self { old, new: batch.tree, bundles, tiles }
    }

    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.pieces().concat()
    }

    /// The same in pieces, of which the objects' are those that the stage holds.
    #[must_use]
    pub fn pieces(&self) -> Vec<Cow<'_, [u8]>> {
        let line = |line: String| Cow::Owned(line.into_bytes());
        let mut pieces = vec![Cow::Borrowed(HEADER.as_bytes())];
        pieces.extend([&self.old, &self.new].map(|tree| line(format!("{} {}\n", tree.size, tree.root))));
        for (path, bytes) in self.objects() {
            pieces.push(line(format!("{path} {}\n", bytes.len())));
            pieces.push(Cow::Borrowed(bytes));
        }
        let hash = Hash::digest_pieces(&pieces);
        pieces.push(line(format!("sha256 {hash}\n")));
        pieces
    }

    /// Reads the file and checks that it holds exactly the objects that the growth demands. The contents are judged by
    /// [`crate::verify`].
    pub fn parse(bytes: &[u8]) -> Result<Self, StageError> {
        let body = checked_body(bytes)?;
        let mut rest = body.strip_prefix(HEADER.as_bytes()).ok_or(StageError::Malformed)?;
        let old = tree_line(&mut rest)?;
        let new = tree_line(&mut rest)?;
        if new.size <= old.size {
            return Err(StageError::WrongObjects);
        }
        let mut stage = Self { old, new, bundles: Vec::new(), tiles: Vec::new() };
        for bundle in BundleId::grown(old.size, new.size) {
            stage.bundles.push((bundle, object(&mut rest, &bundle.path())?));
        }
        for tile in Tile::grown(old.size, new.size) {
            stage.tiles.push((tile, object(&mut rest, &tile.path())?));
        }
        if rest.is_empty() && stage.encode() == bytes { Ok(stage) } else { Err(StageError::Malformed) }
    }

    fn objects(&self) -> impl Iterator<Item = (String, &Vec<u8>)> {
        let bundles = self.bundles.iter().map(|(id, bytes)| (id.path(), bytes));
        bundles.chain(self.tiles.iter().map(|(id, bytes)| (id.path(), bytes)))
    }

    /// Store keys and bytes of all objects, bundles first.
    #[must_use]
    pub fn into_keyed(self) -> Vec<(String, Vec<u8>)> {
        let bundles = self.bundles.into_iter().map(|(id, bytes)| (layout::bundle(&id), bytes));
        bundles.chain(self.tiles.into_iter().map(|(tile, bytes)| (layout::tile(&tile), bytes))).collect()
    }
}

fn checked_body(bytes: &[u8]) -> Result<&[u8], StageError> {
    let split = bytes.len().checked_sub(TRAILER).ok_or(StageError::Malformed)?;
    let (body, trailer) = bytes.split_at(split);
    let trailer = std::str::from_utf8(trailer).map_err(|_| StageError::Malformed)?;
    let hex = trailer.strip_prefix("sha256 ").and_then(|rest| rest.strip_suffix('\n'));
    let hash = hex.and_then(Hash::from_hex).ok_or(StageError::Malformed)?;
    if Hash::digest(body) == hash { Ok(body) } else { Err(StageError::WrongHash) }
}

fn line<'a>(rest: &mut &'a [u8]) -> Result<&'a str, StageError> {
    let end = rest.iter().take(MAX_LINE).position(|byte| *byte == b'\n').ok_or(StageError::Malformed)?;
    let (line, after) = rest.split_at(end);
    *rest = &after[1..]; // `end` is the position of a line feed, so `after` begins with it
    std::str::from_utf8(line).map_err(|_| StageError::Malformed)
}

fn tree_line(rest: &mut &[u8]) -> Result<Tree, StageError> {
    let (size, root) = line(rest)?.split_once(' ').ok_or(StageError::Malformed)?;
    let size = size.parse().map_err(|_| StageError::Malformed)?;
    Ok(Tree { size, root: Hash::from_hex(root).ok_or(StageError::Malformed)? })
}

fn object(rest: &mut &[u8], path: &str) -> Result<Vec<u8>, StageError> {
    let (found, length) = line(rest)?.rsplit_once(' ').ok_or(StageError::Malformed)?;
    if found != path {
        return Err(StageError::WrongObjects);
    }
    let length: usize = length.parse().map_err(|_| StageError::Malformed)?;
    let (bytes, after) = rest.split_at_checked(length).ok_or(StageError::Malformed)?;
    *rest = after;
    Ok(bytes.to_vec())
}

const HEADER: &str = "tallystick/stage/v1\n";
/// `sha256 `, 64 digits and a line feed.
const TRAILER: usize = 7 + 64 + 1;
const MAX_LINE: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(old: u64, new: u64) -> Stage {
        let tree = |size| Tree { size, root: Hash::digest(&[u8::try_from(size % 251).unwrap()]) };
        Stage {
            old: tree(old),
            new: tree(new),
            bundles: BundleId::grown(old, new).map(|id| (id, vec![1, b'\n', 3])).collect(),
            tiles: Tile::grown(old, new).map(|id| (id, vec![7; usize::from(id.width()) * 32])).collect(),
        }
    }

    #[test]
    fn stages_survive_their_file() {
        for (old, new) in [(0, 1), (0, 256), (255, 257), (256, 600), (65_535, 65_537)] {
            let stage = stage(old, new);
            assert_eq!(Stage::parse(&stage.encode()), Ok(stage));
        }
    }

    #[test]
    fn growth_over_a_level_names_both_levels() {
        let paths: Vec<String> = Tile::grown(255, 257).map(|tile| tile.path()).collect();
        assert_eq!(paths, ["tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1"]);
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let bytes = stage(255, 257).encode();
        for at in (0..bytes.len()).step_by(97) {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            assert!(Stage::parse(&changed).is_err(), "byte {at}");
            assert!(Stage::parse(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn other_objects_than_the_growth_demands_are_refused() {
        let mut fewer = stage(255, 257);
        fewer.tiles.remove(0);
        assert_eq!(Stage::parse(&fewer.encode()), Err(StageError::WrongObjects));
        let mut shrinking = stage(255, 257);
        shrinking.new.size = 255;
        assert_eq!(Stage::parse(&shrinking.encode()), Err(StageError::WrongObjects));
    }
}

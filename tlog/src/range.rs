//! Intervals of leaves and the complete nodes that they consist of: the arithmetic behind every proof, without hashes.

use alloc::vec::Vec;

use crate::{Hash, Tile, hash_children};

/// A complete node: the root of 2^`level` leaves, of which the first is number `index << level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    level: u32,
    index: u64,
}

impl Node {
    /// The node that is a leaf.
    pub(crate) const fn leaf(index: u64) -> Self {
        Self { level: 0, index }
    }

    /// The tile that a tree of `size` keeps this node in: as one of its hashes, or inside it, above its hashes.
    pub(crate) fn tile(self, size: u64) -> Option<Tile> {
        let (level, first, _) = self.place();
        Tile::holding(level, first, size)
    }

    /// Where in its tile the node is: how many levels above the tile's hashes, and the number within that level.
    pub(crate) fn within(self) -> (usize, usize) {
        let (_, _, above) = self.place();
        let number = self.index & ((256 >> above) - 1);
        (usize::try_from(above).unwrap_or(usize::MAX), usize::try_from(number).unwrap_or(usize::MAX))
    }

    /// The tile's level, the first hash of that level below the node, and the node's height above that level.
    fn place(self) -> (u8, u64, u32) {
        let above = self.level % 8;
        (u8::try_from(self.level / 8).unwrap_or(u8::MAX), self.index << above, above)
    }
}

/// The leaves from `start` up to, not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Range {
    pub(crate) const fn new(start: u64, end: u64) -> Self {
        Self { start, end }
    }

    /// The two subtrees that a subtree of a tree is hashed from; `None` for a single leaf.
    pub(crate) fn halves(self) -> Option<(Self, Self)> {
        let leaves = self.end.checked_sub(self.start).filter(|leaves| *leaves > 1)?;
        let middle = self.start + split(leaves);
        Some((Self::new(self.start, middle), Self::new(middle, self.end)))
    }

    /// The complete nodes that the range consists of, from left (largest) to right (smallest). The range is a subtree, so
    /// that its start is a multiple of each node's size.
    pub(crate) fn nodes(self) -> impl Iterator<Item = Node> {
        let Self { mut start, end } = self;
        core::iter::from_fn(move || {
            let level = end.checked_sub(start)?.checked_ilog2()?;
            let node = Node { level, index: start >> level };
            start += 1 << level;
            Some(node)
        })
    }
}

/// The ranges whose hashes prove that `subtree` is a subtree of a tree of `size`, in the order of the proof. Walks down
/// from the whole tree and notes what lies beside the way (MTC draft, "subtree consistency proofs"; for a start of 0
/// RFC 9162 section 2.1.4.1, for a single leaf section 2.1.3.1). `subtree` is not empty and lies inside the tree.
pub(crate) fn proof(subtree: Range, size: u64) -> Vec<Range> {
    let (mut start, Range { end, .. }) = (subtree.start, subtree);
    let (mut low, mut high, mut known) = (0, size, true);
    let mut ranges = Vec::new();
    while (low, high) != (start, end) {
        let middle = low + split(high - low);
        if end <= middle {
            ranges.push(Range::new(middle, high));
            high = middle;
        } else {
            ranges.push(Range::new(low, middle));
            if start < middle {
                // The subtree begins here and goes on at the right: its left part is complete, and the verifier is given
                // the right part's hash, which it cannot know.
                (start, known) = (middle, false);
            }
            low = middle;
        }
    }
    if !known {
        ranges.push(Range::new(low, high));
    }
    ranges.reverse();
    ranges
}

/// The largest power of two below `leaves`, which is at least 2: where RFC 9162 section 2.1.1 splits a tree.
fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

/// The hash over the nodes of a range, given from left to right; of none, the empty tree's.
pub(crate) fn join(nodes: impl DoubleEndedIterator<Item = Hash>) -> Hash {
    nodes.rev().reduce(|right, left| hash_children(&left, &right)).unwrap_or(Hash::EMPTY)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail this way")]
mod tests {
    use std::path::Path;
    use std::{eprintln, fs, println};

    use super::*;

    #[test]
    fn nodes_are_where_others_put_them() {
        let folder =
            std::env::var_os("TALLYSTICK_VECTORS").unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors").into());
        let file = "tiles/paths.json";
        if !Path::new(&folder).is_dir() {
            eprintln!("NOT RUN: {file}: there is no folder of vectors (set TALLYSTICK_VECTORS)");
            return;
        }
        let vectors: serde_json::Value = serde_json::from_slice(&fs::read(Path::new(&folder).join(file)).unwrap()).unwrap();
        let cases = vectors["node_to_tile_cases"].as_array().unwrap();
        for case in cases {
            let number = |key: &str| case[key].as_u64().unwrap();
            let node = Node { level: u32::try_from(number("tree_level")).unwrap(), index: number("tree_index") };
            let tile = node.tile(1 << 32).unwrap();
            let (above, inside) = node.within();
            let found = [u64::from(tile.level()), tile.index(), u64::try_from(above).unwrap(), u64::try_from(inside).unwrap()];
            assert_eq!(found, ["tile_level", "tile_index", "node_level", "node_index"].map(number), "{case}");
        }
        println!("{file} (node to tile): {} run, 0 listed, 5 expected", cases.len());
        assert!(cases.len() >= 5);
    }

    #[test]
    fn a_range_is_its_nodes() {
        let range = |start, end| Range::new(start, end).nodes().map(|node| (node.level, node.index)).collect::<Vec<_>>();
        assert_eq!(range(0, 0), []);
        assert_eq!(range(0, 7), [(2, 0), (1, 2), (0, 6)]);
        assert_eq!(range(8, 13), [(2, 2), (0, 12)]);
        assert_eq!(range(0, u64::MAX >> 1).len(), 63);
    }
}

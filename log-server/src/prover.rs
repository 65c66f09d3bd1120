//! Proofs at volume: inclusion proofs for many leaves of one tree, from tiles whose inner nodes are hashed once.
//!
//! `tlog::plan` authenticates every tile for every proof, which is right for clients and too slow for a log that answers
//! thousands of submissions a second. Here each proof is verified against the root before it leaves, which costs a few dozen
//! hashes and makes a damaged tile an error instead of a false answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use store::Store;
use tlog::{Hash, InclusionProof, Tile, Tree, hash_children};

use crate::layout;
use crate::verify::{VerifyError, hashes, read};

/// Proves leaves of published trees; shared by all threads.
pub struct Prover {
    store: Arc<dyn Store>,
    cache: Mutex<Cache>,
}

/// The hashes of one tile and of every whole node above them, lowest first.
struct Rows(Vec<Vec<Hash>>);

/// Two generations: what was not asked for since the last turn is dropped.
#[derive(Default)]
struct Cache {
    young: HashMap<Tile, Arc<Rows>>,
    old: HashMap<Tile, Arc<Rows>>,
}

impl Prover {
    /// Reads tiles from `store`, keeping at most some 16 MiB of them.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, cache: Mutex::default() }
    }

    /// The proof that leaf `index`, whose hash is `leaf`, is in `tree`, verified.
    pub fn prove(&self, tree: &Tree, index: u64, leaf: &Hash) -> Result<InclusionProof, VerifyError> {
        if index >= tree.size {
            return Err(VerifyError::Damaged(format!("leaf {index} of a tree of {}", tree.size)));
        }
        let mut path = Vec::new();
        self.path(tree.size, index, 0, tree.size, &mut path)?;
        let proof = InclusionProof(path);
        match proof.verify(tree, index, leaf) {
            Ok(()) => Ok(proof),
            Err(_) => Err(VerifyError::Damaged(format!("the path of leaf {index}"))),
        }
    }

    /// The stored hash of leaf `index` of `tree` and its proof, verified.
    pub fn prove_stored(&self, tree: &Tree, index: u64) -> Result<(Hash, InclusionProof), VerifyError> {
        let leaf = self.node(tree.size, 0, index)?;
        Ok((leaf, self.prove(tree, index, &leaf)?))
    }

    /// RFC 6962 `PATH`, over leaves `[start, end)`.
    fn path(&self, size: u64, index: u64, start: u64, end: u64, out: &mut Vec<Hash>) -> Result<(), VerifyError> {
        if end - start == 1 {
            return Ok(());
        }
        let middle = start + split(end - start);
        if index < middle {
            self.path(size, index, start, middle, out)?;
            out.push(self.subtree(size, middle, end)?);
        } else {
            self.path(size, index, middle, end, out)?;
            out.push(self.subtree(size, start, middle)?);
        }
        Ok(())
    }

    /// The hash of leaves `[start, end)`, an interval that the recursion over a tree of `size` leaves meets.
    fn subtree(&self, size: u64, start: u64, end: u64) -> Result<Hash, VerifyError> {
        let width = end - start;
        if width.is_power_of_two() {
            return self.node(size, width.trailing_zeros(), start / width);
        }
        let middle = start + split(width);
        Ok(hash_children(&self.subtree(size, start, middle)?, &self.subtree(size, middle, end)?))
    }

    /// A whole node, `height` levels above the leaves.
    fn node(&self, size: u64, height: u32, index: u64) -> Result<Hash, VerifyError> {
        let (level, row) = (height / 8, height % 8);
        let tile_index = index >> (8 - row);
        let items = size >> (level * 8);
        let width = items.saturating_sub(tile_index * 256).min(256);
        let tile = u8::try_from(level).ok().zip(u16::try_from(width).ok()).and_then(|(level, width)| Tile::new(level, tile_index, width));
        let tile = tile.ok_or_else(|| VerifyError::Missing(format!("node {index} at height {height}")))?;
        let rows = self.rows(&tile)?;
        let place = index - (tile_index << (8 - row));
        let found = usize::try_from(place).ok().and_then(|place| rows.0.get(row as usize)?.get(place));
        found.copied().ok_or_else(|| VerifyError::Damaged(layout::tile(&tile)))
    }

    fn rows(&self, tile: &Tile) -> Result<Arc<Rows>, VerifyError> {
        if let Some(rows) = self.cached(tile) {
            return Ok(rows);
        }
        let key = layout::tile(tile);
        let bytes = read(&*self.store, &key)?;
        if bytes.len() != usize::from(tile.width()) * 32 {
            return Err(VerifyError::Damaged(key));
        }
        let rows = Arc::new(Rows::over(hashes(&bytes)));
        self.lock().keep(*tile, rows.clone());
        Ok(rows)
    }

    fn cached(&self, tile: &Tile) -> Option<Arc<Rows>> {
        let mut cache = self.lock();
        if let Some(rows) = cache.young.get(tile) {
            return Some(rows.clone());
        }
        let rows = cache.old.get(tile)?.clone();
        cache.keep(*tile, rows.clone());
        Some(rows)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        // A panic elsewhere leaves at worst a cache without an entry.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn over(lowest: Vec<Hash>) -> Self {
        let mut rows = vec![lowest];
        while let Some(below) = rows.last().filter(|below| below.len() > 1 && rows.len() < 8) {
            let above = below.as_chunks::<2>().0.iter().map(|[left, right]| hash_children(left, right)).collect();
            rows.push(above);
        }
        Self(rows)
    }
}

impl Cache {
    fn keep(&mut self, tile: Tile, rows: Arc<Rows>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(tile, rows);
    }
}

/// The largest power of two below `width` (RFC 6962 section 2.1).
fn split(width: u64) -> u64 {
    1 << (width - 1).ilog2()
}

/// Tiles in one generation of the cache; a full tile with its rows takes 16 KiB.
const GENERATION: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use store::Memory;
    use tlog::{Edge, hash_leaf};

    fn grown(steps: &[u64]) -> (Arc<Memory>, Tree, Vec<Hash>) {
        let (store, mut edge, mut leaves) = (Arc::new(Memory::new()), Edge::empty(), Vec::new());
        for step in steps {
            let entries: Vec<Vec<u8>> = (0..*step).map(|n| format!("{} {n}", leaves.len()).into_bytes()).collect();
            let batch = edge.append(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
            leaves.extend(entries.iter().map(|entry| hash_leaf(entry)));
            for (tile, bytes) in &batch.tiles {
                store.put(&layout::tile(tile), bytes).unwrap();
            }
            edge = batch.edge;
        }
        (store, edge.tree(), leaves)
    }

    #[test]
    fn every_leaf_of_trees_of_awkward_sizes_is_proven() {
        for steps in [&[1][..], &[2], &[255], &[256], &[200, 57], &[300, 212, 1], &[70_000]] {
            let (store, tree, leaves) = grown(steps);
            let prover = Prover::new(store);
            let stride = leaves.len() / 97 + 1;
            for index in (0..leaves.len()).step_by(stride).chain([leaves.len() - 1]) {
                let proof = prover.prove(&tree, index as u64, &leaves[index]);
                assert!(proof.is_ok(), "{steps:?}, leaf {index}: {proof:?}");
            }
        }
    }

    #[test]
    fn a_damaged_tile_gives_an_error_and_no_proof() {
        let (store, tree, leaves) = grown(&[300]);
        let tile = layout::tile(&Tile::new(0, 0, 256).unwrap());
        let mut bytes = store.get(&tile).unwrap().unwrap();
        bytes[40] ^= 1;
        store.discard(&tile).unwrap();
        store.put(&tile, &bytes).unwrap();
        let proof = Prover::new(store).prove(&tree, 0, &leaves[0]);
        assert_eq!(proof, Err(VerifyError::Damaged("the path of leaf 0".into())));
    }

    #[test]
    fn missing_tiles_and_leaves_outside_are_errors() {
        let (store, tree, leaves) = grown(&[300]);
        let prover = Prover::new(store.clone());
        assert!(prover.prove(&tree, 300, &leaves[0]).is_err());
        let tile = layout::tile(&Tile::new(0, 0, 256).unwrap());
        store.discard(&tile).unwrap();
        assert_eq!(prover.prove(&tree, 0, &leaves[0]), Err(VerifyError::Missing(tile)));
    }
}

//! Superseded partial tiles and bundles: removed once their full one is durable and neither the published checkpoint nor the
//! one before, which slow readers may still hold, implies them (`specs/tiles.md`, `specs/lifecycle.md`).
//!
//! Whatever a tree of `size` has at its right edge lies in one folder for each level, such as `tile/0/x001/067.p/`; with the
//! full tile the whole folder goes. Nothing depends on its going: an error, or a power cut that brings files back, costs space
//! alone.

use store::Store;
use tlog::{BundleId, Tile};

use crate::layout;

/// Knows the sizes of the last two published trees.
#[derive(Debug)]
pub struct Collector {
    before: u64,
    published: u64,
}

impl Collector {
    /// Begins with the published size, and removes what an ended process may have left near the right edge.
    #[must_use]
    pub fn start(store: &dyn Store, published: u64) -> Self {
        for (level, reach) in (0_u8..8).zip(REACH) {
            let tiles = published.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0);
            for index in tiles.saturating_sub(reach)..tiles {
                Tile::new(level, index, Tile::FULL).iter().for_each(|tile| discard_partials(store, tile));
            }
        }
        Self { before: published, published }
    }

    /// A tree of this size was published: what was at the edge of the tree two before it, and is full since the one before it,
    /// goes.
    pub fn published(&mut self, store: &dyn Store, size: u64) {
        if size == self.published {
            return;
        }
        let is_settled = |tile: &Tile| tile.is_of(self.published);
        Tile::edge(self.before).map(|tile| tile.full()).filter(is_settled).for_each(|tile| discard_partials(store, &tile));
        (self.before, self.published) = (self.published, size);
    }
}

/// Removes the partial tiles at the place of a full one, and the partial bundles beside them.
fn discard_partials(store: &dyn Store, full: &Tile) {
    discard_folder(store, &format!("{}.p", layout::tile(full)));
    if full.level() == 0
        && let Some(bundle) = BundleId::new(full.index(), Tile::FULL)
    {
        discard_folder(store, &format!("{}.p", layout::bundle(&bundle)));
    }
}

fn discard_folder(store: &dyn Store, folder: &str) {
    let discarded = store.list(folder).and_then(|keys| {
        keys.iter().try_for_each(|key| store.discard(key))?;
        if keys.is_empty() { Ok(()) } else { store.discard(folder) }
    });
    if let Err(error) = discarded {
        tracing::warn!("removing superseded {folder}: {error}");
    }
}

/// How many full tiles of each level are looked at when the log starts: more than the last rounds of a process can have filled.
const REACH: [u64; 8] = [512, 8, 2, 2, 2, 2, 2, 2];

#[cfg(test)]
mod tests {
    use super::*;
    use store::Memory;
    use tlog::Edge;

    /// Grows a log in a store round by round and collects after each; returns what is there at the end.
    fn grown(sizes: &[u64], mut after: impl FnMut(&dyn Store, u64, u64)) -> Memory {
        let (store, mut edge, mut collector) = (Memory::new(), Edge::empty(), Collector::start(&Memory::new(), 0));
        let mut size = 0;
        for next in sizes {
            let entries: Vec<Vec<u8>> = (size..*next).map(|n: u64| n.to_be_bytes().to_vec()).collect();
            let batch = edge.append(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
            batch.tiles.iter().for_each(|(tile, bytes)| store.put(&layout::tile(tile), bytes).unwrap());
            batch.bundles.iter().for_each(|(id, bytes)| store.put(&layout::bundle(id), bytes).unwrap());
            collector.published(&store, *next);
            after(&store, size, *next);
            (size, edge) = (*next, batch.edge);
        }
        store
    }

    fn is_there(store: &dyn Store, size: u64) -> bool {
        let tiles = Tile::all(size).all(|tile| store.get(&layout::tile(&tile)).unwrap().is_some());
        tiles && BundleId::all(size).all(|id| store.get(&layout::bundle(&id)).unwrap().is_some())
    }

    #[test]
    fn the_last_two_published_trees_are_always_whole() {
        let sizes: Vec<u64> = (1..40).map(|n| n * 97).chain([65_500, 65_536, 65_537, 66_000, 66_300, 70_000]).collect();
        let store = grown(&sizes, |store, before, size| {
            assert!(is_there(store, before), "{before} before {size}");
            assert!(is_there(store, size), "{size}");
        });
        let partial = |key: &String| key.contains(".p/");
        let left: Vec<String> = store.list("public/tile").unwrap().into_iter().filter(partial).collect();
        // Those of the last two trees, and those of tiles that are not full yet.
        let edges: Vec<Tile> = Tile::edge(66_300).chain(Tile::edge(70_000)).collect();
        let is_at_an_edge = |key: &String| edges.iter().any(|tile| key.starts_with(&format!("{}.p/", layout::tile(&tile.full()))));
        let bundles = left.iter().filter(|key| key.contains("/entries/"));
        assert_eq!(bundles.count(), 2, "{left:?}");
        assert!(left.iter().filter(|key| !key.contains("/entries/")).all(is_at_an_edge), "{left:?}");
    }

    #[test]
    fn partials_of_a_tile_that_is_not_full_stay() {
        let store = grown(&[1, 2, 3, 200, 255], |_, _, _| {});
        assert_eq!(store.list("public/tile/0/000.p").unwrap().len(), 5);
        assert_eq!(store.list("public/tile/entries/000.p").unwrap().len(), 5);
    }

    #[test]
    fn a_new_start_removes_what_an_ended_process_left() {
        let (store, batch) = (Memory::new(), Edge::empty().append(&[b"x".as_slice(); 600]).unwrap());
        batch.tiles.iter().for_each(|(tile, bytes)| store.put(&layout::tile(tile), bytes).unwrap());
        for left in ["public/tile/0/001.p/7", "public/tile/entries/000.p/3", "public/tile/0/002.p/80"] {
            store.put(left, b"").unwrap();
        }
        drop(Collector::start(&store, 600));
        let partials: Vec<String> = store.list("public/tile").unwrap().into_iter().filter(|key| key.contains(".p/")).collect();
        let kept = ["public/tile/0/002.p/80", "public/tile/0/002.p/88", "public/tile/1/000.p/2"];
        assert_eq!(partials, kept);
    }
}

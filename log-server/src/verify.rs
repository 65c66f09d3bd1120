//! Verify before sign: the checks between growing a tree and signing it, on the very bytes that will be staged.
//!
//! Everything is derived again from the entry bundles upwards ([`tlog::Edge::check`]): a bit that flipped in memory or on the
//! disk since the last signature must end in an error here, never in a signed root. The old side comes from the stored edge,
//! which [`stored_edge`] has compared with the committed tree.

use store::Store;
use tlog::plan::{EdgePlan, Plan, PlanError, Tiles};
use tlog::{BundleId, Edge, Hash, Prover, Tile, Tree};

use crate::layout;
use crate::stage::Stage;

/// Why a tree must not be signed, or cannot be read. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyError {
    /// The store failed: key and what the system said.
    Storage(String, String),
    /// An object that the tree needs is not in the store.
    Missing(String),
    /// An object contradicts the committed tree.
    Damaged(String),
    /// The grown tree is not what its objects give, or does not extend the old one; in words.
    WrongGrowth(String),
}

impl std::fmt::Display for VerifyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Storage(key, error) => write!(f, "{key}: {error}"),
            Self::Missing(key) => write!(f, "{key} is missing"),
            Self::Damaged(key) => write!(f, "{key} is damaged: it contradicts the committed tree"),
            Self::WrongGrowth(why) => write!(f, "the grown tree is wrong: {why}"),
        }
    }
}
impl std::error::Error for VerifyError {}

/// Reads the edge of a tree from the store and recomputes the tree's root from it.
pub fn stored_edge(store: &dyn Store, tree: &Tree) -> Result<Edge, VerifyError> {
    let plan = EdgePlan::new(tree);
    let tiles = fetch(store, plan.tiles())?;
    let entries = plan.bundle().map_or(Ok(Vec::new()), |id| read(store, &layout::bundle(&id)))?;
    plan.finish(&tiles, &entries).map_err(|error| damaged(&error, tree))
}

/// Checks a round: from the bytes of its bundles to the new root, and from the new root back to the old one. Returns the
/// proofs of the new entries, and thereby the consistency proof that the witnesses will ask for.
pub fn verify(old: &Edge, stage: &Stage) -> Result<Prover, VerifyError> {
    if stage.old != old.tree() {
        return Err(wrong("it grows from another tree than the committed one"));
    }
    let new = old.check(&stage.new, &stage.tiles, &stage.bundles).map_err(wrong)?;
    let tiles: Tiles = new.tiles().into_iter().chain(stage.tiles.iter().cloned()).collect();
    let plan = Plan::for_leaves(&stage.new, stage.old.size..stage.new.size);
    let prover = plan.and_then(|plan| plan.finish(&tiles)).map_err(wrong)?;
    let (root, proof) = prover.consistency(stage.old.size).map_err(wrong)?;
    proof.verify(&stage.old, &stage.new).map_err(wrong)?;
    if root == stage.old.root { Ok(prover) } else { Err(wrong("it is not consistent with the committed tree")) }
}

/// These tiles out of the store. A partial one that was collected is cut from the full one.
pub fn fetch(store: &dyn Store, tiles: &[Tile]) -> Result<Tiles, VerifyError> {
    tiles.iter().map(|tile| Ok((*tile, fetch_one(store, tile)?))).collect()
}

fn fetch_one(store: &dyn Store, tile: &Tile) -> Result<Vec<u8>, VerifyError> {
    match read(store, &layout::tile(tile)) {
        Err(VerifyError::Missing(key)) if tile.is_partial() => match read(store, &layout::tile(&tile.full())) {
            Ok(full) => tile.cut(&full).map(<[u8]>::to_vec).ok_or_else(|| VerifyError::Damaged(layout::tile(&tile.full()))),
            Err(VerifyError::Missing(_)) => Err(VerifyError::Missing(key)),
            Err(error) => Err(error),
        },
        other => other,
    }
}

/// An entry bundle out of the store, found as tiles are.
pub fn fetch_bundle(store: &dyn Store, id: &BundleId) -> Result<Vec<u8>, VerifyError> {
    match read(store, &layout::bundle(id)) {
        Err(VerifyError::Missing(key)) if id.width() < Tile::FULL => match read(store, &layout::bundle(&id.full())) {
            Ok(full) => match tlog::bundle::cut(&full, id.width()) {
                Ok(part) => Ok(part.to_vec()),
                Err(_) => Err(VerifyError::Damaged(layout::bundle(&id.full()))),
            },
            Err(VerifyError::Missing(_)) => Err(VerifyError::Missing(key)),
            Err(error) => Err(error),
        },
        other => other,
    }
}

/// An object that must be there.
pub fn read(store: &dyn Store, key: &str) -> Result<Vec<u8>, VerifyError> {
    let found = store.get(key).map_err(|error| VerifyError::Storage(key.to_owned(), error.to_string()))?;
    found.ok_or_else(|| VerifyError::Missing(key.to_owned()))
}

/// Names the object that made a plan fail.
#[must_use]
pub fn damaged(error: &PlanError, tree: &Tree) -> VerifyError {
    match error {
        PlanError::Missing(tile) => VerifyError::Missing(layout::tile(tile)),
        PlanError::Malformed(tile) | PlanError::Contradiction(tile) => VerifyError::Damaged(layout::tile(tile)),
        // They contradict each other; which one is wrong, the root would have to say.
        PlanError::WrongBundle(id) => VerifyError::Damaged(format!("{} or {}", layout::bundle(id), layout::tile(&id.tile()))),
        _ => VerifyError::Damaged(format!("the stored edge of size {}", tree.size)),
    }
}

/// The hashes of a tile.
#[must_use]
pub fn hashes(bytes: &[u8]) -> Vec<Hash> {
    bytes.as_chunks::<32>().0.iter().map(|chunk| Hash::new(*chunk)).collect()
}

fn wrong(why: impl ToString) -> VerifyError {
    VerifyError::WrongGrowth(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An edge of 250 leaves and a round that grows it to 900: full bundles and tiles in the middle, partial ones at the end.
    fn round() -> (Edge, Stage) {
        let entries: Vec<Vec<u8>> = (0..900).map(|n| format!("entry {n}").into_bytes()).collect();
        let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        let old = Edge::empty().append(&entries[..250]).unwrap().edge;
        let batch = old.append(&entries[250..]).unwrap();
        let stage = Stage::new(old.tree(), batch);
        (old, stage)
    }

    #[test]
    fn a_sound_round_proves_its_entries_and_its_growth() {
        let (old, stage) = round();
        let prover = verify(&old, &stage).unwrap();
        for index in [250, 255, 256, 700, 899] {
            let (leaf, proof) = prover.inclusion(index).unwrap();
            assert_eq!(leaf, tlog::hash_leaf(format!("entry {index}").as_bytes()));
            assert_eq!(proof.verify(&stage.new, index, &leaf), Ok(()));
        }
    }

    #[test]
    fn every_missing_object_is_noticed_also_in_the_middle() {
        let (old, stage) = round();
        assert!(stage.tiles.len() >= 5 && stage.bundles.len() >= 4);
        for n in 0..stage.tiles.len() {
            let mut fewer = stage.clone();
            let (tile, _) = fewer.tiles.remove(n);
            let VerifyError::WrongGrowth(why) = verify(&old, &fewer).unwrap_err() else { panic!("not the growth's fault") };
            assert!(why.contains(&tile.path()), "{why}");
        }
        for n in 0..stage.bundles.len() {
            let mut fewer = stage.clone();
            let (id, _) = fewer.bundles.remove(n);
            let VerifyError::WrongGrowth(why) = verify(&old, &fewer).unwrap_err() else { panic!("not the growth's fault") };
            assert!(why.contains(&id.path()), "{why}");
        }
    }

    #[test]
    fn every_changed_object_is_noticed() {
        let (old, stage) = round();
        for n in 0..stage.tiles.len() {
            let mut changed = stage.clone();
            changed.tiles[n].1[17] ^= 4;
            assert!(verify(&old, &changed).is_err(), "{}", stage.tiles[n].0.path());
        }
        for n in 0..stage.bundles.len() {
            let mut changed = stage.clone();
            *changed.bundles[n].1.last_mut().unwrap() ^= 4;
            assert!(verify(&old, &changed).is_err(), "{}", stage.bundles[n].0.path());
        }
    }

    #[test]
    fn another_old_tree_or_root_is_refused() {
        let (old, stage) = round();
        let other = Edge::empty().append(&[b"other"]).unwrap().edge;
        assert!(verify(&other, &stage).is_err());
        for (old_root, new_root) in [(Hash::EMPTY, stage.new.root), (stage.old.root, Hash::EMPTY)] {
            let mut lie = stage.clone();
            (lie.old.root, lie.new.root) = (old_root, new_root);
            assert!(verify(&old, &lie).is_err());
        }
        let mut still = stage.clone();
        still.new = still.old;
        assert!(verify(&old, &still).is_err());
    }
}

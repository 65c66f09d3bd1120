//! Putting bundles of one log together. Pure: the proofs that one tree extends another come as arguments.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use attest::Bundle;
use attest::bundle::{BundledLeaf, EarlierTree};
use tlog::evidence::Evidence;
use tlog::{ConsistencyProof, Extension, SignedCheckpoint};

/// Two bundles of one log have different entries at this index: the log has two histories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {0} is another one in the bundle than here: the log shows two histories")]
pub struct OtherEntry(pub u64);

/// What two bundles of one log are to each other, as far as they show it themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The same tree.
    Same,
    /// The second's tree extends the first's.
    Extended(ConsistencyProof),
    /// The first's tree extends the second's.
    Extends(ConsistencyProof),
    /// Two sizes, and neither knows the other's tree.
    Unproven,
    /// Two histories.
    Fork(Box<Evidence>),
}

/// Compares the trees of two bundles: by their roots, or by the earlier trees that the larger one has proofs of.
#[must_use]
pub fn relate(first: &Bundle, second: &Bundle) -> Relation {
    let order = first.checkpoint.tree().size.cmp(&second.checkpoint.tree().size);
    let (smaller, larger) = if order.is_le() { (first, second) } else { (second, first) };
    match (convict(&smaller.checkpoint, larger), order) {
        (Err(evidence), _) => Relation::Fork(evidence),
        (Ok(None), _) => Relation::Unproven,
        (Ok(Some(_)), Ordering::Equal) => Relation::Same,
        (Ok(Some(proof)), Ordering::Less) => Relation::Extended(proof),
        (Ok(Some(proof)), Ordering::Greater) => Relation::Extends(proof),
    }
}

/// Whether a bundle shows that its tree extends that of a checkpoint; `None` if it does not say.
///
/// # Errors
/// Evidence, if it shows that the checkpoint is of another history.
pub fn convict(known: &SignedCheckpoint, bundle: &Bundle) -> Result<Option<ConsistencyProof>, Box<Evidence>> {
    let (tree, whole) = (known.tree(), bundle.checkpoint.tree());
    if tree.size == whole.size {
        let same = tree.root == whole.root;
        let fork = || Box::new(Evidence::new(known.clone(), bundle.checkpoint.clone(), None));
        return if same { Ok(Some(ConsistencyProof(Vec::new()))) } else { Err(fork()) };
    }
    let Some(EarlierTree { tree: earlier, proof }) = bundle.history.iter().find(|earlier| earlier.tree.size == tree.size) else {
        return Ok(None);
    };
    if earlier.root == tree.root {
        return Ok(Some(proof.clone()));
    }
    let divergence = Some((earlier.root, proof.clone()));
    Err(Box::new(Evidence::new(known.clone(), bundle.checkpoint.clone(), divergence)))
}

/// The same bundle under a larger tree, which the proof shows to extend its own. What it gives is verified like any bundle; `None` if the
/// proof is of other trees.
#[must_use]
pub fn carry(bundle: &Bundle, to: &SignedCheckpoint, proof: &ConsistencyProof) -> Option<Bundle> {
    let (old, new) = (bundle.checkpoint.tree(), to.tree());
    if old.size == new.size {
        return (old.root == new.root).then(|| Bundle { checkpoint: to.clone(), ..bundle.clone() });
    }
    let extension = Extension::new(&old, new.size, proof)?;
    let earlier =
        |known: &EarlierTree| Some(EarlierTree { tree: known.tree, proof: extension.consistency(known.tree.size, &known.proof)? });
    let mut history: Vec<EarlierTree> = bundle.history.iter().map(earlier).collect::<Option<_>>()?;
    if old.size > 0 {
        history.push(EarlierTree { tree: old, proof: proof.clone() });
    }
    let leaf = |known: &BundledLeaf| Some(BundledLeaf { proof: extension.inclusion(known.index, &known.proof)?, ..known.clone() });
    let leaves = bundle.leaves.iter().map(leaf).collect::<Option<_>>()?;
    Some(Bundle { checkpoint: to.clone(), history, leaves, manifests: bundle.manifests.clone() })
}

/// Two bundles of one tree as one. The checkpoint is the first's; of the earlier trees the newest stay.
///
/// # Errors
/// If they have different entries at one index.
pub fn join(first: Bundle, second: Bundle) -> Result<Bundle, OtherEntry> {
    let mut leaves: BTreeMap<u64, BundledLeaf> = first.leaves.into_iter().map(|leaf| (leaf.index, leaf)).collect();
    for leaf in second.leaves {
        if let Some(known) = leaves.get(&leaf.index)
            && known.leaf != leaf.leaf
        {
            return Err(OtherEntry(leaf.index));
        }
        leaves.entry(leaf.index).or_insert(leaf);
    }
    let both = first.history.into_iter().chain(second.history);
    let history: BTreeMap<u64, EarlierTree> = both.map(|earlier| (earlier.tree.size, earlier)).collect();
    let history = history.into_values().rev().take(HISTORY).rev().collect();
    Ok(Bundle { checkpoint: first.checkpoint, history, leaves: leaves.into_values().collect(), manifests: first.manifests })
}

/// Whether every entry of the first is in the second.
///
/// # Errors
/// If they have different entries at one index.
pub fn is_within(first: &Bundle, second: &Bundle) -> Result<bool, OtherEntry> {
    let mut within = true;
    for leaf in &first.leaves {
        match second.leaves.binary_search_by_key(&leaf.index, |leaf| leaf.index) {
            Ok(at) if second.leaves[at].leaf == leaf.leaf => {}
            Ok(_) => return Err(OtherEntry(leaf.index)),
            Err(_) => within = false,
        }
    }
    Ok(within)
}

/// How many earlier trees are kept: enough for whoever carries bundles by hand, at about a kilobyte each.
const HISTORY: usize = 256;

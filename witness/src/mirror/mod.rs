//! A mirror (C2SP tlog-mirror, `specs/mirror.md`): a cosigner that keeps the entries of the logs that it cosigns.
//!
//! `add-checkpoint` goes through the same door as a witness's and makes a checkpoint *pending*; entries are then uploaded, each package
//! with its proof to that checkpoint; when all of them are durable, and not before, the mirror's keys sign.

pub mod claims;
pub mod copy;
pub mod http;
pub mod incoming;
mod mirrored;
mod next;
mod patience;
mod places;
mod upload;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use store::Store;
use tlog::SignedCheckpoint;
use tlog::mirror::MirrorInfo;
use tracing::warn;

use crate::{Failure, Witness};
use mirrored::Mirrored;
pub use patience::Patience;
use places::Places;

/// A mirror of the logs on its list.
pub struct Mirror {
    witness: Arc<Witness>,
    /// By ID.
    copies: BTreeMap<String, Arc<Mirrored>>,
    places: Arc<Places>,
    patience: Patience,
}

/// What an upload comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uploaded {
    /// All entries are held: the mirror's signature lines (200).
    Vouched(String),
    /// Some entries are held that were not before; there is more to come (202).
    Partly(MirrorInfo),
    /// Another start or end is needed (409).
    Elsewhere(MirrorInfo),
}

/// Why an upload comes to nothing, beyond what [`Failure`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// As with a witness.
    Failure(Failure),
    /// The body is not as specified, or ends before its first package does (400).
    Malformed,
    /// The client was silent or slow before its first package was whole (408).
    Slow,
    /// A proof does not lead to the checkpoint (422).
    Unproven,
    /// A manifest that an entry claims cannot be had; in words (503).
    NoManifest(String),
}

impl<F: Into<Failure>> From<F> for Refused {
    fn from(failure: F) -> Self {
        Self::Failure(failure.into())
    }
}

impl Mirror {
    /// Opens the copy of every log of the witness, which must have been made in the role of a mirror.
    ///
    /// # Errors
    /// The store's; of kind `InvalidData` if a copy is damaged.
    pub fn new(witness: Arc<Witness>, store: &Arc<dyn Store>) -> io::Result<Arc<Self>> {
        Self::with_patience(witness, store, Patience::default())
    }

    /// A mirror that waits this long.
    ///
    /// # Errors
    /// As [`Mirror::new`].
    pub fn with_patience(witness: Arc<Witness>, store: &Arc<dyn Store>, patience: Patience) -> io::Result<Arc<Self>> {
        let mut copies = BTreeMap::new();
        for log in witness.logs() {
            let mirrored = Mirrored::new(log, store)?;
            let tree = mirrored.copy.tree();
            let tree = tree.map_err(|problem| io::Error::new(problem.kind(), format!("the copy of {}: {problem}", log.origin)))?;
            witness.metrics().mirrored(&log.origin, tree.size);
            copies.insert(log.id(), Arc::new(mirrored));
        }
        let mirror = Self { witness, copies, places: Arc::default(), patience };
        mirror.incomplete().iter().for_each(|line| warn!("{line}"));
        Ok(Arc::new(mirror))
    }

    /// The cosigner.
    #[must_use]
    pub fn witness(&self) -> &Arc<Witness> {
        &self.witness
    }

    /// How long it waits.
    #[must_use]
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// One line for each log of which less is here than was vouched for, or of which that cannot be read. Blocks.
    #[must_use]
    pub fn incomplete(&self) -> Vec<String> {
        self.copies.values().filter_map(|mirrored| self.incompleteness(mirrored)).collect()
    }

    fn incompleteness(&self, mirrored: &Mirrored) -> Option<String> {
        let origin = &mirrored.origin;
        let sizes = self.witness.vouched_size(origin).and_then(|vouched| Ok((mirrored.copy.tree()?.size, vouched)));
        match sizes {
            Ok((size, vouched)) => (size < vouched).then(|| {
                format!("incomplete {origin}: {size} entries are here, and {vouched} were vouched for; the log must upload them again")
            }),
            Err(problem) => Some(format!("unreadable {origin}: {problem}")),
        }
    }

    /// The newest checkpoint with the mirror's lines; `None` if there is none, or not all of its entries are here.
    ///
    /// # Errors
    /// As [`Witness::newest`].
    pub async fn newest(&self, id: &str) -> Result<Option<Arc<str>>, Failure> {
        let Some(mirrored) = self.copies.get(id) else { return Ok(None) };
        let Some(shown) = self.witness.newest(id).await? else { return Ok(None) };
        let Ok(signed) = SignedCheckpoint::parse(shown.as_bytes()) else { return Ok(None) };
        let held = mirrored.tree().await?;
        Ok((held.size >= signed.checkpoint.tree.size).then_some(shown))
    }

    /// An object of the copy of the log with this ID. Blocks.
    ///
    /// # Errors
    /// The store's.
    pub fn object(&self, id: &str, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.copies.get(id).map_or(Ok(None), |mirrored| mirrored.copy.object(path))
    }
}

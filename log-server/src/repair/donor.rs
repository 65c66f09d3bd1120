//! Where other copies of a log's objects come from. A donor is never believed: what it gives is compared with what the log's own
//! tree demands.

use tlog::tile::BundleId;
use tlog::{Hash, SignedCheckpoint, Tile, bundle};

use super::RepairError;
use crate::fsck::{Source, Trouble};
use crate::stage::Stage;

/// A mirror, or whatever else may hold copies.
pub struct Donor {
    name: String,
    copies: Copies,
    /// Why it is not asked any more.
    gone: Option<String>,
}

enum Copies {
    /// A mirror, and the size of the tree that it shows.
    Mirror(Box<dyn Source>, u64),
    Stage(Box<Stage>),
}

impl Donor {
    /// A mirror of the log with this origin; another log's is refused.
    pub fn mirror(name: &str, source: Box<dyn Source>, origin: &str) -> Result<Self, RepairError> {
        let note = source.checkpoint().map_err(|trouble| RepairError::Mirror(name.to_owned(), trouble.to_string()))?;
        let size = match SignedCheckpoint::parse(&note) {
            Ok(signed) if signed.checkpoint.origin == origin => signed.tree().size,
            Ok(signed) => return Err(RepairError::WrongMirror(name.to_owned(), signed.checkpoint.origin)),
            Err(_) => return Err(RepairError::Mirror(name.to_owned(), "its checkpoint is malformed".to_owned())),
        };
        Ok(Self { name: name.to_owned(), copies: Copies::Mirror(source, size), gone: None })
    }

    /// The log's own staging file of a round that is committed and perhaps not spread.
    #[must_use]
    pub fn stage(stage: Stage) -> Self {
        Self { name: "the staging file".to_owned(), copies: Copies::Stage(Box::new(stage)), gone: None }
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its copy of a tile; `None` if it has none.
    pub fn tile(&mut self, tile: Tile) -> Option<Vec<u8>> {
        match &self.copies {
            Copies::Stage(stage) => find(stage.tiles.iter().map(|(id, bytes)| (id, bytes)), &tile),
            Copies::Mirror(source, size) => {
                let wider = Tile::holding(tile.level(), tile.index() * 256, *size).filter(|wider| wider.width() > tile.width());
                let mut bytes = Vec::new();
                let read = or_wider(wider, tile, |tile| source.tile(tile, &mut bytes));
                self.given(read)?;
                tile.cut(&bytes).map(<[u8]>::to_vec)
            }
        }
    }

    /// Its copy of a bundle; `None` if it has none.
    pub fn bundle(&mut self, id: BundleId) -> Option<Vec<u8>> {
        match &self.copies {
            Copies::Stage(stage) => find(stage.bundles.iter().map(|(id, bytes)| (id, bytes)), &id),
            Copies::Mirror(source, size) => {
                let wider = BundleId::holding(id.index() * 256, *size).filter(|wider| wider.width() > id.width());
                let mut bytes = Vec::new();
                let read = or_wider(wider, id, |id| source.bundle(id, &mut bytes));
                self.given(read)?;
                bundle::cut(&bytes, id.width()).ok().map(<[u8]>::to_vec)
            }
        }
    }

    /// Its copy of a manifest; `None` if it has none.
    pub fn manifest(&mut self, root: &Hash) -> Option<Vec<u8>> {
        let Copies::Mirror(source, _) = &self.copies else { return None };
        let mut bytes = Vec::new();
        let read = source.manifest(root, &mut bytes);
        self.given(read)?;
        Some(bytes)
    }

    /// A mirror that gives nothing any more is not asked again: each question would wait for it anew.
    fn given(&mut self, read: Result<(), Trouble>) -> Option<()> {
        match read {
            Ok(()) => Some(()),
            Err(Trouble::Object(_)) => None,
            Err(Trouble::Source(why)) => {
                tracing::warn!("{} is not asked any more: {why}", self.name);
                self.gone = Some(why);
                None
            }
        }
    }

    /// Whether it can be asked.
    pub(super) fn is_there(&self) -> bool {
        self.gone.is_none()
    }
}

/// Asks for an object, and for the wider one that replaced it if it is not there.
fn or_wider<T>(wider: Option<T>, object: T, mut read: impl FnMut(T) -> Result<(), Trouble>) -> Result<(), Trouble> {
    match (read(object), wider) {
        (Err(trouble), Some(wider)) if trouble.is_missing() => read(wider),
        (read, _) => read,
    }
}

fn find<'a, T: PartialEq + 'a>(mut objects: impl Iterator<Item = (&'a T, &'a Vec<u8>)>, wanted: &T) -> Option<Vec<u8>> {
    objects.find(|(id, _)| *id == wanted).map(|(_, bytes)| bytes.clone())
}

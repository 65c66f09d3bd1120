//! The entries and tiles of one log, as tlog-tiles lays them out, below `mirror/<id>/` of the store.
//!
//! `mirror/<id>/next` says how far they reach: it is replaced after they are durable, and names the tree's root, so that nothing is
//! taken for whole that is not. What lies beyond it is an upload that was cut off; the next one writes the same bytes again.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::{Store, Swap};
use tlog::edge::Batch;
use tlog::mirror::Span;
use tlog::plan::{EdgePlan, Tiles};
use tlog::{BundleId, Edge, Hash, SubtreeProof, Tile, Tree, bundle, growth, hash_leaf};

use super::next;

/// One package with its bytes.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Which entries they are said to be.
    pub span: Span,
    /// The entries.
    pub entries: Vec<Vec<u8>>,
    /// That they are.
    pub proof: SubtreeProof,
}

impl Piece {
    /// About how much memory it takes: an entry of no bytes takes some, too.
    pub(super) fn memory(&self) -> usize {
        let entries: usize = self.entries.iter().map(|entry| entry.len() + PER_ENTRY).sum();
        entries + self.proof.0.len() * size_of::<Hash>()
    }
}

/// What an entry takes beside its bytes: where they are, how many, and what the allocator adds.
const PER_ENTRY: usize = 48;

/// A copy of one log.
pub struct Copy {
    store: Arc<dyn Store>,
    folder: String,
    /// The right edge of the copied tree; `None` where it has to be read: at first, and after a write whose result is unknown.
    edge: Mutex<Option<Edge>>,
}

impl Copy {
    /// The copy of the log with this ID.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, id: &str) -> Self {
        Self { store, folder: format!("mirror/{id}"), edge: Mutex::new(None) }
    }

    /// The tree of the entries that are here.
    ///
    /// # Errors
    /// The store's; of kind `InvalidData` if what is here is damaged.
    pub fn tree(&self) -> io::Result<Tree> {
        Ok(self.edge(&mut self.lock())?.tree())
    }

    /// An object by its path below the log's address: a tile, a bundle or a manifest.
    ///
    /// # Errors
    /// The store's.
    pub fn object(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.store.get(&format!("{}/{path}", self.folder))
    }

    /// Keeps a manifest; its root is its name.
    ///
    /// # Errors
    /// The store's.
    pub fn put_manifest(&self, root: &Hash, text: &[u8]) -> io::Result<()> {
        self.store.put(&format!("{}/manifest/{root}", self.folder), text)
    }

    /// Whether this package is proven to be of `tree`.
    ///
    /// # Errors
    /// The store's, where entries that are here already have to be read.
    pub fn is_proven(&self, tree: &Tree, piece: &Piece) -> io::Result<bool> {
        let Some(mut leaves) = self.leaves_before(&piece.span)? else { return Ok(false) };
        leaves.extend(piece.entries.iter().map(|entry| hash_leaf(entry)));
        let Span { aligned, end, .. } = piece.span;
        Ok(piece.proof.verify(tree, aligned, end, &growth::tile_root(&leaves)).is_ok())
    }

    /// Makes the proven entries durable that are not here yet, and returns how many are here then.
    ///
    /// # Errors
    /// The store's: some or all of them may be here. Nothing is taken if entries before them are missing.
    pub fn take(&self, pieces: &[Piece]) -> io::Result<u64> {
        let mut guard = self.lock();
        let edge = self.edge(&mut guard)?.clone();
        let size = edge.tree().size;
        let mut next = size;
        for span in pieces.iter().map(|piece| piece.span) {
            if span.start > next {
                return Err(io::Error::other(format!("entries {next} to {} are missing before those that came", span.start)));
            }
            next = next.max(span.end);
        }
        let numbered = pieces.iter().flat_map(|piece| (piece.span.start..).zip(&piece.entries));
        let new: Vec<&[u8]> = numbered.filter(|(index, _)| *index >= size).map(|(_, entry)| entry.as_slice()).collect();
        if new.is_empty() {
            return Ok(size);
        }
        let batch = edge.append(&new).map_err(|problem| damaged(&format!("{problem:?}")))?;
        // Until everything is durable it is not known how far the copy reaches.
        *guard = None;
        self.write(&batch)?;
        match self.store.swap(&self.next_key(), next::encode(&edge.tree()).as_deref(), &next::encode(&batch.tree).unwrap_or_default())? {
            Swap::Done => {}
            Swap::Conflict => return Err(io::Error::other("the copy was changed by somebody else")),
        }
        self.remove_superseded(&batch);
        *guard = Some(batch.edge);
        Ok(batch.tree.size)
    }

    /// The hashes of the subtree's leaves that come before the package; `None` if they are not here. Only the first package of an upload
    /// can begin inside a bundle.
    fn leaves_before(&self, span: &Span) -> io::Result<Option<Vec<Hash>>> {
        if span.aligned == span.start {
            return Ok(Some(Vec::new()));
        }
        let mut guard = self.lock();
        let edge = self.edge(&mut guard)?;
        let count = u16::try_from(span.start - span.aligned).unwrap_or(u16::MAX);
        let id = BundleId::holding(span.aligned, edge.tree().size).filter(|id| id.width() >= count);
        let Some(id) = id else { return Ok(None) };
        let bytes = if id.width() < Tile::FULL { edge.bundle().to_vec() } else { self.object(&id.path())?.unwrap_or_default() };
        let present = bundle::cut(&bytes, count).map_err(|_| damaged(&id.path()))?;
        Ok(Some(bundle::leaf_hashes(present, count).map_err(|_| damaged(&id.path()))?))
    }

    fn write(&self, batch: &Batch) -> io::Result<()> {
        let tiles = batch.tiles.iter().map(|(tile, bytes)| (tile.path(), bytes));
        let bundles = batch.bundles.iter().map(|(id, bytes)| (id.path(), bytes));
        let objects: Vec<_> = tiles.chain(bundles).map(|(path, bytes)| (format!("{}/{path}", self.folder), bytes.clone())).collect();
        self.store.put_all(&objects)
    }

    /// Partial tiles and bundles that are full by now; a reader of an earlier checkpoint takes the full ones. What cannot be removed
    /// takes room and does no harm.
    fn remove_superseded(&self, batch: &Batch) {
        let tiles = batch.tiles.iter().filter(|(tile, _)| !tile.is_partial()).map(|(tile, _)| tile.path());
        let bundles = batch.bundles.iter().filter(|(id, _)| id.width() == Tile::FULL).map(|(id, _)| id.path());
        for path in tiles.chain(bundles) {
            let folder = format!("{}/{path}.p", self.folder);
            let partial = self.store.list(&folder).unwrap_or_default();
            if !partial.is_empty() {
                partial.iter().chain([&folder]).for_each(|key| drop(self.store.discard(key)));
            }
        }
    }

    fn edge<'a>(&self, guard: &'a mut MutexGuard<'_, Option<Edge>>) -> io::Result<&'a Edge> {
        let edge = match guard.take() {
            Some(edge) => edge,
            None => self.read_edge()?,
        };
        Ok(guard.insert(edge))
    }

    /// The right edge from what is stored, recomputed to the root that was noted. The note itself is made durable again: after a
    /// failed write the page cache may show what the disk has not.
    fn read_edge(&self) -> io::Result<Edge> {
        let key = self.next_key();
        if self.store.get(&key)?.is_none() {
            return Ok(Edge::empty());
        }
        self.store.rewrite(&key)?;
        let noted = self.store.get(&key)?.and_then(|bytes| next::parse(&bytes)).ok_or_else(|| damaged(&key))?;
        let plan = EdgePlan::new(&noted);
        let read = |path: String| self.object(&path)?.ok_or_else(|| damaged(&path));
        let tiles = plan.tiles().iter().map(|tile| Ok((*tile, read(tile.path())?))).collect::<io::Result<Tiles>>()?;
        let bundle = plan.bundle().map(|id| read(id.path())).transpose()?.unwrap_or_default();
        plan.finish(&tiles, &bundle).map_err(|_| damaged("the right edge of the tree"))
    }

    fn next_key(&self) -> String {
        format!("{}/next", self.folder)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Edge>> {
        // A panic while it was held leaves `None` or a whole edge.
        self.edge.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("damaged or missing: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_without_bytes_take_memory_too() {
        let span = Span { aligned: 0, start: 0, end: 256 };
        let piece = Piece { span, entries: vec![Vec::new(); 256], proof: SubtreeProof(vec![Hash::digest(b""); 3]) };
        assert_eq!(piece.memory(), 256 * 48 + 3 * 32);
    }
}

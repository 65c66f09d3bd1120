//! Entries and tiles of a log in a directory of their own, laid out as the log serves them (`specs/tiles.md`), so that any static file
//! server can serve them, too. What comes from the log is authenticated against a signed root before it is written.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use attest::bundle::BundledLeaf;
use client::LogClient;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tlog::bundle::{cut, leaf_hashes, parse};
use tlog::edge::Batch;
use tlog::plan::{EdgePlan, Plan, PlanError, Tiles};
use tlog::{BundleId, Edge, Tile, Tree, hash_leaf};

use crate::cache::CacheError;
use crate::sync::SyncError;

/// A directory with `tile/…`.
#[derive(Clone, Debug)]
pub struct Copy {
    dir: PathBuf,
}

impl Copy {
    /// The copy in a directory; it need not exist.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The bytes of an object.
    ///
    /// # Errors
    /// If it is absent, which counts as damage, or cannot be read.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, CacheError> {
        let path = self.dir.join(name);
        match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(CacheError::Damaged(path)),
            bytes => bytes.map_err(|error| CacheError::Io(path, error)),
        }
    }

    /// Takes the right to write here.
    ///
    /// # Errors
    /// If another process has it, or the directory cannot be made.
    pub fn lock(&self) -> Result<File, CacheError> {
        fs::create_dir_all(&self.dir).map_err(failed(&self.dir))?;
        let path = self.dir.join(".lock");
        let file = File::create(&path).map_err(failed(&path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(file),
            Err(Errno::WOULDBLOCK) => Err(CacheError::Busy(self.dir.clone())),
            Err(error) => Err(CacheError::Io(path, error.into())),
        }
    }

    /// Writes an object durably; readers see the old bytes or the new ones.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<(), CacheError> {
        self.put_all(&[(name.to_owned(), bytes)])
    }

    /// Writes the tiles and bundles of a round of growth, several at a time, and makes all of them durable.
    ///
    /// # Errors
    /// If one cannot be written.
    pub fn write(&self, batch: &Batch) -> Result<(), CacheError> {
        let tiles = batch.tiles.iter().map(|(tile, bytes)| (tile.path(), bytes.as_slice()));
        let bundles = batch.bundles.iter().map(|(id, bytes)| (id.path(), bytes.as_slice()));
        self.put_all(&tiles.chain(bundles).collect::<Vec<_>>())
    }

    fn put_all(&self, objects: &[(String, &[u8])]) -> Result<(), CacheError> {
        let folders: BTreeSet<PathBuf> = objects.iter().filter_map(|(name, _)| Some(self.dir.join(name).parent()?.to_owned())).collect();
        let unfinished = self.dir.join(UNFINISHED);
        folders.iter().chain([&unfinished]).try_for_each(|folder| fs::create_dir_all(folder).map_err(failed(folder)))?;
        std::thread::scope(|scope| {
            let parts = objects.chunks(objects.len().div_ceil(WRITERS).max(1));
            let put = |part: &[(String, &[u8])]| part.iter().try_for_each(|(name, bytes)| self.place(name, bytes));
            let writers: Vec<_> = parts.map(|part| scope.spawn(move || put(part))).collect();
            writers.into_iter().try_for_each(|writer| writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })?;
        // A new folder's own name stands in the folders above.
        let above = |folder: &PathBuf| {
            folder.ancestors().take_while(|folder| folder.starts_with(&self.dir)).map(Path::to_owned).collect::<Vec<_>>()
        };
        let synced: BTreeSet<PathBuf> = folders.iter().flat_map(above).collect();
        synced.iter().try_for_each(|folder| File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder)))
    }

    /// Writes one object to where nobody looks, and moves it. A killed process leaves nothing that the next one does not overwrite.
    fn place(&self, name: &str, bytes: &[u8]) -> Result<(), CacheError> {
        let (temporary, path) = (self.dir.join(UNFINISHED).join(name.replace('/', "-")), self.dir.join(name));
        let write = || {
            let mut file = File::create(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&temporary);
            CacheError::Io(path.clone(), error)
        })
    }

    /// The right edge of the tree that is here, checked against its root.
    ///
    /// # Errors
    /// If what it is made of is damaged or cannot be read.
    pub fn edge(&self, tree: &Tree) -> Result<Edge, CacheError> {
        if tree.size == 0 {
            return Ok(Edge::empty());
        }
        let plan = EdgePlan::new(tree);
        let bundle = plan.bundle().map(|id| self.read(&id.path())).transpose()?.unwrap_or_default();
        plan.finish(&self.tiles(plan.tiles())?, &bundle).map_err(|_| CacheError::Damaged(self.dir.clone()))
    }

    /// These tiles.
    ///
    /// # Errors
    /// The first's that cannot be read.
    pub fn tiles(&self, wanted: &[Tile]) -> Result<Tiles, CacheError> {
        wanted.iter().map(|tile| Ok((*tile, self.read(&tile.path())?))).collect()
    }

    /// The entries `first..last` of a tree that is here; `first` is a multiple of 256. Only cut apart: the caller hashes them.
    ///
    /// # Errors
    /// If a bundle is damaged or cannot be read.
    pub fn entries(&self, tree: &Tree, first: u64, last: u64) -> Result<Vec<Vec<u8>>, CacheError> {
        let mut entries = Vec::new();
        for id in bundles(tree.size, first, last) {
            let bytes = self.read(&id.path())?;
            let parsed = parse(&bytes, id.width()).map_err(|_| CacheError::Damaged(self.dir.join(id.path())))?;
            entries.extend(parsed.into_iter().map(<[u8]>::to_vec));
        }
        Ok(entries)
    }

    /// Leaves with their proofs, made from the tiles here; each is compared with what the tree has.
    ///
    /// # Errors
    /// If something is damaged or cannot be read.
    pub fn leaves(&self, tree: &Tree, indices: &BTreeSet<u64>) -> Result<Vec<BundledLeaf>, CacheError> {
        let damaged = || CacheError::Damaged(self.dir.clone());
        let plan = Plan::for_leaves(tree, indices.iter().copied()).map_err(|_| damaged())?;
        let prover = plan.finish(&self.tiles(plan.tiles())?).map_err(|_| damaged())?;
        let mut leaves = Vec::new();
        let mut open: Option<(BundleId, Vec<u8>)> = None;
        for index in indices.iter().copied() {
            let id = BundleId::holding(index, tree.size).ok_or_else(damaged)?;
            if open.as_ref().is_none_or(|(known, _)| *known != id) {
                open = Some((id, self.read(&id.path())?));
            }
            let bytes = open.as_ref().map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
            let entries = parse(bytes, id.width()).map_err(|_| damaged())?;
            let leaf = usize::try_from(index % 256).ok().and_then(|position| entries.get(position)).ok_or_else(damaged)?.to_vec();
            let (hash, proof) = prover.inclusion(index).map_err(|_| damaged())?;
            if hash_leaf(&leaf) != hash {
                return Err(damaged());
            }
            leaves.push(BundledLeaf { index, leaf, proof });
        }
        Ok(leaves)
    }
}

/// The log's entries `first..last`, each compared with the level-0 tile that the signed root authenticates.
///
/// # Errors
/// If the log does not give them, or gives others.
pub async fn fetch(log: &LogClient, target: &Tree, first: u64, last: u64) -> Result<Vec<Vec<u8>>, SyncError> {
    let ids: Vec<BundleId> = bundles(target.size, first, last).collect();
    let refuse = |error: PlanError| SyncError::Entries(format!("{error:?}"));
    let plan = Plan::for_tiles(target, ids.iter().filter_map(|id| Tile::new(0, id.index(), id.width()))).map_err(refuse)?;
    let tiles = log.tiles(plan.tiles()).await?;
    let prover = plan.finish(&tiles).map_err(refuse)?;
    let mut entries = Vec::new();
    for (id, bytes) in ids.iter().zip(log.bundles(&ids).await?) {
        let malformed = |_| SyncError::Entries(format!("{} is malformed", id.path()));
        let bytes = cut(&bytes, id.width()).map_err(malformed)?;
        let hashes = leaf_hashes(bytes, id.width()).map_err(malformed)?;
        for (position, hash) in hashes.iter().enumerate() {
            let index = id.index() * 256 + position as u64;
            if prover.leaf(index).map_err(refuse)? != *hash {
                return Err(SyncError::Entries(format!("entry {index} is not the one in the tree")));
            }
        }
        let parsed = parse(bytes, id.width()).map_err(malformed)?;
        let wanted = parsed.into_iter().enumerate().filter(|(position, _)| id.index() * 256 + *position as u64 >= first);
        entries.extend(wanted.map(|(_, entry)| entry.to_vec()));
    }
    Ok(entries)
}

/// Where a round that begins with entry `first` ends: after 64 bundles, or with the tree.
#[must_use]
pub fn end_of_round(size: u64, first: u64) -> u64 {
    size.min((first / 256 + ROUND) * 256)
}

/// The bundles that hold the entries `first..last` of a tree of `size`.
fn bundles(size: u64, first: u64, last: u64) -> impl Iterator<Item = BundleId> {
    (first / 256..last.div_ceil(256)).filter_map(move |index| BundleId::holding(index * 256, size))
}

/// Bundles in one round: 16,384 entries.
const ROUND: u64 = 64;
fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> CacheError {
    let path = path.to_owned();
    move |error| CacheError::Io(path, error)
}

/// Files that are not whole yet.
const UNFINISHED: &str = ".new";
/// Files that are synced at a time.
const WRITERS: usize = 8;

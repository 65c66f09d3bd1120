//! The whole log in the cache (`tally sync --full`): every entry, hashed into the root that the log signed and witnesses cosigned.
//!
//! Bundles of entries are authenticated tile by tile before they are kept, so a killed sync goes on where it stopped.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use attest::bundle::BundledLeaf;
use attest::{Bundle, Envelope, Statement};
use tlog::bundle::{cut, leaf_hashes, parse};
use tlog::plan::{EdgePlan, Plan, Tiles};
use tlog::{BundleId, Edge, Hash, SignedCheckpoint, Tile, Tree};

use crate::cache::{Cache, CacheError, replace};
use crate::sync::{SyncError, Synced, Syncer, control_queries, installed_names};

/// The mirror below a cache.
pub struct Mirror {
    dir: PathBuf,
}

impl Mirror {
    /// The mirror of a cache; it need not exist.
    #[must_use]
    pub fn new(cache: &Cache) -> Self {
        Self { dir: cache.dir().join("full") }
    }

    /// Whether every entry of this tree is here.
    #[must_use]
    pub fn holds(&self, tree: &Tree) -> bool {
        self.tree().is_ok_and(|kept| kept == *tree)
    }

    /// Brings the mirror to the newest checkpoint and keeps what is known about the installed packages.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn sync(&self, syncer: &Syncer<'_>, roots: &[&Path], extra: &[String]) -> Result<Synced, SyncError> {
        let checkpoint = syncer.advance().await?;
        self.grow(syncer, &checkpoint).await?;
        let control = syncer.know(&self.extract(&checkpoint, &BTreeSet::new())?)?;
        let mut names: BTreeSet<String> = extra.iter().cloned().collect();
        names.extend(installed_names(roots, &syncer.namespaces(&control))?);
        names.extend(syncer.cache.names()?);
        let bundle = self.extract(&checkpoint, &names)?;
        syncer.keep(&bundle, &names.into_iter().collect::<Vec<_>>()).await
    }

    /// Fetches what is new, a few hundred bundles at a time; each round is authenticated, written, and only then counted.
    async fn grow(&self, syncer: &Syncer<'_>, checkpoint: &SignedCheckpoint) -> Result<(), SyncError> {
        let target = checkpoint.tree();
        let mut edge = self.edge()?;
        while edge.tree().size < target.size {
            let first = edge.tree().size;
            let last = target.size.min((first / 256 + ROUND) * 256);
            let entries = self.fetch(syncer, &target, first, last).await?;
            let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
            let batch = edge.append(&slices).map_err(|error| SyncError::Entries(format!("{error:?}")))?;
            self.write(first, &batch, &entries)?;
            edge = batch.edge;
        }
        if edge.tree() == target { Ok(()) } else { Err(SyncError::Entries(format!("their root is {}", edge.tree().root))) }
    }

    /// The entries `first..last`, each compared with the level-0 tile that the signed root authenticates.
    async fn fetch(&self, syncer: &Syncer<'_>, target: &Tree, first: u64, last: u64) -> Result<Vec<Vec<u8>>, SyncError> {
        let ids: Vec<BundleId> =
            (first / 256..last.div_ceil(256)).filter_map(|index| BundleId::holding(index * 256, target.size)).collect();
        let tile = |id: &BundleId| Tile::new(0, id.index(), id.width());
        let refuse = |error: tlog::plan::PlanError| SyncError::Entries(format!("{error:?}"));
        let plan = Plan::for_tiles(target, ids.iter().filter_map(tile)).map_err(refuse)?;
        let tiles = syncer.log.tiles(plan.tiles()).await?;
        let prover = plan.finish(&tiles).map_err(refuse)?;
        let mut entries = Vec::new();
        for id in ids {
            let bytes = syncer.log.bundle(id).await?;
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

    /// Tiles and bundles first, then the index of names, then the size: what the size does not cover is written again next time.
    fn write(&self, first: u64, batch: &tlog::edge::Batch, entries: &[Vec<u8>]) -> Result<(), CacheError> {
        for (tile, bytes) in
            batch.tiles.iter().map(|(tile, bytes)| (tile.path(), bytes)).chain(batch.bundles.iter().map(|(id, bytes)| (id.path(), bytes)))
        {
            self.put(&tile, bytes)?;
        }
        let mut names = String::new();
        for (position, entry) in entries.iter().enumerate() {
            for name in names_of(entry) {
                names.push_str(&format!("{} {name}\n", first + position as u64));
            }
        }
        // What a killed program appended beyond the counted length is cut off first.
        let counted = self.state()?.1;
        let path = self.dir.join(NAMES);
        let append = || {
            let mut file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            file.set_len(counted)?;
            file.seek(SeekFrom::End(0))?;
            file.write_all(names.as_bytes())?;
            file.sync_all()
        };
        append().map_err(|error| CacheError::Io(path.clone(), error))?;
        let length = counted + names.len() as u64;
        self.put(TREE, format!("{} {} {length}\n", batch.tree.size, batch.tree.root).as_bytes())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), CacheError> {
        let path = self.dir.join(name);
        let dir = path.parent().unwrap_or(&self.dir);
        fs::create_dir_all(dir).and_then(|()| replace(&path, bytes)).map_err(|error| CacheError::Io(path.clone(), error))
    }

    /// Size and root of what is here.
    fn tree(&self) -> Result<Tree, CacheError> {
        Ok(self.state()?.0)
    }

    /// The tree that is here, and how many bytes of the index of names belong to it.
    fn state(&self) -> Result<(Tree, u64), CacheError> {
        let path = self.dir.join(TREE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((Tree::EMPTY, 0)),
            text => text.map_err(|error| CacheError::Io(path.clone(), error))?,
        };
        let parse = |text: &str| {
            let mut words = text.trim_end().split(' ');
            let tree = Tree { size: words.next()?.parse().ok()?, root: Hash::from_hex(words.next()?)? };
            Some((tree, words.next()?.parse().ok()?))
        };
        parse(&text).ok_or(CacheError::Damaged(path))
    }

    fn edge(&self) -> Result<Edge, CacheError> {
        let tree = self.tree()?;
        if tree.size == 0 {
            return Ok(Edge::empty());
        }
        let plan = EdgePlan::new(&tree);
        let bundle = plan.bundle().map(|id| self.read(&id.path())).transpose()?.unwrap_or_default();
        plan.finish(&self.tiles(plan.tiles())?, &bundle).map_err(|_| CacheError::Damaged(self.dir.clone()))
    }

    fn tiles(&self, wanted: &[Tile]) -> Result<Tiles, CacheError> {
        wanted.iter().map(|tile| Ok((*tile, self.read(&tile.path())?))).collect()
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, CacheError> {
        let path = self.dir.join(name);
        fs::read(&path).map_err(|error| CacheError::Io(path, error))
    }

    /// The leaves about these names, and what binds everybody, with proofs made from the tiles here.
    fn extract(&self, checkpoint: &SignedCheckpoint, names: &BTreeSet<String>) -> Result<Bundle, CacheError> {
        let tree = checkpoint.tree();
        let indices = self.indices(tree.size, names)?;
        let damaged = |_| CacheError::Damaged(self.dir.clone());
        let plan = Plan::for_leaves(&tree, indices.iter().copied()).map_err(damaged)?;
        let prover = plan.finish(&self.tiles(plan.tiles())?).map_err(damaged)?;
        let mut leaves = Vec::new();
        let mut open: Option<(BundleId, Vec<u8>)> = None;
        for index in indices {
            let id = BundleId::holding(index, tree.size).ok_or_else(|| CacheError::Damaged(self.dir.clone()))?;
            if open.as_ref().is_none_or(|(known, _)| *known != id) {
                open = Some((id, self.read(&id.path())?));
            }
            let bytes = open.as_ref().map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
            let entries = parse(bytes, id.width()).map_err(|_| CacheError::Damaged(self.dir.clone()))?;
            let leaf = usize::try_from(index % 256).ok().and_then(|position| entries.get(position)).map(|entry| entry.to_vec());
            let (_, proof) = prover.inclusion(index).map_err(damaged)?;
            leaves.push(BundledLeaf { index, leaf: leaf.ok_or_else(|| CacheError::Damaged(self.dir.clone()))?, proof });
        }
        Ok(Bundle { checkpoint: checkpoint.clone(), leaves, manifests: Vec::new() })
    }

    fn indices(&self, size: u64, names: &BTreeSet<String>) -> Result<BTreeSet<u64>, CacheError> {
        let control = control_queries();
        let mut text = self.read(NAMES)?;
        text.truncate(usize::try_from(self.state()?.1).unwrap_or(usize::MAX));
        let text = String::from_utf8_lossy(&text);
        let wanted = |line: &str| {
            let (index, name) = line.split_once(' ')?;
            let index: u64 = index.parse().ok().filter(|index| *index < size)?;
            (names.contains(name) || control.iter().any(|query| query == name)).then_some(index)
        };
        Ok(text.lines().filter_map(wanted).collect())
    }
}

/// Under which names an entry is found: its subject, and its type.
fn names_of(entry: &[u8]) -> Vec<String> {
    let statement = Envelope::parse(entry).ok().and_then(|envelope| Statement::parse(envelope.payload()).ok());
    statement.map(|statement| vec![statement.subject.name.clone(), format!("type:{}", statement.kind().short_name())]).unwrap_or_default()
}

/// Bundles in one round: 16,384 entries.
const ROUND: u64 = 64;
const TREE: &str = "tree";
const NAMES: &str = "names";

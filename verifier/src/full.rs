//! The whole log in the cache (`tally sync --full`): every entry, hashed into the root that the log signed and witnesses cosigned.
//!
//! Bundles of entries are authenticated tile by tile before they are kept, so a killed sync goes on where it stopped.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use attest::bundle::BundledLeaf;
use attest::{Bundle, Envelope, Statement};
use tlog::bundle::{cut, leaf_hashes, parse};
use tlog::plan::{EdgePlan, Plan, Tiles};
use tlog::{BundleId, Edge, Hash, SignedCheckpoint, Tile, Tree, hash_leaf};

use crate::cache::{Cache, CacheError, replace};
use crate::sync::{SyncError, Syncer};

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

    /// Whether entries are kept in it.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.dir.join(TREE).exists()
    }

    /// Brings the mirror to this checkpoint, and gives the leaves about these names. What turns out damaged is fetched again.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn answer(&self, syncer: &Syncer<'_>, checkpoint: &SignedCheckpoint, names: &[String]) -> Result<Bundle, SyncError> {
        match self.try_answer(syncer, checkpoint, names).await {
            Err(SyncError::Cache(CacheError::Damaged(path))) => {
                tracing::warn!("{} is damaged; the whole log is fetched again", path.display());
                self.forget()?;
                self.try_answer(syncer, checkpoint, names).await
            }
            answer => answer,
        }
    }

    async fn try_answer(&self, syncer: &Syncer<'_>, checkpoint: &SignedCheckpoint, names: &[String]) -> Result<Bundle, SyncError> {
        let index = self.grow(syncer, checkpoint).await?;
        Ok(self.extract(checkpoint, &index, &names.iter().map(String::as_str).collect())?)
    }

    /// Counts nothing as here.
    fn forget(&self) -> Result<(), CacheError> {
        let path = self.dir.join(TREE);
        fs::remove_file(&path).map_err(|error| CacheError::Io(path, error))
    }

    /// Fetches what is new, a few hundred bundles at a time; each round is authenticated, written, and only then counted. Gives the
    /// index of names.
    async fn grow(&self, syncer: &Syncer<'_>, checkpoint: &SignedCheckpoint) -> Result<Vec<u8>, SyncError> {
        let target = checkpoint.tree();
        let mut edge = self.edge()?;
        let mut names = self.names()?;
        while edge.tree().size < target.size {
            let first = edge.tree().size;
            let last = target.size.min((first / 256 + ROUND) * 256);
            let entries = self.fetch(syncer, &target, first, last).await?;
            let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
            let batch = edge.append(&slices).map_err(|error| SyncError::Entries(format!("{error:?}")))?;
            self.write(first, &batch, &entries, &mut names)?;
            edge = batch.edge;
        }
        if edge.tree() == target { Ok(names) } else { Err(SyncError::Entries(format!("their root is {}", edge.tree().root))) }
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

    /// Tiles and bundles first, then the index of names, which grows by theirs, then the size: what the size does not cover is written
    /// again next time.
    fn write(&self, first: u64, batch: &tlog::edge::Batch, entries: &[Vec<u8>], names: &mut Vec<u8>) -> Result<(), CacheError> {
        for (tile, bytes) in
            batch.tiles.iter().map(|(tile, bytes)| (tile.path(), bytes)).chain(batch.bundles.iter().map(|(id, bytes)| (id.path(), bytes)))
        {
            self.put(&tile, bytes)?;
        }
        let mut new = String::new();
        for (position, entry) in entries.iter().enumerate() {
            for name in names_of(entry) {
                new.push_str(&format!("{} {name}\n", first + position as u64));
            }
        }
        // What a killed program appended beyond the counted length is cut off first.
        let path = self.dir.join(NAMES);
        let append = || {
            let mut file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            file.set_len(names.len() as u64)?;
            file.seek(SeekFrom::End(0))?;
            file.write_all(new.as_bytes())?;
            file.sync_all()
        };
        append().map_err(|error| CacheError::Io(path.clone(), error))?;
        names.extend_from_slice(new.as_bytes());
        let state = State { tree: batch.tree, counted: names.len() as u64, digest: Hash::digest(names) };
        self.put(TREE, state.encode().as_bytes())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), CacheError> {
        let path = self.dir.join(name);
        let dir = path.parent().unwrap_or(&self.dir);
        fs::create_dir_all(dir).and_then(|()| replace(&path, bytes)).map_err(|error| CacheError::Io(path.clone(), error))
    }

    /// What is here.
    fn state(&self) -> Result<State, CacheError> {
        let path = self.dir.join(TREE);
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(State::EMPTY),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err(CacheError::Damaged(path)),
            text => State::parse(&text.map_err(|error| CacheError::Io(path.clone(), error))?).ok_or(CacheError::Damaged(path)),
        }
    }

    /// The index of names, as far as it is counted: a line for each name of each entry.
    fn names(&self) -> Result<Vec<u8>, CacheError> {
        let state = self.state()?;
        if state.counted == 0 {
            return Ok(Vec::new());
        }
        let mut names = self.read(NAMES)?;
        names.truncate(usize::try_from(state.counted).unwrap_or(usize::MAX));
        if Hash::digest(&names) == state.digest { Ok(names) } else { Err(CacheError::Damaged(self.dir.join(NAMES))) }
    }

    fn edge(&self) -> Result<Edge, CacheError> {
        let tree = self.state()?.tree;
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
        match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(CacheError::Damaged(path)),
            bytes => bytes.map_err(|error| CacheError::Io(path, error)),
        }
    }

    /// The leaves about these names, with proofs made from the tiles here; each is compared with what the tree has.
    fn extract(&self, checkpoint: &SignedCheckpoint, index: &[u8], names: &BTreeSet<&str>) -> Result<Bundle, CacheError> {
        let tree = checkpoint.tree();
        let indices = indices(index, tree.size, names);
        let damaged = || CacheError::Damaged(self.dir.clone());
        let plan = Plan::for_leaves(&tree, indices.iter().copied()).map_err(|_| damaged())?;
        let prover = plan.finish(&self.tiles(plan.tiles())?).map_err(|_| damaged())?;
        let mut leaves = Vec::new();
        let mut open: Option<(BundleId, Vec<u8>)> = None;
        for index in indices {
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
        Ok(Bundle { checkpoint: checkpoint.clone(), history: Vec::new(), leaves, manifests: Vec::new() })
    }
}

/// What the mirror holds, in one line: the tree, and how many bytes of the index of names belong to it, with their digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The tree of the entries that are here.
    pub tree: Tree,
    /// Bytes of the index of names that belong to it.
    pub counted: u64,
    /// SHA-256 of these bytes.
    pub digest: Hash,
}

impl State {
    const EMPTY: Self = Self { tree: Tree::EMPTY, counted: 0, digest: Hash::EMPTY };

    /// Reads the line; `None` unless it is exactly what [`State::encode`] gives.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.trim_end().split(' ');
        let tree = Tree { size: words.next()?.parse().ok()?, root: Hash::from_hex(words.next()?)? };
        let state = Self { tree, counted: words.next()?.parse().ok()?, digest: Hash::from_hex(words.next()?)? };
        (state.encode() == text).then_some(state)
    }

    /// The line.
    #[must_use]
    pub fn encode(&self) -> String {
        format!("{} {} {} {}\n", self.tree.size, self.tree.root, self.counted, self.digest)
    }
}

/// The entries below `size` that the index of names lists under one that is wanted.
fn indices(names: &[u8], size: u64, wanted: &BTreeSet<&str>) -> BTreeSet<u64> {
    let text = String::from_utf8_lossy(names);
    let index = |line: &str| {
        let (index, name) = line.split_once(' ')?;
        let index: u64 = index.parse().ok().filter(|index| *index < size)?;
        wanted.contains(name).then_some(index)
    };
    text.lines().filter_map(index).collect()
}

/// Under which names an entry is found: its subject, and its type.
pub(crate) fn names_of(entry: &[u8]) -> Vec<String> {
    let statement = Envelope::parse(entry).ok().and_then(|envelope| Statement::parse(envelope.payload()).ok());
    statement.map(|statement| vec![statement.subject.name.clone(), format!("type:{}", statement.kind().short_name())]).unwrap_or_default()
}

/// Bundles in one round: 16,384 entries.
const ROUND: u64 = 64;
const TREE: &str = "tree";
const NAMES: &str = "names";

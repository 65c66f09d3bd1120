//! The whole log in the cache (`tally sync --full`): every entry, hashed into the root that the log signed and witnesses cosigned.
//!
//! Bundles of entries are authenticated tile by tile before they are kept, so a killed sync goes on where it stopped.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};

use attest::{Bundle, Envelope, Statement};
use tlog::{Hash, SignedCheckpoint, Tree};

use crate::cache::{Cache, CacheError};
use crate::copy::{self, Copy};
use crate::sync::{SyncError, Syncer};

/// The mirror below a cache.
pub struct Mirror {
    copy: Copy,
}

impl Mirror {
    /// The mirror of a cache; it need not exist.
    #[must_use]
    pub fn new(cache: &Cache) -> Self {
        Self { copy: Copy::new(cache.dir().join("full")) }
    }

    /// Whether entries are kept in it.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.copy.dir().join(TREE).exists()
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
        let path = self.copy.dir().join(TREE);
        fs::remove_file(&path).map_err(|error| CacheError::Io(path, error))
    }

    /// Fetches what is new, a few hundred bundles at a time; each round is authenticated, written, and only then counted. Gives the
    /// index of names.
    async fn grow(&self, syncer: &Syncer<'_>, checkpoint: &SignedCheckpoint) -> Result<Vec<u8>, SyncError> {
        let target = checkpoint.tree();
        let mut edge = self.copy.edge(&self.state()?.tree)?;
        let mut names = self.names()?;
        while edge.tree().size < target.size {
            let first = edge.tree().size;
            let entries = copy::fetch(syncer.log, &target, first, copy::end_of_round(target.size, first)).await?;
            let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
            let batch = edge.append(&slices).map_err(|error| SyncError::Entries(format!("{error:?}")))?;
            self.write(first, &batch, &entries, &mut names)?;
            edge = batch.edge;
        }
        if edge.tree() == target { Ok(names) } else { Err(SyncError::Entries(format!("their root is {}", edge.tree().root))) }
    }

    /// Tiles and bundles first, then the index of names, which grows by theirs, then the size: what the size does not cover is written
    /// again next time.
    fn write(&self, first: u64, batch: &tlog::edge::Batch, entries: &[Vec<u8>], names: &mut Vec<u8>) -> Result<(), CacheError> {
        self.copy.write(batch)?;
        let mut new = String::new();
        for (position, entry) in entries.iter().enumerate() {
            for name in names_of(entry) {
                new.push_str(&format!("{} {name}\n", first + position as u64));
            }
        }
        // What a killed program appended beyond the counted length is cut off first.
        let path = self.copy.dir().join(NAMES);
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
        self.copy.put(TREE, state.encode().as_bytes())
    }

    /// What is here.
    fn state(&self) -> Result<State, CacheError> {
        let path = self.copy.dir().join(TREE);
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
        let mut names = self.copy.read(NAMES)?;
        names.truncate(usize::try_from(state.counted).unwrap_or(usize::MAX));
        if Hash::digest(&names) == state.digest { Ok(names) } else { Err(CacheError::Damaged(self.copy.dir().join(NAMES))) }
    }

    /// The leaves about these names, with proofs made from the tiles here; each is compared with what the tree has.
    fn extract(&self, checkpoint: &SignedCheckpoint, index: &[u8], names: &BTreeSet<&str>) -> Result<Bundle, CacheError> {
        let tree = checkpoint.tree();
        let leaves = self.copy.leaves(&tree, &indices(index, tree.size, names))?;
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

const TREE: &str = "tree";
const NAMES: &str = "names";

//! The derived index: which (key, payload) is logged where, which leaves are about which subject, which manifests are there.
//!
//! It is a cache of the log in one `redb` file. It is replayed to the committed size before the log takes entries, since an
//! index that misses silently would let a duplicate in; hits are compared with the stored leaf. New rows wait in memory, where
//! they are found as well, and are written out every few seconds: what a crash loses is replayed.

mod manifest;
mod round;
mod tables;
mod waiting;

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tlog::{Hash, Tree};

pub use manifest::ManifestRow;
use round::Round;
use tables::{Tables, guarded};
use waiting::Waiting;

/// Why the index is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexError {
    /// The file is damaged, of another version or of another log: it has to be built again.
    Stale(String),
    /// The disk or the database failed; in words.
    Failed(String),
}

impl std::fmt::Display for IndexError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stale(why) => write!(f, "the index has to be built again: {why}"),
            Self::Failed(why) => write!(f, "the index failed: {why}"),
        }
    }
}
impl std::error::Error for IndexError {}

/// What the index keeps of one leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Hash of key and payload.
    pub identity: Hash,
    /// Its terms: the subject's name and `type:` with the predicate's short name.
    pub terms: [String; 2],
    /// The manifest that it claims.
    pub manifest: Option<Hash>,
}

/// The database, and the rows that are not in it yet.
pub struct Index {
    parts: Arc<Parts>,
    writer: Option<JoinHandle<()>>,
}

struct Parts {
    tables: Tables,
    waiting: Waiting,
}

impl Index {
    /// Opens the file, or makes an empty one. Checks every page, since redb trusts its pages when it reads them.
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        let parts = Arc::new(Parts { tables: guarded(|| Tables::open(path))?, waiting: Waiting::default() });
        let writing = parts.clone();
        let writer = thread::Builder::new().name("index".to_owned()).spawn(move || writing.write_out());
        let writer = writer.map_err(|error| IndexError::Failed(format!("starting its thread: {error}")))?;
        Ok(Self { parts, writer: Some(writer) })
    }

    /// The tree up to which leaves are indexed.
    pub fn tree(&self) -> Result<Tree, IndexError> {
        match self.parts.waiting.rounds().last() {
            Some(round) => Ok(round.tree),
            None => self.parts.tables.tree(),
        }
    }

    /// Adds leaves from `first`, up to `tree`. They are found from here on, and durable some seconds later. Waits while too many
    /// are still to be written; an error is that of an earlier call's rows.
    pub fn extend(&self, first: u64, rows: &[Row], tree: &Tree) -> Result<(), IndexError> {
        self.parts.waiting.push(Round::new(first, rows, *tree))
    }

    /// Where a (key, payload) is logged.
    pub fn find(&self, identity: &Hash) -> Result<Option<u64>, IndexError> {
        // Rows move from memory to the file, never back: looked for in this order, none is missed.
        match self.parts.waiting.rounds().iter().find_map(|round| round.find(identity)) {
            Some(index) => Ok(Some(index)),
            None => self.parts.tables.find(identity),
        }
    }

    /// Leaves of this interval that may have this term, in order; at most `limit`. The caller compares with the leaf.
    pub fn with_term(&self, term: &str, leaves: Range<u64>, limit: usize) -> Result<Vec<u64>, IndexError> {
        let mut found: BTreeSet<u64> = self.parts.waiting.rounds().iter().flat_map(|round| round.with_term(term, &leaves)).collect();
        found.extend(self.parts.tables.with_term(term, &leaves, limit)?);
        Ok(found.into_iter().take(limit).collect())
    }

    /// A manifest's row.
    pub fn manifest(&self, root: &Hash) -> Result<Option<ManifestRow>, IndexError> {
        let is_claimed = self.parts.waiting.rounds().iter().any(|round| round.claims(root));
        let row = self.parts.tables.manifest(root)?;
        Ok(if is_claimed { Some(row.unwrap_or(ManifestRow::ABSENT).claimed()) } else { row })
    }

    /// Sets (`Some`) or removes (`None`) a manifest's row; to be removed are only those that no entry has claimed.
    pub fn set_manifest(&self, root: &Hash, row: Option<&ManifestRow>) -> Result<(), IndexError> {
        self.parts.tables.set_manifest(root, row)
    }

    /// The rows of manifests that no entry has claimed: few, however many there are in all.
    pub fn unclaimed(&self) -> Result<Vec<(Hash, ManifestRow)>, IndexError> {
        let rounds = self.parts.waiting.rounds();
        let mut rows = self.parts.tables.manifests(|row| row.uploaded != 0)?;
        rows.retain(|(root, _)| !rounds.iter().any(|round| round.claims(root)));
        Ok(rows)
    }

    /// All manifests' rows.
    pub fn manifests(&self) -> Result<Vec<(Hash, ManifestRow)>, IndexError> {
        let rounds = self.parts.waiting.rounds();
        let mut rows: HashMap<Hash, ManifestRow> = self.parts.tables.manifests(|_| true)?.into_iter().collect();
        for root in rounds.iter().flat_map(|round| round.claimed()) {
            let row = rows.entry(*root).or_insert(ManifestRow::ABSENT);
            *row = row.claimed();
        }
        Ok(rows.into_iter().collect())
    }
}

impl Parts {
    /// The writer's thread.
    fn write_out(&self) {
        while let Some(rounds) = self.waiting.due() {
            self.waiting.written(rounds.len(), self.tables.extend(&rounds));
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.parts.waiting.close();
        if let Some(writer) = self.writer.take() {
            // What it could not write is replayed by the next start.
            let _ = writer.join();
        }
    }
}

/// Whether a term stands in a great part of all leaves: those are kept as a bit for each leaf, 256 to a row.
fn is_common(term: &str) -> bool {
    term.starts_with("type:")
}

/// Half of the term's hash and the index: hits are compared with the leaf, so that half is enough.
fn term_key(term: &str, index: u64) -> TermKey {
    let mut key = [0; 24];
    let hash = Hash::digest(term.as_bytes());
    key[..16].copy_from_slice(&hash.as_bytes()[..16]);
    key[16..].copy_from_slice(&index.to_be_bytes());
    key
}

/// The leaf that a key of [`term_key`] ends with.
fn index_of(key: &TermKey) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = *key;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

type TermKey = [u8; 24];

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn row(n: u8) -> Row {
        Row { identity: Hash::digest(&[n]), terms: [format!("pkg:{}", n % 3), "type:x/v1".into()], manifest: Some(Hash::digest(b"m")) }
    }

    fn tree(size: u64) -> Tree {
        Tree { size, root: Hash::digest(&size.to_be_bytes()) }
    }

    #[test]
    fn leaves_are_found_by_identity_and_terms() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(&dir.path().join("i")).unwrap();
        assert_eq!(index.tree(), Ok(Tree::EMPTY));
        index.extend(0, &(0..7).map(row).collect::<Vec<_>>(), &tree(7)).unwrap();
        assert_eq!(index.tree(), Ok(tree(7)));
        assert_eq!(index.find(&Hash::digest(&[4])), Ok(Some(4)));
        assert_eq!(index.find(&Hash::digest(&[7])), Ok(None));
        assert_eq!(index.with_term("pkg:1", 0..7, 10), Ok(vec![1, 4]));
        assert_eq!(index.with_term("pkg:1", 0..4, 10), Ok(vec![1]));
        assert_eq!(index.with_term("type:x/v1", 0..7, 3), Ok(vec![0, 1, 2]));
    }

    #[test]
    fn rows_that_wait_and_rows_that_are_written_are_found_alike() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("i");
        let index = Index::open(&path).unwrap();
        index.extend(0, &(0..3).map(row).collect::<Vec<_>>(), &tree(3)).unwrap();
        // Written in their time, without anybody's asking.
        let deadline = Instant::now() + Duration::from_secs(60);
        while !index.parts.waiting.rounds().is_empty() {
            assert!(Instant::now() < deadline, "the rows are still in memory");
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(index.parts.tables.tree(), Ok(tree(3)));
        index.extend(3, &(3..7).map(row).collect::<Vec<_>>(), &tree(7)).unwrap();
        let found = |index: &Index| {
            let identities: Vec<_> = (0..8).map(|n| index.find(&Hash::digest(&[n])).unwrap()).collect();
            let terms = ["pkg:0", "pkg:1", "type:x/v1", "type:y/v1"].map(|term| index.with_term(term, 1..7, 3).unwrap());
            (identities, terms, index.tree().unwrap(), index.manifests().unwrap())
        };
        let before = found(&index);
        assert_eq!(before.0, [Some(0), Some(1), Some(2), Some(3), Some(4), Some(5), Some(6), None]);
        assert_eq!(before.1, [vec![3, 6], vec![1, 4], vec![1, 2, 3], vec![]]);
        drop(index);
        assert_eq!(found(&Index::open(&path).unwrap()), before, "an index that is closed is written out");
    }

    #[test]
    fn common_terms_are_found_over_rounds_and_groups() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = Index::open(&dir.path().join("i")).unwrap();
        let row =
            |n: u64| Row { identity: Hash::digest(&n.to_be_bytes()), terms: [n.to_string(), format!("type:{}", n % 3)], manifest: None };
        let ends = [0, 1, 255, 256, 700, 701, 1_300];
        for (first, end) in ends.into_iter().zip(&ends[1..]) {
            index.extend(first, &(first..*end).map(row).collect::<Vec<_>>(), &tree(*end)).unwrap();
            if first == 256 {
                drop(index);
                index = Index::open(&dir.path().join("i")).unwrap();
            }
        }
        let expected = |leaves: Range<u64>| leaves.filter(|n| n % 3 == 2).collect::<Vec<_>>();
        for end in [0, 1, 3, 255, 256, 257, 512, 1_299, 1_300] {
            assert_eq!(index.with_term("type:2", 0..end, 10_000), Ok(expected(0..end)), "up to {end}");
            assert_eq!(index.with_term("type:2", end..1_300, 10_000), Ok(expected(end..1_300)), "from {end}");
        }
        assert_eq!(index.with_term("type:2", 0..1_300, 5), Ok(expected(0..1_300)[..5].to_vec()));
        assert_eq!(index.with_term("type:3", 0..1_300, 5), Ok(vec![]));
    }

    #[test]
    fn a_leaf_that_refers_to_a_manifest_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(&dir.path().join("i")).unwrap();
        let (root, hash) = (Hash::digest(b"m"), Hash::digest(b"p"));
        let uploaded = ManifestRow { bytes: 10, lines: 2, package: hash, uploader: hash, uploaded: 77 };
        index.set_manifest(&root, Some(&uploaded)).unwrap();
        assert_eq!(index.manifest(&root), Ok(Some(uploaded)));
        assert_eq!(index.unclaimed(), Ok(vec![(root, uploaded)]));
        index.extend(0, &[row(0)], &tree(1)).unwrap();
        assert_eq!(index.unclaimed(), Ok(vec![]));
        let claimed = ManifestRow { uploaded: 0, ..uploaded };
        assert_eq!(index.manifests(), Ok(vec![(root, claimed)]));
        assert_eq!(index.manifest(&root), Ok(Some(claimed)));
        let (other, absent) = (Hash::digest(b"n"), Hash::digest(b"o"));
        index.set_manifest(&other, Some(&uploaded)).unwrap();
        index.set_manifest(&other, None).unwrap();
        assert_eq!(index.manifest(&other), Ok(None));
        index.extend(1, &[Row { manifest: Some(absent), ..row(1) }], &tree(2)).unwrap();
        drop(index);
        let index = Index::open(&dir.path().join("i")).unwrap();
        assert_eq!(index.manifest(&root), Ok(Some(claimed)));
        assert_eq!(index.manifest(&absent), Ok(Some(ManifestRow::ABSENT)));
    }

    #[test]
    fn flipped_bits_anywhere_end_in_an_answer_or_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("i");
        let index = Index::open(&path).unwrap();
        index.extend(0, &(0..200).map(row).collect::<Vec<_>>(), &tree(200)).unwrap();
        drop(index);
        let good = std::fs::read(&path).unwrap();
        let mut stale = 0;
        for step in 0..60 {
            let mut bytes = good.clone();
            let length = bytes.len();
            for at in (step * 131 % length..length).step_by(4_099 + step) {
                bytes[at] ^= 1 << (step % 8);
            }
            std::fs::write(&path, bytes).unwrap();
            match Index::open(&path) {
                Err(IndexError::Stale(_)) => stale += 1,
                Err(IndexError::Failed(why)) => panic!("not the disk's fault: {why}"),
                Ok(_) => {}
            }
        }
        assert!(stale > 0);
    }

    #[test]
    fn a_file_that_is_no_index_is_stale() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("i");
        std::fs::write(&path, vec![7; 9000]).unwrap();
        assert!(matches!(Index::open(&path), Err(IndexError::Stale(_))));
    }
}

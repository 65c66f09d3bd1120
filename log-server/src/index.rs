//! The derived index: which (key, payload) is logged where, which leaves are about which subject, which manifests are there.
//!
//! It is a cache of the log in one `redb` file. It is replayed to the committed size before the log takes entries, since an
//! index that misses silently would let a duplicate in; hits are compared with the stored leaf. Its commits need no fsync: what a
//! crash loses is replayed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition, WriteTransaction};
use tlog::{Hash, Tree};

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

/// What the index keeps of one manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestRow {
    /// Size in bytes.
    pub bytes: u64,
    /// Number of lines.
    pub lines: u64,
    /// SHA-256 of the package file that it describes.
    pub package: Hash,
    /// SHA-256 of the uploader's verifier key.
    pub uploader: Hash,
    /// When it was uploaded, in POSIX seconds; 0 once an entry refers to it.
    pub uploaded: u64,
}

/// The database.
pub struct Index {
    database: Database,
    synced: Mutex<Instant>,
}

impl Index {
    /// Opens the file, or makes an empty one. Checks every page, since redb trusts its pages when it reads them.
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        guarded(|| Self::open_unguarded(path))
    }

    fn open_unguarded(path: &Path) -> Result<Self, IndexError> {
        let mut database = Database::builder().set_cache_size(CACHE).create(path).map_err(|error| classify(&error.into()))?;
        database.check_integrity().map_err(|error| classify(&error.into()))?;
        let index = Self { database, synced: Mutex::new(Instant::now()) };
        index
            .write(true, |transaction| {
                transaction.open_table(IDENTITIES)?;
                transaction.open_table(TERMS)?;
                transaction.open_table(GROUPS)?;
                transaction.open_table(MANIFESTS)?;
                let mut state = transaction.open_table(STATE)?;
                let version = state.get("version")?.map(|version| version.value().to_vec());
                if version.is_none() {
                    state.insert("version", VERSION)?;
                }
                Ok(version.is_none_or(|version| version == VERSION))
            })?
            .then_some(index)
            .ok_or_else(|| IndexError::Stale("it is of another version".to_owned()))
    }

    /// The tree up to which leaves are indexed.
    pub fn tree(&self) -> Result<Tree, IndexError> {
        let bytes = self.read(|transaction| Ok(transaction.open_table(STATE)?.get("tree")?.map(|tree| tree.value().to_vec())))?;
        let Some(bytes) = bytes else { return Ok(Tree::EMPTY) };
        let parts = bytes.split_at_checked(8).and_then(|(size, root)| Some((size.try_into().ok()?, root.try_into().ok()?)));
        let (size, root) = parts.ok_or_else(|| IndexError::Stale("its tree is malformed".to_owned()))?;
        Ok(Tree { size: u64::from_be_bytes(size), root: Hash::new(root) })
    }

    /// Adds leaves from `first`, up to `tree`. Durable about every second.
    pub fn extend(&self, first: u64, rows: &[Row], tree: &Tree) -> Result<(), IndexError> {
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = synced.elapsed() > SYNC_INTERVAL;
        self.write(is_due, |transaction| {
            let mut identities = transaction.open_table(IDENTITIES)?;
            let mut terms = transaction.open_table(TERMS)?;
            let mut manifests = transaction.open_table(MANIFESTS)?;
            for (index, row) in (first..).zip(rows) {
                identities.insert(row.identity.as_bytes(), index)?;
                for term in row.terms.iter().filter(|term| !is_common(term)) {
                    terms.insert(&term_key(term, index), ())?;
                }
                if let Some(root) = &row.manifest {
                    let known = manifests.get(root.as_bytes())?.map(|row| *row.value());
                    let known = known.and_then(|bytes| ManifestRow::decode(&bytes)).unwrap_or(ManifestRow::ABSENT);
                    manifests.insert(root.as_bytes(), &ManifestRow { uploaded: 0, ..known }.encode())?;
                }
            }
            extend_groups(&mut transaction.open_table(GROUPS)?, first, rows)?;
            let mut bytes = tree.size.to_be_bytes().to_vec();
            bytes.extend_from_slice(tree.root.as_bytes());
            transaction.open_table(STATE)?.insert("tree", &bytes[..])?;
            Ok(())
        })?;
        if is_due {
            *synced = Instant::now();
        }
        Ok(())
    }

    /// Where a (key, payload) is logged.
    pub fn find(&self, identity: &Hash) -> Result<Option<u64>, IndexError> {
        self.read(|transaction| Ok(transaction.open_table(IDENTITIES)?.get(identity.as_bytes())?.map(|index| index.value())))
    }

    /// Leaves of this interval that may have this term, in order; at most `limit`. The caller compares with the leaf.
    pub fn with_term(&self, term: &str, leaves: Range<u64>, limit: usize) -> Result<Vec<u64>, IndexError> {
        self.read(|transaction| {
            if is_common(term) {
                return with_common(&transaction.open_table(GROUPS)?, term, &leaves, limit);
            }
            let table = transaction.open_table(TERMS)?;
            let (from, to) = (term_key(term, leaves.start), term_key(term, leaves.end));
            let found = table.range::<&[u8; TERM_KEY]>(&from..&to)?;
            found.take(limit).map(|row| Ok(index_of(row?.0.value()))).collect()
        })
    }

    /// A manifest's row.
    pub fn manifest(&self, root: &Hash) -> Result<Option<ManifestRow>, IndexError> {
        let bytes = self.read(|transaction| Ok(transaction.open_table(MANIFESTS)?.get(root.as_bytes())?.map(|row| *row.value())))?;
        bytes
            .map(|bytes| ManifestRow::decode(&bytes).ok_or_else(|| IndexError::Stale("a manifest's row is malformed".to_owned())))
            .transpose()
    }

    /// Sets (`Some`) or removes (`None`) a manifest's row.
    pub fn set_manifest(&self, root: &Hash, row: Option<&ManifestRow>) -> Result<(), IndexError> {
        self.write(false, |transaction| {
            let mut manifests = transaction.open_table(MANIFESTS)?;
            match row {
                Some(row) => drop(manifests.insert(root.as_bytes(), &row.encode())?),
                None => drop(manifests.remove(root.as_bytes())?),
            }
            Ok(())
        })
    }

    /// All manifests' rows.
    pub fn manifests(&self) -> Result<Vec<(Hash, ManifestRow)>, IndexError> {
        self.read(|transaction| {
            let table = transaction.open_table(MANIFESTS)?;
            let mut rows = Vec::new();
            for row in table.iter()? {
                let (root, row) = row?;
                rows.extend(ManifestRow::decode(row.value()).map(|row| (Hash::new(*root.value()), row)));
            }
            Ok(rows)
        })
    }

    fn read<T>(&self, body: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>) -> Result<T, IndexError> {
        guarded(|| {
            let transaction = self.database.begin_read().map_err(|error| classify(&error.into()))?;
            body(&transaction).map_err(|error| classify(&error))
        })
    }

    fn write<T>(&self, durable: bool, body: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>) -> Result<T, IndexError> {
        let failed = |error: redb::Error| classify(&error);
        guarded(|| {
            let mut transaction = self.database.begin_write().map_err(|error| failed(error.into()))?;
            let durability = if durable { Durability::Immediate } else { Durability::None };
            transaction.set_durability(durability).map_err(|error| failed(error.into()))?;
            let result = body(&transaction).map_err(failed)?;
            transaction.commit().map_err(|error| failed(error.into()))?;
            Ok(result)
        })
    }
}

impl ManifestRow {
    /// Claimed by an entry, but not in the store.
    pub const ABSENT: Self = Self { bytes: 0, lines: 0, package: Hash::EMPTY, uploader: Hash::EMPTY, uploaded: 0 };

    fn encode(&self) -> [u8; MANIFEST_ROW] {
        let mut bytes = [0; MANIFEST_ROW];
        let parts = [
            &self.bytes.to_be_bytes()[..],
            &self.lines.to_be_bytes(),
            self.package.as_bytes(),
            self.uploader.as_bytes(),
            &self.uploaded.to_be_bytes(),
        ];
        bytes.copy_from_slice(&parts.concat());
        bytes
    }

    fn decode(bytes: &[u8; MANIFEST_ROW]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let hash = |at: usize| Some(Hash::new(bytes.get(at..at + 32)?.try_into().ok()?));
        Some(Self { bytes: number(0)?, lines: number(8)?, package: hash(16)?, uploader: hash(48)?, uploaded: number(80)? })
    }
}

/// What the disk is at fault for can pass; everything else is a damaged file.
fn classify(error: &redb::Error) -> IndexError {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error {
        redb::Error::Io(io) if !matches!(io.kind(), InvalidData | InvalidInput | UnexpectedEof) => IndexError::Failed(error.to_string()),
        _ => IndexError::Stale(error.to_string()),
    }
}

/// redb panics on some damaged files (seen: "Malformed allocator state" after flipped bits). The index is a cache: such a file is
/// thrown away whole, so that nothing half changed is used again.
fn guarded<T>(body: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    let caught = catch_unwind(AssertUnwindSafe(body));
    caught.unwrap_or_else(|_| Err(IndexError::Stale("its file is damaged".to_owned())))
}

/// Whether a term stands in a great part of all leaves: those are kept as a bit for each leaf, 256 to a row.
fn is_common(term: &str) -> bool {
    term.starts_with("type:")
}

fn extend_groups(table: &mut Table<'_, &[u8; TERM_KEY], &[u8; GROUP]>, first: u64, rows: &[Row]) -> Result<(), redb::Error> {
    let mut groups: BTreeMap<[u8; TERM_KEY], [u8; GROUP]> = BTreeMap::new();
    for (index, row) in (first..).zip(rows) {
        for term in row.terms.iter().filter(|term| is_common(term)) {
            let bits = groups.entry(term_key(term, index / LEAVES)).or_insert([0; GROUP]);
            let (byte, bit) = ((index % LEAVES / 8) as usize, index % 8);
            bits[byte] |= 1 << bit;
        }
    }
    for (key, bits) in groups {
        let stored = table.get(&key)?.map_or([0; GROUP], |stored| *stored.value());
        let merged: [u8; GROUP] = std::array::from_fn(|at| bits[at] | stored[at]);
        table.insert(&key, &merged)?;
    }
    Ok(())
}

fn with_common(
    table: &ReadOnlyTable<&'static [u8; TERM_KEY], &'static [u8; GROUP]>,
    term: &str,
    wanted: &Range<u64>,
    limit: usize,
) -> Result<Vec<u64>, redb::Error> {
    let (from, to) = (term_key(term, wanted.start / LEAVES), term_key(term, wanted.end.div_ceil(LEAVES)));
    if from >= to {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for row in table.range::<&[u8; TERM_KEY]>(&from..&to)? {
        let (key, bits) = row?;
        let (group, bits) = (index_of(key.value()), *bits.value());
        let leaves = (0..LEAVES).filter(|leaf| bits[(leaf / 8) as usize] >> (leaf % 8) & 1 == 1);
        found.extend(leaves.map(|leaf| group * LEAVES + leaf).filter(|index| wanted.contains(index)));
        if found.len() >= limit {
            found.truncate(limit);
            break;
        }
    }
    Ok(found)
}

/// Half of the term's hash and the index: hits are compared with the leaf, so that half is enough.
fn term_key(term: &str, index: u64) -> [u8; TERM_KEY] {
    let mut key = [0; TERM_KEY];
    let hash = Hash::digest(term.as_bytes());
    key[..16].copy_from_slice(&hash.as_bytes()[..16]);
    key[16..].copy_from_slice(&index.to_be_bytes());
    key
}

fn index_of(key: &[u8; TERM_KEY]) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = *key;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

const TERM_KEY: usize = 24;
const MANIFEST_ROW: usize = 88;
/// Leaves in a row of `GROUPS`, and its bytes.
const LEAVES: u64 = 256;
const GROUP: usize = 32;
const VERSION: &[u8] = b"tallystick/index/v2";
const STATE: TableDefinition<&str, &[u8]> = TableDefinition::new("state");
const IDENTITIES: TableDefinition<&[u8; 32], u64> = TableDefinition::new("identities");
const TERMS: TableDefinition<&[u8; TERM_KEY], ()> = TableDefinition::new("terms");
const GROUPS: TableDefinition<&[u8; TERM_KEY], &[u8; GROUP]> = TableDefinition::new("groups");
const MANIFESTS: TableDefinition<&[u8; 32], &[u8; MANIFEST_ROW]> = TableDefinition::new("manifests");
/// Bytes of pages that are kept in memory.
const CACHE: usize = 32 << 20;
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
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
    fn common_terms_are_found_over_rounds_and_groups() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(&dir.path().join("i")).unwrap();
        let row =
            |n: u64| Row { identity: Hash::digest(&n.to_be_bytes()), terms: [n.to_string(), format!("type:{}", n % 3)], manifest: None };
        let ends = [0, 1, 255, 256, 700, 701, 1_300];
        for (first, end) in ends.into_iter().zip(&ends[1..]) {
            index.extend(first, &(first..*end).map(row).collect::<Vec<_>>(), &tree(*end)).unwrap();
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
        index.extend(0, &[row(0)], &tree(1)).unwrap();
        assert_eq!(index.manifests(), Ok(vec![(root, ManifestRow { uploaded: 0, ..uploaded })]));
        index.set_manifest(&root, None).unwrap();
        assert_eq!(index.manifest(&root), Ok(None));
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

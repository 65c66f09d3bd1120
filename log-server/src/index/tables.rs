//! The index's file: `redb` tables.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition, WriteTransaction};
use tlog::{Hash, Tree};

use super::manifest::{ENCODED, ManifestRow};
use super::round::{Group, Round, group_keys, members};
use super::{IndexError, TermKey, index_of, is_common, term_key};

/// The database.
pub(super) struct Tables {
    database: Database,
}

impl Tables {
    /// Opens the file, or makes an empty one; to be called [`guarded`].
    pub(super) fn open(path: &Path) -> Result<Self, IndexError> {
        let mut database = Database::builder().set_cache_size(CACHE).create(path).map_err(|error| classify(&error.into()))?;
        database.check_integrity().map_err(|error| classify(&error.into()))?;
        let tables = Self { database };
        tables
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
            .then_some(tables)
            .ok_or_else(|| IndexError::Stale("it is of another version".to_owned()))
    }

    /// The tree up to which leaves are indexed.
    pub(super) fn tree(&self) -> Result<Tree, IndexError> {
        let bytes = self.read(|transaction| Ok(transaction.open_table(STATE)?.get("tree")?.map(|tree| tree.value().to_vec())))?;
        let Some(bytes) = bytes else { return Ok(Tree::EMPTY) };
        let parts = bytes.split_at_checked(8).and_then(|(size, root)| Some((size.try_into().ok()?, root.try_into().ok()?)));
        let (size, root) = parts.ok_or_else(|| IndexError::Stale("its tree is malformed".to_owned()))?;
        Ok(Tree { size: u64::from_be_bytes(size), root: Hash::new(root) })
    }

    /// Writes rounds, oldest first, durably: a range of the keys after the other, since redb keeps the pages that a transaction
    /// replaces until the next ones are durable, and hashes as keys make that nearly all pages of the range. What is cut off
    /// in between is written again, as the tree moves on with the last range only.
    pub(super) fn extend(&self, rounds: &[Arc<Round>]) -> Result<(), IndexError> {
        let mut identities: Vec<(&Hash, u64)> =
            rounds.iter().flat_map(|round| round.identities.iter().map(|(identity, index)| (identity, *index))).collect();
        identities.sort_unstable();
        let mut terms: Vec<&TermKey> = rounds.iter().flat_map(|round| &round.terms).collect();
        terms.sort_unstable();
        for slice in identities.chunks(SLICE) {
            self.write(true, |transaction| {
                let mut table = transaction.open_table(IDENTITIES)?;
                slice.iter().try_for_each(|(identity, index)| table.insert(identity.as_bytes(), index).map(drop))?;
                Ok(())
            })?;
        }
        for slice in terms.chunks(SLICE) {
            self.write(true, |transaction| {
                let mut table = transaction.open_table(TERMS)?;
                slice.iter().try_for_each(|key| table.insert(key, ()).map(drop))?;
                Ok(())
            })?;
        }
        self.conclude(rounds)
    }

    /// What few pages hold, and the tree that all of it leads to.
    fn conclude(&self, rounds: &[Arc<Round>]) -> Result<(), IndexError> {
        let Some(tree) = rounds.last().map(|round| round.tree) else { return Ok(()) };
        self.write(true, |transaction| {
            extend_groups(&mut transaction.open_table(GROUPS)?, rounds)?;
            let mut manifests = transaction.open_table(MANIFESTS)?;
            for root in rounds.iter().flat_map(|round| round.claimed()) {
                let known = manifests.get(root.as_bytes())?.and_then(|row| ManifestRow::decode(row.value()));
                manifests.insert(root.as_bytes(), &known.unwrap_or(ManifestRow::ABSENT).claimed().encode())?;
            }
            let mut bytes = tree.size.to_be_bytes().to_vec();
            bytes.extend_from_slice(tree.root.as_bytes());
            transaction.open_table(STATE)?.insert("tree", &bytes[..])?;
            Ok(())
        })
    }

    /// Where an identity is, if the tree covers it: rows of a range that was cut off count for nothing.
    pub(super) fn find(&self, identity: &Hash) -> Result<Option<u64>, IndexError> {
        let found =
            self.read(|transaction| Ok(transaction.open_table(IDENTITIES)?.get(identity.as_bytes())?.map(|index| index.value())))?;
        match found {
            Some(index) if index < self.tree()?.size => Ok(Some(index)),
            _ => Ok(None),
        }
    }

    pub(super) fn with_term(&self, term: &str, leaves: &Range<u64>, limit: usize) -> Result<Vec<u64>, IndexError> {
        if leaves.is_empty() {
            return Ok(Vec::new());
        }
        self.read(|transaction| {
            let mut found = Vec::new();
            if is_common(term) {
                let Range { start, end } = group_keys(term, leaves);
                for row in transaction.open_table(GROUPS)?.range::<&TermKey>(&start..&end)? {
                    let (key, group) = row?;
                    found.extend(members(key.value(), group.value(), leaves));
                    if found.len() >= limit {
                        break;
                    }
                }
                found.truncate(limit);
                return Ok(found);
            }
            let (start, end) = (term_key(term, leaves.start), term_key(term, leaves.end));
            for row in transaction.open_table(TERMS)?.range::<&TermKey>(&start..&end)?.take(limit) {
                found.push(index_of(row?.0.value()));
            }
            Ok(found)
        })
    }

    pub(super) fn manifest(&self, root: &Hash) -> Result<Option<ManifestRow>, IndexError> {
        let bytes = self.read(|transaction| Ok(transaction.open_table(MANIFESTS)?.get(root.as_bytes())?.map(|row| *row.value())))?;
        bytes
            .map(|bytes| ManifestRow::decode(&bytes).ok_or_else(|| IndexError::Stale("a manifest's row is malformed".to_owned())))
            .transpose()
    }

    pub(super) fn set_manifest(&self, root: &Hash, row: Option<&ManifestRow>) -> Result<(), IndexError> {
        self.write(false, |transaction| {
            let mut manifests = transaction.open_table(MANIFESTS)?;
            match row {
                Some(row) => drop(manifests.insert(root.as_bytes(), &row.encode())?),
                None => drop(manifests.remove(root.as_bytes())?),
            }
            Ok(())
        })
    }

    pub(super) fn manifests(&self, is_wanted: impl Fn(&ManifestRow) -> bool) -> Result<Vec<(Hash, ManifestRow)>, IndexError> {
        self.read(|transaction| {
            let table = transaction.open_table(MANIFESTS)?;
            let mut rows = Vec::new();
            for row in table.iter()? {
                let (root, row) = row?;
                let row = ManifestRow::decode(row.value()).filter(&is_wanted);
                rows.extend(row.map(|row| (Hash::new(*root.value()), row)));
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
pub(super) fn guarded<T>(body: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    let caught = catch_unwind(AssertUnwindSafe(body));
    caught.unwrap_or_else(|_| Err(IndexError::Stale("its file is damaged".to_owned())))
}

fn extend_groups(table: &mut Table<'_, &TermKey, &Group>, rounds: &[Arc<Round>]) -> Result<(), redb::Error> {
    let mut groups: BTreeMap<&TermKey, Group> = BTreeMap::new();
    let or = |into: &mut Group, from: &Group| into.iter_mut().zip(from).for_each(|(into, from)| *into |= from);
    for (key, group) in rounds.iter().flat_map(|round| &round.groups) {
        or(groups.entry(key).or_default(), group);
    }
    for (key, mut group) in groups {
        if let Some(stored) = table.get(key)? {
            or(&mut group, stored.value());
        }
        table.insert(key, &group)?;
    }
    Ok(())
}

const VERSION: &[u8] = b"tallystick/index/v2";
const STATE: TableDefinition<&str, &[u8]> = TableDefinition::new("state");
const IDENTITIES: TableDefinition<&[u8; 32], u64> = TableDefinition::new("identities");
const TERMS: TableDefinition<&TermKey, ()> = TableDefinition::new("terms");
const GROUPS: TableDefinition<&TermKey, &Group> = TableDefinition::new("groups");
const MANIFESTS: TableDefinition<&[u8; 32], &[u8; ENCODED]> = TableDefinition::new("manifests");
/// Rows of a transaction.
const SLICE: usize = 2_048;
/// Bytes of pages that are kept in memory.
const CACHE: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::super::Row;
    use super::*;

    #[test]
    fn rows_of_a_writing_that_was_cut_off_count_for_nothing_and_are_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let tables = Tables::open(&dir.path().join("i")).unwrap();
        let row = |n: u64| Row { identity: Hash::digest(&n.to_be_bytes()), terms: [n.to_string(), "type:x".to_owned()], manifest: None };
        let count = 2 * SLICE as u64 + 1;
        let tree = Tree { size: count, root: Hash::EMPTY };
        let rounds = [Arc::new(Round::new(0, &(0..count).map(row).collect::<Vec<_>>(), tree))];
        let first = rounds[0].identities.iter().min().map(|(identity, index)| (*identity, *index)).unwrap();
        let cut_off = tables.write(true, |transaction| {
            transaction.open_table(IDENTITIES)?.insert(first.0.as_bytes(), first.1)?;
            Ok(())
        });
        cut_off.unwrap();
        assert_eq!(tables.find(&first.0), Ok(None));
        tables.extend(&rounds).unwrap();
        assert_eq!(tables.tree(), Ok(tree));
        for n in 0..count {
            assert_eq!(tables.find(&row(n).identity), Ok(Some(n)));
            assert_eq!(tables.with_term(&n.to_string(), &(0..count), 2), Ok(vec![n]));
        }
    }
}

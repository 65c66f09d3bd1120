//! The store in memory: the model that the others are compared with.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Store, Swap, check_key, differs};

/// Objects in memory, for tests and for logs that need not last.
#[derive(Debug, Default)]
pub struct Memory {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        // A panic elsewhere cannot leave the map half changed: every method changes it in one statement.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn get(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        check_key(key)?;
        Ok(self.objects().get(key).cloned())
    }

    fn put(&self, key: &str, value: &[u8]) -> io::Result<()> {
        check_key(key)?;
        let mut objects = self.objects();
        match objects.get(key) {
            Some(stored) if stored != value => Err(differs(key)),
            Some(_) => Ok(()),
            None => {
                objects.insert(key.to_owned(), value.to_vec());
                Ok(())
            }
        }
    }

    fn put_all(&self, objects: &[(String, Vec<u8>)]) -> io::Result<()> {
        objects.iter().try_for_each(|(key, value)| self.put(key, value))
    }

    fn swap(&self, key: &str, old: Option<&[u8]>, new: &[u8]) -> io::Result<Swap> {
        check_key(key)?;
        let mut objects = self.objects();
        if objects.get(key).map(Vec::as_slice) != old {
            return Ok(Swap::Conflict);
        }
        objects.insert(key.to_owned(), new.to_vec());
        Ok(Swap::Done)
    }

    fn rewrite(&self, key: &str) -> io::Result<()> {
        self.get(key)?.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn discard(&self, key: &str) -> io::Result<()> {
        check_key(key)?;
        self.objects().remove(key);
        Ok(())
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        let below = |key: &&String| prefix.is_empty() || key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
        Ok(self.objects().keys().filter(below).cloned().collect())
    }
}

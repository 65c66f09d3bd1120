//! Which manifests a log's entries claim. Nothing is judged here: what an entry says decides only what is fetched and kept beside it.

use std::collections::BTreeSet;

use attest::{Envelope, Predicate, Statement};
use tlog::Hash;

/// The roots of the manifests that these entries claim, each once. Entries of other logs are what they are.
pub fn manifests<'a>(entries: impl Iterator<Item = &'a Vec<u8>>) -> BTreeSet<Hash> {
    entries.filter_map(|entry| claimed(entry)).collect()
}

fn claimed(entry: &[u8]) -> Option<Hash> {
    let envelope = Envelope::parse(entry).ok()?;
    match Statement::parse(envelope.payload()).ok()?.predicate {
        Predicate::PackageFiles(files) => Some(files.manifest),
        _ => None,
    }
}

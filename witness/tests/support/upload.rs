//! A log with entries, and the bodies that bring them to a mirror.

use std::io::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::http::HeaderMap;
use store::Store;
use tally_witness::mirror::incoming::Incoming;
use tally_witness::mirror::{Mirror, Refused, Uploaded};
use tally_witness::{Role, Signers, Witness};
use tlog::mirror::{Package, Upload};
use tlog::{Hash, SubtreeProof, hash_leaf};

use super::{ORIGIN, TestClock, TestLog, logs};

/// A log whose entries are known, too.
pub struct Filled {
    pub log: TestLog,
    pub entries: Vec<Vec<u8>>,
}

impl Filled {
    /// Entries of many lengths, the empty one among them; a fork has others from some index on.
    pub fn new(count: usize, fork: usize) -> Self {
        let entry = |index: usize| {
            let mut entry = format!("{index}").into_bytes();
            entry.resize(index * 37 % 501, if index < fork { b'.' } else { b'!' });
            entry
        };
        let entries: Vec<_> = (0..count).map(entry).collect();
        let leaves: Vec<Hash> = entries.iter().map(|entry| hash_leaf(entry)).collect();
        Self { log: TestLog { leaves, ..TestLog::new(ORIGIN) }, entries }
    }

    pub fn upload(&self, start: u64, end: u64) -> Upload {
        Upload { origin: self.log.origin.clone(), start, end, ticket: Vec::new() }
    }

    /// The upload `start..end` with at most so many packages, and the byte length after each.
    pub fn body(&self, start: u64, end: u64, packages: usize) -> (Vec<u8>, Vec<usize>) {
        let upload = self.upload(start, end);
        let mut body = upload.encode().unwrap();
        let mut ends = vec![body.len()];
        let leaves = &self.log.leaves[..end as usize];
        for span in upload.spans().take(packages) {
            let entries = self.entries[span.start as usize..span.end as usize].iter().map(Vec::as_slice).collect();
            let proof = SubtreeProof::of(leaves, span.aligned as usize, span.end as usize).unwrap();
            Package { entries, proof }.push(&mut body).unwrap();
            ends.push(body.len());
        }
        (body, ends)
    }
}

pub fn mirror(signers: Signers, log: &TestLog, store: &Arc<dyn Store>, clock: &TestClock) -> std::io::Result<Arc<Mirror>> {
    let witness = Witness::with_role(Role::Mirror, signers, logs(&[log]), Arc::clone(store), clock.clock(), None)?;
    Mirror::new(witness, store)
}

/// Uploads a body as a client without HTTP would.
pub async fn add(mirror: &Mirror, body: Vec<u8>) -> Result<Uploaded, Refused> {
    mirror.add_entries(&mut Incoming::new(&HeaderMap::new(), Body::from(body)).unwrap()).await
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

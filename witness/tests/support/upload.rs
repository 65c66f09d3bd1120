//! A log with entries, and the bodies that bring them to a mirror.

use std::convert::Infallible;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use futures_util::stream;
use store::Store;
use tally_witness::mirror::incoming::Incoming;
use tally_witness::mirror::{Mirror, Patience, Refused, Uploaded};
use tally_witness::{Logs, Role, Signers, Witness};
use tlog::mirror::{MirrorInfo, Package, Upload};
use tlog::{Hash, SubtreeProof, hash_leaf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{ORIGIN, TestClock, TestLog, advance, list, signers};

/// A log whose entries are known, too.
pub struct Filled {
    pub log: TestLog,
    pub entries: Vec<Vec<u8>>,
}

impl Filled {
    /// Entries of many lengths, the empty one among them; a fork has others from some index on.
    pub fn new(count: usize, fork: usize) -> Self {
        Self::of(ORIGIN, count, fork)
    }

    pub fn of(origin: &str, count: usize, fork: usize) -> Self {
        let entry = |index: usize| {
            let mut entry = format!("{index}").into_bytes();
            entry.resize(index * 37 % 501, if index < fork { b'.' } else { b'!' });
            entry
        };
        Self::with(origin, (0..count).map(entry).collect())
    }

    pub fn with(origin: &str, entries: Vec<Vec<u8>>) -> Self {
        let leaves: Vec<Hash> = entries.iter().map(|entry| hash_leaf(entry)).collect();
        Self { log: TestLog { leaves, ..TestLog::new(origin) }, entries }
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
    patient(signers, &list(&[log]), store, clock, Patience::default())
}

/// A mirror of the logs on this list that waits this long.
pub fn patient(
    signers: Signers,
    list: &str,
    store: &Arc<dyn Store>,
    clock: &TestClock,
    patience: Patience,
) -> std::io::Result<Arc<Mirror>> {
    let logs = Logs::parse(list.as_bytes()).unwrap();
    let witness = Witness::with_role(Role::Mirror, signers, logs, Arc::clone(store), clock.clock(), None)?;
    Mirror::with_patience(witness, store, patience)
}

pub fn opened(log: &Filled, store: &Arc<dyn Store>) -> Arc<Mirror> {
    mirror(signers(), &log.log, store, &TestClock::new()).unwrap()
}

/// Lets a checkpoint in.
pub async fn pending(mirror: &Mirror, log: &Filled, old: usize, new: usize) {
    let answer = advance(mirror.witness(), &log.log.request(old, new)).await.unwrap();
    assert_eq!(answer, "", "a mirror signs when it has the entries, and not before");
}

pub fn info(size: u64, next: u64) -> MirrorInfo {
    MirrorInfo { size, next, ticket: Vec::new() }
}

pub fn lines(uploaded: Result<Uploaded, Refused>) -> String {
    match uploaded {
        Ok(Uploaded::Vouched(lines)) => lines,
        other => panic!("not vouched for: {other:?}"),
    }
}

/// Uploads a body as a client without HTTP would.
pub async fn add(mirror: &Mirror, body: Vec<u8>) -> Result<Uploaded, Refused> {
    add_body(mirror, Body::from(body)).await
}

async fn add_body(mirror: &Mirror, body: Body) -> Result<Uploaded, Refused> {
    mirror.add_entries(&mut Incoming::new(&HeaderMap::new(), body, mirror.patience()).unwrap()).await
}

/// An upload whose bytes come when the test sends them, and which ends when that is dropped.
pub struct Sending {
    pub bytes: Option<mpsc::Sender<Vec<u8>>>,
    pub answer: JoinHandle<Result<Uploaded, Refused>>,
}

impl Sending {
    pub fn start(mirror: &Arc<Mirror>) -> Self {
        Self::begin(mirror, None)
    }

    /// The first bytes are there before the mirror asks for any.
    pub fn begin(mirror: &Arc<Mirror>, first: Option<Vec<u8>>) -> Self {
        let (bytes, receiver) = mpsc::channel::<Vec<u8>>(1);
        first.into_iter().for_each(|first| bytes.try_send(first).unwrap());
        let chunks = stream::unfold(receiver, next_chunk);
        let mirror = Arc::clone(mirror);
        let answer = tokio::spawn(async move { add_body(&mirror, Body::from_stream(chunks)).await });
        Self { bytes: Some(bytes), answer }
    }

    /// Returns when the mirror has asked for these bytes.
    pub async fn send(&self, bytes: &[u8]) {
        let sender = self.bytes.as_ref().unwrap();
        // Whoever has been answered takes nothing more.
        let _ = sender.send(bytes.to_vec()).await;
        until("the mirror asks for more", || sender.capacity() == 1 || sender.is_closed()).await;
    }

    pub async fn answer(self) -> Result<Uploaded, Refused> {
        drop(self.bytes);
        answered(self.answer).await
    }
}

type Receiver = mpsc::Receiver<Vec<u8>>;

async fn next_chunk(mut receiver: Receiver) -> Option<(Result<Vec<u8>, Infallible>, Receiver)> {
    receiver.recv().await.map(|chunk| (Ok(chunk), receiver))
}

/// What is answered within a minute.
pub async fn answered(answer: JoinHandle<Result<Uploaded, Refused>>) -> Result<Uploaded, Refused> {
    tokio::time::timeout(Duration::from_secs(60), answer).await.expect("an answer within a minute").unwrap()
}

/// Waits for what must become true within a minute.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("not within a minute: {what}"));
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

//! What the tests share: a log in memory, a witness with known keys, a server on a free port.
#![allow(dead_code, reason = "no test uses all of it")]

pub mod certificate;
pub mod upload;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use store::Store;
use tally_witness::server::Server;
use tally_witness::{Clock, Failure, Hold, Logs, Signers, Witness, http};
use tlog::witness::{AddCheckpoint, SignSubtree};
use tlog::{
    Checkpoint, ConsistencyProof, Hash, KeyKind, KeyName, Note, SignatureLine, SignedCheckpoint, Signer, SigningKey, SubtreeProof, Tree,
    VerifierKey, cosignature, hash_leaf,
};

pub const ORIGIN: &str = "example.org/log";
pub const NAME: &str = "witness.example.org";
/// 2026-11-21.
pub const NOW: u64 = 1_795_219_200;

pub fn key(name: &str, kind: KeyKind, seed: u8) -> SigningKey {
    SigningKey::from_seed(KeyName::parse(name).unwrap(), kind, &[seed; 32]).unwrap()
}

/// A log whose leaf number i is the single byte i + 1; a fork has other leaves from some index on.
pub struct TestLog {
    pub origin: String,
    pub signers: Vec<SigningKey>,
    pub leaves: Vec<Hash>,
}

impl TestLog {
    pub fn new(origin: &str) -> Self {
        Self::forked(origin, usize::MAX)
    }

    pub fn forked(origin: &str, at: usize) -> Self {
        let leaf = |index: usize| if index < at { vec![index as u8 + 1] } else { vec![0xff, index as u8] };
        let seed = origin.bytes().fold(7, u8::wrapping_add);
        Self {
            origin: origin.to_owned(),
            signers: vec![key(origin, KeyKind::Ed25519, seed), key(origin, KeyKind::MlDsa44, seed.wrapping_add(1))],
            leaves: (0..200).map(|index| hash_leaf(&leaf(index))).collect(),
        }
    }

    pub fn keys(&self) -> Vec<VerifierKey> {
        self.signers.iter().map(|signer| signer.key().clone()).collect()
    }

    pub fn checkpoint(&self, size: usize) -> Checkpoint {
        Checkpoint { origin: self.origin.clone(), tree: Tree::of(&self.leaves[..size]), extensions: Vec::new() }
    }

    pub fn sign(&self, checkpoint: Checkpoint) -> SignedCheckpoint {
        let signable = self.signers.iter().filter(|signer| checkpoint.extensions.is_empty() || signer.key().kind() == KeyKind::Ed25519);
        let lines = signable.map(|signer| checkpoint.sign(signer, NOW).unwrap()).collect();
        SignedCheckpoint::new(checkpoint, lines)
    }

    pub fn signed(&self, size: usize) -> SignedCheckpoint {
        self.sign(self.checkpoint(size))
    }

    pub fn proof(&self, old: usize, new: usize) -> ConsistencyProof {
        ConsistencyProof::of(&self.leaves[..new], old).unwrap()
    }

    pub fn request(&self, old: usize, new: usize) -> String {
        add(old as u64, self.proof(old, new), self.signed(new).note)
    }

    pub fn subtree(&self, start: usize, end: usize, checkpoint: Note) -> SignSubtree {
        let size = SignedCheckpoint::from_note(checkpoint.clone()).unwrap().checkpoint.tree.size as usize;
        SignSubtree {
            start: start as u64,
            end: end as u64,
            hash: Tree::of(&self.leaves[start..end]).root,
            proof: SubtreeProof::of(&self.leaves[..size], start, end).unwrap(),
            checkpoint,
        }
    }

    /// The blocks of a list, one a key.
    pub fn block(&self, urls: &[String]) -> String {
        let mut text = String::new();
        for (number, key) in self.keys().iter().enumerate() {
            text.push_str(&format!("\nvkey {}\norigin {}\nqpd 86400\ncontact ops@example.org\n", key.encode(), self.origin));
            urls.iter().filter(|_| number == 0).for_each(|url| text.push_str(&format!("url {url}\n")));
        }
        text
    }

    pub fn id(&self) -> String {
        tally_witness::logs::id(&self.origin)
    }
}

pub fn add(old_size: u64, proof: ConsistencyProof, checkpoint: Note) -> String {
    AddCheckpoint { old_size, proof, checkpoint }.encode()
}

pub fn list(logs: &[&TestLog]) -> String {
    let blocks: String = logs.iter().map(|log| log.block(&[])).collect();
    format!("logs/v0\n{blocks}")
}

pub fn logs(logs: &[&TestLog]) -> Logs {
    Logs::parse(list(logs).as_bytes()).unwrap()
}

pub fn signers() -> Signers {
    Signers { cosignature: Box::new(key(NAME, KeyKind::CosignatureV1, 100)), subtree: Box::new(key(NAME, KeyKind::MlDsa44, 101)) }
}

pub fn own() -> [VerifierKey; 2] {
    let Signers { cosignature, subtree } = signers();
    [cosignature.key().clone(), subtree.key().clone()]
}

/// A clock that a test sets.
#[derive(Clone)]
pub struct TestClock(Arc<AtomicU64>);

impl TestClock {
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(NOW)))
    }
    pub fn set(&self, time: u64) {
        self.0.store(time, Ordering::SeqCst);
    }
    pub fn clock(&self) -> Clock {
        let time = Arc::clone(&self.0);
        Arc::new(move || time.load(Ordering::SeqCst))
    }
}

pub fn open(log: &[&TestLog], store: Arc<dyn Store>) -> io::Result<Arc<Witness>> {
    Witness::new(signers(), logs(log), store, TestClock::new().clock(), None)
}

pub fn opened(log: &[&TestLog], store: Arc<dyn Store>, clock: &TestClock, held: Option<&Hold>) -> Arc<Witness> {
    Witness::new(signers(), logs(log), store, clock.clock(), held).unwrap()
}

pub async fn advance(witness: &Arc<Witness>, body: &str) -> Result<String, Failure> {
    witness.add_checkpoint(body.as_bytes()).await
}

/// A checkpoint with the witness's answer appended: what a client holds in the end.
pub fn with_answer(signed: &SignedCheckpoint, answer: &str) -> SignedCheckpoint {
    SignedCheckpoint::parse(format!("{}{answer}", signed.encode()).as_bytes()).unwrap()
}

/// The lines of an answer, each verified under the key that it must be by; the time of each.
pub fn times(answer: &str, checkpoint: &Checkpoint) -> Vec<u64> {
    let lines: Vec<_> = answer.lines().map(|line| SignatureLine::parse(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "one line a key: {answer}");
    let verify = |(key, line): (&VerifierKey, &SignatureLine)| cosignature::verify(key, line, checkpoint).unwrap();
    own().iter().zip(&lines).map(verify).collect()
}

/// A witness behind a socket of its own.
pub struct Running {
    pub witness: Arc<Witness>,
    pub url: String,
    pub client: reqwest::Client,
    server: Server,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub content_type: String,
    pub retry_after: Option<String>,
    pub body: String,
}

impl Running {
    pub async fn start(witness: Arc<Witness>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::start(listener, http::router(Arc::clone(&witness))).unwrap();
        let client = reqwest::Client::builder().timeout(std::time::Duration::from_secs(20)).build().unwrap();
        Self { witness, url: format!("http://{}", server.address()), client, server }
    }

    pub async fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> Reply {
        reply(self.client.post(format!("{}{path}", self.url)).body(body.into())).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        reply(self.client.get(format!("{}{path}", self.url))).await
    }

    pub async fn stop(self) {
        self.server.stop().await;
    }
}

pub async fn reply(request: reqwest::RequestBuilder) -> Reply {
    let response = request.send().await.unwrap();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (status, content_type, retry_after) =
        (response.status().as_u16(), header("content-type").unwrap_or_default(), header("retry-after"));
    Reply { status, content_type, retry_after, body: response.text().await.unwrap() }
}

//! A log in a thread: real trees, real signatures, and misbehaviour on demand.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tlog::{Checkpoint, InclusionProof, KeyKind, KeyName, Note, Signer as _, SigningKey, Tree, VerifierKey, hash_leaf};

/// What the next request meets instead of a good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed without an answer, before anything took effect.
    Drop,
    /// The same after it took effect.
    DropAfter,
    /// A status with this text and `Retry-After`.
    Status(u16, Option<u64>),
    /// 202 without a body, after it took effect.
    Pending,
    /// 200 with something that is no proof.
    Garbage,
    /// A well-formed proof of another leaf.
    WrongLeaf,
    /// A proof signed by another key.
    WrongKey,
    /// The answer comes this late.
    Slow(u64),
}

#[derive(Default)]
pub struct State {
    pub entries: Vec<Vec<u8>>,
    pub manifests: BTreeMap<String, Vec<u8>>,
    /// Faults by path prefix, used up one request each.
    pub faults: BTreeMap<&'static str, VecDeque<Fault>>,
    pub requests: usize,
    /// Entries that came again after they had been taken.
    pub repeated: usize,
    /// A 422 for claims whose manifest is not there, as the real log does it.
    pub wants_manifests: bool,
}

pub struct Log {
    pub url: String,
    pub origin: String,
    pub key: VerifierKey,
    pub state: Arc<Mutex<State>>,
}

impl Log {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let origin = "example.org/log".to_owned();
        let signer = SigningKey::from_seed(KeyName::parse(&origin).unwrap(), KeyKind::Ed25519, &[7; 32]).unwrap();
        let state = Arc::new(Mutex::new(State { wants_manifests: true, ..State::default() }));
        let log = Self { url, origin, key: signer.key().clone(), state: state.clone() };
        let signer = Arc::new(signer);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (state, signer) = (state.clone(), signer.clone());
                std::thread::spawn(move || serve(connection, &state, &signer));
            }
        });
        log
    }

    pub fn fail(&self, path: &'static str, faults: &[Fault]) {
        self.state.lock().unwrap().faults.entry(path).or_default().extend(faults);
    }

    /// The lines of a configuration that name this log.
    pub fn config(&self) -> String {
        format!("log = \"{}\"\norigin = \"{}\"\nlog_keys = [\"{}\"]\n", self.url, self.origin, self.key.encode())
    }
}

fn serve(mut connection: TcpStream, state: &Mutex<State>, signer: &SigningKey) {
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // One request a connection keeps the server small.
    if let Some((method, path, body)) = read(&mut connection) {
        let answer = answer(&method, &path, body, state, signer);
        // The client may have gone; that is the point of some tests.
        let _ = connection.write_all(&answer);
    }
}

fn read(connection: &mut TcpStream) -> Option<(String, String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse().ok()));
    let mut body = vec![0; length.flatten().unwrap_or(0)];
    connection.read_exact(&mut body).ok()?;
    let mut words = head.split(' ');
    Some((words.next()?.to_owned(), words.next()?.to_owned(), body))
}

fn answer(method: &str, path: &str, body: Vec<u8>, state: &Mutex<State>, signer: &SigningKey) -> Vec<u8> {
    let fault = {
        let mut state = state.lock().unwrap();
        state.requests += 1;
        state.faults.iter_mut().find(|(prefix, _)| path.starts_with(**prefix)).and_then(|(_, faults)| faults.pop_front())
    };
    match fault {
        Some(Fault::Drop) => return Vec::new(),
        Some(Fault::Status(status, after)) => return response(status, after, b"the test says so\n"),
        Some(Fault::Slow(milliseconds)) => std::thread::sleep(Duration::from_millis(milliseconds)),
        _ => {}
    }
    let mut state = state.lock().unwrap();
    if let (true, Some(root)) = (method == "PUT", path.strip_prefix("/manifest/")) {
        state.manifests.insert(root.to_owned(), body);
        return if fault == Some(Fault::DropAfter) { Vec::new() } else { response(201, None, b"") };
    }
    let needs = manifest_of(&body).filter(|root| state.wants_manifests && !state.manifests.contains_key(root));
    if needs.is_some() {
        return response(422, None, b"the manifest is not here\n");
    }
    let index = state.entries.iter().position(|entry| *entry == body).unwrap_or(state.entries.len());
    if index == state.entries.len() {
        state.entries.push(body);
    } else {
        state.repeated += 1;
    }
    match fault {
        Some(Fault::DropAfter) => Vec::new(),
        Some(Fault::Pending) => response(202, None, b""),
        Some(Fault::Garbage) => response(200, None, b"c2sp.org/tlog-proof@v1\nindex x\n"),
        Some(Fault::WrongLeaf) => {
            state.entries.push(b"another".to_vec());
            let last = state.entries.len() - 1;
            response(200, None, &proof(&state.entries, last, signer))
        }
        Some(Fault::WrongKey) => {
            let other = SigningKey::from_seed(KeyName::parse("example.org/log").unwrap(), KeyKind::Ed25519, &[8; 32]).unwrap();
            response(200, None, &proof(&state.entries, index, &other))
        }
        _ => response(200, None, &proof(&state.entries, index, signer)),
    }
}

fn manifest_of(body: &[u8]) -> Option<String> {
    let envelope = attest::Envelope::parse(body).ok()?;
    match attest::Statement::parse(envelope.payload()).ok()?.predicate {
        attest::Predicate::PackageFiles(files) => Some(files.manifest.to_hex()),
        _ => None,
    }
}

fn proof(entries: &[Vec<u8>], index: usize, signer: &SigningKey) -> Vec<u8> {
    let leaves: Vec<_> = entries.iter().map(|entry| hash_leaf(entry)).collect();
    let checkpoint = Checkpoint { origin: "example.org/log".to_owned(), tree: Tree::of(&leaves), extensions: Vec::new() };
    let mut note = Note::unsigned(&checkpoint.encode()).unwrap();
    note.sign(signer).unwrap();
    let checkpoint = tlog::SignedCheckpoint::from_note(note).unwrap();
    let proof = InclusionProof::of(&leaves, index).unwrap();
    tlog::TlogProof { extra: None, index: index as u64, proof, checkpoint }.encode().into_bytes()
}

fn response(status: u16, after: Option<u64>, body: &[u8]) -> Vec<u8> {
    let after = after.map(|seconds| format!("Retry-After: {seconds}\r\n")).unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{after}\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

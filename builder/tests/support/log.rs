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
    /// Batches that were taken.
    pub batches: usize,
    /// Answers 404 to batches, as a log that knows single entries only.
    pub only_singles: bool,
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
    state.lock().unwrap().requests += 1;
    if path.starts_with(BATCH) {
        return batch(&body, state, signer);
    }
    let fault = next_fault(state, path);
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
    let Some(index) = state.take(body) else { return response(422, None, b"the manifest is not here\n") };
    match fault {
        Some(Fault::DropAfter) => Vec::new(),
        Some(Fault::Pending) => response(202, None, b""),
        Some(Fault::Garbage) => response(200, None, b"c2sp.org/tlog-proof@v1\nindex x\n"),
        _ => {
            let (index, key) = (state.misled(index, fault), stranger(fault));
            response(200, None, &proof(&state.entries, index, key.as_ref().unwrap_or(signer)))
        }
    }
}

fn next_fault(state: &Mutex<State>, path: &str) -> Option<Fault> {
    let mut state = state.lock().unwrap();
    state.faults.iter_mut().find(|(prefix, _)| path.starts_with(**prefix)).and_then(|(_, faults)| faults.pop_front())
}

/// Every line meets the next fault for `/entries`; those that concern a connection concern all lines.
fn batch(body: &[u8], state: &Mutex<State>, signer: &SigningKey) -> Vec<u8> {
    if state.lock().unwrap().only_singles {
        return response(404, None, b"nothing here\n");
    }
    let (mut lines, mut drops, mut key) = (Vec::new(), false, None);
    for entry in body.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n') {
        let fault = next_fault(state, "/entries");
        match fault {
            Some(Fault::Drop) => return Vec::new(),
            Some(Fault::Garbage) => return response(200, None, b"{}\n{\"index\":0}\n"),
            Some(Fault::Slow(milliseconds)) => std::thread::sleep(Duration::from_millis(milliseconds)),
            Some(Fault::Status(status @ (429 | 503), after)) => return response(status, after, b"the test says so\n"),
            Some(Fault::Status(status, _)) => {
                lines.push(Err(format!("{{\"status\":{status},\"error\":\"the test says so\"}}")));
                continue;
            }
            Some(Fault::DropAfter) => drops = true,
            _ => {}
        }
        let mut state = state.lock().unwrap();
        let taken = state.take(entry.to_vec()).ok_or("{\"status\":422,\"error\":\"the manifest is not here\"}".to_owned());
        key = key.or(stranger(fault));
        let taken = taken.map(|index| state.misled(index, fault));
        lines.push(if fault == Some(Fault::Pending) { Err("{\"status\":202}".to_owned()) } else { taken });
    }
    let mut state = state.lock().unwrap();
    state.batches += 1;
    if drops {
        return Vec::new();
    }
    let signer = key.as_ref().unwrap_or(signer);
    let note = |text: String| serde_json::to_string(&text).unwrap();
    let mut text = match state.entries.len() {
        0 => "{}".to_owned(),
        _ => {
            let checkpoint = tlog::TlogProof::parse(&proof(&state.entries, 0, signer)).unwrap().checkpoint;
            format!("{{\"checkpoint\":{}}}", note(checkpoint.encode()))
        }
    };
    for line in lines {
        text.push('\n');
        text.push_str(&line.map_or_else(|refused| refused, |index| proven(&state.entries, index)));
    }
    response(200, None, text.as_bytes())
}

/// A line of a batch's answer.
fn proven(entries: &[Vec<u8>], index: usize) -> String {
    let leaves: Vec<_> = entries.iter().map(|entry| hash_leaf(entry)).collect();
    let hashes: Vec<String> = InclusionProof::of(&leaves, index).unwrap().0.iter().map(tlog::Hash::to_base64).collect();
    format!("{{\"index\":{index},\"proof\":{}}}", serde_json::to_string(&hashes).unwrap())
}

fn stranger(fault: Option<Fault>) -> Option<SigningKey> {
    let name = KeyName::parse("example.org/log").unwrap();
    (fault == Some(Fault::WrongKey)).then(|| SigningKey::from_seed(name, KeyKind::Ed25519, &[8; 32]).unwrap())
}

impl State {
    /// The index of an entry, new or known; `None` if its manifest is not here.
    fn take(&mut self, entry: Vec<u8>) -> Option<usize> {
        if manifest_of(&entry).is_some_and(|root| self.wants_manifests && !self.manifests.contains_key(&root)) {
            return None;
        }
        let index = self.entries.iter().position(|known| *known == entry).unwrap_or(self.entries.len());
        if index == self.entries.len() {
            self.entries.push(entry);
        } else {
            self.repeated += 1;
        }
        Some(index)
    }

    /// Another leaf's index, if that is the fault.
    fn misled(&mut self, index: usize, fault: Option<Fault>) -> usize {
        if fault != Some(Fault::WrongLeaf) {
            return index;
        }
        self.entries.push(b"another".to_vec());
        self.entries.len() - 1
    }
}

const BATCH: &str = "/entries/batch";

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

//! A log over HTTP that shows whatever a test gives it: honest, old or forked.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use attest::{Envelope, Manifest, Statement};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tlog::{Edge, Hash, InclusionProof, SignedCheckpoint, hash_leaf};

/// What the log shows.
#[derive(Default)]
struct Shown {
    files: BTreeMap<String, Vec<u8>>,
    leaves: Vec<Vec<u8>>,
    hidden: Vec<usize>,
    checkpoint: String,
}

pub struct Server {
    shown: Arc<Mutex<Shown>>,
    /// Requests answered so far.
    pub requests: Arc<AtomicUsize>,
    /// Paths asked for so far; of lookups, their queries and how many leaves were the answer.
    pub asked: Arc<Mutex<Vec<String>>>,
    pub url: String,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shown = Arc::new(Mutex::new(Shown::default()));
        let requests = Arc::new(AtomicUsize::new(0));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (state, count, paths) = (Arc::clone(&shown), Arc::clone(&requests), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, count, paths) = (Arc::clone(&state), Arc::clone(&count), Arc::clone(&paths));
                std::thread::spawn(move || {
                    count.fetch_add(1, Ordering::SeqCst);
                    answer(stream, &state, &paths);
                });
            }
        });
        Self { shown, requests, asked, url }
    }

    /// Shows these entries under this checkpoint.
    pub fn show(&self, leaves: &[Vec<u8>], checkpoint: &SignedCheckpoint, manifests: &[Manifest]) {
        let mut files = BTreeMap::new();
        let slices: Vec<&[u8]> = leaves.iter().map(Vec::as_slice).collect();
        let batch = Edge::empty().append(&slices).unwrap();
        files.extend(batch.tiles.iter().map(|(tile, bytes)| (tile.path(), bytes.clone())));
        files.extend(batch.bundles.iter().map(|(id, bytes)| (id.path(), bytes.clone())));
        files.extend(manifests.iter().map(|manifest| (format!("manifest/{}", manifest.root()), manifest.encode())));
        files.insert("checkpoint".into(), checkpoint.encode().into_bytes());
        *self.shown.lock().unwrap() = Shown { files, leaves: leaves.to_vec(), hidden: Vec::new(), checkpoint: checkpoint.encode() };
    }

    /// Hides all files below a path.
    pub fn hide(&self, path: &str) {
        self.shown.lock().unwrap().files.retain(|name, _| !name.starts_with(path));
    }

    /// Leaves these entries out of every answer to a lookup.
    pub fn withhold(&self, is_hidden: impl Fn(&Statement) -> bool) {
        let mut shown = self.shown.lock().unwrap();
        let statement = |leaf: &[u8]| Statement::parse(Envelope::parse(leaf).unwrap().payload()).unwrap();
        let hidden = shown.leaves.iter().enumerate().filter(|(_, leaf)| is_hidden(&statement(leaf))).map(|(index, _)| index).collect();
        shown.hidden = hidden;
    }

    /// What was asked since the last call.
    pub fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// Replaces one file.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        self.shown.lock().unwrap().files.insert(path.into(), bytes.to_vec());
    }
}

fn answer(stream: TcpStream, shown: &Mutex<Shown>, asked: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    let mut length = 0;
    reader.read_line(&mut first).unwrap_or(0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) <= 2 {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let path = first.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
    let shown = shown.lock().unwrap();
    let queries = String::from_utf8(body).unwrap();
    let found = if path == "lookup" { Some(lookup(&shown, &queries)) } else { shown.files.get(&path).cloned() };
    let leaves = found.iter().flatten().filter(|byte| **byte == b'\n').count().saturating_sub(1);
    asked.lock().unwrap().push(if path == "lookup" { format!("lookup {leaves} {}", queries.replace('\n', " ")) } else { path });
    let (status, body) = found.map_or(("404 Not Found", b"not here\n".to_vec()), |body| ("200 OK", body));
    let mut stream = stream;
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

fn lookup(shown: &Shown, queries: &str) -> Vec<u8> {
    let queries: Vec<&str> = queries.lines().collect();
    let from = queries.iter().find_map(|query| query.strip_prefix("from:")).map_or(0, |from| from.parse().unwrap());
    let hashes: Vec<Hash> = shown.leaves.iter().map(|leaf| hash_leaf(leaf)).collect();
    let mut answer = format!("{}\n", serde_json::json!({ "checkpoint": shown.checkpoint }));
    for (index, leaf) in shown.leaves.iter().enumerate().skip(from).filter(|(index, _)| !shown.hidden.contains(index)) {
        let statement = Statement::parse(Envelope::parse(leaf).unwrap().payload()).unwrap();
        let kind = format!("type:{}", statement.kind().short_name());
        if queries.contains(&statement.subject.name.as_str()) || queries.contains(&kind.as_str()) {
            let proof: Vec<String> = InclusionProof::of(&hashes, index).unwrap().0.iter().map(Hash::to_base64).collect();
            let line = serde_json::json!({ "index": index, "leaf": STANDARD.encode(leaf), "proof": proof });
            answer.push_str(&format!("{line}\n"));
        }
    }
    answer.into_bytes()
}

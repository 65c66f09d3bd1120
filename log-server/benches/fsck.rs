//! How fast `fsck` is, beside what the same threads do with the same bytes in memory and what reading them alone takes.
//!
//! `cargo bench -p tally-log --bench fsck` makes a log of `FSCK_LEAVES` (a million) entries of 1 KB in a temporary directory
//! (`TMPDIR`), reads it once so that it is cached, and prints JSON.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::thread;
use std::time::Instant;

use serde_json::json;
use store::{Directory, Store as _};
use tally_log::fsck::{Alone, Check, DirectorySource};
use tally_log::layout;
use tlog::growth::tile_root;
use tlog::plan::EdgePlan;
use tlog::{Checkpoint, Edge, Hash, KeyKind, KeyName, Signer as _, SigningKey, Tile, hash_leaf};

/// Bytes of an entry.
const LENGTH: usize = 1024;
const ORIGIN: &str = "example.com/bench";

fn main() {
    let leaves: u64 = std::env::var("FSCK_LEAVES").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let key = SigningKey::from_seed(KeyName::parse(ORIGIN).expect("a name"), KeyKind::Ed25519, &[7; 32]).expect("a key");
    make(dir.path(), leaves, &key);
    let threads = thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let read_seconds = read_all(dir.path(), threads);
    let source = DirectorySource::open(dir.path()).expect("the log");
    let keys = [key.key().clone()];
    let run = || Check { source: &source, keys: &keys, policy: None, state: None, observer: &Alone }.run().expect("a report");
    let mut reports: Vec<_> = (0..3).map(|_| run()).collect();
    assert!(reports.iter().all(|report| report.is_clean() && report.tree.size == leaves), "{:?}", reports[0].findings);
    reports.sort_by_key(|report| report.time);
    let report = &reports[1];
    let limit = limit(threads);
    let rate = report.entries_per_second();
    println!(
        "{}",
        json!({
            "fsck_leaves_per_second": rate.round(),
            "leaves": leaves,
            "entry_bytes": LENGTH,
            "bytes_read": report.bytes,
            "seconds_median_of_3": report.time.as_secs_f64(),
            "threads": threads,
            "sha256_limit_leaves_per_second": limit.round(),
            "ratio_to_sha256": rate / limit,
            "read_alone_seconds": read_seconds,
            "max_rss_mb": report.json()["max_rss_mb"],
        })
    );
}

/// A log as a server leaves it, made without one.
fn make(dir: &Path, leaves: u64, key: &SigningKey) {
    let (mut edge, mut size) = (Edge::empty(), 0);
    while size < leaves {
        let count = (leaves - size).min(65_536);
        let entries: Vec<Vec<u8>> = (size..size + count).map(entry).collect();
        let batch = edge.append(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>()).expect("entries that fit");
        let tiles = batch.tiles.iter().filter(|(tile, _)| !tile.is_partial());
        let bundles = batch.bundles.iter().filter(|(id, _)| id.width() == Tile::FULL);
        let objects = tiles.map(|(tile, bytes)| (layout::tile(tile), bytes)).chain(bundles.map(|(id, bytes)| (layout::bundle(id), bytes)));
        for (object, bytes) in objects {
            write(&dir.join(object), bytes);
        }
        edge = batch.edge;
        size += count;
    }
    edge.tiles().iter().for_each(|(tile, bytes)| write(&dir.join(layout::tile(tile)), bytes));
    if let Some(id) = EdgePlan::new(&edge.tree()).bundle() {
        write(&dir.join(layout::bundle(&id)), edge.bundle());
    }
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), tree: edge.tree(), extensions: Vec::new() };
    let line = checkpoint.sign(key, 0).expect("a signature");
    let note = tlog::Note { text: checkpoint.encode(), lines: vec![line] }.encode();
    Directory::open(dir).expect("a store").put(layout::PUBLISHED, note.as_bytes()).expect("a checkpoint");
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, bytes).expect("an object");
}

fn entry(number: u64) -> Vec<u8> {
    let mut state = number;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state
    };
    (0..LENGTH / 8).flat_map(|_| word().to_be_bytes()).collect()
}

/// Seconds to read every file, on as many threads, with a buffer each: what no check can be faster than.
fn read_all(dir: &Path, threads: usize) -> f64 {
    let mut files = Vec::new();
    let mut folders = vec![dir.join(layout::TILES)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() { folders.push(entry) } else { files.push(entry) }
        }
    }
    let mut seconds = 0.0;
    // The second time counts: all is cached then.
    for _ in 0..2 {
        let begun = Instant::now();
        thread::scope(|scope| {
            for part in files.chunks(files.len().div_ceil(threads)) {
                scope.spawn(move || {
                    let mut buffer = vec![0; 1 << 18];
                    for file in part {
                        let mut file = fs::File::open(file).expect("a file");
                        while file.read(&mut buffer).expect("bytes") > 0 {}
                    }
                });
            }
        });
        seconds = begun.elapsed().as_secs_f64();
    }
    seconds
}

/// Leaves in a second when the same hashing is done on bytes in memory: each leaf, and the tree over each 256 of them.
fn limit(threads: usize) -> f64 {
    const TILES: u32 = 1_000;
    let entries: Vec<Vec<u8>> = (0..256).map(entry).collect();
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..TILES {
                    let leaves: Vec<Hash> = entries.iter().map(|entry| hash_leaf(std::hint::black_box(entry))).collect();
                    std::hint::black_box(tile_root(&leaves));
                }
            });
        }
    });
    (TILES as usize * threads * 256) as f64 / begun.elapsed().as_secs_f64()
}

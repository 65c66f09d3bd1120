//! Feeding: logs that never call a witness are fetched over HTTP, as the program does it.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tally_witness::logs::id;
use tlog::{Checkpoint, Growth, Hash, KeyKind, SignedCheckpoint, Signer as _, SigningKey, Tile, growth, hash_leaf};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tally-witness");
const SUMS: &str = "go.sum database tree";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A log as files below a directory, under the paths of tlog-tiles or of a checksum database.
struct Site {
    signer: SigningKey,
    origin: String,
    leaves: Vec<Hash>,
    is_sumdb: bool,
}

impl Site {
    fn new(name: &str, origin: &str) -> Self {
        let leaves = (0..700u32).map(|n| hash_leaf(&n.to_be_bytes())).collect();
        Self {
            signer: support::key(name, KeyKind::Ed25519, 9 + u8::from(origin == SUMS)),
            origin: origin.to_owned(),
            leaves,
            is_sumdb: origin == SUMS,
        }
    }

    /// Publishes this many leaves.
    fn publish(&self, dir: &Path, size: usize) {
        let mut growth = Growth::new();
        let mut tiles = Vec::new();
        for leaf in &self.leaves[..size] {
            growth.push(*leaf, &mut |tile, hashes: &[Hash]| tiles.push((tile, growth::tile_bytes(hashes)))).unwrap();
        }
        tiles.extend(growth.partials().map(|(tile, hashes)| (tile, growth::tile_bytes(hashes))));
        for (tile, bytes) in tiles {
            let path = if self.is_sumdb { tile.path().replacen("tile/", "tile/8/", 1) } else { tile.path() };
            fs::create_dir_all(dir.join(&path).parent().unwrap()).unwrap();
            fs::write(dir.join(path), bytes).unwrap();
        }
        let checkpoint = Checkpoint { origin: self.origin.clone(), tree: growth.tree(), extensions: Vec::new() };
        let line = checkpoint.sign(&self.signer, 0).unwrap();
        let name = if self.is_sumdb { "latest" } else { "checkpoint" };
        fs::write(dir.join(name), SignedCheckpoint::new(checkpoint, vec![line]).encode()).unwrap();
    }
}

/// A witness, two logs and a static file server.
struct Setup {
    dir: tempfile::TempDir,
    server: std::process::Child,
}

impl Setup {
    fn new(sites: &[(&str, &Site)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut python = Command::new("python3");
        python.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string(), "--directory", text(dir.path())]);
        let server = python.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let started = std::time::Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed().as_secs() < 60, "the file server does not listen");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let block = |(path, site): &(&str, &Site)| {
            let key = site.signer.key();
            let origin = if key.name().as_str() == site.origin { String::new() } else { format!("origin {}\n", site.origin) };
            format!("\nvkey {}\n{origin}qpd 86400\ncontact x\nurl http://127.0.0.1:{port}/{path}\n", key.encode())
        };
        fs::write(dir.path().join("logs"), format!("logs/v0\n{}", sites.iter().map(block).collect::<String>())).unwrap();
        let setup = Self { dir, server };
        sites.iter().for_each(|(path, _)| fs::create_dir_all(setup.path(path)).unwrap());
        let made = Command::new(PROGRAM).args(["init", "--dir", text(&setup.path("w")), "--name", "w.example"]).output().unwrap();
        assert!(made.status.success());
        setup
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn feed(&self) -> Output {
        let (dir, logs) = (self.path("w"), self.path("logs"));
        let arguments = ["feed", "--dir", text(&dir), "--logs", text(&logs), "--once"];
        Command::new(PROGRAM).args(arguments).output().unwrap()
    }

    /// What the witness has stored for a log.
    fn known(&self, origin: &str) -> Option<tally_witness::Known> {
        let bytes = fs::read(self.path("w/state").join(id(origin)).join("known")).ok()?;
        Some(tally_witness::Known::parse(&bytes).unwrap())
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn logs_that_call_nobody_are_followed_as_they_grow() {
    let (tiles, sums) = (Site::new("log.example", "log.example"), Site::new("sum.example", SUMS));
    let setup = Setup::new(&[("tiles", &tiles), ("sums", &sums)]);
    for size in [3, 256, 257, 700] {
        tiles.publish(&setup.path("tiles"), size);
        sums.publish(&setup.path("sums"), size);
        let fed = setup.feed();
        assert!(fed.status.success(), "{}", said(&fed));
        for origin in ["log.example", SUMS] {
            assert_eq!(setup.known(origin).unwrap().tree().size, size as u64, "{origin}");
        }
    }
}

#[test]
fn another_history_is_not_cosigned_and_leaves_evidence() {
    let mut site = Site::new("log.example", "log.example");
    let setup = Setup::new(&[("tiles", &site)]);
    site.publish(&setup.path("tiles"), 300);
    assert!(setup.feed().status.success());
    // The same log with another leaf in its past, grown: its own tiles prove that the old root is another one.
    site.leaves[7] = hash_leaf(b"another");
    site.publish(&setup.path("tiles"), 500);
    let refused = setup.feed();
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("two histories") && said(&refused).contains("not cosigned: log.example"), "{}", said(&refused));
    assert_eq!(setup.known("log.example").unwrap().tree().size, 300);
    assert_eq!(fs::read_dir(setup.path("w/evidence").join(id("log.example"))).unwrap().count(), 1);
}

#[test]
fn stale_copies_wrong_tiles_and_silence_are_told() {
    let site = Site::new("log.example", "log.example");
    let setup = Setup::new(&[("tiles", &site)]);
    let dir = setup.path("tiles");
    site.publish(&dir, 300);
    assert!(setup.feed().status.success());
    site.publish(&dir, 200);
    assert!(said(&setup.feed()).contains("a stale copy"));
    site.publish(&dir, 400);
    // The level-0 tile of the old edge is damaged: it is found before anything is believed.
    let tile = dir.join(Tile::new(0, 1, 144).unwrap().path());
    let mut bytes = fs::read(&tile).unwrap();
    bytes[0] ^= 1;
    fs::write(&tile, bytes).unwrap();
    let damaged = setup.feed();
    assert!(said(&damaged).contains("the tiles do not lead to the checkpoint"), "{}", said(&damaged));
    assert_eq!(setup.known("log.example").unwrap().tree().size, 300);
    fs::write(dir.join("checkpoint"), "no checkpoint\n").unwrap();
    assert!(!setup.feed().status.success());
}

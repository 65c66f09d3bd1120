//! Everybody who takes part: our log and our witness, litewitness, Sunlight, and a file server.

use std::fs;

use client::keys;
use e2e::Program;
use tlog::{KeyKind, KeyName, VerifierKey};

use crate::files::Files;
use crate::litewitness::{Agent, Litewitness};
use crate::ours;
use crate::root::Root;
use crate::sigsum;
use crate::sunlight::{self, Sunlight};

/// The name of the log that Tessera makes.
pub const TESSERA: &str = "example.com/tessera";
/// How many leaves our log has when the peers read it: more than a tile.
pub const LEAVES: u64 = 301;
/// How many fill it at a time.
const WRITERS: u64 = 10;

/// All of them, running.
pub struct World<'a> {
    /// Where the peers' programs are.
    pub root: &'a Root,
    /// Serves this run's directory.
    pub files: Files,
    /// Where litewitness has its key.
    pub agent: Agent,
    /// torchwood's witness.
    pub litewitness: Litewitness,
    /// Sunlight's witness and log.
    pub sunlight: Sunlight,
    /// Our log.
    pub log: Program,
    /// Its keys, Ed25519 first.
    pub log_keys: Vec<VerifierKey>,
    /// Our witness.
    pub witness: Program,
    /// Its keys, type 04 first.
    pub witness_keys: Vec<VerifierKey>,
    /// The key of a sigsum log, raw.
    pub sigsum: Vec<u8>,
    /// The text of our log's policy: all three witnesses have to cosign.
    pub policy: String,
}

impl<'a> World<'a> {
    /// Starts all of them, and fills our log.
    pub fn start(root: &'a Root) -> anyhow::Result<Self> {
        let files = Files::start(root)?;
        let agent = Agent::start(root)?;
        let log_keys = ours::init("tally-log", &root.at("log"), &["--origin", ours::ORIGIN, "--open"])?;
        let witness_keys = ours::init("tally-witness", &root.at("witness"), &["--name", ours::WITNESS])?;
        let litewitness = Litewitness::start(root, &agent, &log_keys[0])?;
        // The public list's format, with the one key that Sunlight takes.
        fs::write(root.at("list"), format!("logs/v0\n\nvkey {}\nqpd 86400\ncontact interop\n", log_keys[0].encode()))?;
        let sunlight = Sunlight::start(root, &format!("{}/list", files.url()), &files.url())?;
        let name = KeyName::parse(TESSERA).expect("a name");
        let tessera = keys::create(&root.at("tessera.key"), &name, KeyKind::Ed25519)?;
        let sigsum = sigsum::key(root, "sigsum-log")?;
        let sigsum_key = sigsum::log_key(&sigsum)?;
        let sigsum_origin = sigsum_key.name().as_str().to_owned();
        let watched = [
            (ours::ORIGIN, log_keys[0].clone()),
            (ours::ORIGIN, log_keys[1].clone()),
            (sunlight::ORIGIN, sunlight.log.clone()),
            (TESSERA, tessera),
            (&sigsum_origin, sigsum_key),
        ];
        let witness = ours::witness(&root.at("witness"), &watched)?;
        let (lite_url, sun_url, our_url) = (ours::url(litewitness.address), sunlight.witness_url(), witness.url());
        let lite = ("lite", std::slice::from_ref(&litewitness.key), lite_url.as_str());
        let own = ("ours", &*witness_keys, our_url.as_str());
        // Sunlight 0.8.1 cannot go on from an empty tree that it has cosigned: its witness joins when the log has entries.
        let log = ours::log(&root.at("log"), &ours::policy(&log_keys, &[lite, own]))?;
        fill(&log.url())?;
        anyhow::ensure!(log.terminate()?.success(), "our log does not end well");
        let policy = ours::policy(&log_keys, &[lite, ("sun", std::slice::from_ref(&sunlight.witness), &sun_url), own]);
        let log = ours::log(&root.at("log"), &policy)?;
        ours::add(&log.url(), b"the last leaf".to_vec())?;
        Ok(Self { root, files, agent, litewitness, sunlight, log, log_keys, witness, witness_keys, sigsum, policy })
    }
}

/// Adds the leaves, a few writers at a time.
fn fill(url: &str) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || (0..LEAVES / WRITERS).try_for_each(|n| ours::add(url, leaf(writer, n)).map(drop))))
            .collect();
        writers.into_iter().try_for_each(|writer| writer.join().expect("a writer does not panic"))
    })
}

/// A writer's leaf.
pub fn leaf(writer: u64, n: u64) -> Vec<u8> {
    format!("leaf {n} of writer {writer}").into_bytes()
}

//! Witnesses against a log with two histories, and against their own operators' backups.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use attest::manifest::{Attributes, Class, ManifestBuilder, Node};
use attest::{Manifest, Purl};
use client::http::FetchError;
use client::witness::{AddAnswer, WitnessClient};
use client::{Http, block_on, keys};
use e2e::World;
use e2e::program::{Program, run, wait_until};
use e2e::world::ORIGIN;
use tlog::evidence::Evidence;
use tlog::witness::AddCheckpoint;
use tlog::{Checkpoint, ConsistencyProof, Hash, SignedCheckpoint, Tree};

/// The next claim about a package, by the first builder.
fn claim(world: &World, version: &str) -> u64 {
    let package = Hash::digest(version.as_bytes());
    let mut builder = ManifestBuilder::new(package);
    let attributes = Attributes { mode: 0o755, uname: "root".into(), gname: "root".into() };
    let node = Node::File { size: 4, sha256: Hash::digest(b"good") };
    builder.push(b"./usr/bin/x", node, attributes, Class::Fixed, None).expect("an entry");
    let manifest: Manifest = builder.finish().expect("a manifest");
    let purl = Purl::deb("debian", "x", version, "amd64").expect("a package URL");
    world.claim(0, &purl, package, &manifest).expect("admitted").index
}

fn get(url: &str, path: &str) -> Result<String, FetchError> {
    let http = Http::new(url, Duration::from_secs(20)).expect("a URL");
    let answer = block_on(http.get(path, 1 << 20)).expect("a runtime")?;
    Ok(String::from_utf8(answer.body).expect("text"))
}

fn id() -> String {
    Hash::digest(ORIGIN.as_bytes()).to_hex()
}

fn url(world: &World, n: usize) -> String {
    world.witnesses[n - 1].as_ref().expect("it runs").url()
}

fn stop(world: &mut World, n: usize) -> String {
    let witness = world.witnesses[n - 1].take().expect("it runs");
    let address = witness.address().to_string();
    assert!(witness.terminate().expect("it ends").success());
    address
}

/// Another tree of the size that the log has published, signed with the log's own keys: what only a log that lies can make.
fn forked(world: &World) -> SignedCheckpoint {
    let published = SignedCheckpoint::parse(get(&world.log.as_ref().expect("it runs").url(), "checkpoint").expect("published").as_bytes());
    let size = published.expect("a checkpoint").checkpoint.tree.size;
    let tree = Tree { size, root: Hash::digest(b"another history") };
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), tree, extensions: Vec::new() };
    let files = fs::read_dir(world.at("log").join("keys")).expect("the log's keys");
    let signers = files.map(|file| keys::load(&file.expect("a file").path()).expect("a key"));
    let lines = signers.map(|signer| checkpoint.sign(&*signer, 1_800_000_000).expect("it signs")).collect();
    SignedCheckpoint::new(checkpoint, lines)
}

#[test]
fn a_log_with_two_histories_convicts_itself() {
    let world = World::start();
    claim(&world, "1");
    let lie = forked(&world);
    let size = lie.checkpoint.tree.size;
    for n in 1..=3 {
        let witness = WitnessClient::new(&url(&world, n), Duration::from_secs(20)).expect("a URL");
        let seen = block_on(witness.newest(ORIGIN)).expect("a runtime").expect("an answer");
        // A witness that was not needed for the quorum may be behind; it is no judge of this size.
        if seen.is_none_or(|seen| seen.checkpoint.tree.size != size) {
            continue;
        }
        let request = AddCheckpoint { old_size: size, proof: ConsistencyProof(Vec::new()), checkpoint: lie.note.clone() };
        let refused = block_on(witness.add_checkpoint(&request)).expect("a runtime");
        assert!(matches!(&refused, Err(FetchError::Status { status: 422, .. })), "{refused:?}");
        let names = get(&url(&world, n), &format!("{}/evidence", id())).expect("listed");
        let file = get(&url(&world, n), &format!("{}/evidence/{}", id(), names.trim())).expect("kept");
        let evidence = Evidence::parse(file.as_bytes()).expect("evidence");
        for key in &world.log_keys {
            evidence.verify(std::slice::from_ref(key)).expect("either key of the log is enough");
        }
        assert_eq!(evidence.larger.checkpoint, lie.checkpoint);
    }
    // The history that the witnesses saw first goes on.
    assert_eq!(claim(&world, "2"), 2);
}

/// A copy of a directory's files over those of another, as a restore in place does it.
fn restore(from: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-rT", "--no-preserve=all"]).args([from, to]).status().expect("cp");
    assert!(copied.success());
}

#[test]
fn a_restored_witness_finds_its_own_signature_and_waits_for_its_operator() {
    let mut world = World::start();
    claim(&world, "1");
    // The log publishes with two witnesses. Without the third one, the first one is among them.
    let third = stop(&mut world, 3);
    claim(&world, "2");
    let first = stop(&mut world, 1);
    let (state, backup) = (world.at("witness-1/state"), world.at("backup"));
    restore(&state, &backup);
    world.restart_witness(1, &first);
    claim(&world, "3");
    stop(&mut world, 1);
    restore(&backup, &state);
    // The list names the log's address, so that a start can ask what this witness has signed.
    let list = fs::read_to_string(world.at("logs")).expect("a list");
    let contact = list.lines().find(|line| line.starts_with("contact ")).expect("a contact");
    let log_url = world.log.as_ref().expect("it runs").url();
    fs::write(world.at("logs"), list.replacen(contact, &format!("{contact}\nurl {log_url}"), 1)).expect("written");
    world.restart_witness(1, &first);
    wait_until(|| {
        matches!(health(&url(&world, 1)), Err(reason) if reason.contains("refusing")) && said(&world).contains("older than an own")
    });

    // The other two are a quorum; this one has nothing to say.
    world.restart_witness(3, &third);
    claim(&world, "4");
    assert!(health(&url(&world, 1)).is_err());
    assert!(health(&url(&world, 2)).is_ok());

    // The operator looks, accepts the newest own cosignature, and it is a witness again.
    stop(&mut world, 1);
    let (dir, logs) = (world.at("witness-1"), world.at("logs"));
    let arguments = ["accept-state", "--dir", dir.to_str().expect("text"), "--logs", logs.to_str().expect("text"), "--log", ORIGIN];
    let accepted = run("tally-witness", arguments);
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
    world.restart_witness(1, &first);
    wait_until(|| health(&url(&world, 1)).is_ok());
    stop(&mut world, 3);
    claim(&world, "5");
}

fn health(url: &str) -> Result<String, String> {
    get(url, "healthz").map_err(|error| error.to_string())
}

fn said(world: &World) -> String {
    world.witnesses[0].as_ref().map(Program::said).unwrap_or_default()
}

/// Waits for something that another process is about to do; bounded by a minute.
#[test]
fn a_witness_killed_again_and_again_stops_nobody() {
    let mut world = World::start();
    for round in 0..6 {
        let n = round % 3;
        let killed = world.witnesses[n].take().expect("it runs");
        let address = killed.address().to_string();
        killed.kill();
        claim(&world, &format!("1.{round}"));
        world.restart_witness(n + 1, &address);
    }
    let asked = WitnessClient::new(&url(&world, 3), Duration::from_secs(20)).expect("a URL");
    let newest = SignedCheckpoint::parse(get(&world.log.as_ref().expect("it runs").url(), "checkpoint").expect("published").as_bytes());
    let newest = newest.expect("a checkpoint");
    // Whatever it missed, it can be told now.
    let old_size = block_on(asked.newest(ORIGIN)).expect("a runtime").expect("an answer").map_or(0, |seen| seen.checkpoint.tree.size);
    assert!(old_size <= newest.checkpoint.tree.size);
    let request = AddCheckpoint { old_size: newest.checkpoint.tree.size, proof: ConsistencyProof(Vec::new()), checkpoint: newest.note };
    match block_on(asked.add_checkpoint(&request)).expect("a runtime").expect("an answer") {
        AddAnswer::Cosigned(lines) => assert_eq!(lines.len(), 2),
        AddAnswer::OtherSize(size) => assert_eq!(size, old_size),
    }
}

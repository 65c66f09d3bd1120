//! From a claim to its proof, over real servers: log, three witnesses and two builders' keys.

use std::time::Duration;

use attest::manifest::{Attributes, Class, ManifestBuilder, Node};
use attest::{Manifest, Purl};
use client::{FetchError, block_on};
use e2e::World;
use tlog::Hash;

/// A package with one file, whose content has this digest.
fn manifest(package: Hash, content: &[u8]) -> Manifest {
    let attributes = Attributes { mode: 0o755, uname: "root".into(), gname: "root".into() };
    let node = Node::File { size: content.len() as u64, sha256: Hash::digest(content) };
    let mut builder = ManifestBuilder::new(package);
    builder.push(b"./usr/bin/x", node, attributes, Class::Fixed, None).expect("an entry");
    builder.finish().expect("a manifest")
}

fn purl(version: &str) -> Purl {
    Purl::deb("debian", "x", version, "amd64").expect("a package URL")
}

#[test]
fn two_builders_claim_and_everyone_can_prove_it() {
    let world = World::start();
    let package = Hash::digest(b"x_1_amd64.deb");
    let manifest = manifest(package, b"good");
    let first = world.claim(0, &purl("1"), package, &manifest).expect("admitted");
    let second = world.claim(1, &purl("1"), package, &manifest).expect("admitted");
    // Entry 0 is the roles document.
    assert_eq!((first.index, second.index), (1, 2));
    let again = world.claim(0, &purl("1"), package, &manifest).expect("admitted");
    assert_eq!(again.index, 1, "the same claim by the same key is the same entry");
    assert_eq!(block_on(world.client().manifest(&manifest.root())).unwrap().unwrap(), manifest.encode());

    let found = block_on(world.client().lookup(&[purl("1").to_string()])).unwrap().expect("found").found;
    assert_eq!(found.iter().map(|leaf| leaf.index).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn one_witness_may_be_away_two_may_not() {
    let mut world = World::start();
    let package = Hash::digest(b"x_1_amd64.deb");
    let manifest = manifest(package, b"good");
    world.witnesses[2] = None;
    world.claim(0, &purl("1"), package, &manifest).expect("a quorum is left");
    let published = block_on(world.client().checkpoint()).unwrap().expect("published");

    let address = world.witnesses[1].take().expect("it runs").address().to_string();
    let statement = attest::Statement::about_package(
        &purl("2"),
        package,
        attest::predicate::Predicate::PackageFiles(attest::predicate::PackageFiles::of(&manifest)),
    );
    let envelope = attest::Envelope::sign(statement.encode(), &*world.builders[0]).expect("signed").encode();
    let submit = |wait| block_on(world.client().submit(envelope.clone(), Duration::from_secs(wait))).unwrap();
    assert_eq!(submit(3), Ok(client::log::Submitted::Pending), "nothing is acknowledged without the quorum");
    let now = block_on(world.client().checkpoint()).unwrap().expect("reads go on");
    assert_eq!(now, published, "nothing new is published");

    world.restart_witness(2, &address);
    let proven = block_on(world.client().submit(envelope.clone(), Duration::from_secs(30))).unwrap();
    assert!(matches!(proven, Ok(client::log::Submitted::Proven(proof)) if proof.index == 2), "the waiting entry is published");
}

#[test]
fn a_stopped_log_goes_on_where_it_was() {
    let mut world = World::start();
    let package = Hash::digest(b"x_1_amd64.deb");
    let manifest = manifest(package, b"good");
    let before = world.claim(0, &purl("1"), package, &manifest).expect("admitted");
    assert!(world.log.take().expect("it runs").terminate().expect("it ends").success());
    world.start_log();
    let after = world.claim(1, &purl("1"), package, &manifest).expect("admitted");
    assert_eq!((before.index, after.index), (1, 2));
    world.log.take().expect("it runs").kill();
    world.start_log();
    assert_eq!(world.claim(0, &purl("1"), package, &manifest).expect("admitted").index, 1);
}

#[test]
fn two_servers_cannot_share_a_directory() {
    let world = World::start();
    let error = world.try_start_log("log").expect_err("the second is refused").to_string();
    assert!(error.contains("did not start"), "{error}");
}

#[test]
fn keys_without_a_role_are_refused() {
    let world = World::start();
    let package = Hash::digest(b"x_1_amd64.deb");
    let claim = attest::predicate::PackageFiles::of(&manifest(package, b"good"));
    let statement = attest::Statement::about_package(&purl("1"), package, attest::predicate::Predicate::PackageFiles(claim));
    let refused = world.say(&statement, &*world.security);
    assert!(matches!(&refused, Err(FetchError::Status { status: 403, .. })), "{refused:?}");
}

//! A log that publishes nothing that a mirror does not hold: pushed to it, cut off from it, killed with it, and restored from it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use attest::manifest::{Attributes, Class, ManifestBuilder, Node};
use attest::predicate::{PackageFiles, Predicate};
use attest::{Envelope, Manifest, Purl, Statement};
use client::log::Submitted;
use client::{Http, LogClient, block_on};
use e2e::World;
use e2e::program::{Program, run, wait_until};
use e2e::world::ORIGIN;
use rustix::process::Signal;
use tlog::{Hash, KeyKind, Policy, SignedCheckpoint, VerifierKey, cosignature};

fn manifest(version: &str) -> (Purl, Hash, Manifest) {
    let package = Hash::digest(version.as_bytes());
    let mut builder = ManifestBuilder::new(package);
    let attributes = Attributes { mode: 0o755, uname: "root".into(), gname: "root".into() };
    builder.push(b"./usr/bin/x", Node::File { size: 4, sha256: package }, attributes, Class::Fixed, None).expect("an entry");
    let purl = Purl::deb("debian", "x", version, "amd64").expect("a package URL");
    (purl, package, builder.finish().expect("a manifest"))
}

/// A claim that the log publishes, cosigned by the quorum that `log.policy` demands.
fn claim(world: &World, version: &str) {
    let (purl, package, manifest) = manifest(version);
    world.claim(0, &purl, package, &manifest).expect("published");
}

/// A claim that the log takes and does not publish.
fn pending(world: &World, version: &str) -> Vec<u8> {
    let (purl, package, manifest) = manifest(version);
    let (signer, claim) = (&*world.builders[0], PackageFiles::of(&manifest));
    block_on(world.client().put_manifest(ORIGIN, &claim.manifest, manifest.encode(), signer)).expect("a runtime").expect("stored");
    let statement = Statement::about_package(&purl, package, Predicate::PackageFiles(claim));
    let envelope = Envelope::sign(statement.encode(), signer).expect("it signs").encode();
    let submitted = block_on(world.client().submit(envelope.clone(), Duration::from_secs(3))).expect("a runtime").expect("taken");
    assert_eq!(submitted, Submitted::Pending, "nothing is published that the mirror does not hold");
    envelope
}

fn path(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn size(world: &World) -> u64 {
    block_on(world.client().checkpoint()).expect("a runtime").expect("published").checkpoint.tree.size
}

/// Makes a mirror and has the log's policy demand it, beside the witnesses.
fn demanded(world: &World) -> (Vec<VerifierKey>, Program) {
    let made = run("tally-witness", ["init", "--dir", path(&world.at("mirror")), "--name", "mirror.example", "--mirror"]);
    assert!(made.status.success(), "{made:?}");
    let keys: Vec<_> = String::from_utf8(made.stdout).expect("text").lines().map(|key| VerifierKey::parse(key).expect("a key")).collect();
    let url = world.log.as_ref().expect("it runs").url();
    let block = |key: &VerifierKey| format!("\nvkey {}\nqpd 86400\ncontact log@example.com\nurl {url}\n", key.encode());
    fs::write(world.at("mirrored"), format!("logs/v0\n{}", world.log_keys.iter().map(block).collect::<String>())).expect("written");
    let mirror = start(world, "127.0.0.1:0");
    let policy = fs::read_to_string(world.at("log.policy")).expect("a policy");
    let lines: String = (0..).zip(&keys).map(|(n, key)| format!("witness m{n} {} {}\n", key.encode(), mirror.url())).collect();
    let both = format!("{lines}group mirror any m0 m1\ngroup both all quorum mirror\nquorum both\n");
    fs::write(world.at("log.policy"), policy.replace("quorum quorum\n", &both)).expect("written");
    world.log.as_ref().expect("it runs").signal(Signal::HUP).expect("it is there");
    (keys, mirror)
}

fn start(world: &World, address: &str) -> Program {
    let (dir, logs) = (world.at("mirror"), world.at("mirrored"));
    let arguments = ["mirror", "--dir", path(&dir), "--listen", address, "--logs", path(&logs)];
    Program::start("tally-witness", arguments, &world.at("mirror.stderr")).expect("the mirror starts")
}

/// Whoever trusts ML-DSA-44 keys alone is satisfied by what is published, and whoever trusts Ed25519 keys alone: the log's, witnesses' and
/// the mirror's.
fn both_kinds(world: &World, mirror: &[VerifierKey]) {
    let published = block_on(world.client().checkpoint()).expect("a runtime").expect("published");
    let all = world.policy();
    for is_ml_dsa in [true, false] {
        let of_kind = |key: &&VerifierKey| (key.kind() == KeyKind::MlDsa44) == is_ml_dsa;
        let logs: String = world.log_keys.iter().filter(of_kind).map(|key| format!("log {}\n", key.encode())).collect();
        let is_witness = |key: &&VerifierKey| !mirror.contains(key);
        let witnesses: Vec<_> = all.witnesses().iter().map(|line| &line.key).filter(is_witness).filter(of_kind).collect();
        let lines: String = (1..).zip(&witnesses).map(|(n, key)| format!("witness w{n} {}\n", key.encode())).collect();
        let own = mirror.iter().find(of_kind).expect("a key of each kind");
        let quorum = format!("witness m {}\ngroup w 2 w1 w2 w3\ngroup both all w m\nquorum both\n", own.encode());
        let policy = Policy::parse(format!("{logs}{lines}{quorum}").as_bytes()).expect("a policy");
        assert_eq!((logs.lines().count(), witnesses.len()), (1, 3));
        policy.verify(&published).unwrap_or_else(|error| panic!("ML-DSA-44 {is_ml_dsa}: {error:?}"));
    }
}

/// The mirror's newest checkpoint, cosigned by its keys.
fn held(mirror: &Program, keys: &[VerifierKey]) -> SignedCheckpoint {
    let url = format!("{}/{}", mirror.url(), Hash::digest(ORIGIN.as_bytes()).to_hex());
    let signed = block_on(LogClient::new(&url).expect("a URL").checkpoint()).expect("a runtime").expect("served");
    for key in keys {
        let line = signed.note.lines.iter().find(|line| line.is_by(key)).expect("a line by each key");
        cosignature::verify(key, line, &signed.checkpoint).expect("a good cosignature");
    }
    signed
}

#[test]
fn a_log_publishes_only_what_its_mirror_holds_and_comes_back_from_it() {
    let mut world = World::start();
    (1..=3).for_each(|n| claim(&world, &format!("0.{n}")));
    let before = size(&world);
    let (keys, mirror) = demanded(&world);
    // The first claim brings the mirror all that was published without it.
    claim(&world, "1");
    assert_eq!(held(&mirror, &keys).checkpoint.tree.size, before + 1);
    assert_eq!(size(&world), before + 1);
    both_kinds(&world, &keys);

    // Without the mirror nothing new is published; with it again, what waited is.
    let address = mirror.address().to_string();
    mirror.kill();
    let waited = pending(&world, "2");
    assert_eq!(size(&world), before + 1);
    let mirror = start(&world, &address);
    wait_until(|| size(&world) == before + 2);
    let again = block_on(world.client().submit(waited, Duration::from_secs(30))).expect("a runtime").expect("taken");
    assert!(matches!(again, Submitted::Proven(_)));

    // The log is lost, but for its keys and settings.
    let published = held(&mirror, &keys).checkpoint.tree;
    let log = world.log.take().expect("it runs");
    let log_address = log.address().to_string();
    log.kill();
    fs::create_dir(world.at("safe")).expect("a directory");
    for name in ["keys", "log.toml"] {
        fs::rename(world.at("log").join(name), world.at("safe").join(name)).expect("kept");
    }
    fs::remove_dir_all(world.at("log")).expect("lost");
    let from = format!("{}/{}", mirror.url(), Hash::digest(ORIGIN.as_bytes()).to_hex());
    let checked = run("tally-log", ["fsck", &from, "--key", &world.log_keys[0].encode()]);
    assert!(checked.status.success(), "the copy: {}", String::from_utf8_lossy(&checked.stdout));
    let (dir, safe) = (world.at("log"), world.at("safe"));
    let restored = run("tally-log", ["restore", "--dir", path(&dir), "--from", &from, "--keys", path(&safe)]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let checked = run("tally-log", ["fsck", path(&dir)]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));

    // It goes on where it was, at the same address, under the same quorum.
    let (policy, roles) = (world.at("log.policy"), world.at("roles-1.txt"));
    let arguments = ["serve", "--dir", path(&dir), "--listen", &log_address, "--policy", path(&policy), "--roles", path(&roles)];
    let log = Program::start("tally-log", arguments, &world.at("log.stderr")).expect("the restored log starts");
    let http = Http::new(&log.url(), Duration::from_secs(5)).expect("a URL");
    world.log = Some(log);
    wait_until(|| matches!(block_on(http.get("healthz", 4096)), Ok(Ok(_))));
    let newest = block_on(world.client().checkpoint()).expect("a runtime").expect("published");
    assert_eq!(newest.checkpoint.tree, published);
    claim(&world, "3");
    assert_eq!(held(&mirror, &keys).checkpoint.tree.size, published.size + 1);
    assert!(mirror.terminate().expect("it ends").success());
}

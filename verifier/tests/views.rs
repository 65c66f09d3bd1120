//! What others have seen of the log: the policy's witnesses, mirrors, files. Needs root, dpkg-deb and minisign.

mod world;

use std::path::{Path, PathBuf};

use tlog::{Hash, KeyKind, SignedCheckpoint, Signer as _};
use world::packages::base;
use world::served::{RULES, forked, served, sync};
use world::server::Server;
use world::{ORIGIN, Outcome, World, checkpoint, key, now};

/// A mirror that was shown another history from entry 4 on, of this many entries.
fn deceived(world: &World, more: usize) -> (Server, SignedCheckpoint) {
    let leaves = forked(world, 4, more);
    let head = checkpoint(&leaves, &[(1, now()), (2, now())]);
    let mirror = Server::start();
    mirror.show(&leaves, &head, &[]);
    (mirror, head)
}

/// The one piece of evidence in a directory.
fn kept(dir: &Path) -> PathBuf {
    let is_evidence = |path: &PathBuf| path.extension().is_some_and(|end| end == "evidence");
    let files: Vec<_> = std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path()).filter(is_evidence).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

/// The evidence that a run has kept, verified in an empty directory with nothing but the log's key.
fn convicted(world: &World, outcome: &Outcome, dir: &Path) {
    assert_eq!(outcome.status, 1, "{outcome:?}");
    let file = kept(dir);
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("evidence");
    std::fs::copy(&file, &copy).unwrap();
    let vkey = key(ORIGIN, KeyKind::Ed25519).key().encode();
    let verdict =
        world.tally_by(&["env", "--chdir", elsewhere.path().to_str().unwrap()], &["audit", "evidence", "evidence", "--key", &vkey]);
    assert!(verdict.status == 0 && verdict.stdout.contains("two histories"), "{verdict:?}");
}

#[test]
fn a_mirror_that_saw_another_history_convicts_the_log_whatever_its_size() {
    for more in [1, 9, 300] {
        let (world, root, _server) = served();
        let (mirror, _) = deceived(&world, more);
        let outcome = sync(&world, &root, &["--compare", &mirror.url]);
        convicted(&world, &outcome, &world.path("cache/evidence"));
        assert!(outcome.stderr.contains("has seen another history"), "{outcome:?}");
        assert!(!world.path("cache/known").exists(), "nothing is taken from such a log");
    }
}

#[test]
fn an_auditor_asks_witnesses_and_finds_their_evidence() {
    let (world, _root, _server) = served();
    let id = Hash::digest(ORIGIN.as_bytes()).to_hex();
    let witness = Server::start();
    let policy = std::fs::read_to_string(world.path("witness.policy")).unwrap();
    let line = policy.lines().find(|line| line.starts_with("witness w1 ")).unwrap();
    std::fs::write(world.path("witness.policy"), policy.replace(line, &format!("{line} {}", witness.url))).unwrap();
    let audit = |world: &World| world.tally(&["audit", "--once", "--json"]);
    let honest = world.checkpoint(5, &[(1, now())]);
    witness.put(&format!("{id}/checkpoint"), honest.encode().as_bytes());
    let outcome = audit(&world);
    // The policy's bytes are others than those that the roles name: that is told, and nothing else is.
    assert!(outcome.status == 2 && !outcome.stdout.contains("fork") && !outcome.stdout.contains("other-view"), "{outcome:?}");
    assert!(witness.take_asked().contains(&format!("{id}/checkpoint")));
    // It has cosigned another tree of the size that the log shows here.
    let lie = checkpoint(&forked(&world, 4, world.leaves.len() - 4), &[(1, now())]);
    witness.put(&format!("{id}/checkpoint"), lie.encode().as_bytes());
    let outcome = audit(&world);
    assert!(outcome.stdout.contains("\"fork\""), "{outcome:?}");
    convicted(&world, &outcome, &world.path("cache/audit/evidence"));
    // Or it keeps evidence already: no checkpoint of its own is needed.
    let file = kept(&world.path("cache/audit/evidence"));
    let name = Hash::digest(b"name").to_hex();
    witness.hide("");
    witness.put(&format!("{id}/evidence"), format!("{name}\n").as_bytes());
    witness.put(&format!("{id}/evidence/{name}"), &std::fs::read(&file).unwrap());
    std::fs::remove_dir_all(world.path("cache")).unwrap();
    convicted(&world, &audit(&world), &world.path("cache/audit/evidence"));
    // What convicts another log, or nobody, is not believed.
    witness.put(&format!("{id}/evidence/{name}"), b"tallystick/evidence/v1\n");
    std::fs::remove_dir_all(world.path("cache")).unwrap();
    assert_eq!(audit(&world).status, 2);
}

#[test]
fn files_are_compared_and_what_is_unproven_is_kept() {
    let (world, root, server) = served();
    let file = |name: &str, text: &str| {
        std::fs::write(world.path(name), text).unwrap();
        world.path(name).to_str().unwrap().to_owned()
    };
    let earlier = file("earlier", &world.checkpoint(3, &[]).encode());
    let outcome = sync(&world, &root, &["--compare", &earlier]);
    assert!(outcome.status == 0 && outcome.stdout.contains("compared with 1 other views of the log: 1 are of this history"), "{outcome:?}");
    // Signed by somebody else, of another log, no checkpoint, no file: told, and no reason to end.
    let mut stranger = world.checkpoint(3, &[]).encode();
    stranger = stranger.replace("— example.com/log ", "— example.com/log A");
    for text in [stranger.as_str(), "nonsense", &world.checkpoint(3, &[]).encode().replace(ORIGIN, "example.com/other")] {
        let outcome = sync(&world, &root, &["--compare", &file("bad", text)]);
        assert!(outcome.status == 0 && outcome.stderr.contains("could not be compared with"), "{outcome:?}");
    }
    assert_eq!(sync(&world, &root, &["--compare", "/nowhere"]).status, 0);
    // A larger tree that the log's tiles do not lead to: nothing is proven, and both are kept.
    let (_mirror, lie) = deceived(&world, 300);
    let larger = file("larger", &lie.encode());
    let outcome = sync(&world, &root, &["--compare", &larger]);
    assert!(outcome.stderr.contains("may be of another history"), "{outcome:?}");
    assert_eq!(std::fs::read_dir(world.path("cache/unproven")).unwrap().count(), 2);
    // Once the log shows that history's tiles to anybody, it is convicted: the kept checkpoints are compared with every later one.
    let leaves = forked(&world, 4, 300);
    server.show(&leaves, &lie, &world.manifests);
    let outcome = sync(&world, &root, &[]);
    convicted(&world, &outcome, &world.path("cache/evidence"));
}

#[test]
fn the_configuration_names_places_too() {
    let (world, root, server) = served();
    let (mirror, _) = deceived(&world, 9);
    let text = std::fs::read_to_string(world.path("tally.toml")).unwrap();
    std::fs::write(world.path("tally.toml"), format!("{text}compare = [\"{}\"]\n", mirror.url)).unwrap();
    let outcome = sync(&world, &root, &[]);
    convicted(&world, &outcome, &world.path("cache/evidence"));
    world.configure_log(RULES, &server.url);
    assert_eq!(sync(&world, &base().root(), &["--compare", "witnesses"]).status, 0, "none of them has an address here");
}

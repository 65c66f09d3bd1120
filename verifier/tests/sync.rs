//! Syncing from honest, old, forked and broken logs, bundles, proofs and evidence. Needs root (for the roots that are synced for).

mod world;

use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use attest::predicate::Action;
use tlog::evidence::Evidence;
use tlog::{Hash, InclusionProof, KeyKind, Signer as _, TlogProof, hash_leaf};
use world::packages::base;
use world::served::{RULES, forked, served, sync};
use world::{ORIGIN, World, key, now};

fn cached(world: &World) -> Vec<Vec<u8>> {
    ["checkpoint", "known"].iter().map(|name| std::fs::read(world.path("cache").join(name)).unwrap_or_default()).collect()
}

#[test]
fn after_a_sync_the_verdict_needs_no_network() {
    for mode in [&[][..], &["--full"]] {
        let (world, root, server) = served();
        let outcome = sync(&world, &root, mode);
        assert_eq!(outcome.status, 0, "{outcome:?}");
        assert!(outcome.stdout.contains("6 manifests fetched"), "{outcome:?}");
        let requests = server.requests.load(Ordering::SeqCst);
        let verified = world.verify(root.path());
        assert_eq!((verified.status, verified.findings(false)), (0, Vec::new()), "{verified:?}");
        let words = verified.json()["completeness"].as_str().unwrap().to_owned();
        assert_eq!(words.starts_with("every entry of the log was read for these packages; "), !mode.is_empty(), "{words}");
        assert_eq!(server.requests.load(Ordering::SeqCst), requests);
        let again = sync(&world, &root, mode);
        assert!(again.status == 0 && again.stdout.contains(" 0 manifests fetched"), "{again:?}");
    }
}

#[test]
fn the_cache_follows_a_growing_log() {
    for mode in [&[][..], &["--full"]] {
        let (mut world, root, server) = served();
        assert_eq!(sync(&world, &root, mode).status, 0);
        for round in 0..3 {
            // More than one bundle, so that full and partial tiles meet.
            let (purl, manifest) = base().manifest("basic");
            (0..150).for_each(|_| _ = world.claim("stranger", &purl, &manifest));
            let action = if round % 2 == 0 { Action::Warn } else { Action::Withdraw };
            world.advise(action, if round % 2 == 0 { "pkg:deb/debian/basic" } else { "" });
            server.show(&world.leaves, &world.head(), &world.manifests);
            let outcome = sync(&world, &root, mode);
            assert_eq!(outcome.status, 0, "{outcome:?}");
            assert_eq!(world.verify(root.path()).status, if round % 2 == 0 { 4 } else { 0 });
        }
    }
}

#[test]
fn a_fork_leaves_evidence_that_convicts_with_the_logs_key_alone() {
    // The log's signature convicts it, whether or not witnesses were taken in.
    for (more, witnesses) in [(0, &[(1, now()), (2, now())][..]), (3, &[(1, now()), (2, now())]), (0, &[]), (3, &[])] {
        let (world, root, server) = served();
        assert_eq!(sync(&world, &root, &[]).status, 0);
        let before = cached(&world);
        let size = world.leaves.len();
        let leaves = forked(&world, size - 2, 2 + more);
        server.show(&leaves, &world::checkpoint(&leaves, witnesses), &world.manifests);
        let outcome = sync(&world, &root, &[]);
        assert_eq!(outcome.status, 1, "{outcome:?}");
        let path = outcome.stderr.split_whitespace().find(|word| word.ends_with(".evidence")).unwrap().to_owned();
        assert_eq!(cached(&world), before, "nothing moved");
        let evidence = std::fs::read(&path).unwrap();
        let vkey = key(ORIGIN, KeyKind::Ed25519).key().clone();
        assert_eq!(Evidence::parse(&evidence).unwrap().verify(std::slice::from_ref(&vkey)), Ok(()));
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(elsewhere.path().join("e"), &evidence).unwrap();
        let audit = |file: &str, vkey: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tally"));
            command.current_dir(elsewhere.path()).args(["audit", "evidence", file, "--key", vkey]).output().unwrap().status.code()
        };
        assert_eq!(audit("e", &vkey.encode()), Some(0));
        assert_eq!(audit("e", &key("other", KeyKind::Ed25519).key().encode()), Some(1));
        std::fs::write(elsewhere.path().join("cut"), &evidence[..evidence.len() - 1]).unwrap();
        assert_eq!(audit("cut", &vkey.encode()), Some(1));
        assert_eq!(audit("e", "nonsense"), Some(64));
        assert_eq!(audit("absent", &vkey.encode()), Some(10));
        // Where the evidence cannot be written it has forked all the same.
        std::fs::remove_dir_all(world.path("cache/evidence")).unwrap();
        std::fs::write(world.path("cache/evidence"), "in the way").unwrap();
        let outcome = sync(&world, &root, &[]);
        assert!(outcome.status == 1 && outcome.stderr.contains("could not be kept"), "{outcome:?}");
    }
}

#[test]
fn a_log_that_goes_back_is_not_followed() {
    let (world, root, server) = served();
    assert_eq!(sync(&world, &root, &[]).status, 0);
    let before = cached(&world);
    let old = world.leaves[..world.leaves.len() - 3].to_vec();
    let head = world::checkpoint(&old, &[(1, now()), (2, now())]);
    // The tiles of the whole log are still there: the old tree is a part of the known one.
    server.show(&world.leaves, &head, &world.manifests);
    let outcome = sync(&world, &root, &[]);
    assert_eq!(outcome.status, 14, "{outcome:?}");
    assert_eq!(cached(&world), before);
    // Its own tiles do not lead to the known tree: refused, though unproven.
    server.show(&old, &head, &world.manifests);
    assert_eq!(sync(&world, &root, &[]).status, 14);
    assert_eq!(cached(&world), before);
}

#[test]
fn what_is_not_cosigned_or_not_the_logs_is_refused() {
    let (world, root, server) = served();
    server.show(&world.leaves, &world.checkpoint(world.leaves.len(), &[(1, now())]), &world.manifests);
    assert_eq!(sync(&world, &root, &[]).status, 14);
    server.show(&world.leaves, &world.head(), &world.manifests);
    server.put("checkpoint", b"garbage");
    assert_eq!(sync(&world, &root, &[]).status, 14);
    let other = forked(&world, 1, 5);
    server.show(&other, &world.head(), &world.manifests);
    let outcome = sync(&world, &root, &[]);
    assert_eq!(outcome.status, 14, "proofs to another root: {outcome:?}");
    assert_eq!(sync(&world, &root, &["--full"]).status, 14, "entries of another root");
    assert_eq!(cached(&world)[1], Vec::<u8>::new());
    world.configure_log(RULES, "http://127.0.0.1:1");
    assert_eq!(sync(&world, &root, &[]).status, 14, "nobody answers");
    world.configure_log(RULES, "ftp://127.0.0.1");
    assert_eq!(sync(&world, &root, &[]).status, 14, "not an address of a log");
}

#[test]
fn wrong_manifests_are_not_kept() {
    let (world, root, server) = served();
    let manifest = &world.manifests[0];
    server.put(&format!("manifest/{}", manifest.root()), b"#mtree package-sha256=00\n");
    let outcome = sync(&world, &root, &[]);
    assert!(outcome.status == 0 && outcome.stdout.contains("1 manifests are not to be had"), "{outcome:?}");
    assert!(!world.path("cache/manifests").join(manifest.root().to_hex()).exists());
    assert_eq!(world.verify(root.path()).status, 11);
}

#[test]
fn two_at_once_do_not_mix() {
    let (world, root, _server) = served();
    let arguments =
        ["--config", world.path("tally.toml").to_str().unwrap(), "sync", "--root", root.path().to_str().unwrap()].map(str::to_owned);
    let start = || Command::new(env!("CARGO_BIN_EXE_tally")).args(&arguments).output().unwrap().status.code();
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
        running.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    assert!(statuses.contains(&Some(0)) && statuses.iter().all(|status| matches!(status, Some(0 | 12))), "{statuses:?}");
    assert_eq!(world.verify(root.path()).status, 0);
}

#[test]
fn killed_at_any_moment_the_cache_is_whole() {
    for mode in [&[][..], &["--full"]] {
        let (mut world, root, server) = served();
        assert_eq!(sync(&world, &root, mode).status, 0);
        let (purl, manifest) = base().manifest("basic");
        for round in 0..12_u64 {
            (0..40).for_each(|_| _ = world.claim("stranger", &purl, &manifest));
            server.show(&world.leaves, &world.head(), &world.manifests);
            let mut child = Command::new(env!("CARGO_BIN_EXE_tally"))
                .arg("--config")
                .arg(world.path("tally.toml"))
                .args(["sync", "--root", root.path().to_str().unwrap()])
                .args(mode)
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(round * 9));
            let _ = child.kill();
            child.wait().unwrap();
            let verified = world.verify(root.path());
            assert_eq!(verified.status, 0, "round {round}: {verified:?}");
        }
        assert_eq!(sync(&world, &root, mode).status, 0);
        assert_eq!(world.verify(root.path()).json()["checkpoint"]["size"], world.leaves.len());
        let left: Vec<_> = std::fs::read_dir(world.path("cache")).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".new-")), "{left:?}");
    }
}

#[test]
fn a_proof_is_verified_with_the_policy_alone() {
    let (world, _root, _server) = served();
    let hashes: Vec<Hash> = world.leaves.iter().map(|leaf| hash_leaf(leaf)).collect();
    let proof = TlogProof { extra: None, index: 3, proof: InclusionProof::of(&hashes, 3).unwrap(), checkpoint: world.head() };
    std::fs::write(world.path("proof"), proof.encode()).unwrap();
    std::fs::write(world.path("entry"), &world.leaves[3]).unwrap();
    std::fs::write(world.path("other"), &world.leaves[4]).unwrap();
    let at = |name: &str| world.path(name).to_str().unwrap().to_owned();
    let verify = |proof: &str, entry: &str| world.tally(&["proof", "verify", &at(proof), "--entry", &at(entry)]).status;
    assert_eq!(verify("proof", "entry"), 0);
    assert_eq!(verify("proof", "other"), 1);
    assert_eq!(verify("entry", "entry"), 1);
    assert_eq!(verify("absent", "entry"), 10);
}

#[test]
fn package_files_are_looked_up_where_they_are_not_known() {
    let (world, _root, server) = served();
    let deb = base().deb("taker");
    let check = |more: &[&str]| world.tally(&[&["check", "--json", deb.to_str().unwrap()], more].concat());
    assert_eq!(check(&["--offline"]).status, 11);
    let outcome = check(&[]);
    assert_eq!((outcome.status, outcome.findings(false)), (0, Vec::new()), "{outcome:?}");
    assert!(server.requests.load(Ordering::SeqCst) > 0);
}

#[test]
fn programs_help_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_tally")).args(arguments).output().unwrap();
    let help = run(&["--help"]);
    assert!(help.status.success());
    for command in [
        "sync",
        "verify",
        "check",
        "explain",
        "bundle export",
        "bundle import",
        "proof verify",
        "audit evidence",
        "advise warn",
        "advise withdraw",
        "advise head",
    ] {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let text = String::from_utf8(run(&words).stdout).unwrap();
        assert!(text.contains("Example") && text.contains(&format!("tally {command}")), "{command}: {text}");
    }
    assert!(String::from_utf8(run(&["completions", "bash"]).stdout).unwrap().contains("tally"));
    assert!(run(&["man", dir.path().to_str().unwrap()]).status.success());
    assert!(dir.path().join("tally.1").exists());
}

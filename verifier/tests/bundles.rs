//! Bundles carried by hand: they add to what is known and never take from it, in any order, and convict a log that forked. Needs root.

mod world;

use attest::Bundle;
use attest::predicate::Action;
use tlog::evidence::Evidence;
use tlog::{KeyKind, Signer as _};
use world::packages::{Root, base};
use world::served::{forked, served, sync};
use world::server::Server;
use world::{Machine, ORIGIN, World, key, now};

/// Syncs and exports under a name.
fn export(world: &World, root: &Root, server: &Server, name: &str) -> String {
    server.show(&world.leaves, &world.head(), &world.manifests);
    assert_eq!(sync(world, root, &[]).status, 0);
    let file = world.path(name).display().to_string();
    assert_eq!(world.tally(&["bundle", "export", &file]).status, 0);
    file
}

/// A bundle of these entries, as somebody exports it who never saw an earlier tree.
fn pick(world: &World, checkpoint: tlog::SignedCheckpoint, indices: impl Fn(u64) -> bool, name: &str) -> String {
    let mut bundle = world.bundle(checkpoint);
    bundle.leaves.retain(|leaf| indices(leaf.index));
    bundle.manifests =
        world.manifests.iter().map(|manifest| attest::bundle::BundledManifest { root: manifest.root(), text: manifest.encode() }).collect();
    let file = world.path(name).display().to_string();
    std::fs::write(&file, bundle.encode()).unwrap();
    file
}

fn import(machine: &Machine, file: &str) -> world::Outcome {
    machine.tally(&["bundle", "import", file])
}

fn state(machine: &Machine) -> Vec<Vec<u8>> {
    let mut files = vec![machine.path("checkpoint"), machine.path("known"), machine.path("names")];
    for folder in ["aside", "unproven", "manifests", "evidence"] {
        files.extend(std::fs::read_dir(machine.path(folder)).into_iter().flatten().flatten().map(|entry| entry.path()));
    }
    files.sort();
    files.into_iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn size(machine: &Machine, file: &str) -> u64 {
    let bytes = std::fs::read(machine.path(file)).unwrap();
    match Bundle::parse(&bytes) {
        Ok(bundle) => bundle.checkpoint.tree().size,
        Err(_) => tlog::SignedCheckpoint::parse(&bytes).unwrap().tree().size,
    }
}

#[test]
fn bundles_carry_everything_to_machines_without_a_network() {
    let (mut world, root, server) = served();
    let first = export(&world, &root, &server, "first.bundle");
    world.advise(Action::Warn, "pkg:deb/debian/basic");
    let second = export(&world, &root, &server, "second.bundle");
    let away = world.machine("away");
    assert_eq!(away.verify(root.path()).status, 11);
    assert_eq!(import(&away, &first).status, 0);
    assert_eq!(away.verify(root.path()).status, 0);
    let outcome = import(&away, &second);
    assert!(outcome.status == 0 && outcome.stdout.contains("; 1 of them and 0 manifests are new here"), "{outcome:?}");
    assert!(!outcome.stdout.contains("witnesses' word"), "the bundle shows that it goes on from the first: {outcome:?}");
    assert_eq!(size(&away, "checkpoint"), world.leaves.len() as u64);
    assert_eq!(away.verify(root.path()).status, 4, "a warning by the second road");
    // An older one adds nothing, and takes nothing away; neither does any of them a second time.
    let before = state(&away);
    for file in [&first, &second, &first] {
        assert_eq!(import(&away, file).status, 0);
        assert_eq!(state(&away), before);
    }
    assert_eq!(away.verify(root.path()).status, 4);
    let whole = std::fs::read(&second).unwrap();
    let bad = world.path("bad.bundle");
    for position in (0..whole.len()).step_by(whole.len() / 30) {
        let mut bytes = whole.clone();
        bytes[position] ^= 1;
        std::fs::write(&bad, bytes).unwrap();
        assert_eq!(import(&away, bad.to_str().unwrap()).status, 1, "byte {position}");
    }
    assert_eq!(state(&away), before, "refused bundles change nothing");
}

#[test]
fn an_older_bundle_adds_what_is_not_known() {
    let (mut world, root, server) = served();
    let first = export(&world, &root, &server, "first.bundle");
    world.advise(Action::Warn, "pkg:deb/debian/basic");
    let second = export(&world, &root, &server, "second.bundle");
    // The newer bundle has no claims: somebody else's machine.
    let mut thin = Bundle::parse(&std::fs::read(&second).unwrap()).unwrap();
    thin.leaves.retain(|leaf| leaf.index == 0 || leaf.index as usize == world.leaves.len() - 1);
    let thin_file = world.path("thin.bundle").display().to_string();
    std::fs::write(&thin_file, thin.encode()).unwrap();
    let away = world.machine("away");
    assert_eq!(import(&away, &thin_file).status, 0);
    assert!(away.verify(root.path()).findings(false).contains(&"unattested taker 1.0-1 amd64".to_owned()));
    let outcome = import(&away, &first);
    assert!(outcome.status == 0 && !outcome.stdout.contains("witnesses' word"), "{outcome:?}");
    assert_eq!(size(&away, "known"), world.leaves.len() as u64, "the older one's claims are proven under the newer tree");
    let verified = away.verify(root.path());
    assert_eq!((verified.status, verified.findings(false)), (4, vec!["warned basic 1.0-1 amd64".to_owned()]), "{verified:?}");
    // In the other order it comes to the same.
    let other = world.machine("other");
    assert_eq!((import(&other, &first).status, import(&other, &thin_file).status), (0, 0));
    assert_eq!(other.verify(root.path()).status, 4);
    assert_eq!(std::fs::read(away.path("known")).unwrap(), std::fs::read(other.path("known")).unwrap());
}

#[test]
fn what_nothing_connects_is_kept_aside_until_a_sync_connects_it() {
    let (mut world, root, server) = served();
    let early = pick(&world, world.head(), |index| index < 7, "early.bundle");
    world.advise(Action::Warn, "pkg:deb/debian/taker");
    let late = pick(&world, world.head(), |index| index == 0 || index >= 7, "late.bundle");
    for order in [[&early, &late], [&late, &early]] {
        let away = world.machine(if order[0] == &early { "forward" } else { "backward" });
        assert_eq!(import(&away, order[0]).status, 0);
        let outcome = import(&away, order[1]);
        assert!(outcome.status == 0 && outcome.stdout.contains("witnesses' word, until tally sync"), "{outcome:?}");
        assert_eq!(
            size(&away, "checkpoint"),
            if order[0] == &early { world.leaves.len() as u64 - 1 } else { world.leaves.len() as u64 },
            "without a proof it stays"
        );
        let before = state(&away);
        assert_eq!((import(&away, order[0]).status, import(&away, order[1]).status), (0, 0));
        assert_eq!(state(&away), before);
        // Both count.
        let verified = away.verify(root.path());
        assert_eq!((verified.status, verified.findings(false)), (4, vec!["warned taker 1.0-1 amd64".to_owned()]), "{verified:?}");
        assert_eq!(verified.json()["checkpoint"]["size"], world.leaves.len());
        // So they do beside what the log says when it is asked, and when it hides what one of them has.
        server.show(&world.leaves, &world.head(), &world.manifests);
        server.withhold(|statement| statement.kind() == attest::predicate::Kind::Advisory);
        let checked = away.tally_online(&["check", "--json", base().deb("taker").to_str().unwrap()]);
        assert!(checked.status == 4 && checked.findings(false)[0].starts_with("warned "), "{checked:?}");
        server.withhold(|_| false);
        // A sync shows that it is one history.
        server.show(&world.leaves, &world.head(), &world.manifests);
        assert_eq!(away.tally_online(&["sync", "--root", root.path().to_str().unwrap()]).status, 0);
        for folder in ["aside", "unproven"] {
            assert_eq!(std::fs::read_dir(away.path(folder)).unwrap().count(), 0, "{folder}");
        }
        assert_eq!(away.verify(root.path()).status, 4);
    }
}

#[test]
fn a_bundle_that_has_everything_takes_the_place_of_one_that_it_does_not_know() {
    let (mut world, root, _server) = served();
    let small = pick(&world, world.head(), |index| index < 7, "small.bundle");
    world.advise(Action::Warn, "pkg:deb/debian/taker");
    let large = pick(&world, world.head(), |_| true, "large.bundle");
    let away = world.machine("away");
    assert_eq!((import(&away, &small).status, import(&away, &large).status), (0, 0));
    assert!(!away.path("aside").exists() || std::fs::read_dir(away.path("aside")).unwrap().count() == 0);
    assert_eq!((size(&away, "checkpoint"), size(&away, "known")), (world.leaves.len() as u64 - 1, world.leaves.len() as u64));
    assert_eq!(away.verify(root.path()).status, 4);
}

#[test]
fn too_many_bundles_apart_are_refused() {
    let (mut world, _root, _server) = served();
    let mut statuses = Vec::new();
    for number in 0..18 {
        let file = pick(&world, world.head(), |index| index == 0 || index == 1 + number, "some.bundle");
        statuses.push(import(&world.machine("away"), &file).status);
        world.control_head(0, 1, now() + number);
    }
    assert_eq!(statuses, [vec![0; 17], vec![10]].concat());
}

#[test]
fn a_bundle_of_a_fork_convicts_the_log() {
    let witnesses = [(1, now()), (2, now())];
    let convicts = |machine: &Machine, file: &str| {
        let before = std::fs::read(machine.path("known")).unwrap();
        let outcome = import(machine, file);
        assert_eq!(outcome.status, 1, "{outcome:?}");
        let path = outcome.stderr.split_whitespace().find(|word| word.ends_with(".evidence")).unwrap();
        let vkey = key(ORIGIN, KeyKind::Ed25519).key().clone();
        assert_eq!(Evidence::parse(&std::fs::read(path).unwrap()).unwrap().verify(&[vkey]), Ok(()));
        assert_eq!(std::fs::read(machine.path("known")).unwrap(), before, "nothing else moved");
    };
    let (mut world, root, server) = served();
    // Of one size.
    let good = export(&world, &root, &server, "good.bundle");
    let size = world.leaves.len();
    let other_leaves = forked(&world, size - 2, 2);
    let leaves = std::mem::replace(&mut world.leaves, other_leaves);
    let other = pick(&world, world::checkpoint(&world.leaves, &witnesses), |_| true, "same-size.bundle");
    let away = world.machine("away");
    assert_eq!(import(&away, &good).status, 0);
    convicts(&away, &other);
    // A larger one that grew from the other history, and knows that history.
    let mut larger = world.bundle(world::checkpoint(&world.leaves, &witnesses));
    let hashes: Vec<_> = world.leaves.iter().map(|leaf| tlog::hash_leaf(leaf)).collect();
    let grown = forked(&world, size - 2, 5);
    let grown_hashes: Vec<_> = grown.iter().map(|leaf| tlog::hash_leaf(leaf)).collect();
    world.leaves = grown;
    larger = Bundle { history: larger.history, ..world.bundle(world::checkpoint(&world.leaves, &witnesses)) };
    larger.history.push(attest::bundle::EarlierTree {
        tree: tlog::Tree::of(&hashes),
        proof: tlog::ConsistencyProof::of(&grown_hashes, size).unwrap(),
    });
    let file = world.path("larger.bundle").display().to_string();
    std::fs::write(&file, larger.encode()).unwrap();
    convicts(&away, &file);
    // The other way around: the fork is known, the honest bundle comes later, and is smaller.
    let fooled = world.machine("fooled");
    assert_eq!(import(&fooled, &file).status, 0);
    convicts(&fooled, &good);
    // Nothing that would prove it: both are kept, and the log is convicted when it shows its tiles.
    let blind = pick(&world, world::checkpoint(&world.leaves, &witnesses), |index| index < 2, "blind.bundle");
    world.leaves = leaves;
    let careful = world.machine("careful");
    assert_eq!((import(&careful, &good).status, import(&careful, &blind).status), (0, 0));
    assert_eq!(std::fs::read_dir(careful.path("unproven")).unwrap().count(), 2);
    let grown = forked(&world, size - 2, 5);
    server.show(&grown, &world::checkpoint(&grown, &witnesses), &world.manifests);
    let outcome = careful.tally_online(&["sync", "--root", root.path().to_str().unwrap()]);
    assert!(outcome.status == 1 && outcome.stderr.contains(".evidence"), "{outcome:?}");
}

/// A smaller or larger tree that the log signed, for which it serves no tiles: no evidence, and nothing that would prove it is lost.
#[test]
fn an_unproven_fork_is_kept_until_it_is_proven() {
    let witnesses = [(1, now()), (2, now())];
    for (more, cosigned) in [(0, true), (3, true), (0, false), (3, false)] {
        let (world, root, server) = served();
        assert_eq!(sync(&world, &root, &[]).status, 0);
        let size = world.leaves.len();
        let fork = forked(&world, size - 4, 2 + more * 2);
        let shown = world::checkpoint(&fork, if cosigned { &witnesses } else { &[] });
        server.show(&fork, &shown, &world.manifests);
        server.hide("tile/");
        for _ in 0..2 {
            let outcome = sync(&world, &root, &[]);
            assert!(outcome.status == 14 && outcome.stderr.contains("does not show that the one begins with the other"), "{outcome:?}");
            assert!(outcome.stderr.contains("they prove no fork"), "{outcome:?}");
        }
        let kept: Vec<Vec<u8>> =
            std::fs::read_dir(world.path("cache/unproven")).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
        assert!(kept.len() == 2 && kept.contains(&shown.encode().into_bytes()), "both, once");
        assert_eq!(world.verify(root.path()).status, 0, "what was proven still stands");
        // It hides the fork again; its honest tiles do not lead to what it signed.
        server.show(&world.leaves, &world.head(), &world.manifests);
        let outcome = sync(&world, &root, &[]);
        if more == 0 {
            assert_eq!(outcome.status, 1, "the honest tiles have another root at the fork's size: {outcome:?}");
        } else {
            assert_eq!(outcome.status, 14, "{outcome:?}");
            server.show(&fork, &shown, &world.manifests);
            let outcome = sync(&world, &root, &[]);
            assert!(outcome.status == 1 && outcome.stderr.contains(".evidence"), "{outcome:?}");
        }
    }
}

#[test]
fn an_honest_log_whose_tiles_were_away_is_followed_again() {
    let (mut world, root, server) = served();
    assert_eq!(sync(&world, &root, &[]).status, 0);
    world.advise(Action::Warn, "pkg:deb/debian/basic");
    server.show(&world.leaves, &world.head(), &world.manifests);
    server.hide("tile/");
    assert_eq!(sync(&world, &root, &[]).status, 14);
    assert_eq!(std::fs::read_dir(world.path("cache/unproven")).unwrap().count(), 2);
    server.show(&world.leaves, &world.head(), &world.manifests);
    assert_eq!(sync(&world, &root, &[]).status, 0);
    assert_eq!(std::fs::read_dir(world.path("cache/unproven")).unwrap().count(), 0);
    assert_eq!(world.verify(root.path()).status, 4);
}

//! A second sync fetches what is new and nothing else, and mends what is damaged. Needs root (for the roots that are synced for).

mod world;

use std::path::Path;

use attest::predicate::Action;
use tlog::Signer as _;
use world::World;
use world::packages::{base, sh};
use world::served::{served, sync};
use world::server::Server;

fn show(server: &Server, world: &World) {
    server.show(&world.leaves, &world.head(), &world.manifests);
}

/// Leaves that lookups answered with.
fn looked_up(asked: &[String]) -> usize {
    let count = |line: &String| line.strip_prefix("lookup ")?.split(' ').next()?.parse::<usize>().ok();
    asked.iter().filter_map(count).sum()
}

fn entry_bundles(asked: &[String]) -> Vec<&str> {
    asked.iter().map(String::as_str).filter(|path| path.starts_with("tile/entries/")).collect()
}

#[test]
fn only_what_is_new_is_looked_up_and_nothing_about_old_names_is_missed() {
    let (mut world, root, server) = served();
    assert_eq!(sync(&world, &root, &[]).status, 0);
    let first = looked_up(&server.take_asked());
    assert!(first >= world.leaves.len(), "{first}");
    // Nothing new: nothing is sent.
    assert_eq!(sync(&world, &root, &[]).status, 0);
    assert_eq!(looked_up(&server.take_asked()), 0);
    // A dissenting claim and a warning about old names, and hundreds of leaves that are nobody's here.
    let (purl, manifest) = base().manifest("basic");
    let other = base().manifest("taker").1;
    let before = world.leaves.len();
    (0..400).for_each(|number| _ = world.claim("stranger", &elsewhere(number), &other));
    let dissent = attest::manifest::ManifestBuilder::new(*manifest.package()).finish().unwrap();
    world.claim("builder-3", &purl, &dissent);
    show(&server, &world);
    let outcome = sync(&world, &root, &[]);
    assert!(outcome.status == 0 && outcome.stdout.contains(" 1 of these new"), "{outcome:?}");
    let asked = server.take_asked();
    assert_eq!(looked_up(&asked), 1, "{asked:?}");
    assert!(asked.iter().filter(|line| line.starts_with("lookup")).all(|line| line.contains(" from:")), "{asked:?}");
    assert!(asked.iter().any(|line| line.contains("pkg:deb") && line.contains(&format!(" from:{before} "))), "{asked:?}");
    let verified = world.verify(root.path());
    assert_eq!((verified.status, verified.findings(false)), (2, vec!["dissent basic 1.0-1 amd64".to_owned()]), "{verified:?}");
    world.advise(Action::Warn, "pkg:deb/debian/taker");
    show(&server, &world);
    assert_eq!(sync(&world, &root, &[]).status, 0);
    assert_eq!(looked_up(&server.take_asked()), 1);
    assert_eq!(world.verify(root.path()).findings(false), ["warned taker 1.0-1 amd64", "dissent basic 1.0-1 amd64"]);
    // A name that was never asked about is asked about from the first leaf on, and nothing else is.
    let name = elsewhere(7).to_string();
    assert_eq!(sync(&world, &root, &[&name]).status, 0);
    let asked = server.take_asked();
    assert_eq!(looked_up(&asked), 1, "{asked:?}");
    assert!(asked.iter().any(|line| line.contains(&name) && !line.contains("from:") && !line.contains("taker")), "{asked:?}");
    assert_eq!(world.verify(root.path()).findings(false).len(), 2);
    // The whole bundle is what a fresh cache gets, but for the trees that were seen.
    let leaves = |cache: &str| {
        let bundle = attest::Bundle::parse(&std::fs::read(world.path(cache).join("known")).unwrap()).unwrap();
        bundle.verify().unwrap();
        (bundle.leaves, bundle.history.len())
    };
    let fresh = world.machine("fresh");
    assert_eq!(fresh.tally_online(&["sync", "--root", root.path().to_str().unwrap(), &name]).status, 0);
    assert_eq!(leaves("cache").0, leaves("fresh").0);
    assert_eq!((leaves("cache").1, leaves("fresh").1), (2, 0));
    // Forgetting a name forgets that it was asked.
    assert_eq!(sync(&world, &root, &["--prune"]).status, 0);
    assert!(!leaves("cache").0.iter().any(|leaf| leaf.leaf == world.leaves[before + 7]));
    server.take_asked();
    assert_eq!(sync(&world, &root, &[&name]).status, 0);
    assert_eq!(looked_up(&server.take_asked()), 1);
}

fn elsewhere(number: usize) -> attest::Purl {
    attest::Purl::deb("elsewhere", &format!("p{number}"), "1", "amd64").unwrap()
}

#[test]
fn the_whole_log_is_fetched_from_the_old_size_on() {
    let (mut world, root, server) = served();
    let manifest = base().manifest("taker").1;
    (0..600).for_each(|number| _ = world.claim("stranger", &elsewhere(number), &manifest));
    show(&server, &world);
    assert_eq!(sync(&world, &root, &["--full"]).status, 0);
    let asked = server.take_asked();
    assert!(looked_up(&asked) == 0 && entry_bundles(&asked).len() == 3, "{asked:?}");
    assert_eq!(sync(&world, &root, &["--full"]).status, 0);
    assert_eq!(entry_bundles(&server.take_asked()), Vec::<&str>::new());
    world.advise(Action::Warn, "pkg:deb/debian/taker");
    show(&server, &world);
    assert_eq!(sync(&world, &root, &["--full"]).status, 0);
    let asked = server.take_asked();
    assert_eq!(entry_bundles(&asked), [format!("tile/entries/002.p/{}", world.leaves.len() - 512)]);
    assert_eq!(world.verify(root.path()).status, 4);
    // The word of a log that was only asked is not the whole log.
    let whole = |world: &World, expected: bool| {
        let words = world.verify(root.path()).json()["completeness"].as_str().unwrap().to_owned();
        assert_eq!(words.starts_with("every entry of the log was read for these packages; "), expected, "{words}");
    };
    whole(&world, true);
    world.advise(Action::Withdraw, "");
    show(&server, &world);
    assert_eq!(sync(&world, &root, &[]).status, 0);
    whole(&world, false);
    // Package files are judged without telling which.
    server.take_asked();
    let deb = base().deb("taker");
    assert_eq!(sync(&world, &root, &["--full"]).status, 0);
    assert_eq!(world.tally(&["check", deb.to_str().unwrap()]).status, 0);
    let asked = server.take_asked();
    assert!(asked.iter().all(|path| !path.starts_with("lookup")), "{asked:?}");
}

#[test]
fn the_whole_log_was_read_only_for_the_roots_that_were_named() {
    let (world, root, server) = served();
    show(&server, &world);
    let empty = tempfile::tempdir().unwrap();
    sh(empty.path(), "mkdir -p var/lib/dpkg; touch var/lib/dpkg/status; printf 'root:x:0:0::/:/bin/sh\\n' > passwd");
    let words = || world.verify(root.path()).json()["completeness"].as_str().unwrap().to_owned();
    let sync_for = |dir: &std::path::Path, more: &[&str]| {
        assert_eq!(world.tally(&[&["sync", "--root", dir.to_str().unwrap()], more].concat()).status, 0);
    };
    sync_for(empty.path(), &["--full"]);
    assert!(words().starts_with("every entry of the log was read, but not for 6 of these packages: "), "{}", words());
    // The same tree, and the log alone says what it has about them.
    sync_for(root.path(), &[]);
    assert!(!words().contains("every entry"), "{}", words());
    // What is read of the whole log is read about names of earlier syncs, too.
    sync_for(empty.path(), &["--full"]);
    assert!(words().starts_with("every entry of the log was read for these packages; "), "{}", words());
}

/// One bit of one file of the cache, and the file gone; a sync mends it or says what is wrong, and no verdict is ever wrong.
#[test]
fn every_damaged_file_is_mended_or_told() {
    for mode in [&[][..], &["--full"]] {
        let (mut world, root, server) = served();
        world.advise(Action::Warn, "pkg:deb/debian/basic");
        show(&server, &world);
        assert_eq!(sync(&world, &root, mode).status, 0);
        assert_eq!(world.verify(root.path()).status, 4);
        let files = || {
            let output = std::process::Command::new("find").arg(world.path("cache")).args(["-type", "f", "-size", "+0"]).output().unwrap();
            String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let all = files();
        assert!(all.len() >= 9, "{all:?}");
        for file in all {
            for gone in [false, true] {
                let whole = std::fs::read(&file).unwrap();
                let mut bytes = whole.clone();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                if gone {
                    std::fs::remove_file(&file).unwrap()
                } else {
                    std::fs::write(&file, bytes).unwrap()
                }
                let verified = world.verify(root.path()).status;
                assert!(matches!(verified, 4 | 11), "{file}, gone: {gone}: {verified}");
                let outcome = sync(&world, &root, mode);
                // The newest checkpoint cannot be had again: what it was is the one thing that only this cache knew.
                let told = Path::new(&file).file_name().is_some_and(|name| name == "checkpoint") && !gone;
                assert!(outcome.status == 0 || (told && outcome.status == 11), "{file}, gone: {gone}: {outcome:?}");
                if outcome.status != 0 {
                    std::fs::write(&file, whole).unwrap();
                }
                assert_eq!(world.verify(root.path()).status, 4, "{file}, gone: {gone}");
            }
        }
    }
}

#[test]
fn a_cache_of_another_log_or_of_other_keys_gives_no_verdict() {
    let (world, root, _server) = served();
    assert_eq!(sync(&world, &root, &[]).status, 0);
    let policy = std::fs::read_to_string(world.path("witness.policy")).unwrap();
    let other = world::key("other.example", tlog::KeyKind::Ed25519).key().encode();
    let mut lines: Vec<&str> = policy.lines().collect();
    let line = format!("log {other}");
    lines[0] = &line;
    std::fs::write(world.path("witness.policy"), format!("{}\n", lines.join("\n"))).unwrap();
    let outcome = world.verify(root.path());
    assert!(outcome.status == 11 && outcome.stderr.contains("not signed by a log of the policy"), "{outcome:?}");
    assert_eq!(sync(&world, &root, &[]).status, 14);
    std::fs::write(world.path("witness.policy"), policy).unwrap();
    assert_eq!(world.verify(root.path()).status, 0);
    let config = std::fs::read_to_string(world.path("tally.toml")).unwrap();
    std::fs::write(world.path("tally.toml"), config.replace(&world.roles_sha256.to_hex(), &"0".repeat(64))).unwrap();
    let outcome = world.verify(root.path());
    assert!(outcome.status == 11 && outcome.stderr.contains("roles_sha256"), "{outcome:?}");
}

#[test]
fn a_full_disk_leaves_what_was_known() {
    let (mut world, root, server) = served();
    let at = |name: &str| world.path(name).display().to_string();
    let tally = format!("{} --config {}", env!("CARGO_BIN_EXE_tally"), at("tally.toml"));
    let (sync, verify) =
        (format!("{tally} sync --root {}", root.path().display()), format!("{tally} verify --all --root {}", root.path().display()));
    let (cache, grown, more, said) = (at("cache"), at("grown"), at("more"), at("said"));
    // In a mount namespace of its own; the test shows more leaves between the steps.
    let script = format!(
        "mkdir -p {cache}; mount -t tmpfs -o size=1m none {cache}; {sync}; {verify}; \
         head -c 2m /dev/zero > {cache}/filler 2>/dev/null || true; touch {more}; for n in $(seq 600); do [ -e {grown} ] && break; sleep 0.1; done; \
         status=0; {sync} 2> {said} || status=$?; [ $status = 11 ]; {verify}; \
         status=0; {sync} --full 2>> {said} || status=$?; [ $status = 11 ]; {verify}; \
         rm {cache}/filler; {sync}; {sync} --full; status=0; {verify} || status=$?; [ $status = 4 ]"
    );
    let dir = world.dir.path().to_owned();
    let running = std::thread::spawn(move || sh(&dir, &format!("unshare -m bash -euc '{script}'")));
    while !Path::new(&more).exists() && !running.is_finished() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    world.advise(Action::Warn, "pkg:deb/debian/basic");
    show(&server, &world);
    std::fs::write(&grown, "").unwrap();
    running.join().unwrap();
    let said = std::fs::read_to_string(&said).unwrap();
    assert!(said.contains("No space left") && said.contains("hint: is there space left"), "{said}");
}

#[test]
fn a_second_sync_waits_and_says_why_it_gave_up() {
    let (world, root, _server) = served();
    assert_eq!(sync(&world, &root, &[]).status, 0);
    let mut holder = std::process::Command::new("flock")
        .args(["-o", world.path("cache/lock").to_str().unwrap(), "sh", "-c", "echo held; read line"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.take().unwrap()), &mut line).unwrap();
    let outcome = sync(&world, &root, &[]);
    assert!(outcome.status == 12 && outcome.stderr.contains("another tally is writing"), "{outcome:?}");
    assert_eq!(world.verify(root.path()).status, 0, "readers need no lock");
    drop(holder.stdin.take());
    holder.wait().unwrap();
    assert_eq!(sync(&world, &root, &[]).status, 0);
}

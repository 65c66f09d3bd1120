//! Which index of a repository is the current one: `tally repo` on files and roots, online and offline.

mod world;

use std::fs;
use std::path::PathBuf;

use attest::predicate::{Action, Affected};
use attest::roles::KeyState;
use tlog::Hash;
use world::repositories::{Admin, RULES, SUSE, advise, repomd, role, see, world};
use world::{Outcome, World, now};

const DEBIAN: &str = "deb/debian/bookworm";

/// A clear-signed index; the signature is not looked at.
fn in_release(date: &str, until: &str) -> String {
    format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nSuite: oldstable\nCodename: bookworm\nDate: {date}\n{until}SHA256:\n \
         e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 main/x\n-----BEGIN PGP SIGNATURE-----\n\nx\n-----END PGP SIGNATURE-----\n"
    )
}

fn file(world: &World, name: &str, text: &str) -> PathBuf {
    let path = world.path(name);
    fs::write(&path, text).unwrap();
    path
}

/// What zypper would hear about this index, from the cache alone.
fn check(world: &World, index: &str) -> Outcome {
    let path = file(world, "repomd.xml", index);
    world.tally_by(&["unshare", "-n"], &["repo", "check", "--offline", "--json", "--alias", "oss", "--file", path.to_str().unwrap()])
}

fn findings(outcome: &Outcome) -> Vec<String> {
    let json = outcome.json();
    json["findings"].as_array().unwrap().iter().map(|finding| finding["finding"].as_str().unwrap().to_owned()).collect()
}

fn why(outcome: &Outcome) -> String {
    outcome.json()["findings"][0]["why"].as_str().unwrap_or_default().to_owned()
}

/// A world in which the newest of two indexes is registered and seen by two builders.
fn current() -> (World, Admin, String, String) {
    let (mut world, mut admin) = (world(), Admin::new());
    let (old, new) = (repomd(now() - 90_000), repomd(now() - 600));
    for index in [&old, &new] {
        see(&mut world, SUSE, index, &["builder-1", "builder-2"]);
        admin.register(&mut world, SUSE, index);
    }
    world.fill_cache(world.head());
    (world, admin, old, new)
}

#[test]
fn the_current_index_is_clean_and_says_by_whose_word() {
    let (world, _, _, new) = current();
    let outcome = check(&world, &new);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let json = outcome.json();
    let repository = &json["repositories"][0];
    assert_eq!((repository["current"].as_bool(), repository["name"].as_str()), (Some(true), Some(SUSE)));
    assert_eq!(repository["registered_by"][0]["key"], "admin");
    assert_eq!(repository["seen_by"].as_array().map(Vec::len), Some(2));
    let path = file(&world, "repomd.xml", &new);
    let text = world.tally(&["repo", "check", "--offline", "--name", SUSE, "--file", path.to_str().unwrap()]);
    assert_eq!(text.status, 0, "{text:?}");
    for words in
        ["current       yes", "registered    by admin (entry 6)", "attested      by 2 builders, 2 must: builder-1", "warned        no"]
    {
        assert!(text.stdout.contains(words), "{words}: {}", text.stdout);
    }
}

#[test]
fn a_replayed_index_is_stale_and_the_current_one_named() {
    let (world, _, old, new) = current();
    let outcome = check(&world, &old);
    assert_eq!((outcome.status, findings(&outcome)), (3, vec!["stale-state".to_owned()]));
    let said = why(&outcome);
    assert!(said.starts_with("stale, current is repomd.xml sha256 ") && said.contains(&Hash::digest(new.as_bytes()).to_hex()), "{said}");
    assert!(said.contains("since 20") && said.contains("registration 2") && said.contains("this index was registration 1"), "{said}");
    // One that nobody ever saw, and older than the current one.
    let outcome = check(&world, &repomd(now() - 80_000));
    assert_eq!((outcome.status, findings(&outcome)), (3, vec!["stale-state".to_owned()]));
    // One that nobody ever saw, and newer: it may be the mirror's or an attacker's.
    let outcome = check(&world, &repomd(now()));
    assert_eq!((outcome.status, findings(&outcome)), (2, vec!["unattested".to_owned()]));
}

#[test]
fn a_frozen_mirror_fails_after_the_largest_age() {
    // Log and mirror are both held back: the witnesses' times tell.
    let (world, _, _, new) = current();
    world.fill_cache(world.checkpoint(world.leaves.len(), &[(1, now() - 7200), (2, now() - 7200)]));
    let outcome = check(&world, &new);
    assert_eq!((outcome.status, findings(&outcome)), (3, vec!["stale-head".to_owned()]));
    // The admin registers nothing new: the index is too old for the policy.
    let (mut world, mut admin) = (world::repositories::world(), Admin::new());
    let old = repomd(now() - 4 * 86_400);
    see(&mut world, SUSE, &old, &["builder-1", "builder-2"]);
    admin.register(&mut world, SUSE, &old);
    world.fill_cache(world.head());
    let outcome = check(&world, &old);
    assert_eq!((outcome.status, findings(&outcome)), (3, vec!["stale-state".to_owned()]));
    assert!(why(&outcome).contains("4 days old, and at most 3 days is allowed"), "{}", why(&outcome));
}

#[test]
fn an_admin_who_holds_back_is_seen() {
    let (mut world, _, _, registered) = current();
    let newer = repomd(now() - 300);
    see(&mut world, SUSE, &newer, &["builder-1", "builder-2"]);
    world.fill_cache(world.head());
    let outcome = check(&world, &registered);
    assert_eq!((outcome.status, findings(&outcome)), (0, vec!["explained".to_owned()]), "within the lag");
    world.configure(&RULES.replace("[[", "[repositories]\nlag = \"1m\"\n[["));
    let outcome = check(&world, &registered);
    assert_eq!((outcome.status, findings(&outcome)), (3, vec!["stale-state".to_owned()]));
    assert!(why(&outcome).contains("which no admin has registered for"), "{}", why(&outcome));
    // The newer one itself is not registered.
    let outcome = check(&world, &newer);
    assert_eq!((outcome.status, findings(&outcome)), (2, vec!["unregistered".to_owned()]));
}

#[test]
fn only_the_assigned_admin_registers() {
    let (mut world, mut other) = (world(), Admin { key: "builder-1", end: None });
    let index = repomd(now() - 60);
    see(&mut world, SUSE, &index, &["builder-1", "builder-2"]);
    // Another key's word is in the log, and counts for nothing.
    other.register(&mut world, SUSE, &index);
    world.fill_cache(world.head());
    let outcome = check(&world, &index);
    assert_eq!((outcome.status, findings(&outcome)), (2, vec!["unregistered".to_owned()]));
    assert_eq!(outcome.json()["entries"]["not_counting"], 1);
    Admin::new().register(&mut world, SUSE, &index);
    world.fill_cache(world.head());
    assert_eq!(check(&world, &index).status, 0);
}

#[test]
fn each_builder_below_the_threshold_fails() {
    for (who, status) in
        [(&[][..], 2), (&["builder-1"], 2), (&["builder-1", "builder-2"], 0), (&["builder-1", "builder-2", "builder-3"], 0)]
    {
        let mut world = world();
        let index = repomd(now() - 60);
        see(&mut world, SUSE, &index, who);
        Admin::new().register(&mut world, SUSE, &index);
        world.fill_cache(world.head());
        let outcome = check(&world, &index);
        assert_eq!(outcome.status, status, "{who:?}: {outcome:?}");
        assert_eq!(findings(&outcome), if status == 0 { vec![] } else { vec!["too-few-builders".to_owned()] });
    }
}

#[test]
fn the_security_team_warns_of_an_index_and_withdraws() {
    let (mut world, _, _, new) = current();
    let digests = vec![Hash::digest(new.as_bytes())];
    let first = advise(&mut world, Action::Warn, vec![Affected { digests, ..Affected::repositories("rpm/opensuse/*") }], None);
    world.fill_cache(world.head());
    let outcome = check(&world, &new);
    assert_eq!((outcome.status, findings(&outcome)), (4, vec!["warned".to_owned()]));
    assert!(why(&outcome).starts_with("TSA-7 (Critical): The snapshot is broken."), "{}", why(&outcome));
    advise(&mut world, Action::Withdraw, Vec::new(), Some(first));
    world.fill_cache(world.head());
    assert_eq!(check(&world, &new).status, 0);
}

#[test]
fn roles_say_who_the_admin_is_and_change_by_the_foundation_alone() {
    let (mut world, mut admin, _, new) = current();
    world.change_roles(|roles| {
        roles.admins[0].state = KeyState::Retired;
        roles.admins.push(role("successor", &["pkg:rpm/opensuse/*"]));
    });
    let index = repomd(now() - 30);
    see(&mut world, SUSE, &index, &["builder-1", "builder-2"]);
    let end = admin.end;
    admin.register(&mut world, SUSE, &index);
    world.fill_cache(world.head());
    let outcome = check(&world, &index);
    assert_eq!((outcome.status, findings(&outcome)), (2, vec!["unregistered".to_owned()]), "the retired admin says nothing new");
    assert_eq!(check(&world, &new).status, 0, "and what it said stands");
    Admin { key: "successor", end }.register(&mut world, SUSE, &index);
    world.fill_cache(world.head());
    assert_eq!(check(&world, &index).status, 0);
    let outcome = check(&world, &new);
    assert_eq!((outcome.status, findings(&outcome)), (3, vec!["stale-state".to_owned()]));
}

#[test]
fn without_an_admin_the_builders_word_counts() {
    let mut world = world();
    let old = in_release("Wed, 18 Nov 2020 10:00:00 UTC", "");
    let new = in_release("Fri, 20 Nov 2020 10:00:00 UTC", "");
    for index in [&old, &new] {
        see(&mut world, DEBIAN, index, &["builder-1", "builder-3"]);
    }
    world.fill_cache(world.head());
    let root = world.path("root");
    let lists = root.join("var/lib/apt/lists");
    fs::create_dir_all(&lists).unwrap();
    let judge = |text: &str| {
        fs::write(lists.join("host_debian_dists_bookworm_InRelease"), text).unwrap();
        world.tally(&["repo", "check", "--offline", "--json", "--root", root.to_str().unwrap()])
    };
    let outcome = judge(&new);
    assert_eq!((outcome.status, outcome.json()["repositories"][0]["name"].as_str()), (0, Some(DEBIAN)), "{outcome:?}");
    assert_eq!((judge(&old).status, findings(&judge(&old))), (3, vec!["stale-state".to_owned()]));
    let over = in_release("Fri, 20 Nov 2020 10:00:00 UTC", "Valid-Until: Fri, 27 Nov 2020 10:00:00 UTC\n");
    see(&mut world, DEBIAN, &over, &["builder-1", "builder-2"]);
    world.fill_cache(world.head());
    fs::write(lists.join("host_debian_dists_bookworm_InRelease"), &over).unwrap();
    let outcome = world.tally(&["repo", "check", "--offline", "--json", "--root", root.to_str().unwrap()]);
    assert_eq!((outcome.status, findings(&outcome)), (3, vec!["stale-state".to_owned()]), "{outcome:?}");
    assert!(why(&outcome).contains("valid until 2020-11-27T10:00:00Z"));
    let other = world.tally(&["repo", "check", "--offline", "--suite", "sid", "--root", root.to_str().unwrap()]);
    assert_eq!((other.status, other.stdout.as_str()), (10, ""), "nothing was judged: {other:?}");
}

#[test]
fn what_nobody_names_is_refused_unless_the_policy_says_otherwise() {
    let (world, _, _, new) = current();
    let path = file(&world, "repomd.xml", &new);
    let arguments = ["repo", "check", "--offline", "--json", "--alias", "packman", "--file", path.to_str().unwrap()];
    let outcome = world.tally(&arguments);
    assert_eq!((outcome.status, findings(&outcome)), (2, vec!["unattested".to_owned()]));
    assert!(why(&outcome).contains("packman"), "{}", why(&outcome));
    world.configure(&RULES.replace("[[", "[repositories]\nunlisted = \"warn\"\n[["));
    let outcome = world.tally(&arguments);
    assert_eq!((outcome.status, findings(&outcome)), (0, vec!["explained".to_owned()]));
    let nonsense = file(&world, "nonsense", "no index");
    let outcome = world.tally(&["repo", "check", "--offline", "--name", SUSE, "--file", nonsense.to_str().unwrap()]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (10, ""), "{outcome:?}");
    assert!(outcome.stderr.contains("not the index of a repository"), "{outcome:?}");
    let outcome = world.tally(&["repo", "check", "--name", "tumbleweed", "--file", "x"]);
    assert_eq!(outcome.status, 64, "{outcome:?}");
}

#[test]
fn the_log_is_asked_and_the_cache_stands_in_for_it() {
    let (mut world, mut admin, _, new) = current();
    let server = world::server::Server::start();
    world.configure_log(RULES, &server.url);
    let index = repomd(now() - 5);
    see(&mut world, SUSE, &index, &["builder-1", "builder-2"]);
    admin.register(&mut world, SUSE, &index);
    server.show(&world.leaves, &world.head(), &[]);
    let path = file(&world, "new.xml", &index);
    // As libzypp calls it: the files of the signature need not exist.
    let zypper = |path: &str| world.tally(&["repo", "zypper", "--file", path, "--fsig", "/none", "--fkey", "/none", "--ralias", "oss"]);
    let outcome = zypper(path.to_str().unwrap());
    assert_eq!(outcome.status, 0, "the cache does not know it, the log does: {outcome:?}");
    assert!(server.take_asked().iter().any(|asked| asked.contains("tallystick:repository/rpm/opensuse/tumbleweed")));
    let old = file(&world, "old.xml", &new);
    assert_eq!(zypper(old.to_str().unwrap()).status, 3);
    // A sync asks for what the policy lists, and afterwards the cache answers.
    let root = world.path("dpkg");
    fs::create_dir_all(root.join("var/lib/dpkg/info")).unwrap();
    fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    let synced = world.tally(&["sync", "--root", root.to_str().unwrap()]);
    assert_eq!(synced.status, 0, "{synced:?}");
    world.configure(RULES);
    let outcome = zypper(path.to_str().unwrap());
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(outcome.stderr.contains("the log cannot be asked"), "{outcome:?}");
}

//! The chain of roles as a user meets it: rotation, lost and stolen keys, forgeries, rollback, forks, expiry; and `tally roles`.
//! All documents are signed by the stock `minisign`.

mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use attest::predicate::{Action, Affected, Predicate, RolesLeaf, RolesSignature};
use attest::roles::{Foundation, Member, MinisignKey, Roles, Security};
use attest::{Judge, Statement};
use tlog::{Hash, KeyKind, Signer as _};
use world::packages::base;
use world::repositories::{advise_by, role};
use world::served::sync;
use world::{Outcome, World, key, now};

/// Members with keys made by the stock tool.
struct Keys(tempfile::TempDir);

impl Keys {
    fn new(names: &[&str]) -> Self {
        let keys = Self(tempfile::tempdir().unwrap());
        for name in names {
            minisign(&["-G", "-W", "-p", keys.path(name, "pub"), "-s", keys.path(name, "sec")].map(AsRef::as_ref));
        }
        keys
    }

    fn path(&self, name: &str, kind: &str) -> &'static str {
        // Paths of a few tests may live as long as these.
        Box::leak(self.0.path().join(format!("{name}.{kind}")).display().to_string().into_boxed_str())
    }

    fn key(&self, name: &str) -> MinisignKey {
        let text = fs::read_to_string(self.path(name, "pub")).unwrap();
        MinisignKey::parse(text.lines().nth(1).unwrap()).unwrap()
    }

    fn foundation(&self, threshold: usize, names: &[&str]) -> Foundation {
        let members = names.iter().map(|name| Member { name: (*name).to_owned(), key: self.key(name) }).collect();
        Foundation { threshold, members }
    }

    fn sign(&self, name: &str, text: &str) -> RolesSignature {
        let document = self.path("document", "txt");
        fs::write(document, text).unwrap();
        minisign(&["-S", "-W", "-s", self.path(name, "sec"), "-m", document, "-x", self.path(name, "minisig")].map(AsRef::as_ref));
        RolesSignature { key: self.key(name).as_str().to_owned(), minisig: fs::read_to_string(self.path(name, "minisig")).unwrap() }
    }

    /// The leaf of a document that these members signed.
    fn leaf(&self, roles: &Roles, by: &[&str]) -> Statement {
        leaf(roles.encode(), by.iter().map(|name| self.sign(name, &roles.encode())).collect())
    }
}

fn leaf(text: String, mut signatures: Vec<RolesSignature>) -> Statement {
    signatures.sort_by(|a, b| a.key.cmp(&b.key));
    let leaf = RolesLeaf { signatures, text };
    Statement { subject: leaf.subject(), predicate: Predicate::Roles(leaf) }
}

fn minisign(arguments: &[&Path]) {
    let output = Command::new("minisign").args(arguments).output().expect("minisign is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

const FIVE: [&str; 5] = ["ada", "bo", "cy", "di", "eli"];

/// Version 2 gives the log to a foundation of five, of whom three must sign.
fn founded() -> (World, Keys) {
    let (mut world, keys) = (World::new(), Keys::new(&["ada", "bo", "cy", "di", "eli", "fay", "gus", "hal", "mallory"]));
    world.change_roles(|roles| roles.foundation = keys.foundation(3, &FIVE));
    (world, keys)
}

fn next(roles: &Roles) -> Roles {
    Roles { version: roles.version + 1, previous: Some(roles.digest()), ..roles.clone() }
}

fn history(world: &World) -> serde_json::Value {
    world.fill_cache(world.head());
    let outcome = world.tally(&["roles", "history", "--json"]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    outcome.json()
}

/// What becomes of the newest entry: by the log's own judge, and by a user.
fn seen(world: &World) -> String {
    let mut judge = Judge::new(world.roles_sha256);
    let judged: Vec<_> = world.leaves.iter().zip(0..).map(|(leaf, index)| judge.admit_bytes(index, leaf)).collect();
    let history = history(world);
    let newest = world.leaves.len() as u64 - 1;
    let refused = history["refused"].as_array().unwrap().iter().find(|refused| refused["entry"] == newest);
    match (judged.last().unwrap(), refused) {
        (Ok(_), None) => {
            let last = history["versions"].as_array().unwrap().last().unwrap();
            assert_eq!(last["entry"], newest, "the user's version in force");
            format!("version {} in force", last["version"])
        }
        (Err(refusal), Some(refused)) => {
            assert_eq!(refused["why"].as_str().unwrap(), refusal.to_string(), "the log and the user agree");
            format!("refused: {refusal}")
        }
        (judged, refused) => panic!("the log says {judged:?}, the user {refused:?}"),
    }
}

#[test]
fn each_way_to_change_the_roles_and_each_way_to_fail() {
    let (mut world, keys) = founded();
    let second = world.roles().clone();
    let third = next(&second);
    let rotated = Roles { foundation: keys.foundation(2, &["fay", "gus", "hal"]), ..third.clone() };
    let after = next(&rotated);
    let other = Roles { notes: vec!["Another version 3.".into()], ..third.clone() };
    let forged = {
        let signed = keys.leaf(&third, &["ada", "bo", "cy"]);
        let Predicate::Roles(document) = signed.predicate else { panic!("roles") };
        leaf(document.text.replace("3 of 5", "1 of 5"), document.signatures)
    };
    let three = ["ada", "bo", "cy"];
    let good = || keys.leaf(&third, &three);
    let cases: Vec<(&str, Vec<Statement>, Statement, &str)> = vec![
        ("three of five sign", vec![], good(), "version 3 in force"),
        ("two keys are lost: the other three sign", vec![], keys.leaf(&third, &["cy", "di", "eli"]), "version 3 in force"),
        ("two keys are stolen: two sign", vec![], keys.leaf(&third, &["ada", "bo"]), "refused: 2 members of the foundation signed, 3 must"),
        (
            "two stolen keys and one of a stranger",
            vec![],
            keys.leaf(&third, &["ada", "bo", "mallory"]),
            "refused: a signature is by a key that is not of the foundation",
        ),
        ("a line is altered after signing", vec![], forged, "refused: a minisign signature does not verify"),
        ("all keys are rotated, by the old three", vec![], keys.leaf(&rotated, &three), "version 3 in force"),
        ("after a rotation, the new two sign", vec![keys.leaf(&rotated, &three)], keys.leaf(&after, &["gus", "hal"]), "version 4 in force"),
        (
            "after a rotation, the old five sign",
            vec![keys.leaf(&rotated, &three)],
            keys.leaf(&after, &FIVE),
            "refused: a signature is by a key that is not of the foundation",
        ),
        ("the version in force again", vec![good()], good(), "refused: these roles are in force already"),
        (
            "rollback: version 2 after version 3",
            vec![good()],
            keys.leaf(&second, &three),
            "refused: roles version 2 where version 4 is due",
        ),
        ("a version is left out", vec![], keys.leaf(&next(&third), &three), "refused: roles version 4 where version 3 is due"),
        (
            "fork: another version 3, validly signed",
            vec![good()],
            keys.leaf(&other, &three),
            "refused: two signed roles documents claim to be version 3",
        ),
        (
            "a second version 3 that too few sign",
            vec![good()],
            keys.leaf(&other, &["ada"]),
            "refused: roles version 3 where version 4 is due",
        ),
        (
            "another predecessor",
            vec![],
            keys.leaf(&Roles { previous: Some(Hash::digest(b"x")), ..third.clone() }, &three),
            "refused: the roles name another previous document",
        ),
        (
            "the roles of another log",
            vec![],
            keys.leaf(&Roles { origin: "example.com/other".into(), ..third.clone() }, &three),
            "refused: the roles are of another log",
        ),
    ];
    println!("{:<48} {:<70} seen", "case", "expected");
    let start = world.leaves.clone();
    for (case, before, statement, expected) in cases {
        world.leaves.clone_from(&start);
        for statement in before.iter().chain([&statement]) {
            world.say("carrier", statement);
        }
        let seen = seen(&world);
        println!("{case:<48} {expected:<70} {seen}");
        assert!(seen.starts_with(expected), "{case}: {seen}");
    }
}

#[test]
fn a_client_that_was_away_walks_ten_versions() {
    let (mut world, keys) = founded();
    let server = world::server::Server::start();
    world.configure_log("builders = 2\nmax_age = \"1h\"\n", &server.url);
    server.show(&world.leaves, &world.head(), &[]);
    let root = base().root();
    assert_eq!(sync(&world, &root, &[]).status, 0);
    let names = ["ada", "bo", "cy", "di", "eli", "fay", "gus", "hal"];
    let mut roles = world.roles().clone();
    // Each version replaces one member, so that after ten of them nobody of version 2 is left.
    for step in 0..10 {
        let by = roles.foundation.members.iter().take(3).map(|member| member.name.clone()).collect::<Vec<_>>();
        let mut following = next(&roles);
        let members: Vec<&str> = (0..5).map(|place| names[(step + 1 + place) % names.len()]).collect();
        following.foundation = keys.foundation(3, &members);
        let by: Vec<&str> = by.iter().map(String::as_str).collect();
        world.say("carrier", &keys.leaf(&following, &by));
        roles = following;
    }
    server.show(&world.leaves, &world.head(), &[]);
    let synced = sync(&world, &root, &[]);
    assert_eq!(synced.status, 0, "{synced:?}");
    let shown = world.tally(&["roles", "history", "--json"]).json();
    let versions = shown["versions"].as_array().unwrap();
    assert_eq!((versions.len(), versions[11]["version"].as_u64(), shown["refused"].as_array().map(Vec::len)), (12, Some(12), Some(0)));
    // One version withheld, and nothing behind it counts.
    let missing = world.leaves.len() - 5;
    world.leaves.remove(missing);
    let shown = history(&world);
    assert_eq!(shown["versions"].as_array().map(Vec::len), Some(missing));
    assert_eq!(shown["refused"].as_array().map(Vec::len), Some(4));
}

#[test]
fn three_of_nine_of_the_security_team_warn() {
    let names: Vec<String> = (1..=9).map(|number| format!("team-{number}")).collect();
    let package = base();
    for (speakers, status) in [(1, 0), (2, 0), (3, 4), (9, 4)] {
        let mut world = package.world();
        world.change_roles(|roles| {
            roles.security = Security { threshold: 3, keys: names.iter().map(|name| role(name, &[])).collect() };
        });
        let affected = || vec![Affected::packages("pkg:deb/debian/*")];
        for name in names.iter().take(speakers) {
            advise_by(&mut world, name, Action::Warn, affected(), None);
        }
        world.fill_cache(world.head());
        let outcome = world.verify(package.root().path());
        assert_eq!(outcome.status, status, "{speakers} of 9: {outcome:?}");
        let kind = if status == 0 { "unconfirmed-warning" } else { "warned" };
        assert!(outcome.json()["counts"][kind].as_u64() > Some(0), "{speakers} of 9: {outcome:?}");
    }
}

#[test]
fn expired_roles_are_stale_until_the_next_version() {
    let package = base();
    let mut world = package.world();
    let today = now() / 86_400;
    world.change_roles(|roles| roles.expires = Some(today + 1));
    world.fill_cache(world.head());
    assert_eq!(world.verify(package.root().path()).status, 0);
    world.change_roles(|roles| roles.expires = Some(today));
    world.fill_cache(world.head());
    let outcome = world.verify(package.root().path());
    assert_eq!((outcome.status, outcome.findings(false)), (3, vec!["stale-roles ".to_owned()]), "{outcome:?}");
    let shown = world.tally(&["roles", "show", "--json"]);
    assert_eq!((shown.status, shown.json()["expires"].as_str().map(str::len)), (3, Some(10)));
    world.change_roles(|roles| roles.expires = None);
    world.fill_cache(world.head());
    assert_eq!(world.verify(package.root().path()).status, 0, "the next version is as good as ever");
}

#[test]
fn what_a_version_changes_is_told_before_it_is_signed() {
    let (mut world, keys) = founded();
    world.fill_cache(world.head());
    let shown = world.tally(&["roles", "show"]);
    assert_eq!(shown.status, 0, "{shown:?}");
    assert!(shown.stdout.starts_with("# version 2, in force; entry 1, ") && shown.stdout.contains("signed by alice"), "{}", shown.stdout);
    assert!(shown.stdout.contains("\nfoundation 3 of 5\n"));
    let diff = world.tally(&["roles", "diff"]);
    assert!(diff.stdout.contains("- foundation 1 of 1\n") && diff.stdout.contains("+ foundation 3 of 5\n"), "{diff:?}");
    let mut third = next(world.roles());
    third.builders[0].state = attest::roles::KeyState::Retired;
    let file: PathBuf = world.path("roles-3.txt");
    fs::write(&file, third.encode()).unwrap();
    let proposed = |file: &Path| world.tally(&["roles", "diff", "--file", file.to_str().unwrap()]);
    let key = key("builder-1", KeyKind::Ed25519).key().encode();
    assert_eq!(proposed(&file).stdout, format!("roles from version 2 to version 3\n+ builder {key} retired\n"));
    let astray = world.path("roles-4.txt");
    fs::write(&astray, next(&third).encode()).unwrap();
    assert!(proposed(&astray).stdout.contains("it does not continue version 2, which is in force"), "{:?}", proposed(&astray));
    let none: Outcome = world.tally(&["roles", "show", "--version", "9"]);
    assert_eq!((none.status, none.stdout.as_str()), (64, ""), "{none:?}");
    world.say("carrier", &keys.leaf(&third, &["ada", "di", "eli"]));
    let shown = history(&world);
    assert_eq!(shown["versions"][2]["signed_by"], serde_json::json!(["ada", "di", "eli"]));
}

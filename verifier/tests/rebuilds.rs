//! What rebuilders say, and a policy that demands them. Needs root.

mod world;

use attest::predicate::{Differs, Environment, FirstDifference, Predicate, Rebuild, RebuildResult};
use attest::roles::RoleKey;
use attest::{Manifest, Purl, Statement};
use tlog::{Hash, KeyKind, Signer as _};
use world::packages::{Root, base};
use world::served::RULES;
use world::server::Server;
use world::{World, key};

/// Two builders attest `basic`; three keys may say that they built it again.
fn attested() -> (World, Purl, Manifest, Root) {
    let rebuilder = |name: &str| RoleKey::active(key(name, KeyKind::Ed25519).key().clone(), &["pkg:deb/debian/*"]).unwrap();
    let mut world = World::with_roles(|roles| roles.rebuilders = ["rb-1", "rb-2", "rb-3"].map(rebuilder).to_vec());
    let (purl, manifest) = base().manifest("basic");
    world.claim("builder-1", &purl, &manifest);
    world.claim("builder-2", &purl, &manifest);
    let root = base().root();
    // What another package took over, which nobody attests here.
    root.sh("printf shared > usr/share/basic/taken");
    (world, purl, manifest, root)
}

fn same() -> Rebuild {
    Rebuild::new("basic 1.0-1".into(), Environment::Derived, RebuildResult::Same)
}

fn different() -> Rebuild {
    Rebuild {
        result: RebuildResult::Different,
        sha256: Some(Hash::digest(b"another")),
        first_difference: Some(FirstDifference {
            member: "data.tar.xz".into(),
            path: Some("./usr/bin/suid".into()),
            what: Differs::Content,
        }),
        ..same()
    }
}

fn say(world: &mut World, who: &str, purl: &Purl, package: Hash, rebuild: Rebuild) {
    world.say(who, &Statement::about_package(purl, package, Predicate::Rebuild(rebuild)));
}

const DEMANDING: &str = "builders = 2\nrebuilders = 2\nmax_age = \"1h\"\n";

#[test]
fn a_policy_demands_rebuilders_of_the_very_file() {
    let (mut world, purl, manifest, root) = attested();
    let judge = |world: &World, command: &[&str]| {
        world.fill_cache(world.head());
        let outcome = world.tally(&[command, &["--json"]].concat());
        let kinds: Vec<String> = outcome.findings(false).iter().map(|text| text.split(' ').next().unwrap().to_owned()).collect();
        (outcome.status, kinds)
    };
    let deb = base().deb("basic");
    let (path, deb) = (root.path().to_str().unwrap().to_owned(), deb.to_str().unwrap().to_owned());
    let (verify, check) = (["verify", "basic", "--root", path.as_str()], ["check", "--offline", deb.as_str()]);
    let too_few = (2, vec!["too-few-rebuilders".to_owned()]);
    let clean = (0, Vec::new());
    assert_eq!(
        (judge(&world, &verify), judge(&world, &check)),
        (clean.clone(), clean.clone()),
        "none are demanded unless the policy says so"
    );
    world.configure(DEMANDING);
    assert_eq!((judge(&world, &verify), judge(&world, &check)), (too_few.clone(), too_few.clone()), "nobody built it");
    let package = *manifest.package();
    say(&mut world, "rb-1", &purl, package, same());
    say(&mut world, "rb-1", &purl, package, Rebuild { source_sha256: Some(Hash::digest(b"dsc")), ..same() });
    assert_eq!(judge(&world, &verify), too_few, "one key counts once");
    say(&mut world, "rb-2", &purl, package, different());
    say(&mut world, "builder-1", &purl, package, same());
    say(&mut world, "rb-3", &purl, Hash::digest(b"another package file"), same());
    assert_eq!((judge(&world, &verify), judge(&world, &check)), (too_few.clone(), too_few), "another result, no rebuilder, another file");
    say(&mut world, "rb-3", &purl, package, same());
    assert_eq!((judge(&world, &verify), judge(&world, &check)), (clean.clone(), clean));
}

#[test]
fn explain_and_check_tell_what_came_out() {
    let (mut world, purl, manifest, root) = attested();
    say(&mut world, "rb-1", &purl, *manifest.package(), same());
    say(&mut world, "rb-2", &purl, *manifest.package(), different());
    world.fill_cache(world.head());
    let told = [
        "the same file from basic 1.0-1, in an environment derived from the source package, says rb-1 (entry 3)",
        "another file, which differs first in the content of ./usr/bin/suid in data.tar.xz from basic 1.0-1",
    ];
    let explained = world.tally(&["explain", "/usr/bin/suid", "--root", root.path().to_str().unwrap()]);
    assert!(explained.status == 0 && told.iter().all(|line| explained.stdout.contains(line)), "{explained:?}");
    let checked = world.tally(&["check", "--offline", "--json", base().deb("basic").to_str().unwrap()]);
    let json = checked.json();
    let finding = json["findings"].as_array().unwrap().iter().find(|finding| finding["finding"] == "rebuilt").unwrap().clone();
    assert!(checked.status == 0 && told.iter().all(|line| finding["why"].as_str().unwrap().contains(line)), "{checked:?}");
    assert_eq!(finding["attested_by"][1], serde_json::json!({ "entry": 4, "builder": "rb-2" }));
}

#[test]
fn maintainers_hear_how_it_came_out() {
    let (mut world, purl, manifest, _root) = attested();
    say(&mut world, "rb-1", &purl, *manifest.package(), same());
    say(&mut world, "rb-2", &purl, *manifest.package(), different());
    let server = Server::start();
    world.configure_log(RULES, &server.url);
    server.show(&world.leaves, &world.head(), &world.manifests);
    let heard = world.tally(&["audit", "--once", "--watch", "pkg:deb/debian/ba*"]);
    let told = [
        "rb-1 for the first time has built it again, and the same file came out",
        "rb-2 for the first time has built it again, and another",
    ];
    assert!(heard.status == 0 && told.iter().all(|line| heard.stdout.contains(line)), "{heard:?}");
}

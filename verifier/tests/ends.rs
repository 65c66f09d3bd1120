//! Ends of life, supersession, and what is said of source packages. Needs root.

mod world;

use std::fs;

use attest::Statement;
use attest::predicate::{Action, Affected, Kind, Stage};
use world::packages::{Root, base};
use world::repositories::{Admin, SUSE, advise, repomd, role, see};
use world::served::{RULES, served, sync};
use world::{Outcome, World, now};

fn verify(world: &World, root: &Root, more: &[&str]) -> Outcome {
    let root = root.path().to_str().unwrap();
    world.tally_by(&["unshare", "-n"], &[&["verify", "--json", "--root", root], more].concat())
}

/// Kinds, packages and words of what is neither clean nor merely explained away, and of what is told about ends.
fn told(outcome: &Outcome) -> Vec<(String, String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let wanted = ["end-of-life", "end-announced", "superseded", "source-unknown", "warned", "unconfirmed-warning"];
    let json = outcome.json();
    let findings = json["findings"].as_array().unwrap().iter();
    let told = findings.filter(|finding| wanted.contains(&finding["finding"].as_str().unwrap()) || finding["exit"] != 0);
    told.map(|finding| (text(&finding["finding"]), text(&finding["package"]), text(&finding["why"]))).collect()
}

#[test]
fn an_installed_package_reaches_its_end_and_is_supported_again() {
    let (mut world, root, server) = served();
    let show = |world: &World| {
        server.show(&world.leaves, &world.head(), &world.manifests);
        assert_eq!(sync(world, &root, &[]).status, 0);
        let outcome = verify(world, &root, &["--all"]);
        (outcome.status, told(&outcome))
    };
    assert_eq!(show(&world), (0, Vec::new()));
    let basic = || Affected { before: Some("2".into()), ..Affected::packages("pkg:deb/debian/basic") };
    world.say_end("security", basic(), Stage::EndOfLife, now() + 86_400);
    let (status, findings) = show(&world);
    assert_eq!((status, findings.len(), findings[0].0.as_str()), (0, 1, "end-announced"), "{findings:?}");
    world.say_end("security", basic(), Stage::EndOfLife, 1_750_000_000);
    let (status, findings) = show(&world);
    assert_eq!((status, findings.len()), (3, 1), "{findings:?}");
    let (kind, package, why) = &findings[0];
    assert_eq!((kind.as_str(), package.split(' ').next()), ("end-of-life", Some("basic")));
    let words = "pkg:deb/debian/basic: end of life from 2025-06-15T15:06:40Z on, says the security team: Nobody repairs it any more. \
                 Instead of it: pkg:deb/debian/better. See https://example.com/eol.";
    assert_eq!(why, words);
    // Other packages and other versions are not meant.
    world.say_end("security", Affected { from: Some("2".into()), ..Affected::packages("pkg:deb/debian/taker") }, Stage::EndOfLife, 1);
    world.say_end("security", Affected::packages("pkg:deb/debian/taker"), Stage::Superseded, 1);
    let (status, findings) = show(&world);
    assert_eq!((status, findings.len()), (3, 2), "{findings:?}");
    assert!(findings.iter().any(|(kind, package, _)| kind == "superseded" && package.starts_with("taker")), "{findings:?}");
    world.say_end("security", basic(), Stage::Supported, 0);
    let (status, findings) = show(&world);
    assert_eq!((status, findings.len(), findings[0].0.as_str()), (0, 1, "superseded"), "{findings:?}");
    // Whoever follows the log has seen all of it.
    let audit = world.tally(&["audit", "--once", "--json"]);
    let count = |kind: &str| audit.stdout.lines().filter(|line| line.contains(&format!("\"kind\":\"{kind}\""))).count();
    assert_eq!((audit.status, count("end-of-life"), count("superseded")), (0, 4, 1), "{audit:?}");
    assert!(audit.stdout.contains("pkg:deb/debian/basic reaches its end of life on 2025-06-15 by pkg:deb/debian/better"), "{audit:?}");
}

#[test]
fn a_package_file_at_its_end_is_refused_before_it_is_installed() {
    let mut world = base().world();
    let deb = base().deb("basic");
    let check = |world: &World| {
        world.fill_cache(world.head());
        let outcome = world.tally(&["check", "--offline", "--json", deb.to_str().unwrap()]);
        (outcome.status, told(&outcome).into_iter().map(|(kind, ..)| kind).collect::<Vec<_>>())
    };
    // The file names its own source, whatever builders say.
    world.say_end("security", Affected::sources("pkg:deb/debian/basic"), Stage::EndOfLife, 1);
    assert_eq!(check(&world), (3, vec!["end-of-life".to_owned()]));
}

#[test]
fn what_one_of_a_team_says_alone_is_shown_and_binds_nobody() {
    let mut world = base().world();
    world.change_roles(|roles| {
        roles.security.keys.push(role("second", &[]));
        roles.security.threshold = 2;
        roles.admins = vec![role("admin", &["pkg:deb/debian/taker"])];
    });
    let judge = |world: &World| {
        world.fill_cache(world.head());
        let outcome = verify(world, &base().root(), &["--all"]);
        (
            outcome.status,
            told(&outcome).into_iter().map(|(kind, package, _)| format!("{kind} {}", package.split(' ').next().unwrap())).collect(),
        )
    };
    let said = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    world.say_end("security", Affected::packages("pkg:deb/debian/basic"), Stage::EndOfLife, 1);
    assert_eq!(judge(&world), (0, said(&["unconfirmed-warning basic"])));
    let first = world.leaves.last().unwrap().clone();
    let again = Statement::parse(attest::Envelope::parse(&first).unwrap().payload()).unwrap();
    world.say("second", &again);
    assert_eq!(judge(&world), (3, said(&["end-of-life basic"])));
    // An admin's word is enough for what is in scope, and nothing beyond.
    world.say_end("admin", Affected::packages("pkg:deb/debian/taker"), Stage::EndOfLife, 1);
    assert_eq!(judge(&world), (3, said(&["end-of-life basic", "end-of-life taker"])));
    world.say("admin", &again);
    world.fill_cache(world.head());
    let outcome = verify(&world, &base().root(), &["--all"]);
    assert_eq!(outcome.json()["entries"]["not_counting"], 1, "{outcome:?}");
}

#[test]
fn a_warning_of_a_source_reaches_what_was_built_from_it() {
    let mut world = World::new();
    let judge = |world: &World, package: &str| {
        world.fill_cache(world.head());
        let outcome = verify(world, &base().root(), &[package]);
        (outcome.status, told(&outcome).into_iter().map(|(kind, ..)| kind).collect::<Vec<_>>())
    };
    let kinds = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>();
    let (purl, manifest) = base().manifest("taker");
    for builder in ["builder-1", "builder-2"] {
        world.claim(builder, &purl, &manifest);
    }
    assert_eq!(judge(&world, "taker"), (0, vec![]));
    let about = |before: &str| vec![Affected { before: Some(before.into()), ..Affected::sources("pkg:deb/debian/tools") }];
    let first = advise(&mut world, Action::Warn, about("3.1"), None);
    // Nobody says what it was built from: it may be meant, and the verdict says so.
    assert_eq!(judge(&world, "taker"), (2, kinds(&["source-unknown"])));
    assert_eq!(judge(&world, "divertee").1, kinds(&["unattested"]), "what nobody attests is unknown anyway");
    world.source("builder-2", &purl, &manifest, "other", "3.0");
    assert_eq!(judge(&world, "taker"), (0, vec![]), "it was built from something else");
    world.source("builder-3", &purl, &manifest, "tools", "3.0");
    assert_eq!(judge(&world, "taker"), (4, kinds(&["warned"])), "one builder is enough to be warned");
    let story = world.tally(&["explain", "/usr/share/basic/taken", "--root", base().root().path().to_str().unwrap()]).stdout;
    for (source, builder) in [("other", "builder-2"), ("tools", "builder-3")] {
        assert!(story.contains(&format!("  built from    pkg:deb/debian/{source}@3.0?arch=source, says {builder} (entry ")), "{story}");
    }
    advise(&mut world, Action::Withdraw, Vec::new(), Some(first));
    assert_eq!(judge(&world, "taker"), (0, vec![]));
    world.say_end("security", Affected { before: Some("3.0".into()), ..Affected::sources("pkg:deb/debian/tools") }, Stage::EndOfLife, 1);
    assert_eq!(judge(&world, "taker"), (0, vec![]), "an earlier version is meant");
    world.say_end("security", Affected::sources("pkg:deb/debian/tools"), Stage::EndOfLife, 1);
    assert_eq!(judge(&world, "taker"), (3, kinds(&["end-of-life"])));
}

#[test]
fn a_log_that_hides_an_end_is_found_out() {
    let (mut world, root, server) = served();
    world.say_end("security", Affected::packages("pkg:deb/debian/basic"), Stage::EndOfLife, 1);
    world.control_head(0, 1, now());
    server.show(&world.leaves, &world.head(), &world.manifests);
    server.withhold(|statement: &Statement| statement.kind() == Kind::Lifecycle);
    assert_eq!(sync(&world, &root, &[]).status, 0);
    let outcome = verify(&world, &root, &["--all"]);
    assert_eq!((outcome.status, told(&outcome)[0].0.as_str()), (3, "stale-control-head"), "{outcome:?}");
    assert!(told(&outcome)[0].2.starts_with("lifecycle statement 1 exists, and only 0 are known here"), "{outcome:?}");
    world.configure_log(RULES, &server.url);
    server.withhold(|_| false);
    assert_eq!(sync(&world, &root, &["--full"]).status, 0);
    let outcome = verify(&world, &root, &["--all"]);
    assert_eq!((outcome.status, told(&outcome)[0].0.as_str()), (3, "end-of-life"), "{outcome:?}");
    assert!(outcome.json()["completeness"].as_str().unwrap().contains("1 statements of ends of life"), "{outcome:?}");
}

#[test]
fn a_repository_answers_whether_its_end_has_come() {
    let (mut world, mut admin) = (world::repositories::world(), Admin::new());
    let index = repomd(now() - 600);
    see(&mut world, SUSE, &index, &["builder-1", "builder-2"]);
    admin.register(&mut world, SUSE, &index);
    fs::write(world.path("repomd.xml"), &index).unwrap();
    let path = world.path("repomd.xml").to_str().unwrap().to_owned();
    let check = |world: &World| {
        world.fill_cache(world.head());
        let question = ["repo", "check", "--offline", "--alias", "oss", "--file", path.as_str()];
        let (text, json) = (world.tally(&question), world.tally(&[&question[..], &["--json"]].concat()));
        assert_eq!(text.status, json.status);
        let answer = text.stdout.lines().find_map(|line| line.strip_prefix("  end of life   ")).unwrap().to_owned();
        (text.status, answer, json.json()["repositories"][0]["end_of_life"] == true, told(&json))
    };
    assert_eq!(check(&world), (0, "no".into(), false, vec![]));
    let suse = |pattern: &str| Affected::repositories(pattern);
    world.say_end("admin", suse("rpm/opensuse/leap*"), Stage::EndOfLife, 1);
    assert_eq!(check(&world).0, 0, "another repository");
    world.say_end("admin", suse(SUSE), Stage::EndOfLife, now() + 86_400);
    let (status, answer, is_over, findings) = check(&world);
    assert_eq!((status, answer.as_str(), is_over, findings[0].0.as_str()), (0, "not yet, but a day is set", false, "end-announced"));
    world.say_end("admin", suse(SUSE), Stage::EndOfLife, 1_750_000_000);
    let (status, answer, is_over, findings) = check(&world);
    assert_eq!((status, answer.as_str(), is_over, findings.len()), (3, "yes; see below", true, 1));
    assert!(findings[0].2.contains("says the admin") && findings[0].2.contains("Instead of it: rpm/opensuse/slowroll."), "{findings:?}");
    world.say_end("admin", suse(SUSE), Stage::Superseded, 1);
    let (status, answer, is_over, _) = check(&world);
    assert_eq!((status, answer.as_str(), is_over), (0, "no, but another repository has taken its place", false));
    world.say_end("admin", suse(SUSE), Stage::Supported, 0);
    assert_eq!(check(&world), (0, "no".into(), false, vec![]));
}

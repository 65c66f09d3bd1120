//! From a warning to a user who was away, and what happens when somebody stands in between.

mod world;

use std::fs;

use attest::predicate::{Action, Advisory, Affected, Kind, Severity};
use attest::{Envelope, Predicate, Statement};
use tlog::KeyKind;
use world::served::{RULES, served, sync};
use world::{Outcome, World, key, now};

/// What a machine without a network says.
fn verify(world: &World, root: &world::packages::Root) -> Outcome {
    world.tally_by(&["unshare", "-n"], &["verify", "--all", "--json", "--root", root.path().to_str().unwrap()])
}

fn words(outcome: &Outcome) -> String {
    outcome.json()["completeness"].as_str().unwrap().to_owned()
}

#[test]
fn a_warning_reaches_a_client_that_was_offline_and_so_does_its_withdrawal() {
    let (mut world, root, server) = served();
    assert_eq!(sync(&world, &root, &[]).status, 0);
    assert_eq!(verify(&world, &root).status, 0);
    world.advise(Action::Warn, "pkg:deb/debian/*");
    server.show(&world.leaves, &world.head(), &world.manifests);
    assert_eq!(verify(&world, &root).status, 0, "nobody has told it yet");
    assert_eq!(sync(&world, &root, &[]).status, 0);
    let outcome = verify(&world, &root);
    assert_eq!(outcome.status, 4, "{outcome:?}");
    assert!(outcome.stdout.contains("TSA-1 (High): A hole. Advice: Upgrade. See CVE-2026-0001."), "{outcome:?}");
    // What other tools read says the same.
    let osv = world.tally_by(&["unshare", "-n"], &["advise", "export", "--format", "osv"]);
    let document: serde_json::Value = serde_json::from_str(osv.stdout.trim()).unwrap();
    assert_eq!((osv.status, document["id"].as_str(), document["related"][0].as_str()), (0, Some("TSA-1"), Some("CVE-2026-0001")));
    assert_eq!(document["affected"][0]["database_specific"]["pattern"], "pkg:deb/debian/*");
    let vex = world.tally_by(&["unshare", "-n"], &["advise", "export", "--format", "openvex"]).json();
    let statement = &vex["statements"][0];
    assert_eq!((statement["status"].as_str(), statement["vulnerability"]["name"].as_str()), (Some("affected"), Some("CVE-2026-0001")));
    world.advise(Action::Withdraw, "");
    server.show(&world.leaves, &world.head(), &world.manifests);
    assert_eq!(sync(&world, &root, &[]).status, 0);
    assert_eq!(verify(&world, &root).status, 0);
    let vex = world.tally(&["advise", "export", "--format", "openvex"]).json();
    assert_eq!(vex["statements"], serde_json::json!([]));
    // Both stay visible to whoever follows the log.
    let audit = world.tally(&["audit", "--once", "--json"]);
    for kind in ["\"advisory\"", "\"withdrawal\""] {
        assert!(audit.stdout.lines().any(|line| line.contains(kind) && line.contains("TSA-1")), "{kind}: {audit:?}");
    }
}

#[test]
fn what_a_lookup_hides_is_found_out_or_the_verdict_says_whose_word_it_is() {
    let hides = |change: &dyn Fn(&mut World), hidden: fn(&Statement) -> bool, rules: &str, more: &[&str]| {
        let (mut world, root, server) = served();
        change(&mut world);
        world.configure_log(rules, &server.url);
        server.show(&world.leaves, &world.head(), &world.manifests);
        server.withhold(hidden);
        let synced = sync(&world, &root, more);
        assert_eq!(synced.status, 0, "{synced:?}");
        verify(&world, &root)
    };
    let advisory: fn(&Statement) -> bool = |statement| statement.kind() == Kind::Advisory;
    let warned = |world: &mut World| {
        world.advise(Action::Warn, "pkg:deb/debian/*");
        world.control_head(1, 1, now());
    };
    let outcome = hides(&warned, advisory, RULES, &[]);
    assert_eq!((outcome.status, outcome.findings(false)), (3, vec!["stale-control-head ".to_owned()]), "a warning is hidden");
    assert!(words(&outcome).starts_with("INCOMPLETE"), "{}", words(&outcome));

    let later: fn(&Statement) -> bool =
        |statement| matches!(&statement.predicate, Predicate::Roles(roles) if roles.text.contains("\nversion 2\n"));
    let changed = |world: &mut World| {
        world.change_roles(|roles| roles.notes.push("second".into()));
        world.control_head(0, 2, now());
    };
    let outcome = hides(&changed, later, RULES, &[]);
    assert_eq!((outcome.status, outcome.findings(false)), (3, vec!["stale-roles ".to_owned()]), "roles are hidden");

    let both: fn(&Statement) -> bool = |statement| matches!(statement.kind(), Kind::Advisory | Kind::ControlHead);
    let outcome = hides(&warned, both, RULES, &[]);
    assert_eq!(outcome.status, 0);
    assert!(words(&outcome).starts_with("the log's word"), "{}", words(&outcome));
    let ahead = |world: &mut World| world.control_head(0, 1, now() + 3600);
    let outcome = hides(&ahead, |_| false, RULES, &[]);
    assert_eq!(
        (outcome.status, outcome.findings(false)),
        (3, vec!["stale-control-head ".to_owned()]),
        "a head of the future hides all others"
    );
    let demanding = format!("{RULES}max_control_head_age = \"1h\"\n");
    let outcome = hides(&warned, both, &demanding, &[]);
    assert_eq!((outcome.status, outcome.findings(false)), (3, vec!["stale-control-head ".to_owned()]), "who demands a head notices");

    // A builder that dissents: hidden from whoever asks, seen by whoever reads everything.
    let dissents = |world: &mut World| {
        let disputed = world.manifests.first().unwrap().clone();
        let claimed = world.leaves.iter().find_map(|leaf| {
            let statement = Statement::parse(Envelope::parse(leaf).unwrap().payload()).unwrap();
            matches!(&statement.predicate, Predicate::PackageFiles(files) if files.manifest == disputed.root()).then_some(statement)
        });
        let mut other = claimed.unwrap();
        let Predicate::PackageFiles(files) = &mut other.predicate else { panic!("a claim") };
        files.manifest = tlog::Hash::digest(b"other");
        world.say("builder-3", &other);
        world.control_head(0, 1, now());
    };
    let dissent: fn(&Statement) -> bool =
        |statement| matches!(&statement.predicate, Predicate::PackageFiles(files) if files.manifest == tlog::Hash::digest(b"other"));
    let outcome = hides(&dissents, dissent, RULES, &[]);
    assert_eq!(outcome.status, 0);
    assert!(words(&outcome).ends_with("that no claim is left out is the log's word"), "{}", words(&outcome));
    let outcome = hides(&dissents, dissent, RULES, &["--full"]);
    assert_eq!((outcome.status, outcome.findings(false).len()), (2, 1), "{outcome:?}");
    assert!(outcome.findings(false)[0].starts_with("dissent "), "{outcome:?}");
}

fn warning(sequence: u64, action: Action) -> Statement {
    let advisory = Advisory {
        action,
        advice: "Upgrade".into(),
        affected: if action == Action::Warn { vec![Affected::packages("pkg:deb/debian/*")] } else { Vec::new() },
        id: "TSA-9".into(),
        previous: (sequence > 1).then(|| tlog::Hash::digest(b"before")),
        reference: "CVE-2026-0009".into(),
        sequence,
        severity: Severity::High,
        summary: "The log does not want you to know".into(),
    };
    Statement { subject: advisory.subject(), predicate: Predicate::Advisory(advisory) }
}

fn entry(who: &str, statement: &Statement) -> Vec<u8> {
    Envelope::sign(statement.encode(), &key(who, KeyKind::Ed25519)).unwrap().encode()
}

#[test]
fn a_log_that_refuses_the_team_does_not_stop_a_warning() {
    let (mut world, root, server) = served();
    assert_eq!(sync(&world, &root, &[]).status, 0);
    let signed = entry("security", &warning(1, Action::Warn));
    let file = world.path("warning.json");
    let import = |world: &World, source: &str| world.tally(&["bundle", "import", source]);
    for (bytes, status) in [
        (entry("builder-1", &warning(1, Action::Warn)), 1),
        (entry("security", &warning(1, Action::Withdraw)), 1),
        (signed[..signed.len() - 3].to_vec(), 1),
    ] {
        fs::write(&file, bytes).unwrap();
        assert_eq!(import(&world, file.to_str().unwrap()).status, status);
    }
    assert_eq!(verify(&world, &root).status, 0, "nothing of this counts");
    // From any address at all.
    server.put("somewhere/warning.json", &signed);
    let imported = import(&world, &format!("{}/somewhere/warning.json", server.url));
    assert_eq!(imported.status, 0, "{imported:?}");
    assert!(imported.stdout.contains("the log does not show it"), "{imported:?}");
    let outcome = verify(&world, &root);
    assert_eq!(outcome.status, 4, "{outcome:?}");
    assert!(outcome.stdout.contains("not in the log yet, brought by another road, signed by security: TSA-9 (High)"), "{outcome:?}");
    // Auditors say that the log does not show it.
    let audit = world.tally(&["audit", "--once", "--json"]);
    let withheld = |line: &&str| line.contains("\"kind\":\"withheld\"") && line.contains("signed by security: TSA-9 (High)");
    assert_eq!((audit.status, audit.stdout.lines().filter(withheld).count()), (2, 1), "{audit:?}");
    // The log takes it at last: it is shown once, as an entry.
    world.leaves.push(signed);
    server.show(&world.leaves, &world.head(), &world.manifests);
    assert_eq!(sync(&world, &root, &[]).status, 0);
    let outcome = verify(&world, &root);
    assert_eq!(outcome.status, 4);
    assert!(!outcome.stdout.contains("not in the log yet"), "{outcome:?}");
    let audit = world.tally(&["audit", "--once", "--json"]);
    assert_eq!((audit.status, audit.stdout.contains("withheld"), audit.stdout.contains("TSA-9")), (0, false, true), "{audit:?}");
}

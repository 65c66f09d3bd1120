//! Statements: one of each kind, their bounds, and that everything else is refused.

mod common;

use attest::predicate::{
    Action, Advisory, Affected, Change, ControlHead, Differs, Environment, FirstDifference, Imported, InstallObservation, Kind, Lifecycle,
    Observed, PackageFiles, PackageOrigin, PackageSource, Predicate, Rebuild, RebuildResult, RepositoryState, RolesLeaf, Severity, Stage,
};
use attest::statement::StatementError;
use attest::{Envelope, Statement, Subject};
use common::{ATTR, claim, hash, head, key, lifecycle, origin_signed_by, purl, say_lifecycle, source};
use proptest::prelude::*;

fn about(predicate: Predicate) -> Statement {
    Statement::about_package(&purl(ATTR), hash("attr.deb"), predicate)
}

fn origin() -> PackageOrigin {
    PackageOrigin { signers: vec!["0".repeat(40), "A".repeat(64)], ..origin_signed_by("") }
}

fn advisory() -> Advisory {
    let affected = Affected { before: Some("2".into()), ..Affected::packages("pkg:deb/debian/attr") };
    Advisory {
        action: Action::Warn,
        advice: "Upgrade.".into(),
        affected: vec![affected],
        id: "T-1".into(),
        previous: None,
        reference: "CVE-2026-0001".into(),
        sequence: 1,
        severity: Severity::Critical,
        summary: "A test.".into(),
    }
}

fn state() -> RepositoryState {
    RepositoryState::seen("InRelease", Some(1_700_000_000), Some(1_700_600_000)).registered(Some((1, hash("before"))))
}

fn observation() -> InstallObservation {
    let mut ping = Observed::new("./usr/bin/ping".into(), Change::Modified);
    (ping.mode, ping.caps, ping.uname, ping.gname) =
        (Some("04755".into()), Some("0100".into()), Some("root".into()), Some("messagebus".into()));
    let mut sh = Observed::new("./bin/sh".into(), Change::Diverted);
    sh.to = Some("./bin/sh.distrib".into());
    let mut link = Observed::new("./usr/lib/a\\040b".into(), Change::Generated);
    (link.node, link.link, link.sha256) = (Some("link".into()), Some("../x".into()), Some(hash("x")));
    InstallObservation::new(
        hash("m"),
        format!("sha256:{}", hash("image")),
        vec![ping, sh, link, Observed::new("./etc/x".into(), Change::Missing)],
    )
    .0
}

/// A rebuild with every member that may stand beside the others.
fn different() -> Rebuild {
    let first = FirstDifference { member: "data.tar.xz".into(), path: Some("./usr/bin/attr".into()), what: Differs::Content };
    Rebuild {
        differing: vec!["gcc-12=12.2.0-14".into(), "make=4.3-4.1".into()],
        first_difference: Some(first),
        record: Some(hash("r")),
        sha256: Some(hash("y")),
        source_sha256: Some(hash("dsc")),
        ..Rebuild::new("attr 1".into(), Environment::Differing, RebuildResult::Different)
    }
}

/// One good statement of each kind, in the order of [`Kind::ALL`].
fn all() -> Vec<Statement> {
    let own = |subject, predicate| Statement { subject, predicate };
    let leaf = RolesLeaf { signatures: vec![], text: "text\n".into() };
    let rebuild = different();
    let name = RepositoryState::subject_name("deb", "debian", "bookworm-security");
    vec![
        claim(ATTR, "attr.deb", "m"),
        about(Predicate::InstallObservation(observation())),
        about(Predicate::PackageOrigin(origin())),
        own(Subject::new(name, hash("InRelease")), Predicate::RepositoryState(state())),
        about(Predicate::Rebuild(rebuild)),
        own(advisory().subject(), Predicate::Advisory(advisory())),
        own(leaf.subject(), Predicate::Roles(leaf)),
        head(1, None, 1, 0, 10),
        say_lifecycle(lifecycle(Affected::packages("pkg:deb/debian/attr"), Stage::EndOfLife, 1, None)),
        source(ATTR, "attr.deb", "attr", "1:2.5.1-4"),
    ]
}

/// The same JSON with every object's members sorted: what RFC 8785 demands.
fn sorted(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| name.as_bytes());
            let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{}", sorted(value))).collect();
            format!("{{{}}}", members.join(","))
        }
        serde_json::Value::Array(values) => format!("[{}]", values.iter().map(sorted).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

#[test]
fn each_kind_round_trips_in_canonical_order() {
    let all = all();
    assert_eq!(all.iter().map(Statement::kind).collect::<Vec<_>>(), Kind::ALL);
    for statement in all {
        let bytes = statement.encode();
        let value: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(String::from_utf8(bytes.clone()), Ok(sorted(&value)));
        assert_eq!(Statement::parse(&bytes).as_ref(), Ok(&statement));
    }
}

#[test]
fn kinds_have_one_name() {
    for kind in Kind::ALL {
        assert_eq!(Kind::from_uri(&kind.uri()), Some(kind));
        assert_eq!(Kind::from_short_name(kind.short_name()), Some(kind));
    }
    assert_eq!(Kind::PackageFiles.uri(), "https://tallystick.dev/package-files/v1");
    assert_eq!(Kind::from_uri("https://tallystick.dev/package-files/v2"), None);
    assert_eq!(Kind::from_uri("package-files/v1"), None);
}

#[test]
fn other_texts_are_refused() {
    let good = String::from_utf8(claim(ATTR, "attr.deb", "m").encode()).expect("text");
    for (from, to, error) in [
        ("{\"_type\"", "{ \"_type\"", StatementError::NotCanonical),
        ("\"bytes\":1000,\"lines\":10", "\"lines\":10,\"bytes\":1000", StatementError::NotCanonical),
        ("\"lines\":10", "\"lines\":10.0", StatementError::Malformed),
        ("\"lines\":10", "\"lines\":10,\"time\":1", StatementError::Malformed),
        ("\"lines\":10,", "", StatementError::Malformed),
        (
            "\"lines\":10",
            "\"lines\":1",
            StatementError::BadPredicate("a manifest has at least 2 lines, at most 1,000,000, and at most 64 MiB"),
        ),
        ("Statement/v1", "Statement/v0.1", StatementError::Malformed),
        ("files/v1", "files/v2", StatementError::UnknownPredicate),
        ("files/v1", "origin/v1", StatementError::Malformed),
        ("package-files/v1", "rebuild/v1", StatementError::Malformed),
        ("\"subject\":[{", "\"subject\":[{\"uri\":\"x\",", StatementError::Malformed),
        ("\"subject\":[", "\"subject\":[{\"digest\":{\"sha256\":\"00\"},\"name\":\"x\"},", StatementError::Malformed),
        ("\"sha256\":", "\"sha512\":", StatementError::Malformed),
        ("pkg:deb", "pkg:npm", StatementError::BadSubject("the name must be a canonical package URL")),
        (
            "pkg:deb/debian/",
            "pkg:rpm/fedora/",
            StatementError::BadSubject("header and payload digests belong to rpm packages, and only to them"),
        ),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        assert_eq!(Statement::parse(bad.as_bytes()), Err(error), "{from} -> {to}");
    }
    assert_eq!(Statement::parse(b""), Err(StatementError::Malformed));
    assert_eq!(Statement::parse(&vec![b' '; 50_000]), Err(StatementError::TooLarge));
    assert_eq!(Statement::parse(&[b'['; 100]), Err(StatementError::Malformed));
}

#[test]
fn rpm_packages_carry_three_digests() {
    let mut statement = claim("pkg:rpm/fedora/x@1-1.fc40?arch=x86_64", "x.rpm", "m");
    assert!(statement.check().is_err());
    (statement.subject.digest.rpm_header, statement.subject.digest.rpm_payload) = (Some(hash("h")), Some(hash("p")));
    assert_eq!(Statement::parse(&statement.encode()).as_ref(), Ok(&statement));
    statement.subject.digest.rpm_payload = None;
    assert!(statement.check().is_err());
}

#[test]
fn apk_packages_carry_two_digests() {
    let mut statement = claim("pkg:apk/alpine/x@1-r0?arch=x86_64", "x.apk", "m");
    assert!(statement.check().is_err());
    statement.subject.digest.apk_control = Some(hash("c"));
    assert_eq!(Statement::parse(&statement.encode()).as_ref(), Ok(&statement));
    let mut other = claim("pkg:deb/debian/x@1?arch=amd64", "x.deb", "m");
    assert!(other.check().is_ok());
    other.subject.digest.apk_control = Some(hash("c"));
    assert!(other.check().is_err());
}

#[test]
fn own_affairs_have_their_own_subject() {
    for statement in all().into_iter().filter(|statement| statement.subject.name.starts_with("tallystick:")) {
        let mut other = statement.clone();
        other.subject.name = "tallystick:other".into();
        assert!(matches!(other.check(), Err(StatementError::BadSubject(_))), "{:?}", statement.kind());
        let mut other = statement.clone();
        other.subject.digest.rpm_header = Some(hash("x"));
        assert!(matches!(other.check(), Err(StatementError::BadSubject(_))), "{:?}", statement.kind());
        if statement.kind() != Kind::RepositoryState {
            let mut other = statement;
            other.subject.digest.sha256 = hash("x");
            assert!(matches!(other.check(), Err(StatementError::BadSubject(_))), "{:?}", other.kind());
        }
    }
    for name in [
        "tallystick:repository/deb/debian",
        "tallystick:repository/npm/debian/x",
        "tallystick:repository/deb/Debian/x",
        "tallystick:repository/deb/debian/a b",
    ] {
        let statement = Statement { subject: Subject::new(name.into(), hash("x")), predicate: Predicate::RepositoryState(state()) };
        assert!(matches!(statement.check(), Err(StatementError::BadSubject(_))), "{name}");
    }
}

/// Each change must make its predicate bad.
fn refused<P: Clone>(good: &P, check: impl Fn(P) -> Result<(), StatementError>, changes: &[fn(&mut P)]) {
    assert_eq!(check(good.clone()), Ok(()));
    for (number, change) in changes.iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(matches!(check(bad), Err(StatementError::BadPredicate(_))), "change {number}");
    }
}

#[test]
fn bounds_of_claims_and_origins() {
    let files = PackageFiles { bytes: 10, lines: 2, manifest: hash("m") };
    let check = |files| about(Predicate::PackageFiles(files)).check();
    refused(
        &files,
        check,
        &[|files| files.lines = 1, |files| files.lines = 1_000_001, |files| files.bytes = (64 << 20) + 1, |files| files.bytes = u64::MAX],
    );
    let check = |origin| about(Predicate::PackageOrigin(origin)).check();
    refused(
        &origin(),
        check,
        &[
            |origin| origin.filename = String::new(),
            |origin| origin.suite = "a\nb".into(),
            |origin| origin.origin = "x".repeat(1_025),
            |origin| origin.packages_path = "\0".into(),
            |origin| origin.signers = vec![],
            |origin| origin.signers.reverse(),
            |origin| origin.signers = vec!["0".repeat(40), "0".repeat(40)],
            |origin| origin.signers = vec!["a".repeat(40)],
            |origin| origin.signers = vec!["A".repeat(39)],
        ],
    );
}

#[test]
fn bounds_of_chained_statements() {
    let check = |advisory: Advisory| Statement { subject: advisory.subject(), predicate: Predicate::Advisory(advisory) }.check();
    refused(
        &advisory(),
        check,
        &[
            |advisory| advisory.sequence = 0,
            |advisory| advisory.sequence = 2,
            |advisory| advisory.sequence = u64::MAX,
            |advisory| advisory.previous = Some(hash("x")),
            |advisory| advisory.id = "x".repeat(65),
            |advisory| advisory.id = String::new(),
            |advisory| advisory.advice = "a\u{85}b".into(),
            |advisory| advisory.advice = "do not \u{202e}evaug".into(),
            |advisory| advisory.advice = "a\u{2028}b".into(),
            |advisory| advisory.summary = "x".repeat(1_025),
            |advisory| advisory.reference = String::new(),
            |advisory| advisory.affected = vec![],
            |advisory| advisory.action = Action::Withdraw,
            |advisory| advisory.affected = vec![advisory.affected[0].clone(); 65],
            |advisory| advisory.affected[0].purl = Some("attr".into()),
            |advisory| advisory.affected[0].purl = None,
            |advisory| advisory.affected[0].repository = Some("deb/debian/sid".into()),
            |advisory| advisory.affected[0] = Affected::repositories("debian"),
            |advisory| advisory.affected[0] = Affected::repositories("npm/x/*"),
            |advisory| advisory.affected[0] = Affected { before: Some("2".into()), ..Affected::repositories("deb/debian/sid") },
            |advisory| advisory.affected[0].source = Some("pkg:deb/debian/attr".into()),
            |advisory| advisory.affected[0] = Affected::sources("attr"),
            |advisory| advisory.affected[0] = Affected { digests: vec![hash("x")], ..Affected::sources("pkg:deb/debian/attr") },
            |advisory| advisory.affected[0].from = Some(String::new()),
            |advisory| advisory.affected[0].before = Some("\n".into()),
            |advisory| advisory.affected[0].digests = vec![hash("x"), hash("x")],
        ],
    );
    let good = ControlHead { advisory: 0, lifecycle: Some(3), previous: None, roles: 1, sequence: 1, size: 1, time: 1 };
    let check = |head: ControlHead| Statement { subject: head.subject(), predicate: Predicate::ControlHead(head) }.check();
    refused(
        &good,
        check,
        &[
            |head| head.sequence = 2,
            |head| head.roles = 0,
            |head| head.size = 0,
            |head| head.time = u64::MAX,
            |head| head.advisory = 1 << 53,
            |head| head.lifecycle = Some(0),
            |head| head.lifecycle = Some(1 << 53),
        ],
    );
    let name = RepositoryState::subject_name("deb", "debian", "bookworm");
    let check = |state| Statement { subject: Subject::new(name.clone(), hash("x")), predicate: Predicate::RepositoryState(state) }.check();
    refused(
        &state(),
        check,
        &[
            |state| state.previous = None,
            |state| state.sequence = Some(1),
            |state| state.sequence = None,
            |state| state.date = Some(u64::MAX),
            |state| state.valid_until = Some(1_600_000_000),
            |state| state.valid_until = Some(u64::MAX),
            |state| state.index = String::new(),
            |state| state.index = "dists/InRelease".into(),
        ],
    );
}

#[test]
fn bounds_of_lifecycles() {
    let good = Lifecycle {
        successor: Some("pkg:deb/debian/attr-ng".into()),
        ..lifecycle(Affected::sources("pkg:deb/debian/attr"), Stage::Superseded, 2, Some(hash("before")))
    };
    refused(
        &good,
        |lifecycle| say_lifecycle(lifecycle).check(),
        &[
            |lifecycle| lifecycle.sequence = 1,
            |lifecycle| lifecycle.previous = None,
            |lifecycle| lifecycle.date = None,
            |lifecycle| lifecycle.date = Some(1 << 53),
            |lifecycle| lifecycle.stage = Stage::Supported,
            |lifecycle| (lifecycle.stage, lifecycle.date) = (Stage::Supported, None),
            |lifecycle| (lifecycle.stage, lifecycle.successor) = (Stage::Supported, None),
            |lifecycle| lifecycle.successor = None,
            |lifecycle| lifecycle.successor = Some("attr-ng".into()),
            |lifecycle| lifecycle.successor = Some("pkg:deb/debian/attr*".into()),
            |lifecycle| lifecycle.successor = Some("deb/debian/trixie".into()),
            |lifecycle| lifecycle.affected = Affected::repositories("deb/debian/buster"),
            |lifecycle| lifecycle.affected = Affected { source: None, ..lifecycle.affected.clone() },
            |lifecycle| lifecycle.summary = "two\nlines".into(),
            |lifecycle| lifecycle.reference = String::new(),
        ],
    );
    let repository = Lifecycle {
        successor: Some("deb/debian/trixie".into()),
        ..lifecycle(Affected::repositories("deb/debian/bookworm*"), Stage::EndOfLife, 1, None)
    };
    assert_eq!(say_lifecycle(repository).check(), Ok(()));
    assert_eq!(say_lifecycle(lifecycle(Affected::packages("pkg:deb/debian/attr"), Stage::Supported, 1, None)).check(), Ok(()));
}

#[test]
fn bounds_of_sources() {
    let good = PackageSource::of(&purl(ATTR), "attr", "1:2.5.1-4").expect("a source package");
    assert_eq!(good.source, "pkg:deb/debian/attr@1:2.5.1-4?arch=source");
    let check = |stated| about(Predicate::PackageSource(stated)).check();
    refused(
        &PackageSource { sha256: Some(hash("attr.dsc")), ..good.clone() },
        check,
        &[
            |stated| stated.source = "attr".into(),
            |stated| stated.source = ATTR.into(),
            |stated| stated.source = "pkg:deb/ubuntu/attr@1?arch=source".into(),
            |stated| stated.source = "pkg:rpm/debian/attr@1?arch=src".into(),
        ],
    );
    let of_a_source = Statement::about_package(&purl(&good.source), hash("attr.dsc"), Predicate::PackageSource(good));
    assert!(matches!(of_a_source.check(), Err(StatementError::BadSubject(_))));
    // An rpm package has no epoch of its source in it; it is taken to be its own.
    let rpm = PackageSource::of(&purl("pkg:rpm/fedora/bind-libs@9.18-1.fc40?arch=x86_64&epoch=32"), "bind", "9.18-1.fc40");
    assert_eq!(rpm.map(|stated| stated.source).as_deref(), Some("pkg:rpm/fedora/bind@9.18-1.fc40?arch=src&epoch=32"));
}

#[test]
fn bounds_of_observations() {
    let check = |observation| about(Predicate::InstallObservation(observation)).check();
    refused(
        &observation(),
        check,
        &[
            |observation| observation.image = "debian:12".into(),
            |observation| observation.entries.reverse(),
            |observation| observation.entries.push(observation.entries[3].clone()),
            |observation| observation.full = Some(attest::predicate::FullList { entries: 4, sha256: hash("x") }),
            |observation| observation.entries[0].path = "bin/sh".into(),
            |observation| observation.entries[0].path = "./bin/../sh".into(),
            |observation| observation.entries[0].to = None,
            |observation| observation.entries[1].to = Some("./x".into()),
            |observation| observation.entries[2].mode = Some("4755".into()),
            |observation| observation.entries[2].caps = Some("0A".into()),
            |observation| observation.entries[2].caps = Some(String::new()),
            |observation| observation.entries[2].uname = Some("a b".into()),
            |observation| observation.entries[3].node = Some("door".into()),
            |observation| observation.entries[3].link = Some(String::new()),
            |observation| observation.entries[3].link = Some("a b".into()),
        ],
    );
}

#[test]
fn bounds_of_rebuilds() {
    let check = |rebuild| about(Predicate::Rebuild(rebuild)).check();
    refused(
        &Rebuild::new("attr".into(), Environment::Derived, RebuildResult::Same),
        check,
        &[
            |rebuild| rebuild.sha256 = Some(hash("x")),
            |rebuild| rebuild.result = RebuildResult::Different,
            |rebuild| rebuild.source = String::new(),
            |rebuild| rebuild.record = Some(hash("x")),
            |rebuild| rebuild.environment = Environment::Recorded,
            |rebuild| rebuild.first_difference = different().first_difference,
            |rebuild| rebuild.differing = different().differing,
            |rebuild| rebuild.imported = Some(Imported { key: hash("k"), url: "http://r".into() }),
        ],
    );
    refused(
        &different(),
        check,
        &[
            |rebuild| rebuild.record = None,
            |rebuild| rebuild.differing.clear(),
            |rebuild| rebuild.differing.reverse(),
            |rebuild| rebuild.differing.push("make=4.3-4.1".into()),
            |rebuild| rebuild.differing[0] = "gcc-12".into(),
            |rebuild| rebuild.differing[0] = "gcc 12=1".into(),
            |rebuild| rebuild.differing = (0..1_025).map(|number| format!("p{number:04}=1")).collect(),
            |rebuild| rebuild.first_difference.as_mut().unwrap().member = "a\nb".into(),
            |rebuild| rebuild.first_difference.as_mut().unwrap().path = Some("/usr/bin/attr".into()),
            |rebuild| rebuild.first_difference.as_mut().unwrap().what = Differs::Encoding,
        ],
    );
    let imported = Rebuild {
        imported: Some(Imported { key: hash("k"), url: "http://r".into() }),
        record: Some(hash("link")),
        ..Rebuild::new("attr 1".into(), Environment::Imported, RebuildResult::Same)
    };
    refused(
        &imported,
        check,
        &[
            |rebuild| rebuild.imported = None,
            |rebuild| rebuild.record = None,
            |rebuild| rebuild.environment = Environment::Recorded,
            |rebuild| rebuild.imported.as_mut().unwrap().url = String::new(),
        ],
    );
}

#[test]
fn long_observations_keep_what_explains_most() {
    let mut entries: Vec<Observed> = (0..5_000).map(|number| Observed::new(format!("./var/cache/{number}"), Change::Generated)).collect();
    let mut last = Observed::new("./zzz".into(), Change::Modified);
    last.mode = Some("04755".into());
    entries.push(last.clone());
    let (observation, text) = InstallObservation::new(hash("m"), format!("sha256:{}", hash("image")), entries);
    let (full, text) = (observation.full.clone().expect("a part"), text.expect("the full list"));
    assert_eq!((full.entries, full.sha256), (5_001, attest::Hash::digest(&text)));
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 5_001);
    assert_eq!(observation.entries.last(), Some(&last));
    assert!((500..1_500).contains(&observation.entries.len()), "{}", observation.entries.len());
    let statement = about(Predicate::InstallObservation(observation));
    assert_eq!(statement.check(), Ok(()));
    assert!(Envelope::sign(statement.encode(), &key("b1")).is_ok());
}

#[test]
fn the_same_observations_in_another_order_are_the_same_statement() {
    let image = || format!("sha256:{}", hash("image"));
    let one = |path: &str| Observed::new(path.into(), Change::Missing);
    let a = InstallObservation::new(hash("m"), image(), vec![one("./a"), one("./b"), one("./a")]);
    let b = InstallObservation::new(hash("m"), image(), vec![one("./b"), one("./a")]);
    assert_eq!((a.0.entries.len(), &a.1), (2, &None));
    assert_eq!(a, b);
}

proptest! {
    #[test]
    fn texts_of_every_kind_survive(summary in "\\PC{1,200}", id in "[!-~]{1,64}", digests in proptest::collection::btree_set(any::<[u8; 32]>(), 0..5)) {
        let mut advisory = advisory();
        (advisory.summary, advisory.id) = (summary, id);
        advisory.affected[0].digests = digests.into_iter().map(attest::Hash::new).collect();
        let statement = Statement { subject: advisory.subject(), predicate: Predicate::Advisory(advisory) };
        if statement.check().is_ok() {
            prop_assert_eq!(Statement::parse(&statement.encode()), Ok(statement));
        }
    }

    #[test]
    fn what_is_read_is_written_the_same(which in 0_usize..8, place in 0_usize..3_000, byte in any::<u8>()) {
        let mut bytes = all()[which].encode();
        let place = place % bytes.len();
        bytes[place] = byte;
        if let Ok(statement) = Statement::parse(&bytes) {
            prop_assert_eq!(statement.encode(), bytes);
        }
    }
}

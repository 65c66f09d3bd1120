//! Writes the vectors that `vectors.rs` reads. Run by hand, once per format: what is written is compared with what the code
//! says now, so a change here or there must be looked at by a person.

mod common;

use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use attest::bundle::{BundledLeaf, BundledManifest, EarlierTree};
use attest::manifest::{Attributes, Class, Manifest, ManifestBuilder, Node, device_number, tree_of};
use attest::predicate::{
    Action, Advisory, Affected, Change, ControlHead, Differs, Environment, FirstDifference, Imported, InstallObservation, Lifecycle,
    Observed, Predicate, Rebuild, RebuildResult, RepositoryState, Severity, Stage,
};
use attest::roles::{KeyState, Roles, RolesChain};
use attest::{Bundle, Envelope, Hash, Judge, Statement, Subject};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{
    ATTR, Minisign, claim, first_roles, hash, head, key, leaf, lifecycle, next_roles, origin_signed_by, payload, purl, say_lifecycle,
    source, testdata,
};
use tlog::{Checkpoint, ConsistencyProof, InclusionProof, Note, SignedCheckpoint, Tree, hash_leaf};

/// Writes one vector with the verdict that it gets.
fn write(folder: &str, name: &str, verdict: &str, bytes: &[u8]) {
    let dir = testdata().join(folder);
    fs::create_dir_all(&dir).expect("made");
    fs::write(dir.join(format!("{name}.txt")), [verdict.as_bytes(), b"\n", bytes].concat()).expect("written");
}

fn verdict<T, E: Debug>(result: Result<T, E>) -> String {
    result.map_or_else(|error| format!("refuse {error:?}"), |_| "accept".to_owned())
}

/// A good text and replacements that make it bad.
fn variants(folder: &str, good: &[u8], judge: impl Fn(&[u8]) -> String, changes: &[(&str, &str, &str)]) {
    let text = String::from_utf8(good.to_vec()).expect("text");
    for (name, from, to) in changes {
        let bad = text.replacen(from, to, 1);
        assert_ne!(bad, text, "{name}");
        let said = judge(bad.as_bytes());
        assert!(said.starts_with("refuse "), "{folder}/{name}");
        write(folder, name, &said, bad.as_bytes());
    }
    write(folder, "accept", "accept", good);
    assert_eq!(judge(good), "accept", "{folder}");
}

#[test]
#[ignore = "writes testdata/"]
fn envelopes() {
    let judge = |bytes: &[u8]| verdict(Envelope::parse(bytes).and_then(|envelope| envelope.verify()));
    let good = leaf(&key("builder-1.example"), &claim(ATTR, "attr.deb", "m"));
    let other = leaf(&key("builder-2.example"), &claim(ATTR, "attr.deb", "m"));
    let sig = |bytes: &[u8]| String::from_utf8_lossy(bytes).rsplit_once("\"sig\":\"").expect("there").1.to_owned();
    variants(
        "envelope",
        &good,
        judge,
        &[
            ("space", "{\"payload\"", "{ \"payload\""),
            ("line-feed-at-the-end", "\"}]}", "\"}]}\n"),
            ("other-payload-type", "vnd.in-toto+json", "vnd.dsse+json"),
            ("two-signatures", "\"}]}", "\"},{\"keyid\":\"\",\"sig\":\"\"}]}"),
            ("unknown-member", "\"}]}", "\"}],\"time\":1}"),
            ("payload-without-padding", "=\",\"payloadType\"", "\",\"payloadType\""),
            ("payload-not-base64", "\"payload\":\"", "\"payload\":\"-"),
            ("payload-changed", "\"payload\":\"eyJf", "\"payload\":\"eyJg"),
            ("signature-of-another-key", &sig(&good), &sig(&other)),
            ("key-without-id", "builder-1.example+", "builder-1.example"),
            ("key-with-wrong-id", "builder-1.example+", "builder-3.example+"),
            ("key-with-escape", "builder-1.example+", "builder\\u002d1.example+"),
        ],
    );
    let long = [good.as_slice(), &[b' '; 65_536]].concat();
    write("envelope", "over-65535-bytes", &judge(&long), &long);
}

fn statements_of_each_kind() -> Vec<(&'static str, Statement)> {
    let about = |predicate| Statement::about_package(&purl(ATTR), hash("attr.deb"), predicate);
    let mut ping = Observed::new("./usr/bin/ping".into(), Change::Modified);
    ping.caps = Some("0100000200200000000000000000000000000000".into());
    let mut sh = Observed::new("./bin/sh".into(), Change::Diverted);
    sh.to = Some("./bin/sh.distrib".into());
    let observation = InstallObservation::new(hash("m"), format!("sha256:{}", hash("image")), vec![ping, sh]).0;
    let origin = origin_signed_by("4CB50190207B4758A3F73A796ED0E7B82643E131");
    let rebuild = Rebuild::new("attr 1:2.5.1-4".into(), Environment::Derived, RebuildResult::Same);
    let first = FirstDifference { member: "data.tar.xz".into(), path: Some("./usr/bin/attr".into()), what: Differs::Content };
    let different = Rebuild {
        differing: vec!["gcc-12=12.2.0-14".into(), "make=4.3-4.1".into()],
        first_difference: Some(first),
        record: Some(hash("attr.buildinfo")),
        sha256: Some(hash("another attr.deb")),
        source_sha256: Some(hash("attr.dsc")),
        ..Rebuild::new("attr 1:2.5.1-4".into(), Environment::Differing, RebuildResult::Different)
    };
    let imported = Rebuild {
        imported: Some(Imported { key: hash("rebuilderd"), url: "https://rebuilder.example/".into() }),
        record: Some(hash("link")),
        ..Rebuild::new("attr 1:2.5.1-4".into(), Environment::Imported, RebuildResult::Same)
    };
    let seen = RepositoryState::seen("InRelease", Some(1_700_000_000), Some(1_700_600_000));
    let state = seen.clone().registered(None);
    let name = RepositoryState::subject_name("deb", "debian", "bookworm");
    let second = ControlHead { advisory: 0, lifecycle: Some(2), previous: None, roles: 1, sequence: 1, size: 10, time: 1_700_000_001 };
    let affected = Affected { before: Some("1:2.5".into()), ..Affected::sources("pkg:deb/debian/attr") };
    let successor = Some("pkg:deb/debian/attr-ng".into());
    let ended = Lifecycle { successor, ..lifecycle(affected, Stage::Superseded, 1, None) };
    let successor = Some("deb/debian/bookworm".into());
    let release =
        Lifecycle { successor, ..lifecycle(Affected::repositories("deb/debian/buster*"), Stage::EndOfLife, 2, Some(hash("first"))) };
    let supported = lifecycle(Affected::packages("pkg:deb/debian/attr"), Stage::Supported, 3, Some(hash("second")));
    vec![
        ("package-files", claim(ATTR, "attr.deb", "m")),
        ("install-observation", about(Predicate::InstallObservation(observation))),
        ("package-origin", about(Predicate::PackageOrigin(origin))),
        (
            "repository-state",
            Statement { subject: Subject::new(name.clone(), hash("InRelease")), predicate: Predicate::RepositoryState(state) },
        ),
        ("repository-seen", Statement { subject: Subject::new(name, hash("InRelease")), predicate: Predicate::RepositoryState(seen) }),
        ("rebuild", about(Predicate::Rebuild(rebuild))),
        ("rebuild-different", about(Predicate::Rebuild(different))),
        ("rebuild-imported", about(Predicate::Rebuild(imported))),
        ("advisory", advisory(Action::Warn, 1, None)),
        ("control-head", head(1, None, 1, 0, 10)),
        ("control-head-with-lifecycle", Statement { subject: second.subject(), predicate: Predicate::ControlHead(second) }),
        ("lifecycle", say_lifecycle(ended)),
        ("lifecycle-repository", say_lifecycle(release)),
        ("lifecycle-supported", say_lifecycle(supported)),
        ("package-source", source("pkg:deb/debian/libattr1@1:2.5.1-4?arch=amd64", "libattr1.deb", "attr", "1:2.5.1-4")),
    ]
}

fn advisory(action: Action, sequence: u64, previous: Option<&Statement>) -> Statement {
    let affected = Affected { before: Some("1:2.5.1-5".into()), from: Some("1:2.5".into()), ..Affected::packages("pkg:deb/debian/attr") };
    let advisory = Advisory {
        action,
        advice: "Upgrade to 1:2.5.1-5.".into(),
        affected: if action == Action::Warn { vec![affected] } else { vec![] },
        id: "TSA-2026-0001".into(),
        previous: previous.map(payload),
        reference: "CVE-2026-0001".into(),
        sequence,
        severity: Severity::High,
        summary: "getfattr follows links out of the directory.".into(),
    };
    Statement { subject: advisory.subject(), predicate: Predicate::Advisory(advisory) }
}

#[test]
#[ignore = "writes testdata/"]
fn statements() {
    let judge = |bytes: &[u8]| verdict(Statement::parse(bytes));
    for (name, statement) in statements_of_each_kind() {
        write("statement", &format!("accept-{name}"), &judge(&statement.encode()), &statement.encode());
    }
    let change = |name: &str, kind: &str, from: &str, to: &str| {
        let found = statements_of_each_kind().into_iter().find(|(known, _)| *known == kind).expect("known").1;
        let good = String::from_utf8(found.encode()).expect("text");
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{name}");
        assert!(judge(bad.as_bytes()).starts_with("refuse"), "{name}");
        write("statement", name, &judge(bad.as_bytes()), bad.as_bytes());
    };
    change("empty-object", "package-files", &String::from_utf8(claim(ATTR, "attr.deb", "m").encode()).expect("text"), "{}");
    change("space", "package-files", "{\"_type\"", "{ \"_type\"");
    change("line-feed-at-the-end", "package-files", "}]}", "}]}\n");
    change("other-order", "package-files", "\"bytes\":1000,\"lines\":10", "\"lines\":10,\"bytes\":1000");
    change("needless-escape", "package-files", "pkg:deb/", "pkg:deb\\/");
    change("float", "package-files", "\"lines\":10", "\"lines\":10.0");
    change("exponent", "package-files", "\"lines\":10", "\"lines\":1e1");
    change("negative", "package-files", "\"lines\":10", "\"lines\":-10");
    change("repeated-member", "package-files", "\"lines\":10", "\"lines\":10,\"lines\":10");
    change("unknown-member", "package-files", "\"lines\":10", "\"lines\":10,\"time\":1");
    change("missing-member", "package-files", "\"lines\":10,", "");
    change("statement-v0", "package-files", "Statement/v1", "Statement/v0.1");
    change("unknown-predicate", "package-files", "package-files/v1", "package-files/v2");
    change("predicate-of-another-kind", "package-files", "package-files/v1", "rebuild/v1");
    change("two-subjects", "package-files", "\"subject\":[", "\"subject\":[{\"digest\":{\"sha256\":\"00\"},\"name\":\"x\"},");
    change("subject-not-canonical", "package-files", "attr@1:2.5.1-4", "attr@1%3A2.5.1-4");
    change("subject-of-rpm-without-header", "package-files", "pkg:deb/debian", "pkg:rpm/fedora");
    change("digest-in-uppercase", "package-files", &hash("m").to_hex(), &hash("m").to_hex().to_uppercase());
    change("manifest-of-one-line", "package-files", "\"lines\":10", "\"lines\":1");
    change("observation-out-of-order", "install-observation", "./bin/sh\",\"to\"", "./zzz\",\"to\"");
    change("observation-path-escapes", "install-observation", "./usr/bin/ping", "./usr/../ping");
    change("observation-diverted-to-nowhere", "install-observation", ",\"to\":\"./bin/sh.distrib\"", "");
    change("observation-image-by-tag", "install-observation", "\"image\":\"sha256:", "\"image\":\"debian:");
    change("origin-without-signer", "package-origin", "\"4CB50190207B4758A3F73A796ED0E7B82643E131\"", "");
    change("origin-signer-in-lowercase", "package-origin", "4CB", "4cb");
    change(
        "advisory-about-both",
        "advisory",
        "\"purl\":\"pkg:deb/debian/attr\"",
        "\"purl\":\"pkg:deb/debian/attr\",\"repository\":\"deb/debian/sid\"",
    );
    change("advisory-about-neither", "advisory", ",\"purl\":\"pkg:deb/debian/attr\"", "");
    change("advisory-without-subject-digest", "advisory", "getfattr", "setfattr");
    change("head-without-subject-digest", "control-head", "\"sequence\":1", "\"sequence\":2");
    change("head-with-lifecycle-0", "control-head-with-lifecycle", "\"lifecycle\":2", "\"lifecycle\":0");
    change("lifecycle-superseded-by-nothing", "lifecycle", "\"successor\":\"pkg:deb/debian/attr-ng\",", "");
    change("lifecycle-by-a-pattern", "lifecycle", "attr-ng", "attr*");
    change("lifecycle-without-date", "lifecycle", "\"date\":1750000000,", "");
    change("lifecycle-of-no-stage", "lifecycle", "\"superseded\"", "\"retired\"");
    change("lifecycle-of-both", "lifecycle", "\"source\":", "\"purl\":\"pkg:*\",\"source\":");
    change("lifecycle-repository-with-versions", "lifecycle-repository", "\"digests\":[]", "\"before\":\"1\",\"digests\":[]");
    change("lifecycle-repository-by-a-package", "lifecycle-repository", "\"deb/debian/bookworm\"", "\"pkg:deb/debian/bookworm\"");
    change("lifecycle-without-subject-digest", "lifecycle-supported", "\"sequence\":3", "\"sequence\":4");
    change("source-of-another-vendor", "package-source", "pkg:deb/debian/attr@", "pkg:deb/ubuntu/attr@");
    change("source-that-is-a-binary", "package-source", "arch=source", "arch=amd64");
    change("source-of-a-source", "package-source", "arch=amd64", "arch=source");
    change("rebuild-same-but-different", "rebuild", "\"result\":\"same\"", "\"result\":\"different\"");
    change("rebuild-environment-unknown", "rebuild", "\"derived\"", "\"guessed\"");
    change("rebuild-recorded-without-record", "rebuild", "\"derived\"", "\"recorded\"");
    change("rebuild-differing-out-of-order", "rebuild-different", "gcc-12=12", "zcc-12=12");
    change("rebuild-differing-in-nothing", "rebuild-different", "\"differing\":[\"gcc-12=12.2.0-14\",\"make=4.3-4.1\"],", "");
    change("rebuild-path-of-an-encoding", "rebuild-different", "\"content\"", "\"encoding\"");
    change("rebuild-imported-without-key", "rebuild-imported", "\"key\"", "\"kay\"");
    change("rebuild-imported-from-nowhere", "rebuild-imported", "\"imported\",\"imported\"", "\"recorded\",\"imported\"");
    change("repository-of-no-type", "repository-state", "repository/deb/", "repository/zip/");
    change("repository-index-with-a-path", "repository-state", "InRelease", "dists/InRelease");
    change("repository-over-before-it-began", "repository-state", "1700600000", "1600000000");
    change("repository-first-of-two", "repository-state", "\"sequence\":1", "\"sequence\":2");
    let previous = format!("\"previous\":\"{}\",\"validUntil\"", hash("x"));
    change("repository-seen-after-another", "repository-seen", "\"validUntil\"", &previous);
}

fn manifest() -> Manifest {
    let mut builder = ManifestBuilder::new(hash("package"));
    let root = |mode| Attributes { mode, uname: "root".into(), gname: "root".into() };
    let file = |content: &str| Node::File { size: content.len() as u64, sha256: hash(content) };
    let mut push = |path: &[u8], node, mode, class| builder.push(path, node, root(mode), class, None).expect("good");
    push(b"./dev/null", Node::Char(device_number(1, 3)), 0o666, Class::Fixed);
    push(b"./etc/jq.conf", file("c"), 0o644, Class::Config);
    push(b"./usr/", Node::Dir, 0o755, Class::Fixed);
    push(b"./usr/bin/jq", file("jq"), 0o755, Class::Fixed);
    push(b"./usr/bin/l", Node::Link(b"a b".to_vec()), 0o777, Class::Fixed);
    push("./usr/lib/Zoë\n".as_bytes(), file("z"), 0o644, Class::Fixed);
    push(b"./usr/share/doc/x", file("x"), 0o644, Class::Optional);
    builder.push(b"./usr/bin/ping", file("ping"), root(0o755), Class::Fixed, Some(vec![1, 0, 0, 2])).expect("good");
    builder.push_hardlink(b"./usr/bin/b", b"./usr/bin/jq", Class::Fixed).expect("good");
    builder.finish().expect("good")
}

#[test]
#[ignore = "writes testdata/"]
fn manifests() {
    let judge = |bytes: &[u8]| verdict(Manifest::parse(bytes));
    variants(
        "manifest",
        &manifest().encode(),
        judge,
        &[
            ("no-header", "#mtree", "mtree"),
            ("header-without-digest", " package-sha256=", " package-sha512="),
            ("root-not-implied", ". type=dir optional tags=implied", ". type=dir mode=0755 uname=root gname=root tags=fixed"),
            ("absolute-path", "./dev type", "/dev type"),
            ("parent-component", "./dev type", "./../dev type"),
            ("empty-component", "./dev/null", "./dev//null"),
            ("needless-escape", "./dev/null", "./dev/nul\\154"),
            ("missing-escape", "Zo\\303\\253\\012", "Zo\u{eb}"),
            ("short-escape", "a\\040b", "a\\40b"),
            ("vis-escape", "a\\040b", "a\\sb"),
            ("mode-without-zero", "mode=0666", "mode=666"),
            ("mode-too-long", "mode=0666", "mode=00666"),
            ("keywords-in-another-order", "uname=root gname=root", "gname=root uname=root"),
            ("unknown-keyword", " size=1 ", " size=1 nlink=1 "),
            ("keyword-twice", " size=1 ", " size=1 size=1 "),
            ("digest-in-uppercase", &hash("c").to_hex(), &hash("c").to_hex().to_uppercase()),
            ("device-in-decimal", "device=0x103", "device=259"),
            ("unknown-tag", "tags=config", "tags=conffile"),
            ("optional-without-keyword", " optional tags=optional", " tags=optional"),
            ("two-spaces", " type=char", "  type=char"),
            ("out-of-order", "./etc/jq.conf", "./aetc/jq.conf"),
            ("group-of-one", ",hardlink.1", ""),
            ("group-from-two", ",hardlink.1", ",hardlink.2"),
            ("parent-missing", "./usr/share/doc type=dir optional tags=implied\n", ""),
            (
                "repeated-line",
                "./dev type=dir optional tags=implied\n",
                "./dev type=dir optional tags=implied\n./dev type=dir optional tags=implied\n",
            ),
            ("empty-line", "./etc type", "\n./etc type"),
            ("carriage-return", "tags=config\n", "tags=config\r\n"),
        ],
    );
    let mut cut = manifest().encode();
    cut.pop();
    write("manifest", "no-line-feed-at-the-end", &judge(&cut), &cut);
}

fn keep(folder: &str, name: &str, bytes: &[u8]) {
    let dir: PathBuf = testdata().join(folder);
    fs::create_dir_all(&dir).expect("made");
    fs::write(dir.join(name), bytes).expect("written");
}

#[test]
#[ignore = "writes testdata/"]
fn roles() {
    let old = Minisign::new(&["alice", "bob", "carol"]);
    let new = Minisign::new(&["dora"]);
    let mut first = first_roles(old.foundation(2));
    first.notes = vec!["Agreed at the meeting of 3 May 2026.".to_owned()];
    let mut second = next_roles(&first);
    second.builders[1].state = KeyState::Retired;
    second.builders[2].state = KeyState::CompromisedFrom(812);
    second.foundation.members[2] = new.foundation(1).members[0].clone();
    let twin = Roles { notes: vec!["Another version 2.".to_owned()], ..second.clone() };
    let third = next_roles(&second);
    let sign = |document: &str, roles: &Roles, signers: &[(&str, &Minisign)]| {
        keep("roles-chain", document, roles.encode().as_bytes());
        for (signer, minisign) in signers {
            keep("roles-chain", &format!("{document}.{signer}.minisig"), minisign.sign(signer, &roles.encode()).as_bytes());
        }
    };
    sign("roles-1.txt", &first, &[("alice", &old), ("carol", &old)]);
    sign("roles-2.txt", &second, &[("alice", &old), ("dora", &new), ("bob", &old)]);
    sign("roles-2-twin.txt", &twin, &[("alice", &old), ("bob", &old)]);
    sign("roles-3.txt", &third, &[("dora", &new), ("bob", &old)]);
    let steps = "roles-1.txt alice refuse Signed(TooFew { signed: 1, needed: 2 })\n\
                 roles-1.txt alice,carol accept\n\
                 roles-2.txt alice,dora refuse Signed(TooFew { signed: 1, needed: 2 })\n\
                 roles-2.txt alice,dora,bob accept\n\
                 roles-2-twin.txt alice,bob refuse Fork { version: 2 }\n\
                 roles-3.txt dora,bob accept\n";
    keep("roles-chain", "steps.txt", steps.as_bytes());
    let judge = |bytes: &[u8]| {
        Roles::parse(&String::from_utf8_lossy(bytes)).map_or_else(|error| format!("refuse {error}"), |_| "accept".to_owned())
    };
    let alice = old.key("alice");
    variants(
        "roles",
        second.encode().as_bytes(),
        judge,
        &[
            ("other-title", "tallystick roles v1", "tallystick roles v2"),
            ("origin-twice", "origin log.example/tally", "origin a\norigin log.example/tally"),
            ("version-with-zero", "version 2", "version 02"),
            ("version-1-with-previous", "version 2", "version 1"),
            ("previous-none", &format!("previous {}", first.digest()), "previous none"),
            ("policy-short", &format!("policy {}", hash("policy")), "policy 00"),
            ("no-policy", &format!("policy {}\n", hash("policy")), ""),
            ("foundation-miscounted", "foundation 2 of 3", "foundation 2 of 4"),
            ("foundation-of-nobody", "foundation 2 of 3", "foundation 0 of 3"),
            ("member-twice", "member bob", "member alice"),
            ("member-key-malformed", alice.as_str(), "RWQ"),
            ("another-sentence", "# The foundation decides.", "# The foundation advises."),
            ("missing-blank-line", "\n\n# Vendors", "\n# Vendors"),
            ("indentation", "  retired", " retired"),
            ("unknown-word", "  retired", "  fired"),
            ("builder-without-scope", "  scope pkg:deb/debian/*\n  retired", "  retired"),
            ("builder-key-malformed", "builder b1+", "builder b1"),
            ("compromised-nowhere", "compromised from 812", "compromised"),
            ("threshold-too-high", "threshold 1 of 2", "threshold 3 of 2"),
            ("vendor-without-origin", "vendor deb/debian Debian", "vendor deb/debian"),
        ],
    );
    let mut chain = RolesChain::new(first.digest());
    chain.push(0, &old.signed(&first, &["alice", "carol"], None)).expect("good");
    scenarios(&old, &first);
}

/// One leaf after the other with what the judge says.
struct Scenario {
    judge: Judge,
    text: String,
}

impl Scenario {
    fn say(&mut self, name: &str, statement: &Statement) {
        let index = self.text.lines().count() as u64 - 1;
        let leaf = leaf(&key(name), statement);
        let said = self.judge.admit_bytes(index, &leaf).map_or_else(|refusal| format!("refuse {refusal}:"), |_| "accept".to_owned());
        self.text += &format!("{said} {}\n", STANDARD.encode(leaf));
    }
}

fn scenarios(minisign: &Minisign, first: &Roles) {
    let start = || Scenario { judge: Judge::new(first.digest()), text: format!("pin {}\n", first.digest()) };
    let roles = |roles: &Roles| minisign.signed(roles, &["alice", "bob"], None).to_statement().expect("fits");
    let mut second = next_roles(first);
    second.builders[0].state = KeyState::Retired;
    second.builders[1].state = KeyState::CompromisedFrom(3);

    let mut scenario = start();
    scenario.say("b1", &claim(ATTR, "attr.deb", "m"));
    scenario.say("b1", &roles(first));
    for (name, statement) in [
        ("b1", claim(ATTR, "attr.deb", "m")),
        ("b2", claim(ATTR, "attr.deb", "m")),
        ("nobody", claim(ATTR, "attr.deb", "m")),
        ("s1", claim(ATTR, "attr.deb", "m")),
        ("b1", claim("pkg:deb/ubuntu/attr@1?arch=amd64", "attr.deb", "m")),
        ("nobody", roles(&second)),
        ("b1", claim(ATTR, "attr.deb", "n")),
        ("b2", claim(ATTR, "attr.deb", "n")),
        ("b3", claim(ATTR, "attr.deb", "n")),
        ("nobody", roles(&second)),
    ] {
        scenario.say(name, &statement);
    }
    keep("judge", "roles-change.txt", scenario.text.as_bytes());

    let mut scenario = start();
    let warning = advisory(Action::Warn, 1, None);
    let withdrawal = advisory(Action::Withdraw, 2, Some(&warning));
    scenario.say("b1", &roles(first));
    for (name, statement) in [
        ("s1", withdrawal.clone()),
        ("s1", warning.clone()),
        ("s2", warning.clone()),
        ("control", head(1, None, 1, 1, 3)),
        ("control", head(2, Some(hash("x")), 1, 1, 4)),
        ("control", head(2, Some(payload(&head(1, None, 1, 1, 3))), 1, 1, 2)),
        ("control", head(2, Some(payload(&head(1, None, 1, 1, 3))), 1, 1, 4)),
        ("control", head(2, Some(payload(&head(1, None, 1, 1, 3))), 1, 1, 4)),
        ("s1", advisory(Action::Withdraw, 2, Some(&withdrawal))),
        ("b1", withdrawal.clone()),
        ("s2", withdrawal),
        ("s1", advisory(Action::Warn, 1, None)),
    ] {
        scenario.say(name, &statement);
    }
    keep("judge", "chains.txt", scenario.text.as_bytes());
}

/// Leaves 1 and 3 of a tree of five, with earlier trees of these sizes.
fn small_bundle(earlier_sizes: &[usize]) -> Bundle {
    let leaves: Vec<Vec<u8>> = ["a", "b", "c", "d", "e"].iter().map(|package| leaf(&key("b1"), &claim(ATTR, package, "m"))).collect();
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| hash_leaf(leaf)).collect();
    let bundled = |index: usize| BundledLeaf {
        index: index as u64,
        leaf: leaves[index].clone(),
        proof: InclusionProof::of(&hashes, index).expect("in range"),
    };
    let checkpoint = Checkpoint { origin: "log.example".into(), tree: Tree::of(&hashes), extensions: vec![] };
    let line = checkpoint.sign(&key("log.example"), 0).expect("signed");
    let checkpoint = SignedCheckpoint { note: Note { text: checkpoint.encode(), lines: vec![line] }, checkpoint };
    let text = manifest().encode();
    let manifests = vec![BundledManifest { root: tree_of(&text).root, text }];
    let earlier =
        |size: &usize| EarlierTree { tree: Tree::of(&hashes[..*size]), proof: ConsistencyProof::of(&hashes, *size).expect("smaller") };
    let history = earlier_sizes.iter().map(earlier).collect();
    Bundle { checkpoint, history, leaves: vec![bundled(1), bundled(3)], manifests }
}

fn judge_bundle(bytes: &[u8]) -> String {
    verdict(Bundle::parse(bytes).and_then(|bundle| bundle.verify()))
}

#[test]
#[ignore = "writes testdata/"]
fn bundles_with_earlier_trees() {
    let good = String::from_utf8(small_bundle(&[2, 3]).encode()).expect("text");
    write("proof-bundle", "earlier-trees-accept", "accept", good.as_bytes());
    assert_eq!(judge_bundle(good.as_bytes()), "accept");
    for (name, from, to) in [
        ("earlier-size-with-zero", "tree 2 ", "tree 02 "),
        ("earlier-tree-empty", "tree 2 ", "tree 0 "),
        ("earlier-trees-out-of-order", "tree 2 ", "tree 4 "),
        ("earlier-tree-of-another-size", "tree 3 ", "tree 4 "),
        ("earlier-root-in-uppercase", "tree 3 ", "tree 3 A"),
    ] {
        let bad = good.replacen(from, to, 1);
        let said = judge_bundle(bad.as_bytes());
        assert!(bad != good && said.starts_with("refuse "), "{name}: {said}");
        write("proof-bundle", name, &said, bad.as_bytes());
    }
}

#[test]
#[ignore = "writes testdata/"]
fn bundles() {
    let good = small_bundle(&[]);
    let first = good.leaves[0].proof.0[0].to_base64();
    variants(
        "proof-bundle",
        &good.encode(),
        judge_bundle,
        &[
            ("other-title", "tallystick bundle v1", "tallystick bundle v2"),
            ("no-end", "\nend\n", "\n"),
            ("more-after-the-end", "\nend\n", "\nend\nend\n"),
            ("no-checkpoint", "checkpoint ", "signed-checkpoint "),
            ("checkpoint-too-short", "checkpoint 1", "checkpoint "),
            ("leaf-with-zero", "leaf 1 ", "leaf 01 "),
            ("leaves-out-of-order", "leaf 1 ", "leaf 4 "),
            ("leaf-at-another-index", "leaf 1 ", "leaf 2 "),
            ("leaf-length-wrong", "leaf 1 ", "leaf 1 1"),
            ("proof-changed", &first, &hash("x").to_base64()),
            ("manifest-changed", "mode=0666", "mode=0600"),
            ("manifest-root-in-uppercase", "manifest ", "manifest A"),
        ],
    );
}

#[test]
#[ignore = "writes testdata/"]
fn package_urls() {
    let urls = [
        "pkg:deb/debian/attr@1:2.4.47-2%2Bb1?arch=amd64",
        "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14?arch=i386",
        "pkg:rpm/fedora/x@1.2-3.fc40?arch=x86_64&epoch=1",
        "pkg:alpm/arch/x@1:2-1?arch=any",
        "pkg:apk/alpine/x@1-r0?arch=x86_64",
        "pkg:apk/alpine/x@1-r0?arch=x86_64&branch=v3.20",
        "pkg:deb/debian/attr@1",
        "pkg:deb/attr@1?arch=amd64",
        "pkg:deb/Debian/attr@1?arch=amd64",
        "pkg:npm/debian/attr@1?arch=amd64",
        "pkg:deb/debian/attr@2.4+b1?arch=amd64",
        "pkg:deb/debian/attr@2.4%2bb1?arch=amd64",
        "pkg:deb/debian/attr@1%3A2?arch=amd64",
        "pkg:deb/debian/%61ttr@1?arch=amd64",
        "pkg:deb/debian/attr@0:1?arch=amd64",
        "pkg:deb/debian/attr@1?arch=amd64&distro=bookworm",
        "pkg:rpm/fedora/x@1-1?arch=noarch&epoch=0",
        "pkg:alpm/arch/x@1-1?arch=any&epoch=1",
    ];
    let lines: Vec<String> = urls.iter().map(|url| format!("{} {url}\n", verdict(attest::Purl::parse(url)))).collect();
    keep("purl", "urls.txt", lines.concat().as_bytes());
    let scopes = [
        "pkg:*",
        "pkg:deb/*",
        "pkg:deb/debian/*",
        "pkg:deb/debian/attr",
        "pkg:deb/debian/lib*",
        "pkg:deb/debian/libstdc%2B%2B6",
        "*",
        "pkg:deb",
        "pkg:deb/",
        "pkg:deb/debian",
        "pkg:deb/debian/",
        "pkg:deb/*/attr",
        "pkg:deb/debian/a*b",
        "pkg:deb/debian/a+b",
        "pkg:npm/*",
        "pkg:deb/debian/attr@1",
    ];
    let lines: Vec<String> = scopes.iter().map(|scope| format!("{} {scope}\n", verdict(attest::Scope::parse(scope)))).collect();
    keep("purl", "scopes.txt", lines.concat().as_bytes());
}

/// What `specs/envelope.md` and `specs/bundle.md` show.
#[test]
#[ignore = "prints examples"]
fn examples() {
    let said = leaf(&key("control.example"), &head(1, None, 1, 0, 10));
    println!("{}", String::from_utf8_lossy(&said));
    let tree = Tree::of(&[hash_leaf(&said)]);
    let checkpoint = Checkpoint { origin: "log.example".into(), tree, extensions: vec![] };
    let line = checkpoint.sign(&key("log.example"), 0).expect("signed");
    let checkpoint = SignedCheckpoint { note: Note { text: checkpoint.encode(), lines: vec![line] }, checkpoint };
    let text = ManifestBuilder::new(hash("package")).finish().expect("good").encode();
    let manifests = vec![BundledManifest { root: tree_of(&text).root, text }];
    let leaves = vec![BundledLeaf { index: 0, leaf: said, proof: InclusionProof(vec![]) }];
    println!("{}", String::from_utf8_lossy(&Bundle { checkpoint, history: vec![], leaves, manifests }.encode()));
    println!("{}", String::from_utf8_lossy(&manifest().encode()));
    for (_, statement) in statements_of_each_kind() {
        println!("{}\n", String::from_utf8_lossy(&statement.encode()));
    }
}

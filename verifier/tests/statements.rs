//! A verdict as others get it: in-toto statements, signed, and read again. Needs root, dpkg and openssl.

mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use attest::Envelope;
use serde_json::{Value, json};
use tlog::{Hash, KeyKind, KeyName, Signer as _, VerifierKey};
use world::packages::{NAMES, Root, base};
use world::{Outcome, World, key};

fn fresh() -> (World, Root) {
    let world = base().world();
    world.fill_cache(world.head());
    (world, base().root())
}

fn verify(world: &World, root: &Root, more: &[&str]) -> Outcome {
    world.tally(&[&["verify", "--all", "--root", root.path().to_str().unwrap()], more].concat())
}

fn stated(world: &World, root: &Root, more: &[&str]) -> (i32, Value) {
    let file = world.path("verdict.json");
    let outcome = verify(world, root, &[&["--statement", file.to_str().unwrap()], more].concat());
    (outcome.status, serde_json::from_slice(&fs::read(file).unwrap()).unwrap())
}

/// A key file, and what others know of it.
fn host_key(world: &World, name: &str) -> (PathBuf, String) {
    let file = world.path(name);
    let key = client::keys::create(&file, &KeyName::parse("host1.example/tally").unwrap(), KeyKind::Ed25519).unwrap();
    (file, key.encode())
}

/// A verdict on the root, signed.
fn signed(world: &World, root: &Root) -> (PathBuf, String) {
    let (secret, public) = host_key(world, "host.key");
    let file = world.path("host.vsa.json");
    let arguments = ["--statement", file.to_str().unwrap(), "--sign", secret.to_str().unwrap(), "--quiet"];
    verify(world, root, &arguments);
    (file, public)
}

fn read(world: &World, file: &Path, key: &str, more: &[&str]) -> Outcome {
    world.tally(&[&["proof", "verdict", file.to_str().unwrap(), "--key", key], more].concat())
}

#[test]
fn a_statement_says_what_was_judged_and_by_what() {
    let (world, root) = fresh();
    let mut lines: Vec<String> = NAMES
        .iter()
        .map(|name| {
            let (purl, _) = base().manifest(name);
            format!("{purl} {}\n", Hash::digest(&fs::read(base().deb(name)).unwrap()))
        })
        .collect();
    lines.sort();
    let subject = json!([{ "name": "tallystick:installed", "digest": { "sha256": Hash::digest(lines.concat().as_bytes()).to_hex() } }]);
    let rules = Hash::digest(&fs::read(world.path("policy.toml")).unwrap()).to_hex();

    let (status, vsa) = stated(&world, &root, &[]);
    assert_eq!((status, &vsa["subject"], &vsa["_type"]), (0, &subject, &"https://in-toto.io/Statement/v1".into()));
    assert_eq!(vsa["predicateType"], "https://slsa.dev/verification_summary/v1");
    let predicate = &vsa["predicate"];
    assert_eq!((&predicate["verificationResult"], &predicate["policy"]["digest"]["sha256"]), (&"PASSED".into(), &rules.clone().into()));
    let properties = json!([
        "TALLYSTICK_AS_ATTESTED",
        "TALLYSTICK_ALL_KNOWN",
        "TALLYSTICK_FRESH",
        "TALLYSTICK_NOT_WARNED",
        "TALLYSTICK_NOTHING_ACCEPTED",
        "TALLYSTICK_CLEAN"
    ]);
    assert_eq!(predicate["verifiedLevels"], properties);
    let verdict = &predicate["https://tallystick.dev/verdict/v1"];
    assert_eq!((&verdict["exit"], &verdict["checkpoint"]["size"]), (&0.into(), &world.leaves.len().into()));

    root.sh("chmod 644 usr/bin/suid; echo x > usr/bin/left-here; chmod 755 usr/bin/left-here");
    let (status, vsa) = stated(&world, &root, &["--unowned"]);
    assert_eq!((status, &vsa["predicate"]["verificationResult"]), (1, &"FAILED".into()));
    assert_eq!((&vsa["predicate"]["verifiedLevels"], &vsa["subject"]), (&json!(["FAILED"]), &subject));
    let (status, svr) = stated(&world, &root, &["--predicate", "svr", "--unowned"]);
    assert_eq!((status, &svr["predicateType"]), (1, &"https://in-toto.io/attestation/svr/v0.2".into()));
    assert_eq!(svr["predicate"]["properties"], json!(["TALLYSTICK_FRESH", "TALLYSTICK_NOT_WARNED", "TALLYSTICK_NOTHING_ACCEPTED"]));
    assert_eq!(svr["predicate"]["verifier"]["policies"][0]["digest"]["sha256"], rules);
    root.sh("chmod 755 usr/bin/suid; rm usr/bin/left-here");
    let (status, svr) = stated(&world, &root, &["--predicate", "svr", "--unowned"]);
    let holds = svr["predicate"]["properties"].to_string();
    assert!(status == 1 && holds.contains("NOTHING_UNOWNED") && !holds.contains("CLEAN"), "{svr}");
}

#[test]
fn what_is_installed_beside_the_claims_changes_the_subject() {
    let (world, root) = fresh();
    let digest = |value: Value| value["subject"][0]["digest"]["sha256"].as_str().unwrap().to_owned();
    let all = digest(stated(&world, &root, &[]).1);
    root.sh("sed -i '/^Package: basic/,/^$/s/^Version: .*/Version: 9.0-1/' var/lib/dpkg/status");
    let (status, other) = stated(&world, &root, &[]);
    assert_eq!((status, &other["predicate"]["verificationResult"]), (2, &"FAILED".into()));
    assert_ne!(digest(other), all);
}

#[test]
fn package_files_are_subjects_of_their_own() {
    let (world, _root) = fresh();
    let (file, deb) = (world.path("checked.json"), base().deb("basic"));
    let outcome = world.tally(&["check", "--offline", deb.to_str().unwrap(), "--statement", file.to_str().unwrap()]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let value: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let sha256 = Hash::digest(&fs::read(deb).unwrap()).to_hex();
    assert_eq!(value["subject"], json!([{ "name": "basic 1.0-1 amd64", "digest": { "sha256": sha256 } }]));
    assert_eq!(value["predicate"]["resourceUri"], "tallystick:check");
    // What is no package has no digest to speak of.
    let none = world.tally(&["check", "--offline", "/dev/null", "--statement", file.to_str().unwrap()]);
    assert!(none.status == 10 && none.stderr.contains("makes no statement"), "{none:?}");
}

#[test]
fn a_signature_is_one_of_dsse_and_names_its_key() {
    let (world, root) = fresh();
    let (file, public) = signed(&world, &root);
    let bytes = fs::read(&file).unwrap();
    let envelope = Envelope::parse(bytes.strip_suffix(b"\n").unwrap()).unwrap();
    assert!(envelope.verify().is_ok() && envelope.key().encode() == public);
    // The same by another implementation of Ed25519, over DSSE's own encoding.
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    let raw = VerifierKey::parse(&public).unwrap();
    let der = [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..], raw.public()].concat();
    fs::write(world.path("key.der"), der).unwrap();
    let payload = envelope.payload();
    let pae = [format!("DSSEv1 28 application/vnd.in-toto+json {} ", payload.len()).as_bytes(), payload].concat();
    fs::write(world.path("pae"), pae).unwrap();
    use base64::Engine as _;
    let signature = base64::engine::general_purpose::STANDARD.decode(value["signatures"][0]["sig"].as_str().unwrap()).unwrap();
    fs::write(world.path("sig"), signature).unwrap();
    let openssl = Command::new("openssl")
        .current_dir(world.dir.path())
        .args(["pkeyutl", "-verify", "-pubin", "-inkey", "key.der", "-keyform", "DER", "-rawin", "-in", "pae", "-sigfile", "sig"])
        .output()
        .unwrap();
    assert!(openssl.status.success(), "{openssl:?}");
}

#[test]
fn whoever_gets_a_verdict_checks_key_age_and_content() {
    let (world, root) = fresh();
    let (file, public) = signed(&world, &root);
    let good = read(&world, &file, &public, &["--max-age", "1h"]);
    assert!(good.status == 0 && good.stdout.contains("signed by host1.example/tally"), "{good:?}");
    assert!(good.stdout.contains("tallystick:installed"), "{good:?}");
    let (_, other) = host_key(&world, "other.key");
    let stranger = read(&world, &file, &other, &[]);
    assert!(stranger.status == 1 && stranger.stderr.contains("none of the keys"), "{stranger:?}");
    assert_eq!(world.tally(&["proof", "verdict", file.to_str().unwrap()]).status, 64);
    assert_eq!(read(&world, &file, "no key", &[]).status, 64);
    assert_eq!(read(&world, &file, &public, &["--max-age", "soon"]).status, 64);

    let again = |change: &dyn Fn(String) -> String| {
        let envelope = Envelope::parse(fs::read(&file).unwrap().strip_suffix(b"\n").unwrap()).unwrap();
        let payload = change(String::from_utf8(envelope.payload().to_vec()).unwrap());
        let signer = key("host2.example/tally", KeyKind::Ed25519);
        fs::write(world.path("again.json"), Envelope::sign(payload.into_bytes(), &signer).unwrap().encode()).unwrap();
        read(&world, &world.path("again.json"), &signer.key().encode(), &["--max-age", "1h"])
    };
    let dated = |date: &'static str| {
        move |text: String| {
            let at = text.find("\"timeVerified\":\"").unwrap() + 16;
            format!("{}{date}{}", &text[..at], &text[at + 20..])
        }
    };
    assert_eq!(again(&|text| text).status, 0);
    assert_eq!(again(&dated("2020-01-01T00:00:00Z")).status, 3);
    assert_eq!(again(&dated("2120-01-01T00:00:00Z")).status, 13);
    // What tally would not have said: other spellings, other types, other members, a verdict that contradicts itself.
    let refused: [(&str, &str); 6] = [
        ("2020", "never"),
        ("\"_type\"", " \"_type\""),
        ("verification_summary/v1", "verification_summary/v2"),
        ("Statement/v1", "Statement/v0.1"),
        ("\"PASSED\"", "\"FAILED\""),
        ("\"builders\"", "\"buildings\""),
    ];
    for (from, to) in refused {
        let outcome = again(&|text| if from == "2020" { dated("2020-13-01T00:00:00Z")(text) } else { text.replacen(from, to, 1) });
        assert!(outcome.status == 1 && outcome.stderr.contains("no verdict of tally"), "{from}: {outcome:?}");
    }
    let text = fs::read_to_string(&file).unwrap();
    for broken in [text.replace("\"sig\":\"", "\"sig\":\"AAAA"), text.replacen("eyJ", "eyK", 1), String::new()] {
        fs::write(world.path("broken.json"), broken).unwrap();
        assert_eq!(read(&world, &world.path("broken.json"), &public, &[]).status, 1);
    }
    // A verdict that failed is told as what it is.
    root.sh("echo >> usr/bin/suid");
    fs::remove_file(world.path("host.key")).unwrap();
    let (file, public) = signed(&world, &root);
    let failed = read(&world, &file, &public, &[]);
    assert!(failed.status == 1 && failed.stdout.contains("1 modified") && failed.stderr.is_empty(), "{failed:?}");
}

#[test]
fn what_cannot_be_signed_or_written_is_said() {
    let (world, root) = fresh();
    let (secret, _) = host_key(&world, "host.key");
    let file = world.path("verdict.json");
    let with = |arguments: &[&str]| verify(&world, &root, arguments);
    let (file, secret) = (file.to_str().unwrap(), secret.to_str().unwrap());
    assert_eq!(with(&["--sign", secret]).status, 64);
    assert_eq!(with(&["--statement", file, "--predicate", "other"]).status, 64);
    let absent = with(&["--statement", file, "--sign", "/nowhere.key"]);
    assert!(absent.status == 10 && absent.stdout.is_empty(), "{absent:?}");
    fs::set_permissions(secret, fs::Permissions::from_mode(0o644)).unwrap();
    let open = with(&["--statement", file, "--sign", secret]);
    assert!(open.status == 10 && open.stderr.contains("open to others"), "{open:?}");
    let mldsa = world.path("mldsa.key");
    client::keys::create(&mldsa, &KeyName::parse("host1.example/tally").unwrap(), KeyKind::MlDsa44).unwrap();
    let other = with(&["--statement", file, "--sign", mldsa.to_str().unwrap()]);
    assert!(other.status == 10 && other.stderr.contains("not an Ed25519 verifier key"), "{other:?}");
    assert!(!world.path("verdict.json").exists());
    // The report is printed all the same; the status says that something is missing, and never hides what is not as attested.
    let lost = with(&["--statement", "/nowhere/verdict.json"]);
    assert!(lost.status == 10 && lost.stdout.contains("clean") && lost.stderr.contains("no statement of the verdict"), "{lost:?}");
    root.sh("echo >> usr/bin/suid");
    assert_eq!(with(&["--statement", "/nowhere/verdict.json"]).status, 1);
}

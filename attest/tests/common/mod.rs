//! Keys, a foundation with the stock `minisign`, and documents that the tests share.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::{Path, PathBuf};
use std::process::Command;

use attest::predicate::{Affected, ControlHead, Lifecycle, PackageFiles, PackageOrigin, PackageSource, Predicate, Stage};
use attest::purl::Purl;
use attest::roles::{Foundation, Member, MinisignKey, RoleKey, Roles, Security, SignedRoles, Vendor};
use attest::{Envelope, Statement};
use tlog::{Hash, KeyKind, KeyName, Signer, SigningKey};

/// A key that is the same in every run.
pub fn key(name: &str) -> SigningKey {
    let seed = *Hash::digest(name.as_bytes()).as_bytes();
    SigningKey::from_seed(KeyName::parse(name).expect("a name"), KeyKind::Ed25519, &seed).expect("a key")
}

pub fn hash(text: &str) -> Hash {
    Hash::digest(text.as_bytes())
}

pub fn purl(text: &str) -> Purl {
    Purl::parse(text).expect("a package URL")
}

pub const ATTR: &str = "pkg:deb/debian/attr@1:2.5.1-4?arch=amd64";

/// A claim about `package` with a manifest named by `manifest`.
pub fn claim(name: &str, package: &str, manifest: &str) -> Statement {
    let files = PackageFiles { bytes: 1_000, lines: 10, manifest: hash(manifest) };
    Statement::about_package(&purl(name), hash(package), Predicate::PackageFiles(files))
}

pub fn head(sequence: u64, previous: Option<Hash>, roles: u64, advisory: u64, size: u64) -> Statement {
    let head = ControlHead { advisory, lifecycle: None, previous, roles, sequence, size, time: 1_700_000_000 + sequence };
    Statement { subject: head.subject(), predicate: Predicate::ControlHead(head) }
}

/// What becomes of something, as the statement with this number.
pub fn lifecycle(affected: Affected, stage: Stage, sequence: u64, previous: Option<Hash>) -> Lifecycle {
    Lifecycle {
        affected,
        date: (stage != Stage::Supported).then_some(1_750_000_000),
        previous,
        reference: "https://example.com/eol".into(),
        sequence,
        stage,
        successor: None,
        summary: "Nobody repairs it any more.".into(),
    }
}

pub fn say_lifecycle(lifecycle: Lifecycle) -> Statement {
    Statement { subject: lifecycle.subject(), predicate: Predicate::Lifecycle(lifecycle) }
}

/// That a package file was built from a source package.
pub fn source(name: &str, package: &str, source: &str, version: &str) -> Statement {
    let stated = PackageSource::of(&purl(name), source, version).expect("a source package");
    Statement::about_package(&purl(name), hash(package), Predicate::PackageSource(stated))
}

/// Where `ATTR` came from, as signed by one key of the repository.
pub fn origin_signed_by(signer: &str) -> PackageOrigin {
    PackageOrigin {
        filename: "pool/main/a/attr/attr_2.5.1-4_amd64.deb".into(),
        in_release: hash("InRelease"),
        origin: "Debian".into(),
        packages_path: "main/binary-amd64/Packages.xz".into(),
        packages: hash("Packages"),
        signers: vec![signer.into()],
        suite: "bookworm".into(),
    }
}

/// The leaf that says it.
pub fn leaf(key: &SigningKey, statement: &Statement) -> Vec<u8> {
    statement.check().expect("a good statement");
    Envelope::sign(statement.encode(), key).expect("signed").encode()
}

pub fn payload(statement: &Statement) -> Hash {
    Hash::digest(&statement.encode())
}

pub fn role_key(key: &SigningKey, scopes: &[&str]) -> RoleKey {
    RoleKey::active(key.key().clone(), scopes).expect("scopes")
}

/// Three members with keys by the stock tool, two of whom must sign.
pub struct Minisign {
    dir: tempfile::TempDir,
    pub names: Vec<&'static str>,
}

impl Minisign {
    pub fn new(names: &[&'static str]) -> Self {
        let this = Self { dir: tempfile::tempdir().expect("a directory"), names: names.to_vec() };
        for name in names {
            let (public, secret) = (this.path(&format!("{name}.pub")), this.path(&format!("{name}.key")));
            run(Command::new("minisign").args(["-G", "-W", "-p"]).arg(public).arg("-s").arg(secret));
        }
        this
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn key(&self, name: &str) -> MinisignKey {
        let text = std::fs::read_to_string(self.path(&format!("{name}.pub"))).expect("a public key");
        MinisignKey::parse(text.lines().nth(1).expect("two lines")).expect("a minisign key")
    }

    pub fn foundation(&self, threshold: usize) -> Foundation {
        let members = self.names.iter().map(|name| Member { name: (*name).to_owned(), key: self.key(name) }).collect();
        Foundation { threshold, members }
    }

    /// The `.minisig` file for a text.
    pub fn sign(&self, name: &str, text: &str) -> String {
        self.sign_with(name, text, &[])
    }

    pub fn sign_with(&self, name: &str, text: &str, more: &[&str]) -> String {
        let document = self.path("roles.txt");
        std::fs::write(&document, text).expect("written");
        let signature = self.path("roles.txt.minisig");
        let secret = self.path(&format!("{name}.key"));
        run(Command::new("minisign").args(["-S", "-W"]).args(more).arg("-s").arg(secret).arg("-m").arg(document).arg("-x").arg(&signature));
        std::fs::read_to_string(signature).expect("a signature")
    }

    pub fn signed(&self, roles: &Roles, by: &[&str], known: Option<&Foundation>) -> SignedRoles {
        let text = roles.encode();
        let minisigs: Vec<String> = by.iter().map(|name| self.sign(name, &text)).collect();
        SignedRoles::assemble(&text, &minisigs, known).expect("assembled")
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("minisign is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Version 1: builders b1 to b3 for Debian, one admin, one rebuilder, security s1 and s2, control c.
pub fn first_roles(foundation: Foundation) -> Roles {
    let builders = ["b1", "b2", "b3"].iter().map(|name| role_key(&key(name), &["pkg:deb/debian/*"])).collect();
    Roles {
        notes: vec!["Made for tests.".to_owned()],
        vendors: vec![Vendor::debian()],
        builders,
        admins: vec![role_key(&key("admin"), &["pkg:deb/debian/*"])],
        rebuilders: vec![role_key(&key("rebuilder"), &["pkg:deb/*"])],
        security: Security { threshold: 1, keys: vec![role_key(&key("s1"), &[]), role_key(&key("s2"), &[])] },
        control: vec![role_key(&key("control"), &[])],
        ..Roles::first("log.example/tally", hash("policy"), foundation)
    }
}

/// The version after.
pub fn next_roles(roles: &Roles) -> Roles {
    Roles { version: roles.version + 1, previous: Some(roles.digest()), ..roles.clone() }
}

/// The workspace's `testdata/`.
pub fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata")
}

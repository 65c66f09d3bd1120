//! A small world: a log, three witnesses with a quorum of two, a foundation of three, two builders and a security key.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use attest::predicate::Predicate;
use attest::purl::Purl;
use attest::roles::{Foundation, Member, MinisignKey, RoleKey, Roles, Security, Vendor};
use attest::{Envelope, Manifest, Statement};
use client::log::Submitted;
use client::{FetchError, Http, LogClient, block_on, keys};
use tlog::{Hash, KeyKind, KeyName, Policy, Signer, TlogProof, VerifierKey};

use crate::program::{Program, run};

/// The log's name.
pub const ORIGIN: &str = "example.com/tallystick";

/// Directories, keys and running servers.
pub struct World {
    /// Everything that is on disk.
    pub dir: tempfile::TempDir,
    /// The log's verifier keys.
    pub log_keys: Vec<VerifierKey>,
    /// The log; `None` while it is stopped.
    pub log: Option<Program>,
    /// The witnesses; `None` while one is stopped.
    pub witnesses: Vec<Option<Program>>,
    /// The keys of two builders, whose directories `builder-1` and `builder-2` tally-builder made.
    pub builders: Vec<Box<dyn Signer>>,
    /// The security team's key, which is its online key too.
    pub security: Box<dyn Signer>,
    /// SHA-256 of the first roles document.
    pub roles_sha256: Hash,
}

impl World {
    /// Makes and starts everything.
    ///
    /// # Panics
    /// If a program does not start: nothing can be tested then.
    #[must_use]
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        let log_keys = init("tally-log", &["init", "--dir", path(&at("log")), "--origin", ORIGIN]);
        fs::write(at("logs"), log_list(&log_keys)).expect("written");
        let named: Vec<_> = (1..=3).map(|n| (n, witness_keys(dir.path(), n))).collect();
        let witnesses: Vec<_> = (1..=3).map(|n| Some(start_witness(dir.path(), n, "127.0.0.1:0"))).collect();
        let urls: Vec<String> = witnesses.iter().flatten().map(Program::url).collect();
        fs::write(at("log.policy"), policy(&log_keys, &named, &urls)).expect("written");
        let builders: Vec<_> = (1..=2).map(|n| builder_key(dir.path(), n)).collect();
        let security = role_key(dir.path(), "security.example");
        let policy_digest = Hash::digest(&fs::read(at("log.policy")).expect("read"));
        let roles = roles(foundation(dir.path()), policy_digest, &builders, security.key());
        let roles_sha256 = publish_roles(dir.path(), &roles);
        let mut world = Self { dir, log_keys, log: None, witnesses, builders, security, roles_sha256 };
        world.start_log();
        world
    }

    /// A path in the world's directory.
    #[must_use]
    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts the log and waits until it takes entries.
    ///
    /// # Panics
    /// If it does not start, or is not well after a minute.
    pub fn start_log(&mut self) {
        self.log = Some(self.try_start_log("log").expect("the log starts"));
        let http = Http::new(&self.log.as_ref().expect("it runs").url(), Duration::from_secs(5)).expect("a URL");
        let started = Instant::now();
        // It listens before it has heard its witnesses and published the roles.
        while let Err(error) = block_on(http.get("healthz", 4096)).expect("a runtime") {
            assert!(started.elapsed() < Duration::from_secs(60), "the log is not well: {error}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts a log over a directory of the world.
    ///
    /// # Errors
    /// With what it said, if it does not start.
    pub fn try_start_log(&self, name: &str) -> io::Result<Program> {
        let (dir, policy, roles) = (self.at(name), self.at("log.policy"), self.at("roles-1.txt"));
        let arguments = ["serve", "--dir", path(&dir), "--listen", "127.0.0.1:0", "--policy", path(&policy), "--roles", path(&roles)];
        Program::start("tally-log", arguments, &self.at(&format!("{name}.stderr")))
    }

    /// Starts witness `n` (from 1) again, at the address that it had before.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart_witness(&mut self, n: usize, address: &str) {
        self.witnesses[n - 1] = Some(start_witness(self.dir.path(), n, address));
    }

    /// A new key of this name, in the file `NAME.key`.
    #[must_use]
    pub fn role_key(&self, name: &str) -> Box<dyn Signer> {
        role_key(self.dir.path(), name)
    }

    /// Writes another version of the roles as `roles-N.txt`, and has two members of the foundation sign it.
    pub fn sign_roles(&self, roles: &Roles) {
        publish_roles(self.dir.path(), roles);
    }

    /// The running log.
    ///
    /// # Panics
    /// If it is stopped.
    #[must_use]
    pub fn client(&self) -> LogClient {
        LogClient::new(&self.log.as_ref().expect("the log runs").url()).expect("a URL")
    }

    /// The witness policy.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy::parse(&fs::read(self.at("log.policy")).expect("read")).expect("a policy")
    }

    /// Uploads a manifest and submits the claim that a package has it; returns the verified proof.
    ///
    /// # Errors
    /// What the log answered.
    ///
    /// # Panics
    /// If the proof does not verify.
    pub fn claim(&self, builder: usize, purl: &Purl, package: Hash, manifest: &Manifest) -> Result<TlogProof, FetchError> {
        let signer = &*self.builders[builder];
        let claim = attest::predicate::PackageFiles::of(manifest);
        block_on(self.client().put_manifest(ORIGIN, &claim.manifest, manifest.encode(), signer)).expect("a runtime")?;
        self.say(&Statement::about_package(purl, package, Predicate::PackageFiles(claim)), signer)
    }

    /// Submits a statement and waits for its proof.
    ///
    /// # Errors
    /// What the log answered; pending counts as unreachable.
    ///
    /// # Panics
    /// If the proof does not verify.
    pub fn say(&self, statement: &Statement, signer: &dyn Signer) -> Result<TlogProof, FetchError> {
        let envelope = Envelope::sign(statement.encode(), signer).expect("it signs").encode();
        match block_on(self.client().submit(envelope.clone(), Duration::from_secs(30))).expect("a runtime")? {
            Submitted::Pending => Err(FetchError::Unreachable { url: "entries".into(), reason: "pending".into() }),
            Submitted::Proven(proof) => {
                let checkpoint = &proof.checkpoint;
                checkpoint.verify_log(&self.log_keys).expect("signed by the log");
                self.policy().verify(checkpoint).expect("cosigned by the quorum");
                proof.proof.verify(&checkpoint.checkpoint.tree, proof.index, &tlog::hash_leaf(&envelope)).expect("proven");
                Ok(*proof)
            }
        }
    }
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().expect("a temporary path is text")
}

/// Runs an `init` and reads the verifier keys that it prints.
fn init(program: &str, arguments: &[&str]) -> Vec<VerifierKey> {
    let output = run(program, arguments);
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| VerifierKey::parse(line).expect("a verifier key")).collect()
}

fn log_list(keys: &[VerifierKey]) -> String {
    let blocks = keys.iter().map(|key| format!("\nvkey {}\nqpd 86400\ncontact log@example.com\n", key.encode()));
    format!("logs/v0\n{}", blocks.collect::<String>())
}

fn witness_keys(dir: &Path, n: usize) -> Vec<VerifierKey> {
    init("tally-witness", &["init", "--dir", path(&dir.join(format!("witness-{n}"))), "--name", &format!("witness-{n}.example")])
}

fn start_witness(dir: &Path, n: usize, address: &str) -> Program {
    let (own, logs) = (dir.join(format!("witness-{n}")), dir.join("logs"));
    let arguments = ["serve", "--dir", path(&own), "--listen", address, "--logs", path(&logs)];
    Program::start("tally-witness", arguments, &dir.join(format!("witness-{n}.stderr"))).expect("the witness starts")
}

/// Each witness has two keys and counts once: a group of any of them.
fn policy(log: &[VerifierKey], named: &[(usize, Vec<VerifierKey>)], urls: &[String]) -> String {
    let logs = log.iter().map(|key| format!("log {}\n", key.encode()));
    let witnesses = named.iter().zip(urls).map(|((n, keys), url)| {
        let lines = keys.iter().enumerate().map(|(k, key)| format!("witness w{n}-{k} {} {url}\n", key.encode()));
        format!("{}group w{n} any w{n}-0 w{n}-1\n", lines.collect::<String>())
    });
    format!("{}{}group quorum 2 w1 w2 w3\nquorum quorum\n", logs.collect::<String>(), witnesses.collect::<String>())
}

/// A builder's directory with its key.
fn builder_key(dir: &Path, n: usize) -> Box<dyn Signer> {
    let home = dir.join(format!("builder-{n}"));
    init("tally-builder", &["init", "--dir", path(&home), "--name", &format!("builder-{n}.example")]);
    keys::load(&home.join("keys/builder.key")).expect("a key")
}

/// A role's key in a file of its own.
fn role_key(dir: &Path, name: &str) -> Box<dyn Signer> {
    let file = dir.join(format!("{name}.key"));
    keys::create(&file, &KeyName::parse(name).expect("a name"), KeyKind::Ed25519).expect("a key");
    keys::load(&file).expect("a key")
}

/// Three members with keys by the stock minisign, two of whom must sign.
fn foundation(dir: &Path) -> Foundation {
    let member = |name: &str| {
        let (public, secret) = (dir.join(format!("{name}.pub")), dir.join(format!("{name}.sec")));
        let output = Command::new("minisign").args(["-G", "-W", "-p", path(&public), "-s", path(&secret)]).output().expect("minisign");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = fs::read_to_string(public).expect("read");
        let key = MinisignKey::parse(text.lines().nth(1).expect("a key line")).expect("a key");
        Member { name: name.to_owned(), key }
    };
    Foundation { threshold: 2, members: ["alice", "bob", "carol"].map(member).into() }
}

fn roles(foundation: Foundation, policy: Hash, builders: &[Box<dyn Signer>], security: &VerifierKey) -> Roles {
    let entry = |key: &VerifierKey, scopes: &[&str]| RoleKey::active(key.clone(), scopes).expect("scopes");
    Roles {
        vendors: vec![Vendor::debian()],
        builders: builders.iter().map(|builder| entry(builder.key(), &["pkg:deb/debian/*"])).collect(),
        rebuilders: builders.iter().map(|builder| entry(builder.key(), &["pkg:deb/debian/*"])).collect(),
        security: Security { threshold: 1, keys: vec![entry(security, &[])] },
        control: vec![entry(security, &[])],
        ..Roles::first(ORIGIN, policy, foundation)
    }
}

/// Writes the document, has two members sign it, and returns its digest.
fn publish_roles(dir: &Path, roles: &Roles) -> Hash {
    let text = roles.encode();
    let file = dir.join(format!("roles-{}.txt", roles.version));
    fs::write(&file, &text).expect("written");
    for member in ["alice", "bob"] {
        let (secret, signature) = (dir.join(format!("{member}.sec")), dir.join(format!("roles-{}.txt.{member}.minisig", roles.version)));
        let output = Command::new("minisign").args(["-S", "-s", path(&secret), "-x", path(&signature), "-m", path(&file)]).output();
        assert!(output.expect("minisign").status.success());
    }
    Hash::digest(text.as_bytes())
}

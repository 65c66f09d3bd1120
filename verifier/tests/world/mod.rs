//! A log made in process, and small real roots made with dpkg: needs root, dpkg, dpkg-deb and minisign.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod packages;
pub mod repositories;
pub mod served;
pub mod server;
pub mod suite;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use attest::bundle::BundledLeaf;
use attest::predicate::{
    Action, Advisory, Affected, Change, ControlHead, InstallObservation, Lifecycle, Observed, PackageFiles, PackageSource, Severity, Stage,
};
use attest::roles::{Foundation, Member, MinisignKey, RoleKey, Roles, Security, SignedRoles, Vendor};
use attest::{Bundle, Envelope, Manifest, Predicate, Purl, Statement};
use tlog::{Checkpoint, Hash, InclusionProof, KeyKind, KeyName, SignedCheckpoint, Signer as _, SigningKey, Tree, cosignature, hash_leaf};

pub const ORIGIN: &str = "example.com/log";

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub fn key(name: &str, kind: KeyKind) -> SigningKey {
    let seed = *Hash::digest(name.as_bytes()).as_bytes();
    SigningKey::from_seed(KeyName::parse(name).unwrap(), kind, &seed).unwrap()
}

/// A log with its keys and entries, and a cache directory with a configuration that trusts it.
pub struct World {
    pub dir: tempfile::TempDir,
    pub leaves: Vec<Vec<u8>>,
    pub manifests: Vec<Manifest>,
    pub roles_sha256: Hash,
    roles: Roles,
    advisories: Vec<Hash>,
    lifecycles: Vec<Hash>,
    heads: Vec<Hash>,
}

impl World {
    /// Roles are entry 0: three builders, a security team of one.
    pub fn new() -> Self {
        Self::with_roles(|_| ())
    }

    pub fn with_roles(change: impl FnOnce(&mut Roles)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let policy = policy();
        fs::write(dir.path().join("witness.policy"), &policy).unwrap();
        let foundation = foundation(dir.path());
        let mut roles = roles(foundation, Hash::digest(policy.as_bytes()));
        change(&mut roles);
        let signed = sign_roles(dir.path(), &roles, &roles.foundation);
        let mut world = Self {
            dir,
            leaves: Vec::new(),
            manifests: Vec::new(),
            roles_sha256: roles.digest(),
            roles,
            advisories: Vec::new(),
            lifecycles: Vec::new(),
            heads: Vec::new(),
        };
        world.say("builder-1", &signed.to_statement().unwrap());
        world.configure("builders = 2\nmax_age = \"1h\"\n");
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The newest version that [`World::change_roles`] made.
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// The next version of the roles, as the next entry.
    pub fn change_roles(&mut self, change: impl FnOnce(&mut Roles)) {
        let (previous, before) = (Some(self.roles.digest()), self.roles.foundation.clone());
        self.roles = Roles { version: self.roles.version + 1, previous, ..self.roles.clone() };
        change(&mut self.roles);
        let signed = sign_roles(self.dir.path(), &self.roles, &before);
        self.say("builder-1", &signed.to_statement().unwrap());
    }

    pub fn configure(&self, rules: &str) {
        self.configure_log(rules, "http://127.0.0.1:9");
    }

    pub fn configure_log(&self, rules: &str, url: &str) {
        fs::write(self.path("policy.toml"), rules).unwrap();
        let text = format!(
            "log = \"{url}\"\nwitness_policy = \"witness.policy\"\npolicy = \"policy.toml\"\ncache = \"cache\"\nroles_sha256 = \"{}\"\n",
            self.roles_sha256
        );
        fs::write(self.path("tally.toml"), text).unwrap();
    }

    /// Appends an entry; returns its index and the payload's hash.
    pub fn say(&mut self, who: &str, statement: &Statement) -> (u64, Hash) {
        statement.check().unwrap();
        let payload = statement.encode();
        let envelope = Envelope::sign(payload.clone(), &key(who, KeyKind::Ed25519)).unwrap();
        self.leaves.push(envelope.encode());
        (self.leaves.len() as u64 - 1, Hash::digest(&payload))
    }

    /// A claim that a package file has a manifest.
    pub fn claim(&mut self, who: &str, purl: &Purl, manifest: &Manifest) -> u64 {
        let claim = Predicate::PackageFiles(PackageFiles::of(manifest));
        self.manifests.push(manifest.clone());
        self.say(who, &Statement::about_package(purl, *manifest.package(), claim)).0
    }

    /// The same for an apk package, with the digest that survives signing again.
    pub fn claim_apk(&mut self, who: &str, purl: &Purl, apk: &package::apk::ApkPackage) -> u64 {
        let claim = Predicate::PackageFiles(PackageFiles::of(&apk.manifest));
        self.manifests.push(apk.manifest.clone());
        let mut statement = Statement::about_package(purl, apk.sha256, claim);
        statement.subject.digest.apk_control = Some(apk.control);
        self.say(who, &statement).0
    }

    /// The same for an rpm package, with the digests that survive signing again.
    pub fn claim_rpm(&mut self, who: &str, purl: &Purl, rpm: &package::rpm::RpmPackage) -> u64 {
        let claim = Predicate::PackageFiles(PackageFiles::of(&rpm.manifest));
        self.manifests.push(rpm.manifest.clone());
        let mut statement = Statement::about_package(purl, rpm.sha256, claim);
        (statement.subject.digest.rpm_header, statement.subject.digest.rpm_payload) = (Some(rpm.header), Some(rpm.payload));
        self.say(who, &statement).0
    }

    pub fn observe(&mut self, who: &str, purl: &Purl, manifest: &Manifest, entries: Vec<Observed>) {
        let image = format!("sha256:{}", "0".repeat(64));
        let (observation, _) = InstallObservation::new(manifest.root(), image, entries);
        self.say(who, &Statement::about_package(purl, *manifest.package(), Predicate::InstallObservation(observation)));
    }

    pub fn advise(&mut self, action: Action, purl: &str) {
        let affected = match action {
            Action::Warn => vec![Affected::packages(purl)],
            Action::Withdraw => Vec::new(),
        };
        let advisory = Advisory {
            action,
            advice: "Upgrade".into(),
            affected,
            id: "TSA-1".into(),
            previous: self.advisories.last().copied(),
            reference: "CVE-2026-0001".into(),
            sequence: self.advisories.len() as u64 + 1,
            severity: Severity::High,
            summary: "A hole".into(),
        };
        let statement = Statement { subject: advisory.subject(), predicate: Predicate::Advisory(advisory) };
        let (_, payload) = self.say("security", &statement);
        self.advisories.push(payload);
    }

    /// What becomes of something, as the next statement of its kind; the date is in the past for ends, and none where it is supported.
    pub fn say_end(&mut self, who: &str, affected: Affected, stage: Stage, date: u64) -> u64 {
        let ends = stage != Stage::Supported;
        let successor = if affected.repository.is_some() { "rpm/opensuse/slowroll" } else { "pkg:deb/debian/better" };
        let lifecycle = Lifecycle {
            affected,
            date: ends.then_some(date),
            previous: self.lifecycles.last().copied(),
            reference: "https://example.com/eol".into(),
            sequence: self.lifecycles.len() as u64 + 1,
            stage,
            successor: ends.then(|| successor.to_owned()),
            summary: "Nobody repairs it any more".into(),
        };
        let statement = Statement { subject: lifecycle.subject(), predicate: Predicate::Lifecycle(lifecycle) };
        let (index, payload) = self.say(who, &statement);
        self.lifecycles.push(payload);
        index
    }

    /// That a package file was built from a source package.
    pub fn source(&mut self, who: &str, purl: &Purl, manifest: &Manifest, name: &str, version: &str) {
        let source = PackageSource::of(purl, name, version).unwrap();
        self.say(who, &Statement::about_package(purl, *manifest.package(), Predicate::PackageSource(source)));
    }

    pub fn control_head(&mut self, advisory: u64, roles: u64, time: u64) {
        let head = ControlHead {
            advisory,
            lifecycle: Some(self.lifecycles.len() as u64).filter(|number| *number > 0),
            previous: self.heads.last().copied(),
            roles,
            sequence: self.heads.len() as u64 + 1,
            size: self.leaves.len() as u64,
            time,
        };
        let statement = Statement { subject: head.subject(), predicate: Predicate::ControlHead(head) };
        let (_, payload) = self.say("security", &statement);
        self.heads.push(payload);
    }

    /// The checkpoint over the first `size` entries, cosigned by these witnesses at these times.
    pub fn checkpoint(&self, size: usize, witnesses: &[(usize, u64)]) -> SignedCheckpoint {
        checkpoint(&self.leaves[..size], witnesses)
    }

    /// The newest checkpoint, cosigned by two of three witnesses now.
    pub fn head(&self) -> SignedCheckpoint {
        self.checkpoint(self.leaves.len(), &[(1, now()), (2, now())])
    }

    pub fn bundle(&self, checkpoint: SignedCheckpoint) -> Bundle {
        let size = usize::try_from(checkpoint.tree().size).unwrap();
        let hashes: Vec<Hash> = self.leaves[..size].iter().map(|leaf| hash_leaf(leaf)).collect();
        let leaf = |index: usize| BundledLeaf {
            index: index as u64,
            leaf: self.leaves[index].clone(),
            proof: InclusionProof::of(&hashes, index).unwrap(),
        };
        Bundle { checkpoint, history: Vec::new(), leaves: (0..size).map(leaf).collect(), manifests: Vec::new() }
    }

    /// Puts everything into the cache, as a sync leaves it.
    pub fn fill_cache(&self, checkpoint: SignedCheckpoint) {
        let cache = self.path("cache");
        fs::create_dir_all(cache.join("manifests")).unwrap();
        fs::write(cache.join("checkpoint"), checkpoint.encode()).unwrap();
        fs::write(cache.join("known"), self.bundle(checkpoint).encode()).unwrap();
        for manifest in &self.manifests {
            fs::write(cache.join("manifests").join(manifest.root().to_hex()), manifest.encode()).unwrap();
        }
    }

    /// The same for another cache and configuration, as on another machine.
    pub fn machine(&self, name: &str) -> Machine {
        let config = self.path(&format!("{name}.toml"));
        let text = fs::read_to_string(self.path("tally.toml")).unwrap().replace("\"cache\"", &format!("\"{name}\""));
        fs::write(&config, text).unwrap();
        Machine { config, cache: self.path(name) }
    }

    /// Runs `tally` with this world's configuration.
    pub fn tally(&self, arguments: &[&str]) -> Outcome {
        self.tally_by(&[], arguments)
    }

    /// The same behind another program, such as `unshare -n`.
    pub fn tally_by(&self, before: &[&str], arguments: &[&str]) -> Outcome {
        run(&self.path("tally.toml"), before, arguments)
    }

    /// `verify --all --root ROOT --json`.
    pub fn verify(&self, root: &Path) -> Outcome {
        self.tally(&["verify", "--all", "--json", "--root", root.to_str().unwrap()])
    }
}

fn run(config: &Path, before: &[&str], arguments: &[&str]) -> Outcome {
    let mut words: Vec<&str> = vec!["timeout", "300"];
    words.extend_from_slice(before);
    words.extend_from_slice(&[env!("CARGO_BIN_EXE_tally"), "--config", config.to_str().unwrap()]);
    words.extend_from_slice(arguments);
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    Outcome::of(&output)
}

/// Another machine that trusts the same log, and has no network.
pub struct Machine {
    config: PathBuf,
    cache: PathBuf,
}

impl Machine {
    pub fn tally(&self, arguments: &[&str]) -> Outcome {
        run(&self.config, &["unshare", "-n"], arguments)
    }

    pub fn tally_online(&self, arguments: &[&str]) -> Outcome {
        run(&self.config, &[], arguments)
    }

    pub fn verify(&self, root: &Path) -> Outcome {
        self.tally(&["verify", "--all", "--json", "--root", root.to_str().unwrap()])
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.cache.join(name)
    }
}

/// What a run gave.
#[derive(Debug)]
pub struct Outcome {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    pub fn of(output: &Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The findings as `kind path`, those with exit 0 left out unless `all`.
    pub fn findings(&self, all: bool) -> Vec<String> {
        let json = self.json();
        let wanted = json["findings"].as_array().unwrap().iter().filter(|finding| all || finding["exit"] != 0);
        wanted
            .map(|finding| {
                let place = finding["path"].as_str().or(finding["package"].as_str()).unwrap_or("");
                format!("{} {place}", finding["finding"].as_str().unwrap())
            })
            .collect()
    }
}

pub fn checkpoint(leaves: &[Vec<u8>], witnesses: &[(usize, u64)]) -> SignedCheckpoint {
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| hash_leaf(leaf)).collect();
    let checkpoint = Checkpoint { origin: ORIGIN.into(), tree: Tree::of(&hashes), extensions: Vec::new() };
    let mut lines = vec![checkpoint.sign(&key(ORIGIN, KeyKind::Ed25519), 0).unwrap()];
    for (number, time) in witnesses {
        lines.push(cosignature::cosign(&witness(*number), &checkpoint, *time).unwrap());
    }
    SignedCheckpoint::new(checkpoint, lines)
}

pub fn witness(number: usize) -> SigningKey {
    key(&format!("witness-{number}.example"), KeyKind::CosignatureV1)
}

fn policy() -> String {
    let mut text = format!("log {}\n", key(ORIGIN, KeyKind::Ed25519).key().encode());
    for number in 1..=3 {
        text.push_str(&format!("witness w{number} {}\n", witness(number).key().encode()));
    }
    text.push_str("group three 2 w1 w2 w3\nquorum three\n");
    text
}

fn foundation(dir: &Path) -> Foundation {
    let (public, secret) = (dir.join("alice.pub"), dir.join("alice.sec"));
    let output = Command::new("minisign").arg("-GW").arg("-p").arg(&public).arg("-s").arg(&secret).output().expect("minisign is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(public).unwrap();
    let key = MinisignKey::parse(text.lines().nth(1).unwrap()).unwrap();
    Foundation { threshold: 1, members: vec![Member { name: "alice".into(), key }] }
}

fn roles(foundation: Foundation, policy: Hash) -> Roles {
    let entry = |name: &str, scopes: &[&str]| RoleKey::active(key(name, KeyKind::Ed25519).key().clone(), scopes).unwrap();
    Roles {
        vendors: vec![Vendor::debian()],
        builders: ["builder-1", "builder-2", "builder-3"].iter().map(|name| entry(name, &["pkg:deb/debian/*"])).collect(),
        security: Security { threshold: 1, keys: vec![entry("security", &[])] },
        control: vec![entry("security", &[])],
        ..Roles::first(ORIGIN, policy, foundation)
    }
}

fn sign_roles(dir: &Path, roles: &Roles, before: &Foundation) -> SignedRoles {
    let (file, signature) = (dir.join("roles.txt"), dir.join("roles.txt.minisig"));
    fs::write(&file, roles.encode()).unwrap();
    let output = Command::new("minisign")
        .arg("-S")
        .arg("-s")
        .arg(dir.join("alice.sec"))
        .arg("-x")
        .arg(&signature)
        .arg("-m")
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    SignedRoles::assemble(&roles.encode(), &[fs::read_to_string(signature).unwrap()], Some(before)).unwrap()
}

/// One observed change of a path's mode.
pub fn observed_mode(path: &str, mode: &str) -> Observed {
    Observed { mode: Some(mode.into()), ..Observed::new(format!("./{path}"), Change::Modified) }
}

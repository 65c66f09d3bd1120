//! A real server on port 0, with roles signed by the stock minisign where the log takes them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use attest::predicate::{Action, Advisory, Affected, PackageFiles, Severity};
use attest::roles::{Foundation, KeyState, Member, MinisignKey, RoleKey, Roles, Security, Vendor};
use attest::{Envelope, Hash, Manifest, Predicate, Purl, Scope, Statement};
use client::LogClient;
use tally_log::clock::SystemClock;
use tally_log::config::Settings;
use tally_log::http::Uploads;
use tally_log::roles::bootstrap_files;
use tally_log::{Config, build, init};
use tlog::{KeyKind, Policy, Signer, SigningKey, VerifierKey};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{ORIGIN, signing_key};

/// A log's directory with its roles and keys, and the server while it runs.
pub struct Served {
    pub dir: tempfile::TempDir,
    pub keys: Vec<VerifierKey>,
    pub policy: Policy,
    pub url: String,
    pub clock: Arc<dyn tally_log::clock::Clock>,
    pub header_time: Duration,
    pub unread_time: Duration,
    pub uploads: Uploads,
    with_roles: bool,
    running: Option<(oneshot::Sender<()>, JoinHandle<anyhow::Result<()>>)>,
}

pub fn builder() -> SigningKey {
    signing_key("builder.example", KeyKind::Ed25519, 50)
}

pub fn second_builder() -> SigningKey {
    signing_key("builder-2.example", KeyKind::Ed25519, 51)
}

pub fn security() -> SigningKey {
    signing_key("security.example", KeyKind::Ed25519, 52)
}

pub fn stranger() -> SigningKey {
    signing_key("stranger.example", KeyKind::Ed25519, 53)
}

impl Served {
    /// A log without witnesses, made and started.
    pub async fn start(open: bool) -> Self {
        let mut served = Self::made(open, |_| {});
        served.serve().await.unwrap();
        served
    }

    /// A log that is made, with changed settings, and not started.
    pub fn made(open: bool, change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("log");
        let keys = init::init(&at, ORIGIN, open, &SystemClock).unwrap();
        let path = at.join("log.toml");
        let mut settings = Settings::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        settings.batch_interval_ms = 10;
        change(&mut settings);
        std::fs::write(&path, settings.encode()).unwrap();
        if !open {
            foundation(dir.path());
            publish(dir.path(), &roles(dir.path()));
        }
        let policy = Policy::parse(b"quorum none\n").unwrap();
        let clock = Arc::new(SystemClock);
        Self {
            dir,
            keys,
            policy,
            url: String::new(),
            clock,
            header_time: Duration::from_secs(10),
            unread_time: Duration::from_secs(60),
            uploads: Uploads::default(),
            with_roles: !open,
            running: None,
        }
    }

    pub fn log_dir(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Starts the server and waits until the first roles are published.
    pub async fn serve(&mut self) -> anyhow::Result<()> {
        let mut config = Config::new(self.log_dir(), "127.0.0.1:0", self.policy.clone());
        config.clock = self.clock.clone();
        config.header_time = self.header_time;
        config.unread_time = self.unread_time;
        config.uploads = self.uploads;
        if self.with_roles {
            config.roles = Some(bootstrap_files(&self.dir.path().join("roles-1.txt"))?);
        }
        let (server, address) = build(config).await?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async move { drop(stopped.await) }));
        self.url = format!("http://{address}");
        self.running = Some((stop, task));
        let least = u64::from(self.with_roles);
        for _ in 0..500 {
            let published = self.client().checkpoint().await.ok().map(|signed| signed.tree().size);
            let health = reqwest::get(self.path("healthz")).await?.text().await?;
            // What is published is shown before entries are taken.
            let takes_entries = published.is_some_and(|size| size >= least) && !health.starts_with("reads only");
            if takes_entries || !self.policy.is_unwitnessed() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::bail!("nothing was published")
    }

    /// Ends the server as SIGTERM does.
    pub async fn stop(&mut self) {
        let (stop, task) = self.running.take().expect("a running server");
        stop.send(()).unwrap();
        task.await.unwrap().unwrap();
    }

    pub fn client(&self) -> LogClient {
        LogClient::new(&self.url).unwrap()
    }

    pub fn path(&self, path: &str) -> String {
        format!("{}/{path}", self.url)
    }
}

/// A manifest of one file, as a package with this digest has it.
pub fn manifest(package: &str) -> Manifest {
    let header = format!("#mtree package-sha256={}\n. type=dir optional tags=implied\n", Hash::digest(package.as_bytes()));
    let file = format!(
        "./x type=file mode=0644 uname=root gname=root size={} sha256digest={} tags=fixed\n",
        package.len(),
        Hash::digest(package.as_bytes())
    );
    Manifest::parse(format!("{header}{file}").as_bytes()).unwrap()
}

pub fn purl(name: &str) -> Purl {
    Purl::parse(&format!("pkg:deb/debian/{name}@1.0-1?arch=amd64")).unwrap()
}

/// The claim that package `name`, whose file is the text of its name, has the manifest of that name.
pub fn claim(name: &str) -> Statement {
    let files = PackageFiles::of(&manifest(name));
    Statement::about_package(&purl(name), Hash::digest(name.as_bytes()), Predicate::PackageFiles(files))
}

/// Advisory number `sequence` about a package.
pub fn warning(sequence: u64, previous: Option<Hash>, name: &str) -> Statement {
    let pattern = format!("pkg:deb/debian/{name}");
    let advisory = Advisory {
        action: Action::Warn,
        advice: "wait for the next version".into(),
        affected: vec![Affected::packages(&pattern)],
        id: format!("TSA-2026-{sequence}"),
        previous,
        reference: "CVE-2026-1".into(),
        sequence,
        severity: Severity::High,
        summary: "do not use".into(),
    };
    Statement { subject: advisory.subject(), predicate: Predicate::Advisory(advisory) }
}

pub fn sign(statement: &Statement, signer: &dyn Signer) -> Vec<u8> {
    Envelope::sign(statement.encode(), signer).unwrap().encode()
}

/// Keys of three members by the stock minisign, two of whom must sign.
fn foundation(dir: &Path) {
    for name in ["alice", "bob", "carol"] {
        let (public, secret) = (dir.join(format!("{name}.pub")), dir.join(format!("{name}.sec")));
        let output = Command::new("minisign").args(["-G", "-W", "-p"]).arg(public).arg("-s").arg(secret).output().expect("minisign");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Version 1: two builders for Debian's packages, one security key.
pub fn roles(dir: &Path) -> Roles {
    let member = |name: &str| {
        let text = std::fs::read_to_string(dir.join(format!("{name}.pub"))).unwrap();
        Member { name: name.to_owned(), key: MinisignKey::parse(text.lines().nth(1).unwrap()).unwrap() }
    };
    let entry = |key: &VerifierKey, scopes: &[&str]| RoleKey {
        key: key.clone(),
        scopes: scopes.iter().map(|scope| Scope::parse(scope).unwrap()).collect(),
        state: KeyState::Active,
    };
    Roles {
        origin: ORIGIN.to_owned(),
        version: 1,
        expires: None,
        previous: None,
        policy: Hash::digest(b"quorum none\n"),
        notes: Vec::new(),
        foundation: Foundation { threshold: 2, members: ["alice", "bob", "carol"].map(member).into() },
        vendors: vec![Vendor { kind: "deb".into(), namespace: "debian".into(), origin: "Debian".into() }],
        builders: [builder(), second_builder()].iter().map(|key| entry(key.key(), &["pkg:deb/debian/*"])).collect(),
        admins: Vec::new(),
        rebuilders: Vec::new(),
        security: Security { threshold: 1, keys: vec![entry(security().key(), &[])] },
        control: vec![entry(security().key(), &[])],
    }
}

/// Writes a document and has two members sign it.
pub fn publish(dir: &Path, roles: &Roles) -> PathBuf {
    let file = dir.join(format!("roles-{}.txt", roles.version));
    std::fs::write(&file, roles.encode()).unwrap();
    for member in ["alice", "bob"] {
        let signature = dir.join(format!("roles-{}.txt.{member}.minisig", roles.version));
        let secret = dir.join(format!("{member}.sec"));
        let output = Command::new("minisign").arg("-S").arg("-s").arg(secret).arg("-x").arg(signature).arg("-m").arg(&file).output();
        assert!(output.unwrap().status.success());
    }
    file
}

/// A roles file, or another log's if there is none here: for starts that must fail before it matters.
pub fn roles_file(file: &Path) -> tally_log::roles::Bootstrap {
    if file.exists() {
        return bootstrap_files(file).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    foundation(dir.path());
    bootstrap_files(&publish(dir.path(), &roles(dir.path()))).unwrap()
}

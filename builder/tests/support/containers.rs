//! Builders that work in real containers, and what they said.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use attest::predicate::{Observed, Predicate};
use attest::{Envelope, Statement};

use super::repository::Repository;

/// Runs in containers one after the other: the machine that tests may be small.
static ONE: Mutex<()> = Mutex::new(());

pub fn alone() -> MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This machine's release, whose packages its own apt can download.
pub fn suite() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap();
    text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).unwrap().to_owned()
}

/// A builder's configuration and what it takes to clean up after it.
pub struct Builder {
    pub dir: PathBuf,
    pub config: String,
    /// Whose image is used here; it goes with this one.
    maker: Option<Box<Self>>,
}

impl Builder {
    pub fn new(dir: &Path, name: &str, more: &str) -> Self {
        Self::of_suite(dir, name, &suite(), more)
    }

    /// Of another release than this machine's.
    pub fn of_suite(dir: &Path, name: &str, suite: &str, more: &str) -> Self {
        let (home, _) = super::builder(dir, name);
        let config = dir.join(format!("{name}.toml"));
        let text = format!("dir = \"{name}\"\nsuite = \"{suite}\"\n{more}");
        fs::write(&config, text).unwrap();
        Self { dir: home.dir().to_owned(), config: config.display().to_string(), maker: None }
    }

    pub fn attest(&self, packages: &[&str]) -> std::process::Output {
        let mut arguments = vec!["attest", "--config", &self.config, "--json"];
        arguments.extend(packages);
        super::tally_builder(&arguments, 900)
    }

    /// What is in the spool: statements, each with its bytes.
    pub fn spooled(&self) -> Vec<(Statement, Vec<u8>)> {
        let is_envelope = |path: &PathBuf| path.extension().is_some_and(|end| end == "json");
        let read = |path: PathBuf| {
            let envelope = Envelope::parse(&fs::read(path).unwrap()).unwrap();
            envelope.verify().unwrap();
            (Statement::parse(envelope.payload()).unwrap(), envelope.payload().to_vec())
        };
        fs::read_dir(self.dir.join("spool")).unwrap().flatten().map(|entry| entry.path()).filter(is_envelope).map(read).collect()
    }

    /// The same by kind and package URL, each once.
    pub fn said(&self) -> BTreeMap<(&'static str, String), Vec<u8>> {
        let mut said = BTreeMap::new();
        for (statement, payload) in self.spooled() {
            let before = said.insert((statement.kind().short_name(), statement.subject.name), payload);
            assert!(before.is_none(), "said twice");
        }
        said
    }

    /// What of it is about packages, and not about repositories.
    pub fn said_of_packages(&self) -> BTreeMap<(&'static str, String), Vec<u8>> {
        self.said().into_iter().filter(|((kind, _), _)| *kind != "repository-state/v1").collect()
    }

    /// The pinned image's ID.
    pub fn image(&self) -> String {
        let pin: serde_json::Value = serde_json::from_slice(&fs::read(self.dir.join("image.json")).unwrap()).unwrap();
        pin["id"].as_str().unwrap().to_owned()
    }

    pub fn observed(&self, purl_start: &str) -> Vec<Observed> {
        let said = self.said();
        let found = said.iter().find(|((kind, purl), _)| *kind == "install-observation/v1" && purl.starts_with(purl_start));
        match Statement::parse(found.unwrap().1).unwrap().predicate {
            Predicate::InstallObservation(observation) => observation.entries,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        super::tally_builder(&["clean", "--config", &self.config], 60);
    }
}

pub const DEBIAN: &str = "keyring = \"/usr/share/keyrings/debian-archive-keyring.gpg\"\n";

pub fn bootstrap() -> String {
    format!("[bootstrap]\ncache = \"{}\"\n", super::cache().display())
}

pub fn containers_of(builder: &Builder) -> String {
    let filter = format!("label=dev.tallystick.builder={}", builder.dir.display());
    String::from_utf8(super::tool(Command::new("podman").args(["ps", "--all", "--quiet", "--filter", &filter]))).unwrap()
}

/// The images that a builder imported.
pub fn images_of(builder: &Builder) -> Vec<String> {
    let label = tlog::Hash::digest(builder.dir.as_os_str().as_encoded_bytes());
    let filter = format!("label=dev.tallystick.builder={label}");
    let listed = super::tool(Command::new("podman").args(["images", "--all", "--no-trunc", "--format", "{{.ID}}", "--filter", &filter]));
    String::from_utf8(listed).unwrap().lines().map(str::to_owned).collect()
}

/// A builder that takes packages from a local repository, in an image bootstrapped before.
pub fn local_builder(dir: &Path, repository: &Repository, options: &str, more: &str) -> Builder {
    let maker = Builder::new(dir, "maker", &format!("{DEBIAN}observe = false\n{}", bootstrap()));
    let output = maker.attest(&["hostname"]);
    assert!(output.status.success(), "{}", super::text(&output));
    let image = maker.image();
    fs::write(dir.join("local.list"), repository.source_line(options)).unwrap();
    let keyring = repository.keyring(&["archive"]);
    let text = format!(
        "keyring = \"{}\"\nsources = \"local.list\"\nimage = \"{image}\"\n{more}vendors = {{ Tests = \"tests\" }}\n",
        keyring.display()
    );
    let mut builder = Builder::new(dir, "local", &text);
    builder.maker = Some(Box::new(maker));
    builder
}

//! The builder's configuration file (`specs/builder.md`, section 2).

// Where it is is said, since a fuzz target includes this file from elsewhere.
#[path = "config/error.rs"]
mod error;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tlog::{KeyName, VerifierKey};

use crate::distro::{Manager, Repository};
use crate::podman::IdRange;
use crate::service::Service;

pub use error::ConfigError;

/// Everything that one run needs to know. Relative paths are relative to the file that they stand in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The builder's directory, made by `init`.
    pub dir: PathBuf,
    /// The log's URL; without it, statements stay in the spool.
    #[serde(default)]
    pub log: Option<String>,
    /// The log's origin.
    #[serde(default)]
    pub origin: Option<String>,
    /// The log's verifier keys: a receipt is believed only under one of them.
    #[serde(default)]
    pub log_keys: Vec<String>,
    /// A tlog-policy with the log's keys: receipts must then satisfy its quorum of witnesses too.
    #[serde(default)]
    pub witness_policy: Option<PathBuf>,
    /// Keyring with the repositories' keys, binary OpenPGP, as `gpgv` reads it.
    pub keyring: PathBuf,
    /// The keyring's SHA-256, to pin its content and not just its path.
    #[serde(default)]
    pub keyring_sha256: Option<String>,
    /// Release of the distribution, such as `bookworm`.
    pub suite: String,
    /// `bootstrap`, or an image reference that Podman can find.
    #[serde(default = "bootstrap")]
    pub image: String,
    /// Sources list to use instead of the machine's (or, for a reference, the image's) own: a file of one-line or deb822 entries.
    #[serde(default)]
    pub sources: Option<PathBuf>,
    /// The image's package manager.
    #[serde(default)]
    pub manager: Manager,
    /// Repositories of other managers than apt.
    #[serde(default, rename = "repository")]
    pub repositories: Vec<Repository>,
    /// Namespaces of package URLs by `Origin` of the signed Release file, or by name of the repository.
    #[serde(default = "debian")]
    pub vendors: BTreeMap<String, String>,
    /// Whether packages are also installed and observed.
    #[serde(default = "yes")]
    pub observe: bool,
    /// How many times each package is installed for its observation; generated files whose content differs are named without it.
    #[serde(default = "two")]
    pub observe_runs: u8,
    /// How long `attest` and `spool send` try to reach the log, in seconds; what is unsent then stays in the spool.
    #[serde(default = "patience")]
    pub patience: u64,
    /// Containers.
    #[serde(default)]
    pub container: Container,
    /// The bootstrapped root.
    #[serde(default)]
    pub bootstrap: Bootstrap,
    /// The service.
    #[serde(default)]
    pub run: Service,
}

/// The section `[container]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Container {
    /// Host name inside.
    pub hostname: String,
    /// Time that maintainer scripts see, as `faketime` takes it: `2031-01-02 03:04:05` or `+400d`.
    pub faketime: Option<String>,
    /// User namespace: the host's numbers from `first` on, `first:count`.
    pub uid_range: Option<String>,
    /// OCI runtime, such as `runc`; Podman's own choice if absent, another installed one where that fails.
    pub runtime: Option<String>,
    /// Podman's API socket; found or started if absent.
    pub socket: Option<PathBuf>,
    /// Longest time of one container in seconds.
    pub timeout: u64,
    /// Most memory of one container in MiB.
    pub memory: u32,
    /// What must stay free where containers are stored, in MiB; a container that runs when less is left is removed.
    pub reserve: u32,
    /// How many packages are installed at a time; as many as there are cores, and not more than 4, if absent.
    pub parallel: Option<u8>,
}

/// The section `[bootstrap]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bootstrap {
    /// Mirror's URL instead of those of the machine's own apt configuration.
    pub mirror: Option<String>,
    /// Directory that keeps bootstrapped roots, so that several builders can share them.
    pub cache: Option<PathBuf>,
}

impl Default for Container {
    fn default() -> Self {
        Self {
            hostname: "builder".to_owned(),
            faketime: None,
            uid_range: None,
            runtime: None,
            socket: None,
            timeout: 1800,
            memory: 4096,
            reserve: 1024,
            parallel: None,
        }
    }
}

/// A log to send to.
#[derive(Clone, Debug)]
pub struct LogTarget {
    /// Its URL.
    pub url: String,
    /// Its origin.
    pub origin: String,
    /// Its keys.
    pub keys: Vec<VerifierKey>,
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// If it cannot be read, or says something that cannot be used.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |error: std::io::Error| ConfigError::Unreadable { path: path.display().to_string(), reason: error.to_string() };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        // Whole paths only: gpgv looks for a plain file name in its own home.
        Self::parse(&text, &std::path::absolute(path).map_err(unreadable)?)
    }

    /// Checks the text of a configuration file at `path`.
    ///
    /// # Errors
    /// If it says something that cannot be used.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|error| ConfigError::Malformed {
            path: path.display().to_string(),
            reason: error.to_string().trim_end().to_owned(),
        })?;
        config.resolve(path.parent().unwrap_or(Path::new("")));
        config.check().map_err(|(member, reason)| ConfigError::Value { path: path.display().to_string(), member, reason })?;
        Ok(config)
    }

    /// The log to send to, if one is configured.
    #[must_use]
    pub fn log_target(&self) -> Option<LogTarget> {
        let (url, origin) = (self.log.clone()?, self.origin.clone()?);
        let keys = self.log_keys.iter().filter_map(|key| VerifierKey::parse(key).ok()).collect();
        Some(LogTarget { url, origin, keys })
    }

    /// The user namespace of containers, if one is configured.
    #[must_use]
    pub fn ids(&self) -> Option<IdRange> {
        self.container.uid_range.as_deref().and_then(parse_range)
    }

    /// Longest time of one container.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        Duration::from_secs(self.container.timeout)
    }

    fn resolve(&mut self, base: &Path) {
        let optional = [&mut self.sources, &mut self.witness_policy, &mut self.container.socket, &mut self.bootstrap.cache];
        for path in [&mut self.dir, &mut self.keyring].into_iter().chain(optional.into_iter().flatten()) {
            *path = base.join(&*path);
        }
    }

    fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if self.log.is_some() != self.origin.is_some() || self.log.is_some() == self.log_keys.is_empty() {
            return Err(("log", "`log`, `origin` and `log_keys` belong together: `tally-log init` prints the keys"));
        }
        if self.origin.as_deref().is_some_and(|origin| KeyName::parse(origin).is_none()) {
            return Err(("origin", "must be a key name: no spaces, no `+`"));
        }
        if self.log_keys.iter().any(|key| VerifierKey::parse(key).is_err()) {
            return Err(("log_keys", "must be verifier keys as `tally-log init` prints them"));
        }
        if self.keyring_sha256.as_deref().is_some_and(|digest| tlog::Hash::from_hex(digest).is_none()) {
            return Err(("keyring_sha256", "must be 64 lowercase hexadecimal digits"));
        }
        if !is_word(&self.suite) {
            return Err(("suite", "must be a release's name, such as bookworm"));
        }
        if self.image.is_empty() || self.image.contains(char::is_whitespace) {
            return Err(("image", "must be `bootstrap` or an image reference"));
        }
        if self.patience > MOST_SECONDS {
            return Err(("patience", "must be at most 604800 seconds"));
        }
        if !(1..=5).contains(&self.observe_runs) {
            return Err(("observe_runs", "must be 1 to 5"));
        }
        self.check_manager()?;
        self.run.check()?;
        self.container.check()
    }
}

impl Config {
    /// What belongs to apt, and what to the others.
    fn check_manager(&self) -> Result<(), (&'static str, &'static str)> {
        if self.manager == Manager::Apt {
            return if self.repositories.is_empty() { Ok(()) } else { Err(("repository", "apt's repositories are named by `sources`")) };
        }
        if self.repositories.is_empty() || !self.repositories.iter().all(Repository::is_sound) {
            return Err(("repository", "at least one with a plain name and an http or https address is needed"));
        }
        if self.manager == Manager::Apk {
            let plain = self.image == BOOTSTRAP && !self.observe && self.sources.is_none() && self.container.faketime.is_none();
            return if plain {
                Ok(())
            } else {
                Err(("manager", "apk's packages are attested without containers: set observe = false, and no image"))
            };
        }
        if self.image == BOOTSTRAP || self.sources.is_some() || self.container.faketime.is_some() {
            return Err(("manager", "`bootstrap`, `sources` and `faketime` are for apt alone: name an image of the distribution"));
        }
        Ok(())
    }
}

impl Container {
    /// How many packages are installed at a time.
    #[must_use]
    pub fn parallel(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4));
        self.parallel.map_or_else(cores, usize::from)
    }

    fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if !is_word(&self.hostname) || self.hostname.len() > 60 {
            return Err(("container.hostname", "must be one short host name"));
        }
        if self.uid_range.as_deref().is_some_and(|range| parse_range(range).is_none()) {
            return Err(("container.uid_range", "must be FIRST:COUNT, such as 200000:65536, with a count of at least 65536"));
        }
        if self.faketime.as_deref().is_some_and(|time| time.is_empty() || !time.bytes().all(is_faketime)) {
            return Err(("container.faketime", "must be a date and time, or an offset such as +400d"));
        }
        if !(1..=MOST_SECONDS).contains(&self.timeout) {
            return Err(("container.timeout", "must be 1 to 604800 seconds"));
        }
        if self.parallel.is_some_and(|parallel| !(1..=64).contains(&parallel)) {
            return Err(("container.parallel", "must be 1 to 64"));
        }
        if self.memory < 64 {
            return Err(("container.memory", "must be at least 64 MiB"));
        }
        Ok(())
    }
}

fn parse_range(text: &str) -> Option<IdRange> {
    let (first, count) = text.split_once(':')?;
    let (first, count): (u32, u32) = (first.parse().ok()?, count.parse().ok()?);
    // Fewer would leave `nobody` (65534) without a number.
    (count >= 65_536 && first.checked_add(count).is_some()).then_some(IdRange { first, count })
}

fn is_word(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    first && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
}

const fn is_faketime(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b':' | b'-' | b'+' | b'@' | b'.')
}

fn bootstrap() -> String {
    BOOTSTRAP.to_owned()
}

fn debian() -> BTreeMap<String, String> {
    BTreeMap::from([("Debian".to_owned(), "debian".to_owned())])
}

const fn yes() -> bool {
    true
}

const fn two() -> u8 {
    2
}

const fn patience() -> u64 {
    300
}

/// A week.
const MOST_SECONDS: u64 = 604_800;
/// The value of `image` that asks for a bootstrapped root.
pub const BOOTSTRAP: &str = "bootstrap";

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "dir = \"b\"\nkeyring = \"/k.gpg\"\nsuite = \"bookworm\"\n";

    fn refused(extra: &str) -> Option<&'static str> {
        match Config::parse(&format!("{SMALL}{extra}"), Path::new("/etc/builder.toml")) {
            Err(ConfigError::Value { member, .. }) => Some(member),
            Err(ConfigError::Malformed { .. }) => Some("malformed"),
            _ => None,
        }
    }

    #[test]
    fn defaults_and_relative_paths() {
        let config = Config::parse(SMALL, Path::new("/etc/tally/builder.toml")).unwrap();
        assert_eq!(config.dir, Path::new("/etc/tally/b"));
        assert_eq!(config.keyring, Path::new("/k.gpg"));
        assert_eq!((config.image.as_str(), config.observe, config.observe_runs), ("bootstrap", true, 2));
        assert_eq!(config.vendors["Debian"], "debian");
        assert!(config.log_target().is_none() && config.ids().is_none());
    }

    #[test]
    fn every_bad_value_is_refused_by_name() {
        assert_eq!(refused(""), None);
        assert_eq!(refused("unknown = 1\n"), Some("malformed"));
        assert_eq!(refused("log = \"http://127.0.0.1:1\"\n"), Some("log"));
        assert_eq!(refused("log = \"http://127.0.0.1:1\"\norigin = \"x\"\n"), Some("log"));
        assert_eq!(refused("log = \"http://127.0.0.1:1\"\norigin = \"x\"\nlog_keys = [\"x\"]\n"), Some("log_keys"));
        assert_eq!(refused("log = \"http://127.0.0.1:1\"\norigin = \"x y\"\nlog_keys = [\"x\"]\n"), Some("origin"));
        assert_eq!(refused("keyring_sha256 = \"00\"\n"), Some("keyring_sha256"));
        assert_eq!(refused("image = \"\"\n"), Some("image"));
        assert_eq!(refused("observe_runs = 0\n"), Some("observe_runs"));
        assert_eq!(refused("[container]\nhostname = \"a b\"\n"), Some("container.hostname"));
        assert_eq!(refused("[container]\nuid_range = \"1:10\"\n"), Some("container.uid_range"));
        assert_eq!(refused("[container]\nuid_range = \"200000:65536\"\n"), None);
        assert_eq!(refused("[container]\nfaketime = \"$(id)\"\n"), Some("container.faketime"));
        assert_eq!(refused("[container]\nfaketime = \"2031-01-02 03:04:05\"\n"), None);
        assert_eq!(refused("[container]\ntimeout = 0\n"), Some("container.timeout"));
        assert_eq!(refused("[container]\ntimeout = 604801\n"), Some("container.timeout"));
        assert_eq!((refused("patience = 604801\n"), refused("patience = 0\n")), (Some("patience"), None));
        assert_eq!(refused("[container]\nmemory = 63\n"), Some("container.memory"));
        assert_eq!(refused("[container]\nparallel = 0\n"), Some("container.parallel"));
        let other = |more: &str| refused(&format!("manager = \"dnf\"\nimage = \"x\"\n{more}"));
        assert_eq!(other("[[repository]]\nname = \"fedora\"\nurl = \"https://a/b\"\n"), None);
        assert_eq!((other(""), other("[[repository]]\nname = \"f\"\nurl = \"file:/srv\"\n")), (Some("repository"), Some("repository")));
        assert_eq!(other("sources = \"x\"\n[[repository]]\nname = \"f\"\nurl = \"http://a\"\n"), Some("manager"));
        assert_eq!(refused("[[repository]]\nname = \"f\"\nurl = \"http://a\"\n"), Some("repository"));
        assert_eq!(refused("manager = \"emerge\"\n"), Some("malformed"));
        assert_eq!(refused("[run]\ninterval = 0\n"), Some("run.interval"));
        assert_eq!(refused("[run]\nbatch = 501\n"), Some("run.batch"));
        assert_eq!(refused("[run]\npackages = [\"jq\"]\n"), Some("run.packages"));
        assert_eq!(refused("[run]\ninterval = 60\npackages = [\"pkg:deb/debian/lib*\"]\n"), None);
        let suite = SMALL.replace("bookworm", "../x");
        assert!(matches!(Config::parse(&suite, Path::new("x")), Err(ConfigError::Value { member: "suite", .. })));
    }
}

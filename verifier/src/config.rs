//! The verifier's two files: `tally.toml` (where things are) and `policy.toml` (what is demanded).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tlog::Hash;

use crate::gate::rules::{GateFile, GateRules};
use crate::repo::rules::{RepositoryFile, RepositoryRules};
use crate::time;
use crate::views::Place;

/// Why a file was refused: which one, and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct ConfigError {
    /// The file.
    pub path: String,
    /// In words.
    pub reason: String,
}

/// Where things are: the log, the policies, the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The log's URL.
    pub log: String,
    /// The tlog-policy: keys of the log and its witnesses, and the quorum.
    pub witness_policy: PathBuf,
    /// The rules of judgement.
    pub policy: PathBuf,
    /// The cache's directory.
    pub cache: PathBuf,
    /// Where the gate and the daily run remember things.
    pub state: PathBuf,
    /// SHA-256 of the first version of the roles document: the anchor of their chain.
    pub roles_sha256: Hash,
    /// Whose views of the log are compared with the one seen here.
    pub compare: Vec<Place>,
}

/// What is demanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How many builders must agree on a claim.
    pub builders: usize,
    /// How many rebuilders must have come to the same package file.
    pub rebuilders: usize,
    /// The largest age of the newest checkpoint, in seconds.
    pub max_age: u64,
    /// The largest age of a control head; `None`: none is demanded.
    pub max_control_head_age: Option<u64>,
    /// How far cosignatures may lie in the future, in seconds.
    pub allowed_skew: u64,
    /// The accept file, if there is one.
    pub accept: Option<PathBuf>,
    /// Package URL namespaces to look in, in this order; empty: those of the roles.
    pub vendors: Vec<String>,
    /// What is demanded before packages are installed.
    pub gate: GateRules,
    /// What is demanded of repositories.
    pub repositories: RepositoryRules,
    /// Modes, owners and capabilities that are right by the administrator's word, by absolute path.
    pub allow: BTreeMap<Vec<u8>, Vec<Allowed>>,
}

/// One permitted state of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Permission bits, setuid and the like included.
    pub mode: u32,
    /// Owner's name.
    pub owner: String,
    /// Group's name.
    pub group: String,
    /// The raw `security.capability` attribute; empty for none.
    pub caps: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    log: String,
    witness_policy: PathBuf,
    policy: PathBuf,
    cache: PathBuf,
    state: Option<PathBuf>,
    roles_sha256: String,
    #[serde(default)]
    compare: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesFile {
    builders: Option<usize>,
    rebuilders: Option<usize>,
    max_age: Option<String>,
    max_control_head_age: Option<String>,
    allowed_skew: Option<String>,
    accept: Option<PathBuf>,
    #[serde(default)]
    vendors: Vec<String>,
    gate: Option<GateFile>,
    repositories: Option<RepositoryFile>,
    #[serde(default)]
    allow: Vec<AllowFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AllowFile {
    path: String,
    mode: String,
    #[serde(default = "root")]
    owner: String,
    #[serde(default = "root")]
    group: String,
    #[serde(default)]
    caps: String,
}

impl Config {
    /// Reads `tally.toml`; relative paths in it are relative to its directory.
    ///
    /// # Errors
    /// If it cannot be read, has an unknown key, or a value makes no sense.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&read(path)?, path)
    }

    /// The same for the text of a file at `path`.
    ///
    /// # Errors
    /// If it has an unknown key, or a value makes no sense.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let refuse = refusal(path);
        let file: ConfigFile = from_toml(text, path)?;
        let roles_sha256 =
            Hash::from_hex(&file.roles_sha256).ok_or_else(|| refuse("roles_sha256 is not 64 lowercase hexadecimal digits".to_owned()))?;
        let base = directory(path);
        let cache = base.join(file.cache);
        // Not inside the cache: whoever removes that must not switch the gate off.
        let state = file.state.map_or_else(|| suffixed(&cache, "-state"), |state| base.join(state));
        Ok(Self {
            log: file.log,
            witness_policy: base.join(file.witness_policy),
            policy: base.join(file.policy),
            cache,
            state,
            roles_sha256,
            compare: file.compare.iter().map(|text| Place::parse(text).below(base)).collect(),
        })
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            builders: 2,
            rebuilders: 0,
            max_age: 86_400,
            max_control_head_age: None,
            allowed_skew: 300,
            accept: None,
            vendors: Vec::new(),
            gate: GateRules::default(),
            repositories: RepositoryRules::default(),
            allow: package_manager(),
        }
    }
}

impl Rules {
    /// Reads `policy.toml`; relative paths in it are relative to its directory.
    ///
    /// # Errors
    /// If it cannot be read, has an unknown key, or a value makes no sense.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&read(path)?, path)
    }

    /// The same for the text of a file at `path`.
    ///
    /// # Errors
    /// If it has an unknown key, or a value makes no sense.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let file: RulesFile = from_toml(text, path)?;
        Self::from_file(file, directory(path)).map_err(refusal(path))
    }

    fn from_file(file: RulesFile, base: &Path) -> Result<Self, String> {
        let default = Self::default();
        let builders = file.builders.unwrap_or(default.builders);
        if builders == 0 {
            return Err("builders must be at least 1".to_owned());
        }
        let span = |name: &str, text: Option<String>| match text {
            None => Ok(None),
            Some(text) => time::parse_span(&text).map(Some).ok_or_else(|| format!("{name} is not a span such as \"24h\"")),
        };
        Ok(Self {
            builders,
            rebuilders: file.rebuilders.unwrap_or(default.rebuilders),
            max_age: span("max_age", file.max_age)?.unwrap_or(default.max_age),
            max_control_head_age: span("max_control_head_age", file.max_control_head_age)?,
            allowed_skew: span("allowed_skew", file.allowed_skew)?.unwrap_or(default.allowed_skew),
            accept: file.accept.map(|accept| base.join(accept)),
            vendors: file.vendors,
            gate: file.gate.map_or_else(|| Ok(GateRules::default()), GateRules::from_file)?,
            repositories: file.repositories.map_or_else(|| Ok(RepositoryRules::default()), RepositoryRules::from_file)?,
            allow: allowed(file.allow, default.allow)?,
        })
    }
}

/// apt gives these directories to its sandbox user whenever it runs, on every machine.
fn package_manager() -> BTreeMap<Vec<u8>, Vec<Allowed>> {
    let given = || vec![Allowed { mode: 0o700, owner: "_apt".to_owned(), group: root(), caps: Vec::new() }];
    ["/var/cache/apt/archives/partial", "/var/lib/apt/lists/partial"].iter().map(|path| (path.as_bytes().to_vec(), given())).collect()
}

fn allowed(entries: Vec<AllowFile>, mut by_path: BTreeMap<Vec<u8>, Vec<Allowed>>) -> Result<BTreeMap<Vec<u8>, Vec<Allowed>>, String> {
    for entry in entries {
        if !entry.path.starts_with('/') {
            return Err(format!("allow: {} is not an absolute path", entry.path));
        }
        let mode = u32::from_str_radix(&entry.mode, 8).ok().filter(|mode| *mode <= 0o7777);
        let mode = mode.ok_or_else(|| format!("allow: {}: the mode is not octal", entry.path))?;
        let caps = decode_hex(&entry.caps).ok_or_else(|| format!("allow: {}: caps is not hexadecimal", entry.path))?;
        by_path.entry(entry.path.into_bytes()).or_default().push(Allowed { mode, owner: entry.owner, group: entry.group, caps });
    }
    Ok(by_path)
}

/// Lowercase hexadecimal digits as bytes.
#[must_use]
pub fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
    let pair = |pair: &[u8]| u8::try_from(digit(pair[0])? * 16 + digit(*pair.get(1)?)?).ok();
    text.as_bytes().chunks(2).map(pair).collect()
}

/// Bytes as lowercase hexadecimal digits.
#[must_use]
pub fn encode_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let refuse = refusal(path);
    let bytes = client::cli::read_limited(path, 1 << 20).map_err(|error| refuse(format!("{error:#}")))?;
    String::from_utf8(bytes).map_err(|_| refuse("not UTF-8".to_owned()))
}

fn from_toml<T: serde::de::DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| refusal(path)(error.to_string().trim_end().replace('\n', "; ")))
}

fn refusal(path: &Path) -> impl Fn(String) -> ConfigError + use<> {
    let path = path.display().to_string();
    move |reason| ConfigError { path: path.clone(), reason }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.components().as_path().as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn root() -> String {
    "root".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Result<Rules, ConfigError> {
        Rules::parse(text, Path::new("/etc/tallystick/policy.toml"))
    }

    #[test]
    fn an_empty_policy_has_the_defaults() {
        assert_eq!(rules(""), Ok(Rules::default()));
    }

    #[test]
    fn values_are_read() {
        let text = "builders = 3\nrebuilders = 1\nmax_age = \"1h\"\naccept = \"accept.toml\"\n[[allow]]\npath = \"/usr/bin/ping\"\nmode = \"4755\"\n";
        let rules = rules(text).unwrap();
        assert_eq!((rules.builders, rules.rebuilders, rules.max_age), (3, 1, 3600));
        assert_eq!(rules.accept.as_deref(), Some(Path::new("/etc/tallystick/accept.toml")));
        let ping = &rules.allow[b"/usr/bin/ping".as_slice()][0];
        assert_eq!(*ping, Allowed { mode: 0o4755, owner: root(), group: root(), caps: Vec::new() });
    }

    #[test]
    fn the_state_stands_beside_the_cache() {
        let text = |more: &str| {
            let pin = "00".repeat(32);
            format!(
                "log = \"http://log\"\nwitness_policy = \"w\"\npolicy = \"p\"\ncache = \"/var/cache/\"\nroles_sha256 = \"{pin}\"\n{more}"
            )
        };
        let state = |more: &str| Config::parse(&text(more), Path::new("/etc/tallystick/tally.toml")).unwrap().state;
        assert_eq!(state(""), Path::new("/var/cache-state"));
        assert_eq!(state("state = \"s\""), Path::new("/etc/tallystick/s"));
        let places =
            Config::parse(&text("compare = [\"witnesses\", \"https://m.example\", \"seen\"]"), Path::new("/etc/tallystick/tally.toml"));
        let expected = [Place::Witnesses, Place::Mirror("https://m.example".into()), Place::File("/etc/tallystick/seen".into())];
        assert_eq!(places.unwrap().compare, expected);
    }

    #[test]
    fn nonsense_is_refused() {
        let cases = [
            "builders = 0",
            "builders = -1",
            "rebuilders = -1",
            "max_age = \"soon\"",
            "max_age = 5",
            "unknown = 1",
            "[gate]\nmode = \"refuse\"",
            "[gate]\nunknown = 1",
            "[repositories]\nunknown = 1",
            "[repositories]\nbuilders = 0",
            "[repositories]\nmax_age = \"old\"",
            "[repositories]\nunlisted = \"pass\"",
            "[[repositories.list]]\nname = \"bookworm\"",
            "[[repositories.list]]\nname = \"deb/debian/x\"\n[[repositories.list]]\nname = \"deb/debian/x\"",
            "[[repositories.list]]\nname = \"rpm/a/x\"\nalias = \"x\"\n[[repositories.list]]\nname = \"rpm/a/y\"\nalias = \"x\"",
            "[[allow]]\npath = \"usr/bin/ping\"\nmode = \"4755\"",
            "[[allow]]\npath = \"/usr/bin/ping\"\nmode = \"9755\"",
            "[[allow]]\npath = \"/usr/bin/ping\"\nmode = \"4755\"\ncaps = \"0\"",
            "[[allow]]\npath = \"/usr/bin/ping\"\nmode = \"4755\"\ncaps = \"AA\"",
        ];
        for case in cases {
            assert!(rules(case).is_err(), "{case}");
        }
    }
}

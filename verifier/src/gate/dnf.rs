//! dnf's gate: the plugin of dnf 4 writes what is coming; with dnf 5, the actions plugin of libdnf5 is asked.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::exit;
use crate::failure::Failure;
use crate::gate::coming::{Coming, ComingPackage, MAX_BYTES};
use crate::gate::manager::Manager;
use crate::gate::rpmmd::security_updates;
use crate::gate::{GateError, desk, session};

/// `tally gate dnf`: judges what dnf 4's plugin writes on standard input.
///
/// # Errors
/// If nothing can be judged where the policy enforces, or the configuration cannot be read.
pub fn run(config: &Path) -> Result<u8, Failure> {
    let mut bytes = Vec::new();
    let read = io::stdin().take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(GateError::Input);
    let coming = read.and_then(|_| Coming::parse(&bytes).ok_or(GateError::Listing("dnf's plugin")));
    judge(config, coming)
}

/// `tally gate dnf5`: asks the actions plugin over standard output and input, in its JSON mode.
///
/// # Errors
/// If nothing can be judged where the policy enforces, or the configuration cannot be read.
pub fn run_actions(config: &Path) -> Result<u8, Failure> {
    let coming = Conversation::new(io::stdin(), io::stdout()).coming();
    judge(config, coming)
}

fn judge(config: &Path, coming: Result<Coming, GateError>) -> Result<u8, Failure> {
    if coming.as_ref().is_ok_and(|coming| coming.packages.is_empty()) {
        return Ok(exit::CLEAN);
    }
    session(config, |setup, now| desk::assess(setup, Manager::Dnf, &coming?.offers(), Vec::new(), now))
}

/// Requests and replies of libdnf5's actions plugin, one JSON object after the other.
pub struct Conversation<R, W> {
    replies: BufReader<io::Take<R>>,
    requests: W,
}

#[derive(Deserialize)]
struct Reply {
    op: String,
    requested_op: String,
    domain: String,
    status: String,
    #[serde(rename = "return", default)]
    given: Value,
}

/// A package as the actions plugin describes it. Everything is text.
#[derive(Deserialize)]
struct Described {
    action: String,
    arch: String,
    epoch: String,
    location: String,
    name: String,
    release: String,
    repo_id: String,
    version: String,
}

impl<R: Read, W: Write> Conversation<R, W> {
    /// Begins one.
    pub fn new(replies: R, requests: W) -> Self {
        Self { replies: BufReader::new(replies.take(MAX_BYTES)), requests }
    }

    /// What the transaction brings, with the files that were downloaded for it.
    ///
    /// # Errors
    /// If the plugin cannot be heard, or does not answer as it should.
    pub fn coming(mut self) -> Result<Coming, GateError> {
        let output = ["action", "arch", "epoch", "location", "name", "release", "repo_id", "version"];
        let filters = json!([{ "key": "direction", "value": "IN" }]);
        let mut answer = self.ask("trans_packages", &json!({ "filters": filters, "output": output }))?;
        let described: Vec<Described> = serde_json::from_value(answer["trans_packages"].take()).map_err(|_| NONSENSE)?;
        let answer = self.ask("conf", &json!({ "key": "cachedir" }))?;
        let cache = PathBuf::from(answer["keys_val"][0]["value"].as_str().ok_or(NONSENSE)?);
        let mut packages = described.into_iter().map(|package| package.coming(&cache)).collect::<Result<Vec<_>, _>>()?;
        if !packages.iter().all(ComingPackage::is_named) {
            return Err(NONSENSE);
        }
        mark_security_updates(&cache, &mut packages).map_err(GateError::Input)?;
        Ok(Coming { packages, schema: 1 })
    }

    fn ask(&mut self, domain: &str, args: &Value) -> Result<Value, GateError> {
        let request = json!({ "op": "get", "domain": domain, "args": args });
        writeln!(self.requests, "{request}").and_then(|()| self.requests.flush()).map_err(GateError::Input)?;
        let mut objects = serde_json::Deserializer::from_reader(&mut self.replies).into_iter::<Reply>();
        let reply = objects.next().and_then(Result::ok).ok_or(NONSENSE)?;
        let right = reply.op == "reply" && reply.requested_op == "get" && reply.domain == domain && reply.status == "OK";
        right.then_some(reply.given).ok_or(NONSENSE)
    }
}

impl Described {
    fn coming(self, cache: &Path) -> Result<ComingPackage, GateError> {
        let files = if self.repo_id.starts_with('@') {
            vec![PathBuf::from(&self.location)]
        } else {
            downloaded(cache, &self.repo_id, Path::new(&self.location).file_name().ok_or(NONSENSE)?).map_err(GateError::Input)?
        };
        Ok(ComingPackage {
            epoch: self.epoch.parse().map_err(|_| NONSENSE)?,
            installed: self.action != "I",
            security: false,
            version: format!("{}-{}", self.version, self.release),
            architecture: self.arch,
            files,
            name: self.name,
            repository: self.repo_id,
        })
    }
}

/// Security updates are those that the advisories of their repository call so.
fn mark_security_updates(cache: &Path, packages: &mut [ComingPackage]) -> io::Result<()> {
    let repositories: BTreeSet<String> = packages.iter().map(|package| package.repository.clone()).collect();
    for repository in repositories {
        let names: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
        let security: BTreeSet<String> = directories(cache, &repository)?
            .iter()
            .flat_map(|directory| security_updates(&directory.join("repodata"), &names))
            .map(|nevra| nevra.identity())
            .collect();
        for package in packages.iter_mut().filter(|package| package.repository == repository) {
            package.security = security.contains(&package.identity());
        }
    }
    Ok(())
}

/// The files of this name in the cache of a repository; an earlier address of it may have left one of the same name.
fn downloaded(cache: &Path, repository: &str, file: &OsStr) -> io::Result<Vec<PathBuf>> {
    let files = directories(cache, repository)?.into_iter().map(|directory| directory.join("packages").join(file));
    Ok(files.filter(|path| path.exists()).collect())
}

/// The directories of a repository, `ID-HASH`. The hash is of its addresses.
fn directories(cache: &Path, repository: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(cache)? {
        let entry = entry?;
        let name = entry.file_name();
        let hash = name.to_str().and_then(|name| name.strip_prefix(repository)?.strip_prefix('-'));
        found.extend(hash.is_some_and(|hash| hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| entry.path()));
    }
    found.sort();
    Ok(found)
}

const NONSENSE: GateError = GateError::Listing("dnf's actions plugin");

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn conversation(replies: &str) -> (Result<Coming, GateError>, String) {
        let mut requests = Vec::new();
        let coming = Conversation::new(replies.as_bytes(), &mut requests).coming();
        (coming, String::from_utf8(requests).unwrap())
    }

    fn replies(cache: &Path) -> String {
        let package = r#"{ "action": "U", "name": "alpha", "arch": "noarch", "version": "1", "release": "2", "epoch": "3", "repo_id": "stable", "location": "Packages\/a\/alpha.rpm" }"#;
        let local = r#"{ "action": "I", "name": "beta", "arch": "noarch", "version": "1", "release": "1", "epoch": "0", "repo_id": "@commandline", "location": "\/srv\/beta.rpm" }"#;
        let all = format!(
            r#"{{ "op": "reply", "requested_op": "get", "domain": "trans_packages", "return": {{ "trans_packages": [ {package}, {local} ] }}, "status": "OK" }}"#
        );
        let cache = format!(
            r#"{{ "op": "reply", "requested_op": "get", "domain": "conf", "return": {{ "keys_val": [ {{ "key": "cachedir", "value": "{}" }} ] }}, "status": "OK" }}"#,
            cache.display()
        );
        format!("{all}\n{cache}\n")
    }

    #[test]
    fn the_actions_plugin_is_asked_for_packages_and_their_files_are_found() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["stable-00ff", "stable-11ff", "stable-updates-00ff", "other-00ff"] {
            fs::create_dir_all(dir.path().join(name).join("packages")).unwrap();
            fs::write(dir.path().join(name).join("packages/alpha.rpm"), "x").unwrap();
        }
        let (coming, requests) = conversation(&replies(dir.path()));
        let packages = coming.unwrap().packages;
        let first = dir.path().join("stable-00ff/packages/alpha.rpm");
        assert_eq!(packages[0].files, [first, dir.path().join("stable-11ff/packages/alpha.rpm")]);
        assert_eq!((packages[0].epoch, packages[0].version.as_str(), packages[0].installed), (3, "1-2", true));
        assert_eq!((packages[1].files.as_slice(), packages[1].installed), (&[PathBuf::from("/srv/beta.rpm")][..], false));
        assert_eq!(requests.lines().count(), 2, "{requests}");
    }

    #[test]
    fn other_answers_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let good = replies(dir.path());
        assert!(conversation(&good).0.is_ok());
        for (from, to) in [
            ("\"OK\"", "\"ERROR\""),
            ("\"epoch\": \"3\"", "\"epoch\": \"x\""),
            ("\"name\"", "\"nam\""),
            ("\"reply\"", "\"get\""),
            ("cachedir\", \"value\"", "cachedir\", \"other\""),
            ("\"domain\": \"conf\"", "\"domain\": \"vars\""),
        ] {
            assert!(conversation(&good.replace(from, to)).0.is_err(), "{to}");
        }
        assert!(conversation("").0.is_err());
        assert!(conversation(good.lines().next().unwrap()).0.is_err());
    }
}

//! Results of a running rebuilderd, taken from its API and stated with its own signature as the record (`specs/rebuild.md`, section 5).

pub mod link;

use std::collections::BTreeMap;
use std::time::Duration;

use attest::predicate::{Environment, Imported, Predicate, Rebuild, RebuildResult};
use attest::{Purl, Statement};
use client::{FetchError, Http};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tlog::VerifierKey;

use link::{Link, LinkError, parse_keys};

/// Why nothing was imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The network, or the answer's status.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The address says more than where the server is.
    #[error("the server's address has a user name or a password, or characters that no address has: it would stand in signed statements")]
    Address,
    /// The answer is not what rebuilderd answers.
    #[error("{url}: the answer is not one of rebuilderd's API")]
    Answer {
        /// What was asked for.
        url: String,
    },
}

/// A package of the distribution, as rebuilderd lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Listed {
    id: i64,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    distribution: String,
    /// Its architecture.
    pub architecture: String,
    status: Option<String>,
    build_id: Option<i64>,
    artifact_id: Option<i64>,
    attestation_log_id: Option<i64>,
}

/// What came of one package of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A statement, not yet signed.
    Stated(Box<Statement>),
    /// There is no signed link: it came out different, was not built yet, or is older than links.
    NoLink,
    /// The link proves nothing.
    Refused(String),
    /// It could not be fetched this time.
    Failed(String),
}

#[derive(Deserialize)]
struct Page<T> {
    records: Vec<T>,
}

#[derive(Deserialize)]
struct Build {
    name: String,
    version: String,
}

#[derive(Deserialize)]
struct Keys {
    current: Vec<String>,
}

/// One rebuilderd.
pub struct Rebuilderd {
    http: Http,
    keys: Vec<VerifierKey>,
}

impl Rebuilderd {
    /// The rebuilderd at a URL, whose links must be signed by one of these keys.
    ///
    /// # Errors
    /// If the URL makes no sense, or says what nobody else is to know.
    pub fn new(url: &str, keys: Vec<VerifierKey>) -> Result<Self, ImportError> {
        if !is_public(url) {
            return Err(ImportError::Address);
        }
        Ok(Self { http: Http::new(url, PATIENCE)?, keys })
    }

    /// The keys that it says it signs with, as PEM. Nothing is believed because of them: whoever runs it must confirm them.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn current_keys(&self) -> Result<Vec<String>, ImportError> {
        let keys: Keys = self.ask("api/v1/meta/public-keys").await?;
        Ok(keys.current.into_iter().filter(|pem| parse_keys(pem).is_some()).collect())
    }

    /// The packages that it knows, those of these names or all.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn packages(&self, names: &[String]) -> Result<Vec<Listed>, ImportError> {
        let mut packages = Vec::new();
        let filters: Vec<String> =
            if names.is_empty() { vec![String::new()] } else { names.iter().map(|name| format!("&name={}", query(name))).collect() };
        for filter in filters {
            let mut after = 0;
            loop {
                let path = format!("api/v1/packages/binary?limit={PAGE}&after={after}{filter}");
                let page: Page<Listed> = self.ask(&path).await?;
                let last = page.records.iter().map(|package| package.id).max();
                let is_last = page.records.len() < PAGE || packages.len() + page.records.len() > MOST;
                packages.extend(page.records);
                match last.filter(|last| !is_last && *last > after) {
                    Some(last) => after = last,
                    None => break,
                }
            }
        }
        Ok(packages)
    }

    /// Fetches and verifies the link of one package.
    ///
    /// # Errors
    /// If it does not answer. A link that proves nothing is no error but [`Taken::Refused`].
    pub async fn take(&self, package: &Listed, namespaces: &[String]) -> Result<Taken, ImportError> {
        let good = package.status.as_deref() == Some("GOOD") && package.attestation_log_id.is_some();
        let Some((build, artifact)) = package.build_id.zip(package.artifact_id).filter(|_| good) else { return Ok(Taken::NoLink) };
        let source: Build = self.ask(&format!("api/v1/builds/{build}")).await?;
        let path = format!("api/v1/builds/{build}/artifacts/{artifact}/attestation");
        let bytes = self.http.get(&path, MAX_ANSWER).await?.body;
        let stated = Link::verify(&bytes, &self.keys).map_err(|error: LinkError| error.to_string());
        let stated = stated.and_then(|link| state(package, &source, &link, namespaces, self.http.base()));
        Ok(stated.map_or_else(Taken::Refused, |statement| Taken::Stated(Box::new(statement))))
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, ImportError> {
        let answer = self.http.get(path, MAX_ANSWER).await?;
        serde_json::from_slice(&answer.body).map_err(|_| ImportError::Answer { url: format!("{}/{path}", self.http.base()) })
    }
}

/// Whether an address names a server and no user. Parsers of addresses read several forms as this one: all of them are looked at.
fn is_public(url: &str) -> bool {
    let rest = url.split_once(':').map_or(url, |(_, rest)| rest).trim_start_matches(['/', '\\']);
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    url.bytes().all(|byte| byte.is_ascii_graphic()) && !authority.contains('@')
}

/// What an import goes on with: one package that fails keeps none after it from being taken, but a server that is gone is not asked for all.
#[derive(Debug, Default)]
pub struct Patience {
    unreachable: usize,
}

impl Patience {
    /// A package's result, where the import goes on.
    ///
    /// # Errors
    /// The last of several failures in a row to reach the server at all.
    pub fn weigh(&mut self, result: Result<Taken, ImportError>) -> Result<Taken, ImportError> {
        let error = match result {
            Err(error) => error,
            taken => {
                self.unreachable = 0;
                return taken;
            }
        };
        let is_away = matches!(error, ImportError::Fetch(FetchError::Unreachable { .. }));
        self.unreachable = if is_away { self.unreachable + 1 } else { 0 };
        if self.unreachable < MOST_UNREACHABLE { Ok(Taken::Failed(error.to_string())) } else { Err(error) }
    }
}

/// The statement that a verified link amounts to: the link must be about exactly the listed package's file.
fn state(package: &Listed, source: &Build, link: &Link, namespaces: &[String], url: &str) -> Result<Statement, String> {
    let file = file_name(package);
    if link.name != format!("rebuild {file}") {
        return Err(format!("its signed link is about another file than {file}"));
    }
    let digest = only(&link.products, &file).ok_or_else(|| format!("its signed link names other products than {file}"))?;
    if !namespaces.contains(&package.distribution) {
        return Err(format!("`{}` is no namespace of [vendors] in the configuration", package.distribution));
    }
    let purl = Purl::deb(&package.distribution, &package.name, &package.version, &package.architecture)
        .map_err(|error| format!("it cannot be named: {error}"))?;
    let rebuild = Rebuild {
        imported: Some(Imported { key: link.key, url: url.to_owned() }),
        record: Some(link.sha256),
        ..Rebuild::new(format!("{} {}", source.name, source.version), Environment::Imported, RebuildResult::Same)
    };
    let statement = Statement::about_package(&purl, digest, Predicate::Rebuild(rebuild));
    statement.check().map_err(|error| error.to_string())?;
    Ok(statement)
}

/// As Debian's pool names it: without the version's epoch.
fn file_name(package: &Listed) -> String {
    let version = package.version.split_once(':').map_or(package.version.as_str(), |(_, version)| version);
    format!("{}_{version}_{}.deb", package.name, package.architecture)
}

fn only(products: &BTreeMap<String, tlog::Hash>, file: &str) -> Option<tlog::Hash> {
    let mut products = products.iter();
    products.next().filter(|(name, _)| *name == file).filter(|_| products.len() == 0).map(|(_, digest)| *digest)
}

/// A word for a query string.
fn query(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

const PATIENCE: Duration = Duration::from_secs(60);
const MAX_ANSWER: usize = 8 << 20;
const PAGE: usize = 500;
/// So many packages in a row that cannot be fetched are the server's end.
const MOST_UNREACHABLE: usize = 5;
/// More packages than any distribution has.
const MOST: usize = 500_000;

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::Hash;

    fn listed(version: &str) -> Listed {
        let text = format!(
            r#"{{"id":1,"name":"x","version":"{version}","distribution":"debian","architecture":"amd64","status":"GOOD","build_id":1,"artifact_id":2,"attestation_log_id":3,"new":true}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn link(name: &str, products: &[&str]) -> Link {
        let products = products.iter().map(|name| ((*name).to_owned(), Hash::EMPTY)).collect();
        Link { sha256: Hash::digest(b"link"), key: Hash::digest(b"key"), name: name.to_owned(), materials: BTreeMap::new(), products }
    }

    #[test]
    fn an_address_with_a_user_is_refused_and_not_repeated() {
        for url in ["http://r.example.org", "http://127.0.0.1:8484/a@b", "http://r.example.org/?a@b"] {
            assert!(Rebuilderd::new(url, Vec::new()).is_ok(), "{url}");
        }
        for url in [
            "https://user:secret@r.example.org",
            "https://secret@r.example.org/x",
            "https:secret@r.example.org",
            "https:/\\secret@r.example.org/",
            "https:///secret@r.example.org/",
            "ht\ntps://secret@r.example.org",
            " https://secret@r.example.org",
            "https://\tsecret\n@r.example.org",
        ] {
            let error = Rebuilderd::new(url, Vec::new()).err().unwrap();
            assert!(error == ImportError::Address && !error.to_string().contains("secret"), "{url}: {error}");
        }
    }

    #[test]
    fn one_failure_is_told_and_only_a_lost_server_ends_an_import() {
        let mut patience = Patience::default();
        let gone = || Err(ImportError::Fetch(FetchError::Unreachable { url: "u".to_owned(), reason: "r".to_owned() }));
        let broken = || Err(ImportError::Answer { url: "u".to_owned() });
        for _ in 0..3 * MOST_UNREACHABLE {
            assert!(matches!(patience.weigh(broken()), Ok(Taken::Failed(_))));
        }
        for between in [broken(), Ok(Taken::NoLink)] {
            for _ in 1..MOST_UNREACHABLE {
                assert!(matches!(patience.weigh(gone()), Ok(Taken::Failed(_))));
            }
            assert!(patience.weigh(between).is_ok());
        }
        for _ in 1..MOST_UNREACHABLE {
            assert!(patience.weigh(gone()).is_ok());
        }
        assert_eq!(patience.weigh(gone()), gone());
    }

    #[test]
    fn a_link_is_stated_only_about_the_very_file() {
        let source = Build { name: "x".into(), version: "1:2-3".into() };
        let stated = |package: &Listed, link: &Link| {
            state(package, &source, link, &["debian".to_owned()], "http://r").map(|statement| statement.subject)
        };
        let file = "x_2-3_amd64.deb";
        let subject = stated(&listed("1:2-3"), &link(&format!("rebuild {file}"), &[file])).unwrap();
        assert_eq!((subject.name.as_str(), subject.digest.sha256), ("pkg:deb/debian/x@1:2-3?arch=amd64", Hash::EMPTY));
        let refused = |package: &Listed, link: &Link| stated(package, link).unwrap_err();
        assert!(refused(&listed("1:2-4"), &link(&format!("rebuild {file}"), &[file])).contains("another file"));
        assert!(refused(&listed("1:2-3"), &link(&format!("rebuild {file}"), &[file, "y"])).contains("other products"));
        assert!(refused(&listed("1:2-3"), &link(&format!("rebuild {file}"), &[])).contains("other products"));
        let other = Listed { distribution: "archlinux".into(), ..listed("1:2-3") };
        assert!(refused(&other, &link(&format!("rebuild {file}"), &[file])).contains("archlinux"));
        assert_eq!(query("g++-12"), "g%2B%2B-12");
    }
}

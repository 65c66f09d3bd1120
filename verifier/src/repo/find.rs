//! The indexes that package managers keep on a root, and which repository each of them is of.

use std::path::{Path, PathBuf};

use attest::predicate::RepositoryState;
use attest::roles::Roles;
use package::repository::{Contents, Index, IndexError};
use package::root::{Root, RootError};
use tlog::Hash;

use super::rules::RepositoryRules;

/// An index file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Where it is, for people.
    pub file: String,
    /// What its package manager calls the repository.
    pub alias: Option<String>,
    /// SHA-256 of the file.
    pub digest: Hash,
    /// What it says of itself.
    pub index: Index,
}

/// Why a file says nothing.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// It cannot be read.
    #[error("{0}: {1}")]
    Unreadable(String, std::io::Error),
    /// It is no index.
    #[error("{0}: {1}")]
    Index(String, IndexError),
    /// The root.
    #[error(transparent)]
    Root(#[from] RootError),
}

impl Local {
    /// Reads an index.
    ///
    /// # Errors
    /// If it cannot be read or is none.
    pub fn open(path: &Path, alias: Option<String>) -> Result<Self, LocalError> {
        let file = path.display().to_string();
        let bytes = client::cli::read_limited(path, Index::MAX_BYTES);
        let bytes = bytes.map_err(|error| LocalError::Unreadable(file.clone(), std::io::Error::other(format!("{error:#}"))))?;
        Self::new(file, alias, &bytes)
    }

    /// The same for its bytes.
    ///
    /// # Errors
    /// If they are no index.
    pub fn new(file: String, alias: Option<String>, bytes: &[u8]) -> Result<Self, LocalError> {
        let name = file.rsplit('/').next().unwrap_or_default();
        let index = Index::read(bytes, name).map_err(|error| LocalError::Index(file.clone(), error))?;
        Ok(Self { digest: Hash::digest(bytes), file, alias, index })
    }

    /// What a builder that saw it says of it.
    #[must_use]
    pub fn seen(&self) -> RepositoryState {
        RepositoryState::seen(&self.index.name, self.index.date, self.index.valid_until)
    }

    /// The repository that it is of: by what the policy calls it; else, as the roles map its `Origin`; else, for pacman, by the roles' only
    /// vendor of such packages.
    #[must_use]
    pub fn name(&self, rules: &RepositoryRules, roles: Option<&Roles>) -> Option<String> {
        let kind = self.index.contents.kind();
        if let Some(name) = self.alias.as_deref().and_then(|alias| rules.by_alias(kind, alias)) {
            return Some(name.to_owned());
        }
        let suite = self.index.suite.as_deref()?;
        let namespace = match (self.index.contents, &self.index.origin) {
            (Contents::Deb, Some(origin)) => roles?.namespace(kind, origin)?,
            (Contents::Alpm, _) => {
                let mut vendors = roles?.vendors.iter().filter(|vendor| vendor.kind == kind).map(|vendor| vendor.namespace.as_str());
                let only = vendors.next()?;
                vendors.all(|other| other == only).then_some(only)?
            }
            _ => return None,
        };
        Some(format!("{kind}/{namespace}/{suite}")).filter(|name| RepositoryState::is_repository(name))
    }
}

/// All indexes that apt, zypper, dnf and pacman keep on a root.
///
/// # Errors
/// If one cannot be read, or the root cannot.
pub fn find(root: &Path) -> Result<Vec<Local>, LocalError> {
    let opened = Root::open(root)?;
    let mut found = Vec::new();
    for (path, alias) in places(&opened)? {
        let Some(bytes) = opened.read(&path, Index::MAX_BYTES)? else { continue };
        let file = root.join(PathBuf::from(String::from_utf8_lossy(&path).into_owned())).display().to_string();
        found.push(Local::new(file, alias, &bytes)?);
    }
    Ok(found)
}

type Place = (Vec<u8>, Option<String>);

fn places(root: &Root) -> Result<Vec<Place>, RootError> {
    let list = |dir: &str| Ok(root.list(dir.as_bytes())?.unwrap_or_default().into_iter().filter_map(|name| String::from_utf8(name).ok()));
    let mut places = Vec::new();
    for name in list(APT)? {
        // Where apt found InRelease, it keeps no Release.
        if name.ends_with("_InRelease") || name.ends_with("_Release") {
            places.push((format!("{APT}/{name}").into_bytes(), None));
        }
    }
    for dir in RPM {
        for name in list(dir)? {
            let path = format!("{dir}/{name}/repodata/repomd.xml").into_bytes();
            let is_there = root.stat_target(format!("{dir}/{name}/repodata").as_bytes())?.is_some() && root.stat_target(&path)?.is_some();
            places.extend(is_there.then(|| (path, Some(alias(&name).to_owned()))));
        }
    }
    for name in list(PACMAN)? {
        if let Some(alias) = name.strip_suffix(".db") {
            places.push((format!("{PACMAN}/{name}").into_bytes(), Some(alias.to_owned())));
        }
    }
    places.sort();
    Ok(places)
}

/// dnf adds a hash to a repository's name: `fedora-1234567890abcdef`.
fn alias(directory: &str) -> &str {
    let hashed = |tail: &str| tail.len() == 16 && tail.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    directory.rsplit_once('-').filter(|(_, tail)| hashed(tail)).map_or(directory, |(alias, _)| alias)
}

const APT: &str = "var/lib/apt/lists";
const RPM: [&str; 3] = ["var/cache/zypp/raw", "var/cache/dnf", "var/cache/libdnf5"];
const PACMAN: &str = "var/lib/pacman/sync";

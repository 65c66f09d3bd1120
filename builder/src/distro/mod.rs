//! Distributions beside Debian: which package manager an image has, how it downloads, and how its repositories are verified
//! (`specs/foreign.md`).
//!
//! As with apt, a container only fetches. Indexes are fetched once more outside of it, verified against the pinned keyring, and every package file
//! that came out of the container must be in them.

mod apk;
mod claim;
mod desc;
mod error;
mod file;
mod format;
mod manager;
mod pacman;
mod primary;
mod rpm;
mod script;

use std::collections::BTreeMap;
use std::path::Path;

use attest::predicate::PackageOrigin;
use tlog::Hash;

use crate::chain::{Catalogue, Keyring, Offer};
use crate::watch;

pub use apk::RsaKeys;
pub(crate) use apk::{Offered, claim as claim_apk, fetch as fetch_apk, newest as newest_apk};
pub(crate) use claim::claim_one;
pub use error::IndexError;
pub use file::PackageFile;
pub use format::Format;
pub use manager::{Manager, Repository};
pub(crate) use script::{INSTALL_PACMAN, INSTALL_RPM, download, settings};

/// A package file as a verified index lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What to say about it.
    pub origin: PackageOrigin,
    /// Its name.
    pub name: String,
    /// Its version, for rpm `version-release`.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// Its epoch, where rpm has one.
    pub epoch: u32,
    /// Bytes.
    pub size: u64,
    /// When its index was made, in POSIX seconds, where that is said.
    pub published: Option<u64>,
}

/// What one repository says.
struct Contents {
    /// SHA-256 of the file that it signs.
    signed: Hash,
    listed: Vec<(Hash, Listed)>,
}

/// Everything that verified indexes list, by SHA-256 of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    listed: BTreeMap<Hash, Listed>,
    /// SHA-256 of the file that each repository signs, by its address.
    repositories: BTreeMap<String, Hash>,
}

impl Index {
    /// Fetches and verifies the indexes of all repositories. One that does not verify spoils all.
    ///
    /// # Errors
    /// The first link that does not hold.
    pub async fn fetch(
        manager: Manager,
        repositories: &[Repository],
        suite: &str,
        keyring: &Keyring,
        scratch: &Path,
    ) -> Result<Self, IndexError> {
        let mut index = Self::default();
        for repository in repositories {
            let contents = match manager {
                Manager::Pacman => pacman::fetch(repository, suite, keyring, scratch).await?,
                _ => rpm::fetch(repository, suite, keyring, scratch).await?,
            };
            index.repositories.insert(place(repository), contents.signed);
            for (sha256, listed) in contents.listed {
                index.listed.entry(sha256).or_insert(listed);
            }
        }
        Ok(index)
    }

    /// Everything that can be installed on this kind of machine, for the service; `now` stands for the time of an index that says none.
    #[must_use]
    pub fn catalogue(&self, manager: Manager, machine: &str, now: u64) -> Catalogue {
        let format = Format::of(manager);
        let fits = |listed: &Listed| listed.architecture == machine || listed.architecture == format.any();
        let offer = |(sha256, listed): (&Hash, &Listed)| Offer {
            format,
            name: listed.name.clone(),
            version: listed.version.clone(),
            architecture: listed.architecture.clone(),
            epoch: listed.epoch,
            sha256: *sha256,
            origin: listed.origin.origin.clone(),
            published: listed.published.unwrap_or(now).min(now),
        };
        let offers = self.listed.iter().filter(|(_, listed)| fits(listed)).map(|listed| (*listed.0, offer(listed)));
        Catalogue { offers: offers.collect(), repositories: self.repositories.clone() }
    }

    /// SHA-256 of the file that each repository signed, by its address.
    #[must_use]
    pub const fn repositories(&self) -> &BTreeMap<String, Hash> {
        &self.repositories
    }

    /// Whether a verified index names a file with this digest.
    #[must_use]
    pub fn names(&self, sha256: &Hash) -> bool {
        self.listed.contains_key(sha256)
    }

    /// What the index says about a file, which must call itself as the index does.
    ///
    /// # Errors
    /// If no index names the file, or names it differently.
    pub fn origin(&self, file: &PackageFile) -> Result<&Listed, IndexError> {
        let listed = self.listed.get(&file.sha256).ok_or_else(|| IndexError::Unauthenticated(file.label()))?;
        let named = (&listed.name, &listed.version, &listed.architecture, listed.epoch, listed.size);
        if named != (&file.name, &file.version, &file.architecture, file.epoch, file.size) {
            let listed = format!("{} {} {}", listed.name, listed.version, listed.architecture);
            return Err(IndexError::OtherName { package: file.label(), listed });
        }
        Ok(listed)
    }
}

/// Whether all repositories sign now what they signed then.
///
/// # Errors
/// If one cannot be looked at.
pub async fn are_unchanged(
    manager: Manager,
    repositories: &[Repository],
    then: &BTreeMap<String, Hash>,
    keyring: &Keyring,
    scratch: &Path,
) -> Result<bool, IndexError> {
    for repository in repositories {
        let now = match manager {
            Manager::Pacman => pacman::look(repository, keyring, scratch).await?,
            _ => rpm::look(repository, keyring, scratch).await?,
        };
        if then.get(&place(repository)) != Some(&now) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn place(repository: &Repository) -> String {
    format!("{} {}", repository.name, repository.url)
}

/// A signed file and its detached signature, both fetched; the file's bytes, and whose signatures hold.
async fn signed(
    repository: &Repository,
    file: &str,
    signature: &str,
    limit: usize,
    keyring: &Keyring,
    scratch: &Path,
) -> Result<(Vec<u8>, Vec<String>), IndexError> {
    let place = format!("{}/{file}", repository.url.trim_end_matches('/'));
    let bytes = watch::fetch(&repository.url, file, limit).await?;
    let detached = match watch::fetch(&repository.url, signature, MAX_SIGNATURE).await {
        Err(error) if error.is_absent() => return Err(IndexError::Unsigned(place)),
        detached => detached?,
    };
    let (file, signature) = (scratch.join("signed"), scratch.join("signature"));
    for (path, bytes) in [(&file, &bytes), (&signature, &detached)] {
        std::fs::write(path, bytes).map_err(|error| IndexError::Io(path.display().to_string(), error.to_string()))?;
    }
    let signers = keyring.verify_detached(&file, &signature).map_err(|reason| IndexError::Signature { place, reason })?;
    Ok((bytes, signers))
}

const MAX_SIGNATURE: usize = 64 << 10;

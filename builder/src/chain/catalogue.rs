//! Everything that repositories offer, by their signed indexes.

use std::collections::BTreeMap;

use attest::Purl;
use attest::purl::PurlError;
use tlog::Hash;

use super::{ChainError, Keyring, Lists, Repository, file_name, index};
use crate::distro::Format;
use crate::request::Request;

/// One package file that a signed index names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its format.
    pub format: Format,
    /// Its name.
    pub name: String,
    /// Its version; for rpm without the epoch.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// Its epoch, where rpm has one.
    pub epoch: u32,
    /// SHA-256 of the file.
    pub sha256: Hash,
    /// `Origin` of the repository, or its name in the configuration.
    pub origin: String,
    /// When the repository was last published, in POSIX seconds.
    pub published: u64,
}

/// The package files that repositories offer for one architecture, by SHA-256.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// The files.
    pub offers: BTreeMap<Hash, Offer>,
    /// SHA-256 of the file that each repository signs, by its place.
    pub repositories: BTreeMap<String, Hash>,
}

impl Catalogue {
    /// Verifies every repository as [`super::Chain::verify`] does, and reads all that its indexes name.
    ///
    /// # Errors
    /// The first link that does not hold.
    pub fn verify(lists: &Lists<'_>, keyring: &Keyring, now: u64) -> Result<Self, ChainError> {
        let mut catalogue = Self::default();
        for source in lists.sources {
            let repository = Repository::open(source, &lists.dir.join(file_name(source, "InRelease")), keyring, now)?;
            for index in repository.indexes(lists) {
                let (path, text) = index?;
                catalogue.read(&repository, &text).map_err(|reason| repository.malformed(&path, reason))?;
            }
            catalogue.repositories.insert(repository.place, repository.in_release);
        }
        Ok(catalogue)
    }

    fn read(&mut self, repository: &Repository<'_>, text: &[u8]) -> Result<(), String> {
        index::each(text, &mut |record| {
            let offer = Offer {
                format: Format::Deb,
                epoch: 0,
                name: record.control.name,
                version: record.control.version,
                architecture: record.control.architecture,
                sha256: Hash::new(record.sha256),
                origin: repository.release.origin.clone(),
                published: repository.release.date(),
            };
            self.offers.entry(offer.sha256).or_insert(offer);
        })
    }

    /// What a request means: the newest version that fits it.
    #[must_use]
    pub fn find(&self, request: &Request) -> Option<&Offer> {
        let fits = |offer: &&Offer| {
            let architecture = request.architecture.as_ref();
            offer.name == request.name
                && request.version.as_ref().is_none_or(|version| *version == offer.version || *version == offer.whole_version())
                && architecture.is_none_or(|arch| *arch == offer.architecture || offer.architecture == offer.format.any())
        };
        self.offers.values().filter(fits).max_by(|a, b| a.format.compare(&a.whole_version(), &b.whole_version()))
    }
}

impl Offer {
    /// The request that names this very file; `None` if its name or version cannot be a word of a script.
    #[must_use]
    pub fn request(&self) -> Option<Request> {
        format!("{}={}", self.name, self.whole_version()).parse().ok()
    }

    /// Its package URL in a namespace.
    ///
    /// # Errors
    /// If its name does not make one.
    pub fn purl(&self, namespace: &str) -> Result<Purl, PurlError> {
        self.format.purl(namespace, &self.name, &self.version, &self.architecture, self.epoch, None)
    }

    /// With the epoch in front, as all but rpm's package URLs have it.
    fn whole_version(&self) -> String {
        if self.epoch == 0 { self.version.clone() } else { format!("{}:{}", self.epoch, self.version) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(version: &str, architecture: &str) -> Offer {
        let sha256 = Hash::digest(version.as_bytes());
        let (name, origin) = ("jq".to_owned(), "Debian".to_owned());
        let (format, version, architecture) = (Format::Deb, version.to_owned(), architecture.to_owned());
        Offer { format, name, version, architecture, epoch: 0, sha256, origin, published: 1 }
    }

    #[test]
    fn a_request_means_the_newest_that_fits() {
        let offers = [offer("1.6-2", "amd64"), offer("1.6-10", "amd64"), offer("1.6~rc1", "all")];
        let catalogue = Catalogue { offers: offers.iter().map(|offer| (offer.sha256, offer.clone())).collect(), ..Catalogue::default() };
        let found = |request: &str| catalogue.find(&request.parse().unwrap()).map(|offer| offer.version.as_str());
        assert_eq!(found("jq"), Some("1.6-10"));
        assert_eq!(found("jq=1.6-2"), Some("1.6-2"));
        assert_eq!(found("jq:i386"), Some("1.6~rc1"));
        assert_eq!((found("jq=2"), found("yq")), (None, None));
        assert_eq!(offers[0].request().unwrap().to_string(), "jq=1.6-2");
        assert_eq!(offer("1$(id)", "all").request(), None);
        let rpm = Offer { format: Format::Rpm, epoch: 2, ..offer("1.0-3", "noarch") };
        assert_eq!(rpm.request().unwrap().to_string(), "jq=2:1.0-3");
        assert_eq!(rpm.purl("fedora").unwrap().to_string(), "pkg:rpm/fedora/jq@1.0-3?arch=noarch&epoch=2");
        let catalogue = Catalogue {
            offers: [rpm, Offer { format: Format::Rpm, ..offer("9-1", "x86_64") }].into_iter().map(|offer| (offer.sha256, offer)).collect(),
            ..Catalogue::default()
        };
        let found = |request: &str| catalogue.find(&request.parse().unwrap()).map(|offer| offer.version.as_str());
        assert_eq!((found("jq"), found("jq=1.0-3"), found("jq=2:1.0-3")), (Some("1.0-3"), Some("1.0-3"), Some("1.0-3")));
        assert_eq!((found("jq:x86_64"), found("jq=3:1.0-3")), (Some("1.0-3"), None));
    }
}

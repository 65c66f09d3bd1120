//! What a plugin of ours inside a package manager writes: the packages that are about to be installed (`specs/gate.md`, section 2.2).

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::archive;
use crate::check;
use crate::gate::desk::{Offer, Place};

/// All of them. The fields stand in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coming {
    /// The packages.
    pub packages: Vec<ComingPackage>,
    /// 1.
    pub schema: u64,
}

/// One package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComingPackage {
    /// Architecture.
    pub architecture: String,
    /// Epoch.
    pub epoch: u32,
    /// Its file; several where it cannot be told which one it will be.
    pub files: Vec<PathBuf>,
    /// Whether a package of its name is installed.
    pub installed: bool,
    /// Its name.
    pub name: String,
    /// The repository that it comes from, by the name that the package manager has for it.
    pub repository: String,
    /// Whether it is a security update.
    pub security: bool,
    /// Version and release.
    pub version: String,
}

impl Coming {
    /// Parses what a plugin wrote; `None` unless it is exactly what [`Coming::encode`] gives, and names packages as packages are named.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let coming: Self = serde_json::from_slice(bytes).ok()?;
        (coming.schema == 1 && coming.encode() == bytes && coming.packages.iter().all(ComingPackage::is_named)).then_some(coming)
    }

    /// The bytes: JSON without spaces, in UTF-8.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads all files, and makes offers of the packages.
    #[must_use]
    pub fn offers(&self) -> Vec<Offer> {
        let paths: Vec<PathBuf> = self.packages.iter().flat_map(|package| package.files.iter().cloned()).collect();
        let mut files = check::open_all(&paths).into_iter();
        self.packages.iter().map(|package| package.offer(files.by_ref().take(package.files.len()).collect())).collect()
    }
}

impl ComingPackage {
    /// What it is, in one line.
    #[must_use]
    pub fn identity(&self) -> String {
        archive::identity(&self.name, self.epoch, &self.version, &self.architecture)
    }

    /// Whether name, version and architecture can be those of a package. They are shown to people, and not all who give them look.
    pub(super) fn is_named(&self) -> bool {
        [&self.name, &self.version, &self.architecture].into_iter().all(|text| is_word(text))
    }

    fn offer(&self, contents: Vec<check::Checked>) -> Offer {
        let Self { installed, name, repository, security, .. } = self;
        // A file from the command line comes from no repository.
        let place = (!repository.starts_with('@'))
            .then(|| Place { origin: Some(repository.clone()), security: *security || is_security(repository) });
        let (name, says, places) = (name.clone(), self.identity(), BTreeSet::from_iter(place));
        Offer { name, says, installed: *installed, contents, places: Some(places) }
    }
}

/// Whether a text can be a package's name, version or architecture: visible ASCII, and no path.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
}

/// Whether a repository is for security updates, by the habit of naming them so.
#[must_use]
pub fn is_security(repository: &str) -> bool {
    repository.ends_with("-security")
}

/// The longest listing.
pub const MAX_BYTES: u64 = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"packages":[{"architecture":"x86_64","epoch":1,"files":["/a/ü.rpm"],"installed":true,"name":"a","repository":"stable","security":false,"version":"1-2"}],"schema":1}"#;

    #[test]
    fn it_has_one_spelling() {
        assert_eq!(Coming::parse(GOOD.as_bytes()).unwrap().encode(), GOOD.as_bytes());
        let cases = [
            ("\"schema\":1", "\"schema\":2"),
            ("}]", "}] "),
            ("\"name\":\"a\"", "\"name\":\"\\u0061\""),
            ("\"epoch\":1", "\"epoch\":-1"),
            ("\"epoch\":1", "\"epoch\":1.0"),
            ("\"security\":false", "\"security\":0"),
            (",\"version\":\"1-2\"", ""),
            ("\"version\"", "\"more\":1,\"version\""),
        ];
        for (good, bad) in cases {
            assert_eq!(Coming::parse(GOOD.replace(good, bad).as_bytes()), None, "{bad}");
        }
        assert_eq!(Coming::parse(&GOOD.as_bytes()[1..]), None);
    }

    #[test]
    fn an_offer_says_what_the_package_manager_says() {
        let offers = Coming::parse(GOOD.as_bytes()).unwrap().offers();
        assert_eq!((offers[0].says.as_str(), offers[0].contents.len()), ("a 1:1-2 x86_64", 1));
        assert!(offers[0].contents[0].package.is_err(), "the file is not there");
        let local = GOOD.replace("stable", "@commandline");
        assert_eq!(Coming::parse(local.as_bytes()).unwrap().offers()[0].places, Some(BTreeSet::new()));
    }
}

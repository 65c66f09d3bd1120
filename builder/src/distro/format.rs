//! The formats of packages: how each is named in package URLs, and which of two versions is newer.

use std::cmp::Ordering;

use attest::Purl;
use attest::purl::PurlError;
use attest::version::{compare_apk, compare_debian, compare_rpm};

use super::Manager;

/// A format of package files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Of apt.
    Deb,
    /// Of dnf and zypper.
    Rpm,
    /// Of pacman.
    Alpm,
    /// Of apk.
    Apk,
}

impl Format {
    /// Which one a manager installs.
    #[must_use]
    pub const fn of(manager: Manager) -> Self {
        match manager {
            Manager::Apt => Self::Deb,
            Manager::Dnf | Manager::Zypper => Self::Rpm,
            Manager::Pacman => Self::Alpm,
            Manager::Apk => Self::Apk,
        }
    }

    /// A package URL in a namespace; only rpm's have an epoch of their own, and only apk's a branch.
    ///
    /// # Errors
    /// If the words do not make one.
    pub fn purl(
        self,
        namespace: &str,
        name: &str,
        version: &str,
        architecture: &str,
        epoch: u32,
        branch: Option<&str>,
    ) -> Result<Purl, PurlError> {
        match self {
            Self::Deb => Purl::deb(namespace, name, version, architecture),
            Self::Rpm => Purl::rpm(namespace, name, version, architecture, epoch),
            Self::Alpm => Purl::alpm(namespace, name, version, architecture),
            Self::Apk => Purl::apk(namespace, name, version, architecture, branch),
        }
    }

    /// Which version is newer. pacman's rules are rpm's.
    #[must_use]
    pub fn compare(self, a: &str, b: &str) -> Ordering {
        match self {
            Self::Deb => compare_debian(a, b),
            Self::Rpm | Self::Alpm => compare_rpm(a, b),
            Self::Apk => compare_apk(a, b),
        }
    }

    /// What stands for every architecture.
    #[must_use]
    pub const fn any(self) -> &'static str {
        match self {
            Self::Deb => "all",
            Self::Rpm | Self::Apk => "noarch",
            Self::Alpm => "any",
        }
    }
}

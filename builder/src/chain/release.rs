//! The text of a Release file: who publishes which indexes, and until when.

use package::deb822::Reason;
use package::release::IndexFile;

/// Why a Release text is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// Not a Release text.
    #[error("the Release file is malformed: {0}")]
    Malformed(&'static str),
    /// No SHA-256 of its indexes.
    #[error("the Release file has no SHA256 section")]
    NoSha256,
    /// It names another suite than was asked for.
    #[error("the Release file is that of {found}, not of {wanted}")]
    OtherSuite {
        /// What it says.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// Its time is over; in POSIX seconds.
    #[error("the Release file was valid until {0} (seconds since 1970)")]
    Expired(u64),
    /// Its date is more than a day ahead; in POSIX seconds.
    #[error("the Release file is dated {0} (seconds since 1970), which is in the future")]
    FromTheFuture(u64),
}

impl ReleaseError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::NoSha256 => "the repository is not one that can be attested",
            Self::OtherSuite { .. } => "name the suite by its codename in the configuration, and check the mirror",
            Self::Expired(_) => "the mirror is stale or is being held back: choose another one, and check this machine's clock",
            Self::FromTheFuture(_) => "check this machine's clock",
        }
    }
}

/// What a Release file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// `Origin`: without it nobody knows whose packages these are.
    pub origin: String,
    text: package::release::Release,
}

impl Release {
    /// Reads the signed text.
    ///
    /// # Errors
    /// If it is not one paragraph with the fields that count, each well-formed.
    pub fn parse(text: &[u8]) -> Result<Self, ReleaseError> {
        let text = package::release::Release::parse(text).map_err(|error| match error.reason {
            Reason::Missing("SHA256") => ReleaseError::NoSha256,
            Reason::Missing(field) | Reason::Malformed(field) => ReleaseError::Malformed(field),
            _ => ReleaseError::Malformed("not one paragraph of fields"),
        })?;
        let origin = text.origin.clone().filter(|origin| !origin.contains('\n')).ok_or(ReleaseError::Malformed("Origin"))?;
        Ok(Self { origin, text })
    }

    /// Checks that it is the Release of `suite`, and its dates against `now` in POSIX seconds. Without this, a mirror could serve
    /// another suite's, or an old one, both well signed.
    ///
    /// # Errors
    /// If not.
    pub fn check(&self, suite: &str, now: u64) -> Result<(), ReleaseError> {
        if self.text.codename.as_deref() != Some(suite) && self.text.suite.as_deref() != Some(suite) {
            return Err(ReleaseError::OtherSuite { found: self.name().to_owned(), wanted: suite.to_owned() });
        }
        if self.text.date > now.saturating_add(DAY) {
            return Err(ReleaseError::FromTheFuture(self.text.date));
        }
        match self.text.valid_until {
            Some(until) if until < now => Err(ReleaseError::Expired(until)),
            _ => Ok(()),
        }
    }

    /// `Codename`, or `Suite` where it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.codename.as_deref().or(self.text.suite.as_deref()).unwrap_or("no suite")
    }

    /// When it was made, in POSIX seconds.
    #[must_use]
    pub const fn date(&self) -> u64 {
        self.text.date
    }

    /// `Date` and `Valid-Until`, in POSIX seconds.
    #[must_use]
    pub const fn dates(&self) -> (u64, Option<u64>) {
        (self.text.date, self.text.valid_until)
    }

    /// The index at a path below the suite.
    #[must_use]
    pub fn index(&self, path: &str) -> Option<&IndexFile> {
        self.text.file(path)
    }
}

const DAY: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Origin: Debian\nSuite: oldstable\nCodename: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\n\
                        Valid-Until: Sat, 18 Jul 2026 10:16:37 UTC\nMD5Sum:\n 0ed6d4c8891eb86358b94bb35d9e4da4  1 main/x\nSHA256:\n \
                        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855        0 main/binary-amd64/Packages\n";
    const DATE: u64 = 1_783_764_997;

    #[test]
    fn a_release_says_what_it_names() {
        let release = Release::parse(TEXT.as_bytes()).unwrap();
        assert_eq!((release.origin.as_str(), release.name()), ("Debian", "bookworm"));
        assert_eq!(release.index("main/binary-amd64/Packages").map(|file| (file.size, file.sha256[0])), Some((0, 0xe3)));
        assert_eq!(release.index("main/x"), None);
        assert_eq!(release.check("bookworm", DATE), Ok(()));
        assert_eq!(release.check("oldstable", DATE + 7 * DAY), Ok(()));
    }

    #[test]
    fn wrong_suites_and_dates_are_refused() {
        let release = Release::parse(TEXT.as_bytes()).unwrap();
        assert!(matches!(release.check("trixie", DATE), Err(ReleaseError::OtherSuite { .. })));
        assert!(matches!(release.check("bookworm", DATE + 7 * DAY + 1), Err(ReleaseError::Expired(_))));
        assert!(matches!(release.check("bookworm", DATE - DAY - 1), Err(ReleaseError::FromTheFuture(_))));
    }

    #[test]
    fn malformed_texts_are_refused() {
        let refused = |old: &str, new: &str| Release::parse(TEXT.replace(old, new).as_bytes()).map(|_| ());
        assert_eq!(refused("SHA256:", "SHA512:"), Err(ReleaseError::NoSha256));
        assert_eq!(refused("Origin: Debian\n", ""), Err(ReleaseError::Malformed("Origin")));
        assert_eq!(refused("10:16:37 UTC\nValid", "10:16:37\nValid"), Err(ReleaseError::Malformed("Date")));
        assert_eq!(refused("        0 main", " x main"), Err(ReleaseError::Malformed("SHA256")));
        let second = refused("Origin: Debian\n", "Origin: Debian\n\n");
        assert!(matches!(second, Err(ReleaseError::Malformed(_))), "{second:?}");
    }
}

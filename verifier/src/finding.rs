//! What can be found, and what each finding means for the exit status (`specs/verdict.md`).

use std::fmt;

/// How bad a finding is. The order of the variants is the order of the report, worst first, and of the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// What is installed is not what was attested: exit 1.
    Integrity,
    /// The verdict could not be reached as it should: exit 10 and above.
    Operational(u8),
    /// The security team warns: exit 4.
    Warned,
    /// What is known is too old: exit 3.
    Stale,
    /// Nothing speaks against it, but too little speaks for it: exit 2.
    Unknown,
    /// A difference that has its explanation: exit 0.
    Explained,
}

impl Class {
    /// The exit status if this is the worst class that was found.
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            Self::Integrity => 1,
            Self::Operational(status) => status,
            Self::Warned => 4,
            Self::Stale => 3,
            Self::Unknown => 2,
            Self::Explained => 0,
        }
    }
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Content, type, link target or device number differ.
    Modified,
    /// Not there, and nothing says that it may be absent.
    Missing,
    /// Permission bits that nothing explains.
    Mode,
    /// An owner or group that nothing explains.
    Owner,
    /// A capability or access list that nothing explains.
    Capability,
    /// Builders name different manifests for one package file.
    BuilderConflict,
    /// A package file is another package than it is said to be.
    Misnamed,
    /// A package of the list kept elsewhere is not in the database.
    Hidden,
    /// A package has a lower version than the list kept elsewhere says.
    RolledBack,
    /// This machine's clock is behind what a quorum of witnesses has signed.
    ClockBehind,
    /// A manifest that the judgement needs is not in the cache, or is damaged.
    CacheIncomplete,
    /// An advisory covers the package.
    Warned,
    /// The newest checkpoint known is too old.
    StaleHead,
    /// The control head names newer roles than are known.
    StaleRoles,
    /// The control head is too old or names advisories that are not known.
    StaleControlHead,
    /// An index of a repository that is not the current one any more, or is too old by its own dates.
    StaleState,
    /// The package or repository has reached its end of life: nobody repairs it, and nobody warns of it.
    EndOfLife,
    /// No claim is known.
    Unattested,
    /// Nobody whose office it is has registered the index as the current one.
    Unregistered,
    /// Fewer builders than the policy demands.
    TooFewBuilders,
    /// Fewer rebuilders came to the same package file than the policy demands.
    TooFewRebuilders,
    /// Enough builders agree, and at least one says otherwise.
    Dissent,
    /// Could not be read, so nothing is known about it.
    Unreadable,
    /// Changed while it was read.
    Changed,
    /// Something is said of source packages, and nobody says from which this package was built.
    SourceUnknown,
    /// Runs or is loaded from a system directory, and no attested package put it there.
    Unowned,
    /// A configuration file of /etc that was edited or removed.
    ModifiedConfig,
    /// Documentation and the like, absent.
    NotInstalled,
    /// The package says that this file cannot be judged.
    NoVerify,
    /// Several package files of one name and version; the one that fits was used.
    AmbiguousPackage,
    /// A difference that a local table or an observation explains.
    Explained,
    /// What rebuilders say about a package file.
    Rebuilt,
    /// Its end of life lies ahead.
    EndAnnounced,
    /// Another package or repository has taken its place.
    Superseded,
    /// The package is not fully installed.
    PackageState,
    /// A newer version is attested than the one that is installed.
    Outdated,
    /// A warning that too few members of the security team have signed yet.
    Unconfirmed,
    /// A finding that the administrator has accepted.
    Accepted,
    /// An entry of the accept file that has expired or fits nothing.
    AcceptUnused,
}

impl Kind {
    /// All of them, worst first within each class.
    pub const ALL: [Self; 39] = [
        Self::Modified,
        Self::Missing,
        Self::Mode,
        Self::Owner,
        Self::Capability,
        Self::BuilderConflict,
        Self::Misnamed,
        Self::Hidden,
        Self::RolledBack,
        Self::ClockBehind,
        Self::CacheIncomplete,
        Self::Warned,
        Self::StaleHead,
        Self::StaleRoles,
        Self::StaleControlHead,
        Self::StaleState,
        Self::EndOfLife,
        Self::Unattested,
        Self::Unregistered,
        Self::TooFewBuilders,
        Self::TooFewRebuilders,
        Self::Dissent,
        Self::Unreadable,
        Self::Changed,
        Self::SourceUnknown,
        Self::Unowned,
        Self::ModifiedConfig,
        Self::NotInstalled,
        Self::NoVerify,
        Self::AmbiguousPackage,
        Self::Explained,
        Self::Rebuilt,
        Self::EndAnnounced,
        Self::Superseded,
        Self::PackageState,
        Self::Outdated,
        Self::Unconfirmed,
        Self::Accepted,
        Self::AcceptUnused,
    ];

    /// The name in reports; never changed once published.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Modified => "modified",
            Self::Missing => "missing",
            Self::Mode => "mode",
            Self::Owner => "owner",
            Self::Capability => "capability",
            Self::BuilderConflict => "builder-conflict",
            Self::Misnamed => "misnamed",
            Self::Hidden => "hidden",
            Self::RolledBack => "rolled-back",
            Self::ClockBehind => "clock-behind",
            Self::CacheIncomplete => "cache-incomplete",
            Self::Warned => "warned",
            Self::StaleHead => "stale-head",
            Self::StaleRoles => "stale-roles",
            Self::StaleControlHead => "stale-control-head",
            Self::StaleState => "stale-state",
            Self::EndOfLife => "end-of-life",
            Self::Unattested => "unattested",
            Self::Unregistered => "unregistered",
            Self::TooFewBuilders => "too-few-builders",
            Self::TooFewRebuilders => "too-few-rebuilders",
            Self::Dissent => "dissent",
            Self::Unreadable => "unreadable",
            Self::Changed => "changed",
            Self::SourceUnknown => "source-unknown",
            Self::Unowned => "unowned",
            Self::ModifiedConfig => "modified-config",
            Self::NotInstalled => "not-installed",
            Self::NoVerify => "noverify",
            Self::AmbiguousPackage => "ambiguous-package",
            Self::Explained => "explained",
            Self::Rebuilt => "rebuilt",
            Self::EndAnnounced => "end-announced",
            Self::Superseded => "superseded",
            Self::PackageState => "package-state",
            Self::Outdated => "outdated",
            Self::Unconfirmed => "unconfirmed-warning",
            Self::Accepted => "accepted",
            Self::AcceptUnused => "accept-unused",
        }
    }

    /// What it does to the exit status.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            Self::Modified | Self::Missing | Self::Mode | Self::Owner | Self::Capability => Class::Integrity,
            Self::BuilderConflict | Self::Misnamed | Self::Hidden | Self::RolledBack => Class::Integrity,
            Self::ClockBehind => Class::Operational(crate::exit::CLOCK),
            Self::CacheIncomplete => Class::Operational(crate::exit::NO_CACHE),
            Self::Warned => Class::Warned,
            Self::StaleHead | Self::StaleRoles | Self::StaleControlHead | Self::StaleState | Self::EndOfLife => Class::Stale,
            Self::Unattested
            | Self::Unregistered
            | Self::TooFewBuilders
            | Self::TooFewRebuilders
            | Self::Dissent
            | Self::Unreadable
            | Self::Changed
            | Self::SourceUnknown
            | Self::Unowned => Class::Unknown,
            Self::ModifiedConfig | Self::NotInstalled | Self::NoVerify | Self::AmbiguousPackage => Class::Explained,
            Self::Explained | Self::Rebuilt | Self::EndAnnounced | Self::Superseded | Self::PackageState => Class::Explained,
            Self::Outdated | Self::Unconfirmed | Self::Accepted | Self::AcceptUnused => Class::Explained,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Who attested what is compared with: entries of the log and the builders' key names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attested {
    /// The claim's entries, with the name of the builder that signed each.
    pub by: Vec<(u64, String)>,
}

impl fmt::Display for Attested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (index, builder)) in self.by.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(f, "{comma}{builder} (entry {index})")?;
        }
        Ok(())
    }
}

/// One finding: what, where, who says so, and why it differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was found.
    pub kind: Kind,
    /// The package as `name:arch version`, where one is concerned.
    pub package: Option<String>,
    /// The absolute path below the root, raw bytes, where a file is concerned.
    pub path: Option<Vec<u8>>,
    /// Why it differs, in one sentence.
    pub why: String,
    /// What was attested, as text.
    pub expected: Option<String>,
    /// What is there, as text.
    pub found: Option<String>,
    /// SHA-256 of what is there (the content, or the text of `found`): what an accept entry names.
    pub digest: Option<[u8; 32]>,
    /// Who attested it.
    pub attested: Attested,
}

impl Finding {
    /// A finding without details.
    #[must_use]
    pub fn new(kind: Kind, why: impl Into<String>) -> Self {
        let attested = Attested::default();
        Self { kind, package: None, path: None, why: why.into(), expected: None, found: None, digest: None, attested }
    }

    /// Whether it has its explanation, and says nothing against anything.
    #[must_use]
    pub fn is_explained(&self) -> bool {
        self.kind.class() == Class::Explained
    }

    /// A name for this finding that stays the same from run to run, as long as the same is found: 16 hexadecimal digits. It says nothing
    /// of ages and times, and, where a file is concerned, nothing of the package's version.
    #[must_use]
    pub fn id(&self) -> String {
        let what = match (self.kind, &self.digest, &self.found) {
            (Kind::Warned | Kind::Unconfirmed | Kind::AcceptUnused, _, _) => self.why.clone().into_bytes(),
            (Kind::EndOfLife | Kind::EndAnnounced | Kind::Superseded, _, _) => self.why.clone().into_bytes(),
            (_, Some(digest), _) => digest.to_vec(),
            (_, None, found) => found.clone().unwrap_or_default().into_bytes(),
        };
        let package = self.package.as_deref().filter(|_| self.path.is_none()).unwrap_or_default();
        let path = self.path.as_deref().unwrap_or_default();
        // Neither part can hold a zero byte but the last.
        let text = [self.kind.name().as_bytes(), package.as_bytes(), path, &what].join(&0);
        tlog::Hash::digest(&text).to_hex()[..16].to_owned()
    }

    /// With the package's name.
    #[must_use]
    pub fn of(mut self, package: &str) -> Self {
        self.package = Some(package.to_owned());
        self
    }

    /// With a path.
    #[must_use]
    pub fn at(mut self, path: &[u8]) -> Self {
        self.path = Some(path.to_vec());
        self
    }

    /// With what was attested and what is there.
    #[must_use]
    pub fn differs(mut self, expected: impl Into<String>, found: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self.found = Some(found.into());
        self
    }

    /// With those who attested it.
    #[must_use]
    pub fn attested(mut self, attested: &Attested) -> Self {
        self.attested = attested.clone();
        self
    }
}

/// Bytes for a terminal: printable UTF-8 stays, all else (control characters, direction overrides, broken sequences) becomes an escape.
#[must_use]
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || is_invisible(c) {
                text.extend(c.escape_unicode());
            } else {
                text.push(c);
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\{byte:03o}")));
    }
    text
}

/// Characters that reorder or hide what stands beside them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_all_are_listed() {
        let names: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
    }

    #[test]
    fn an_id_stays_while_the_same_is_found() {
        let finding =
            |package: &str, digest: u8| Finding { digest: Some([digest; 32]), ..Finding::new(Kind::Modified, "x").at(b"/x") }.of(package);
        assert_eq!(finding("x 1 amd64", 1).id(), finding("x 2 amd64", 1).id(), "an upgrade leaves the file as it was");
        assert_ne!(finding("x 1 amd64", 1).id(), finding("x 1 amd64", 2).id(), "it was changed again");
        let stale = |why: &str| Finding::new(Kind::StaleHead, why).id();
        assert_eq!(stale("2 hours old"), stale("3 hours old"));
        let unattested = |package: &str| Finding::new(Kind::Unattested, "x").of(package).id();
        assert_ne!(unattested("x 1 amd64"), unattested("x 2 amd64"));
        let warned = |why: &str| Finding::new(Kind::Warned, why).of("x 1 amd64").id();
        assert_ne!(warned("TSA-1"), warned("TSA-2"));
        assert_eq!(stale("").len(), 16);
    }

    #[test]
    fn terminals_get_no_control_characters() {
        assert_eq!(printable(b"/usr/bin/ls"), "/usr/bin/ls");
        assert_eq!(printable("/\u{e9}".as_bytes()), "/\u{e9}");
        assert_eq!(printable(b"a\x1b[31m\n\xff"), "a\\u{1b}[31m\\u{a}\\377");
        assert_eq!(printable("a\u{202e}b".as_bytes()), "a\\u{202e}b");
    }
}

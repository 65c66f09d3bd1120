//! What an auditor has to say: alarms, warnings and notices, each about entries that anybody can look at.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::exit;
use crate::finding::printable;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The log itself did what it must never do.
    Alarm,
    /// Somebody should look: builders disagree, or what is known is old.
    Warning,
    /// Something was said that people want to hear of.
    Notice,
}

/// What it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The log signed two histories.
    Fork,
    /// An entry that the admission rules refuse, a roles document outside its chain among them.
    Inadmissible,
    /// The same statement by the same key a second time.
    Duplicate,
    /// The log serves a manifest that is not the one of its name, or claims about it differ.
    ManifestWrong,
    /// The log does not have a manifest that a claim names.
    ManifestMissing,
    /// Builders claim different contents of one package file.
    BuilderConflict,
    /// One builder claims two contents of one package file.
    Contradiction,
    /// Two package files of one name, version and architecture.
    TwoPackages,
    /// A builder that has only ever repeated another's claims, after it.
    Repeats,
    /// A key is compromised: what it said does not count any more.
    Compromised,
    /// The foundation names another witness policy than the one used here.
    OtherPolicy,
    /// Somebody was shown a checkpoint that nothing shows to be of the history seen here.
    OtherView,
    /// No quorum of witnesses has vouched for the log for too long.
    Stale,
    /// A signed warning came by another road, and the log does not show it.
    Withheld,
    /// A key that is not among those known speaks of a watched package.
    UnknownBuilder,
    /// A version of the roles.
    Roles,
    /// The security team warns.
    Advisory,
    /// The security team withdraws a warning.
    Withdrawal,
    /// The end of life of packages or of a repository, or its withdrawal.
    EndOfLife,
    /// Something has taken the place of packages or of a repository.
    Superseded,
    /// An admin registered an index of a repository.
    Registration,
    /// Something was said about a watched package.
    Watch,
}

impl Level {
    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Alarm => "alarm",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

impl Kind {
    /// Its name, as in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Inadmissible => "inadmissible",
            Self::Duplicate => "duplicate",
            Self::ManifestWrong => "manifest-wrong",
            Self::ManifestMissing => "manifest-missing",
            Self::BuilderConflict => "builder-conflict",
            Self::Contradiction => "contradiction",
            Self::TwoPackages => "two-packages",
            Self::Repeats => "repeats",
            Self::Compromised => "compromised",
            Self::OtherPolicy => "other-policy",
            Self::OtherView => "other-view",
            Self::Stale => "stale",
            Self::Withheld => "withheld",
            Self::UnknownBuilder => "unknown-builder",
            Self::Roles => "roles",
            Self::Advisory => "advisory",
            Self::Withdrawal => "withdrawal",
            Self::EndOfLife => "end-of-life",
            Self::Superseded => "superseded",
            Self::Registration => "registration",
            Self::Watch => "watch",
        }
    }

    /// How bad it is.
    #[must_use]
    pub const fn level(self) -> Level {
        match self {
            Self::Fork | Self::Inadmissible | Self::Duplicate | Self::ManifestWrong => Level::Alarm,
            Self::ManifestMissing
            | Self::BuilderConflict
            | Self::Contradiction
            | Self::TwoPackages
            | Self::Repeats
            | Self::Compromised
            | Self::OtherPolicy
            | Self::OtherView
            | Self::Withheld
            | Self::UnknownBuilder
            | Self::Stale => Level::Warning,
            Self::Roles | Self::Advisory | Self::Withdrawal => Level::Notice,
            Self::EndOfLife | Self::Superseded | Self::Registration | Self::Watch => Level::Notice,
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// How bad it is.
    pub level: Level,
    /// What it is about.
    pub kind: Kind,
    /// The entries that show it, by index.
    pub entries: Vec<u64>,
    /// The package or other subject, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// In words.
    pub text: String,
    /// A file that proves it to others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

impl Alert {
    /// Something about these entries.
    #[must_use]
    pub fn new(kind: Kind, entries: &[u64], subject: Option<&str>, text: impl Into<String>) -> Self {
        Self {
            level: kind.level(),
            kind,
            entries: entries.to_vec(),
            subject: subject.map(str::to_owned),
            text: text.into(),
            evidence: None,
        }
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.level.word(), self.kind.word())?;
        if !self.entries.is_empty() {
            let entries: Vec<String> = self.entries.iter().map(u64::to_string).collect();
            write!(f, ", entry {}", entries.join(" and "))?;
        }
        if let Some(subject) = &self.subject {
            write!(f, ", {}", printable(subject.as_bytes()))?;
        }
        write!(f, ": {}", printable(self.text.as_bytes()))?;
        self.evidence.as_ref().map_or(Ok(()), |file| write!(f, " (evidence: {})", printable(file.as_bytes())))
    }
}

/// The exit status for what was found: 1 for an alarm, 3 for a log that is stale and nothing else, 2 for other warnings.
#[must_use]
pub fn status(alerts: &[Alert]) -> u8 {
    let has = |wanted: &dyn Fn(&Alert) -> bool| alerts.iter().any(wanted);
    if has(&|alert| alert.level == Level::Alarm) {
        exit::INTEGRITY
    } else if has(&|alert| alert.kind == Kind::Stale) {
        exit::STALE
    } else if has(&|alert| alert.level == Level::Warning) {
        exit::UNKNOWN
    } else {
        exit::CLEAN
    }
}

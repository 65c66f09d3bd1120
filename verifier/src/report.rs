//! The verdict: all findings, what was judged, under which checkpoint, and the exit status that follows.

use std::collections::BTreeMap;

use tlog::Hash;

use crate::finding::{Class, Finding, Kind};
use crate::gate::status::Watch;
use crate::render::Ground;

/// The tree head that the verdict rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which log.
    pub origin: String,
    /// Its size in entries.
    pub size: u64,
    /// Its root in hexadecimal.
    pub root: String,
    /// Witnesses whose cosignatures verified, with their times.
    pub witnesses: BTreeMap<String, u64>,
    /// The time up to which a quorum vouches; `None` without witnesses.
    pub fresh: Option<u64>,
}

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packages in the database.
    pub installed: usize,
    /// Packages that were asked for.
    pub judged: usize,
    /// Of these, packages with a claim by enough builders.
    pub attested: usize,
    /// Files whose content was hashed, by tag.
    pub hashed: BTreeMap<&'static str, usize>,
    /// Bytes hashed.
    pub bytes: u64,
    /// Directories, links and other nodes compared.
    pub nodes: usize,
    /// Leaves verified with their proofs.
    pub leaves: usize,
    /// Leaves that were verified but do not count (unknown keys, out of scope, compromised).
    pub refused: usize,
    /// Name and SHA-256 of what was judged, for a statement of the verdict; empty where there is none.
    pub subjects: Vec<(String, Hash)>,
    /// The search for what no package owns, if it was asked for.
    pub search: Option<Search>,
}

/// What was looked through for files that no package owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Programs, libraries and the like in the system's directories, owned or not.
    pub files: usize,
    /// Of these, without an owner.
    pub unowned: usize,
}

/// What an earlier run has found already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Earlier {
    /// When it ran; `None`: there was none.
    pub time: Option<u64>,
    /// What it found that is still found.
    pub still: Vec<Finding>,
    /// How much it found that is not found any more.
    pub gone: usize,
}

/// A verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// `verify`, `check`, `explain` or `repo check`.
    pub command: &'static str,
    /// What was judged, for people.
    pub target: String,
    /// What decides which command is the right one after a finding.
    pub ground: Ground,
    /// When, by this machine's clock.
    pub time: u64,
    /// The checkpoint.
    pub head: Option<Head>,
    /// Whether warnings are known to be complete, in words.
    pub completeness: String,
    /// How many builders had to agree.
    pub builders: usize,
    /// What was looked at.
    pub counts: Counts,
    /// Everything found, worst first; only what is new where `earlier` stands.
    pub findings: Vec<Finding>,
    /// What was found before already, if that was asked for.
    pub earlier: Option<Earlier>,
    /// What the gate of this machine has seen, where there is one; or why that cannot be told.
    pub gate: Option<Result<Watch, String>>,
}

impl Report {
    /// Sorts the findings: by class, then kind, then package and path.
    pub fn sort(&mut self) {
        self.findings.sort_by(|a, b| {
            let key = |finding: &Finding| (finding.kind.class(), finding.kind);
            key(a).cmp(&key(b)).then_with(|| (&a.package, &a.path).cmp(&(&b.package, &b.path)))
        });
    }

    /// The exit status: that of the worst class, in the order 1, 10 and above, 4, 3, 2.
    #[must_use]
    pub fn status(&self) -> u8 {
        self.all().map(|finding| finding.kind.class()).min().map_or(crate::exit::CLEAN, Class::status)
    }

    /// Everything found, what was known before too.
    pub fn all(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().chain(self.earlier.iter().flat_map(|earlier| &earlier.still))
    }

    /// How many of the findings listed are not explained.
    #[must_use]
    pub fn told(&self) -> usize {
        self.findings.iter().filter(|finding| !finding.is_explained()).count()
    }

    /// Whether there is anything to tell: nothing where all is clean, or where nothing is new since the last run.
    #[must_use]
    pub fn is_news(&self) -> bool {
        self.status() != crate::exit::CLEAN && (self.earlier.is_none() || self.told() > 0)
    }

    /// Packages of which a newer version is attested.
    pub fn outdated(&self) -> impl Iterator<Item = &Finding> {
        self.all().filter(|finding| finding.kind == Kind::Outdated)
    }

    /// How often each kind was found.
    #[must_use]
    pub fn tally(&self) -> BTreeMap<Kind, usize> {
        let mut tally = BTreeMap::new();
        self.all().for_each(|finding| *tally.entry(finding.kind).or_default() += 1);
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(kinds: &[Kind]) -> u8 {
        let findings = kinds.iter().map(|kind| Finding::new(*kind, "")).collect();
        let report = Report {
            command: "verify",
            target: String::new(),
            ground: Ground::default(),
            time: 0,
            head: None,
            completeness: String::new(),
            builders: 2,
            counts: Counts::default(),
            findings,
            earlier: None,
            gate: None,
        };
        report.status()
    }

    #[test]
    fn each_row_of_the_table() {
        let rows: [(u8, &[Kind]); 6] = [
            (
                1,
                &[
                    Kind::Modified,
                    Kind::Missing,
                    Kind::Mode,
                    Kind::Owner,
                    Kind::Capability,
                    Kind::BuilderConflict,
                    Kind::Misnamed,
                    Kind::Hidden,
                    Kind::RolledBack,
                ],
            ),
            (4, &[Kind::Warned]),
            (3, &[Kind::StaleHead, Kind::StaleRoles, Kind::StaleControlHead, Kind::StaleState, Kind::EndOfLife]),
            (
                2,
                &[
                    Kind::Unattested,
                    Kind::Unregistered,
                    Kind::TooFewBuilders,
                    Kind::TooFewRebuilders,
                    Kind::Dissent,
                    Kind::Unreadable,
                    Kind::Changed,
                    Kind::SourceUnknown,
                    Kind::Unowned,
                ],
            ),
            (13, &[Kind::ClockBehind]),
            (
                0,
                &[
                    Kind::Explained,
                    Kind::ModifiedConfig,
                    Kind::NotInstalled,
                    Kind::NoVerify,
                    Kind::AmbiguousPackage,
                    Kind::PackageState,
                    Kind::Outdated,
                    Kind::EndAnnounced,
                    Kind::Superseded,
                    Kind::Accepted,
                    Kind::AcceptUnused,
                    Kind::Unconfirmed,
                ],
            ),
        ];
        for (expected, kinds) in rows {
            for kind in kinds {
                assert_eq!(status(&[*kind]), expected, "{kind}");
            }
        }
        assert_eq!(status(&[]), 0);
    }

    #[test]
    fn if_several_hold_the_worst_one_counts() {
        let order = [Kind::Modified, Kind::ClockBehind, Kind::Warned, Kind::StaleHead, Kind::Unreadable, Kind::ModifiedConfig];
        for (position, worst) in order.iter().enumerate() {
            let mut kinds = order[position..].to_vec();
            kinds.reverse();
            assert_eq!(status(&kinds), worst.class().status());
        }
    }
}

//! What becomes of each package: pure, from findings, policy and time (`specs/gate.md`, section 4).

use crate::finding::{Class, Finding, Kind};
use crate::gate::rules::{GateRules, Mode};

/// A package that is about to be unpacked, judged.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its name, as apt is told it: `name` or `name:arch`.
    pub name: String,
    /// What the package manager says it is: name, version, architecture.
    pub says: String,
    /// Whether a version of it is installed, so that it can be held at that.
    pub installed: bool,
    /// What was found; explained things too.
    pub findings: Vec<Finding>,
    /// The mode under which it falls.
    pub mode: Mode,
    /// When this machine first saw it, if it comes from a security suite.
    pub security_since: Option<u64>,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Nothing speaks against it.
    Passes,
    /// Its vendor is not judged.
    Ignored,
    /// A security update that lacks claims, until this time.
    Grace(u64),
    /// Something speaks against it, and it is installed.
    Warned,
    /// It is not installed.
    Refused,
}

/// The fate of one package.
#[must_use]
pub fn fate(candidate: &Candidate, rules: &GateRules, now: u64) -> Fate {
    let against = || candidate.findings.iter().map(|finding| finding.kind).filter(|kind| kind.class() != Class::Explained);
    if candidate.mode == Mode::Ignore {
        return Fate::Ignored;
    }
    if against().next().is_none() {
        return Fate::Passes;
    }
    let end = candidate.security_since.map(|since| since.saturating_add(rules.unattested_grace));
    match end {
        // Builders need a while; a warning or a conflict needs none.
        Some(end) if now < end && against().all(lacks) => Fate::Grace(end),
        _ => blamed(candidate.mode),
    }
}

/// What follows for all packages from what concerns none of them alone, such as a stale head; `None`: nothing.
#[must_use]
pub fn general(candidates: &[Candidate], findings: &[Finding]) -> Option<Fate> {
    let mode = candidates.iter().map(|candidate| candidate.mode).max().unwrap_or_default();
    let against = findings.iter().any(|finding| finding.kind.class() != Class::Explained);
    (against && mode != Mode::Ignore).then(|| blamed(mode))
}

/// What builders and rebuilders still owe a package that is new.
fn lacks(kind: Kind) -> bool {
    matches!(kind, Kind::Unattested | Kind::TooFewBuilders | Kind::TooFewRebuilders | Kind::SourceUnknown)
}

fn blamed(mode: Mode) -> Fate {
    if mode == Mode::Enforce { Fate::Refused } else { Fate::Warned }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn of(mode: Mode, kinds: &[Kind], security_since: Option<u64>) -> Fate {
        let findings = kinds.iter().map(|kind| Finding::new(*kind, "")).collect();
        let candidate = Candidate { name: "x".into(), says: "x 1 all".into(), installed: true, findings, mode, security_since };
        fate(&candidate, &GateRules::default(), NOW)
    }

    #[test]
    fn modes() {
        let bad =
            [Kind::BuilderConflict, Kind::Warned, Kind::Unattested, Kind::TooFewBuilders, Kind::Dissent, Kind::Unreadable, Kind::Misnamed];
        for kind in bad {
            assert_eq!(of(Mode::Enforce, &[kind], None), Fate::Refused, "{kind}");
            assert_eq!(of(Mode::Warn, &[kind], None), Fate::Warned, "{kind}");
            assert_eq!(of(Mode::Ignore, &[kind], None), Fate::Ignored, "{kind}");
        }
        assert_eq!(of(Mode::Enforce, &[], None), Fate::Passes);
        assert_eq!(of(Mode::Enforce, &[Kind::Unconfirmed, Kind::AmbiguousPackage], None), Fate::Passes);
    }

    #[test]
    fn grace_is_for_missing_claims_of_security_updates_alone() {
        let day = 86_400;
        let since = Some(NOW - day);
        assert_eq!(of(Mode::Enforce, &[Kind::Unattested], since), Fate::Grace(NOW + day));
        assert_eq!(
            of(Mode::Enforce, &[Kind::TooFewBuilders, Kind::TooFewRebuilders, Kind::SourceUnknown, Kind::Unconfirmed], since),
            Fate::Grace(NOW + day),
            "an explained kind does not count"
        );
        assert_eq!(of(Mode::Enforce, &[Kind::Unattested], Some(NOW - 2 * day)), Fate::Refused, "it ends");
        assert_eq!(of(Mode::Enforce, &[Kind::Unattested], None), Fate::Refused, "no security suite");
        for kind in [Kind::Warned, Kind::EndOfLife, Kind::BuilderConflict, Kind::Dissent, Kind::Unreadable, Kind::Misnamed] {
            assert_eq!(of(Mode::Enforce, &[Kind::Unattested, kind], since), Fate::Refused, "{kind}");
        }
    }

    #[test]
    fn what_concerns_all_follows_the_strictest_package() {
        let candidate = |mode| Candidate {
            name: "x".into(),
            says: "x 1 all".into(),
            installed: false,
            findings: Vec::new(),
            mode,
            security_since: None,
        };
        let stale = [Finding::new(Kind::StaleHead, "")];
        let under = |modes: &[Mode]| general(&modes.iter().map(|mode| candidate(*mode)).collect::<Vec<_>>(), &stale);
        assert_eq!(under(&[Mode::Warn, Mode::Enforce, Mode::Ignore]), Some(Fate::Refused));
        assert_eq!(under(&[Mode::Warn, Mode::Ignore]), Some(Fate::Warned));
        assert_eq!(under(&[Mode::Ignore]), None);
        assert_eq!(general(&[candidate(Mode::Enforce)], &[]), None);
    }
}

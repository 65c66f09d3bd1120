//! What the gate says to people: only what they must act on, and what to type.

use std::fmt::Write as _;

use crate::finding::{Finding, Kind};
use crate::gate::Decision;
use crate::gate::decide::{Candidate, Fate};
use crate::gate::manager::Manager;
use crate::{render, time};

/// The fate in one word, for records.
#[must_use]
pub fn word(fate: Fate) -> &'static str {
    match fate {
        Fate::Passes => "passes",
        Fate::Ignored => "ignored",
        Fate::Grace(_) => "grace",
        Fate::Warned => "warned",
        Fate::Refused => "refused",
    }
}

/// One line where all is well; else every package against which something speaks, with the reason and what to do.
#[must_use]
pub fn decision(decision: &Decision) -> String {
    let mut text = String::new();
    decision.assessed.notes.iter().for_each(|note| {
        let _ = writeln!(text, "tally: note: {}", crate::finding::printable(note.as_bytes()));
    });
    let count = |wanted: fn(Fate) -> bool| decision.with(wanted).count();
    let mut parts = vec![format!("{} package files", decision.fates.len())];
    let mut part = |count: usize, words: &str| parts.extend((count > 0).then(|| format!("{count} {words}")));
    part(count(|fate| fate == Fate::Passes), &format!("as at least {} builders attest", decision.assessed.builders));
    part(count(|fate| fate == Fate::Ignored), "of vendors that are not judged");
    part(count(|fate| matches!(fate, Fate::Grace(_))), "security updates that may still lack claims");
    part(count(|fate| fate == Fate::Warned), "WARNED OF");
    part(count(|fate| fate == Fate::Refused), "REFUSED");
    let _ = writeln!(text, "tally: {}", parts.join(", "));
    for (candidate, fate) in decision.with(|fate| fate > Fate::Ignored) {
        for finding in against(&candidate.findings) {
            render::finding(&mut text, finding, Some(&next(decision.assessed.manager, candidate, fate, finding)));
        }
    }
    if let Some(fate) = decision.general {
        for finding in against(&decision.assessed.general) {
            let next = render::next(finding, render::Ground::default()).unwrap_or_default();
            render::finding(&mut text, finding, Some(&if fate == Fate::Refused { format!("{next}; then the same again") } else { next }));
        }
    }
    text
}

fn against(findings: &[Finding]) -> impl Iterator<Item = &Finding> {
    findings.iter().filter(|finding| !finding.is_explained())
}

/// What to do about one package.
fn next(manager: Manager, candidate: &Candidate, fate: Fate, finding: &Finding) -> String {
    let name = &candidate.name;
    match fate {
        Fate::Grace(end) => format!("nothing; from {} on it is judged like others", time::format(end)),
        Fate::Refused if candidate.installed => manager.hold(name),
        Fate::Refused => format!("install the rest without {name}"),
        _ if finding.kind == Kind::Warned => format!("think again before you use {name}"),
        _ => format!("tally verify {name} after a day, or ask a builder to attest it"),
    }
}

/// What did not happen, and how to go on nevertheless.
#[must_use]
pub fn way_out(stopped: &str, packages: &[&str]) -> String {
    let names: String = packages.iter().map(|name| format!(" {name}")).collect();
    format!("tally: {stopped}. To go on nevertheless, once and recorded:\n  tally gate allow --once --reason WHY{names}\n")
}

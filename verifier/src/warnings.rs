//! What the security team and admins say of a package: warnings, ends of life, supersession (`specs/advisory.md`, `specs/ends.md`).

use attest::Purl;
use attest::judge::{InForce, Said, sources_for};
use attest::predicate::{Advisory, Stage};
use attest::roles::Role;
use tlog::Hash;

use crate::finding::{Finding, Kind};
use crate::knowledge::Knowledge;
use crate::subject::attested;
use crate::time;

/// All that is said of a package, by its own name or its source's. `own` are sources that the package file itself names.
#[must_use]
pub fn about(knowledge: &Knowledge, purl: &Purl, packages: &[Hash], own: &[Purl], now: u64) -> Vec<Finding> {
    let stated = sources_for(purl, knowledge.about(&purl.to_string()));
    let mut sources: Vec<Purl> = stated.iter().map(|stated| stated.source.clone()).collect();
    sources.extend_from_slice(own);
    // What is said of a name reaches packages without claims too, unless it names digests.
    let is_attested = !packages.is_empty();
    let packages = if is_attested { packages } else { &[Hash::EMPTY][..] };
    let mut findings = Vec::new();
    let mut seen: Vec<u64> = Vec::new();
    for warning in packages.iter().flat_map(|package| knowledge.advisories().about(purl, package, &sources)) {
        if !seen.contains(&warning.advisory.sequence) {
            seen.push(warning.advisory.sequence);
            findings.push(self::warning(warning));
        }
    }
    let mut ends: Vec<&Said> = packages.iter().flat_map(|package| knowledge.lifecycles().about(purl, package, &sources)).collect();
    ends.sort_by_key(|said| (said.lifecycle.sequence, said.office));
    ends.dedup();
    findings.extend(ends.into_iter().map(|said| end(said, now)));
    let unlogged = knowledge.unlogged().iter();
    findings.extend(unlogged.filter_map(|unlogged| packages.iter().find_map(|package| unlogged.about(purl, package, &sources))));
    if sources.is_empty() && is_attested {
        findings.extend(in_doubt(knowledge, purl));
    }
    findings
}

/// Something is said of source packages, and nobody says of which this one is: it may be meant.
fn in_doubt(knowledge: &Knowledge, purl: &Purl) -> Option<Finding> {
    let warnings = knowledge.advisories().in_doubt(purl).map(|warning| warning.advisory.id.clone());
    let ends = knowledge.lifecycles().in_doubt(purl).map(|said| format!("statement {}", said.lifecycle.sequence));
    let names: Vec<String> = warnings.chain(ends).collect();
    let why = || format!("no builder says from which source package it was built; whether it is meant is not known: {}", names.join(", "));
    (!names.is_empty()).then(|| Finding::new(Kind::SourceUnknown, why()))
}

/// A warning in force as a finding: confirmed by enough of the security team, or only shown.
#[must_use]
pub fn warning(entry: &InForce) -> Finding {
    let kind = if entry.confirmed { Kind::Warned } else { Kind::Unconfirmed };
    Finding::new(kind, tell(&entry.advisory)).attested(&attested(&entry.attesters))
}

/// What a warning says, in a line.
#[must_use]
pub fn tell(advisory: &Advisory) -> String {
    format!(
        "{} ({:?}): {} Advice: {} See {}.",
        advisory.id,
        advisory.severity,
        sentence(&advisory.summary),
        sentence(&advisory.advice),
        advisory.reference
    )
}

/// An end of life or a supersession as a finding. An end that lies ahead is told, and nothing more.
#[must_use]
pub fn end(said: &Said, now: u64) -> Finding {
    let lifecycle = &said.lifecycle;
    let kind = match (said.confirmed, lifecycle.stage, lifecycle.holds(now)) {
        (false, ..) => Kind::Unconfirmed,
        (true, Stage::EndOfLife, true) => Kind::EndOfLife,
        (true, Stage::EndOfLife, false) => Kind::EndAnnounced,
        (true, Stage::Superseded | Stage::Supported, _) => Kind::Superseded,
    };
    let date = time::format(lifecycle.date.unwrap_or_default());
    let what = match lifecycle.stage {
        Stage::EndOfLife => format!("end of life from {date} on"),
        Stage::Superseded | Stage::Supported => format!("superseded from {date} on"),
    };
    let who = if said.office == Role::Admin { "the admin" } else { "the security team" };
    let instead = lifecycle.successor.as_ref().map_or_else(String::new, |successor| format!(" Instead of it: {successor}."));
    let why = format!(
        "{}: {what}, says {who}: {}{instead} See {}.",
        lifecycle.affected.pattern(),
        sentence(&lifecycle.summary),
        lifecycle.reference
    );
    Finding::new(kind, why).attested(&attested(&said.attesters))
}

fn sentence(text: &str) -> String {
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

//! Reports as text (worst first, one screen) and as JSON (`specs/verdict.md`).

pub mod jsonl;
pub mod junit;
mod next;
pub mod rpm;
pub mod sarif;

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::accept;
use crate::cli::Format;
use crate::config::encode_hex;
use crate::finding::{Class, Finding, Kind, printable};
use crate::report::{Head, Report};
use crate::time;

pub use next::{Ground, next};

/// The version of the JSON report. It changes when a field changes its meaning or goes; new fields do not change it.
pub const SCHEMA: u64 = 1;

/// How many findings the first screen has.
pub const SCREEN: usize = 5;

/// The report as text; `all` lists every finding, explained ones too.
#[must_use]
pub fn text(report: &Report, all: bool) -> String {
    let mut text = String::new();
    headline(&mut text, report);
    if let Some(head) = &report.head {
        checkpoint(&mut text, head, report.time);
    }
    counts(&mut text, report);
    let shown: Vec<&Finding> = report.findings.iter().filter(|finding| all || !finding.is_explained()).collect();
    let limit = if all { shown.len() } else { SCREEN };
    shown.iter().take(limit).for_each(|one| {
        let explained = report.command == "explain";
        finding(&mut text, one, next(one, report.ground).filter(|_| !explained).as_deref());
        if explained {
            acceptance(&mut text, one);
        }
    });
    if shown.len() > limit {
        let _ = writeln!(text, "… and {} more; add --verbose to list them, or --json", shown.len() - limit);
    }
    earlier(&mut text, report);
    summary(&mut text, report);
    text
}

/// The report in any of its forms.
#[must_use]
pub fn render(report: &Report, format: Format, all: bool) -> String {
    match format {
        Format::Text => text(report, all),
        Format::Json => format!("{}\n", to_json(report)),
        Format::Jsonl => jsonl::lines(report).join(""),
        Format::Sarif => format!("{}\n", sarif::document(report)),
        Format::Junit => junit::document(report),
        Format::Rpm => rpm::lines(report),
    }
}

fn earlier(text: &mut String, report: &Report) {
    let Some(earlier) = &report.earlier else { return };
    let words = match earlier.time {
        None => "this is the first run that is remembered: all is new".to_owned(),
        Some(time) => format!(
            "since the last run at {}: {} new, {} as before, {} gone",
            time::format(time),
            report.told(),
            earlier.still.len(),
            earlier.gone
        ),
    };
    let _ = writeln!(text, "{words}");
}

fn headline(text: &mut String, report: &Report) {
    let verdict = match report.status() {
        0 => "clean",
        1 => "NOT AS ATTESTED",
        2 => "not known to be clean",
        3 => "what is known is too old",
        4 => "WARNED by the security team",
        _ => "no verdict",
    };
    let _ = writeln!(text, "{}: {verdict} (exit {})", printable(report.target.as_bytes()), report.status());
}

fn checkpoint(text: &mut String, head: &Head, now: u64) {
    let age = match head.fresh {
        Some(fresh) => {
            format!("vouched for {} ago by a quorum, {} witness keys in all", time::span(now.saturating_sub(fresh)), head.witnesses.len())
        }
        None => "without witnesses".to_owned(),
    };
    let _ = writeln!(
        text,
        "  checkpoint    {} with {} entries, root {}, {age}",
        printable(head.origin.as_bytes()),
        head.size,
        &head.root[..16.min(head.root.len())]
    );
}

fn counts(text: &mut String, report: &Report) {
    let counts = &report.counts;
    let files: usize = counts.hashed.values().sum();
    let what = format!("{} of {}", counts.judged, counts.installed);
    let _ = match report.command {
        "repo check" => {
            let (attested, builders) = (counts.attested, report.builders);
            writeln!(text, "  judged        {what} repositories, {attested} current and seen by at least {builders} builders")
        }
        _ => writeln!(
            text,
            "  judged        {what} packages, {} attested by at least {} builders; {files} files ({}) hashed, {} other nodes compared",
            counts.attested,
            report.builders,
            size(counts.bytes),
            counts.nodes,
        ),
    };
    if let Some(search) = counts.search {
        let _ = writeln!(
            text,
            "  unowned       {} of {} programs, libraries and the like in the system's directories",
            search.unowned, search.files
        );
    }
    outdated(text, report);
    gate(text, report);
    let refused = if counts.refused == 0 { String::new() } else { format!(", {} of them do not count", counts.refused) };
    let _ = writeln!(text, "  proofs        {} entries verified{refused}", counts.leaves);
    let _ = writeln!(text, "  completeness  {}", report.completeness);
}

/// The packages that are behind, in one line.
fn outdated(text: &mut String, report: &Report) {
    let names: Vec<&str> = report.outdated().filter_map(|finding| finding.package.as_deref()?.split(' ').next()).collect();
    if !names.is_empty() {
        let _ = writeln!(text, "  outdated      newer versions are attested of {}", first(&names));
    }
}

/// Whether package managers ask before they install, and what came without being judged.
fn gate(text: &mut String, report: &Report) {
    let line = match &report.gate {
        None => return,
        Some(Err(why)) => format!("its memory cannot be read: {why}"),
        Some(Ok(watch)) => {
            let asked = |(manager, asked): &(&str, Option<String>)| {
                format!("{manager} {}; ", asked.as_deref().map_or_else(|| "never asked".to_owned(), |time| format!("last asked at {time}")))
            };
            let unjudged: Vec<&str> = watch.unjudged.iter().map(String::as_str).collect();
            let past = match (unjudged.len(), watch.has_begun) {
                (_, false) => "what came past it is not known: tally gate status".to_owned(),
                (0, true) => "nothing came past it".to_owned(),
                (count, true) => format!("{count} came past it: {} (next: tally gate status)", first(&unjudged)),
            };
            let does = if watch.enforces { "refuses" } else { "warns" };
            format!("{does}; {}{past}", watch.hooks.iter().map(asked).collect::<String>())
        }
    };
    let _ = writeln!(text, "  gate          {}", printable(line.as_bytes()));
}

/// As many names as a line takes.
fn first(names: &[&str]) -> String {
    let more = names.len().saturating_sub(SCREEN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names[..names.len().min(SCREEN)].join(", "))
}

/// One finding: what, where, why, who says so, and what to do next.
pub fn finding(text: &mut String, finding: &Finding, next: Option<&str>) {
    let place = finding.path.as_deref().map(printable).unwrap_or_default();
    let package = finding.package.as_deref().map(|package| printable(package.as_bytes())).unwrap_or_default();
    let _ =
        writeln!(text, "{:<17} {place}{}{package}", finding.kind.name(), if place.is_empty() || package.is_empty() { "" } else { "  of " });
    let _ = writeln!(text, "    {}", printable(finding.why.as_bytes()));
    if let (Some(expected), Some(found)) = (&finding.expected, &finding.found) {
        let (one, other) = match finding.kind {
            Kind::BuilderConflict | Kind::Dissent => ("one says ", "the other"),
            Kind::Outdated => ("newest:  ", "here:    "),
            Kind::RolledBack | Kind::PackageState => ("expected:", "found:   "),
            _ => ("attested:", "found:   "),
        };
        let _ = writeln!(text, "    {one} {}\n    {other} {}", printable(expected.as_bytes()), printable(found.as_bytes()));
    }
    if !finding.attested.by.is_empty() {
        let _ = writeln!(text, "    attested by {}", printable(finding.attested.to_string().as_bytes()));
    }
    if let Some(next) = next {
        let _ = writeln!(text, "    next: {next}");
    }
}

fn acceptance(text: &mut String, finding: &Finding) {
    if let Some(suggestion) = accept::suggestion(finding).filter(|_| finding.kind.class() == Class::Integrity) {
        let _ = writeln!(
            text,
            "    to accept it, put this into the accept file:\n{}",
            suggestion.trim_end().replace('\n', "\n      ").replace("[[", "      [[")
        );
    }
}

fn summary(text: &mut String, report: &Report) {
    let files: Vec<String> = report.counts.hashed.iter().map(|(tag, count)| format!("{count} {tag}")).collect();
    if !files.is_empty() {
        let _ = writeln!(text, "files hashed by tag: {}", files.join(", "));
    }
    let tally: Vec<String> = report.tally().iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let _ = writeln!(text, "found: {}", if tally.is_empty() { "nothing".to_owned() } else { tally.join(", ") });
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

/// The report as one JSON object.
#[must_use]
pub fn to_json(report: &Report) -> Value {
    let tally: serde_json::Map<String, Value> = report.tally().iter().map(|(kind, count)| (kind.name().to_owned(), json!(count))).collect();
    json!({
        "schema": SCHEMA,
        "command": report.command,
        "target": report.target,
        "time": time::format(report.time),
        "exit": report.status(),
        "checkpoint": report.head.as_ref().map(|head| head_json(head, report.time)),
        "completeness": report.completeness,
        "builders": report.builders,
        "packages": { "installed": report.counts.installed, "judged": report.counts.judged, "attested": report.counts.attested },
        "files": { "hashed": report.counts.hashed, "bytes": report.counts.bytes, "other": report.counts.nodes },
        "unowned": report.counts.search.map(|search| json!({ "looked_at": search.files, "without_owner": search.unowned })),
        "gate": report.gate.as_ref().map(|gate| match gate {
            Ok(watch) => watch.json(),
            Err(why) => json!({ "error": why }),
        }),
        "entries": { "verified": report.counts.leaves, "not_counting": report.counts.refused },
        "counts": tally,
        "since": report.earlier.as_ref().map(|earlier| json!({
            "time": earlier.time.map(time::format),
            "new": report.told(),
            "still": earlier.still.len(),
            "gone": earlier.gone,
        })),
        "findings": report.findings.iter().map(|finding| finding_json(finding, report.ground)).collect::<Vec<_>>(),
    })
}

fn head_json(head: &Head, now: u64) -> Value {
    json!({
        "origin": head.origin,
        "size": head.size,
        "root": head.root,
        "witnesses": head.witnesses.iter().map(|(name, seen)| (name.clone(), json!(time::format(*seen)))).collect::<serde_json::Map<_, _>>(),
        "fresh": head.fresh.map(time::format),
        "age_seconds": head.fresh.map(|fresh| now.saturating_sub(fresh)),
    })
}

fn finding_json(finding: &Finding, ground: Ground) -> Value {
    let status = finding.kind.class().status();
    let attested: Vec<Value> = finding.attested.by.iter().map(|(index, builder)| json!({ "entry": index, "builder": builder })).collect();
    json!({
        "id": finding.id(),
        "finding": finding.kind.name(),
        "exit": status,
        "package": finding.package,
        "path": finding.path.as_deref().map(printable),
        "why": finding.why,
        "attested": finding.expected,
        "found": finding.found,
        "sha256": finding.digest.map(|digest| encode_hex(&digest)),
        "attested_by": attested,
        "next": next(finding, ground),
    })
}

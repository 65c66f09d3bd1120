//! What is said about repositories, for people and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::judge::Judged;
use crate::cli::{Format, OutputArgs};
use crate::failure::Failure;
use crate::finding::{Kind, printable};
use crate::render;
use crate::report::Report;
use crate::run::write_out;
use crate::time;

/// Prints the answers and the report, and gives the exit status.
///
/// # Errors
/// If it cannot be printed.
pub(super) fn print(judged: &[Judged], report: &Report, output: OutputArgs) -> Result<u8, Failure> {
    if output.quiet && !report.is_news() {
        return Ok(report.status());
    }
    let text = match output.format() {
        Format::Text => text(judged, report, output.verbose),
        Format::Json => format!("{}\n", document(judged, report)),
        format => render::render(report, format, output.verbose),
    };
    write_out(&text)?;
    Ok(report.status())
}

/// The answers and the report for people.
pub(super) fn text(judged: &[Judged], report: &Report, verbose: bool) -> String {
    let answers: String = judged.iter().map(answers).collect();
    answers + &render::text(report, verbose)
}

/// The questions about one repository.
fn answers(judged: &Judged) -> String {
    let mut text = String::new();
    let local = &judged.local;
    let name = judged.name.as_deref().or(local.alias.as_deref()).unwrap_or("a repository that nobody names");
    let date = local.index.date.map_or_else(String::new, |date| format!(" of {}", time::format(date)));
    let _ = writeln!(text, "{}: {} sha256 {}…{date}", printable(name.as_bytes()), local.index.name, &local.digest.to_hex()[..16]);
    let by = |attested: &crate::finding::Attested| printable(attested.to_string().as_bytes());
    let current = match (&judged.current, judged.is_current()) {
        (None, _) => "not known: nothing is known of this repository".to_owned(),
        (Some(_), true) => "yes".to_owned(),
        (Some(current), false) => {
            let date = current.index.date.map_or_else(String::new, |date| format!(" since {}", time::format(date)));
            format!("no, current is sha256 {}…{date}", &current.digest.to_hex()[..16])
        }
    };
    let registered = match (judged.registered_by(), judged.has_admin) {
        (by_whom, _) if !by_whom.by.is_empty() => format!("by {}", by(&by_whom)),
        (_, true) => "no".to_owned(),
        (_, false) => "no admin is assigned to this repository".to_owned(),
    };
    let seen = judged.seen_by();
    let who = if seen.by.is_empty() { String::new() } else { format!(": {}", by(&seen)) };
    for (question, answer) in [
        ("current", current),
        ("registered", registered),
        ("attested", format!("by {} builders, {} must{who}", seen.by.len(), judged.builders)),
        ("warned", warned(judged)),
        ("end of life", end_of_life(judged)),
    ] {
        let _ = writeln!(text, "  {question:<13} {answer}");
    }
    text
}

fn warned(judged: &Judged) -> String {
    let count = |kind: Kind| judged.findings.iter().filter(|finding| finding.kind == kind).count();
    match (count(Kind::Warned), count(Kind::Unconfirmed)) {
        (0, 0) => "no".to_owned(),
        (0, unconfirmed) => format!("not by enough of the security team ({unconfirmed} unconfirmed)"),
        (warnings, _) => format!("yes, {warnings} times; see below"),
    }
}

fn end_of_life(judged: &Judged) -> String {
    let has = |kind: Kind| judged.findings.iter().any(|finding| finding.kind == kind);
    let answer = match (has(Kind::EndOfLife), has(Kind::EndAnnounced), has(Kind::Superseded)) {
        (true, ..) => "yes; see below",
        (false, true, _) => "not yet, but a day is set",
        (false, false, true) => "no, but another repository has taken its place",
        (false, false, false) => "no",
    };
    answer.to_owned()
}

/// The report with an object for each repository.
fn document(judged: &[Judged], report: &Report) -> Value {
    let mut document = render::to_json(report);
    document["repositories"] = judged.iter().map(repository).collect();
    document
}

fn repository(judged: &Judged) -> Value {
    let by = |attested: crate::finding::Attested| -> Vec<Value> {
        attested.by.iter().map(|(entry, key)| json!({ "entry": entry, "key": key })).collect()
    };
    let status = judged.findings.iter().map(|finding| finding.kind.class()).min().map_or(0, crate::finding::Class::status);
    json!({
        "name": judged.name,
        "alias": judged.local.alias,
        "file": judged.local.file,
        "index": judged.local.index.name,
        "sha256": judged.local.digest.to_hex(),
        "date": judged.local.index.date.map(time::format),
        "valid_until": judged.local.index.valid_until.map(time::format),
        "current": judged.is_current(),
        "current_sha256": judged.current.as_ref().map(|current| current.digest.to_hex()),
        "current_since": judged.current.as_ref().and_then(|current| current.index.date).map(time::format),
        "admin_assigned": judged.has_admin,
        "registered_by": by(judged.registered_by()),
        "seen_by": by(judged.seen_by()),
        "builders": judged.builders,
        "warned": judged.findings.iter().any(|finding| finding.kind == Kind::Warned),
        "end_of_life": judged.findings.iter().any(|finding| finding.kind == Kind::EndOfLife),
        "exit": status,
    })
}

//! Numbers for monitoring: a text file for node_exporter's collector (`specs/daily.md`, section 3).

use std::fmt::Write as _;
use std::path::Path;

use crate::cache::replace;
use crate::failure::Failure;
use crate::finding::Kind;
use crate::report::Report;

/// Replaces the file at once, so that no collector reads half of it. Where there is no verdict, only the run and its status are written.
///
/// # Errors
/// If it cannot be written.
pub fn write(path: &Path, result: &Result<Report, Failure>, now: u64) -> std::io::Result<()> {
    let status = result.as_ref().map_or_else(Failure::status, Report::status);
    let mut text = String::new();
    gauge(&mut text, "tally_last_run_timestamp_seconds", "When tally verify last ran.", &[("", now)]);
    gauge(
        &mut text,
        "tally_exit_status",
        "Its exit status: 0 clean, 1 modified, 2 unknown, 3 stale, 4 warned, 10 and above no verdict.",
        &[("", status.into())],
    );
    if let Ok(report) = result {
        of_report(&mut text, report);
    }
    replace(path, text.as_bytes())
}

fn of_report(text: &mut String, report: &Report) {
    let tally = report.tally();
    let count = |kind: &Kind| {
        let labels = format!("{{finding=\"{}\",exit=\"{}\"}}", kind.name(), kind.class().status());
        (labels, tally.get(kind).copied().unwrap_or(0) as u64)
    };
    let findings: Vec<(String, u64)> = Kind::ALL.iter().map(count).collect();
    gauge(text, "tally_findings", "What was found, by kind and by the exit status that it stands for.", &borrowed(&findings));
    let counts = &report.counts;
    let packages = [("installed", counts.installed), ("judged", counts.judged), ("attested", counts.attested)];
    let packages: Vec<(String, u64)> = packages.iter().map(|(state, count)| (format!("{{state=\"{state}\"}}"), *count as u64)).collect();
    gauge(text, "tally_packages", "Packages in the database, those judged, and those attested by enough builders.", &borrowed(&packages));
    gauge(text, "tally_bytes_hashed", "Bytes of files that were hashed.", &[("", counts.bytes)]);
    if let Some(Ok(watch)) = &report.gate {
        gauge(text, "tally_gate_enforces", "1 if the gate refuses packages, 0 if it warns of them.", &[("", watch.enforces.into())]);
        gauge(
            text,
            "tally_gate_unjudged",
            "Packages that are installed and that the gate never let through.",
            &[("", watch.unjudged.len() as u64)],
        );
    }
    if let Some(head) = &report.head {
        gauge(text, "tally_checkpoint_entries", "Entries of the log under the checkpoint.", &[("", head.size)]);
        if let Some(fresh) = head.fresh {
            gauge(text, "tally_checkpoint_timestamp_seconds", "The time up to which a quorum of witnesses vouches.", &[("", fresh)]);
            gauge(text, "tally_checkpoint_age_seconds", "How long that was ago at the run.", &[("", report.time.saturating_sub(fresh))]);
        }
    }
}

fn borrowed(values: &[(String, u64)]) -> Vec<(&str, u64)> {
    values.iter().map(|(labels, value)| (labels.as_str(), *value)).collect()
}

fn gauge(text: &mut String, name: &str, help: &str, values: &[(&str, u64)]) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
    for (labels, value) in values {
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}

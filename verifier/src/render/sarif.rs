//! SARIF 2.1.0: what code scanning tools read.

use serde_json::{Value, json};

use super::{Ground, next};
use crate::finding::{Class, Finding, Kind};
use crate::report::Report;
use crate::time;

/// The report as one run.
#[must_use]
pub fn document(report: &Report) -> Value {
    let rules: Vec<Value> = Kind::ALL
        .iter()
        .map(|kind| json!({ "id": kind.name(), "defaultConfiguration": { "level": level(*kind) }, "properties": { "exit": kind.class().status() } }))
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "tally", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "invocations": [{
                "executionSuccessful": report.status() < crate::exit::FAILED,
                "exitCode": report.status(),
                "endTimeUtc": time::format(report.time),
            }],
            "results": report.findings.iter().map(|finding| result(finding, report.ground)).collect::<Vec<_>>(),
        }],
    })
}

fn result(finding: &Finding, ground: Ground) -> Value {
    let mut message = finding.why.clone();
    if let (Some(expected), Some(found)) = (&finding.expected, &finding.found) {
        message.push_str(&format!(" Attested: {expected}. Found: {found}."));
    }
    if let Some(next) = next(finding, ground) {
        message.push_str(&format!(" Next: {next}"));
    }
    let mut location = serde_json::Map::new();
    if let Some(path) = &finding.path {
        location.insert("physicalLocation".to_owned(), json!({ "artifactLocation": { "uri": format!("file://{}", encoded(path)) } }));
    }
    if let Some(package) = &finding.package {
        location.insert("logicalLocations".to_owned(), json!([{ "name": package, "kind": "package" }]));
    }
    json!({
        "ruleId": finding.kind.name(),
        "ruleIndex": Kind::ALL.iter().position(|kind| *kind == finding.kind),
        "level": level(finding.kind),
        "message": { "text": message },
        "locations": if location.is_empty() { json!([]) } else { json!([location]) },
        "partialFingerprints": { "tallyFindingId/v1": finding.id() },
    })
}

fn level(kind: Kind) -> &'static str {
    match kind.class() {
        Class::Integrity | Class::Warned | Class::Operational(_) => "error",
        Class::Stale | Class::Unknown => "warning",
        Class::Explained => "note",
    }
}

/// A path as it stands in an address; any byte is allowed in it.
fn encoded(path: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/+@:".contains(&byte);
    path.iter().map(|byte| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

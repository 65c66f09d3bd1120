//! One JSON object a line, for log collectors: the run, then each finding.

use serde_json::{Value, json};

use super::{SCHEMA, finding_json, to_json};
use crate::finding::Finding;
use crate::report::Report;
use crate::time;

/// All lines, each with its line end. The first has `type` `run` and everything of the JSON report but the findings.
#[must_use]
pub fn lines(report: &Report) -> Vec<String> {
    let mut run = to_json(report);
    if let Value::Object(fields) = &mut run {
        fields.remove("findings");
        fields.insert("type".to_owned(), json!("run"));
    }
    std::iter::once(format!("{run}\n")).chain(report.findings.iter().map(|finding| line(report, finding))).collect()
}

/// The line of one finding.
#[must_use]
pub fn line(report: &Report, finding: &Finding) -> String {
    let mut value = finding_json(finding, report.ground);
    if let Value::Object(fields) = &mut value {
        fields.insert("schema".to_owned(), json!(SCHEMA));
        fields.insert("type".to_owned(), json!("finding"));
        fields.insert("time".to_owned(), json!(time::format(report.time)));
        fields.insert("target".to_owned(), json!(report.target));
    }
    format!("{value}\n")
}

//! JUnit's XML: what build servers read. One case for the verdict, one for each finding.

use std::fmt::Write as _;

use super::Ground;
use crate::finding::{Finding, printable};
use crate::report::Report;
use crate::time;

/// The report as one suite.
#[must_use]
pub fn document(report: &Report) -> String {
    let failures = report.told() + usize::from(report.status() != 0);
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"tally {}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" timestamp=\"{}\">\n",
        report.command,
        report.findings.len() + 1,
        time::format(report.time).trim_end_matches('Z'),
    );
    let verdict = (report.status() != 0).then(|| ("verdict", format!("exit {}", report.status()), String::new()));
    case(&mut text, "verdict", &report.target, verdict);
    for finding in &report.findings {
        let place = finding.path.as_deref().map(printable).or_else(|| finding.package.clone()).unwrap_or_else(|| "all".to_owned());
        let failure = (!finding.is_explained()).then(|| (finding.kind.name(), finding.why.clone(), details(finding, report.ground)));
        case(&mut text, finding.kind.name(), &place, failure);
    }
    text.push_str("</testsuite>\n</testsuites>\n");
    text
}

fn case(text: &mut String, class: &str, name: &str, failure: Option<(&str, String, String)>) {
    let _ = write!(text, "<testcase classname=\"tally.{}\" name=\"{}\"", escaped(class), escaped(name));
    let _ = match failure {
        None => writeln!(text, "/>"),
        Some((kind, message, details)) => writeln!(
            text,
            "><failure type=\"{}\" message=\"{}\">{}</failure></testcase>",
            escaped(kind),
            escaped(&message),
            escaped(&details)
        ),
    };
}

fn details(finding: &Finding, ground: Ground) -> String {
    let mut text = String::new();
    super::finding(&mut text, finding, super::next(finding, ground).as_deref());
    text
}

/// Text that is XML's wherever it stands: control characters are escapes already, or line ends.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push('\n'),
            // XML has no place for these at all.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.extend(c.escape_unicode()),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_text() {
        assert_eq!(escaped("a<b>&\"c\"\u{1b}\u{ffff}\n"), "a&lt;b&gt;&amp;&quot;c&quot;\\u{1b}\\u{ffff}\n");
    }
}

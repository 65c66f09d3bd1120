//! Findings for the system's log: datagrams in the form that every syslog daemon and journald read.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use crate::finding::Class;
use crate::render::jsonl;
use crate::report::Report;
use crate::time;

/// Sends the run's line and one line for each finding that is not explained, as JSON.
///
/// # Errors
/// If nobody listens.
pub fn send(socket: &Path, report: &Report) -> io::Result<()> {
    let log = UnixDatagram::unbound()?;
    log.connect(socket)?;
    let run = jsonl::lines(report).into_iter().next().unwrap_or_default();
    let worst = report.all().map(|finding| finding.kind.class()).min().unwrap_or(Class::Explained);
    log.send(datagram(worst, report.time, &run).as_bytes())?;
    for finding in report.findings.iter().filter(|finding| !finding.is_explained()) {
        log.send(datagram(finding.kind.class(), report.time, &jsonl::line(report, finding)).as_bytes())?;
    }
    Ok(())
}

/// `<PRIORITY>Nov 21 15:04:05 tally[PID]: TEXT`, in UTC, facility authpriv.
fn datagram(class: Class, now: u64, line: &str) -> String {
    let severity = match class {
        Class::Integrity => 2,
        Class::Warned | Class::Operational(_) => 3,
        Class::Stale | Class::Unknown => 4,
        Class::Explained => 6,
    };
    let text = time::format(now);
    let month =
        text.get(5..7).and_then(|month| month.parse::<usize>().ok()).and_then(|month| MONTHS.get(month.checked_sub(1)?)).unwrap_or(&"Jan");
    let day = text.get(8..10).unwrap_or("01").trim_start_matches('0');
    format!(
        "<{}>{month} {day:>2} {} tally[{}]: {}",
        AUTHPRIV * 8 + severity,
        text.get(11..19).unwrap_or("00:00:00"),
        std::process::id(),
        line.trim_end()
    )
}

const AUTHPRIV: u32 = 10;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_as_syslog_wants_them() {
        let text = datagram(Class::Integrity, 1_795_273_445, "{}\n");
        assert_eq!(text, format!("<82>Nov 21 15:04:05 tally[{}]: {{}}", std::process::id()));
        assert!(datagram(Class::Explained, 0, "x").starts_with("<86>Jan  1 00:00:00 tally["));
    }
}

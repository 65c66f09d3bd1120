//! Findings for the system's log: datagrams in the form that every syslog daemon and journald read.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use crate::finding::Class;
use crate::render::jsonl;
use crate::report::Report;
use crate::time;

/// Sends the run's line and one line for each finding that is not explained, as JSON.
///
/// # Errors
/// If nobody listens, or one line is not taken; the first such error, after the others were sent.
pub fn send(socket: &Path, report: &Report) -> io::Result<()> {
    let log = UnixDatagram::unbound()?;
    log.connect(socket)?;
    log.set_write_timeout(Some(PATIENCE))?;
    let run = jsonl::lines(report).into_iter().next().unwrap_or_default();
    let worst = report.all().map(|finding| finding.kind.class()).min().unwrap_or(Class::Explained);
    log.send(datagram(worst, report.time, &run).as_bytes())?;
    let mut refused = Ok(());
    for finding in report.findings.iter().filter(|finding| !finding.is_explained()) {
        match log.send(datagram(finding.kind.class(), report.time, &jsonl::line(report, finding)).as_bytes()) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => return Err(error),
            // One that is too long keeps none of the others back.
            Err(error) => refused = refused.and(Err(error)),
            Ok(_) => {}
        }
    }
    refused
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

const PATIENCE: Duration = Duration::from_secs(5);
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

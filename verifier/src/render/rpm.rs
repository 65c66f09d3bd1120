//! Lines in the manner of `rpm -V`: nine places, a letter for the kind of file, the path.

use std::fmt::Write as _;

use crate::finding::{Finding, Kind, printable};
use crate::report::Report;

/// The findings that are not explained, and edited configuration files.
#[must_use]
pub fn lines(report: &Report) -> String {
    let mut text = String::new();
    for finding in report.findings.iter().filter(|finding| !finding.is_explained() || finding.kind == Kind::ModifiedConfig) {
        let letter = if finding.kind == Kind::ModifiedConfig { 'c' } else { ' ' };
        let place = finding.path.as_deref().map(printable);
        // What concerns a package has no nine places; its line begins with the finding's name, as rpm's lines about packages do.
        let _ = match (places(finding), place) {
            (Some(places), Some(place)) => writeln!(text, "{places}  {letter} {place}"),
            (None, Some(place)) => writeln!(text, "{:<9}  {letter} {place}", finding.kind.name()),
            (_, None) => {
                let package = finding.package.as_deref().map(|package| format!(" {}:", printable(package.as_bytes()))).unwrap_or_default();
                writeln!(text, "{}:{package} {}", finding.kind.name(), printable(finding.why.as_bytes()))
            }
        };
    }
    text
}

/// `S` size, `M` mode or type, `5` digest, `D` device, `L` link, `U` owner, `G` group, `T` time (never compared here), `P` capabilities.
fn places(finding: &Finding) -> Option<String> {
    let mut places = *b".........";
    let mut set = |letter: u8| places[b"SM5DLUGTP".iter().position(|place| *place == letter).unwrap_or(0)] = letter;
    match finding.kind {
        Kind::Modified | Kind::ModifiedConfig => content(finding).iter().for_each(|letter| set(*letter)),
        Kind::Mode => set(b'M'),
        Kind::Owner => b"UG".iter().for_each(|letter| set(*letter)),
        Kind::Capability => set(b'P'),
        _ => return None,
    }
    Some(String::from_utf8_lossy(&places).into_owned())
}

/// What of the substance differs, from the words of the report.
fn content(finding: &Finding) -> &'static [u8] {
    let (Some(expected), Some(found)) = (&finding.expected, &finding.found) else { return b"5" };
    let size = |text: &str| text.strip_prefix("a file of ").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
    let both = |start: &str| expected.starts_with(start) && found.starts_with(start);
    match (size(expected), size(found)) {
        (Some(expected), Some(found)) if expected == found => b"5",
        (Some(_), Some(_)) => b"S5",
        _ if both("a link to ") => b"L",
        _ if both("character device ") || both("block device ") => b"D",
        _ => b"M",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_say_what_differs() {
        let modified = |expected: &str, found: &str| places(&Finding::new(Kind::Modified, "").differs(expected, found)).unwrap();
        assert_eq!(modified("a file of 5 bytes, sha256 a", "a file of 5 bytes, sha256 b"), "..5......");
        assert_eq!(modified("a file of 5 bytes, sha256 a", "a file of 6 bytes"), "S.5......");
        assert_eq!(modified("a link to a", "a link to b"), "....L....");
        assert_eq!(modified("character device 0x103", "character device 0x105"), "...D.....");
        assert_eq!(modified("a file of 5 bytes, sha256 a", "a directory"), ".M.......");
        let of = |kind| places(&Finding::new(kind, ""));
        assert_eq!(of(Kind::Mode).as_deref(), Some(".M......."));
        assert_eq!(of(Kind::Owner).as_deref(), Some(".....UG.."));
        assert_eq!(of(Kind::Capability).as_deref(), Some("........P"));
        assert_eq!(of(Kind::Missing), None);
    }
}

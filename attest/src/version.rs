//! Comparing versions, for advisories. Debian's rules (Debian policy 5.6.12); pacman and rpm packages use rpm's.

use std::cmp::Ordering;

use crate::purl::Purl;

/// Compares two Debian versions: epoch, upstream version, revision. `~` sorts before everything, even the end.
#[must_use]
pub fn compare_debian(a: &str, b: &str) -> Ordering {
    let (a, b) = (DebianVersion::split(a), DebianVersion::split(b));
    compare_numbers(a.epoch, b.epoch).then_with(|| compare_part(a.upstream, b.upstream)).then_with(|| compare_part(a.revision, b.revision))
}

/// Whether the package's version is at least `from` and below `before`. Versions of ecosystems without a rule here
/// cannot be compared and count as within.
#[must_use]
pub fn is_within(purl: &Purl, from: Option<&str>, before: Option<&str>) -> bool {
    if purl.kind() != "deb" {
        return true;
    }
    from.is_none_or(|from| compare_debian(purl.version(), from) != Ordering::Less)
        && before.is_none_or(|before| compare_debian(purl.version(), before) == Ordering::Less)
}

struct DebianVersion<'a> {
    epoch: &'a str,
    upstream: &'a str,
    revision: &'a str,
}

impl<'a> DebianVersion<'a> {
    fn split(text: &'a str) -> Self {
        let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
        Self { epoch, upstream, revision }
    }
}

/// Alternates between a part without digits and a number, as dpkg does.
fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (a_text, a_rest) = a.split_at(a.find(|c: char| c.is_ascii_digit()).unwrap_or(a.len()));
        let (b_text, b_rest) = b.split_at(b.find(|c: char| c.is_ascii_digit()).unwrap_or(b.len()));
        let (a_number, a_next) = a_rest.split_at(a_rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(a_rest.len()));
        let (b_number, b_next) = b_rest.split_at(b_rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(b_rest.len()));
        let order = compare_text(a_text, b_text).then_with(|| compare_numbers(a_number, b_number));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (a_next, b_next);
    }
    Ordering::Equal
}

/// Byte by byte: `~`, then the end, then letters, then everything else.
fn compare_text(a: &str, b: &str) -> Ordering {
    let weight = |byte: Option<u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(byte),
        Some(byte) => i32::from(byte) + 256,
    };
    let (mut a, mut b) = (a.bytes(), b.bytes());
    loop {
        let (left, right) = (a.next(), b.next());
        let order = weight(left).cmp(&weight(right));
        if order != Ordering::Equal || (left.is_none() && right.is_none()) {
            return order;
        }
    }
}

/// Decimal numbers of any length.
fn compare_numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

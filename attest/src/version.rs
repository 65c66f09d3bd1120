//! Comparing versions. Debian's rules (Debian policy 5.6.12), rpm's, which pacman uses too, and apk's.

use std::cmp::Ordering;

use crate::purl::Purl;

/// Compares two Debian versions: epoch, upstream version, revision. `~` sorts before everything, even the end.
#[must_use]
pub fn compare_debian(a: &str, b: &str) -> Ordering {
    let (a, b) = (DebianVersion::split(a), DebianVersion::split(b));
    compare_numbers(a.epoch, b.epoch).then_with(|| compare_part(a.upstream, b.upstream)).then_with(|| compare_part(a.revision, b.revision))
}

/// Compares two packages' versions by the rules of their type; `None` if they are of different ones.
#[must_use]
pub fn compare(a: &Purl, b: &Purl) -> Option<Ordering> {
    let with_epoch = |purl: &Purl| format!("{}:{}", purl.epoch().unwrap_or("0"), purl.version());
    match (a.kind(), b.kind()) {
        ("deb", "deb") => Some(compare_debian(a.version(), b.version())),
        ("rpm", "rpm") => Some(compare_rpm(&with_epoch(a), &with_epoch(b))),
        ("alpm", "alpm") => Some(compare_rpm(a.version(), b.version())),
        ("apk", "apk") => Some(compare_apk(a.version(), b.version())),
        _ => None,
    }
}

/// Whether the package's version is at least `from` and below `before`, by the rules of its type. Bounds of rpm packages carry the epoch as
/// `epoch:version-release`; without one it is 0.
#[must_use]
pub fn is_within(purl: &Purl, from: Option<&str>, before: Option<&str>) -> bool {
    let version = match purl.epoch() {
        Some(epoch) => format!("{epoch}:{}", purl.version()),
        None => purl.version().to_owned(),
    };
    let compare = match purl.kind() {
        "deb" => compare_debian,
        "rpm" | "alpm" => compare_rpm,
        "apk" if [from, before, Some(&*version)].into_iter().flatten().all(|text| ApkVersion::split(text).is_some()) => compare_apk,
        // What no rule can read: a needless warning is better than none.
        _ => return true,
    };
    from.is_none_or(|from| compare(&version, from) != Ordering::Less)
        && before.is_none_or(|before| compare(&version, before) == Ordering::Less)
}

/// Compares two versions of rpm or pacman packages, `[epoch:]version[-release]`: epoch, version, release. `~` sorts before everything, `^`
/// after the end and before all else; a release counts only where both have one.
#[must_use]
pub fn compare_rpm(a: &str, b: &str) -> Ordering {
    let (a, b) = (RpmVersion::split(a), RpmVersion::split(b));
    let releases = || a.release.zip(b.release).map_or(Ordering::Equal, |(a, b)| compare_segments(a, b));
    compare_numbers(a.epoch, b.epoch).then_with(|| compare_segments(a.version, b.version)).then_with(releases)
}

/// Compares two versions of apk packages, `numbers[letter][_suffix[number]]…[-rN]`, as apk-tools 3 does. What is not of this form comes
/// first.
#[must_use]
pub fn compare_apk(a: &str, b: &str) -> Ordering {
    ApkVersion::split(a).cmp(&ApkVersion::split(b))
}

/// In the order in which its fields count.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct ApkVersion<'a> {
    numbers: Vec<Number<'a>>,
    letter: Option<char>,
    /// Rank and number of each suffix, and the rank of none at the end.
    suffixes: Vec<(usize, Number<'a>)>,
    revision: Number<'a>,
}

/// Decimal digits by their value, or what follows a point: [`Number::fraction`].
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Number<'a>(usize, &'a str);

impl<'a> Number<'a> {
    fn of(text: &'a str) -> Self {
        let digits = text.trim_start_matches('0');
        Self(digits.len(), digits)
    }

    /// A number that is not the version's first: one that begins with 0 sorts before all others, and among those as text.
    fn fraction(text: &'a str) -> Self {
        if text.starts_with('0') { Self(0, text) } else { Self::of(text) }
    }
}

impl<'a> ApkVersion<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (rest, revision) = text.rsplit_once("-r").unwrap_or((text, ""));
        let mut parts = rest.split('_');
        let main = parts.next()?;
        let letter = main.chars().last().filter(char::is_ascii_lowercase);
        let numbers: Vec<&str> = main.strip_suffix(|c: char| c.is_ascii_lowercase()).unwrap_or(main).split('.').collect();
        let mut suffixes = Vec::new();
        for part in parts {
            let name = part.trim_end_matches(|c: char| c.is_ascii_digit());
            let rank = APK_SUFFIXES.iter().position(|known| *known == name).filter(|rank| *rank != NO_SUFFIX)?;
            suffixes.push((rank, Number::of(&part[name.len()..])));
        }
        suffixes.push((NO_SUFFIX, Number::of("")));
        let fits = numbers.iter().all(|number| is_number(number)) && (revision.is_empty() || is_number(revision));
        let numbers = numbers.into_iter().enumerate().map(|(at, text)| if at == 0 { Number::of(text) } else { Number::fraction(text) });
        fits.then(|| Self { numbers: numbers.collect(), letter, suffixes, revision: Number::of(revision) })
    }
}

/// The first four are before the release, which has none; the others after it.
const APK_SUFFIXES: [&str; 10] = ["alpha", "beta", "pre", "rc", "", "cvs", "svn", "git", "hg", "p"];
const NO_SUFFIX: usize = 4;

struct RpmVersion<'a> {
    epoch: &'a str,
    version: &'a str,
    release: Option<&'a str>,
}

impl<'a> RpmVersion<'a> {
    fn split(text: &'a str) -> Self {
        let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
        let (version, release) = rest.rsplit_once('-').map_or((rest, None), |(version, release)| (version, Some(release)));
        Self { epoch, version, release }
    }
}

/// Runs of digits and runs of letters, one after the other; what stands between them only parts them.
fn compare_segments(mut a: &str, mut b: &str) -> Ordering {
    loop {
        let parts = |c: char| !c.is_ascii_alphanumeric() && c != '~' && c != '^';
        (a, b) = (a.trim_start_matches(parts), b.trim_start_matches(parts));
        match (a.starts_with('~'), b.starts_with('~')) {
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            _ => {}
        }
        match (a.starts_with('^'), b.starts_with('^')) {
            (true, false) => return if b.is_empty() { Ordering::Greater } else { Ordering::Less },
            (false, true) => return if a.is_empty() { Ordering::Less } else { Ordering::Greater },
            _ => {}
        }
        if a.starts_with(['~', '^']) {
            (a, b) = (&a[1..], &b[1..]);
            continue;
        }
        if a.is_empty() || b.is_empty() {
            return a.len().cmp(&b.len());
        }
        let digits = a.starts_with(|c: char| c.is_ascii_digit());
        let end =
            |text: &str| text.find(|c: char| if digits { !c.is_ascii_digit() } else { !c.is_ascii_alphabetic() }).unwrap_or(text.len());
        let ((left, a_rest), (right, b_rest)) = (a.split_at(end(a)), b.split_at(end(b)));
        // Of a number and a word, the number is newer.
        if right.is_empty() {
            return if digits { Ordering::Greater } else { Ordering::Less };
        }
        let order = if digits { compare_numbers(left, right) } else { left.cmp(right) };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (a_rest, b_rest);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apk_versions() {
        let rising = [
            "1.2.x-r0",
            "0.9-r9",
            "1.2_alpha-r5",
            "1.2_alpha2",
            "1.2_beta1",
            "1.2_pre1",
            "1.2_rc1",
            "1.2_rc1_p1",
            "1.2_rc10",
            "1.2-r0",
            "1.2-r2",
            "1.2-r10",
            "1.2_git20240101-r0",
            "1.2_p1-r0",
            "1.2b-r0",
            "1.2.1-r0",
            "1.10-r0",
            "2-r0",
        ];
        for (at, a) in rising.iter().enumerate() {
            for (other, b) in rising.iter().enumerate() {
                assert_eq!(compare_apk(a, b), at.cmp(&other), "{a} {b}");
            }
        }
        assert_eq!(compare_apk("01.2-r01", "1.2-r1"), Ordering::Equal);
        for odd in ["", "x", "1_", "1_5", "1_new", "1-rx", "1B"] {
            assert_eq!(compare_apk(odd, "0-r0"), Ordering::Less, "{odd}");
        }
    }

    /// Pairs of apk-tools' own tests of versions, and some that follow from its rule for numbers that begin with 0.
    #[test]
    fn apk_numbers_that_begin_with_zero() {
        let rising = [
            ("8.2.0", "8.2.001"),
            ("8.2.0015", "8.2.002"),
            ("1.0.1", "1.06-r1"),
            ("1.03-r1", "1.12.12-r2"),
            ("1.02.07", "1.02.10-r1"),
            ("1.2.07.8", "1.2.12.04"),
            ("1.2.12.04", "1.2.12.05"),
            ("1.07-r1", "1.07.5"),
            ("1.06-r6", "006"),
            ("013", "014-r1"),
            ("021109-r3", "20060512"),
            ("2.2.3-r2", "013"),
            ("0.98", "1.00"),
            ("1.00_beta2", "1.39"),
            ("1.02", "1.1"),
            ("1.09", "1.2"),
            ("1.0", "1.00"),
            ("1.010", "1.05"),
        ];
        for (a, b) in rising {
            assert_eq!(compare_apk(a, b), Ordering::Less, "{a} {b}");
            assert_eq!(compare_apk(b, a), Ordering::Greater, "{b} {a}");
        }
    }

    #[test]
    fn packages_of_one_type_have_an_order() {
        let purl = |text: &str| Purl::parse(text).unwrap();
        let order = |a: &str, b: &str| compare(&purl(a), &purl(b));
        assert_eq!(order("pkg:deb/debian/a@1.0~rc1?arch=all", "pkg:deb/debian/a@1.0?arch=all"), Some(Ordering::Less));
        assert_eq!(order("pkg:rpm/suse/a@1-1?arch=x86_64&epoch=1", "pkg:rpm/suse/a@2-1?arch=x86_64"), Some(Ordering::Greater));
        assert_eq!(order("pkg:alpm/arch/a@1:2-1?arch=any", "pkg:alpm/arch/a@3-1?arch=any"), Some(Ordering::Greater));
        assert_eq!(order("pkg:apk/alpine/a@1.2-r9?arch=x86", "pkg:apk/alpine/a@1.10-r0?arch=x86"), Some(Ordering::Less));
        assert_eq!(order("pkg:deb/debian/a@1?arch=all", "pkg:apk/alpine/a@1?arch=x86"), None);
    }

    /// rpm's own cases of `rpmvercmp`.
    #[test]
    fn rpm_versions() {
        let cases = [
            ("1.0", "1.0", Ordering::Equal),
            ("1.0", "2.0", Ordering::Less),
            ("2.0.1a", "2.0.1", Ordering::Greater),
            ("5.5p1", "5.5p10", Ordering::Less),
            ("10xyz", "10.1xyz", Ordering::Less),
            ("xyz10", "xyz10.1", Ordering::Less),
            ("xyz.4", "8", Ordering::Less),
            ("2", "xyz.4", Ordering::Greater),
            ("6.5p1", "5.6p1", Ordering::Greater),
            ("6.0.rc1", "6.0", Ordering::Greater),
            ("10b2", "10a1", Ordering::Greater),
            ("7.4.052", "7.4.0052", Ordering::Equal),
            ("2_0", "2.0", Ordering::Equal),
            ("a+", "a_", Ordering::Equal),
            ("1.0~rc1", "1.0", Ordering::Less),
            ("1.0~rc1", "1.0~rc2", Ordering::Less),
            ("1.0~rc1~git123", "1.0~rc1", Ordering::Less),
            ("1.0^", "1.0", Ordering::Greater),
            ("1.0^git1", "1.0^git2", Ordering::Less),
            ("1.0^git1", "1.01", Ordering::Less),
            ("1.0^20160101", "1.0.1", Ordering::Less),
            ("1.0~rc1^git1", "1.0~rc1", Ordering::Greater),
            ("1.0^git1~pre", "1.0^git1", Ordering::Less),
            ("1:1.0-1", "2.0-1", Ordering::Greater),
            ("1.0-1", "1.0-2", Ordering::Less),
            ("1.0", "1.0-2", Ordering::Equal),
        ];
        for (a, b, order) in cases {
            assert_eq!(compare_rpm(a, b), order, "{a} {b}");
            assert_eq!(compare_rpm(b, a), order.reverse(), "{b} {a}");
        }
    }
}

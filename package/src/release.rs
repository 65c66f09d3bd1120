//! A Debian repository's `Release` and `Packages` files (`specs/deb.md`, section 6).
//!
//! Signatures are not looked at here: whoever calls has checked them and passes the signed text.

use crate::control::Control;
use crate::deb822::{self, Paragraph};

/// A repository's signed table of contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Who publishes it, such as `Debian`.
    pub origin: Option<String>,
    /// A further name, such as `Debian-Security`.
    pub label: Option<String>,
    /// `stable`, `oldstable-security`, ...
    pub suite: Option<String>,
    /// `bookworm`, ...
    pub codename: Option<String>,
    /// Release number, such as `12.5`.
    pub version: Option<String>,
    /// When it was made, in seconds since 1970.
    pub date: u64,
    /// From when on it must not be believed, in seconds since 1970.
    pub valid_until: Option<u64>,
    /// Indices are also served under their digest.
    pub acquire_by_hash: bool,
    /// Architectures.
    pub architectures: Vec<String>,
    /// Components as written (`updates/main` in security archives).
    pub components: Vec<String>,
    /// Every index with its SHA-256, in the file's order.
    pub files: Vec<IndexFile>,
}

/// One index that a `Release` file vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFile {
    /// Path below the directory of the `Release` file.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: [u8; 32],
}

/// One package of a `Packages` index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRecord {
    /// Name, version, architecture and the other control fields.
    pub control: Control,
    /// Path of the package file below the repository's top.
    pub filename: String,
    /// Bytes of the package file.
    pub size: u64,
    /// Digest of the package file.
    pub sha256: [u8; 32],
}

impl Release {
    /// Reads a `Release` file (the signed text, without any PGP armour). `Date` and `SHA256` must be there.
    pub fn parse(input: &[u8]) -> Result<Self, deb822::Error> {
        let paragraph = deb822::single(input)?;
        let text = |name| Ok(paragraph.text(name)?.map(str::to_owned));
        let words = |name| Ok(paragraph.text(name)?.unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect());
        let time = |name, value: Option<&str>| value.map(|value| parse_date(value).ok_or_else(|| paragraph.malformed(name))).transpose();
        let date = time("Date", Some(paragraph.required("Date")?))?.ok_or_else(|| paragraph.malformed("Date"))?;
        Ok(Self {
            origin: text("Origin")?,
            label: text("Label")?,
            suite: text("Suite")?,
            codename: text("Codename")?,
            version: text("Version")?,
            date,
            valid_until: time("Valid-Until", paragraph.text("Valid-Until")?)?,
            acquire_by_hash: paragraph.text("Acquire-By-Hash")? == Some("yes"),
            architectures: words("Architectures")?,
            components: words("Components")?,
            files: parse_files(&paragraph)?,
        })
    }

    /// The index of this path.
    pub fn file(&self, path: &str) -> Option<&IndexFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

impl IndexFile {
    /// Where `Acquire-By-Hash` serves it: `main/binary-amd64/by-hash/SHA256/<hex>`.
    pub fn by_hash_path(&self) -> String {
        let directory = self.path.rsplit_once('/').map_or(String::new(), |(directory, _)| format!("{directory}/"));
        format!("{directory}by-hash/SHA256/{}", hex::encode(self.sha256))
    }
}

impl PackageRecord {
    /// Reads one paragraph of a `Packages` index.
    pub fn from_paragraph(paragraph: &Paragraph<'_>) -> Result<Self, deb822::Error> {
        let control = Control::from_paragraph(paragraph)?;
        let filename = paragraph.required("Filename")?;
        if !is_clean_path(filename) {
            return Err(paragraph.malformed("Filename"));
        }
        let size = parse_size(paragraph.required("Size")?).ok_or_else(|| paragraph.malformed("Size"))?;
        let sha256 = parse_digest(paragraph.required("SHA256")?).ok_or_else(|| paragraph.malformed("SHA256"))?;
        Ok(Self { control, filename: filename.to_owned(), size, sha256 })
    }
}

/// The packages of a decompressed `Packages` index, one after the other.
pub fn packages(input: &[u8]) -> impl Iterator<Item = Result<PackageRecord, deb822::Error>> {
    deb822::paragraphs(input).map(|paragraph| PackageRecord::from_paragraph(&paragraph?))
}

/// Lines `digest size path`; a path twice is refused.
fn parse_files(paragraph: &Paragraph<'_>) -> Result<Vec<IndexFile>, deb822::Error> {
    let parse = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (digest, size, path) = (words.next()?, words.next()?, words.next()?);
        let clean = words.next().is_none() && is_clean_path(path);
        let file = IndexFile { path: path.to_owned(), size: parse_size(size)?, sha256: parse_digest(digest)? };
        clean.then_some(file)
    };
    let text = paragraph.text("SHA256")?.ok_or(deb822::Error { line: paragraph.line, reason: deb822::Reason::Missing("SHA256") })?;
    let files: Option<Vec<_>> = text.lines().map(parse).collect();
    let files = files.ok_or_else(|| paragraph.malformed("SHA256"))?;
    let mut paths = std::collections::HashSet::new();
    if files.iter().all(|file| paths.insert(&file.path)) { Ok(files) } else { Err(paragraph.malformed("SHA256")) }
}

/// Relative, in plain ASCII, without empty, `.` and `..` parts: it is joined to URLs and directories.
fn is_clean_path(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\?#".contains(&byte))
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn parse_size(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn parse_digest(text: &str) -> Option<[u8; 32]> {
    let lower = text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
    let mut digest = [0; 32];
    (lower && hex::decode_to_slice(text, &mut digest).is_ok()).then_some(digest)
}

/// `Fri, 20 Nov 2026 00:12:41 UTC` (also `GMT`, `Z` and `+0000`) as seconds since 1970; years 1970 to 9999.
pub fn parse_date(text: &str) -> Option<u64> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let &[_, day, month, year, time, zone] = words.as_slice() else { return None };
    if !matches!(zone, "UTC" | "GMT" | "Z" | "+0000") {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == month)? as u64;
    let (day, year) = (number(day, 1..=31)?, number(year, 1970..=9999)?);
    let parts: Vec<&str> = time.split(':').collect();
    let &[hour, minute, second] = parts.as_slice() else { return None };
    let seconds = number(hour, 0..=23)? * 3600 + number(minute, 0..=59)? * 60 + number(second, 0..=60)?;
    Some(days(year, month, day)? * 86_400 + seconds)
}

/// A time such as `2026-11-21T15:04:05Z`, fractions of seconds left out, in seconds since 1970; other zones are not read.
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = <[&str; 3]>::try_from(date.split('-').collect::<Vec<_>>()).ok()?;
    let [hour, minute, second] = <[&str; 3]>::try_from(time.split(':').collect::<Vec<_>>()).ok()?;
    let second = second.split_once('.').map_or(second, |(whole, _)| whole);
    let seconds = number(hour, 0..=23)? * 3600 + number(minute, 0..=59)? * 60 + number(second, 0..=60)?;
    Some(days(number(year, 1970..=9999)?, number(month, 1..=12)? - 1, number(day, 1..=31)?)? * 86_400 + seconds)
}

/// What stands between the marks of a clear-signed file; all of a file without them.
pub fn signed_text(text: &[u8]) -> &[u8] {
    let Some(rest) = text.strip_prefix(b"-----BEGIN PGP SIGNED MESSAGE-----\n") else { return text };
    let find = |bytes: &[u8], mark: &[u8]| bytes.windows(mark.len()).position(|window| window == mark);
    let start = find(rest, b"\n\n").map_or(rest.len(), |at| at + 2);
    let body = &rest[start..];
    &body[..find(body, b"\n-----BEGIN PGP SIGNATURE-----").map_or(body.len(), |at| at + 1)]
}

fn number(text: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?.filter(|value| range.contains(value))
}

/// Days since 1970; `month` from 0. `None` for a day that the month does not have.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = |at: u64| match at {
        1 if leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    };
    let before: u64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    (day <= length(month)).then(|| before + (0..month).map(length).sum::<u64>() + day - 1)
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;
    use deb822::{Error, Reason};

    const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn release(extra: &str) -> Result<Release, Error> {
        Release::parse(format!("Origin: Debian\nSuite: stable\nDate: Fri, 20 Nov 2026 00:12:41 UTC\n{extra}").as_bytes())
    }

    #[test]
    fn reads_a_release() {
        let parsed = release(&format!("Valid-Until: Fri, 27 Nov 2026 00:12:41 UTC\nAcquire-By-Hash: yes\nComponents: main x\nSHA256:\n {DIGEST}        0 main/Packages.xz\n")).unwrap();
        assert_eq!((parsed.origin.as_deref(), parsed.suite.as_deref(), parsed.codename.as_deref()), (Some("Debian"), Some("stable"), None));
        assert_eq!((parsed.date, parsed.valid_until), (1_795_133_561, Some(1_795_133_561 + 7 * 86_400)));
        assert_eq!(parsed.components, ["main", "x"]);
        let file = parsed.file("main/Packages.xz").unwrap();
        assert_eq!(file.by_hash_path(), format!("main/by-hash/SHA256/{DIGEST}"));
    }

    #[test]
    fn refuses_bad_releases() {
        let malformed = |what| Err(Error { line: 1, reason: Reason::Malformed(what) });
        assert_eq!(release(""), Err(Error { line: 1, reason: Reason::Missing("SHA256") }));
        assert_eq!(Release::parse(b"Origin: x\n"), Err(Error { line: 1, reason: Reason::Missing("Date") }));
        assert_eq!(release("Valid-Until: tomorrow\nSHA256:\n"), malformed("Valid-Until"));
        for line in
            [&DIGEST[1..], &format!("{DIGEST} 0 ../x"), &format!("{DIGEST} 00 x"), &format!("{DIGEST} 0 /x"), &format!("{DIGEST} 0 x y")]
        {
            assert_eq!(release(&format!("SHA256:\n {line}\n")), malformed("SHA256"), "{line}");
        }
        assert_eq!(release(&format!("SHA256:\n {DIGEST} 0 x\n {DIGEST} 1 x\n")), malformed("SHA256"));
    }

    #[test]
    fn reads_packages() {
        let text = format!("Package: a\nVersion: 1\nArchitecture: all\nFilename: pool/a_1_all.deb\nSize: 9\nSHA256: {DIGEST}\n\n");
        let all: Vec<_> = packages(text.repeat(2).as_bytes()).collect::<Result<_, _>>().unwrap();
        assert_eq!((all.len(), all[1].filename.as_str(), all[1].size), (2, "pool/a_1_all.deb", 9));
        for (from, to, what) in [("pool/", "../", "Filename"), ("Size: 9", "Size: x", "Size"), ("SHA256: e", "SHA256: E", "SHA256")] {
            let error = packages(text.replace(from, to).as_bytes()).next().unwrap();
            assert_eq!(error, Err(Error { line: 1, reason: Reason::Malformed(what) }));
        }
    }

    #[test]
    fn reads_dates() {
        assert_eq!(parse_date("Thu, 01 Jan 1970 00:00:00 UTC"), Some(0));
        assert_eq!(parse_date("Tue, 29 Feb 2028 12:00:00 +0000"), Some(1_835_438_400));
        for bad in [
            "",
            "Thu, 01 Jan 1970 00:00:00 CET",
            "Thu, 30 Feb 2028 00:00:00 UTC",
            "Thu, 1 Jan 99999 0:0:0 UTC",
            "Thu, 1 Jan 2000 24:00:00 UTC",
        ] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }
}

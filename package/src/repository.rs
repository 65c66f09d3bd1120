//! The index of a repository: what it is called, whose it is, and its dates (`specs/repository.md`, section 2).
//!
//! Signatures are not looked at: what counts is whether the log knows the index's digest. Everything here is a function of the file's bytes
//! and, for pacman, of its name, so that all who saw one file say the same of it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::compression::{Compression, Decoder};
use crate::release::{Release, parse_rfc3339, signed_text};
use crate::tar::{Reader, TarLimits};

/// What is in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Debian's packages: `InRelease` or `Release`.
    Deb,
    /// RPM packages: `repomd.xml`.
    Rpm,
    /// pacman's packages: `core.db`.
    Alpm,
    /// Images of containers: `index.json`.
    Image,
}

impl Contents {
    /// The type in package URLs.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
            Self::Alpm => "alpm",
            Self::Image => "oci",
        }
    }
}

/// What an index says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// What is in the repository.
    pub contents: Contents,
    /// The index's name: `InRelease`, `Release`, `repomd.xml`, `core.db`, `index.json`.
    pub name: String,
    /// When it was made, in seconds since 1970, as far as it says so.
    pub date: Option<u64>,
    /// Until when it asks to be believed, in seconds since 1970.
    pub valid_until: Option<u64>,
    /// Who publishes it: Debian's `Origin`.
    pub origin: Option<String>,
    /// Debian's `Codename` (or `Suite`); the name of pacman's repository.
    pub suite: Option<String>,
}

/// Why a file is no index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexError {
    /// Larger than [`Index::MAX_BYTES`], or when it is decompressed.
    TooLarge,
    /// Not one of the four kinds, or a broken one; the text says what was taken for what.
    Malformed(&'static str),
}

impl std::fmt::Display for IndexError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the index is too large"),
            Self::Malformed(what) => write!(f, "not the index of a repository: {what}"),
        }
    }
}

impl std::error::Error for IndexError {}

impl Index {
    /// Largest file in bytes.
    pub const MAX_BYTES: u64 = 256 << 20;

    /// Reads an index; `file` is the file's name without its directories, by which pacman's are told apart.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, IndexError> {
        if bytes.len() as u64 > Self::MAX_BYTES {
            return Err(IndexError::TooLarge);
        }
        match bytes {
            [b'{', ..] => image(bytes),
            [b'<', ..] => repomd(bytes),
            [0x1f, 0x8b, ..] => alpm(bytes, file, Compression::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => alpm(bytes, file, Compression::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => alpm(bytes, file, Compression::Zstd),
            _ => debian(bytes),
        }
    }

    fn new(contents: Contents, name: &str, date: Option<u64>) -> Self {
        Self { contents, name: name.to_owned(), date, valid_until: None, origin: None, suite: None }
    }
}

fn debian(bytes: &[u8]) -> Result<Index, IndexError> {
    let text = signed_text(bytes);
    let name = if text.len() == bytes.len() { "Release" } else { "InRelease" };
    let release = Release::parse(text).map_err(|_| IndexError::Malformed("Debian's Release file"))?;
    Ok(Index {
        // What is over before it began is of no use to anybody, and no statement can say it.
        valid_until: release.valid_until.filter(|until| *until >= release.date),
        origin: release.origin,
        suite: release.codename.or(release.suite),
        ..Index::new(Contents::Deb, name, Some(release.date))
    })
}

/// The date is the largest of its `timestamp`s and its `revision`, where that is a time and not a mere number. The rest of the file is not
/// looked at.
fn repomd(bytes: &[u8]) -> Result<Index, IndexError> {
    let text = std::str::from_utf8(bytes).map_err(|_| IndexError::Malformed("repomd.xml"))?;
    if !text.contains("<repomd") || !text.trim_ascii_end().ends_with("</repomd>") {
        return Err(IndexError::Malformed("repomd.xml"));
    }
    let timestamps = values(text, "timestamp").filter_map(|value| seconds(value.split('.').next()?));
    let revisions = values(text, "revision").filter_map(seconds).filter(|revision| *revision >= FIRST_REVISION);
    Ok(Index::new(Contents::Rpm, "repomd.xml", timestamps.chain(revisions).max()))
}

/// What stands between the tags of this name.
fn values<'t>(text: &'t str, tag: &str) -> impl Iterator<Item = &'t str> {
    let (opening, closing) = (format!("<{tag}>"), format!("</{tag}>"));
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, from) = rest.split_once(&opening)?;
        let (value, after) = from.split_once(&closing)?;
        rest = after;
        Some(value.trim_ascii())
    })
}

fn seconds(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|seconds| *seconds <= attest::json::MAX_INTEGER)
}

/// The date is that of the package that was built last.
fn alpm(bytes: &[u8], file: &str, compression: Compression) -> Result<Index, IndexError> {
    let malformed = IndexError::Malformed("a database of pacman, named as REPOSITORY.db");
    let suite = file.split_once(".db").map(|(suite, rest)| (suite, rest.is_empty() || rest.starts_with(".tar.")));
    let suite = suite.filter(|(suite, known)| *known && !suite.is_empty()).ok_or(malformed)?.0;
    let decoder = Decoder::new(compression, bytes, MAX_UNPACKED).map_err(|_| malformed)?;
    let mut tar = Reader::new(decoder, LIMITS);
    let mut newest = None;
    while let Some(entry) = tar.next_entry().map_err(|_| malformed)? {
        if entry.path.ends_with(b"/desc") && entry.size <= MAX_DESC {
            let mut text = Vec::new();
            let mut take = |piece: &[u8]| {
                text.extend_from_slice(piece);
                Ok(())
            };
            tar.content(&entry, &mut take).map_err(|_| malformed)?;
            newest = newest.max(build_date(&text));
        }
    }
    Ok(Index { suite: Some(suite.to_owned()), ..Index::new(Contents::Alpm, &format!("{suite}.db"), newest) })
}

fn build_date(desc: &[u8]) -> Option<u64> {
    let mut lines = desc.split(|byte| *byte == b'\n');
    lines.find(|line| *line == b"%BUILDDATE%")?;
    seconds(std::str::from_utf8(lines.next()?).ok()?)
}

/// The date is that of the image's annotation, if it has one.
fn image(bytes: &[u8]) -> Result<Index, IndexError> {
    #[derive(Deserialize)]
    struct Image {
        #[serde(rename = "manifests")]
        _manifests: Vec<serde::de::IgnoredAny>,
        #[serde(default)]
        annotations: BTreeMap<String, String>,
    }
    let image: Image = serde_json::from_slice(bytes).map_err(|_| IndexError::Malformed("an image index in JSON"))?;
    let date = image.annotations.get("org.opencontainers.image.created").and_then(|text| parse_rfc3339(text));
    Ok(Index::new(Contents::Image, "index.json", date))
}

/// Smaller revisions are numbers that somebody counted: this is a day of 2001.
const FIRST_REVISION: u64 = 1_000_000_000;
const MAX_UNPACKED: u64 = 1 << 30;
const MAX_DESC: u64 = 1 << 20;
const LIMITS: TarLimits = TarLimits { entries: 1_000_000, path: 4_096, expanded: MAX_UNPACKED, passed_over: &[] };

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const RELEASE: &str = "Origin: Debian\nSuite: oldstable\nCodename: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\n\
                           Valid-Until: Sat, 18 Jul 2026 10:16:37 UTC\nSHA256:\n \
                           e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855        0 main/binary-amd64/Packages\n";

    #[test]
    fn debian_indexes_say_whose_they_are() {
        let plain = Index::read(RELEASE.as_bytes(), "anything").unwrap();
        assert_eq!((plain.contents.kind(), plain.name.as_str(), plain.date), ("deb", "Release", Some(1_783_764_997)));
        assert_eq!((plain.origin.as_deref(), plain.suite.as_deref()), (Some("Debian"), Some("bookworm")));
        assert_eq!(plain.valid_until, Some(1_783_764_997 + 7 * 86_400));
        let signed = format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{RELEASE}-----BEGIN PGP SIGNATURE-----\n\nx\n");
        assert_eq!(Index::read(signed.as_bytes(), ""), Ok(Index { name: "InRelease".into(), ..plain }));
        assert_eq!(Index::read(b"", "x"), Err(IndexError::Malformed("Debian's Release file")));
        let over = RELEASE.replace("Sat, 18", "Fri, 10");
        assert_eq!(Index::read(over.as_bytes(), "").unwrap().valid_until, None);
    }

    #[test]
    fn repomd_has_the_date_of_its_newest_part() {
        let text = |revision: &str, stamp: &str| {
            format!(
                "<?xml version=\"1.0\"?>\n<repomd>\n <revision>{revision}</revision>\n <data type=\"primary\"><timestamp>{stamp}</timestamp></data>\n</repomd>\n"
            )
        };
        let date = |text: String| Index::read(text.as_bytes(), "x").map(|index| index.date);
        assert_eq!(date(text("1700000005", "1700000000")), Ok(Some(1_700_000_005)));
        assert_eq!(date(text("7", "1700000000.25")), Ok(Some(1_700_000_000)));
        assert_eq!(date(text("7", "then")), Ok(None));
        assert_eq!(date(text("7", "99999999999999999")), Ok(None));
        assert_eq!(date("<html></html>".into()), Err(IndexError::Malformed("repomd.xml")));
        assert_eq!(date(text("7", "1").replace("</repomd>", "")), Err(IndexError::Malformed("repomd.xml")));
    }

    #[test]
    fn pacmans_databases_have_the_date_of_the_last_build() {
        let dir = tempfile::tempdir().unwrap();
        for (package, date) in [("a-1-1", "1700000000"), ("b-1-1", "1700000009")] {
            let path = dir.path().join(package);
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join("desc"), format!("%NAME%\nx\n\n%BUILDDATE%\n{date}\n\n")).unwrap();
        }
        let made = Command::new("tar").args(["-czf", "core.db", "a-1-1", "b-1-1"]).current_dir(dir.path()).status().unwrap();
        assert!(made.success());
        let bytes = std::fs::read(dir.path().join("core.db")).unwrap();
        let index = Index::read(&bytes, "core.db").unwrap();
        assert_eq!((index.name.as_str(), index.suite.as_deref(), index.date), ("core.db", Some("core"), Some(1_700_000_009)));
        assert_eq!(Index::read(&bytes, "core.db.tar.gz"), Ok(index));
        let malformed = Err(IndexError::Malformed("a database of pacman, named as REPOSITORY.db"));
        assert_eq!(Index::read(&bytes, "core.files"), malformed);
        assert_eq!(Index::read(&bytes[..bytes.len() / 2], "core.db"), malformed);
    }

    #[test]
    fn images_may_have_a_date() {
        let read = |text: &str| Index::read(text.as_bytes(), "x").map(|index| index.date);
        let created = r#"{"manifests":[],"annotations":{"org.opencontainers.image.created":"2026-07-11T10:16:37Z"}}"#;
        assert_eq!(read(created), Ok(Some(1_783_764_997)));
        assert_eq!(read(r#"{"schemaVersion":2,"manifests":[{}]}"#), Ok(None));
        assert_eq!(read(r#"{"schemaVersion":2}"#), Err(IndexError::Malformed("an image index in JSON")));
    }
}

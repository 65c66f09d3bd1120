//! A binary package's control information (`specs/deb.md`, section 4).

use crate::deb822::{self, Paragraph};
use std::str::FromStr;

/// The fields that name a package and say how it may be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// `Package`.
    pub name: String,
    /// `Version`, as written.
    pub version: String,
    /// `Architecture`.
    pub architecture: String,
    /// `Multi-Arch`, `No` if absent.
    pub multi_arch: MultiArch,
    /// `Source` without a version, the package's own name if absent.
    pub source: String,
    /// The source's version: the one in `Source`'s brackets, else the package's own.
    pub source_version: String,
    /// `Origin`, a free text that some vendors set; never to be trusted.
    pub origin: Option<String>,
    /// `Essential: yes`.
    pub essential: bool,
}

/// Whether architectures of a package can stand beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MultiArch {
    /// One architecture at a time.
    #[default]
    No,
    /// Installable once per architecture; file lists then carry the architecture in their name.
    Same,
    /// Serves every architecture.
    Foreign,
    /// Dependents choose.
    Allowed,
}

/// A line of `conffiles`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conffile {
    /// Absolute path, raw bytes.
    pub path: Vec<u8>,
    /// The package wants it gone: its content is no longer shipped.
    pub remove_on_upgrade: bool,
}

impl Control {
    /// Reads the one paragraph of a `control` file.
    pub fn parse(input: &[u8]) -> Result<Self, deb822::Error> {
        Self::from_paragraph(&deb822::single(input)?)
    }

    /// Reads the fields from any paragraph that describes a binary package.
    pub fn from_paragraph(paragraph: &Paragraph<'_>) -> Result<Self, deb822::Error> {
        let checked = |field: &'static str, valid: fn(&str) -> bool| {
            let value = paragraph.required(field)?;
            if valid(value) { Ok(value.to_owned()) } else { Err(paragraph.malformed(field)) }
        };
        let name = checked("Package", is_package_name)?;
        let version = checked("Version", is_version)?;
        let (source, source_version) = source(paragraph, &name, &version)?;
        let multi_arch = match paragraph.text("Multi-Arch")? {
            None => MultiArch::No,
            Some(word) => word.parse().map_err(|()| paragraph.malformed("Multi-Arch"))?,
        };
        Ok(Self {
            architecture: checked("Architecture", is_architecture)?,
            multi_arch,
            origin: paragraph.text("Origin")?.map(str::to_owned),
            essential: paragraph.text("Essential")? == Some("yes"),
            name,
            version,
            source,
            source_version,
        })
    }
}

impl FromStr for MultiArch {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "no" => Ok(Self::No),
            "same" => Ok(Self::Same),
            "foreign" => Ok(Self::Foreign),
            "allowed" => Ok(Self::Allowed),
            _ => Err(()),
        }
    }
}

/// Reads a `conffiles` control file: absolute paths, one a line, each with the optional flag `remove-on-upgrade` before it.
pub fn parse_conffiles(input: &[u8]) -> Result<Vec<Conffile>, deb822::Error> {
    let mut conffiles = Vec::new();
    for (at, line) in lines(input)?.into_iter().enumerate() {
        let line = line.trim_ascii_end();
        let (path, remove_on_upgrade) = match line.strip_prefix(b"remove-on-upgrade ") {
            Some(path) => (path.trim_ascii_start(), true),
            None => (line, false),
        };
        if line.is_empty() {
            continue;
        }
        if path.len() < 2 || path[0] != b'/' || path.contains(&0) {
            return Err(deb822::Error {
                line: at + 1,
                reason: deb822::Reason::Malformed("a conffile's path is not absolute or its flag is unknown"),
            });
        }
        conffiles.push(Conffile { path: path.to_vec(), remove_on_upgrade });
    }
    Ok(conffiles)
}

/// Lines without their newline; the last one may lack it.
fn lines(input: &[u8]) -> Result<Vec<&[u8]>, deb822::Error> {
    let body = input.strip_suffix(b"\n").unwrap_or(input);
    Ok(if body.is_empty() { Vec::new() } else { body.split(|byte| *byte == b'\n').collect() })
}

fn source(paragraph: &Paragraph<'_>, name: &str, version: &str) -> Result<(String, String), deb822::Error> {
    let Some(value) = paragraph.text("Source")? else { return Ok((name.to_owned(), version.to_owned())) };
    let (source, rest) = value.split_once(' ').unwrap_or((value, ""));
    let source_version = match rest.trim() {
        "" => version,
        rest => rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or_else(|| paragraph.malformed("Source"))?,
    };
    if is_package_name(source) && is_version(source_version) {
        Ok((source.to_owned(), source_version.to_owned()))
    } else {
        Err(paragraph.malformed("Source"))
    }
}

/// As dpkg: starts alphanumeric, then letters, digits and `-+._`; at most 255 bytes, as file names must hold it.
pub fn is_package_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-+._".contains(&byte);
    name.len() <= 255 && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric()) && name.bytes().all(plain)
}

/// Lower-case words joined by `-`.
pub fn is_architecture(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= 64 && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric()) && name.bytes().all(plain)
}

/// `[epoch:]upstream[-revision]` in dpkg's characters; epoch a number up to 2^31-1.
pub fn is_version(version: &str) -> bool {
    let (epoch, rest) = version.split_once(':').map_or(("0", version), |(epoch, rest)| (epoch, rest));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".+-~:".contains(&byte);
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
    let epoch_fits = !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit()) && epoch.parse::<i32>().is_ok();
    let starts = upstream.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    version.len() <= 255 && epoch_fits && starts && !revision.is_empty() && rest.bytes().all(plain) && !revision.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use deb822::{Error, Reason};

    fn control(extra: &str) -> Result<Control, Error> {
        Control::parse(format!("Package: a\nVersion: 1:2-3\nArchitecture: amd64\n{extra}").as_bytes())
    }

    #[test]
    fn reads_the_fields() {
        let plain = control("").unwrap();
        assert_eq!((plain.name.as_str(), plain.version.as_str(), plain.architecture.as_str()), ("a", "1:2-3", "amd64"));
        assert_eq!((plain.source.as_str(), plain.source_version.as_str(), plain.multi_arch), ("a", "1:2-3", MultiArch::No));
        let full = control("Source: b (9)\nMulti-Arch: same\nOrigin: X\nEssential: yes\n").unwrap();
        assert_eq!((full.source.as_str(), full.source_version.as_str(), full.multi_arch), ("b", "9", MultiArch::Same));
        assert_eq!((full.origin.as_deref(), full.essential), (Some("X"), true));
    }

    #[test]
    fn refuses_bad_fields() {
        let malformed = |what| Err(Error { line: 1, reason: Reason::Malformed(what) });
        assert_eq!(control("Multi-Arch: both\n"), malformed("Multi-Arch"));
        assert_eq!(control("Source: b 9\n"), malformed("Source"));
        assert_eq!(control("Source: b (x)\n"), malformed("Source"));
        for (name, version, architecture, what) in [
            ("../a", "1", "all", "Package"),
            ("a", "a1", "all", "Version"),
            ("a", "1", "AMD64", "Architecture"),
            ("a", "1 2", "all", "Version"),
        ] {
            let text = format!("Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n");
            assert_eq!(Control::parse(text.as_bytes()), malformed(what));
        }
        assert_eq!(Control::parse(b"Package: a\n"), Err(Error { line: 1, reason: Reason::Missing("Version") }));
    }

    #[test]
    fn knows_versions() {
        for good in ["1", "0:1", "1:2.4.47-2+b1", "2~rc1", "1-2-3", "1:2:3-4"] {
            assert!(is_version(good), "{good}");
        }
        for bad in ["", ":1", "a:1", "-1", "1-", "1_2", "99999999999:1", "1/2", "1:"] {
            assert!(!is_version(bad), "{bad}");
        }
    }

    #[test]
    fn reads_conffiles() {
        let parsed = parse_conffiles(b"/etc/a \nremove-on-upgrade /etc/b\n\n/etc/c d").unwrap();
        let flat: Vec<_> = parsed.iter().map(|c| (c.path.as_slice(), c.remove_on_upgrade)).collect();
        assert_eq!(flat, [(&b"/etc/a"[..], false), (b"/etc/b", true), (b"/etc/c d", false)]);
        for bad in [&b"etc/a\n"[..], b"/ok\nfrob /etc/a\n", b"/\n", b"/a\0\n"] {
            assert!(parse_conffiles(bad).is_err());
        }
        assert_eq!(parse_conffiles(b"").unwrap(), []);
    }
}

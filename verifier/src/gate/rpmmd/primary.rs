//! The list of packages of a repository (`primary.xml`): which digest a name and a version stand for.
//!
//! The package manager has verified it as far as it was told to. Read here is only what names packages and files; a list can be larger than the memory.

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};
use std::path::Path;

use tlog::Hash;

use super::Nevra;
use super::xml::{Tag, Tokens, malformed};

/// A package that a repository has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What it is.
    pub nevra: Nevra,
    /// Its digest, if the list has a SHA-256 of it.
    pub sha256: Option<Hash>,
    /// Where its file is, below the repository.
    pub location: String,
}

/// The packages of these names in a list, compressed as its name says.
///
/// # Errors
/// If it cannot be read, or anything in it could be understood in two ways.
pub fn read(path: &Path, names: &BTreeSet<&str>) -> io::Result<Vec<Listed>> {
    parse(super::open(path)?, names)
}

/// The same for a list as it is.
///
/// # Errors
/// See [`read`].
pub fn parse(list: impl Read, names: &BTreeSet<&str>) -> io::Result<Vec<Listed>> {
    let mut tokens = Tokens::new(BufReader::with_capacity(1 << 16, list));
    let (mut found, mut open): (Vec<Listed>, Option<Raw>) = (Vec::new(), None);
    while let Some(tag) = tokens.next()? {
        match (tag.name.as_str(), &mut open) {
            ("package", None) => open = Some(Raw::default()),
            ("/package", Some(raw)) => {
                let listed = std::mem::take(raw).listed().ok_or_else(|| malformed("a package is not described as it should be"))?;
                found.extend(names.contains(listed.nevra.name.as_str()).then_some(listed));
                open = None;
            }
            ("package" | "/package", _) => return Err(malformed("packages are nested")),
            (_, Some(raw)) => raw.take(&tag, tokens.text()?).ok_or_else(|| malformed("a package says something twice"))?,
            (_, None) => {}
        }
    }
    if open.is_some() { Err(malformed("it ends inside a package")) } else { Ok(found) }
}

/// What was read of a package.
#[derive(Default)]
struct Raw {
    name: Option<String>,
    arch: Option<String>,
    version: Option<(String, String, String)>,
    digest: Option<(bool, String)>,
    location: Option<String>,
}

impl Raw {
    /// Takes what a tag says, or the text before its end; `None` if that was said already.
    fn take(&mut self, tag: &Tag, text: String) -> Option<()> {
        let once = |place: &mut Option<String>, value: String| place.replace(value).is_none().then_some(());
        match tag.name.as_str() {
            "/name" => once(&mut self.name, text),
            "/arch" => once(&mut self.arch, text),
            "location" => once(&mut self.location, tag.attribute("href")?),
            "version" => {
                let version = (tag.attribute("epoch").unwrap_or_default(), tag.attribute("ver")?, tag.attribute("rel").unwrap_or_default());
                self.version.replace(version).is_none().then_some(())
            }
            "checksum" => self.digest.replace((tag.attribute("type")? == "sha256", String::new())).is_none().then_some(()),
            "/checksum" => {
                self.digest.as_mut()?.1 = text;
                Some(())
            }
            _ => Some(()),
        }
    }

    fn listed(self) -> Option<Listed> {
        let (epoch, version, release) = self.version?;
        let epoch = if epoch.is_empty() { 0 } else { epoch.parse().ok()? };
        let version = if release.is_empty() { version } else { format!("{version}-{release}") };
        let (is_sha256, digest) = self.digest?;
        let sha256 = if is_sha256 { Some(Hash::from_hex(digest.trim())?) } else { None };
        Some(Listed { nevra: Nevra { name: self.name?, epoch, version, architecture: self.arch? }, sha256, location: self.location? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- <package> -->
<metadata xmlns="http://linux.duke.edu/metadata/common" packages="2">
<package type="rpm"><name>a&amp;b</name><arch>noarch</arch><version epoch='0' ver="1" rel="2"/>
<checksum type="sha256" pkgid="YES">abababababababababababababababababababababababababababababababab</checksum>
<summary>x > y</summary><location href="x/a>b.rpm"/><format><rpm:provides><rpm:entry name="n" ver="1"/></rpm:provides></format></package>
<package type="rpm"><name>other</name><arch>noarch</arch><version epoch="7" ver="1" rel="2"/>
<checksum type="sha512" pkgid="YES">ab</checksum><location href="other.rpm"/></package>
</metadata>
"#;

    fn names(list: &str) -> Option<Vec<String>> {
        let found = parse(list.as_bytes(), &BTreeSet::from(["a&b", "other"])).ok()?;
        Some(found.iter().map(|listed| format!("{} {} {}", listed.nevra.identity(), listed.location, listed.sha256.is_some())).collect())
    }

    #[test]
    fn packages_are_found_by_name() {
        assert_eq!(names(LIST).unwrap(), ["a&b 1-2 noarch x/a>b.rpm true", "other 7:1-2 noarch other.rpm false"]);
        assert_eq!(parse(LIST.as_bytes(), &BTreeSet::from(["none"])).unwrap(), []);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (from, to) in [
            ("<arch>noarch</arch>", "<arch>noarch</arch><arch>i586</arch>"),
            ("<name>other", "<name>n</name><name>other"),
            ("<arch>noarch</arch>", ""),
            ("epoch='0'", "epoch='x'"),
            ("ver=\"1\" rel", "ver=\"1\" ver=\"2\" rel"),
            ("abab", "abax"),
            ("<summary>", "<package><summary>"),
            ("a&amp;b", "a&unknown;b"),
            ("<summary>x", "<summary><![CDATA[</summary>]]>x"),
            ("<!-- <package> -->", "<!DOCTYPE metadata [<!ENTITY e \"x\">]>"),
            ("</package>\n</metadata>\n", ""),
            // Inside quotes, or a comment, to the very end.
            ("<location href=\"other.rpm\"", "<location href=\"other.rpm"),
            ("</metadata>\n", "<!-- </metadata>"),
        ] {
            assert_eq!(names(&LIST.replacen(from, to, 1)), None, "{to}");
        }
    }
}

//! The list of packages of a repository (`primary.xml`): which digest a name and a version stand for.
//!
//! libzypp has verified it as far as it was told to. Read here is only what names packages and files; a list can be larger than the memory.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use package::compression::{Compression, Decoder};
use tlog::Hash;

use super::Step;

/// A package that a repository has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What it is.
    pub step: Step,
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
    let extension = path.extension().and_then(|extension| extension.to_str()).filter(|extension| *extension != "xml").unwrap_or_default();
    let compression = Compression::from_extension(extension).ok_or_else(|| io::Error::other("compressed in a way that is not read"))?;
    parse(Decoder::new(compression, File::open(path)?, MAX_LIST)?, names)
}

/// The same for a list as it is.
///
/// # Errors
/// See [`read`].
pub fn parse(list: impl Read, names: &BTreeSet<&str>) -> io::Result<Vec<Listed>> {
    let mut tokens = Tokens { input: BufReader::with_capacity(1 << 16, list), text: Vec::new() };
    let (mut found, mut open): (Vec<Listed>, Option<Raw>) = (Vec::new(), None);
    while let Some(tag) = tokens.next()? {
        match (tag.name.as_str(), &mut open) {
            ("package", None) => open = Some(Raw::default()),
            ("/package", Some(raw)) => {
                let listed = std::mem::take(raw).listed().ok_or_else(|| malformed("a package is not described as it should be"))?;
                found.extend(names.contains(listed.step.name.as_str()).then_some(listed));
                open = None;
            }
            ("package" | "/package", _) => return Err(malformed("packages are nested")),
            (_, Some(raw)) => raw.take(&tag, tokens.text()?).ok_or_else(|| malformed("a package says something twice"))?,
            (_, None) => {}
        }
    }
    if open.is_some() { Err(malformed("it ends inside a package")) } else { Ok(found) }
}

fn malformed(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
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
        Some(Listed { step: Step { name: self.name?, epoch, version, architecture: self.arch? }, sha256, location: self.location? })
    }
}

/// A tag: its name, with `/` before that of an end, and its attributes as they are written.
struct Tag {
    name: String,
    attributes: String,
}

impl Tag {
    fn parse(tag: &str) -> Option<Self> {
        let tag = tag.strip_suffix('/').unwrap_or(tag);
        let end = tag.find(|letter: char| letter.is_ascii_whitespace()).unwrap_or(tag.len());
        let (name, attributes) = tag.split_at(end);
        (!name.is_empty()).then(|| Self { name: name.to_owned(), attributes: attributes.to_owned() })
    }

    /// The value of an attribute that stands there once.
    fn attribute(&self, name: &str) -> Option<String> {
        let mut rest = self.attributes.trim_start();
        let mut found = None;
        while let Some((key, after)) = rest.split_once('=') {
            let after = after.trim_start();
            let quote = after.chars().next().filter(|quote| ['"', '\''].contains(quote))?;
            let (value, more) = after[1..].split_once(quote)?;
            if key.trim() == name && found.replace(plain(value)?).is_some() {
                return None;
            }
            rest = more.trim_start();
        }
        found
    }
}

/// Tags, one after the other, and the text before each.
struct Tokens<R> {
    input: R,
    text: Vec<u8>,
}

impl<R: BufRead> Tokens<R> {
    /// The next tag; comments and declarations are passed over.
    fn next(&mut self) -> io::Result<Option<Tag>> {
        loop {
            self.text.clear();
            self.until(b'<')?;
            if self.text.pop() != Some(b'<') {
                return Ok(None);
            }
            let text = std::mem::take(&mut self.text);
            let tag = self.tag()?;
            self.text = text;
            if !tag.starts_with(['?', '!']) {
                return Tag::parse(&tag).map(Some).ok_or_else(|| malformed("a tag has no name"));
            }
        }
    }

    /// The rest of a tag up to its `>`, which is not one inside quotes.
    fn tag(&mut self) -> io::Result<String> {
        self.text.clear();
        loop {
            self.until(b'>')?;
            if self.text.last() != Some(&b'>') {
                return Err(malformed("it ends inside a tag"));
            }
            let whole = match self.text.starts_with(b"!--") {
                true => self.text.ends_with(b"-->") && self.text.len() >= 6,
                false => quotes_are_closed(&self.text),
            };
            // What hides text or changes what names stand for is no part of such a list.
            if self.text.starts_with(b"![") || self.text.starts_with(b"!DOCTYPE") {
                return Err(malformed("it has sections or a document type"));
            }
            if whole {
                self.text.pop();
                return String::from_utf8(std::mem::take(&mut self.text)).map_err(|_| malformed("it is not UTF-8"));
            }
        }
    }

    fn until(&mut self, end: u8) -> io::Result<()> {
        let left = (MAX_TOKEN + 1).saturating_sub(self.text.len() as u64);
        self.input.by_ref().take(left).read_until(end, &mut self.text)?;
        if self.text.len() as u64 > MAX_TOKEN { Err(malformed("a text is too long")) } else { Ok(()) }
    }

    fn text(&self) -> io::Result<String> {
        let text = std::str::from_utf8(&self.text).map_err(|_| malformed("it is not UTF-8"))?;
        plain(text).ok_or_else(|| malformed("a text has unknown entities"))
    }
}

fn quotes_are_closed(tag: &[u8]) -> bool {
    let open = tag.iter().fold(None, |open, byte| match (open, byte) {
        (None, b'"' | b'\'') => Some(*byte),
        (Some(quote), byte) if quote == *byte => None,
        (open, _) => open,
    });
    open.is_none()
}

/// Text with its entities resolved.
fn plain(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        let (entity, more) = after.split_once(';')?;
        plain.push_str(before);
        plain.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = entity.strip_prefix('#')?;
                let number = number.strip_prefix('x').map_or_else(|| number.parse(), |hex| u32::from_str_radix(hex, 16)).ok()?;
                char::from_u32(number)?
            }
        });
        rest = more;
    }
    plain.push_str(rest);
    Some(plain)
}

const MAX_LIST: u64 = 8 << 30;
const MAX_TOKEN: u64 = 16 << 20;

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
        Some(found.iter().map(|listed| format!("{} {} {}", listed.step.identity(), listed.location, listed.sha256.is_some())).collect())
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
        ] {
            assert_eq!(names(&LIST.replacen(from, to, 1)), None, "{to}");
        }
    }
}

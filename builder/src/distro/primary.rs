//! The XML of rpm-md repositories, pure (`specs/foreign.md`, section 2).

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use tlog::Hash;

/// The primary index as repomd.xml names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Primary {
    /// Path below the repository.
    pub href: String,
    /// SHA-256 of the file as it is served.
    pub sha256: Hash,
    /// Its bytes, where they are said.
    pub size: Option<u64>,
    /// When it was made, in POSIX seconds, where that is said.
    pub time: Option<u64>,
}

/// Reads repomd.xml: which file is the primary index.
///
/// # Errors
/// Why it is none, in words.
pub fn parse_repomd(text: &[u8]) -> Result<Primary, String> {
    let mut found: Option<Primary> = None;
    let mut fields = Fields::default();
    let mut inside = false;
    each(text, &mut |path, event| {
        match (path, event) {
            (["repomd", "data"], Part::Start(start)) => {
                inside = attribute(start, "type")?.as_deref() == Some("primary");
                fields = Fields::default();
            }
            (["repomd", "data", "checksum"], Part::Start(start)) if inside => fields.kind = attribute(start, "type")?,
            (["repomd", "data", "location"], Part::Start(start)) if inside => fields.href = attribute(start, "href")?,
            (["repomd", "data", "checksum"], Part::Text(text)) if inside => fields.checksum = Some(text.to_owned()),
            (["repomd", "data", "size"], Part::Text(text)) if inside => fields.size = Some(text.to_owned()),
            (["repomd", "data", "timestamp"], Part::Text(text)) if inside => fields.time = Some(text.to_owned()),
            (["repomd", "data"], Part::End) if inside => {
                let size = fields.size.take().map(|size| size.parse().map_err(|_| "a size that is no number")).transpose()?;
                // Older tools write fractions of seconds.
                let time = fields.time.take().and_then(|time| time.split('.').next()?.parse().ok());
                let primary = Primary { href: fields.href()?, sha256: fields.sha256()?, size, time };
                if found.replace(primary).is_some() {
                    return Err("two primary indexes".to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    found.ok_or_else(|| "no primary index".to_owned())
}

/// One package of a primary index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// `version-release`.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// Its epoch.
    pub epoch: u32,
    /// Bytes of the file.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: Hash,
    /// Its path below the repository.
    pub href: String,
}

/// Reads a primary index; source packages are passed over.
///
/// # Errors
/// Why it is none, in words.
pub fn parse_primary(text: &[u8]) -> Result<Vec<Package>, String> {
    let mut packages = Vec::new();
    let mut fields = Fields::default();
    each(text, &mut |path, event| {
        let ["metadata", "package", rest @ ..] = path else { return Ok(()) };
        match (rest, event) {
            ([], Part::Start(start)) => {
                fields = Fields::default();
                if attribute(start, "type")?.as_deref() != Some("rpm") {
                    return Err("a package that is no rpm".to_owned());
                }
            }
            (["name"], Part::Text(text)) => fields.name = Some(text.to_owned()),
            (["arch"], Part::Text(text)) => fields.arch = Some(text.to_owned()),
            (["version"], Part::Start(start)) => {
                fields.version = attribute(start, "ver")?.zip(attribute(start, "rel")?).map(|(ver, rel)| format!("{ver}-{rel}"));
                fields.epoch = attribute(start, "epoch")?;
            }
            (["checksum"], Part::Start(start)) => fields.kind = attribute(start, "type")?,
            (["checksum"], Part::Text(text)) => fields.checksum = Some(text.to_owned()),
            (["size"], Part::Start(start)) => fields.size = attribute(start, "package")?,
            (["location"], Part::Start(start)) => {
                if attribute(start, "xml:base")?.is_some() {
                    return Err("a package of another repository (xml:base)".to_owned());
                }
                fields.href = attribute(start, "href")?;
            }
            ([], Part::End) => packages.extend(fields.package()?),
            _ => {}
        }
        if packages.len() > MAX_PACKAGES { Err("too many packages".to_owned()) } else { Ok(()) }
    })?;
    Ok(packages)
}

/// What is gathered of one element's children.
#[derive(Default)]
struct Fields {
    name: Option<String>,
    arch: Option<String>,
    version: Option<String>,
    epoch: Option<String>,
    kind: Option<String>,
    checksum: Option<String>,
    size: Option<String>,
    href: Option<String>,
    time: Option<String>,
}

impl Fields {
    fn package(&mut self) -> Result<Option<Package>, String> {
        let architecture = word(self.arch.take(), "an architecture")?;
        if matches!(architecture.as_str(), "src" | "nosrc") {
            return Ok(None);
        }
        let number =
            |text: Option<String>, what: &str| text.unwrap_or_default().parse::<u64>().map_err(|_| format!("{what} that is no number"));
        let epoch = u32::try_from(number(self.epoch.take().or(Some("0".to_owned())), "an epoch")?).map_err(|_| "an epoch too large")?;
        Ok(Some(Package {
            name: word(self.name.take(), "a name")?,
            version: word(self.version.take(), "a version")?,
            architecture,
            epoch,
            size: number(self.size.take(), "a size")?,
            sha256: self.sha256()?,
            href: self.href()?,
        }))
    }

    fn sha256(&mut self) -> Result<Hash, String> {
        if self.kind.take().as_deref() != Some("sha256") {
            return Err("a checksum other than sha256".to_owned());
        }
        self.checksum.take().and_then(|text| Hash::from_hex(&text)).ok_or_else(|| "a checksum that is none".to_owned())
    }

    /// Below the repository, without steps upward.
    fn href(&mut self) -> Result<String, String> {
        let href = word(self.href.take(), "a location")?;
        let is_below = href.split('/').all(|part| !matches!(part, "" | "." | "..")) && !href.contains([':', '?', '#', '%', '\\']);
        if is_below { Ok(href) } else { Err(format!("the location {href} leads elsewhere")) }
    }
}

fn word(text: Option<String>, what: &str) -> Result<String, String> {
    text.filter(|text| is_word(text)).ok_or_else(|| format!("{what} is missing or malformed"))
}

/// What is at a path of element names.
enum Part<'a, 'b> {
    Start(&'b BytesStart<'a>),
    Text(&'b str),
    End,
}

/// Is told the names of the elements around each part; an error of its own ends the reading.
type Visitor<'a> = dyn FnMut(&[&str], Part<'_, '_>) -> Result<(), String> + 'a;

/// Calls the visitor for everything, with the names of the elements around it. Texts come whole. Document types are refused, and entities inside
/// of texts that the visitor is given.
fn each(text: &[u8], visitor: &mut Visitor<'_>) -> Result<(), String> {
    let text = std::str::from_utf8(text).map_err(|_| "not UTF-8")?;
    let mut reader = Reader::from_str(text);
    let mut open: Vec<String> = Vec::new();
    let (mut inner, mut roots) = (String::new(), 0);
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        let path: Vec<&str> = open.iter().map(String::as_str).collect();
        match event {
            Event::Start(start) => {
                roots += usize::from(open.is_empty());
                open.push(start.name().as_ref().to_owned());
                inner.clear();
                visitor(&open.iter().map(String::as_str).collect::<Vec<_>>(), Part::Start(&start))?;
            }
            Event::Empty(start) => {
                let name = start.name();
                let path: Vec<&str> = path.into_iter().chain([name.as_ref()]).collect();
                visitor(&path, Part::Start(&start))?;
                visitor(&path, Part::End)?;
            }
            Event::Text(part) => inner.push_str(&part.xml_content(XmlVersion::Implicit1_0)),
            // Kept as what no word has in it, so that a word with an entity is malformed.
            Event::GeneralRef(_) | Event::CData(_) => inner.push('\u{fffd}'),
            Event::End(_) => {
                visitor(&path, Part::Text(inner.trim()))?;
                visitor(&path, Part::End)?;
                open.pop();
                inner.clear();
            }
            Event::DocType(_) => return Err("a document type".to_owned()),
            Event::Eof if open.is_empty() && roots == 1 => return Ok(()),
            Event::Eof => return Err("it ends in the middle".to_owned()),
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
        }
        if open.len() > MAX_DEPTH || inner.len() > MAX_INNER {
            return Err("too deep, or a text too long".to_owned());
        }
    }
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Result<Option<String>, String> {
    let mut found = None;
    for attribute in start.attributes() {
        // Also finds an attribute that stands twice.
        let attribute = attribute.map_err(|error| error.to_string())?;
        if attribute.key.as_ref() == name {
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| error.to_string())?;
            found = Some(value.into_owned());
        }
    }
    Ok(found)
}

/// A word that can stand in a package URL's place and in a message.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

const MAX_PACKAGES: usize = 1_000_000;
const MAX_DEPTH: usize = 32;
const MAX_INNER: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const REPOMD: &str = "<?xml version=\"1.0\"?>\n<repomd xmlns=\"x\"><revision>1</revision><data type=\"filelists\"><location href=\"f\"/></data>\
         <data type=\"primary\"><checksum type=\"sha256\">e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855</checksum>\
         <location href=\"repodata/primary.xml.gz\"/><size>0</size></data></repomd>\n";
    const PRIMARY: &str = "<metadata packages=\"1\"><package type=\"rpm\"><name>x</name><arch>noarch</arch><version epoch=\"2\" ver=\"1.0\" rel=\"3.fc40\"/>\
         <checksum type=\"sha256\" pkgid=\"YES\">e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855</checksum>\
         <description>a &amp; b <![CDATA[<c>]]></description><size package=\"7\" installed=\"1\" archive=\"2\"/><location href=\"p/x.rpm\"/>\
         <format><rpm:entry name=\"z\"/></format></package></metadata>";

    #[test]
    fn indexes_say_what_they_name() {
        let primary = parse_repomd(REPOMD.as_bytes()).unwrap();
        assert_eq!((primary.href.as_str(), primary.sha256, primary.size), ("repodata/primary.xml.gz", Hash::EMPTY, Some(0)));
        let packages = parse_primary(PRIMARY.as_bytes()).unwrap();
        let package = &packages[0];
        assert_eq!(
            (packages.len(), package.name.as_str(), package.version.as_str(), package.epoch, package.size),
            (1, "x", "1.0-3.fc40", 2, 7)
        );
        assert_eq!((package.architecture.as_str(), package.href.as_str(), package.sha256), ("noarch", "p/x.rpm", Hash::EMPTY));
        assert_eq!(parse_primary(PRIMARY.replace("noarch", "src").as_bytes()), Ok(Vec::new()));
    }

    #[test]
    fn everything_else_is_refused() {
        let repomd = |old: &str, new: &str| parse_repomd(REPOMD.replacen(old, new, 1).as_bytes()).unwrap_err();
        assert_eq!(repomd("type=\"primary\"", "type=\"other\""), "no primary index");
        assert_eq!(repomd("type=\"sha256\"", "type=\"sha\""), "a checksum other than sha256");
        assert_eq!(repomd("e3b0c4", "E3b0c4"), "a checksum that is none");
        assert_eq!(repomd("repodata/primary", "../primary"), "the location ../primary.xml.gz leads elsewhere");
        assert_eq!(repomd("repodata/primary", "/primary"), "the location /primary.xml.gz leads elsewhere");
        assert_eq!(repomd("<size>0", "<size>x"), "a size that is no number");
        assert_eq!(repomd("<repomd", "<!DOCTYPE x [<!ENTITY e 'x'>]><repomd"), "a document type");
        assert_eq!(repomd("</repomd>", ""), "it ends in the middle");
        let again = REPOMD.replace(
            "</repomd>",
            &format!("{}</repomd>", &REPOMD[REPOMD.find("<data type=\"primary").unwrap()..REPOMD.find("</repomd>").unwrap()]),
        );
        assert_eq!(parse_repomd(again.as_bytes()).unwrap_err(), "two primary indexes");
        let primary = |old: &str, new: &str| parse_primary(PRIMARY.replacen(old, new, 1).as_bytes()).unwrap_err();
        assert_eq!(primary("<name>x<", "<name>x y<"), "a name is missing or malformed");
        assert_eq!(primary("<name>x<", "<name>x&amp;y<"), "a name is missing or malformed");
        assert_eq!(primary("epoch=\"2\"", "epoch=\"x\""), "an epoch that is no number");
        assert_eq!(primary("ver=\"1.0\" ", ""), "a version is missing or malformed");
        assert_eq!(primary("package=\"7\"", ""), "a size that is no number");
        assert_eq!(primary("type=\"rpm\"", "type=\"deb\""), "a package that is no rpm");
        assert_eq!(primary("<location ", "<location xml:base=\"http://b\" "), "a package of another repository (xml:base)");
        assert!(parse_primary(&PRIMARY.as_bytes()[..PRIMARY.len() - 5]).is_err());
        assert_eq!(parse_primary(b"\xff").unwrap_err(), "not UTF-8");
    }
}

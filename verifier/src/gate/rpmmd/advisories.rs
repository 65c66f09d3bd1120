//! A repository's advisories (`updateinfo.xml`): which of its packages are security updates.

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};

use super::Nevra;
use super::xml::{Tag, Tokens, malformed};

/// The packages of these names that an advisory of the type `security` brings.
///
/// # Errors
/// If it cannot be read, or anything in it could be understood in two ways.
pub fn parse(list: impl Read, names: &BTreeSet<&str>) -> io::Result<BTreeSet<Nevra>> {
    let mut tokens = Tokens::new(BufReader::with_capacity(1 << 16, list));
    let (mut found, mut is_security) = (BTreeSet::new(), None);
    while let Some(tag) = tokens.next()? {
        match (tag.name.as_str(), is_security) {
            ("update", None) => is_security = Some(tag.attribute("type").as_deref() == Some("security")),
            ("/update", Some(_)) => is_security = None,
            ("update" | "/update", _) => return Err(malformed("advisories are nested")),
            ("package", Some(true)) => {
                let nevra = named(&tag).ok_or_else(|| malformed("a package is not described as it should be"))?;
                found.extend(names.contains(nevra.name.as_str()).then_some(nevra));
            }
            _ => {}
        }
    }
    if is_security.is_some() { Err(malformed("it ends inside an advisory")) } else { Ok(found) }
}

fn named(tag: &Tag) -> Option<Nevra> {
    let epoch = tag.attribute("epoch").filter(|epoch| !epoch.is_empty()).map_or(Some(0), |epoch| epoch.parse().ok())?;
    let version = format!("{}-{}", tag.attribute("version")?, tag.attribute("release")?);
    Some(Nevra { name: tag.attribute("name")?, epoch, version, architecture: tag.attribute("arch")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"<?xml version="1.0"?><updates>
<update from="x" type="security"><title>a &gt; b</title><pkglist><collection><name>F</name>
<package name="a" version="1" release="2" epoch="3" arch="noarch" src="x"><filename>a.rpm</filename></package>
<package name="other" version="1" release="2" epoch="0" arch="noarch"/></collection></pkglist></update>
<update type="bugfix"><pkglist><collection><package name="b" version="1" release="2" epoch="0" arch="noarch"/></collection></pkglist></update></updates>"#;

    fn found(list: &str) -> Option<Vec<String>> {
        let found = parse(list.as_bytes(), &BTreeSet::from(["a", "b"])).ok()?;
        Some(found.iter().map(Nevra::identity).collect())
    }

    #[test]
    fn security_updates_are_found() {
        assert_eq!(found(LIST).unwrap(), ["a 3:1-2 noarch"]);
        assert_eq!(found(&LIST.replace("bugfix", "security")).unwrap(), ["a 3:1-2 noarch", "b 1-2 noarch"]);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (from, to) in [
            ("epoch=\"3\"", "epoch=\"x\""),
            ("name=\"a\"", "name=\"a\" name=\"b\""),
            ("<title>", "<update type=\"bugfix\"><title>"),
            ("</pkglist></update></updates>", "</pkglist>"),
            ("release=\"2\" epoch=\"3\"", "epoch=\"3\""),
        ] {
            assert_eq!(found(&LIST.replacen(from, to, 1)), None, "{to}");
        }
    }
}

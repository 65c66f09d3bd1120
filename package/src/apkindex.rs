//! The index of an Alpine repository, `APKINDEX.tar.gz` (`specs/apk.md`, section 3): a gzip member with signatures, one with the index.
//!
//! In scope: which bytes are signed, and what they list. Out of scope: whether a signature holds.

use crate::deb::{self, Limits};
use crate::hashing::Bounded;
use crate::tar::{Reader, TarLimits};
use crate::tarball::{self, Identity, Refusal};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::bufread::GzDecoder;
use std::cell::Cell;
use std::io::Read as _;

/// An index as it was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApkIndex<'a> {
    /// What stands in front.
    pub signatures: Vec<Signature>,
    /// The bytes that they are over.
    pub signed: &'a [u8],
    /// What the index says of itself: for Alpine's own, where in the history of its branch it was made.
    pub description: Option<Vec<u8>>,
    /// Everything that is listed, in order.
    pub packages: Vec<Listed>,
}

/// A signature by RSA, with the padding of PKCS #1 version 1.5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Over SHA-256 and not SHA-1.
    pub is_sha256: bool,
    /// The key's file, as the signer calls it.
    pub key: String,
    /// The signature.
    pub bytes: Vec<u8>,
}

/// A package as an index lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name, version and architecture.
    pub identity: Identity,
    /// Bytes of the file.
    pub size: u64,
    /// SHA-1 of its compressed control member.
    pub control_sha1: [u8; 20],
}

/// Reads an index. Without signatures it is one member.
pub fn read<'a>(bytes: &'a [u8], limits: &Limits) -> Result<ApkIndex<'a>, Refusal> {
    let (first, rest) = member(bytes, limits)?;
    let (signatures, signed, files) = if first.iter().all(|(name, _)| name.starts_with(".SIGN.")) && !first.is_empty() {
        (first.into_iter().map(signature).collect::<Result<_, _>>()?, rest, member(rest, limits)?)
    } else {
        (Vec::new(), bytes, (first, rest))
    };
    let (files, rest) = files;
    if !rest.is_empty() {
        return Err(deb::Refusal::AfterStream.into());
    }
    let mut index = files.iter().filter(|(name, _)| name == "APKINDEX");
    let (Some((_, text)), None) = (index.next(), index.next()) else { return Err(Refusal::Missing("APKINDEX")) };
    let mut others = files.iter().filter(|(name, _)| name != "APKINDEX");
    let description = others.next();
    let unexpected = description.filter(|(name, _)| name != "DESCRIPTION").or_else(|| others.next());
    if let Some((name, _)) = unexpected {
        return Err(Refusal::Unexpected(name.clone().into_bytes()));
    }
    let description = description.map(|(_, text)| text.clone());
    Ok(ApkIndex { signatures, signed, description, packages: parse(text)? })
}

/// A file's name and bytes.
type NamedFile = (String, Vec<u8>);

/// The small files of one member, and what follows it.
fn member<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Vec<NamedFile>, &'a [u8]), Refusal> {
    // All of the compressed input is here.
    let count = Cell::new(bytes.len() as u64);
    let mut rest = bytes;
    let mut files = Vec::new();
    {
        let mut bounded = Bounded::new(GzDecoder::new(&mut rest).take(limits.control), &count, limits.ratio);
        // The first archive has no end of its own.
        let end = std::io::Cursor::new([0; 1024]);
        let tar_limits = TarLimits { entries: 100, path: limits.path, expanded: limits.control, passed_over: &[] };
        let mut tar = Reader::new((&mut bounded).chain(end), tar_limits);
        while let Some(entry) = tar.next_entry()? {
            let name = String::from_utf8(entry.path.clone()).map_err(|_| Refusal::Unexpected(entry.path.clone()))?;
            files.push((name, tarball::small(&mut tar, &entry, limits.control)?));
        }
        tarball::drain(&mut bounded)?;
    }
    Ok((files, rest))
}

fn signature((name, bytes): (String, Vec<u8>)) -> Result<Signature, Refusal> {
    let kinds = [(".SIGN.RSA256.", true), (".SIGN.RSA.", false)];
    let found = kinds.iter().find_map(|(prefix, is_sha256)| Some((name.strip_prefix(prefix)?, *is_sha256)));
    let (key, is_sha256) = found.ok_or_else(|| Refusal::Unexpected(name.clone().into_bytes()))?;
    Ok(Signature { is_sha256, key: key.to_owned(), bytes })
}

/// Paragraphs of `K:value`, with an empty line between them.
fn parse(text: &[u8]) -> Result<Vec<Listed>, Refusal> {
    let text = std::str::from_utf8(text).map_err(|_| Refusal::Index(0, "not UTF-8"))?;
    let (mut packages, mut fields) = (Vec::new(), Fields::default());
    for (number, line) in (1..).zip(text.lines().chain([""])) {
        let Some((key, value)) = line.split_once(':') else {
            if !line.is_empty() {
                return Err(Refusal::Index(number, "not \"K:value\""));
            }
            packages.extend(std::mem::take(&mut fields).package().map_err(|why| Refusal::Index(number, why))?);
            continue;
        };
        let field = match key {
            "P" => &mut fields.name,
            "V" => &mut fields.version,
            "A" => &mut fields.architecture,
            "S" => &mut fields.size,
            "C" => &mut fields.checksum,
            _ => continue,
        };
        if field.replace(value).is_some() {
            return Err(Refusal::Index(number, "a field twice"));
        }
    }
    Ok(packages)
}

#[derive(Default)]
struct Fields<'a> {
    name: Option<&'a str>,
    version: Option<&'a str>,
    architecture: Option<&'a str>,
    size: Option<&'a str>,
    checksum: Option<&'a str>,
}

impl Fields<'_> {
    /// `None` for a paragraph without any of the fields: an empty one.
    fn package(self) -> Result<Option<Listed>, &'static str> {
        if [self.name, self.version, self.architecture, self.size, self.checksum] == [None; 5] {
            return Ok(None);
        }
        let word = |value: Option<&str>, why| {
            let plain = |text: &&str| {
                !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/') && !text.starts_with('.')
            };
            value.filter(plain).map(str::to_owned).ok_or(why)
        };
        let identity = Identity {
            name: word(self.name, "no name, or a malformed one")?,
            version: word(self.version, "no version, or a malformed one")?,
            architecture: word(self.architecture, "no architecture, or a malformed one")?,
        };
        let size = self.size.and_then(|size| size.parse().ok()).ok_or("no size, or a malformed one")?;
        let checksum = self.checksum.and_then(|checksum| checksum.strip_prefix("Q1"));
        let checksum = checksum.and_then(|text| STANDARD.decode(text).ok()).and_then(|bytes| bytes.try_into().ok());
        Ok(Some(Listed { identity, size, control_sha1: checksum.ok_or("no checksum of the kind Q1, or a malformed one")? }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    const TEXT: &str = "C:Q1AAECAwQFBgcICQoLDA0ODxAREhM=\nP:sample\nV:1.0-r2\nA:x86_64\nS:1234\nI:1\nT:some words: here\n\nC:Q1AAECAwQFBgcICQoLDA0ODxAREhM=\nP:other\nV:2\nA:noarch\nS:7\n\n";

    /// One member: files at the top of an archive, with an end or without.
    fn member_of(files: &[(&str, &[u8])], end: usize) -> Vec<u8> {
        let mut tar = Vec::new();
        for (name, content) in files {
            let mut header = [0; 512];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[100..108].copy_from_slice(b"0000644\0");
            header[108..116].copy_from_slice(b"0000000\0");
            header[116..124].copy_from_slice(b"0000000\0");
            header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
            header[136..148].copy_from_slice(b"00000000000\0");
            header[148..156].copy_from_slice(b"        ");
            header[156] = b'0';
            header[257..265].copy_from_slice(b"ustar\x0000");
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            tar.extend(header);
            tar.extend(*content);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.resize(tar.len() + end, 0);
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&tar).unwrap();
        encoder.finish().unwrap()
    }

    fn index(text: &str) -> Vec<u8> {
        member_of(&[("DESCRIPTION", b"v3.20"), ("APKINDEX", text.as_bytes())], 1024)
    }

    #[test]
    fn an_index_is_split_and_read() {
        let signatures = member_of(&[(".SIGN.RSA.a.rsa.pub", b"one"), (".SIGN.RSA256.b.rsa.pub", b"two")], 0);
        let bytes = [signatures, index(TEXT)].concat();
        let found = read(&bytes, &Limits::default()).unwrap();
        assert_eq!((found.signed, found.description.as_deref()), (&index(TEXT)[..], Some(&b"v3.20"[..])));
        let kinds: Vec<(bool, &str, &[u8])> =
            found.signatures.iter().map(|found| (found.is_sha256, found.key.as_str(), found.bytes.as_slice())).collect();
        assert_eq!(kinds, [(false, "a.rsa.pub", &b"one"[..]), (true, "b.rsa.pub", b"two")]);
        let named: Vec<(String, u64)> = found.packages.iter().map(|found| (found.identity.to_string(), found.size)).collect();
        assert_eq!(named, [("sample 1.0-r2 x86_64".to_owned(), 1234), ("other 2 noarch".to_owned(), 7)]);
        assert_eq!(found.packages[0].control_sha1[..4], [0, 1, 2, 3]);
        let unsigned = index(TEXT.trim_end_matches('\n'));
        let found = read(&unsigned, &Limits::default()).unwrap();
        assert_eq!((found.signatures.len(), found.signed, found.packages.len()), (0, &unsigned[..], 2));
    }

    #[test]
    fn everything_else_is_refused() {
        let refused = |bytes: &[u8]| read(bytes, &Limits::default()).unwrap_err().to_string();
        let text = |old: &str, new: &str| refused(&index(&TEXT.replacen(old, new, 1)));
        assert_eq!(text("P:sample\n", ""), "APKINDEX, line 7: no name, or a malformed one");
        assert_eq!(text("P:sample", "P:../x"), "APKINDEX, line 8: no name, or a malformed one");
        assert_eq!(text("V:1.0-r2\n", "V:\n"), "APKINDEX, line 8: no version, or a malformed one");
        assert_eq!(text("A:x86_64\n", "A:x y\n"), "APKINDEX, line 8: no architecture, or a malformed one");
        assert_eq!(text("S:1234", "S:-1"), "APKINDEX, line 8: no size, or a malformed one");
        assert_eq!(text("Q1AA", "Q2AA"), "APKINDEX, line 8: no checksum of the kind Q1, or a malformed one");
        assert_eq!(text("Q1AAEC", "Q1EC"), "APKINDEX, line 8: no checksum of the kind Q1, or a malformed one");
        assert_eq!(text("I:1", "P:again"), "APKINDEX, line 6: a field twice");
        assert_eq!(text("I:1", "nothing"), "APKINDEX, line 6: not \"K:value\"");
        assert_eq!(refused(&member_of(&[("APKINDEX", b"P:\xff\n")], 0)), "APKINDEX: not UTF-8");
        assert_eq!(refused(&member_of(&[("DESCRIPTION", b"x")], 0)), "no APKINDEX");
        assert!(refused(&member_of(&[("APKINDEX", b""), ("more", b"")], 0)).starts_with("more: "));
        assert_eq!(refused(&member_of(&[("APKINDEX", b""), ("APKINDEX", b"")], 0)), "no APKINDEX");
        let twice = [("DESCRIPTION", &b"v3.20"[..]), ("APKINDEX", b""), ("DESCRIPTION", b"v3.19")];
        assert!(refused(&member_of(&twice, 0)).starts_with("DESCRIPTION: "));
        assert_eq!(read(&member_of(&[("APKINDEX", b"")], 0), &Limits::default()).unwrap().description, None);
        let odd = [member_of(&[(".SIGN.DSA.x", b"")], 0), index(TEXT)].concat();
        assert!(refused(&odd).starts_with(".SIGN.DSA.x: "));
        assert!(refused(&[index(TEXT), index(TEXT)].concat()).contains("follow"));
        for cut in (0..index(TEXT).len()).step_by(5) {
            assert!(read(&index(TEXT)[..cut], &Limits::default()).is_err(), "cut at {cut}");
        }
        let limits = Limits { control: 100, ..Limits::default() };
        assert!(read(&index(TEXT), &limits).is_err());
    }
}

//! pacman's databases of what its repositories have: names, files and their digests.
//!
//! pacman has got them from the repository, and has verified them if it was told to; here they only say which file a name stands for.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use package::compression::{Compression, Decoder};
use package::tar::{Kind, Reader, TarLimits};
use package::tarball::Identity;
use tlog::Hash;

/// A package that a repository has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What it is.
    pub identity: Identity,
    /// The name of its file.
    pub file: String,
    /// Its digest.
    pub sha256: Hash,
}

/// Reads a database, however it is compressed.
///
/// # Errors
/// If it cannot be read, or anything in it is not as it should be.
pub fn read(path: &Path) -> io::Result<Vec<Listed>> {
    let mut file = File::open(path)?;
    let mut magic = Vec::new();
    file.by_ref().take(6).read_to_end(&mut magic)?;
    parse(io::Cursor::new(magic.clone()).chain(file), &magic)
}

/// The same for a stream that begins with these bytes.
///
/// # Errors
/// See [`read`].
pub fn parse(stream: impl Read, magic: &[u8]) -> io::Result<Vec<Listed>> {
    let compression = match magic {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        [0x1f, 0x8b, ..] => Compression::Gzip,
        _ => Compression::None,
    };
    let mut tar = Reader::new(Decoder::new(compression, stream, MAX_INDEX)?, LIMITS);
    let mut listed = Vec::new();
    while let Some(entry) = tar.next_entry().map_err(refused)? {
        let is_desc = entry.kind == Kind::File && entry.path.rsplit(|byte| *byte == b'/').next() == Some(b"desc");
        if !is_desc {
            continue;
        }
        if entry.size > MAX_DESC {
            return Err(io::Error::other("an entry is too large"));
        }
        let mut text = Vec::new();
        let mut keep = |piece: &[u8]| {
            text.extend_from_slice(piece);
            Ok(())
        };
        tar.content(&entry, &mut keep).map_err(refused)?;
        listed.push(one(&text).ok_or_else(|| io::Error::other(format!("{} is malformed", String::from_utf8_lossy(&entry.path))))?);
    }
    Ok(listed)
}

fn refused(refusal: package::deb::Refusal) -> io::Error {
    io::Error::other(refusal.to_string())
}

/// `%NAME%`, its value, an empty line; again and again. Each of the wanted fields stands there once.
fn one(text: &[u8]) -> Option<Listed> {
    let text = std::str::from_utf8(text).ok()?;
    let field = |name: &str| {
        let mut found = text.split("\n\n").filter_map(|section| section.trim_start_matches('\n').strip_prefix(name)?.strip_prefix('\n'));
        let value = found.next().filter(|_| found.next().is_none())?.trim_end_matches('\n');
        let plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        plain.then(|| value.to_owned())
    };
    let identity = Identity { name: field("%NAME%")?, version: field("%VERSION%")?, architecture: field("%ARCH%")? };
    Some(Listed { identity, file: field("%FILENAME%")?, sha256: Hash::from_hex(&field("%SHA256SUM%")?)? })
}

const MAX_INDEX: u64 = 1 << 30;
const MAX_DESC: u64 = 1 << 20;
const LIMITS: TarLimits = TarLimits { entries: 1_000_000, path: 4095, expanded: MAX_INDEX, passed_over: &["LIBARCHIVE.", "hdrcharset"] };

#[cfg(test)]
mod tests {
    use super::*;

    fn desc(digest: &str) -> String {
        format!(
            "%FILENAME%\na-1-1-any.pkg.tar.zst\n\n%NAME%\na\n\n%VERSION%\n1-1\n\n%SHA256SUM%\n{digest}\n\n%ARCH%\nany\n\n%LICENSE%\nx\ny\n\n"
        )
    }

    #[test]
    fn a_package_is_listed_with_its_file() {
        let listed = one(desc(&"ab".repeat(32)).as_bytes()).unwrap();
        assert_eq!((listed.identity.to_string().as_str(), listed.file.as_str()), ("a 1-1 any", "a-1-1-any.pkg.tar.zst"));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let good = desc(&"ab".repeat(32));
        for (from, to) in [
            ("%NAME%\na\n", "%NAME%\na b\n"),
            ("%NAME%\na\n", "%NAME%\n../a\n"),
            ("%NAME%\na\n", "%NAME%\n\n"),
            ("%ARCH%\nany\n\n", ""),
            ("%ARCH%\nany\n\n", "%ARCH%\nany\n\n%ARCH%\nx86_64\n\n"),
            ("abab", "ABAB"),
            ("%VERSION%\n1-1\n", "%VERSION%\n1-1\n2-1\n"),
        ] {
            assert_eq!(one(good.replacen(from, to, 1).as_bytes()), None, "{to}");
        }
        assert_eq!(one(b"\xff"), None);
        assert!(parse(&b"nonsense"[..], b"nonsen").is_err());
        assert_eq!(parse(&[0; 1024][..], &[0; 6]).unwrap(), []);
    }
}

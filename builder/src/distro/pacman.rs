//! pacman's repositories: the database with its detached signature (`specs/foreign.md`, section 3).

use std::io::Read as _;
use std::path::Path;

use attest::predicate::PackageOrigin;
use tlog::Hash;

use super::desc::{Package, parse_desc};
use super::{Contents, IndexError, Listed, Repository, signed};
use crate::chain::{Keyring, decompress};

/// SHA-256 of what a repository signs now.
pub(super) async fn look(repository: &Repository, keyring: &Keyring, scratch: &Path) -> Result<Hash, IndexError> {
    Ok(Hash::digest(&database(repository, keyring, scratch).await?.0))
}

async fn database(repository: &Repository, keyring: &Keyring, scratch: &Path) -> Result<(Vec<u8>, Vec<String>), IndexError> {
    let file = format!("{}.db", repository.name);
    signed(repository, &file, &format!("{file}.sig"), MAX_DATABASE, keyring, scratch).await
}

/// Everything that a repository lists.
pub(super) async fn fetch(repository: &Repository, suite: &str, keyring: &Keyring, scratch: &Path) -> Result<Contents, IndexError> {
    let file = format!("{}.db", repository.name);
    let (database, signers) = database(repository, keyring, scratch).await?;
    let digest = Hash::digest(&database);
    let place = format!("{}/{file}", repository.url);
    let (packages, published) = parse_database(database).map_err(|reason| IndexError::Malformed { place, reason })?;
    let origin = |filename: String| PackageOrigin {
        filename,
        in_release: digest,
        origin: repository.name.clone(),
        packages_path: file.clone(),
        packages: digest,
        signers: signers.clone(),
        suite: suite.to_owned(),
    };
    let listed = |package: Package| {
        let Package { name, version, architecture, size, sha256, filename } = package;
        (sha256, Listed { origin: origin(filename), name, version, architecture, epoch: 0, size, published })
    };
    Ok(Contents { signed: digest, listed: packages.into_iter().map(listed).collect() })
}

/// Reads a database: an archive, compressed or not, with a file `NAME-VERSION/desc` for each package. Also gives the time of the newest one.
///
/// # Errors
/// Why it is none, in words.
fn parse_database(bytes: Vec<u8>) -> Result<(Vec<Package>, Option<u64>), String> {
    let extension = match bytes[..] {
        [0x1f, 0x8b, ..] => ".gz",
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => ".xz",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ".zst",
        _ => "",
    };
    let text = decompress(bytes, extension, MAX_TEXT)?;
    let mut archive = tar::Archive::new(text.as_slice());
    let (mut packages, mut newest) = (Vec::new(), None);
    for entry in archive.entries().map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| error.to_string())?;
        let path = entry.path_bytes().into_owned();
        let path = String::from_utf8(path).map_err(|_| "a path that is no text")?;
        let Some(directory) = path.strip_suffix("/desc") else { continue };
        newest = newest.max(entry.header().mtime().ok());
        let mut desc = String::new();
        entry.take(MAX_DESC).read_to_string(&mut desc).map_err(|error| error.to_string())?;
        let package = parse_desc(&desc).map_err(|reason| format!("{path}: {reason}"))?;
        if directory != format!("{}-{}", package.name, package.version) {
            return Err(format!("{path} is about another package than its name says"));
        }
        packages.push(package);
        if packages.len() > MAX_PACKAGES {
            return Err("too many packages".to_owned());
        }
    }
    Ok((packages, newest))
}

const MAX_DATABASE: usize = 256 << 20;
const MAX_TEXT: u64 = 1 << 30;
const MAX_DESC: u64 = 1 << 20;
const MAX_PACKAGES: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const DESC: &str = "%FILENAME%\na-1:2-3-any.pkg.tar.zst\n\n%NAME%\na\n\n%VERSION%\n1:2-3\n\n%DESC%\nsome words\n\n%CSIZE%\n7\n\n%ARCH%\nany\n\n\
         %SHA256SUM%\ne3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n\n";

    fn database(path: &str, desc: &str) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(desc.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        builder.append_data(&mut header, path, desc.as_bytes()).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn a_database_says_what_it_lists() {
        let (packages, newest) = parse_database(database("a-1:2-3/desc", DESC)).unwrap();
        assert_eq!(newest, Some(1_700_000_000));
        let package = &packages[0];
        assert_eq!((package.name.as_str(), package.version.as_str(), package.architecture.as_str()), ("a", "1:2-3", "any"));
        assert_eq!((package.size, package.sha256, package.filename.as_str()), (7, Hash::EMPTY, "a-1:2-3-any.pkg.tar.zst"));
        assert_eq!(parse_database(database("a-1:2-3/files", "")), Ok((Vec::new(), None)));
    }

    #[test]
    fn everything_else_is_refused() {
        let refused = |old: &str, new: &str| parse_database(database("a-1:2-3/desc", &DESC.replacen(old, new, 1))).unwrap_err();
        assert_eq!(refused("%NAME%\na\n", "%NAME%\nb\n"), "a-1:2-3/desc is about another package than its name says");
        assert_eq!(refused("%NAME%\na\n", "%NAME%\na\nb\n"), "a-1:2-3/desc: %NAME% is missing or malformed");
        assert_eq!(refused("%DESC%", "%NAME%\na\n\n%DESC%"), "a-1:2-3/desc: %NAME% is missing or malformed");
        assert_eq!(refused("e3b0", "E3b0"), "a-1:2-3/desc: %SHA256SUM% is no digest");
        assert_eq!(refused("%SHA256SUM%", "%MD5SUM%"), "a-1:2-3/desc: %SHA256SUM% is missing or malformed");
        assert_eq!(refused("%CSIZE%\n7", "%CSIZE%\nx"), "a-1:2-3/desc: %CSIZE% is no number");
        assert_eq!(refused("a-1:2-3-any", "../a"), "a-1:2-3/desc: %FILENAME% is missing or malformed");
        assert!(parse_database(vec![0x1f, 0x8b, 0, 0]).is_err());
    }
}

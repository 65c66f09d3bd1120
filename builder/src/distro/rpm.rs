//! rpm-md repositories: repomd.xml with its detached signature, and the primary index that it names (`specs/foreign.md`, section 2).

use std::path::Path;

use attest::predicate::PackageOrigin;
use tlog::Hash;

use super::primary::{Package, parse_primary, parse_repomd};
use super::{Contents, IndexError, Listed, Repository, signed};
use crate::chain::{Keyring, decompress};
use crate::watch;

/// SHA-256 of what a repository signs now.
pub(super) async fn look(repository: &Repository, keyring: &Keyring, scratch: &Path) -> Result<Hash, IndexError> {
    Ok(Hash::digest(&signed(repository, REPOMD, SIGNATURE, MAX_REPOMD, keyring, scratch).await?.0))
}

/// Everything that a repository lists.
pub(super) async fn fetch(repository: &Repository, suite: &str, keyring: &Keyring, scratch: &Path) -> Result<Contents, IndexError> {
    let (repomd, signers) = signed(repository, REPOMD, SIGNATURE, MAX_REPOMD, keyring, scratch).await?;
    let malformed = |place: &str, reason: String| IndexError::Malformed { place: format!("{}/{place}", repository.url), reason };
    let primary = parse_repomd(&repomd).map_err(|reason| malformed(REPOMD, reason))?;
    let bytes = watch::fetch(&repository.url, &primary.href, MAX_PRIMARY).await?;
    if Hash::digest(&bytes) != primary.sha256 || primary.size.is_some_and(|size| size != bytes.len() as u64) {
        return Err(IndexError::Altered(format!("{}/{}", repository.url, primary.href)));
    }
    let extension = primary.href.rfind(".xml").map_or("", |at| &primary.href[at + 4..]);
    let text = decompress(bytes, extension, MAX_TEXT).map_err(|reason| malformed(&primary.href, reason))?;
    let packages = parse_primary(&text).map_err(|reason| malformed(&primary.href, reason))?;
    let origin = |filename: String| PackageOrigin {
        filename,
        in_release: Hash::digest(&repomd),
        origin: repository.name.clone(),
        packages_path: primary.href.clone(),
        packages: primary.sha256,
        signers: signers.clone(),
        suite: suite.to_owned(),
    };
    let listed = |package: Package| {
        let Package { name, version, architecture, epoch, size, sha256, href } = package;
        (sha256, Listed { origin: origin(href), name, version, architecture, epoch, size, published: primary.time })
    };
    Ok(Contents { signed: Hash::digest(&repomd), listed: packages.into_iter().map(listed).collect() })
}

const REPOMD: &str = "repodata/repomd.xml";
const SIGNATURE: &str = "repodata/repomd.xml.asc";
const MAX_REPOMD: usize = 16 << 20;
const MAX_PRIMARY: usize = 1 << 30;
const MAX_TEXT: u64 = 4 << 30;

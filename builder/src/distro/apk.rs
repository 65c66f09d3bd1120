//! Alpine's repositories: `APKINDEX.tar.gz` with its signature, and the packages that it names (`specs/foreign.md`, section 6).
//!
//! There is no container: a package is a file below the repository's address, and nothing of it is run. Indexes name packages by SHA-1, as all
//! of Alpine's tools have it; what is stated has SHA-256.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use attest::Purl;
use attest::predicate::PackageOrigin;
use attest::version::compare_apk;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use package::apkindex::{self, ApkIndex, Listed, Signature};
use package::deb::Limits;
use package::tarball::Identity;
use tlog::Hash;

use super::{IndexError, PackageFile, Repository};
use crate::claim::{Claim, ClaimError};
use crate::request::Request;
use crate::watch;

/// The public keys of a distribution: a file of PEM blocks.
pub struct RsaKeys {
    keys: Vec<Vec<u8>>,
}

impl RsaKeys {
    /// Of a given SHA-256 if that is pinned too.
    ///
    /// # Errors
    /// If it cannot be read, is another one, or holds something else than public keys.
    pub fn open(path: &Path, sha256: Option<Hash>) -> Result<Self, IndexError> {
        let refused = |reason: &str| IndexError::Keys { path: path.display().to_string(), reason: reason.to_owned() };
        let text = std::fs::read_to_string(path).map_err(|error| refused(&error.to_string()))?;
        if sha256.is_some_and(|sha256| Hash::digest(text.as_bytes()) != sha256) {
            return Err(refused("is not the one that `keyring_sha256` pins"));
        }
        let keys = parse_pem(&text).filter(|keys| (1..=64).contains(&keys.len()));
        Ok(Self { keys: keys.ok_or_else(|| refused("is no text of 1 to 64 PEM blocks `PUBLIC KEY`"))? })
    }

    /// SHA-256 of the keys whose signatures hold, as origins name signers.
    fn signers(&self, signed: &[u8], signatures: &[Signature]) -> Vec<String> {
        let holds = |key: &[u8], signature: &Signature| {
            let algorithm = if signature.is_sha256 { &RSA_PKCS1_2048_8192_SHA256 } else { &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY };
            UnparsedPublicKey::new(algorithm, key).verify(signed, &signature.bytes).is_ok()
        };
        let signed_by = |key: &&Vec<u8>| signatures.iter().any(|signature| holds(key, signature));
        let mut signers: Vec<String> =
            self.keys.iter().filter(signed_by).map(|key| Hash::digest(key).to_hex().to_ascii_uppercase()).collect();
        signers.sort();
        signers.dedup();
        signers
    }
}

fn parse_pem(text: &str) -> Option<Vec<Vec<u8>>> {
    let mut keys = Vec::new();
    let mut lines = text.lines().filter(|line| !line.is_empty());
    while let Some(line) = lines.next() {
        if line != "-----BEGIN PUBLIC KEY-----" {
            return None;
        }
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "-----END PUBLIC KEY-----").collect();
        keys.push(STANDARD.decode(block.concat()).ok().filter(|key| !key.is_empty())?);
    }
    Some(keys)
}

/// A package that a verified index lists.
pub(crate) struct Offered {
    url: String,
    listed: Listed,
    origin: PackageOrigin,
}

impl Offered {
    /// Its name, version and architecture.
    pub(crate) fn identity(&self) -> &Identity {
        &self.listed.identity
    }

    /// Its package URL, where its repository's vendor is known.
    pub(crate) fn purl(&self, vendors: &BTreeMap<String, String>) -> Option<Purl> {
        let Identity { name, version, architecture } = self.identity();
        Purl::apk(vendors.get(&self.origin.origin)?, name, version, architecture, Some(&self.origin.suite)).ok()
    }

    /// What it is known by before its file is: of the control member that the index names.
    pub(crate) fn key(&self) -> Hash {
        Hash::digest(&self.listed.control_sha1)
    }
}

/// The newest package that fits a request.
pub(crate) fn newest<'a>(offered: &'a [Offered], request: &Request) -> Option<&'a Offered> {
    let fits = |offer: &&Offered| {
        let identity = offer.identity();
        identity.name == request.name
            && request.version.as_ref().is_none_or(|version| *version == identity.version)
            && request.architecture.as_ref().is_none_or(|arch| *arch == identity.architecture || identity.architecture == "noarch")
    };
    offered.iter().filter(fits).max_by(|a, b| compare_apk(&a.identity().version, &b.identity().version))
}

/// Everything that the repositories list.
///
/// # Errors
/// The first index that cannot be had, is not signed by a key of ours, or is malformed.
pub(crate) async fn fetch(repositories: &[Repository], suite: &str, keys: &RsaKeys) -> Result<Vec<Offered>, IndexError> {
    let mut offered = Vec::new();
    for repository in repositories {
        let place = format!("{}/{INDEX}", repository.url.trim_end_matches('/'));
        let bytes = watch::fetch(&repository.url, INDEX, MAX_INDEX).await?;
        let limits = Limits { control: MAX_TEXT, ..Limits::default() };
        let malformed = |reason: String| IndexError::Malformed { place: place.clone(), reason };
        let ApkIndex { signatures, signed, description, packages } =
            apkindex::read(&bytes, &limits).map_err(|error| malformed(error.to_string()))?;
        if signatures.is_empty() {
            return Err(IndexError::Unsigned(place));
        }
        let signers = keys.signers(signed, &signatures);
        if signers.is_empty() {
            return Err(IndexError::NotByOurKeys(place));
        }
        let branch = description.as_deref().and_then(branch);
        // The same keys sign all branches.
        if let Some(found) = branch.filter(|found| found != suite && is_branch(suite)) {
            return Err(IndexError::OtherBranch { place, found, wanted: suite.to_owned() });
        }
        let digest = Hash::digest(&bytes);
        offered.extend(packages.into_iter().map(|listed| {
            let filename = format!("{}-{}.apk", listed.identity.name, listed.identity.version);
            let (origin, signers, suite) = (repository.name.clone(), signers.clone(), suite.to_owned());
            let origin =
                PackageOrigin { filename, in_release: digest, origin, packages_path: INDEX.to_owned(), packages: digest, signers, suite };
            Offered { url: repository.url.clone(), listed, origin }
        }));
    }
    Ok(offered)
}

/// The branch that the description of an index names, as Alpine writes it: `v3.20.3-34-g1a2b3c4` on `v3.20`, `v20240329-8-g1a2b3c4` on `edge`.
fn branch(description: &[u8]) -> Option<String> {
    let tag = std::str::from_utf8(description).ok()?.trim().split('-').next()?;
    let numbers: Vec<&str> = tag.strip_prefix('v')?.split('.').collect();
    let digits = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match numbers[..] {
        [day] if day.len() == 8 && digits(&day) => Some("edge".to_owned()),
        // Of the last one, `0_rc1` is as good.
        [major, minor, ref rest @ ..] if digits(&major) && digits(&minor) && rest.len() <= 1 => Some(format!("v{major}.{minor}")),
        _ => None,
    }
}

/// Whether a suite is called as Alpine calls its branches.
fn is_branch(suite: &str) -> bool {
    suite == "edge" || (suite.matches('.').count() == 1 && branch(suite.as_bytes()).is_some())
}

/// Fetches the newest package that fits a request into a scratch directory, and makes its claim.
///
/// # Errors
/// What went wrong, and what to do about it.
pub(crate) async fn claim(
    offered: &[Offered],
    request: &Request,
    vendors: &BTreeMap<String, String>,
    scratch: &Path,
) -> Result<Claim, (String, &'static str)> {
    let Some(offer) = newest(offered, request) else {
        return Err((format!("no repository offers {request}"), "check the package's name, version and architecture"));
    };
    let refused = |error: IndexError| (error.to_string(), error.hint());
    let unclaimed = |error: ClaimError| (error.to_string(), error.hint());
    let limit = usize::try_from(offer.listed.size).unwrap_or(MAX_PACKAGE).min(MAX_PACKAGE);
    let bytes = watch::fetch(&offer.url, &offer.origin.filename, limit).await.map_err(|error| refused(error.into()))?;
    let path = scratch.join("package.apk");
    std::fs::write(&path, &bytes).map_err(|error| refused(IndexError::Io(path.display().to_string(), error.to_string())))?;
    let package = read(&path).map_err(unclaimed)?;
    check(offer, &package, &bytes).map_err(refused)?;
    let file = PackageFile { branch: Some(offer.origin.suite.clone()), ..PackageFile::from(package) };
    Claim::new(file, &offer.origin, vendors).map_err(unclaimed)
}

/// Reads a package file.
///
/// # Errors
/// If it is refused.
pub(crate) fn read(path: &Path) -> Result<package::apk::ApkPackage, ClaimError> {
    let file = File::open(path).map_err(|error| ClaimError::Unreadable { path: path.display().to_string(), reason: error.to_string() })?;
    package::apk::read(file, &Limits::default()).map_err(|error| ClaimError::Package(error.to_string()))
}

/// The control member is the one that the index names, and says what the index says.
fn check(offer: &Offered, package: &package::apk::ApkPackage, bytes: &[u8]) -> Result<(), IndexError> {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let control = bytes.get(place(package.control_bytes.start)..place(package.control_bytes.end)).unwrap_or_default();
    if digest(&SHA1_FOR_LEGACY_USE_ONLY, control).as_ref() != offer.listed.control_sha1 {
        return Err(IndexError::Unauthenticated(offer.origin.filename.clone()));
    }
    if package.identity != offer.listed.identity || package.size != offer.listed.size {
        return Err(IndexError::OtherName { package: package.identity.to_string(), listed: offer.listed.identity.to_string() });
    }
    Ok(())
}

const INDEX: &str = "APKINDEX.tar.gz";
const MAX_INDEX: usize = 64 << 20;
const MAX_TEXT: u64 = 512 << 20;
const MAX_PACKAGE: usize = 2 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_name_their_branch() {
        for (text, expected) in [
            ("v3.20.3-34-g1a2b3c4", Some("v3.20")),
            ("v3.20.0_rc1-1-g1a2b3c4\n", Some("v3.20")),
            ("v3.20", Some("v3.20")),
            ("v20240329-2085-g8b0d6e0", Some("edge")),
            ("v2024", None),
            ("v3.20_alpha20240329", None),
            ("3.20.3", None),
            ("made for a test", None),
            ("v3.x.1", None),
            ("", None),
        ] {
            assert_eq!(branch(text.as_bytes()).as_deref(), expected, "{text}");
        }
        assert_eq!(branch(b"v3.20\xff"), None);
        assert!(is_branch("v3.20") && is_branch("edge") && !is_branch("v20240329") && !is_branch("v3.20.1") && !is_branch("stable"));
    }

    #[test]
    fn only_public_keys_are_read() {
        let block = "-----BEGIN PUBLIC KEY-----\nAAEC\nAw==\n-----END PUBLIC KEY-----\n";
        assert_eq!(parse_pem(&format!("{block}\n{block}")), Some(vec![vec![0, 1, 2, 3]; 2]));
        for text in [&block.replace("PUBLIC", "PRIVATE"), "x\n", &block.replace("Aw==", "Aw"), &block.replace("AAEC\nAw==\n", "")] {
            assert_eq!(parse_pem(text), None, "{text}");
        }
    }
}

//! The chain from a signature to a package file: InRelease, Packages, .deb (`specs/origin.md`).
//!
//! Everything here happens outside of containers, on copies. What a container's apt thought of the same files does not count.

mod catalogue;
mod gpgv;
mod index;
mod keyring;
mod release;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use attest::predicate::{PackageOrigin, Predicate, RepositoryState};
use attest::{Statement, Subject};
use package::control::Control;
use package::deb::DebPackage;
use tlog::Hash;

pub(crate) use index::decompress;

pub use catalogue::{Catalogue, Offer};
pub use gpgv::GpgvError;
pub use keyring::Keyring;
pub use release::{Release, ReleaseError};
pub use source::{SourceFile, SourceRecord, find as find_source, is_file_name};

use crate::sources::Source;

/// Why a package file's origin is not proven.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The signature on a repository's InRelease does not hold.
    #[error("{place}: {reason}")]
    Signature {
        /// Which repository.
        place: String,
        /// Why.
        reason: GpgvError,
    },
    /// A repository's Release text is refused.
    #[error("{place}: {reason}")]
    Release {
        /// Which repository.
        place: String,
        /// Why.
        reason: ReleaseError,
    },
    /// A Packages index is not the one that InRelease names.
    #[error("{place}: {index} is not the file that InRelease names")]
    AlteredIndex {
        /// Which repository.
        place: String,
        /// Path of the index.
        index: String,
    },
    /// A Packages index holds something else than packages.
    #[error("{place}: {index}: {reason}")]
    MalformedIndex {
        /// Which repository.
        place: String,
        /// Path of the index.
        index: String,
        /// What is wrong.
        reason: String,
    },
    /// No signed index names this file.
    #[error("{package}: no signed index names a file with SHA-256 {sha256}")]
    Unauthenticated {
        /// Name, version and architecture as the file says.
        package: String,
        /// The file's digest.
        sha256: Hash,
    },
    /// A signed index names the file, but calls it another package.
    #[error("{package}: the signed index calls this file {listed}")]
    OtherName {
        /// What the file says.
        package: String,
        /// What the index says.
        listed: String,
    },
    /// A file could not be read.
    #[error("{place}: {reason}")]
    Unreadable {
        /// Which file.
        place: String,
        /// What the system said.
        reason: String,
    },
}

impl ChainError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Signature { reason, .. } => reason.hint(),
            Self::Release { reason, .. } => reason.hint(),
            Self::AlteredIndex { .. } | Self::MalformedIndex { .. } => {
                "the mirror may be in the middle of an update: try again in a few minutes; if it stays so, do not trust the mirror"
            }
            Self::Unauthenticated { .. } | Self::OtherName { .. } => {
                "nothing was attested for it; if the mirror is not in the middle of an update, somebody altered the file or its index"
            }
            Self::Unreadable { .. } => "check that the builder's directory is complete and that gpgv is installed",
        }
    }
}

/// A package file as a signed index lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What to say about it.
    pub origin: PackageOrigin,
    control: Control,
    size: u64,
}

/// The package files that signed indexes name, by SHA-256.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    listed: BTreeMap<Hash, Listed>,
    seen: Vec<Seen>,
}

/// A verified InRelease file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    origin: String,
    suite: String,
    in_release: Hash,
    state: RepositoryState,
}

/// One repository whose InRelease file is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository<'a> {
    /// Where it is.
    pub source: &'a Source,
    /// What its InRelease file says.
    pub release: Release,
    /// SHA-256 of that file.
    pub in_release: Hash,
    /// Fingerprints of the keys whose signatures on it hold.
    pub signers: Vec<String>,
    place: String,
}

/// What is to be verified.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a> {
    /// Copy of apt's `lists` directory.
    pub dir: &'a Path,
    /// The sources that it was filled from.
    pub sources: &'a [Source],
    /// Architectures whose indexes count; `all` always does.
    pub architectures: &'a BTreeSet<String>,
}

impl Chain {
    /// Verifies every repository's signature, date and indexes, and finds the wanted files in them. `now` is in POSIX seconds. One
    /// repository that does not verify spoils all: what it might have said is unknown.
    ///
    /// # Errors
    /// The first link that does not hold.
    pub fn verify(lists: &Lists<'_>, wanted: &BTreeSet<Hash>, keyring: &Keyring, now: u64) -> Result<Self, ChainError> {
        let mut chain = Self::default();
        for source in lists.sources {
            let repository = Repository::open(source, &lists.dir.join(file_name(source, "InRelease")), keyring, now)?;
            repository.collect(lists, wanted, &mut chain.listed)?;
            // That an old snapshot was seen says nothing about what is current.
            if source.snapshot.is_none() {
                chain.seen.push(repository.seen());
            }
        }
        Ok(chain)
    }

    /// The origin of a package file, by its digest; the index must also call it by the name that it gives itself.
    ///
    /// # Errors
    /// If no signed index names the file, or names it differently.
    pub fn origin(&self, deb: &DebPackage) -> Result<&Listed, ChainError> {
        let named = |control: &Control| format!("{} {} {}", control.name, control.version, control.architecture);
        let package = named(&deb.control);
        let listed =
            self.listed.get(&deb.sha256).ok_or_else(|| ChainError::Unauthenticated { package: package.clone(), sha256: deb.sha256 })?;
        let name = named(&listed.control);
        if name != package || listed.size != deb.size {
            return Err(ChainError::OtherName { package, listed: name });
        }
        Ok(listed)
    }

    /// What to say of the InRelease files themselves: that they were seen (`specs/repository.md`). Repositories that no vendor is known of
    /// are left out, as their packages are.
    #[must_use]
    pub fn states(&self, vendors: &BTreeMap<String, String>) -> Vec<Statement> {
        let said = |seen: &Seen| {
            let subject = RepositoryState::subject_of(&format!("deb/{}/{}", vendors.get(&seen.origin)?, seen.suite));
            let predicate = Predicate::RepositoryState(seen.state.clone());
            Some(Statement { subject: Subject::new(subject, seen.in_release), predicate }).filter(|statement| statement.check().is_ok())
        };
        self.seen.iter().filter_map(said).collect()
    }

    /// Whether a signed index names a file with this digest.
    #[must_use]
    pub fn names(&self, sha256: &Hash) -> bool {
        self.listed.contains_key(sha256)
    }
}

/// The files of a source package, from the signed indexes of sources that apt kept; `None` if none of them names it.
///
/// # Errors
/// The first link that does not hold.
pub fn source_of(lists: &Lists<'_>, keyring: &Keyring, now: u64, name: &str, version: &str) -> Result<Option<SourceRecord>, ChainError> {
    for source in lists.sources {
        let repository = Repository::open(source, &lists.dir.join(file_name(source, "InRelease")), keyring, now)?;
        for component in &source.components {
            let Some((path, text)) = repository.index(lists.dir, &format!("{component}/source/Sources"))? else { continue };
            let found = source::find(&text, name, version).map_err(|reason| repository.malformed(&path, reason))?;
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}

impl<'a> Repository<'a> {
    /// Verifies a repository's InRelease file: its signature, that it is the suite's, and its dates against `now` in POSIX seconds, or
    /// against the time of its snapshot, which is not ahead of now.
    ///
    /// # Errors
    /// The first of these that does not hold.
    pub fn open(source: &'a Source, in_release: &Path, keyring: &Keyring, now: u64) -> Result<Self, ChainError> {
        let place = source.place();
        let as_of = source.snapshot.map_or(now, |snapshot| snapshot.min(now));
        let bytes = read(in_release, MAX_RELEASE)?;
        let signed = keyring.verify(in_release).map_err(|reason| ChainError::Signature { place: place.clone(), reason })?;
        let release = Release::parse(&signed.text).and_then(|release| release.check(&source.suite, as_of).map(|()| release));
        let release = release.map_err(|reason| ChainError::Release { place: place.clone(), reason })?;
        Ok(Self { source, place, release, in_release: Hash::digest(&bytes), signers: signed.signers })
    }

    fn seen(&self) -> Seen {
        let (origin, suite) = (self.release.origin.clone(), self.release.name().to_owned());
        let (date, until) = self.release.dates();
        // What is over before it began is of no use to anybody, and no statement can say it.
        let state = RepositoryState::seen("InRelease", Some(date), until.filter(|until| *until >= date));
        Seen { origin, suite, in_release: self.in_release, state }
    }

    /// The indexes of these architectures that apt kept, with their paths and verified texts.
    fn indexes(&self, lists: &Lists<'_>) -> impl Iterator<Item = Result<(String, Vec<u8>), ChainError>> {
        let architectures = lists.architectures.iter().map(String::as_str).chain(std::iter::once("all"));
        let paths: Vec<String> = architectures
            .flat_map(|arch| self.source.components.iter().map(move |component| format!("{component}/binary-{arch}/Packages")))
            .collect();
        paths.into_iter().filter_map(|path| self.index(lists.dir, &path).transpose())
    }

    fn collect(&self, lists: &Lists<'_>, wanted: &BTreeSet<Hash>, found: &mut BTreeMap<Hash, Listed>) -> Result<(), ChainError> {
        self.indexes(lists).try_for_each(|index| index.and_then(|(path, text)| self.read_index(&path, &text, wanted, found)))
    }

    /// The verified text of an index, in whichever of its forms is there. An index that apt did not keep names nothing.
    fn index(&self, dir: &Path, path: &str) -> Result<Option<(String, Vec<u8>)>, ChainError> {
        for extension in ["", ".xz", ".gz"] {
            let path = format!("{path}{extension}");
            let file = dir.join(file_name(self.source, &path));
            if !file.exists() {
                continue;
            }
            let bytes = read(&file, MAX_INDEX)?;
            let altered = || ChainError::AlteredIndex { place: self.place.clone(), index: path.clone() };
            let named = self.release.index(&path).ok_or_else(altered)?;
            if named.size != bytes.len() as u64 || named.sha256 != *Hash::digest(&bytes).as_bytes() {
                return Err(altered());
            }
            let text = index::decompress(bytes, extension, MAX_INDEX).map_err(|reason| self.malformed(&path, reason))?;
            return Ok(Some((path, text)));
        }
        Ok(None)
    }

    fn read_index(&self, path: &str, text: &[u8], wanted: &BTreeSet<Hash>, found: &mut BTreeMap<Hash, Listed>) -> Result<(), ChainError> {
        let named = self.release.index(path).ok_or_else(|| self.malformed(path, "not in InRelease".to_owned()))?;
        let records = index::find(text, wanted).map_err(|reason| self.malformed(path, reason))?;
        for record in records {
            let origin = PackageOrigin {
                filename: record.filename,
                in_release: self.in_release,
                origin: self.release.origin.clone(),
                packages_path: path.to_owned(),
                packages: Hash::new(named.sha256),
                signers: self.signers.clone(),
                suite: self.release.name().to_owned(),
            };
            let listed = Listed { origin, control: record.control, size: record.size };
            found.entry(Hash::new(record.sha256)).or_insert(listed);
        }
        Ok(())
    }

    fn malformed(&self, index: &str, reason: String) -> ChainError {
        ChainError::MalformedIndex { place: self.place.clone(), index: index.to_owned(), reason }
    }
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, ChainError> {
    use std::io::Read as _;
    let unreadable = |reason: String| ChainError::Unreadable { place: path.display().to_string(), reason };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > limit { Err(unreadable(format!("larger than {limit} bytes"))) } else { Ok(bytes) }
}

/// The name under which apt keeps a file of a suite in its `lists` directory: the address without its scheme and user, some bytes as
/// `%xx`, and slashes as underscores.
fn file_name(source: &Source, path: &str) -> PathBuf {
    let uri = format!("{}/dists/{}/{path}", source.uri, source.suite);
    let rest = uri.split_once(':').map_or(uri.as_str(), |(_, rest)| rest);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let mut name = String::new();
    for byte in format!("{host}/{path}").bytes() {
        match byte {
            b'/' => name.push('_'),
            byte if byte.is_ascii_graphic() && !QUOTED.contains(&byte) => name.push(char::from(byte)),
            byte => name.push_str(&format!("%{byte:02x}")),
        }
    }
    PathBuf::from(name)
}

const QUOTED: &[u8] = b"\\|{}[]<>\"^~_=!@#$%&*";
const MAX_RELEASE: u64 = 32 << 20;
const MAX_INDEX: u64 = 2 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_apt() {
        let name = |uri: &str| {
            let source = Source { uri: uri.to_owned(), suite: "bookworm".to_owned(), components: Vec::new(), snapshot: None };
            file_name(&source, "main/binary-amd64/Packages").display().to_string()
        };
        assert_eq!(name("http://mirror.example/debian"), "mirror.example_debian_dists_bookworm_main_binary-amd64_Packages");
        assert_eq!(name("http://127.0.0.1:80/a_b"), "127.0.0.1:80_a%5fb_dists_bookworm_main_binary-amd64_Packages");
        assert_eq!(name("http://user:word@h/~x"), "h_%7ex_dists_bookworm_main_binary-amd64_Packages");
        assert_eq!(name("file:/srv/r"), "_srv_r_dists_bookworm_main_binary-amd64_Packages");
        assert_eq!(name("file:///srv/r"), "_srv_r_dists_bookworm_main_binary-amd64_Packages");
    }
}

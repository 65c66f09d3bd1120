//! rpm's database of installed packages (`specs/installed.md`, section 2).
//!
//! Read by our own code: the machine that judges need not have rpm, and where it has one, that may not know the root's kind of database
//! (Debian's knows no ndb). Of what stands in it, only what the package was built with is believed, and that by its digest.

mod sqlite;

use crate::dpkg::LockHolder;
use crate::root::{Root, RootError, RootReason};
use crate::rpm::{self, FileState, Header, Identity};
use attest::Hash;
use rustix::io::Errno;
use sqlite::Sqlite;
use std::fmt;
use std::io;

/// One installed package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledRpm {
    /// Its name, version and architecture.
    pub identity: Identity,
    /// SHA-256 of the immutable header: the package's own, whoever signed it.
    pub header: Hash,
    /// Its paths below the root, and what rpm did with each.
    pub files: Vec<(Vec<u8>, FileState)>,
}

/// Why a database cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RpmdbError {
    /// A file cannot be read.
    Unreadable(RootError),
    /// Reading failed in the middle.
    Read(io::ErrorKind),
    /// The database is malformed.
    Malformed(&'static str),
    /// A package's header is malformed.
    Header(rpm::Refusal),
    /// Another kind of database; the file that shows it.
    Unknown(String),
    /// Two databases, of which rpm uses only one.
    Two(&'static str, &'static str),
}

impl RpmdbError {
    fn read(error: io::Error) -> Self {
        Self::Read(error.kind())
    }
}

/// Where the root keeps its database; `None` where there is none.
pub fn place(root: &Root) -> Result<Option<&'static str>, RpmdbError> {
    let mut found: Option<(&'static str, (u64, u64))> = None;
    for directory in PLACES {
        for name in ["rpmdb.sqlite", "Packages.db", "Packages"] {
            let path = format!("{directory}/{name}");
            let meta = match root.stat_target(path.as_bytes()) {
                // Where links lead in circles rpm finds nothing either.
                Err(RootError { reason: RootReason::System(number), .. }) if number == Errno::LOOP.raw_os_error() => None,
                meta => meta?,
            };
            let Some(meta) = meta else { continue };
            match (name, found) {
                ("rpmdb.sqlite", None) => found = Some((directory, meta.identity)),
                // The older place is a link to the newer one on most roots.
                ("rpmdb.sqlite", Some((_, known))) if known == meta.identity => {}
                (_, Some((other, _))) if other == directory => {}
                (_, Some((other, _))) => return Err(RpmdbError::Two(other, directory)),
                _ => return Err(RpmdbError::Unknown(path)),
            }
        }
    }
    Ok(found.map(|(directory, _)| directory))
}

/// Reads all packages, sorted by name, version and architecture; public keys, which rpm keeps as packages, are left out.
pub fn read(root: &Root, directory: &str) -> Result<Vec<InstalledRpm>, RpmdbError> {
    let open = |name: &str| root.open_file(format!("{directory}/{name}").as_bytes()).map_err(RpmdbError::from);
    let file = open("rpmdb.sqlite")?.ok_or(RpmdbError::Malformed("it vanished"))?;
    let log = open("rpmdb.sqlite-wal")?;
    let mut packages = Vec::new();
    Sqlite::open(file.file(), log.as_ref().map(|log| log.file()))?.blobs("Packages", &mut |blob| {
        packages.extend(package(&blob)?);
        Ok(())
    })?;
    let changed = |open: &crate::root::RootFile| open.has_changed().map_err(RpmdbError::read);
    if changed(&file)? || log.as_ref().map_or(Ok(false), changed)? {
        return Err(RpmdbError::Malformed("it changed while it was read"));
    }
    packages.sort_by(|a: &InstalledRpm, b| (&a.identity, &a.header).cmp(&(&b.identity, &b.header)));
    Ok(packages)
}

/// Who holds rpm's lock; nothing is locked by asking.
pub fn lock_holder(root: &Root, directory: &'static str) -> Result<Option<LockHolder>, RootError> {
    let file = if directory == PLACES[0] { "usr/lib/sysimage/rpm/.rpm.lock" } else { "var/lib/rpm/.rpm.lock" };
    crate::dpkg::holder(root, file)
}

fn package(blob: &[u8]) -> Result<Option<InstalledRpm>, RpmdbError> {
    let header = Header::installed(blob).map_err(RpmdbError::Header)?;
    if header.is_public_key() {
        return Ok(None);
    }
    let identity = Identity::of(&header).map_err(RpmdbError::Header)?;
    let files = rpm::installed_files(&header).map_err(RpmdbError::Header)?;
    Ok(Some(InstalledRpm { identity, header: header.digest(), files }))
}

impl From<RootError> for RpmdbError {
    fn from(error: RootError) -> Self {
        Self::Unreadable(error)
    }
}

impl fmt::Display for RpmdbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::Read(kind) => write!(f, "the rpm database cannot be read: {kind}"),
            Self::Malformed(what) => write!(f, "the rpm database is damaged: {what}"),
            Self::Header(refusal) => write!(f, "the rpm database is damaged: {refusal}"),
            Self::Unknown(file) => {
                write!(f, "{file}: only rpm databases in SQLite are read; convert it with: rpm --define '_db_backend sqlite' --rebuilddb")
            }
            Self::Two(one, other) => {
                write!(f, "rpm databases in {one} and in {other}; which one counts cannot be known, remove the old one")
            }
        }
    }
}

impl std::error::Error for RpmdbError {}

/// Of today's Fedora and openSUSE, and of all others.
const PLACES: [&str; 2] = ["usr/lib/sysimage/rpm", "var/lib/rpm"];

//! rpm's database of installed packages (`specs/installed.md`, section 2).
//!
//! Read by our own code: the machine that judges need not have rpm, and where it has one, that may not know the root's kind of database
//! (that of Debian 12 knows no ndb, and no rpm of today writes Berkeley's). Of what stands in it, only what the package was built with is believed, and that by its digest.

mod bdb;
mod bytes;
mod ndb;
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
    /// Two databases, of which rpm uses only one: their files.
    Two(String, String),
}

/// A database: its directory, and the file that its kind is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Below the root.
    pub directory: &'static str,
    /// Which rpm wrote it.
    pub kind: Kind,
}

/// The kinds of databases that rpm has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Fedora's and Debian's since 2020.
    Sqlite,
    /// openSUSE's.
    Ndb,
    /// Everybody's before.
    Bdb,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Sqlite, Self::Ndb, Self::Bdb];

    const fn file(self) -> &'static str {
        match self {
            Self::Sqlite => "rpmdb.sqlite",
            Self::Ndb => "Packages.db",
            Self::Bdb => "Packages",
        }
    }
}

impl fmt::Display for Place {
    /// Its file, below the root.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.directory, self.kind.file())
    }
}

impl RpmdbError {
    fn read(error: io::Error) -> Self {
        Self::Read(error.kind())
    }
}

/// Where the root keeps its database; `None` where there is none.
pub fn place(root: &Root) -> Result<Option<Place>, RpmdbError> {
    let mut found: Option<(Place, (u64, u64))> = None;
    for place in PLACES.iter().flat_map(|directory| Kind::ALL.map(|kind| Place { directory, kind })) {
        let meta = match root.stat_target(place.to_string().as_bytes()) {
            // Where links lead in circles rpm finds nothing either.
            Err(RootError { reason: RootReason::System(number), .. }) if number == Errno::LOOP.raw_os_error() => None,
            meta => meta?,
        };
        match (meta, found) {
            (None, _) => {}
            (Some(meta), None) => found = Some((place, meta.identity)),
            // The older place is a link to the newer one on most roots.
            (Some(meta), Some((known, identity))) if known.kind == place.kind && identity == meta.identity => {}
            (Some(_), Some((known, _))) => return Err(RpmdbError::Two(known.to_string(), place.to_string())),
        }
    }
    Ok(found.map(|(place, _)| place))
}

/// Reads all packages, sorted by name, version and architecture; public keys, which rpm keeps as packages, are left out.
pub fn read(root: &Root, place: Place) -> Result<Vec<InstalledRpm>, RpmdbError> {
    let open = |path: String| root.open_file(path.as_bytes()).map_err(RpmdbError::from);
    let file = open(place.to_string())?.ok_or(RpmdbError::Malformed("it vanished"))?;
    let log = if place.kind == Kind::Sqlite { open(format!("{place}-wal"))? } else { None };
    let mut packages = Vec::new();
    let mut sink = |blob: Vec<u8>| {
        packages.extend(package(&blob)?);
        Ok(())
    };
    match place.kind {
        Kind::Sqlite => Sqlite::open(file.file(), log.as_ref().map(|log| log.file()))?.blobs("Packages", &mut sink)?,
        Kind::Ndb => ndb::blobs(file.file(), &mut sink)?,
        Kind::Bdb => bdb::blobs(file.file(), &mut sink)?,
    }
    let changed = |open: &crate::root::RootFile| open.has_changed().map_err(RpmdbError::read);
    if changed(&file)? || log.as_ref().map_or(Ok(false), changed)? {
        return Err(RpmdbError::Malformed("it changed while it was read"));
    }
    packages.sort_by(|a: &InstalledRpm, b| (&a.identity, &a.header).cmp(&(&b.identity, &b.header)));
    Ok(packages)
}

/// Who holds rpm's lock; nothing is locked by asking.
pub fn lock_holder(root: &Root, place: Place) -> Result<Option<LockHolder>, RootError> {
    let file = if place.directory == PLACES[0] { "usr/lib/sysimage/rpm/.rpm.lock" } else { "var/lib/rpm/.rpm.lock" };
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
            Self::Two(one, other) => {
                write!(f, "two rpm databases, {one} and {other}: which one counts cannot be known, remove the old one")
            }
        }
    }
}

impl std::error::Error for RpmdbError {}

/// Of today's Fedora and openSUSE, and of all others.
const PLACES: [&str; 2] = ["usr/lib/sysimage/rpm", "var/lib/rpm"];

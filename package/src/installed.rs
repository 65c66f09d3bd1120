//! What the databases of a root say is installed, whichever package managers keep them (`specs/installed.md`).
//!
//! A root can have several. They are the machine's own word: what is said to be installed and where, never what its content should be.

use crate::alpmdb::{self, AlpmdbError, NoExtract};
use crate::apkdb::{self, ApkdbError};
use crate::dpkg::{self, Aliases, Diversion, DpkgError, Lists, Owners, StatOverride};
use crate::paths::Paths;
use crate::root::{Root, RootError};
use crate::rpm::FileState;
use crate::rpmdb::{self, RpmdbError};
use attest::{Hash, Purl};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::OnceLock;

/// A package manager with a database of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manager {
    /// dpkg: Debian and its kin.
    Dpkg,
    /// rpm: Fedora, openSUSE and their kin.
    Rpm,
    /// pacman: Arch and its kin.
    Alpm,
    /// apk: Alpine and its kin.
    Apk,
}

/// How far a package's installation went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its files are in place.
    Installed,
    /// Begun and not ended; in the manager's word.
    Unfinished(String),
}

/// A package that is said to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Whose database it stands in.
    pub manager: Manager,
    /// Its name.
    pub name: String,
    /// Its version as package URLs have it: with the epoch, except for rpm.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// rpm's epoch, 0 for all others.
    pub epoch: u32,
    /// For apk, the branch that the root was made from, where it says.
    pub branch: Option<String>,
    /// For rpm, SHA-256 of the immutable header, computed from the database: exactly which package it is.
    pub header: Option<Hash>,
    /// How far its installation went.
    pub state: State,
    /// The paths below the root that it is said to have put there.
    pub files: Paths,
}

/// Everything read from one root.
#[derive(Debug, Clone)]
pub struct Database {
    /// The managers that have a database there.
    pub managers: Vec<Manager>,
    /// Every package that is installed or half so, sorted by name, architecture and version.
    pub packages: Vec<Installed>,
    /// dpkg's diversions.
    pub diversions: Vec<Diversion>,
    /// dpkg's overrides of owner and mode.
    pub statoverrides: Vec<StatOverride>,
    /// What pacman never unpacks.
    no_extract: NoExtract,
    /// What rpm's database says was left out, or lies on a share.
    left_out: BTreeSet<Vec<u8>>,
    /// A manager was interrupted; what to do about it.
    pub interrupted: Option<&'static str>,
    aliases: Aliases,
    owners: OnceLock<Owners>,
}

/// Why the databases of a root cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseError {
    /// There is none.
    None,
    /// dpkg's.
    Dpkg(DpkgError),
    /// rpm's.
    Rpm(RpmdbError),
    /// pacman's.
    Alpm(AlpmdbError),
    /// apk's.
    Apk(ApkdbError),
}

/// Someone is at work on the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Busy {
    /// The lock's file, below the root.
    pub file: &'static str,
    /// The process, where the system tells.
    pub process: Option<i32>,
}

impl Installed {
    /// The package URL under a vendor's namespace; `None` where name or version cannot stand in one.
    pub fn purl(&self, namespace: &str) -> Option<Purl> {
        let Self { name, version, architecture, .. } = self;
        match self.manager {
            Manager::Dpkg => Purl::deb(namespace, name, version, architecture),
            Manager::Rpm => Purl::rpm(namespace, name, version, architecture, self.epoch),
            Manager::Alpm => Purl::alpm(namespace, name, version, architecture),
            Manager::Apk => Purl::apk(namespace, name, version, architecture, self.branch.as_deref()),
        }
        .ok()
    }
}

impl fmt::Display for Installed {
    /// `name version architecture`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, self.version, self.architecture)
    }
}

impl Database {
    /// Reads every database that is there. A damaged one is an error, whatever the others say.
    pub fn open(root: &Root) -> Result<Self, DatabaseError> {
        let mut database = Self::without_packages(Aliases::read(root)?);
        database.add_dpkg(root)?;
        if let Some(place) = rpmdb::place(root)? {
            database.managers.push(Manager::Rpm);
            for package in rpmdb::read(root, place)? {
                let left_out = package.files.iter().filter(|(_, state)| matches!(state, FileState::NotInstalled | FileState::NetShared));
                database.left_out.extend(left_out.map(|(path, _)| path.clone()));
                database.packages.push(of_rpm(package));
            }
        }
        if alpmdb::is_there(root)? {
            database.managers.push(Manager::Alpm);
            database.packages.extend(alpmdb::read(root)?.into_iter().map(of_alpm));
            database.no_extract = NoExtract::read(root).map_err(AlpmdbError::from)?;
        }
        if let Some(place) = apkdb::place(root)? {
            database.managers.push(Manager::Apk);
            let branch = apkdb::branch(root).map_err(ApkdbError::from)?;
            database.packages.extend(apkdb::read(root, place)?.into_iter().map(|package| of_apk(package, branch.as_deref())));
        }
        if database.managers.is_empty() {
            return Err(DatabaseError::None);
        }
        database.packages.sort_by(|a, b| (&a.name, &a.architecture, &a.version).cmp(&(&b.name, &b.architecture, &b.version)));
        Ok(database)
    }

    /// The packages of this name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Installed> {
        self.packages.iter().filter(move |package| package.name == name)
    }

    /// The packages whose lists put something at this real path, diversions and aliases applied.
    pub fn owners_of(&self, path: &[u8]) -> impl Iterator<Item = &Installed> {
        // Made when somebody asks: where all is as it should be nobody does.
        let package = |at: usize| self.packages.get(at).map(|package| (package.name.as_str(), &package.files));
        let lists = Lists { packages: &package, diversions: &self.diversions, aliases: &self.aliases };
        let owners = self.owners.get_or_init(|| Owners::new(lists));
        owners.of(&self.aliases.canonical(path), lists).into_iter().filter_map(|at| self.packages.get(at))
    }

    /// Whether a package manager says that it left this out, as a package ships it: by pacman's settings or in rpm's database.
    pub fn is_left_out(&self, path: &[u8]) -> bool {
        self.no_extract.excludes(path) || self.left_out.contains(path)
    }

    fn without_packages(aliases: Aliases) -> Self {
        Self {
            managers: Vec::new(),
            packages: Vec::new(),
            diversions: Vec::new(),
            statoverrides: Vec::new(),
            no_extract: NoExtract::default(),
            left_out: BTreeSet::new(),
            interrupted: None,
            aliases,
            owners: OnceLock::new(),
        }
    }

    fn add_dpkg(&mut self, root: &Root) -> Result<(), DatabaseError> {
        let dpkg = match dpkg::Database::open(root) {
            Ok(dpkg) => dpkg,
            Err(DpkgError::NoDatabase) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        self.managers.push(Manager::Dpkg);
        self.packages.extend(dpkg.packages.into_iter().filter_map(of_dpkg));
        (self.diversions, self.statoverrides) = (dpkg.diversions, dpkg.statoverrides);
        let note = "dpkg was interrupted; its database may be behind (run: dpkg --configure -a)";
        self.interrupted = (!dpkg.journal.is_empty()).then_some(note);
        Ok(())
    }
}

/// Whoever is at work on the root; nothing is locked by asking. The answer can be old as soon as it is given.
pub fn busy(root: &Root) -> Result<Option<Busy>, DatabaseError> {
    let held = |holder: dpkg::LockHolder| Busy { file: holder.file, process: holder.process };
    if let Some(holder) = dpkg::lock_holder(root)? {
        return Ok(Some(held(holder)));
    }
    if let Some(place) = rpmdb::place(root)?
        && let Some(holder) = rpmdb::lock_holder(root, place).map_err(RpmdbError::from)?
    {
        return Ok(Some(held(holder)));
    }
    if let Some(place) = apkdb::place(root)?
        && let Some(holder) = apkdb::lock_holder(root, place).map_err(ApkdbError::from)?
    {
        return Ok(Some(held(holder)));
    }
    let locked = alpmdb::is_locked(root).map_err(AlpmdbError::from)?;
    Ok(locked.then_some(Busy { file: alpmdb::LOCK, process: None }))
}

/// `None` for a package of which only its configuration is left.
fn of_dpkg(package: dpkg::Installed) -> Option<Installed> {
    let state = if package.status.is_unfinished() {
        State::Unfinished(format!("{:?}", package.status.state))
    } else if package.status.is_installed() {
        State::Installed
    } else {
        return None;
    };
    let dpkg::Installed { name, version, architecture, files, .. } = package;
    Some(Installed { manager: Manager::Dpkg, name, version, architecture, epoch: 0, branch: None, header: None, state, files })
}

fn of_rpm(package: rpmdb::InstalledRpm) -> Installed {
    let rpmdb::InstalledRpm { identity, header, files } = package;
    let put = files.into_iter().filter(|(_, state)| *state == FileState::Normal);
    Installed {
        manager: Manager::Rpm,
        name: identity.name,
        version: identity.version,
        architecture: identity.architecture,
        epoch: identity.epoch,
        branch: None,
        header: Some(header),
        state: State::Installed,
        files: put.map(|(path, _)| path).collect(),
    }
}

fn of_alpm(package: alpmdb::InstalledAlpm) -> Installed {
    let alpmdb::InstalledAlpm { identity, files } = package;
    Installed {
        manager: Manager::Alpm,
        name: identity.name,
        version: identity.version,
        architecture: identity.architecture,
        epoch: 0,
        branch: None,
        header: None,
        state: State::Installed,
        files: files.into_iter().collect(),
    }
}

fn of_apk(package: apkdb::InstalledApk, branch: Option<&str>) -> Installed {
    let apkdb::InstalledApk { identity, broken, files } = package;
    Installed {
        manager: Manager::Apk,
        name: identity.name,
        version: identity.version,
        architecture: identity.architecture,
        epoch: 0,
        branch: branch.map(str::to_owned),
        header: None,
        state: if broken { State::Unfinished("broken".to_owned()) } else { State::Installed },
        files: files.into_iter().collect(),
    }
}

impl DatabaseError {
    /// The place that this user may not see, where that is the reason.
    pub fn unreadable(&self) -> Option<&RootError> {
        match self {
            Self::Dpkg(DpkgError::Unreadable(error)) => Some(error),
            Self::Rpm(RpmdbError::Unreadable(error)) | Self::Alpm(AlpmdbError::Unreadable(error)) => Some(error),
            Self::Apk(ApkdbError::Unreadable(error)) => Some(error),
            _ => None,
        }
    }
}

impl From<DpkgError> for DatabaseError {
    fn from(error: DpkgError) -> Self {
        Self::Dpkg(error)
    }
}

impl From<RpmdbError> for DatabaseError {
    fn from(error: RpmdbError) -> Self {
        Self::Rpm(error)
    }
}

impl From<AlpmdbError> for DatabaseError {
    fn from(error: AlpmdbError) -> Self {
        Self::Alpm(error)
    }
}

impl From<ApkdbError> for DatabaseError {
    fn from(error: ApkdbError) -> Self {
        Self::Apk(error)
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no database of dpkg, rpm, pacman or apk is there"),
            Self::Dpkg(error) => error.fmt(f),
            Self::Rpm(error) => error.fmt(f),
            Self::Alpm(error) => error.fmt(f),
            Self::Apk(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DatabaseError {}

//! The dpkg database of an installed root (`specs/dpkg.md`, section 2).
//!
//! The database is the machine's own word: it says what is said to be installed and where local tables moved
//! files to. It never says what their content should be.

mod alternatives;
mod config;
mod error;
mod index;
mod lock;
mod status;
mod tables;

use crate::root::Root;
use std::collections::BTreeMap;
use std::sync::OnceLock;

pub use alternatives::{Alternative, Choice};
pub use config::PathFilters;
pub(crate) use config::matches;
pub use error::DpkgError;
pub use index::{Aliases, Located};
pub(crate) use index::{Lists, Owners};
pub(crate) use lock::holder;
pub use lock::{LockHolder, lock_holder};
pub use status::{Installed, InstalledConffile, State, Status, Want, parse_status};
pub use tables::{Diversion, StatOverride, parse_diversions, parse_list, parse_statoverrides};

/// Everything read from one root.
#[derive(Debug, Clone)]
pub struct Database {
    /// Every package with a state other than `not-installed`, sorted by name and architecture.
    pub packages: Vec<Installed>,
    /// Local and package-made diversions.
    pub diversions: Vec<Diversion>,
    /// Owners and modes set by the administrator or by scripts.
    pub statoverrides: Vec<StatOverride>,
    /// Groups of `update-alternatives`.
    pub alternatives: Vec<Alternative>,
    /// Top-level directories that are links into `usr`.
    pub aliases: Aliases,
    /// `path-exclude` and `path-include` of the root's dpkg configuration.
    pub filters: PathFilters,
    /// Names of journal files in `updates/`: dpkg is at work or was interrupted, and `status` may be behind.
    pub journal: Vec<String>,
    owners: OnceLock<Owners>,
}

impl Database {
    /// Reads the whole database. Errors name file and line. A root with neither `status` nor `status.d` has no database.
    pub fn open(root: &Root) -> Result<Self, DpkgError> {
        let packages = status::read(root)?;
        let diversions = optional(root, "diversions", parse_diversions)?;
        let statoverrides = optional(root, "statoverride", parse_statoverrides)?;
        let aliases = Aliases::read(root)?;
        Ok(Self {
            alternatives: alternatives::read(root)?,
            filters: PathFilters::read(root)?,
            journal: lock::journal(root)?,
            packages,
            diversions,
            statoverrides,
            aliases,
            owners: OnceLock::new(),
        })
    }

    /// The packages of this name (several with multi-arch).
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Installed> {
        self.packages.iter().filter(move |package| package.name == name)
    }

    /// The packages whose lists put something at this real path (relative, raw bytes), diversions and aliases applied.
    pub fn owners_of(&self, path: &[u8]) -> impl Iterator<Item = &Installed> {
        let package = |at: usize| self.packages.get(at).map(|package| (package.name.as_str(), &package.files));
        let lists = Lists { packages: &package, diversions: &self.diversions, aliases: &self.aliases };
        let owners = self.owners.get_or_init(|| Owners::new(lists));
        owners.of(&self.aliases.canonical(path), lists).into_iter().filter_map(|at| self.packages.get(at))
    }

    /// Where the file that the package ships as `path` stands on this root.
    pub fn locate(&self, path: &[u8], package: &str) -> Located<'_> {
        index::locate(path, package, &self.diversions, &self.aliases)
    }

    /// The owner and mode set locally for a path as packages ship it, or as it really stands.
    pub fn statoverride(&self, path: &[u8]) -> Option<&StatOverride> {
        let real = self.aliases.canonical(path);
        self.statoverrides.iter().find(|known| known.path == path || self.aliases.canonical(&known.path) == real)
    }

    /// The alternative whose link stands at this path: `usr/bin/awk` or `etc/alternatives/awk`.
    pub fn alternative(&self, path: &[u8]) -> Option<&Alternative> {
        let real = self.aliases.canonical(path);
        self.alternatives.iter().find(|group| group.links().any(|link| self.aliases.canonical(&link) == real))
    }

    /// Packages that are neither completely installed nor gone.
    pub fn unfinished(&self) -> impl Iterator<Item = &Installed> {
        self.packages.iter().filter(|package| package.status.is_unfinished())
    }

    /// Packages by name and architecture.
    pub fn by_key(&self) -> BTreeMap<(&str, &str), &Installed> {
        self.packages.iter().map(|package| ((package.name.as_str(), package.architecture.as_str()), package)).collect()
    }
}

/// Reads and parses a file of the database's own directory; an absent one counts as empty.
fn optional<T: Default>(root: &Root, name: &str, parse: fn(&[u8], &str) -> Result<T, DpkgError>) -> Result<T, DpkgError> {
    let path = format!("{DATABASE}/{name}");
    root.read(path.as_bytes(), FILE)?.map_or_else(|| Ok(T::default()), |content| parse(&content, &path))
}

/// Where the database lives, below the root.
const DATABASE: &str = "var/lib/dpkg";
/// Bytes of one file of the database.
const FILE: u64 = 256 << 20;

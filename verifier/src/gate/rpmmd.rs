//! What repositories of rpm packages say of themselves, as dnf and zypper keep it (`specs/gate.md`, section 2).

pub mod advisories;
pub mod primary;
mod xml;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use package::compression::{Compression, Decoder};

/// What names a package of rpm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nevra {
    /// Its name.
    pub name: String,
    /// Its epoch.
    pub epoch: u32,
    /// Version and release.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
}

impl Nevra {
    /// The same in one line.
    #[must_use]
    pub fn identity(&self) -> String {
        crate::archive::identity(&self.name, self.epoch, &self.version, &self.architecture)
    }
}

/// The packages of these names that the advisories in a `repodata` directory call security updates. Grace is all that follows from it, so
/// one that cannot be read brings none.
#[must_use]
pub fn security_updates(repodata: &Path, names: &BTreeSet<&str>) -> BTreeSet<Nevra> {
    let entries = std::fs::read_dir(repodata).into_iter().flatten().flatten();
    let lists = entries.filter(|entry| entry.file_name().to_string_lossy().contains("updateinfo.xml"));
    lists.filter_map(|entry| advisories::parse(open(&entry.path()).ok()?, names).ok()).flatten().collect()
}

/// A list, decompressed as its name says.
fn open(path: &Path) -> io::Result<impl Read> {
    let extension = path.extension().and_then(|extension| extension.to_str()).filter(|extension| *extension != "xml").unwrap_or_default();
    let compression = Compression::from_extension(extension).ok_or_else(|| io::Error::other("compressed in a way that is not read"))?;
    Decoder::new(compression, File::open(path)?, MAX_LIST)
}

const MAX_LIST: u64 = 8 << 30;

//! A package of any format that is judged before it is installed: its file, read completely and once, or what a repository says of it.

use std::fmt::{self, Display};
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;

use attest::{Manifest, Purl};
use package::control::Control;
use package::deb::Limits;
use package::installed::Manager;
use package::root::Root;
use package::tarball::Identity;
use package::{alpm, apk, apkdb, deb, rpm};
use tlog::Hash;

/// Which package manager it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.deb`.
    Deb,
    /// `.rpm`.
    Rpm,
    /// `.pkg.tar.zst` and its like.
    Alpm,
    /// `.apk`.
    Apk,
}

impl Format {
    /// Who keeps a database of what was installed from such files.
    #[must_use]
    pub fn manager(self) -> Manager {
        match self {
            Self::Deb => Manager::Dpkg,
            Self::Rpm => Manager::Rpm,
            Self::Alpm => Manager::Alpm,
            Self::Apk => Manager::Apk,
        }
    }
}

/// What a package file says, and what it would install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Its format.
    pub format: Format,
    /// Name, as the package says.
    pub name: String,
    /// Version, as package URLs of the format spell it (for rpm without the epoch).
    pub version: String,
    /// Architecture.
    pub architecture: String,
    /// The epoch of rpm packages; 0 where there is none, and for the other formats.
    pub epoch: u32,
    /// For apk, the branch of this machine: the file does not say of which one it is.
    pub branch: Option<String>,
    /// SHA-256 of the package file.
    pub sha256: Hash,
    /// SHA-256 of what survives signing again: for rpm of the immutable header, for apk of the control member.
    pub content: Option<Hash>,
    /// The source package that it names, with the version; `None` where it names none, or was not read.
    pub source: Option<(String, String)>,
    /// What it would install; `None` where only the digest is known.
    pub manifest: Option<Manifest>,
}

impl Archive {
    /// Reads a package file.
    ///
    /// # Errors
    /// Why it is none, in words.
    pub fn read(path: &Path) -> Result<Self, String> {
        let mut file = File::open(path).map_err(words)?;
        let mut magic = [0; 8];
        let read = file.read(&mut magic).and_then(|read| file.rewind().map(|()| read)).map_err(words)?;
        let limits = Limits::default();
        match &magic[..read] {
            [0xed, 0xab, 0xee, 0xdb, ..] => rpm::read(file, &limits).map(Self::from).map_err(words),
            // gzip is used by two formats, which their names tell apart.
            [0x1f, 0x8b, ..] if path.extension().is_some_and(|extension| extension == "apk") => {
                let package = apk::read(file, &limits).map_err(words)?;
                let root = Root::open(Path::new("/")).map_err(words)?;
                Ok(Self { branch: apkdb::branch(&root).map_err(words)?, ..Self::from(package) })
            }
            // zstd, xz, gzip.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0xfd, b'7', b'z', b'X', b'Z', 0, ..] | [0x1f, 0x8b, ..] => {
                alpm::read(file, &limits).map(Self::from).map_err(words)
            }
            _ => deb::read(file, &limits).map(Self::from).map_err(words),
        }
    }

    /// A package of which only the digest is known.
    #[must_use]
    pub fn listed(format: Format, identity: Identity, sha256: Hash) -> Self {
        let Identity { name, version, architecture } = identity;
        Self { format, name, version, architecture, epoch: 0, branch: None, sha256, content: None, source: None, manifest: None }
    }

    /// What it is, in one line.
    #[must_use]
    pub fn identity(&self) -> String {
        identity(&self.name, self.epoch, &self.version, &self.architecture)
    }

    /// The package URL under which it may be attested in a namespace.
    #[must_use]
    pub fn purl(&self, namespace: &str) -> Option<Purl> {
        let purl = match self.format {
            Format::Deb => Purl::deb(namespace, &self.name, &self.version, &self.architecture),
            Format::Rpm => Purl::rpm(namespace, &self.name, &self.version, &self.architecture, self.epoch),
            Format::Alpm => Purl::alpm(namespace, &self.name, &self.version, &self.architecture),
            Format::Apk => Purl::apk(namespace, &self.name, &self.version, &self.architecture, self.branch.as_deref()),
        };
        purl.ok()
    }

    /// The package URL of its source package.
    #[must_use]
    pub fn source(&self, purl: &Purl) -> Option<Purl> {
        let (name, version) = self.source.as_ref()?;
        purl.source(name, version).ok()
    }
}

/// A package in one line: name, epoch and version, architecture.
#[must_use]
pub fn identity(name: &str, epoch: u32, version: &str, architecture: &str) -> String {
    let epoch = if epoch == 0 { String::new() } else { format!("{epoch}:") };
    format!("{name} {epoch}{version} {architecture}")
}

impl Display for Archive {
    /// `name version architecture`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, self.version, self.architecture)
    }
}

fn words(error: impl Display) -> String {
    error.to_string()
}

impl From<deb::DebPackage> for Archive {
    fn from(package: deb::DebPackage) -> Self {
        let Control { name, version, architecture, source, source_version, .. } = package.control;
        let listed = Self::listed(Format::Deb, Identity { name, version, architecture }, package.sha256);
        Self { source: Some((source, source_version)), manifest: Some(package.manifest), ..listed }
    }
}

impl From<rpm::RpmPackage> for Archive {
    fn from(package: rpm::RpmPackage) -> Self {
        let rpm::Identity { name, epoch, version, architecture } = package.identity;
        let listed = Self::listed(Format::Rpm, Identity { name, version, architecture }, package.sha256);
        Self { epoch, content: Some(package.header), source: package.source, manifest: Some(package.manifest), ..listed }
    }
}

impl From<alpm::AlpmPackage> for Archive {
    fn from(package: alpm::AlpmPackage) -> Self {
        let listed = Self::listed(Format::Alpm, package.identity, package.sha256);
        Self { source: package.source, manifest: Some(package.manifest), ..listed }
    }
}

impl From<apk::ApkPackage> for Archive {
    fn from(package: apk::ApkPackage) -> Self {
        let listed = Self::listed(Format::Apk, package.identity, package.sha256);
        Self { content: Some(package.control), source: package.source, manifest: Some(package.manifest), ..listed }
    }
}

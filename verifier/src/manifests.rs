//! Manifests in the cache, one file each, named by their root and checked against it at every use.

use std::path::PathBuf;

use attest::Manifest;
use attest::manifest::tree_of;
use attest::predicate::PackageFiles;
use tlog::Hash;

/// Why a manifest cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not in the cache.
    #[error("the manifest {0} is not in the cache; run: tally sync")]
    Absent(Hash),
    /// Its bytes are not those of its name, or of another package file.
    #[error("the manifest {0} in the cache is damaged; run: tally sync")]
    Damaged(Hash),
}

/// The directory of manifests.
#[derive(Clone, Debug)]
pub struct Manifests {
    dir: PathBuf,
}

impl Manifests {
    /// The manifests below a cache.
    #[must_use]
    pub fn new(cache: &std::path::Path) -> Self {
        Self { dir: cache.join("manifests") }
    }

    /// Where a manifest is kept.
    #[must_use]
    pub fn path(&self, root: &Hash) -> PathBuf {
        self.dir.join(root.to_hex())
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &std::path::Path {
        &self.dir
    }

    /// The text of a manifest, checked against what a claim says of it.
    ///
    /// # Errors
    /// If it is not there, or has another root, number of lines or bytes.
    pub fn text(&self, files: &PackageFiles) -> Result<Vec<u8>, ManifestError> {
        let text = std::fs::read(self.path(&files.manifest)).map_err(|_| ManifestError::Absent(files.manifest))?;
        if fits(&text, files) { Ok(text) } else { Err(ManifestError::Damaged(files.manifest)) }
    }

    /// The manifest that a claim about the package file `package` names.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn load(&self, files: &PackageFiles, package: &Hash) -> Result<Manifest, ManifestError> {
        let damaged = ManifestError::Damaged(files.manifest);
        let manifest = Manifest::parse(&self.text(files)?).map_err(|_| damaged.clone())?;
        if manifest.package() == package { Ok(manifest) } else { Err(damaged) }
    }
}

/// Whether a text is the manifest that a claim names.
#[must_use]
pub fn fits(text: &[u8], files: &PackageFiles) -> bool {
    text.len() as u64 == files.bytes && tree_of(text) == files.tree()
}

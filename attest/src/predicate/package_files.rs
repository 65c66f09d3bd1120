//! `package-files/v1`: the claim. A pure function of the package file's bytes: no time, nothing of the builder.

use serde::{Deserialize, Serialize};
use tlog::{Hash, Tree};

use super::is_integer;
use crate::json;
use crate::manifest::{self, Manifest};
use crate::statement::StatementError;

/// Which manifest the package file has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageFiles {
    /// Size of the manifest in bytes.
    pub bytes: u64,
    /// Lines of the manifest, its header included: the number of leaves under the root.
    pub lines: u64,
    /// The manifest's root.
    #[serde(with = "json::hash")]
    pub manifest: Hash,
}

impl PackageFiles {
    /// The claim that this manifest makes.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        let text = manifest.encode();
        let tree = manifest::tree_of(&text);
        Self { bytes: text.len() as u64, lines: tree.size, manifest: tree.root }
    }

    /// Lines and root as a tree, under which single lines can be proven.
    #[must_use]
    pub const fn tree(&self) -> Tree {
        Tree { size: self.lines, root: self.manifest }
    }

    pub(super) fn check(&self) -> Result<(), StatementError> {
        if !is_integer(self.bytes) || self.bytes > manifest::MAX_BYTES as u64 || self.lines < 2 || self.lines > manifest::MAX_LINES as u64 {
            return Err(StatementError::BadPredicate("a manifest has at least 2 lines, at most 1,000,000, and at most 64 MiB"));
        }
        Ok(())
    }
}

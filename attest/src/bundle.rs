//! The offline proof bundle: one file with everything that a verdict needs (`specs/bundle.md`).

use std::fmt;

use tlog::{Hash, InclusionProof, SignedCheckpoint};

/// Why a bundle was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BundleError {
    /// Not a bundle, truncated, or followed by something.
    Malformed,
    /// A part over its limit.
    TooLarge,
    /// Leaves or manifests out of order or repeated.
    OutOfOrder,
    /// The proof of this leaf does not lead to the checkpoint.
    BadProof(u64),
    /// A manifest does not have the root that names it.
    BadManifest(Hash),
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not a bundle, or a truncated one"),
            Self::TooLarge => f.write_str("a part of the bundle is over its limit"),
            Self::OutOfOrder => f.write_str("leaves or manifests of the bundle are out of order"),
            Self::BadProof(index) => write!(f, "the proof of entry {index} does not lead to the bundle's checkpoint"),
            Self::BadManifest(root) => write!(f, "the manifest {root} has another root"),
        }
    }
}

impl std::error::Error for BundleError {}

/// A leaf with its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundledLeaf {
    /// Its index.
    pub index: u64,
    /// The envelope's bytes.
    pub leaf: Vec<u8>,
    /// From the leaf to the bundle's checkpoint.
    pub proof: InclusionProof,
}

/// A manifest with its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundledManifest {
    /// Its name.
    pub root: Hash,
    /// Its text.
    pub text: Vec<u8>,
}

/// Everything that a verdict needs. Roles, advisories and control heads are leaves like all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The cosigned checkpoint that all proofs lead to, verbatim.
    pub checkpoint: SignedCheckpoint,
    /// In order of indices, each once.
    pub leaves: Vec<BundledLeaf>,
    /// In order of roots, each once.
    pub manifests: Vec<BundledManifest>,
}

impl Bundle {
    /// Reads a bundle; proofs are not checked.
    pub fn parse(_bytes: &[u8]) -> Result<Self, BundleError> {
        todo!()
    }

    /// The file's bytes. Leaves and manifests are sorted and repeated ones left out.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }

    /// Checks every inclusion proof against the checkpoint and every manifest against its root. Whether the checkpoint is
    /// to be believed is for the policy ([`tlog::Policy::verify`]), what the leaves are worth for [`crate::judge`].
    pub fn verify(&self) -> Result<(), BundleError> {
        todo!()
    }
}

//! Agreement of builders on what a package file contains.

use tlog::{Hash, VerifierKey};

use super::Leaf;
use crate::predicate::PackageFiles;
use crate::purl::Purl;

/// A builder that made a claim, and in which entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attester {
    /// The builder.
    pub key: VerifierKey,
    /// Its (first) entry.
    pub index: u64,
}

/// One claim about a package file and everybody who made it; keys are counted, never leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What was said.
    pub files: PackageFiles,
    /// Who said it, by distinct keys, in order of entries.
    pub attesters: Vec<Attester>,
}

/// What the claims about one package file come to, for a number k of builders that must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimVerdict {
    /// One claim, by at least k builders.
    Agreed,
    /// One claim reaches k, but somebody dissents: shown, and judged as too few builders.
    Dissent,
    /// One claim, by fewer than k builders.
    TooFew,
    /// Several claims of which none or more than one reaches k: `builder-conflict`.
    Conflict,
}

/// All claims about one package file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageClaims {
    /// SHA-256 of the package file.
    pub package: Hash,
    /// The claims, the one with most builders first (then the earlier entry).
    pub claims: Vec<Claim>,
    /// Builders that said two different things about this package file; they count for none of their claims.
    pub contradictory: Vec<Attester>,
}

impl PackageClaims {
    /// The verdict for k builders.
    #[must_use]
    pub fn verdict(&self, _k: usize) -> ClaimVerdict {
        todo!()
    }

    /// The claim to verify against: that which alone reaches k.
    #[must_use]
    pub fn agreed(&self, _k: usize) -> Option<&Claim> {
        todo!()
    }
}

/// Claims about a package, grouped by package file (in order of the first claim). More than one group: the package is
/// ambiguous (same name, version and architecture, different package files).
#[must_use]
pub fn claims_for(_purl: &Purl, _standing: &[Leaf]) -> Vec<PackageClaims> {
    todo!()
}

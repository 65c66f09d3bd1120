//! Agreement of builders on what a package file contains.

use tlog::{Hash, VerifierKey};

use super::Leaf;
use crate::predicate::{PackageFiles, Predicate};
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
    /// For rpm and apk packages, what survives signing again: the same package may be claimed under several files.
    pub content: Option<Hash>,
    /// The claims, the one with most builders first (then the earlier entry). One that only contradictory builders made
    /// has no attesters left, and is still a claim.
    pub claims: Vec<Claim>,
    /// Builders that said two different things about this package file; they count for none of their claims.
    pub contradictory: Vec<Attester>,
}

impl PackageClaims {
    /// The verdict for k builders (at least 1).
    #[must_use]
    pub fn verdict(&self, k: usize) -> ClaimVerdict {
        match (self.claims.len(), self.reaching(k).count()) {
            (1, 1) => ClaimVerdict::Agreed,
            (0 | 1, 0) => ClaimVerdict::TooFew,
            (_, 1) => ClaimVerdict::Dissent,
            _ => ClaimVerdict::Conflict,
        }
    }

    /// The claim to verify against: that which alone reaches k.
    #[must_use]
    pub fn agreed(&self, k: usize) -> Option<&Claim> {
        let mut reaching = self.reaching(k);
        reaching.next().filter(|_| reaching.next().is_none())
    }

    fn reaching(&self, k: usize) -> impl Iterator<Item = &Claim> {
        self.claims.iter().filter(move |claim| claim.attesters.len() >= k.max(1))
    }

    fn new(package: Hash, content: Option<Hash>) -> Self {
        Self { package, content, claims: Vec::new(), contradictory: Vec::new() }
    }

    fn add(&mut self, files: &PackageFiles, leaf: &Leaf) {
        let found = self.claims.iter().position(|claim| claim.files == *files);
        let place = found.unwrap_or(self.claims.len());
        if found.is_none() {
            self.claims.push(Claim { files: files.clone(), attesters: Vec::new() });
        }
        if let Some(claim) = self.claims.get_mut(place) {
            add_attester(&mut claim.attesters, leaf);
        }
    }

    /// Takes out builders that made several claims, and sorts.
    fn settle(&mut self) {
        let mut several: Vec<Attester> = Vec::new();
        for (place, claim) in self.claims.iter().enumerate() {
            let later = || self.claims.iter().skip(place + 1).flat_map(|claim| &claim.attesters);
            for attester in &claim.attesters {
                if later().any(|other| other.is(&attester.key)) && !several.iter().any(|known| known.is(&attester.key)) {
                    several.push(attester.clone());
                }
            }
        }
        for claim in &mut self.claims {
            claim.attesters.retain(|attester| !several.iter().any(|known| known.is(&attester.key)));
        }
        // Stable: claims with equally many builders stay in the order of their first entries.
        self.claims.sort_by_key(|claim| std::cmp::Reverse(claim.attesters.len()));
        self.contradictory = several;
    }
}

impl Attester {
    /// The same key, whatever its name.
    pub(super) fn is(&self, key: &VerifierKey) -> bool {
        self.key.public() == key.public()
    }
}

/// Adds the leaf's key if it is not there yet.
pub(super) fn add_attester(attesters: &mut Vec<Attester>, leaf: &Leaf) {
    if !attesters.iter().any(|known| known.is(&leaf.key)) {
        attesters.push(Attester { key: leaf.key.clone(), index: leaf.index });
    }
}

/// Claims about a package, grouped by package file (in order of the first claim). More than one group: the package is
/// ambiguous (same name, version and architecture, different package files).
#[must_use]
pub fn claims_for(purl: &Purl, standing: &[Leaf]) -> Vec<PackageClaims> {
    let name = purl.to_string();
    let mut groups: Vec<PackageClaims> = Vec::new();
    for leaf in standing.iter().filter(|leaf| leaf.statement.subject.name == name) {
        let Predicate::PackageFiles(files) = &leaf.statement.predicate else { continue };
        let digest = &leaf.statement.subject.digest;
        let (package, content) = (digest.sha256, digest.content());
        let is_same = |group: &PackageClaims| (group.package, group.content) == (package, content);
        if !groups.iter().any(is_same) {
            groups.push(PackageClaims::new(package, content));
        }
        groups.iter_mut().filter(|group| is_same(group)).for_each(|group| group.add(files, leaf));
    }
    groups.iter_mut().for_each(PackageClaims::settle);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::Role;
    use crate::statement::Statement;
    use tlog::{KeyKind, KeyName, Signer as _, SigningKey};

    const ATTR: &str = "pkg:deb/debian/attr@1:2.5.1-4?arch=amd64";

    /// The same claim, said by the key of this name and seed.
    fn said(index: u64, name: &str, seed: u8) -> Leaf {
        let files = PackageFiles { bytes: 1000, lines: 10, manifest: Hash::digest(b"manifest") };
        let statement = Statement::about_package(&Purl::parse(ATTR).unwrap(), Hash::digest(b"deb"), Predicate::PackageFiles(files));
        let signer = SigningKey::from_seed(KeyName::parse(name).unwrap(), KeyKind::Ed25519, &[seed; 32]).unwrap();
        let role = Some(Role::Builder);
        Leaf { index, key: signer.key().clone(), role, payload: Hash::digest(b"payload"), statement }
    }

    #[test]
    fn keys_are_counted_and_not_their_names() {
        let attesters = |leaves: &[Leaf]| claims_for(&Purl::parse(ATTR).unwrap(), leaves)[0].claims[0].attesters.len();
        assert_eq!(attesters(&[said(1, "old.example", 7), said(2, "renamed.example", 7)]), 1, "one key under two names");
        assert_eq!(attesters(&[said(1, "same.example", 7), said(2, "same.example", 8)]), 2, "two keys under one name");
    }
}

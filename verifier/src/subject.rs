//! One installed package: what is claimed about it, by whom, and whether that is enough.

use std::collections::HashMap;

use attest::judge::{Attester, Claim, ClaimVerdict, PackageClaims, Rebuilds, observations_for, rebuilds_for};
use attest::manifest::unescape_path;
use attest::predicate::Observed;
use attest::{Manifest, Purl};
use package::installed::Installed;
use tlog::Hash;

use crate::archive::Archive;
use crate::config::Rules;
use crate::finding::{Attested, Finding, Kind};
use crate::knowledge::Knowledge;
use crate::manifests::Manifests;
use crate::warnings;

/// A package file that enough builders agree on, as a candidate for what is installed.
#[derive(Debug)]
pub struct Variant {
    /// SHA-256 of the package file.
    pub package: Hash,
    /// The claim.
    pub claim: Claim,
    /// What it says.
    pub manifest: Manifest,
    /// Observations that enough builders share, by raw path.
    pub observed: HashMap<Vec<u8>, Vec<Observed>>,
    /// What rebuilders say about the package file.
    pub rebuilds: Rebuilds,
    /// Who made the claim.
    pub attested: Attested,
}

/// An installed package.
#[derive(Debug)]
pub struct Subject {
    /// `name version arch`.
    pub label: String,
    /// Its name alone, as diversions name it.
    pub name: String,
    /// The package URL under which claims were found (or looked for first).
    pub purl: Option<Purl>,
    /// All claims, by package file.
    pub claims: Vec<PackageClaims>,
    /// What is wrong with the claims.
    pub findings: Vec<Finding>,
    /// Candidates; more than one only for ambiguous packages.
    pub variants: Vec<Variant>,
}

/// Where claims and manifests come from, and how many builders must agree.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The leaves.
    pub knowledge: &'a Knowledge,
    /// The manifests.
    pub manifests: &'a Manifests,
    /// The policy.
    pub rules: &'a Rules,
    /// Namespaces to look in, in this order.
    pub namespaces: &'a [String],
    /// The time, in seconds since 1970.
    pub now: u64,
}

impl Subject {
    /// Finds and weighs the claims about an installed package.
    #[must_use]
    pub fn assess(installed: &Installed, sources: &Sources<'_>) -> Self {
        let label = installed.to_string();
        let purls = purls(installed, sources.namespaces);
        let found = purls.iter().map(|purl| (purl, sources.knowledge.claims(purl))).find(|(_, claims)| !claims.is_empty());
        let (purl, claims) = match found {
            Some((purl, claims)) => (Some(purl.clone()), claims),
            None => (purls.first().cloned(), Vec::new()),
        };
        let mut subject = Self { label, name: installed.name.clone(), purl, claims, findings: Vec::new(), variants: Vec::new() };
        if let Some(header) = installed.header {
            subject.keep_header(header);
        }
        subject.weigh(sources);
        let packages: Vec<Hash> = subject.claims.iter().map(|claims| claims.package).collect();
        subject.warn(sources, &packages, &[]);
        subject
    }

    /// The same for a package file at hand: only claims about its digest count, and those about the same package with other signatures.
    #[must_use]
    pub fn of_file(archive: &Archive, purls: &[Purl], sources: &Sources<'_>) -> Self {
        let (package, content) = (archive.sha256, archive.content);
        let is_same = |claims: &PackageClaims| claims.package == package || (content.is_some() && claims.content == content);
        let claims = |purl: &Purl| -> Vec<PackageClaims> { sources.knowledge.claims(purl).into_iter().filter(is_same).collect() };
        let found = purls.iter().map(|purl| (purl.clone(), claims(purl))).find(|(_, claims)| !claims.is_empty());
        let (purl, claims) = found.map_or_else(|| (purls.first().cloned(), Vec::new()), |(purl, claims)| (Some(purl), claims));
        let mut subject =
            Self { label: archive.to_string(), name: archive.name.clone(), purl, claims, findings: Vec::new(), variants: Vec::new() };
        subject.weigh(sources);
        let own: Vec<Purl> = subject.purl.as_ref().and_then(|purl| archive.source(purl)).into_iter().collect();
        subject.warn(sources, &[package], &own);
        subject
    }

    /// Of an rpm package it is known exactly which one is installed: claims about others of its name do not count.
    fn keep_header(&mut self, header: Hash) {
        let others = self.claims.len();
        self.claims.retain(|claims| claims.content == Some(header));
        if self.claims.is_empty() && others > 0 {
            let why = format!("what the log knows of this name and version are other packages; the installed one has the header {header}");
            self.findings.push(Finding::new(Kind::Unattested, why).of(&self.label));
        }
    }

    fn weigh(&mut self, sources: &Sources<'_>) {
        if self.claims.is_empty() {
            if !self.findings.is_empty() {
                return;
            }
            let name = self.purl.as_ref().map_or_else(|| self.label.clone(), Purl::to_string);
            self.findings.push(Finding::new(Kind::Unattested, format!("no entry of the log says what {name} contains")).of(&self.label));
            return;
        }
        let k = sources.rules.builders;
        for claims in std::mem::take(&mut self.claims) {
            match claims.verdict(k) {
                ClaimVerdict::Agreed => {}
                ClaimVerdict::Dissent => self.findings.push(several(Kind::Dissent, &claims, sources.manifests, k)),
                ClaimVerdict::Conflict => self.findings.push(several(Kind::BuilderConflict, &claims, sources.manifests, k)),
                ClaimVerdict::TooFew => {}
            }
            if let Some(claim) = claims.agreed(k) {
                self.add_variant(claim.clone(), claims.package, sources);
            }
            self.claims.push(claims);
        }
        let conflict = self.findings.iter().any(|finding| matches!(finding.kind, Kind::BuilderConflict | Kind::CacheIncomplete));
        // The same package under two signatures is one package.
        self.variants.dedup_by(|a, b| a.manifest.entries() == b.manifest.entries());
        if self.variants.is_empty() && !conflict {
            self.findings.push(self.too_few(k));
        }
        if self.variants.len() > 1 {
            let why = format!(
                "{} package files of this name, version and architecture are attested; the one that fits is used",
                self.variants.len()
            );
            self.findings.push(Finding::new(Kind::AmbiguousPackage, why));
        }
        self.findings.iter_mut().for_each(|finding| finding.package = Some(self.label.clone()));
    }

    fn add_variant(&mut self, claim: Claim, package: Hash, sources: &Sources<'_>) {
        let attested = attested(&claim.attesters);
        match sources.manifests.load(&claim.files, &package) {
            Err(error) => {
                self.findings.push(Finding::new(Kind::CacheIncomplete, error.to_string()).attested(&attested));
            }
            Ok(manifest) => {
                let leaves = self.purl.as_ref().map(|purl| sources.knowledge.about(&purl.to_string())).unwrap_or_default();
                let mut observed: HashMap<Vec<u8>, Vec<Observed>> = HashMap::new();
                for agreed in observations_for(&package, &claim.files.manifest, sources.rules.builders, leaves) {
                    if let Some(path) = unescape_path(&agreed.observed.path) {
                        observed.entry(path).or_default().push(agreed.observed);
                    }
                }
                let rebuilds = rebuilds_for(&package, leaves);
                self.variants.push(Variant { package, claim, manifest, observed, rebuilds, attested });
            }
        }
    }

    fn too_few(&self, k: usize) -> Finding {
        let said: Vec<String> =
            self.claims.iter().flat_map(|claims| claims.claims.iter().map(move |claim| say(claim, &claims.package))).collect();
        let contradictory: usize = self.claims.iter().map(|claims| claims.contradictory.len()).sum();
        let note =
            if contradictory == 0 { String::new() } else { format!("; {contradictory} builders contradict themselves and do not count") };
        let mut all = Attested::default();
        self.claims.iter().flat_map(|claims| &claims.claims).for_each(|claim| all.by.extend(attested(&claim.attesters).by));
        let why = format!("{k} builders must agree, and they do not: {}{note}", said.join("; "));
        Finding::new(Kind::TooFewBuilders, why).attested(&all)
    }

    /// What the security team and admins say of it; `packages` are the package files that it may be.
    fn warn(&mut self, sources: &Sources<'_>, packages: &[Hash], own: &[Purl]) {
        let Some(purl) = &self.purl else { return };
        let said = warnings::about(sources.knowledge, purl, packages, own, sources.now);
        self.findings.extend(said.into_iter().map(|finding| finding.of(&self.label)));
    }
}

/// The package URLs under which a package may be attested.
#[must_use]
pub fn purls(installed: &Installed, namespaces: &[String]) -> Vec<Purl> {
    namespaces.iter().filter_map(|namespace| installed.purl(namespace)).collect()
}

/// Entries and names of those who attested.
#[must_use]
pub fn attested(attesters: &[Attester]) -> Attested {
    Attested { by: attesters.iter().map(|attester| (attester.index, attester.key.name().as_str().to_owned())).collect() }
}

fn say(claim: &Claim, package: &Hash) -> String {
    let who = if claim.attesters.is_empty() { "nobody any more".to_owned() } else { attested(&claim.attesters).to_string() };
    let short = |hash: &Hash| hash.to_hex()[..12].to_owned();
    format!("{who} of the package file {}… says that its manifest is {}…", short(package), short(&claim.files.manifest))
}

/// A conflict or a dissent: who says what, and where the manifests differ.
fn several(kind: Kind, claims: &PackageClaims, manifests: &Manifests, k: usize) -> Finding {
    let said: Vec<String> = claims.claims.iter().map(|claim| say(claim, &claims.package)).collect();
    let mut all = Attested::default();
    claims.claims.iter().for_each(|claim| all.by.extend(attested(&claim.attesters).by));
    all.by.extend(attested(&claims.contradictory).by);
    all.by.sort();
    let rule = match kind {
        Kind::Dissent => format!("enough builders agree, but not all ({k} must)"),
        _ => "builders contradict each other about one package file, which honest ones cannot".to_owned(),
    };
    let differences = claims.claims.get(..2).and_then(|two| differences(&two[0], &two[1], &claims.package, manifests));
    let finding = Finding::new(kind, format!("{rule}: {}", said.join("; "))).attested(&all);
    match differences {
        Some((first, second)) => finding.differs(first, second),
        None => finding,
    }
}

/// The first lines in which two manifests differ.
fn differences(one: &Claim, other: &Claim, package: &Hash, manifests: &Manifests) -> Option<(String, String)> {
    let (first, second) = (manifests.load(&one.files, package).ok()?, manifests.load(&other.files, package).ok()?);
    let only = |a: &Manifest, b: &Manifest| -> Vec<String> {
        a.entries().iter().filter(|entry| b.entry(&entry.path) != Some(entry)).take(3).map(attest::manifest::Entry::encode).collect()
    };
    let show = |claim: &Claim, lines: Vec<String>| {
        format!("{}: {}", attested(&claim.attesters), if lines.is_empty() { "(nothing more)".to_owned() } else { lines.join(" | ") })
    };
    Some((show(one, only(&first, &second)), show(other, only(&second, &first))))
}

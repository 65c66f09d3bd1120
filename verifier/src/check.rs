//! Judging downloaded package files before they are installed.

use std::fs::File;
use std::path::Path;

use attest::Purl;
use attest::predicate::PackageFiles;
use package::deb::{DebPackage, Limits, read};

use crate::finding::{Attested, Finding, Kind, printable};
use crate::subject::{Sources, Subject};

/// A package file that was read.
pub struct Checked {
    /// The file as it was named.
    pub file: String,
    /// What it holds, or why it is no package.
    pub package: Result<Box<DebPackage>, String>,
}

/// Reads a package file completely: its digest and its manifest.
#[must_use]
pub fn open(path: &Path) -> Checked {
    let read = File::open(path)
        .map_err(|error| error.to_string())
        .and_then(|file| read(file, &Limits::default()).map_err(|error| error.to_string()));
    Checked { file: path.display().to_string(), package: read.map(Box::new) }
}

impl Checked {
    /// The package URLs under which it may be attested.
    #[must_use]
    pub fn purls(&self, namespaces: &[String]) -> Vec<Purl> {
        let Ok(package) = &self.package else { return Vec::new() };
        let control = &package.control;
        namespaces
            .iter()
            .filter_map(|namespace| Purl::deb(namespace, &control.name, &control.version, &control.architecture).ok())
            .collect()
    }

    /// Judges it; the second value says whether enough builders agree on exactly this file.
    #[must_use]
    pub fn judge(&self, sources: &Sources<'_>) -> (Vec<Finding>, bool) {
        let path = self.file.as_bytes();
        let package = match &self.package {
            Ok(package) => package,
            Err(why) => {
                return (
                    vec![
                        Finding::new(Kind::Unreadable, format!("not a package file that can be read: {}", printable(why.as_bytes())))
                            .at(path),
                    ],
                    false,
                );
            }
        };
        let control = &package.control;
        let label = format!("{} {} {}", control.name, control.version, control.architecture);
        let purls = self.purls(sources.namespaces);
        let subject = Subject::of_file(label, &control.name, &purls, package.sha256, sources);
        let agreed = subject.claims.iter().filter_map(|claims| claims.agreed(sources.rules.builders)).next().cloned();
        let mut findings = Vec::new();
        if subject.claims.is_empty() {
            findings.push(self.unknown_digest(package, &purls, sources));
            findings.extend(subject.findings.iter().filter(|finding| finding.kind != Kind::Unattested).cloned());
        } else {
            // The manifest is computed from the file itself, so the cache need not have it.
            findings.extend(subject.findings.iter().filter(|finding| finding.kind != Kind::CacheIncomplete).cloned());
        }
        let own = PackageFiles::of(&package.manifest);
        if let Some(claim) = agreed.as_ref().filter(|claim| claim.files != own) {
            let why = "the file has the attested digest, but its manifest computed here is another: a builder or this program is wrong";
            let by = crate::subject::attested(&claim.attesters);
            findings.push(Finding::new(Kind::Modified, why).differs(claim.files.manifest.to_hex(), own.manifest.to_hex()).attested(&by));
        }
        let label = subject.label;
        findings.iter_mut().for_each(|finding| {
            finding.path = Some(path.to_vec());
            finding.package = Some(label.clone());
        });
        (findings, agreed.is_some())
    }

    /// Nobody attested this digest: is the package unknown, or is this another file than the attested one?
    fn unknown_digest(&self, package: &DebPackage, purls: &[Purl], sources: &Sources<'_>) -> Finding {
        let k = sources.rules.builders;
        let others: Vec<_> = purls.iter().flat_map(|purl| sources.knowledge.claims(purl)).collect();
        let Some(agreed) = others.iter().find(|claims| claims.agreed(k).is_some()) else {
            return Finding::new(Kind::Unattested, format!("no entry of the log is about a package file with sha256 {}", package.sha256));
        };
        let mut by = Attested::default();
        agreed.claims.iter().for_each(|claim| by.by.extend(crate::subject::attested(&claim.attesters).by));
        let why = "another package file of this name, version and architecture is attested, and not this one; where did it come from?";
        Finding::new(Kind::Unattested, why)
            .differs(format!("sha256 {}", agreed.package), format!("sha256 {}", package.sha256))
            .attested(&by)
    }
}

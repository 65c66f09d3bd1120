//! Judging downloaded package files before they are installed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use attest::Purl;
use attest::judge::rebuilds_for;
use attest::predicate::PackageFiles;
use client::LogClient;
use package::installed::Manager;

use crate::archive::Archive;
use crate::config::Rules;
use crate::failure::Failure;
use crate::finding::{Attested, Finding, Kind, printable};
use crate::head;
use crate::knowledge::Knowledge;
use crate::rebuilt;
use crate::render::Ground;
use crate::report::{Counts, Report};
use crate::setup::Setup;
use crate::subject::{Sources, Subject};
use crate::sync::Syncer;
use crate::time;

/// A package file that was read.
#[derive(Clone)]
pub struct Checked {
    /// The file as it was named.
    pub file: String,
    /// What it holds, or why it is no package.
    pub package: Result<Box<Archive>, String>,
}

/// Reads a package file completely: its digest and its manifest.
#[must_use]
pub fn open(path: &Path) -> Checked {
    Checked { file: path.display().to_string(), package: Archive::read(path).map(Box::new) }
}

/// The same for many, on all cores; the results stand in the order of the paths.
#[must_use]
pub fn open_all(paths: &[PathBuf]) -> Vec<Checked> {
    let next = AtomicUsize::new(0);
    let opened: Mutex<Vec<Option<Checked>>> = Mutex::new(paths.iter().map(|_| None).collect());
    let work = || {
        while let Some((index, path)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|index| Some((index, paths.get(index)?))) {
            let checked = open(path);
            opened.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(checked);
        }
    };
    std::thread::scope(|scope| {
        (0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(paths.len())).for_each(|_| {
            scope.spawn(work);
        });
    });
    let opened = opened.into_inner().unwrap_or_else(PoisonError::into_inner);
    let lost = |path: &PathBuf| Checked { file: path.display().to_string(), package: Err("was not read".to_owned()) };
    opened.into_iter().zip(paths).map(|(checked, path)| checked.unwrap_or_else(|| lost(path))).collect()
}

/// Judges package files and says so.
///
/// # Errors
/// If nothing can be judged.
pub fn check(setup: &Setup, paths: &[PathBuf], offline: bool) -> Result<Report, Failure> {
    let checked = open_all(paths);
    let knowledge = if offline { setup.knowledge()?.0 } else { look_up(setup, &setup.log()?, checked.iter())? };
    let namespaces = setup.namespaces(&knowledge, Path::new("/"));
    let manifests = setup.cache.manifests();
    let now = time::now();
    let sources = Sources { knowledge: &knowledge, manifests: &manifests, rules: &setup.rules, namespaces: &namespaces, now };
    let judged: Vec<_> = checked.iter().map(|file| file.judge(&sources)).collect();
    let attested = judged.iter().filter(|(_, agreed)| *agreed).count();
    let mut findings: Vec<_> = judged.into_iter().flat_map(|(findings, _)| findings).collect();
    let (completeness, general) = currency(setup, &knowledge, &setup.rules, now);
    findings.extend(general);
    let mut report = Report {
        command: "check",
        target: format!("{} package files", checked.len()),
        ground: Ground { manager: manager(&checked), files: true },
        time: now,
        head: Some(head::describe(&knowledge, &setup.policy, &setup.rules, now)),
        completeness,
        builders: setup.rules.builders,
        counts: Counts {
            installed: checked.len(),
            judged: checked.len(),
            attested,
            leaves: knowledge.leaves(),
            refused: knowledge.refused().len(),
            subjects: checked.iter().filter_map(Checked::subject).collect(),
            ..Counts::default()
        },
        findings,
        earlier: None,
        gate: None,
    };
    report.sort();
    Ok(report)
}

/// Whose packages they all are, where that is only one.
fn manager(checked: &[Checked]) -> Option<Manager> {
    let mut managers = checked.iter().filter_map(|file| Some(file.package.as_ref().ok()?.format.manager()));
    let first = managers.next()?;
    managers.all(|manager| manager == first).then_some(first)
}

/// What concerns all packages: whether what is known is current and complete, under these rules.
#[must_use]
pub fn currency(setup: &Setup, knowledge: &Knowledge, rules: &Rules, now: u64) -> (String, Vec<Finding>) {
    let (completeness, incomplete) = head::completeness(knowledge, rules, None, now);
    (
        completeness,
        head::freshness(knowledge, &setup.policy, rules, now).into_iter().chain(head::expiry(knowledge, now)).chain(incomplete).collect(),
    )
}

/// Asks the log about the package files: those that are not installed are not in the cache. Where the whole log is kept here, it is
/// brought up to date, and nobody learns which files these are.
///
/// # Errors
/// If the log cannot be asked, or what it answers is refused.
pub fn look_up<'a>(setup: &Setup, log: &LogClient, checked: impl Iterator<Item = &'a Checked>) -> Result<Knowledge, Failure> {
    let names = |syncer: &Syncer<'_>, knowledge: &Knowledge| {
        let namespaces = syncer.namespaces(knowledge);
        checked.flat_map(|file| file.purls(&namespaces)).map(|purl| purl.to_string()).collect()
    };
    let knowledge = setup.ask(log, names)?.map_err(|error| setup.keep_evidence(error))?;
    setup.hearing(knowledge)
}

impl Checked {
    /// What a statement calls it; one that is no package is a finding, and nobody's subject.
    fn subject(&self) -> Option<(String, tlog::Hash)> {
        self.package.as_ref().ok().map(|package| (package.to_string(), package.sha256))
    }

    /// The package URLs under which it may be attested.
    #[must_use]
    pub fn purls(&self, namespaces: &[String]) -> Vec<Purl> {
        let Ok(package) = &self.package else { return Vec::new() };
        namespaces.iter().filter_map(|namespace| package.purl(namespace)).collect()
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
        let purls = self.purls(sources.namespaces);
        let subject = Subject::of_file(package, &purls, sources);
        let agreed = subject.claims.iter().find_map(|claims| Some((claims.package, claims.agreed(sources.rules.builders)?.clone())));
        let mut findings = Vec::new();
        if subject.claims.is_empty() {
            findings.push(self.unknown_digest(package, &purls, sources));
            findings.extend(subject.findings.iter().filter(|finding| finding.kind != Kind::Unattested).cloned());
        } else {
            // The manifest is computed from the file itself, so the cache need not have it.
            findings.extend(subject.findings.iter().filter(|finding| finding.kind != Kind::CacheIncomplete).cloned());
        }
        if let Some((about, claim)) = &agreed
            && let Some(manifest) = &package.manifest
            && let own = PackageFiles::of(&manifest.with_package(*about))
            && claim.files != own
        {
            let why = "the file has the attested digest, but its manifest computed here is another: a builder or this program is wrong";
            let by = crate::subject::attested(&claim.attesters);
            findings.push(Finding::new(Kind::Modified, why).differs(claim.files.manifest.to_hex(), own.manifest.to_hex()).attested(&by));
        }
        if let Some((about, _)) = &agreed {
            let leaves = subject.purl.as_ref().map(|purl| sources.knowledge.about(&purl.to_string())).unwrap_or_default();
            let rebuilds = rebuilds_for(about, leaves);
            findings.extend(rebuilt::lacking(&rebuilds, about, sources.rules).or_else(|| rebuilt::told(&rebuilds)));
        }
        let label = subject.label;
        findings.iter_mut().for_each(|finding| {
            finding.path = Some(path.to_vec());
            finding.package = Some(label.clone());
        });
        (findings, agreed.is_some())
    }

    /// Nobody attested this digest: is the package unknown, or is this another file than the attested one?
    fn unknown_digest(&self, package: &Archive, purls: &[Purl], sources: &Sources<'_>) -> Finding {
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

//! Judging what is installed on a root. Needs no network, and writes nothing.

mod guard;
mod settle;

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use attest::manifest::{Attributes, Entry, Node};
use package::accounts::Accounts;
use package::dpkg::Diversion;
use package::installed::{Database, DatabaseError, Installed, State, busy};
use package::root::{Root, RootError, RootReason};
use rustix::io::Errno;
use tlog::Policy;

use crate::accept::Accept;
use crate::compare::{Reasons, Sight, compare};
use crate::coverage::Coverage;
use crate::expect::{self, Expected};
use crate::finding::{Class as Severity, Finding, Kind, printable};
use crate::hash::{Outcome, Progress};
use crate::head;
use crate::rebuilt;
use crate::report::{Counts, Report};
use crate::scene::{Claimed, Need, Scene, Spots};
use crate::subject::{Sources, Subject, Variant};
use crate::survey::{Resolver, Seen, open_root};

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The root cannot be read.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The root cannot be opened.
    #[error("{0}: {1}")]
    Open(String, std::io::Error),
    /// The database cannot be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A package manager is at work.
    #[error("a package manager is running: {0}")]
    Busy(String),
    /// The database has no packages at all: emptied, or not that of a system. Nothing was judged, so nothing is clean.
    #[error("no package is installed, or the database was emptied")]
    Empty,
    /// A package that was asked for is not in the database.
    #[error("no package {0} is installed")]
    NotInstalled(String),
    /// A path that was asked for is in no package's list.
    #[error("no installed package owns {0}")]
    NoOwner(String),
}

/// What is to be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Everything in the database.
    All,
    /// These packages: `name` or `name:arch`.
    Packages(Vec<String>),
    /// One path, absolute.
    Path(Vec<u8>),
}

/// One run.
pub struct Request<'a> {
    /// The root to look at.
    pub root: &'a Path,
    /// What of it.
    pub selection: Selection,
    /// A list of packages kept elsewhere.
    pub expect: &'a [Expected],
    /// The time, in seconds since 1970.
    pub now: u64,
    /// How many threads hash.
    pub threads: usize,
    /// What was asked of the log, or read of all of it.
    pub coverage: &'a Coverage,
}

/// The result: the report, and the packages that it is about, for those who want to tell more.
pub struct Verified {
    /// The verdict.
    pub report: Report,
    /// What was judged.
    pub subjects: Vec<Subject>,
}

/// Judges a root.
///
/// # Errors
/// See [`VerifyError`]. What can be judged only in part is no error but a finding.
pub fn verify(
    request: &Request<'_>,
    sources: &Sources<'_>,
    policy: &Policy,
    accept: &Accept,
    progress: &dyn Progress,
) -> Result<Verified, VerifyError> {
    let root = Root::open(request.root)?;
    let unseen = check_lock(&root)?;
    let top = open_root(request.root).map_err(|error| VerifyError::Open(request.root.display().to_string(), error))?;
    let database = Database::open(&root)?;
    let accounts = Accounts::open(&root)?;
    let mut run = Run::new(&top, &database, &accounts, sources, request)?;
    let spots = run.spots();
    let scene = Scene::look(top.as_fd(), &spots, request.threads, progress);
    run.choose(&scene);
    run.demand_rebuilds();
    run.judge(&spots, &scene);
    run.guard(&spots, &scene);
    run.check_links(&scene);
    let (counts, unread) = (run.counts(&spots, &scene), run.unread(request));
    let mut findings = run.findings;
    findings.extend(unseen);
    findings.extend(expect::compare_if_given(request.expect, &database));
    findings.extend(head::freshness(sources.knowledge, policy, sources.rules, request.now));
    findings.extend(head::expiry(sources.knowledge, request.now));
    let (completeness, incomplete) = head::completeness(sources.knowledge, sources.rules, unread, request.now);
    findings.extend(incomplete);
    let mut report = Report {
        command: "verify",
        target: target(request),
        time: request.now,
        head: Some(head::describe(sources.knowledge, policy, sources.rules, request.now)),
        completeness,
        builders: sources.rules.builders,
        counts,
        findings: accept.apply(findings, request.now, request.selection == Selection::All),
        earlier: None,
    };
    report.sort();
    Ok(Verified { report, subjects: run.subjects })
}

/// Refuses to judge while a package manager is at work. Its locks are root's: another user is told that nobody looked.
fn check_lock(root: &Root) -> Result<Option<Finding>, VerifyError> {
    match busy(root) {
        Ok(None) => Ok(None),
        Ok(Some(holder)) => {
            let process = holder.process.map(|process| format!(" (process {process})")).unwrap_or_default();
            Err(VerifyError::Busy(format!("/{} is locked{process}", holder.file)))
        }
        Err(error) if error.unreadable().is_some_and(is_denied) => {
            let why = "this user may not see whether a package manager is at work; run as root to know";
            Ok(Some(Finding::new(Kind::PackageState, why)))
        }
        Err(error) => Err(error.into()),
    }
}

struct Run<'a> {
    top: &'a OwnedFd,
    database: &'a Database,
    accounts: &'a Accounts,
    sources: &'a Sources<'a>,
    subjects: Vec<Subject>,
    /// For each subject the variant that fits.
    chosen: Vec<usize>,
    /// Only this place is of interest, for one path's story.
    only: Option<Vec<u8>>,
    /// Diversions by the path that they move away.
    diversions: HashMap<&'a [u8], &'a Diversion>,
    /// Statoverrides by canonical path.
    overrides: HashMap<Vec<u8>, Attributes>,
    /// Diverted-from places that are to be guarded: diversion, and the attested entry that it moved away.
    guards: BTreeMap<Vec<u8>, &'a Diversion>,
    /// Packages that were not asked for, looked up when a difference might be theirs.
    others: HashMap<String, Subject>,
    findings: Vec<Finding>,
}

impl<'a> Run<'a> {
    fn new(
        top: &'a OwnedFd,
        database: &'a Database,
        accounts: &'a Accounts,
        sources: &'a Sources<'a>,
        request: &Request<'_>,
    ) -> Result<Self, VerifyError> {
        let mut resolver = Resolver::new(top.as_fd());
        let only = match &request.selection {
            Selection::Path(path) => Some(resolver.canonical(path.strip_prefix(b"/").unwrap_or(path))),
            _ => None,
        };
        let selected = select(database, &request.selection, only.as_deref())?;
        let mut findings: Vec<Finding> = selected.iter().filter_map(|installed| state(installed)).collect();
        findings.extend(database.interrupted.map(|why| Finding::new(Kind::PackageState, why)));
        let mut subjects = assess_all(&selected, sources, request.threads);
        subjects.iter_mut().for_each(|subject| findings.append(&mut subject.findings));
        let owner = |entry: &package::dpkg::StatOverride| {
            let attributes = Attributes { mode: entry.mode, uname: entry.user.clone(), gname: entry.group.clone() };
            (resolver.canonical(&entry.path), attributes)
        };
        Ok(Self {
            top,
            database,
            accounts,
            sources,
            chosen: vec![0; subjects.len()],
            subjects,
            only,
            diversions: database.diversions.iter().map(|diversion| (diversion.from.as_slice(), diversion)).collect(),
            overrides: database.statoverrides.iter().map(owner).collect(),
            guards: BTreeMap::new(),
            others: HashMap::new(),
            findings,
        })
    }

    /// Where every attested entry stands on this root.
    fn spots(&mut self) -> Spots {
        let mut resolver = Resolver::new(self.top.as_fd());
        let mut spots = Spots::new();
        for (number, subject) in self.subjects.iter().enumerate() {
            for (variant_number, variant) in subject.variants.iter().enumerate() {
                for (position, entry) in variant.manifest.entries().iter().enumerate().skip(1) {
                    let diversion = self.diversions.get(entry.path.as_slice()).filter(|diversion| applies(diversion, &subject.name));
                    if let Some(diversion) = diversion {
                        self.guards.insert(resolver.canonical(&entry.path), diversion);
                    }
                    let place = resolver.canonical(diversion.map_or(&entry.path, |diversion| &diversion.to));
                    if self.only.as_ref().is_some_and(|only| *only != place) {
                        continue;
                    }
                    let spot = spots.entry(place).or_default();
                    spot.claims.push(Claimed { subject: number, variant: variant_number, entry: position });
                    if entry.node != Node::Ghost {
                        spot.need = spot.need.max(Need::Content);
                    }
                    if let Node::File { size, .. } = entry.node {
                        spot.sizes.push(size);
                    }
                }
            }
        }
        if let Some(only) = self.only.clone() {
            self.guards.retain(|place, _| *place == only);
        }
        for place in self.guards.keys() {
            spots.entry(place.clone()).or_default().need = Need::Content;
        }
        spots
    }

    /// For ambiguous packages: the variant with the fewest differences.
    fn choose(&mut self, scene: &Scene) {
        let mut resolver = Resolver::new(self.top.as_fd());
        for number in 0..self.subjects.len() {
            let subject = &self.subjects[number];
            if subject.variants.len() < 2 {
                continue;
            }
            let differences = |variant: &Variant, resolver: &mut Resolver<'_>| {
                let differs = |entry: &&Entry| {
                    let place = self.place(&subject.name, entry, resolver);
                    scene.at(&place).is_some_and(|sight| !self.is_clean(variant, entry, &place, sight))
                };
                variant.manifest.entries().iter().skip(1).filter(differs).count()
            };
            let counts: Vec<usize> = subject.variants.iter().map(|variant| differences(variant, &mut resolver)).collect();
            self.chosen[number] = counts.iter().enumerate().min_by_key(|(_, count)| **count).map_or(0, |(position, _)| position);
        }
    }

    /// Every package whose file was not built again by enough rebuilders, if the policy asks for any.
    fn demand_rebuilds(&mut self) {
        let chosen = self.subjects.iter().zip(&self.chosen).filter_map(|(subject, chosen)| Some((subject, subject.variants.get(*chosen)?)));
        let lacking = |(subject, variant): (&Subject, &Variant)| {
            Some(rebuilt::lacking(&variant.rebuilds, &variant.package, self.sources.rules)?.of(&subject.label))
        };
        let findings: Vec<Finding> = chosen.filter_map(lacking).collect();
        self.findings.extend(findings);
    }

    fn place(&self, name: &str, entry: &Entry, resolver: &mut Resolver<'_>) -> Vec<u8> {
        let diversion = self.diversions.get(entry.path.as_slice()).filter(|diversion| applies(diversion, name));
        resolver.canonical(diversion.map_or(&entry.path, |diversion| &diversion.to))
    }

    fn compare(&self, variant: &Variant, entry: &Entry, place: &[u8], sight: Sight<'_>) -> Vec<Finding> {
        let absolute = [b"/", entry.path.as_slice()].concat();
        let reasons = Reasons {
            observed: variant.observed.get(&entry.path).map_or(&[], Vec::as_slice),
            allowed: self.sources.rules.allow.get(&absolute).map_or(&[], Vec::as_slice),
            statoverride: self.overrides.get(place),
            owners: self.accounts,
            left_out: self.database.no_extract.excludes(&entry.path),
        };
        compare(entry, sight, &reasons)
    }

    fn is_clean(&self, variant: &Variant, entry: &Entry, place: &[u8], sight: Sight<'_>) -> bool {
        self.compare(variant, entry, place, sight).iter().all(|finding| finding.kind.class() == Severity::Explained)
    }

    /// How many of the packages nobody looked for in every entry; `None` if not every entry was read.
    fn unread(&self, request: &Request<'_>) -> Option<usize> {
        let names: Vec<String> = self.subjects.iter().filter_map(|subject| Some(subject.purl.as_ref()?.to_string())).collect();
        request.coverage.unread(self.sources.knowledge.checkpoint().tree().size, &names)
    }

    fn counts(&self, spots: &Spots, scene: &Scene) -> Counts {
        let mut counts = Counts {
            installed: self.database.packages.len(),
            judged: self.subjects.len(),
            attested: self.subjects.iter().filter(|subject| !subject.variants.is_empty()).count(),
            bytes: scene.bytes(),
            leaves: self.sources.knowledge.leaves(),
            refused: self.sources.knowledge.refused().len(),
            ..Counts::default()
        };
        for (place, spot) in spots {
            let Some(claim) = spot.claims.first() else { continue };
            let entry = &self.subjects[claim.subject].variants[claim.variant].manifest.entries()[claim.entry];
            match scene.at(place) {
                Some(Sight { read: Some(Outcome::Read(_)), .. }) => *counts.hashed.entry(entry.class.tag()).or_default() += 1,
                Some(Sight { seen: Seen::There(_), .. }) => counts.nodes += 1,
                _ => {}
            }
        }
        counts
    }
}

/// Claims and manifests of all packages; hashing and parsing manifests is worth all cores.
fn assess_all(selected: &[&Installed], sources: &Sources<'_>, threads: usize) -> Vec<Subject> {
    let chunk = selected.len().div_ceil(threads.max(1)).max(1);
    std::thread::scope(|scope| {
        let assess = |part: &[&Installed]| part.iter().map(|installed| Subject::assess(installed, sources)).collect::<Vec<_>>();
        let handles: Vec<_> = selected.chunks(chunk).map(|part| scope.spawn(move || assess(part))).collect();
        handles.into_iter().flat_map(|handle| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

/// A diversion moves everyone's file but that of the package that made it.
fn applies(diversion: &Diversion, package: &str) -> bool {
    diversion.by.as_deref() != Some(package)
}

fn maker(diversion: &Diversion) -> String {
    diversion.by.as_deref().map_or_else(|| "a local diversion".to_owned(), |name| format!("a diversion by {name}"))
}

fn is_denied(error: &RootError) -> bool {
    matches!(error.reason, RootReason::System(number) if number == Errno::ACCESS.raw_os_error())
}

fn state(installed: &Installed) -> Option<Finding> {
    let State::Unfinished(state) = &installed.state else { return None };
    let why = format!("not fully installed ({state}): what its scripts still have to do is missing");
    Some(Finding::new(Kind::PackageState, why).of(&installed.to_string()))
}

fn select<'d>(database: &'d Database, selection: &Selection, only: Option<&[u8]>) -> Result<Vec<&'d Installed>, VerifyError> {
    let judged = database.packages.iter();
    match selection {
        Selection::All => Some(judged.collect::<Vec<_>>()).filter(|all| !all.is_empty()).ok_or(VerifyError::Empty),
        Selection::Packages(names) => {
            let mut selected: Vec<&Installed> = Vec::new();
            for name in names {
                let is_meant =
                    |installed: &&Installed| installed.name == *name || format!("{}:{}", installed.name, installed.architecture) == *name;
                let before = selected.len();
                selected.extend(judged.clone().filter(is_meant));
                if selected.len() == before {
                    return Err(VerifyError::NotInstalled(name.clone()));
                }
            }
            selected.sort_by(|a, b| (&a.name, &a.architecture, &a.version).cmp(&(&b.name, &b.architecture, &b.version)));
            selected.dedup_by(|a, b| std::ptr::eq(*a, *b));
            Ok(selected)
        }
        Selection::Path(path) => {
            let place = only.unwrap_or_default();
            let owners: Vec<&Installed> = database.owners_of(place).collect();
            if owners.is_empty() { Err(VerifyError::NoOwner(printable(path))) } else { Ok(owners) }
        }
    }
}

fn target(request: &Request<'_>) -> String {
    let what = match &request.selection {
        Selection::All => "all packages".to_owned(),
        Selection::Packages(names) => names.join(" "),
        Selection::Path(path) => printable(path),
    };
    let root: PathBuf = request.root.to_path_buf();
    if root == Path::new("/") { what } else { format!("{what} on {}", root.display()) }
}

/// The last component of a path.
fn name_of(place: &[u8]) -> &[u8] {
    place.rsplit(|byte| *byte == b'/').next().unwrap_or(place)
}

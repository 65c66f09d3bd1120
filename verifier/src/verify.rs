//! Judging what is installed on a root. Needs no network, and writes nothing.

mod ground;
mod guard;
mod places;
mod settle;
mod stranger;
mod unowned;

pub use ground::Ground;
pub use stranger::Stranger;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use attest::manifest::{Attributes, Entry};
use package::accounts::Accounts;
use package::dpkg::Diversion;
use package::installed::{Database, DatabaseError, Installed, Manager, State};
use package::root::RootError;
use tlog::Policy;

use crate::accept::Accept;
use crate::compare::{Reasons, Sight, compare};
use crate::coverage::Coverage;
use crate::expect::{self, Expected};
use crate::finding::{Class as Severity, Finding, Kind, printable};
use crate::hash::{Outcome, Progress};
use crate::head;
use crate::outdated;
use crate::parallel;
use crate::rebuilt;
use crate::render;
use crate::report::{Counts, Report};
use crate::scene::{Claimed, Scene, Spots};
use crate::subject::{Sources, Subject, Variant};
use crate::survey::{Resolver, Seen};
use crate::verdict;

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
    /// A path that was asked for is in no package's list, and nothing is there.
    #[error("nothing is at {0}, and no installed package owns it")]
    Nothing(String),
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
    /// Whether to look for what no package owns; for everything in the database only.
    pub unowned: bool,
}

/// The result: the report, and the packages that it is about, for those who want to tell more.
pub struct Verified {
    /// The verdict.
    pub report: Report,
    /// What was judged.
    pub subjects: Vec<Subject>,
    /// The one path that was asked for, if no package owns it.
    pub stranger: Option<Stranger>,
}

/// Judges a root.
///
/// # Errors
/// See [`VerifyError`]. What can be judged only in part is no error but a finding.
pub fn verify(
    ground: &Ground,
    request: &Request<'_>,
    sources: &Sources<'_>,
    policy: &Policy,
    accept: &Accept,
    progress: &dyn Progress,
) -> Result<Verified, VerifyError> {
    let place = match &request.selection {
        Selection::Path(path) => Some(Resolver::new(ground.top.as_fd()).canonical(path.strip_prefix(b"/").unwrap_or(path)).into_owned()),
        _ => None,
    };
    let selected = select(&ground.database, &request.selection, place.as_deref())?;
    let Some(selected) = selected else { return stranger::explain(ground, request, sources, policy, accept, place.unwrap_or_default()) };
    let only = place.map(|place| BTreeSet::from([place]));
    let (subjects, mut findings) = assess(&selected, &ground.database, sources, request.threads);
    let mut run = Run::new(ground, sources, request, &subjects, only);
    let spots = run.places();
    let scene = Scene::look(ground.top.as_fd(), &spots, request.threads, progress);
    run.choose(&scene);
    run.demand_rebuilds();
    run.judge(&spots, &scene);
    let searched = (request.unowned && request.selection == Selection::All).then(|| run.search(&spots, &scene));
    run.guard(&spots, &scene);
    run.check_links(&scene);
    let (mut counts, unread) = (run.counts(&spots, &scene), run.unread(request));
    findings.extend(run.findings);
    if let Some((search, found)) = searched {
        counts.search = Some(search);
        findings.extend(found);
    }
    findings.extend(ground.unseen.clone());
    findings.extend(outdated::find(&subjects, sources.knowledge, sources.rules.builders));
    findings.extend(expect::compare_if_given(request.expect, &ground.database));
    let report = report(request, sources, policy, accept, Judged { manager: sole_manager(&ground.database), counts, findings, unread });
    Ok(Verified { report, subjects, stranger: None })
}

/// Whose packages they all are, where that is only one.
fn sole_manager(database: &Database) -> Option<Manager> {
    match database.managers[..] {
        [one] => Some(one),
        _ => None,
    }
}

/// What judging gave.
struct Judged {
    manager: Option<Manager>,
    counts: Counts,
    findings: Vec<Finding>,
    /// See [`Run::unread`].
    unread: Option<usize>,
}

/// The report, with what the head says about time.
fn report(request: &Request<'_>, sources: &Sources<'_>, policy: &Policy, accept: &Accept, judged: Judged) -> Report {
    let Judged { manager, counts, mut findings, unread } = judged;
    findings.extend(head::freshness(sources.knowledge, policy, sources.rules, request.now));
    findings.extend(head::expiry(sources.knowledge, request.now));
    let (completeness, incomplete) = head::completeness(sources.knowledge, sources.rules, unread, request.now);
    findings.extend(incomplete);
    let mut report = Report {
        command: "verify",
        target: target(request),
        ground: render::Ground { manager: manager.filter(|_| request.root == Path::new("/")), files: false },
        time: request.now,
        head: Some(head::describe(sources.knowledge, policy, sources.rules, request.now)),
        completeness,
        builders: sources.rules.builders,
        counts,
        findings: accept.apply(findings, request.now, request.selection == Selection::All),
        earlier: None,
        gate: None,
    };
    report.sort();
    report
}

struct Run<'a> {
    top: &'a OwnedFd,
    database: &'a Database,
    accounts: &'a Accounts,
    sources: &'a Sources<'a>,
    threads: usize,
    /// Whether the root is another than that of this process.
    is_elsewhere: bool,
    subjects: &'a [Subject],
    /// For each subject the variant that fits.
    chosen: Vec<usize>,
    /// Only these places are of interest, for one path's story.
    only: Option<BTreeSet<Vec<u8>>>,
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
        ground: &'a Ground,
        sources: &'a Sources<'a>,
        request: &Request<'_>,
        subjects: &'a [Subject],
        only: Option<BTreeSet<Vec<u8>>>,
    ) -> Self {
        let Ground { top, database, accounts, is_elsewhere, .. } = ground;
        let mut resolver = Resolver::new(top.as_fd());
        let owner = |entry: &package::dpkg::StatOverride| {
            let attributes = Attributes { mode: entry.mode, uname: entry.user.clone(), gname: entry.group.clone() };
            (resolver.canonical(&entry.path).into_owned(), attributes)
        };
        Self {
            top,
            database,
            accounts,
            sources,
            threads: request.threads,
            is_elsewhere: *is_elsewhere,
            chosen: vec![0; subjects.len()],
            subjects,
            only,
            diversions: database.diversions.iter().map(|diversion| (diversion.from.as_slice(), diversion)).collect(),
            overrides: database.statoverrides.iter().map(owner).collect(),
            guards: BTreeMap::new(),
            others: HashMap::new(),
            findings: Vec::new(),
        }
    }

    fn subject(&self, claim: Claimed) -> &'a Subject {
        &self.subjects[claim.subject as usize]
    }

    fn variant(&self, claim: Claimed) -> &'a Variant {
        &self.subject(claim).variants[claim.variant as usize]
    }

    fn entry(&self, claim: Claimed) -> &'a Entry {
        &self.variant(claim).manifest.entries()[claim.entry as usize]
    }

    /// The diversion that moves the entry of a claim.
    fn diversion(&self, claim: Claimed) -> Option<&'a Diversion> {
        let diversion = *self.diversions.get(self.entry(claim).path.as_slice())?;
        applies(diversion, &self.subject(claim).name).then_some(diversion)
    }

    /// For ambiguous packages: the variant with the fewest differences.
    fn choose(&mut self, scene: &Scene<'_>) {
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

    fn compare(&self, variant: &Variant, entry: &Entry, place: &[u8], sight: Sight<'_>) -> Vec<Finding> {
        // What is as attested needs no reasons, and most is.
        if self.is_exact(entry, sight) {
            return Vec::new();
        }
        let absolute = [b"/", entry.path.as_slice()].concat();
        let reasons = Reasons {
            observed: variant.observed.get(&entry.path).map_or(&[], Vec::as_slice),
            allowed: self.sources.rules.allow.get(&absolute).map_or(&[], Vec::as_slice),
            statoverride: self.overrides.get(place),
            left_out: self.database.is_left_out(&entry.path),
            ..Reasons::none(self.accounts)
        };
        compare(entry, sight, &reasons)
    }

    fn is_exact(&self, entry: &Entry, sight: Sight<'_>) -> bool {
        compare(entry, sight, &Reasons::none(self.accounts)).is_empty()
    }

    fn is_clean(&self, variant: &Variant, entry: &Entry, place: &[u8], sight: Sight<'_>) -> bool {
        self.compare(variant, entry, place, sight).iter().all(|finding| finding.kind.class() == Severity::Explained)
    }

    /// How many of the packages nobody looked for in every entry; `None` if not every entry was read.
    fn unread(&self, request: &Request<'_>) -> Option<usize> {
        let names: Vec<String> = self.subjects.iter().filter_map(|subject| Some(subject.purl.as_ref()?.to_string())).collect();
        request.coverage.unread(self.sources.knowledge.checkpoint().tree().size, &names)
    }

    fn counts(&self, spots: &Spots<'_>, scene: &Scene<'_>) -> Counts {
        let mut counts = Counts {
            installed: self.database.packages.len(),
            judged: self.subjects.len(),
            attested: self.subjects.iter().filter(|subject| !subject.variants.is_empty()).count(),
            bytes: scene.bytes(),
            leaves: self.sources.knowledge.leaves(),
            refused: self.sources.knowledge.refused().len(),
            subjects: vec![verdict::installed(self.subjects)],
            ..Counts::default()
        };
        for (number, spot) in spots.iter().enumerate() {
            let Some(claim) = spot.claims().next() else { continue };
            match scene.sight(number) {
                Sight { read: Some(Outcome::Read(_)), .. } => *counts.hashed.entry(self.entry(claim).class.tag()).or_default() += 1,
                Sight { seen: Seen::There(_), .. } => counts.nodes += 1,
                _ => {}
            }
        }
        counts
    }
}

/// The claims about the packages, with what is wrong with the packages and with the claims.
fn assess(selected: &[&Installed], database: &Database, sources: &Sources<'_>, threads: usize) -> (Vec<Subject>, Vec<Finding>) {
    let mut findings: Vec<Finding> = selected.iter().filter_map(|installed| state(installed)).collect();
    findings.extend(database.interrupted.map(|why| Finding::new(Kind::PackageState, why)));
    let assess = |part: &[&Installed]| part.iter().map(|installed| Subject::assess(installed, sources)).collect::<Vec<_>>();
    let mut subjects = parallel::in_parts(selected, threads, assess);
    subjects.iter_mut().for_each(|subject| findings.append(&mut subject.findings));
    (subjects, findings)
}

/// A diversion moves everyone's file but that of the package that made it.
fn applies(diversion: &Diversion, package: &str) -> bool {
    diversion.by.as_deref() != Some(package)
}

fn maker(diversion: &Diversion) -> String {
    diversion.by.as_deref().map_or_else(|| "a local diversion".to_owned(), |name| format!("a diversion by {name}"))
}

fn state(installed: &Installed) -> Option<Finding> {
    let State::Unfinished(state) = &installed.state else { return None };
    let why = format!("not fully installed ({state}): what its scripts still have to do is missing");
    Some(Finding::new(Kind::PackageState, why).of(&installed.to_string()))
}

/// The packages to judge; `None` for a path that none of them owns.
fn select<'d>(database: &'d Database, selection: &Selection, place: Option<&[u8]>) -> Result<Option<Vec<&'d Installed>>, VerifyError> {
    let judged = database.packages.iter();
    match selection {
        Selection::All => Some(judged.collect::<Vec<_>>()).filter(|all| !all.is_empty()).ok_or(VerifyError::Empty).map(Some),
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
            Ok(Some(selected))
        }
        Selection::Path(_) => {
            Ok(Some(database.owners_of(place.unwrap_or_default()).collect()).filter(|owners: &Vec<_>| !owners.is_empty()))
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

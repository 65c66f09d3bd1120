//! apt's hook: from its protocol to findings about each package file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use client::LogClient;
use tlog::Hash;

use crate::check::{self, Checked};
use crate::config::Rules;
use crate::failure::Failure;
use crate::finding::{Finding, Kind};
use crate::gate::decide::Candidate;
use crate::gate::protocol::{Action, MAX_BYTES, Request, Step};
use crate::gate::repository::{Repository, listing};
use crate::gate::rules::LOCAL;
use crate::gate::state::State;
use crate::gate::{Assessed, Decision, GateError, begin, conclude, give_up};
use crate::knowledge::Knowledge;
use crate::setup::Setup;
use crate::subject::Sources;
use crate::{exit, time};

/// `tally gate apt`: 0 lets apt go on.
///
/// # Errors
/// If nothing can be judged where the policy enforces, or the configuration cannot be read; the hook's command knows whether the latter
/// is to stop apt.
pub fn run(config: &Path) -> Result<u8, Failure> {
    let request = hear().and_then(|bytes| Ok(Request::parse(&bytes)?));
    if let Ok(request) = &request
        && unpacked(request).next().is_none()
    {
        // Removals always pass.
        return Ok(exit::CLEAN);
    }
    let setup = Setup::load(config)?;
    let now = time::now();
    match begin(&setup) {
        Ok(true) => {}
        Ok(false) => {
            eprintln!("tally: warning: nothing was synced yet, so packages are not judged; run: tally sync");
            return Ok(exit::CLEAN);
        }
        Err(error) => return give_up(&setup, error.into(), now).or_else(refuse),
    }
    let assessed = request.map_err(Failure::from).and_then(|request| assess(&setup, &request, now));
    match assessed {
        Ok(assessed) => Ok(conclude(&setup, &Decision::new(assessed, &setup, now), now)?),
        Err(failure) => give_up(&setup, failure, now),
    }
}

/// A refusal that needs no marker: where the marker cannot be written, the hook must not take its absence for "only warns".
fn refuse(failure: Failure) -> Result<u8, Failure> {
    eprintln!("error: {failure}\nhint: {}", failure.hint());
    Ok(exit::UNKNOWN)
}

/// Reads from the descriptor that apt names.
fn hear() -> Result<Vec<u8>, GateError> {
    let mut bytes = Vec::new();
    let number = std::env::var("APT_HOOK_INFO_FD").unwrap_or_else(|_| "0".to_owned());
    let input: Box<dyn Read> = match number.parse::<u32>() {
        Ok(0) => Box::new(io::stdin()),
        Ok(number) => Box::new(File::open(format!("/proc/self/fd/{number}")).map_err(GateError::Input)?),
        Err(_) => return Err(GateError::Input(io::Error::other("APT_HOOK_INFO_FD is not a number"))),
    };
    input.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(GateError::Input)?;
    Ok(bytes)
}

/// The steps that put files on the machine.
fn unpacked(request: &Request) -> impl Iterator<Item = &Step> {
    request.steps.iter().filter(|step| matches!(step.action, Action::Unpack(_) | Action::Error))
}

fn assess(setup: &Setup, request: &Request, now: u64) -> Result<Assessed, Failure> {
    let paths: Vec<PathBuf> = unpacked(request).filter_map(path).collect();
    let checked = check::open_all(&paths);
    let mut notes = Vec::new();
    let knowledge = know(setup, &checked, &mut notes)?;
    let lists = request.directory(&["Dir", "Dir::State", "Dir::State::lists"]);
    let digests: BTreeSet<Hash> = checked.iter().filter_map(|file| Some(file.package.as_ref().ok()?.sha256)).collect();
    let repositories = listing(&lists, &digests).map_err(|error| notes.push(format!("apt's indexes cannot be searched: {error}"))).ok();
    let rules = Rules { max_age: setup.rules.gate.max_age.unwrap_or(setup.rules.max_age), ..setup.rules.clone() };
    let namespaces = setup.namespaces(&knowledge, Path::new("/"));
    let manifests = setup.cache.manifests();
    let sources = Sources { knowledge: &knowledge, manifests: &manifests, rules: &rules, namespaces: &namespaces };
    let desk = Desk { setup, sources, repositories, native: request.value("APT::Architecture").unwrap_or_default() };
    let mut files = checked.iter();
    let judged = |step: &Step| desk.judge(step, if path(step).is_some() { files.next() } else { None });
    let mut candidates: Vec<(Candidate, Option<Hash>)> = unpacked(request).map(judged).collect();
    desk.remember(&mut candidates, now)?;
    let general = check::currency(setup, &knowledge, &rules, now).1;
    Ok(Assessed { candidates: candidates.into_iter().map(|(candidate, _)| candidate).collect(), general, notes, builders: rules.builders })
}

fn path(step: &Step) -> Option<PathBuf> {
    match &step.action {
        Action::Unpack(path) => Some(std::ffi::OsString::from_vec(path.clone()).into()),
        _ => None,
    }
}

/// What is known, after the log was asked about these files if it may be asked and can be. Where it cannot, what the cache holds counts.
fn know(setup: &Setup, checked: &[Checked], notes: &mut Vec<String>) -> Result<Knowledge, Failure> {
    if setup.rules.gate.ask_log {
        let asked = LogClient::with_timeout(&setup.config.log, PATIENCE).map_err(Failure::from);
        match asked.and_then(|log| check::look_up(setup, &log, checked)) {
            Ok(knowledge) => return Ok(knowledge),
            Err(fork @ Failure::Fork(_)) => return Err(fork),
            Err(failure) => notes.push(format!("the log could not be asked, only the cache is used: {failure}")),
        }
    }
    Ok(setup.knowledge()?.0)
}

/// Everything that judging one step needs.
struct Desk<'a> {
    setup: &'a Setup,
    sources: Sources<'a>,
    /// `None`: apt's indexes cannot be searched.
    repositories: Option<BTreeMap<Hash, BTreeSet<Repository>>>,
    native: String,
}

impl Desk<'_> {
    /// A step with its file; the second value is the file's digest if it comes from a security suite.
    fn judge(&self, step: &Step, file: Option<&Checked>) -> (Candidate, Option<Hash>) {
        let architecture = step.new.as_ref().map_or("", |new| new.architecture.as_str());
        let foreign = ![self.native.as_str(), "all", ""].contains(&architecture);
        let name = if foreign { format!("{}:{architecture}", step.name) } else { step.name.clone() };
        let gate = &self.setup.rules.gate;
        let mut candidate =
            Candidate { name, installed: step.old.is_some(), findings: Vec::new(), mode: gate.strictest(), security_since: None };
        let Some(file) = file else {
            candidate.findings.push(Finding::new(Kind::Unreadable, "apt has no file for it").of(&candidate.name));
            return (candidate, None);
        };
        candidate.findings = file.judge(&self.sources).0;
        candidate.findings.extend(misnamed(step, file));
        let Ok(package) = &file.package else { return (candidate, None) };
        let Some(repositories) = &self.repositories else { return (candidate, None) };
        let listed = repositories.get(&package.sha256);
        let modes = listed.into_iter().flatten().map(|repository| gate.mode_of(&self.names(repository)));
        candidate.mode = modes.max().unwrap_or_else(|| gate.mode_of(&[self.attested_under(file).unwrap_or_else(|| LOCAL.to_owned())]));
        (candidate, listed.filter(|listed| listed.iter().any(Repository::is_security)).map(|_| package.sha256))
    }

    /// The names under which the policy can list a repository.
    fn names(&self, repository: &Repository) -> Vec<String> {
        let Some(origin) = &repository.origin else { return Vec::new() };
        let roles = self.sources.knowledge.judge().roles().current();
        let namespace = roles.and_then(|current| current.roles.namespace("deb", origin)).map(str::to_owned);
        namespace.into_iter().chain([origin.clone()]).collect()
    }

    /// The namespace in which somebody attests this very file.
    fn attested_under(&self, file: &Checked) -> Option<String> {
        let digest = file.package.as_ref().ok()?.sha256;
        let purls = file.purls(self.sources.namespaces);
        let known = |purl: &&attest::Purl| self.sources.knowledge.claims(purl).iter().any(|claims| claims.package == digest);
        purls.iter().find(known).map(|purl| purl.namespace().to_owned())
    }

    /// Security updates against which something speaks get the time at which they were first seen.
    fn remember(&self, candidates: &mut [(Candidate, Option<Hash>)], now: u64) -> Result<(), Failure> {
        let against = |candidate: &Candidate| candidate.findings.iter().any(|finding| !finding.is_explained());
        let digests: Vec<Hash> = candidates.iter().filter(|(candidate, _)| against(candidate)).filter_map(|(_, digest)| *digest).collect();
        if digests.is_empty() || self.setup.rules.gate.unattested_grace == 0 {
            return Ok(());
        }
        let dir = &self.setup.config.state;
        let seen = State::new(dir).first_seen(&digests, now).map_err(|error| GateError::State(dir.clone(), error))?;
        for (candidate, digest) in candidates {
            candidate.security_since = digest.and_then(|digest| seen.get(&digest).copied());
        }
        Ok(())
    }
}

/// apt names one package, and the file is another.
fn misnamed(step: &Step, file: &Checked) -> Option<Finding> {
    let package = file.package.as_ref().ok()?;
    let new = step.new.as_ref();
    let named = format!("{} {} {}", step.name, new.map_or("-", |new| &new.version), new.map_or("-", |new| &new.architecture));
    let found = format!("{} {} {}", package.name, package.version, package.architecture);
    let finding = || {
        let why = "the file is another package than the one that apt names";
        Finding::new(Kind::Misnamed, why).of(&named).at(file.file.as_bytes()).differs(&named, &found)
    };
    (named != found).then(finding)
}

/// How long one answer of the log may take: apt waits.
const PATIENCE: Duration = Duration::from_secs(10);

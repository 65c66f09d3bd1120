//! From what a package manager offers to findings about each package: the same for all of them.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use client::LogClient;
use tlog::Hash;

use crate::archive::Archive;
use crate::check::{self, Checked};
use crate::config::Rules;
use crate::failure::Failure;
use crate::finding::{Finding, Kind};
use crate::follow::FollowError;
use crate::gate::decide::Candidate;
use crate::gate::manager::Manager;
use crate::gate::rules::LOCAL;
use crate::gate::state::State;
use crate::gate::{Assessed, GateError};
use crate::knowledge::Knowledge;
use crate::setup::Setup;
use crate::subject::Sources;
use crate::sync::SyncError;

/// A package that is about to be installed.
pub struct Offer {
    /// Its name, as people give it to the package manager.
    pub name: String,
    /// What the package manager says it is, as [`Archive::identity`] spells it.
    pub says: String,
    /// Whether a version of it is installed, so that it can be held at that.
    pub installed: bool,
    /// Its file, or what a repository lists as it. Where it cannot be told which of several it will be, all of them must be right; where
    /// there is none, that is a finding.
    pub contents: Vec<Checked>,
    /// Where it comes from; `None`: that cannot be told, and the strictest mode counts.
    pub places: Option<BTreeSet<Place>>,
}

/// A place that packages come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The repository's `Origin`, or its name where the package manager has no better one.
    pub origin: Option<String>,
    /// Whether it is for security updates.
    pub security: bool,
}

/// Judges what is offered. `place` is asked once the digests are known, and may fill in where packages come from.
///
/// # Errors
/// If nothing can be judged.
pub fn assess(setup: &Setup, manager: Manager, offers: &[Offer], mut notes: Vec<String>, now: u64) -> Result<Assessed, Failure> {
    let knowledge = know(setup, offers.iter().flat_map(|offer| &offer.contents), &mut notes)?;
    let rules = Rules { max_age: setup.rules.gate.max_age.unwrap_or(setup.rules.max_age), ..setup.rules.clone() };
    let namespaces = setup.namespaces(&knowledge, Path::new("/"));
    let manifests = setup.cache.manifests();
    let sources = Sources { knowledge: &knowledge, manifests: &manifests, rules: &rules, namespaces: &namespaces, now };
    let desk = Desk { setup, sources, manager };
    let mut candidates: Vec<(Candidate, BTreeSet<Hash>)> = offers.iter().map(|offer| desk.judge(offer)).collect();
    desk.remember(&mut candidates, now)?;
    let general = check::currency(setup, &knowledge, &rules, now).1;
    let candidates = candidates.into_iter().map(|(candidate, _)| candidate).collect();
    Ok(Assessed { manager, candidates, general, notes, builders: rules.builders })
}

/// What is known, after the log was asked about these files if it may be asked and can be. Where it cannot, what the cache holds counts.
fn know<'a>(setup: &Setup, checked: impl Iterator<Item = &'a Checked>, notes: &mut Vec<String>) -> Result<Knowledge, Failure> {
    if setup.rules.gate.ask_log {
        let asked = LogClient::with_timeout(&setup.config.log, PATIENCE).map_err(Failure::from);
        match asked.and_then(|log| check::look_up(setup, &log, checked)) {
            Ok(knowledge) => return Ok(knowledge),
            Err(fork @ (Failure::Fork(_) | Failure::Sync(SyncError::Follow(FollowError::Fork(_))))) => return Err(fork),
            Err(failure) => notes.push(format!("the log could not be asked, only the cache is used: {failure}")),
        }
    }
    Ok(setup.knowledge()?.0)
}

/// Everything that judging one offer needs.
struct Desk<'a> {
    setup: &'a Setup,
    sources: Sources<'a>,
    manager: Manager,
}

impl Desk<'_> {
    /// Judges an offer; the second value is the digests under which it is remembered, if it comes from a place of security updates.
    fn judge(&self, offer: &Offer) -> (Candidate, BTreeSet<Hash>) {
        let mode = self.setup.rules.gate.strictest();
        let mut candidate = Candidate {
            says: offer.says.clone(),
            name: offer.name.clone(),
            installed: offer.installed,
            findings: Vec::new(),
            mode,
            security_since: None,
        };
        if offer.contents.is_empty() {
            let why = format!("{} has no file for it", self.manager.name());
            candidate.findings.push(Finding::new(Kind::Unreadable, why).of(&candidate.name));
            return (candidate, BTreeSet::new());
        }
        for content in &offer.contents {
            candidate.findings.extend(content.judge(&self.sources).0);
            candidate.findings.extend(self.misnamed(offer, content));
        }
        let archives: Option<Vec<&Archive>> = offer.contents.iter().map(|content| content.package.as_deref().ok()).collect();
        let (Some(archives), Some(places)) = (archives, &offer.places) else { return (candidate, BTreeSet::new()) };
        candidate.mode = self.mode(places, offer);
        let security = places.iter().any(|place| place.security);
        (candidate, archives.iter().filter(|_| security).map(|archive| archive.sha256).collect())
    }

    /// The strictest mode among the places; of a package of no repository, that of the vendor in whose name it is attested.
    fn mode(&self, places: &BTreeSet<Place>, offer: &Offer) -> crate::gate::rules::Mode {
        let gate = &self.setup.rules.gate;
        let attested = || offer.contents.iter().find_map(|content| self.attested_under(content));
        let modes = places.iter().map(|place| gate.mode_of(&self.names(place)));
        modes.max().unwrap_or_else(|| gate.mode_of(&[attested().unwrap_or_else(|| LOCAL.to_owned())]))
    }

    /// The names under which the policy can list a place.
    fn names(&self, place: &Place) -> Vec<String> {
        let Some(origin) = &place.origin else { return Vec::new() };
        let roles = self.sources.knowledge.judge().roles().current();
        let namespace = roles.and_then(|current| current.roles.namespace(self.manager.kind(), origin)).map(str::to_owned);
        namespace.into_iter().chain([origin.clone()]).collect()
    }

    /// The namespace in which somebody attests this very file.
    fn attested_under(&self, file: &Checked) -> Option<String> {
        let digest = file.package.as_ref().ok()?.sha256;
        let purls = file.purls(self.sources.namespaces);
        let known = |purl: &&attest::Purl| self.sources.knowledge.claims(purl).iter().any(|claims| claims.package == digest);
        purls.iter().find(known).map(|purl| purl.namespace().to_owned())
    }

    /// The package manager names one package, and the file is another.
    fn misnamed(&self, offer: &Offer, file: &Checked) -> Option<Finding> {
        let found = file.package.as_ref().ok()?.identity();
        let why = || format!("the file is another package than the one that {} names", self.manager.name());
        let finding = || Finding::new(Kind::Misnamed, why()).of(&offer.says).at(file.file.as_bytes()).differs(&offer.says, &found);
        (offer.says != found).then(finding)
    }

    /// Security updates against which something speaks get the time at which they were first seen.
    fn remember(&self, candidates: &mut [(Candidate, BTreeSet<Hash>)], now: u64) -> Result<(), Failure> {
        let against = |candidate: &Candidate| candidate.findings.iter().any(|finding| !finding.is_explained());
        let bad = candidates.iter().filter(|(candidate, _)| against(candidate));
        let digests: Vec<Hash> = bad.flat_map(|(_, digests)| digests.iter().copied()).collect();
        if digests.is_empty() || self.setup.rules.gate.unattested_grace == 0 {
            return Ok(());
        }
        let dir = &self.setup.config.state;
        let seen = State::new(dir).first_seen(&digests, now).map_err(|error| GateError::State(dir.clone(), error))?;
        for (candidate, digests) in candidates {
            candidate.security_since = digests.iter().filter_map(|digest| seen.get(digest).copied()).min();
        }
        Ok(())
    }
}

/// How long one answer of the log may take: the package manager waits.
const PATIENCE: Duration = Duration::from_secs(10);

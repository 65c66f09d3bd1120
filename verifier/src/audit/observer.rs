//! Every entry in the order of the log, judged as the log had to judge it, and what it adds to what was said before. Pure.

use std::collections::{BTreeSet, HashMap};

use attest::judge::{Leaf, Refusal};
use attest::predicate::{Action, Affected, Kind as Said, Lifecycle, RebuildResult, RepositoryState, Stage};
use attest::roles::Role;
use attest::{Envelope, Judge, Predicate, Scope, Statement};
use tlog::{Hash, VerifierKey};

use super::alert::{Alert, Kind};
use super::claims::{Claims, Short};
use crate::parallel;

/// What came of reading one entry by itself.
pub type Opened = Result<(Envelope, Statement), Refusal>;

/// The state after the entries so far.
pub struct Observer {
    judge: Judge,
    /// Key and payload of every entry that counted, and where it was first.
    seen: HashMap<Short, u64>,
    claims: Claims,
    watch: Watch,
    /// Who has spoken about a watched package.
    speakers: BTreeSet<String>,
    /// Keys that are known to be compromised.
    compromised: BTreeSet<String>,
    /// What the security team said, by what was heard elsewhere.
    advisories: Vec<Leaf>,
    /// The entries that carry roles: whoever judges an entry again needs them.
    roles: Vec<u64>,
}

/// Packages about which everything is told, and whose word on them is expected.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// The packages.
    pub packages: Vec<Scope>,
    /// Names or verifier keys of those who are known to build them; none: all are as good as known.
    pub known: Vec<String>,
}

impl Observer {
    /// Before the first entry of the log whose first roles have this SHA-256.
    #[must_use]
    pub fn new(roles_pin: Hash, watch: Watch) -> Self {
        Self {
            judge: Judge::new(roles_pin),
            seen: HashMap::new(),
            claims: Claims::default(),
            watch,
            speakers: BTreeSet::new(),
            compromised: BTreeSet::new(),
            advisories: Vec::new(),
            roles: Vec::new(),
        }
    }

    /// The judge after the entries so far.
    #[must_use]
    pub const fn judge(&self) -> &Judge {
        &self.judge
    }

    /// Advisories so far that stand.
    #[must_use]
    pub fn advisories(&self) -> Vec<Leaf> {
        self.advisories.iter().filter(|leaf| !self.judge.is_void(leaf)).cloned().collect()
    }

    /// Entries that carry roles.
    #[must_use]
    pub fn roles(&self) -> &[u64] {
        &self.roles
    }

    /// Reads entries on all cores, the slow part; their signatures are verified unless the entries are known to have been verified before.
    #[must_use]
    pub fn open(&self, entries: &[Vec<u8>], verified_before: bool) -> Vec<Opened> {
        let keys = self.judge.known_keys();
        let open = |entry: &Vec<u8>| {
            if !verified_before {
                return Judge::open_known(entry, keys);
            }
            let envelope = Envelope::parse_known(entry, keys).map_err(Refusal::Envelope)?;
            let statement = Statement::parse(envelope.payload()).map_err(Refusal::Statement)?;
            Ok((envelope, statement))
        };
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        parallel::in_parts(entries, threads, |part| part.iter().map(open).collect())
    }

    /// Takes in entry `index`; every entry comes once, in order.
    pub fn take(&mut self, index: u64, opened: Opened) -> Vec<Alert> {
        let subject = opened.as_ref().ok().map(|(_, statement)| statement.subject.name.clone());
        let admitted = opened.and_then(|(envelope, statement)| self.judge.admit(index, envelope.key(), envelope.payload_hash(), statement));
        let leaf = match admitted {
            Ok(leaf) => leaf,
            Err(refusal) => {
                let text = format!("the log took an entry that its rules refuse: {refusal}");
                return vec![Alert::new(Kind::Inadmissible, &[index], subject.as_deref(), text)];
            }
        };
        let identity = Hash::digest(format!("{}\n{}", leaf.key.encode(), leaf.payload).as_bytes());
        let mut alerts = Vec::new();
        let first = *self.seen.entry(Short::of(&identity)).or_insert(index);
        if first != index {
            let text = format!("{} had said the same before, and the log took it again", leaf.key.name().as_str());
            alerts.push(Alert::new(Kind::Duplicate, &[first, index], subject.as_deref(), text));
        }
        match &leaf.statement.predicate {
            Predicate::PackageFiles(files) => alerts.extend(self.claims.add(&leaf, files)),
            Predicate::Roles(_) => alerts.extend(self.new_roles(index)),
            Predicate::Advisory(advisory) => {
                let kind = if advisory.action == Action::Warn { Kind::Advisory } else { Kind::Withdrawal };
                let affected: Vec<&str> = advisory.affected.iter().map(Affected::pattern).collect();
                let text = format!("{}, {}: {} {}", advisory.id, advisory.reference, advisory.summary, affected.join(", "));
                alerts.push(Alert::new(kind, &[index], None, text.trim_end()));
                self.advisories.push(leaf.clone());
            }
            Predicate::Lifecycle(lifecycle) => alerts.push(end(&leaf, lifecycle)),
            Predicate::RepositoryState(state) => alerts.extend(registration(&leaf, state)),
            _ => {}
        }
        alerts.extend(self.watch(&leaf));
        alerts
    }

    fn new_roles(&mut self, index: u64) -> Vec<Alert> {
        self.roles.push(index);
        let version = self.judge.roles().current().map_or(0, |current| current.roles.version);
        let mut alerts = vec![Alert::new(Kind::Roles, &[index], None, format!("version {version} of the roles is in force"))];
        let keys: Vec<VerifierKey> = self.claims.keys().cloned().collect();
        for key in keys {
            let Some(from) = self.judge.roles().compromised_from(&key) else { continue };
            if self.compromised.insert(key.encode()) {
                let text = format!("{} is compromised: what it said from entry {from} on does not count", key.name().as_str());
                alerts.push(Alert::new(Kind::Compromised, &[index], None, text));
            }
        }
        alerts
    }

    /// Who says what about a watched package, and whether it is for the first time.
    fn watch(&mut self, leaf: &Leaf) -> Option<Alert> {
        let purl = leaf.statement.purl().filter(|_| !self.watch.packages.is_empty())?;
        let pattern = self.watch.packages.iter().find(|scope| scope.covers(&purl))?;
        let (who, key) = (leaf.key.name().as_str(), leaf.key.encode());
        let is_known = self.watch.known.is_empty() || self.watch.known.iter().any(|known| known == who || *known == key);
        let (kind, stranger) = if is_known { (Kind::Watch, "") } else { (Kind::UnknownBuilder, ", who is not among those known,") };
        let first = if self.speakers.insert(format!("{} {key}", pattern.as_str())) { " for the first time" } else { "" };
        let what = match leaf.statement.kind() {
            Said::PackageFiles => "claims what it contains",
            Said::InstallObservation => "observed its installation",
            Said::PackageOrigin => "says where it comes from",
            Said::Rebuild => outcome(&leaf.statement.predicate),
            Said::PackageSource => "says from which source it was built",
            Said::RepositoryState | Said::Advisory | Said::Lifecycle | Said::Roles | Said::ControlHead => "speaks of it",
        };
        let package = leaf.statement.subject.digest.sha256;
        let text = format!("{who}{stranger}{first} {what} (package file {package})");
        Some(Alert::new(kind, &[leaf.index], Some(&leaf.statement.subject.name), text))
    }
}

/// An end of life, a supersession, or that neither holds any more.
fn end(leaf: &Leaf, lifecycle: &Lifecycle) -> Alert {
    let who = if leaf.role == Some(Role::Admin) { "the admin" } else { "the security team's" };
    let day = attest::day::format(lifecycle.date.unwrap_or_default() / 86_400);
    let (kind, what) = match lifecycle.stage {
        Stage::EndOfLife => (Kind::EndOfLife, format!("reaches its end of life on {day}")),
        Stage::Supported => (Kind::EndOfLife, "is supported, whatever was said before".to_owned()),
        Stage::Superseded => (Kind::Superseded, format!("is superseded from {day} on")),
    };
    let instead = lifecycle.successor.as_ref().map_or_else(String::new, |successor| format!(" by {successor}"));
    let text = format!("{} {what}{instead}, says {who} {}: {}", lifecycle.affected.pattern(), leaf.key.name().as_str(), lifecycle.summary);
    Alert::new(kind, &[leaf.index], None, text)
}

/// An index that an admin calls the current one.
fn registration(leaf: &Leaf, state: &RepositoryState) -> Option<Alert> {
    let sequence = state.sequence?;
    let digest = leaf.statement.subject.digest.sha256;
    let text = format!("{} registers {} sha256 {digest} as number {sequence}", leaf.key.name().as_str(), state.index);
    Some(Alert::new(Kind::Registration, &[leaf.index], RepositoryState::name(&leaf.statement.subject.name), text))
}

/// How building it again ended.
fn outcome(predicate: &Predicate) -> &'static str {
    match predicate {
        Predicate::Rebuild(rebuild) => match rebuild.result {
            RebuildResult::Same => "has built it again, and the same file came out",
            RebuildResult::Different => "has built it again, and another file came out",
            RebuildResult::Failed => "could not build it again",
        },
        _ => "speaks of it",
    }
}

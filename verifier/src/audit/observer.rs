//! Every entry in the order of the log, judged as the log had to judge it, and what it adds to what was said before. Pure.

use std::collections::{BTreeSet, HashMap};

use attest::judge::{Leaf, Refusal};
use attest::predicate::{Action, Kind as Said, RebuildResult};
use attest::{Envelope, Judge, Predicate, Scope, Statement};
use tlog::{Hash, VerifierKey};

use super::alert::{Alert, Kind};
use super::claims::{Claims, Short};

/// What came of reading one entry by itself.
pub type Opened = Result<(Envelope, Statement), Refusal>;

/// The state after the entries so far.
pub struct Observer {
    judge: Judge,
    /// Key and payload of every entry that counted, and where it was first.
    seen: HashMap<Short, u64>,
    claims: Claims,
    watched: Vec<Scope>,
    /// Who has spoken about a watched package.
    speakers: BTreeSet<String>,
    /// Keys that are known to be compromised.
    compromised: BTreeSet<String>,
    /// The entries that carry roles: whoever judges an entry again needs them.
    roles: Vec<u64>,
}

impl Observer {
    /// Before the first entry of the log whose first roles have this SHA-256.
    #[must_use]
    pub fn new(roles_pin: Hash, watched: Vec<Scope>) -> Self {
        Self {
            judge: Judge::new(roles_pin),
            seen: HashMap::new(),
            claims: Claims::default(),
            watched,
            speakers: BTreeSet::new(),
            compromised: BTreeSet::new(),
            roles: Vec::new(),
        }
    }

    /// The judge after the entries so far.
    #[must_use]
    pub const fn judge(&self) -> &Judge {
        &self.judge
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
        let chunk = entries.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            let spawn = |entries| scope.spawn(move || Vec::from_iter(<[Vec<u8>]>::iter(entries).map(open)));
            let handles: Vec<_> = entries.chunks(chunk).map(spawn).collect();
            // A panic in a thread would be a bug of the parsers; it must not pass as "no entries".
            handles.into_iter().flat_map(|handle| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        })
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
                let affected: Vec<&str> = advisory.affected.iter().map(attest::predicate::Affected::pattern).collect();
                let text = format!("{}, {}: {} {}", advisory.id, advisory.reference, advisory.summary, affected.join(", "));
                alerts.push(Alert::new(kind, &[index], None, text.trim_end()));
            }
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
        let purl = leaf.statement.purl().filter(|_| !self.watched.is_empty())?;
        let pattern = self.watched.iter().find(|scope| scope.covers(&purl))?;
        let who = leaf.key.name().as_str();
        let first = if self.speakers.insert(format!("{} {}", pattern.as_str(), leaf.key.encode())) { " for the first time" } else { "" };
        let what = match leaf.statement.kind() {
            Said::PackageFiles => "claims what it contains",
            Said::InstallObservation => "observed its installation",
            Said::PackageOrigin => "says where it comes from",
            Said::Rebuild => outcome(&leaf.statement.predicate),
            Said::RepositoryState | Said::Advisory | Said::Roles | Said::ControlHead => "speaks of it",
        };
        let package = leaf.statement.subject.digest.sha256;
        let text = format!("{who}{first} {what} (package file {package})");
        Some(Alert::new(Kind::Watch, &[leaf.index], Some(&leaf.statement.subject.name), text))
    }
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

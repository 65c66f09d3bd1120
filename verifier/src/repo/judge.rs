//! Whether an index is the current one, registered, seen by enough builders, and not warned of (`specs/repository.md`, section 4).

use attest::judge::{KnownState, RepositoryStates};
use attest::predicate::RepositoryState;
use attest::roles::KeyState;

use super::find::Local;
use super::rules::{RepositoryRules, Unlisted};
use crate::config::Rules;
use crate::finding::{Attested, Finding, Kind};
use crate::knowledge::Knowledge;
use crate::subject::attested;
use crate::time;
use crate::warnings::{end, warning};

/// What is said about one index.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The file.
    pub local: Local,
    /// Its repository; `None` where nobody says which it is.
    pub name: Option<String>,
    /// What the log knows of these bytes.
    pub known: Option<KnownState>,
    /// The current index of the repository, as far as it is known.
    pub current: Option<KnownState>,
    /// Whether the roles assign an admin to the repository.
    pub has_admin: bool,
    /// How many builders must have seen it.
    pub builders: usize,
    /// What is wrong, or to be told.
    pub findings: Vec<Finding>,
}

impl Judged {
    /// Whether these bytes are the current index.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.current.as_ref().is_some_and(|current| self.known.as_ref() == Some(current))
    }

    /// Admins that registered it.
    #[must_use]
    pub fn registered_by(&self) -> Attested {
        let registered = self.known.as_ref().and_then(|known| known.registered.as_ref());
        registered.map(|registered| attested(&registered.by)).unwrap_or_default()
    }

    /// Builders that saw it.
    #[must_use]
    pub fn seen_by(&self) -> Attested {
        self.known.as_ref().map(|known| attested(&known.seen)).unwrap_or_default()
    }
}

/// Judges an index. `name` stands before what the file and the policy say.
#[must_use]
pub fn judge(local: Local, name: Option<&str>, knowledge: &Knowledge, rules: &Rules, now: u64) -> Judged {
    let roles = knowledge.judge().roles().current().map(|current| &current.roles);
    let name = name.map(str::to_owned).or_else(|| local.name(&rules.repositories, roles));
    let builders = rules.repositories.builders.unwrap_or(rules.builders);
    let mut judged = Judged { local, name, known: None, current: None, has_admin: false, builders, findings: Vec::new() };
    let Some(name) = judged.name.clone() else {
        judged.add(unlisted(rules.repositories.unlisted, judged.local.alias.as_deref()));
        return judged;
    };
    let states = RepositoryStates::new(knowledge.about(&RepositoryState::subject_of(&name)));
    judged.known = states.find(&judged.local.digest, &judged.local.seen()).cloned();
    judged.current = states.current(builders).cloned();
    judged.has_admin = has_admin(knowledge, &name);
    judged.weigh(&states, rules.repositories.lag, now);
    judged.age(&rules.repositories, &name, now);
    let digest = judged.local.digest;
    knowledge.advisories().about_index(&name, &digest).for_each(|entry| judged.add(warning(entry)));
    knowledge.lifecycles().about_index(&name, &digest).for_each(|said| judged.add(end(said, now)));
    knowledge.unlogged().iter().filter_map(|unlogged| unlogged.about_index(&name, &digest)).for_each(|finding| judged.add(finding));
    judged
}

fn unlisted(unlisted: Unlisted, alias: Option<&str>) -> Finding {
    let kind = if unlisted == Unlisted::Refuse { Kind::Unattested } else { Kind::Explained };
    let called = alias.map_or_else(|| "this index".to_owned(), |alias| format!("the repository {alias}"));
    let why = format!("nobody says which repository of the log {called} is: list it under [repositories] in the policy, or give --name");
    Finding::new(kind, why)
}

fn has_admin(knowledge: &Knowledge, name: &str) -> bool {
    let subject = RepositoryState::subject_of(name);
    let Some((kind, namespace)) = RepositoryState::repository(&subject) else { return false };
    let admins = knowledge.judge().roles().current().map(|current| current.roles.admins.as_slice()).unwrap_or_default();
    let speaks = |scopes: &[attest::Scope]| scopes.iter().any(|scope| scope.covers_namespace(kind, namespace));
    admins.iter().any(|admin| admin.state == KeyState::Active && speaks(&admin.scopes))
}

impl Judged {
    fn add(&mut self, finding: Finding) {
        let finding = finding.at(self.local.file.as_bytes());
        self.findings.push(match &self.name {
            Some(name) => finding.of(name),
            None => finding,
        });
    }

    /// Current? Registered? Seen by enough?
    fn weigh(&mut self, states: &RepositoryStates, lag: u64, now: u64) {
        let name = self.name.clone().unwrap_or_default();
        let Some(current) = self.current.clone() else {
            let why = format!("no entry of the log registers an index of {name}, and no {} builders saw one", self.builders);
            self.add(Finding::new(Kind::Unattested, why).attested(&self.seen_by()));
            return;
        };
        let older = self.local.index.date < current.index.date;
        let newer_seen = states.newest_seen(self.builders).filter(|seen| seen.index.date > current.index.date).cloned();
        match self.known.clone() {
            None if older => self.add(stale(&current, "nobody attests this index, and it is older")),
            None => {
                let why = format!("no entry of the log is about this index; {}", describe(&current));
                let finding = Finding::new(Kind::Unattested, why).attested(&speakers(&current));
                self.add(finding.differs(format!("sha256 {}", current.digest), format!("sha256 {}", self.local.digest)));
            }
            Some(known) if known == current => {
                if let Some(newer) = newer_seen {
                    self.add(overtaken(&newer, lag, now));
                }
            }
            Some(known) if known.registered.is_some() => {
                let number = known.registered.as_ref().map_or(0, |registered| registered.sequence);
                self.add(stale(&current, &format!("this index was registration {number}, which is over")));
            }
            Some(_) if older => self.add(stale(&current, "this index was the current one once")),
            Some(_) => {}
        }
        let registered = self.known.as_ref().is_some_and(|known| known.registered.is_some());
        if self.known.is_some() && self.has_admin && !registered {
            let why = format!("the admin of {name} has not registered this index; {}", describe(&current));
            self.add(Finding::new(Kind::Unregistered, why).attested(&self.seen_by()));
        }
        let seen = self.known.as_ref().map_or(0, |known| known.seen.len());
        if self.known.is_some() && seen < self.builders {
            let why = format!("{} builders must have seen this index, and {seen} did", self.builders);
            self.add(Finding::new(Kind::TooFewBuilders, why).attested(&self.seen_by()));
        }
    }

    /// Whether it is too old by its own dates: nothing newer need be known for that.
    fn age(&mut self, rules: &RepositoryRules, name: &str, now: u64) {
        if let Some(until) = self.local.index.valid_until.filter(|until| *until < now) {
            let why =
                format!("the index says that it was valid until {}: the mirror is frozen, or this clock is wrong", time::format(until));
            self.add(Finding::new(Kind::StaleState, why));
        }
        let Some(limit) = rules.max_age_of(name) else { return };
        let why = match self.local.index.date {
            Some(date) if now.saturating_sub(date) <= limit => return,
            Some(date) => format!(
                "the index is of {}, {} old, and at most {} is allowed: the mirror is frozen, or the repository is",
                time::format(date),
                time::span(now.saturating_sub(date)),
                time::span(limit)
            ),
            None => "the policy limits its age, and the index has no date".to_owned(),
        };
        self.add(Finding::new(Kind::StaleState, why));
    }
}

/// The admin is behind what builders saw, or somebody holds the admin back.
fn overtaken(newer: &KnownState, lag: u64, now: u64) -> Finding {
    let age = now.saturating_sub(newer.index.date.unwrap_or(0));
    let kind = if age > lag { Kind::StaleState } else { Kind::Explained };
    let why = format!(
        "it is the registered index, but builders have seen a newer one, sha256 {}, of {}, which no admin has registered for {}",
        newer.digest,
        date(newer),
        time::span(age)
    );
    Finding::new(kind, why).attested(&attested(&newer.seen))
}

fn stale(current: &KnownState, what: &str) -> Finding {
    Finding::new(Kind::StaleState, format!("stale, {}; {what}", describe(current))).attested(&speakers(current))
}

/// `current is INDEX since DATE`.
fn describe(current: &KnownState) -> String {
    let how = match &current.registered {
        Some(registered) => format!("registration {}", registered.sequence),
        None => "as builders saw it".to_owned(),
    };
    format!("current is {} sha256 {} since {} ({how})", current.index.index, current.digest, date(current))
}

fn date(state: &KnownState) -> String {
    state.index.date.map_or_else(|| "a time that it does not say".to_owned(), time::format)
}

fn speakers(state: &KnownState) -> Attested {
    match &state.registered {
        Some(registered) => attested(&registered.by),
        None => attested(&state.seen),
    }
}

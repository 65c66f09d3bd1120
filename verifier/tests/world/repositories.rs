//! Indexes of repositories, and who says what about them.

use attest::predicate::{Action, Advisory, Affected, RepositoryState, Severity};
use attest::roles::{RoleKey, Vendor};
use attest::{Predicate, Scope, Statement, Subject};
use package::repository::Index;
use tlog::{Hash, KeyKind, Signer as _};

use super::{World, key};

pub const SUSE: &str = "rpm/opensuse/tumbleweed";
pub const RULES: &str =
    "builders = 2\nmax_age = \"1h\"\n[[repositories.list]]\nname = \"rpm/opensuse/tumbleweed\"\nalias = \"oss\"\nmax_age = \"3d\"\n";

pub fn role(name: &str, scopes: &[&str]) -> RoleKey {
    RoleKey::active(key(name, KeyKind::Ed25519).key().clone(), scopes).unwrap()
}

/// Builders for everything, one admin for openSUSE, none for Debian.
pub fn world() -> World {
    let world = World::with_roles(|roles| {
        roles.builders.iter_mut().for_each(|builder| builder.scopes = vec![Scope::parse("pkg:*").unwrap()]);
        roles.admins = vec![role("admin", &["pkg:rpm/opensuse/*"])];
        roles.vendors.push(Vendor { kind: "rpm".into(), namespace: "opensuse".into(), origin: "openSUSE".into() });
    });
    world.configure(RULES);
    world
}

/// A master index of that time.
pub fn repomd(time: u64) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<repomd xmlns=\"http://linux.duke.edu/metadata/repo\">\n  <revision>{time}</revision>\n</repomd>\n"
    )
}

pub fn seen(name: &str, index: &str) -> Statement {
    let read = Index::read(index.as_bytes(), "").unwrap();
    let state = RepositoryState::seen(&read.name, read.date, read.valid_until);
    let subject = Subject::new(RepositoryState::subject_of(name), Hash::digest(index.as_bytes()));
    Statement { subject, predicate: Predicate::RepositoryState(state) }
}

pub fn see(world: &mut World, name: &str, index: &str, who: &[&str]) {
    who.iter().for_each(|who| {
        world.say(who, &seen(name, index));
    });
}

/// Registers indexes, each after the one before.
pub struct Admin {
    pub key: &'static str,
    pub end: Option<(u64, Hash)>,
}

impl Admin {
    pub fn new() -> Self {
        Self { key: "admin", end: None }
    }

    pub fn register(&mut self, world: &mut World, name: &str, index: &str) {
        let Statement { subject, predicate: Predicate::RepositoryState(state) } = seen(name, index) else { panic!("a state") };
        let statement = Statement { subject, predicate: Predicate::RepositoryState(state.registered(self.end)) };
        let (_, payload) = world.say(self.key, &statement);
        self.end = Some((self.end.map_or(0, |(sequence, _)| sequence) + 1, payload));
    }
}

pub fn advise(world: &mut World, action: Action, affected: Vec<Affected>, before: Option<Hash>) -> Hash {
    advise_by(world, "security", action, affected, before)
}

/// The same by another key.
pub fn advise_by(world: &mut World, who: &str, action: Action, affected: Vec<Affected>, before: Option<Hash>) -> Hash {
    let advisory = Advisory {
        action,
        advice: "Wait for the next snapshot".into(),
        affected,
        id: "TSA-7".into(),
        previous: before,
        reference: "https://example.com/7".into(),
        sequence: if before.is_some() { 2 } else { 1 },
        severity: Severity::Critical,
        summary: "The snapshot is broken".into(),
    };
    world.say(who, &Statement { subject: advisory.subject(), predicate: Predicate::Advisory(advisory) }).1
}

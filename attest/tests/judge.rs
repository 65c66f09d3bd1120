//! Judging: every refusal, chains, agreement, advisories, completeness.

mod common;

use attest::judge::{Advisories, Judge, Lifecycles, RepositoryStates, Said, sources_for};
use attest::judge::{ClaimVerdict, Completeness, Judged, Leaf, Refusal, claims_for, completeness, judge_all, observations_for};
use attest::predicate::{
    Action, Advisory, Affected, Change, Environment, InstallObservation, Lifecycle, Observed, Predicate, Rebuild, RebuildResult,
    RepositoryState, Severity, Stage,
};
use attest::roles::{KeyState, Role, Roles};
use attest::{Statement, Subject};
use common::{
    ATTR, Minisign, claim, first_roles, hash, head, key, leaf, lifecycle, next_roles, origin_signed_by, payload, purl, say_lifecycle,
    source,
};
use tlog::{Hash, SigningKey};

/// A foundation, its first roles, and the leaves said so far.
struct World {
    minisign: Minisign,
    roles: Roles,
    pin: Hash,
    leaves: Vec<Vec<u8>>,
}

impl World {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl Fn(&mut Roles)) -> Self {
        let minisign = Minisign::new(&["alice", "bob"]);
        let mut roles = first_roles(minisign.foundation(2));
        change(&mut roles);
        let mut world = Self { minisign, pin: roles.digest(), roles: roles.clone(), leaves: Vec::new() };
        world.say_roles(roles);
        world
    }

    fn say_roles(&mut self, roles: Roles) {
        let statement = self.minisign.signed(&roles, &["alice", "bob"], None).to_statement().expect("fits");
        self.say("carrier", &statement);
        self.roles = roles;
    }

    fn change_roles(&mut self, change: impl Fn(&mut Roles)) {
        let mut roles = next_roles(&self.roles);
        change(&mut roles);
        self.say_roles(roles);
    }

    /// Returns the leaf's index.
    fn say(&mut self, name: &str, statement: &Statement) -> u64 {
        self.leaves.push(leaf(&key(name), statement));
        self.leaves.len() as u64 - 1
    }

    fn judged(&self) -> Judged {
        judge_all(self.pin, self.leaves.iter().enumerate().map(|(index, leaf)| (index as u64, leaf.as_slice())))
    }

    fn refused(&self) -> Vec<(u64, Refusal)> {
        self.judged().refused
    }

    /// What the judge says to one more statement.
    fn may(&self, key: &SigningKey, statement: &Statement) -> Result<(), Refusal> {
        use tlog::Signer as _;
        self.judged().judge.may(key.key(), &payload(statement), statement)
    }
}

fn origin() -> Statement {
    let origin = origin_signed_by(&"A".repeat(40));
    Statement::about_package(&purl(ATTR), hash("attr.deb"), Predicate::PackageOrigin(origin))
}

fn rebuild() -> Statement {
    let rebuild = Rebuild::new("attr 1:2.5.1-4".into(), Environment::Derived, RebuildResult::Same);
    Statement::about_package(&purl(ATTR), hash("attr.deb"), Predicate::Rebuild(rebuild))
}

fn state(namespace: &str, sequence: u64, previous: Option<Hash>) -> Statement {
    let name = RepositoryState::subject_name("deb", namespace, "bookworm");
    let seen = RepositoryState::seen("InRelease", Some(1_700_000_000), None);
    let state = RepositoryState { previous, sequence: Some(sequence), ..seen };
    Statement { subject: Subject::new(name, hash("InRelease")), predicate: Predicate::RepositoryState(state) }
}

fn advisory(action: Action, id: &str, sequence: u64, previous: Option<&Statement>) -> Statement {
    let affected = Affected { before: Some("1:2.5.1-5".into()), ..Affected::packages("pkg:deb/debian/attr") };
    let advisory = Advisory {
        action,
        advice: "Upgrade.".into(),
        affected: if action == Action::Warn { vec![affected] } else { vec![] },
        id: id.into(),
        previous: previous.map(payload),
        reference: "CVE-2026-0001".into(),
        sequence,
        severity: Severity::High,
        summary: "A test.".into(),
    };
    Statement { subject: advisory.subject(), predicate: Predicate::Advisory(advisory) }
}

#[test]
fn each_role_says_what_is_its_own() {
    let mut world = World::new();
    world.say("b1", &claim(ATTR, "attr.deb", "m"));
    world.say("b1", &origin());
    world.say("rebuilder", &rebuild());
    world.say("admin", &state("debian", 1, None));
    world.say("s1", &advisory(Action::Warn, "T-1", 1, None));
    world.say("control", &head(1, None, 1, 1, 6));
    world.say("b2", &source(ATTR, "attr.deb", "attr", "1:2.5.1-4"));
    world.say("admin", &say_lifecycle(lifecycle(Affected::packages("pkg:deb/debian/attr"), Stage::EndOfLife, 1, None)));
    assert_eq!(world.refused(), []);
    let roles: Vec<Option<Role>> = world.judged().standing.iter().map(|leaf| leaf.role).collect();
    let said = [Role::Builder, Role::Builder, Role::Rebuilder, Role::Admin, Role::Security, Role::Control, Role::Builder, Role::Admin];
    assert_eq!(roles, std::iter::once(None).chain(said.map(Some)).collect::<Vec<_>>());
}

#[test]
fn other_roles_and_strangers_may_not() {
    let world = World::new();
    let wrong = |needed| Err(Refusal::WrongRole { needed });
    assert_eq!(world.may(&key("s1"), &claim(ATTR, "attr.deb", "m")), wrong(Role::Builder));
    assert_eq!(world.may(&key("b1"), &rebuild()), wrong(Role::Rebuilder));
    assert_eq!(world.may(&key("b1"), &state("debian", 1, None)), wrong(Role::Admin));
    assert_eq!(world.may(&key("control"), &advisory(Action::Warn, "T-1", 1, None)), wrong(Role::Security));
    assert_eq!(world.may(&key("s1"), &head(1, None, 1, 0, 1)), wrong(Role::Control));
    assert_eq!(world.may(&key("nobody"), &claim(ATTR, "attr.deb", "m")), Err(Refusal::UnknownKey));
}

#[test]
fn scopes_bind() {
    let world = World::new();
    let name = "pkg:deb/ubuntu/attr@1?arch=amd64";
    assert_eq!(world.may(&key("b1"), &claim(name, "attr.deb", "m")), Err(Refusal::OutOfScope { subject: name.into() }));
    assert_eq!(world.may(&key("rebuilder"), &rebuild()), Ok(()));
    let subject = "tallystick:repository/deb/ubuntu/bookworm".to_owned();
    assert_eq!(world.may(&key("admin"), &state("ubuntu", 1, None)), Err(Refusal::OutOfScope { subject }));
}

#[test]
fn repositories_fill_their_own_namespace() {
    let world = World::new();
    let from = |name: &str| {
        let mut statement = origin();
        let Predicate::PackageOrigin(origin) = &mut statement.predicate else { panic!("an origin") };
        origin.origin = name.into();
        statement
    };
    assert_eq!(world.may(&key("b1"), &from("Debian")), Ok(()));
    assert_eq!(world.may(&key("b1"), &from("LP-PPA-mallory")), Err(Refusal::WrongVendor { origin: "LP-PPA-mallory".into() }));
}

#[test]
fn nothing_comes_before_the_roles() {
    let world = World::new();
    let first = leaf(&key("b1"), &claim(ATTR, "attr.deb", "m"));
    let judged = judge_all(world.pin, [(0, first.as_slice()), (1, world.leaves[0].as_slice()), (2, first.as_slice())]);
    assert_eq!(judged.refused, [(0, Refusal::NoRoles)]);
    assert_eq!(judged.standing.len(), 2);
}

#[test]
fn unpinned_roles_are_refused() {
    let world = World::new();
    let judged = judge_all(hash("other"), [(0, world.leaves[0].as_slice())]);
    assert_eq!(judged.refused, [(0, Refusal::Roles(attest::roles::ChainError::NotPinned))]);
}

#[test]
fn leaves_come_in_order() {
    let world = World::new();
    let mut judge = Judge::new(world.pin);
    judge.admit_bytes(5, &world.leaves[0]).expect("good");
    let late = leaf(&key("b1"), &claim(ATTR, "attr.deb", "m"));
    assert_eq!(judge.admit_bytes(5, &late), Err(Refusal::OutOfOrder));
    assert!(judge.admit_bytes(6, &late).is_ok());
}

#[test]
fn bad_envelopes_and_statements_are_refused() {
    let good = leaf(&key("b1"), &claim(ATTR, "attr.deb", "m"));
    let mut bad = good.clone();
    let place = bad.windows(6).position(|window| window == b"\"sig\":").expect("there") + 10;
    bad[place] = if bad[place] == b'A' { b'B' } else { b'A' };
    assert_eq!(Judge::open(&bad), Err(Refusal::Envelope(attest::envelope::EnvelopeError::BadSignature)));
    assert_eq!(Judge::open(b"{}"), Err(Refusal::Envelope(attest::envelope::EnvelopeError::Malformed)));
    let empty = attest::Envelope::sign(b"{}".to_vec(), &key("b1")).expect("signed").encode();
    assert_eq!(Judge::open(&empty), Err(Refusal::Statement(attest::statement::StatementError::Malformed)));
    assert!(Judge::open(&good).is_ok());
}

/// The log answers with one line of text.
#[test]
fn every_refusal_is_one_line_that_says_what() {
    use attest::envelope::EnvelopeError;
    use attest::roles::{ChainError, RolesError, SignedRolesError};
    use attest::statement::StatementError;
    let refusals = [
        Refusal::Envelope(EnvelopeError::Malformed),
        Refusal::Statement(StatementError::BadSubject("the name must be another")),
        Refusal::NoRoles,
        Refusal::UnknownKey,
        Refusal::WrongRole { needed: Role::Control },
        Refusal::OutOfScope { subject: ATTR.into() },
        Refusal::WrongVendor { origin: "Debian".into() },
        Refusal::Retired,
        Refusal::Compromised { from: 1 },
        Refusal::Roles(ChainError::Signed(SignedRolesError::Roles(RolesError { line: 1, reason: "x" }))),
        Refusal::Roles(ChainError::Fork { version: 2 }),
        Refusal::WrongSequence { expected: 1, found: 2 },
        Refusal::WrongPrevious,
        Refusal::WrongControlHead,
        Refusal::OutOfOrder,
    ];
    let mut texts: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    assert!(texts.iter().all(|text| text.len() > 15 && !text.contains('\n')), "{texts:?}");
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), refusals.len());
}

#[test]
fn a_leaf_is_judged_by_the_roles_before_it() {
    let mut world = World::new();
    let one = |package: &str| claim(ATTR, package, "m");
    world.say("b1", &one("1"));
    world.change_roles(|roles| roles.builders[0].state = KeyState::Retired);
    world.say("b1", &one("2"));
    world.change_roles(|roles| drop(roles.builders.remove(0)));
    world.say("b1", &one("3"));
    assert_eq!(world.refused(), [(3, Refusal::Retired), (5, Refusal::UnknownKey)]);
}

#[test]
fn compromised_keys_are_not_believed_from_that_entry_on() {
    let mut world = World::new();
    for package in ["1", "2", "3"] {
        world.say("b1", &claim(ATTR, package, "m"));
    }
    world.change_roles(|roles| roles.builders[0].state = KeyState::CompromisedFrom(2));
    world.say("b1", &claim(ATTR, "4", "m"));
    // A later document that forgets it changes nothing.
    world.change_roles(|roles| roles.builders[0].state = KeyState::Active);
    world.say("b1", &claim(ATTR, "5", "m"));
    let void = |index| (index, Refusal::Compromised { from: 2 });
    assert_eq!(world.refused(), [void(2), void(3), void(5), void(7)]);
    assert_eq!(world.judged().standing.iter().map(|leaf| leaf.index).collect::<Vec<_>>(), [0, 1, 4, 6]);
}

#[test]
fn a_compromised_carrier_does_not_void_roles() {
    let mut world = World::new();
    let statement = world.minisign.signed(&next_roles(&world.roles), &["alice", "bob"], None).to_statement().expect("fits");
    world.say("b1", &statement);
    world.roles = next_roles(&world.roles);
    world.change_roles(|roles| roles.builders[0].state = KeyState::CompromisedFrom(0));
    assert_eq!(world.refused(), []);
    assert_eq!(world.judged().judge.roles().current().map(|version| version.roles.version), Some(3));
}

#[test]
fn chains_have_no_gaps_and_no_branches() {
    let mut world = World::new();
    let first = advisory(Action::Warn, "T-1", 1, None);
    let second = advisory(Action::Warn, "T-2", 2, Some(&first));
    let wrong = |expected, found| Err(Refusal::WrongSequence { expected, found });
    assert_eq!(world.may(&key("s1"), &second), wrong(1, 2));
    world.say("s1", &first);
    assert_eq!(world.may(&key("s1"), &advisory(Action::Warn, "T-3", 3, Some(&first))), wrong(2, 3));
    assert_eq!(world.may(&key("s1"), &advisory(Action::Warn, "T-2", 2, Some(&second))), Err(Refusal::WrongPrevious));
    assert_eq!(world.may(&key("s1"), &advisory(Action::Warn, "T-1b", 1, None)), wrong(2, 1));
    world.say("s1", &second);
    // Another member seconds what was said, however old; another text at that number is refused.
    world.say("s2", &first);
    assert_eq!(world.may(&key("s2"), &advisory(Action::Warn, "T-1b", 1, None)), wrong(3, 1));
    assert_eq!(world.refused(), []);
    assert_eq!(world.judged().judge.chain(attest::predicate::Kind::Advisory, Advisory::SUBJECT).map(|end| end.sequence), Some(2));
}

#[test]
fn each_repository_has_its_own_chain() {
    let mut world = World::with(|roles| roles.admins[0].scopes = vec![attest::Scope::parse("pkg:*").expect("a scope")]);
    let debian = state("debian", 1, None);
    world.say("admin", &debian);
    world.say("admin", &state("ubuntu", 1, None));
    world.say("admin", &state("debian", 2, Some(payload(&debian))));
    assert_eq!(world.may(&key("admin"), &state("ubuntu", 2, Some(payload(&debian)))), Err(Refusal::WrongPrevious));
    assert_eq!(world.refused(), []);
}

fn seen(digest: &str, date: u64) -> Statement {
    let state = RepositoryState::seen("InRelease", Some(date), None);
    let name = RepositoryState::subject_of("deb/debian/bookworm");
    Statement { subject: Subject::new(name, hash(digest)), predicate: Predicate::RepositoryState(state) }
}

#[test]
fn builders_see_indexes_and_admins_register_them() {
    let mut world = World::new();
    let first = state("debian", 1, None);
    assert_eq!(world.may(&key("b1"), &first), Err(Refusal::WrongRole { needed: Role::Admin }));
    assert_eq!(world.may(&key("admin"), &seen("InRelease", 1)), Err(Refusal::WrongRole { needed: Role::Builder }));
    let name = RepositoryState::subject_of("deb/ubuntu/x");
    let foreign = Statement { subject: Subject::new(name.clone(), hash("x")), ..seen("x", 1) };
    assert_eq!(world.may(&key("b1"), &foreign), Err(Refusal::OutOfScope { subject: name }));
    let known = |world: &World| RepositoryStates::new(&world.judged().standing);
    for who in ["b1", "b2"] {
        world.say(who, &seen("old", 1_600_000_000));
    }
    assert_eq!(known(&world).current(2).map(|state| state.digest), Some(hash("old")), "nobody registered anything");
    assert_eq!(known(&world).current(3), None);
    world.say("b1", &seen("InRelease", 1_700_000_000));
    assert_eq!(known(&world).current(2).map(|state| state.digest), Some(hash("old")), "one builder is not two");
    world.say("admin", &first);
    let states = known(&world);
    let current = states.current(2).expect("registered");
    assert_eq!((current.digest, current.seen.len()), (hash("InRelease"), 1));
    assert_eq!(current.registered.as_ref().map(|registered| (registered.sequence, registered.by.len())), Some((1, 1)));
    // The same bytes with another date are something else: the builder that says so does not count for them.
    world.say("b3", &seen("InRelease", 5));
    assert_eq!(known(&world).current(2).map(|state| state.seen.len()), Some(1));
    // An older index, registered again, is the current one: by the admin's word, which everybody sees.
    world.say("admin", &{
        let mut again = state("debian", 2, Some(payload(&first)));
        let Predicate::RepositoryState(state) = &mut again.predicate else { panic!("a state") };
        state.date = Some(1_600_000_000);
        again.subject.digest.sha256 = hash("old");
        again
    });
    assert_eq!(known(&world).current(2).map(|state| (state.digest, state.seen.len())), Some((hash("old"), 2)));
    assert_eq!(world.refused(), []);
}

#[test]
fn warnings_reach_indexes() {
    let about = |pattern: &str, digests| Affected { digests, ..Affected::repositories(pattern) };
    let covers = |affected: Affected| affected.covers_index("deb/debian/bookworm", &hash("x"));
    assert!(covers(about("deb/debian/bookworm", vec![])) && covers(about("deb/debian/*", vec![hash("x")])));
    assert!(!covers(about("deb/debian/bookworm", vec![hash("y")])) && !covers(about("deb/debian/bookworm-updates", vec![])));
    assert!(!covers(Affected::packages("pkg:*")));
    assert!(!about("deb/*", vec![]).covers(&purl(ATTR), &hash("x"), &[]));
}

#[test]
fn control_heads_never_go_back() {
    let mut world = World::new();
    let first = head(1, None, 1, 0, 10);
    world.say("control", &first);
    let next = |roles, advisory, size| head(2, Some(payload(&first)), roles, advisory, size);
    assert_eq!(world.may(&key("control"), &next(1, 0, 9)), Err(Refusal::WrongControlHead));
    assert_eq!(world.may(&key("control"), &next(1, 0, 10)), Ok(()));
    assert_eq!(world.may(&key("control"), &first), Err(Refusal::WrongSequence { expected: 2, found: 1 }));
    let mut old = next(1, 0, 10);
    let Predicate::ControlHead(old_head) = &mut old.predicate else { panic!("a head") };
    old_head.time = 1;
    old.subject = old_head.subject();
    assert_eq!(world.may(&key("control"), &old), Err(Refusal::WrongControlHead));
}

#[test]
fn a_bad_head_binds_until_its_key_is_called_compromised() {
    let mut world = World::with(|roles| roles.control.push(role_of("control-2", &[])));
    world.say("b1", &claim(ATTR, "attr.deb", "m"));
    let good = head(1, None, 1, 0, 2);
    world.say("control-2", &good);
    let Predicate::ControlHead(mut bad) = head(2, Some(payload(&good)), 1, 0, 2).predicate else { panic!("a head") };
    (bad.time, bad.size) = ((1 << 53) - 1, (1 << 53) - 1);
    let bad = Statement { subject: bad.subject(), predicate: Predicate::ControlHead(bad) };
    let at = world.say("control", &bad);
    let next = |size| head(3, Some(payload(&bad)), 1, 0, size);
    assert_eq!(world.may(&key("control-2"), &next(4)), Err(Refusal::WrongControlHead));
    world.change_roles(|roles| roles.control[0].state = KeyState::CompromisedFrom(at + 1));
    assert_eq!(world.may(&key("control-2"), &next(5)), Err(Refusal::WrongControlHead), "the bad one is from before");
    world.change_roles(|roles| roles.control[0].state = KeyState::CompromisedFrom(at));
    assert_eq!(world.may(&key("control"), &next(6)), Err(Refusal::Compromised { from: at }));
    let second = head(2, Some(payload(&good)), 1, 0, 6);
    assert_eq!(world.may(&key("control-2"), &second), Err(Refusal::WrongSequence { expected: 3, found: 2 }), "its number is taken");
    assert_eq!(world.may(&key("control-2"), &next(1)), Err(Refusal::WrongControlHead), "the other key's head binds as before");
    let honest = next(6);
    world.say("control-2", &honest);
    assert_eq!(world.refused(), [(at, Refusal::Compromised { from: at })]);
    let judged = world.judged();
    let Predicate::ControlHead(honest) = honest.predicate else { panic!("a head") };
    assert_eq!(completeness(&judged.judge, &judged.standing), Completeness::Complete(honest));
}

fn claims(world: &World, k: usize) -> Vec<(Hash, ClaimVerdict, Vec<usize>)> {
    let claims = claims_for(&purl(ATTR), &world.judged().standing);
    let counts = |claims: &attest::judge::PackageClaims| claims.claims.iter().map(|claim| claim.attesters.len()).collect();
    claims.iter().map(|claims| (claims.package, claims.verdict(k), counts(claims))).collect()
}

#[test]
fn builders_are_counted_and_not_leaves() {
    let mut world = World::new();
    assert_eq!(claims(&world, 2), []);
    let said = claim(ATTR, "attr.deb", "m");
    world.say("b1", &said);
    world.say("b1", &said);
    assert_eq!(claims(&world, 2), [(hash("attr.deb"), ClaimVerdict::TooFew, vec![1])]);
    world.say("b2", &said);
    assert_eq!(claims(&world, 2), [(hash("attr.deb"), ClaimVerdict::Agreed, vec![2])]);
    assert_eq!(claims(&world, 3), [(hash("attr.deb"), ClaimVerdict::TooFew, vec![2])]);
    let found = claims_for(&purl(ATTR), &world.judged().standing);
    let indices: Vec<u64> = found[0].agreed(2).expect("agreed").attesters.iter().map(|attester| attester.index).collect();
    assert_eq!(indices, [1, 3]);
    assert_eq!(found[0].agreed(3), None);
}

#[test]
fn dissent_and_conflict_differ() {
    let mut world = World::with(|roles| roles.builders.push(common::role_key(&key("b4"), &["pkg:deb/*"])));
    world.say("b1", &claim(ATTR, "attr.deb", "m"));
    world.say("b2", &claim(ATTR, "attr.deb", "other"));
    assert_eq!(claims(&world, 2), [(hash("attr.deb"), ClaimVerdict::Conflict, vec![1, 1])]);
    world.say("b3", &claim(ATTR, "attr.deb", "other"));
    assert_eq!(claims(&world, 2), [(hash("attr.deb"), ClaimVerdict::Dissent, vec![2, 1])]);
    world.say("b4", &claim(ATTR, "attr.deb", "m"));
    assert_eq!(claims(&world, 2), [(hash("attr.deb"), ClaimVerdict::Conflict, vec![2, 2])]);
}

#[test]
fn a_builder_that_says_two_things_counts_for_neither() {
    let mut world = World::new();
    world.say("b1", &claim(ATTR, "attr.deb", "m"));
    world.say("b2", &claim(ATTR, "attr.deb", "m"));
    world.say("b2", &claim(ATTR, "attr.deb", "other"));
    assert_eq!(claims(&world, 2), [(hash("attr.deb"), ClaimVerdict::Conflict, vec![1, 0])]);
    let found = claims_for(&purl(ATTR), &world.judged().standing);
    assert_eq!(found[0].contradictory.iter().map(|attester| attester.index).collect::<Vec<_>>(), [2]);
}

#[test]
fn other_package_files_of_one_name_are_judged_apart() {
    let mut world = World::new();
    for builder in ["b1", "b2"] {
        world.say(builder, &claim(ATTR, "attr.deb", "m"));
        world.say(builder, &claim(ATTR, "rebuilt.deb", "n"));
        world.say(builder, &claim("pkg:deb/debian/attr@1?arch=amd64", "old.deb", "o"));
    }
    let agreed = |package: &str| (hash(package), ClaimVerdict::Agreed, vec![2]);
    assert_eq!(claims(&world, 2), [agreed("attr.deb"), agreed("rebuilt.deb")]);
}

fn observation(image: &str, mode: &str, more: &[Observed]) -> Statement {
    let mut ping = Observed::new("./usr/bin/ping".into(), Change::Modified);
    ping.mode = Some(mode.into());
    let entries = [&[ping][..], more].concat();
    let (observation, rest) = InstallObservation::new(hash("m"), format!("sha256:{}", hash(image)), entries);
    assert_eq!(rest, None);
    Statement::about_package(&purl(ATTR), hash("attr.deb"), Predicate::InstallObservation(observation))
}

#[test]
fn observations_agree_entry_by_entry() {
    let mut world = World::new();
    let cache = Observed::new("./var/cache/x".into(), Change::Generated);
    world.say("b1", &observation("image 1", "04755", std::slice::from_ref(&cache)));
    world.say("b1", &observation("image 3", "04755", &[]));
    world.say("b2", &observation("image 2", "04755", &[]));
    world.say("b3", &observation("image 2", "0755", &[cache]));
    let standing = world.judged().standing;
    let agreed = |k| observations_for(&hash("attr.deb"), &hash("m"), k, &standing);
    let seen: Vec<_> = agreed(2).into_iter().map(|seen| (seen.observed.path, seen.observed.mode, seen.attesters.len())).collect();
    assert_eq!(seen, [("./usr/bin/ping".to_owned(), Some("04755".to_owned()), 2), ("./var/cache/x".to_owned(), None, 2)]);
    assert_eq!((agreed(1).len(), agreed(3).len()), (3, 0));
    assert_eq!(observations_for(&hash("attr.deb"), &hash("other"), 1, &standing), []);
    assert_eq!(observations_for(&hash("other.deb"), &hash("m"), 1, &standing), []);
}

fn warned(world: &World) -> Vec<(String, bool)> {
    let judged = world.judged();
    let advisories = Advisories::new(&judged.judge, &judged.standing);
    advisories.about(&purl(ATTR), &hash("attr.deb"), &[]).map(|entry| (entry.advisory.id.clone(), entry.confirmed)).collect()
}

#[test]
fn warnings_hold_until_they_are_withdrawn() {
    let mut world = World::new();
    let first = advisory(Action::Warn, "T-1", 1, None);
    let second = advisory(Action::Warn, "T-2", 2, Some(&first));
    let third = advisory(Action::Withdraw, "T-1", 3, Some(&second));
    let fourth = advisory(Action::Warn, "T-1", 4, Some(&third));
    world.say("s1", &first);
    assert_eq!(warned(&world), [("T-1".to_owned(), true)]);
    world.say("s2", &second);
    assert_eq!(warned(&world).len(), 2);
    world.say("s1", &third);
    assert_eq!(warned(&world), [("T-2".to_owned(), true)]);
    world.say("s1", &fourth);
    assert_eq!(warned(&world).len(), 2);
    let judged = world.judged();
    let advisories = Advisories::new(&judged.judge, &judged.standing);
    assert_eq!((advisories.newest(), advisories.in_force().len()), (4, 2));
    assert_eq!(advisories.about(&purl("pkg:deb/debian/attr@1:2.5.1-5?arch=amd64"), &hash("attr.deb"), &[]).count(), 0);
    assert_eq!(advisories.about(&purl("pkg:deb/debian/acl@1?arch=amd64"), &hash("attr.deb"), &[]).count(), 0);
}

#[test]
fn a_team_with_a_threshold_must_agree() {
    let mut world = World::with(|roles| roles.security.threshold = 2);
    let first = advisory(Action::Warn, "T-1", 1, None);
    let second = advisory(Action::Withdraw, "T-1", 2, Some(&first));
    world.say("s1", &first);
    world.say("s1", &first);
    assert_eq!(warned(&world), [("T-1".to_owned(), false)]);
    world.say("s2", &first);
    assert_eq!(warned(&world), [("T-1".to_owned(), true)]);
    world.say("s1", &second);
    assert_eq!(warned(&world), [("T-1".to_owned(), true)]);
    world.say("s2", &second);
    assert_eq!(warned(&world), []);
}

#[test]
fn a_compromised_withdrawal_is_void() {
    let mut world = World::new();
    let first = advisory(Action::Warn, "T-1", 1, None);
    let second = advisory(Action::Withdraw, "T-1", 2, Some(&first));
    world.say("s1", &first);
    let withdrawal = world.say("s2", &second);
    assert_eq!(warned(&world), []);
    world.change_roles(|roles| roles.security.keys[1].state = KeyState::CompromisedFrom(withdrawal));
    assert_eq!(warned(&world), [("T-1".to_owned(), true)]);
    // The chain goes on from what was said, void or not.
    world.say("s1", &advisory(Action::Withdraw, "T-1", 3, Some(&second)));
    assert_eq!(warned(&world), []);
}

#[test]
fn digests_and_other_patterns_narrow_a_warning() {
    let about = |digests: &[&str], pattern: &str| {
        let mut digests: Vec<Hash> = digests.iter().map(|text| hash(text)).collect();
        digests.sort();
        let affected = Affected { digests, ..Affected::packages(pattern) };
        affected.covers(&purl(ATTR), &hash("attr.deb"), &[])
    };
    assert!(about(&[], "pkg:*") && about(&["attr.deb", "x"], "pkg:*") && about(&["attr.deb"], "pkg:deb/debian/at*"));
    assert!(!about(&["x"], "pkg:*") && !about(&["attr.deb"], "pkg:deb/ubuntu/*") && !about(&[], "nonsense"));
}

#[test]
fn control_heads_tell_what_is_missing() {
    let mut world = World::new();
    let complete = |world: &World, hidden: &[u64]| {
        let leaves = world.leaves.iter().enumerate().map(|(index, leaf)| (index as u64, leaf.as_slice()));
        let judged = judge_all(world.pin, leaves.filter(|(index, _)| !hidden.contains(index)));
        completeness(&judged.judge, &judged.standing)
    };
    assert_eq!(complete(&world, &[]), Completeness::Unknown);
    let warning = world.say("s1", &advisory(Action::Warn, "T-1", 1, None));
    let first = head(1, None, 1, 1, 2);
    world.say("control", &first);
    let Predicate::ControlHead(shown) = &first.predicate else { panic!("a head") };
    assert_eq!(complete(&world, &[]), Completeness::Complete(shown.clone()));
    assert_eq!(complete(&world, &[warning]), Completeness::Withheld(shown.clone()));
    world.change_roles(|roles| roles.notes = vec!["Second.".into()]);
    let roles = world.leaves.len() as u64 - 1;
    world.say("control", &head(2, Some(payload(&first)), 2, 1, 4));
    assert!(matches!(complete(&world, &[]), Completeness::Complete(head) if head.sequence == 2));
    assert!(matches!(complete(&world, &[roles]), Completeness::Withheld(head) if head.sequence == 2));
}

#[test]
fn only_relevant_leaves_give_the_same_answer() {
    let mut world = World::new();
    for (builder, package) in [("b1", "attr.deb"), ("b2", "attr.deb"), ("b1", "x.deb")] {
        world.say(builder, &claim(ATTR, package, "m"));
    }
    world.say("b1", &claim("pkg:deb/debian/acl@1?arch=amd64", "acl.deb", "m"));
    world.change_roles(|roles| roles.builders[1].state = KeyState::CompromisedFrom(2));
    let all = world.judged();
    let some = judge_all(world.pin, [0_u64, 1, 2, 3, 5].map(|index| (index, world.leaves[index as usize].as_slice())));
    let about = |standing: &[Leaf]| claims_for(&purl(ATTR), standing);
    assert_eq!(about(&some.standing), about(&all.standing));
    assert_eq!(about(&some.standing)[0].verdict(2), ClaimVerdict::TooFew);
}

fn end_of(affected: Affected, sequence: u64, previous: Option<&Statement>) -> Statement {
    say_lifecycle(lifecycle(affected, Stage::EndOfLife, sequence, previous.map(payload)))
}

#[test]
fn ends_are_said_by_the_team_and_by_admins_of_what_is_in_scope() {
    let world = World::new();
    let may = |who: &str, affected: Affected| world.may(&key(who), &end_of(affected, 1, None));
    let outside = || Err(Refusal::OutOfScope { subject: Lifecycle::SUBJECT.into() });
    for affected in [
        Affected::packages("pkg:deb/debian/attr"),
        Affected::packages("pkg:deb/debian/*"),
        Affected::sources("pkg:deb/debian/lib*"),
        Affected::repositories("deb/debian/buster"),
        Affected::repositories("deb/debian/*"),
    ] {
        assert_eq!((may("admin", affected.clone()), may("s1", affected.clone())), (Ok(()), Ok(())), "{affected:?}");
        assert_eq!(may("b1", affected), Err(Refusal::WrongRole { needed: Role::Security }));
    }
    for affected in [
        Affected::packages("pkg:*"),
        Affected::packages("pkg:deb/*"),
        Affected::sources("pkg:deb/debian-security/attr"),
        Affected::repositories("deb/*"),
        Affected::repositories("deb/deb*"),
        Affected::repositories("deb/ubuntu/noble"),
    ] {
        assert_eq!((may("admin", affected.clone()), may("s1", affected.clone())), (outside(), Ok(())), "{affected:?}");
    }
    assert_eq!(may("nobody", Affected::packages("pkg:deb/debian/attr")), Err(Refusal::UnknownKey));
    // Who retired as one may still speak as the other.
    let both = World::with(|roles| {
        roles.admins.push(role_of("s1", &["pkg:deb/debian/*"]));
        roles.security.keys[0].state = KeyState::Retired;
    });
    assert_eq!(both.may(&key("s1"), &end_of(Affected::packages("pkg:deb/debian/attr"), 1, None)), Ok(()));
    assert_eq!(both.may(&key("s1"), &end_of(Affected::packages("pkg:*"), 1, None)), outside());
}

fn role_of(name: &str, scopes: &[&str]) -> attest::roles::RoleKey {
    common::role_key(&key(name), scopes)
}

fn ends(world: &World) -> Vec<(u64, Role, bool)> {
    let judged = world.judged();
    let lifecycles = Lifecycles::new(&judged.judge, &judged.standing);
    let said = |said: &Said| (said.lifecycle.sequence, said.office, said.confirmed);
    lifecycles.about(&purl(ATTR), &hash("attr.deb"), &[]).map(said).collect()
}

#[test]
fn an_end_holds_until_the_same_office_takes_it_back() {
    let mut world = World::with(|roles| roles.security.threshold = 2);
    let attr = || Affected::packages("pkg:deb/debian/attr");
    let first = end_of(attr(), 1, None);
    assert_eq!(world.may(&key("s1"), &end_of(attr(), 2, Some(&first))), Err(Refusal::WrongSequence { expected: 1, found: 2 }));
    world.say("s1", &first);
    assert_eq!(world.may(&key("s1"), &end_of(attr(), 2, Some(&end_of(Affected::packages("pkg:*"), 1, None)))), Err(Refusal::WrongPrevious));
    assert_eq!(ends(&world), [(1, Role::Security, false)], "shown, and binding for nobody");
    world.say("s1", &first);
    assert_eq!(ends(&world), [(1, Role::Security, false)], "one key counts once");
    world.say("s2", &first);
    assert_eq!(ends(&world), [(1, Role::Security, true)]);
    // The admin may say so alone; and what it takes back is its own word, not the team's.
    let second = end_of(attr(), 2, Some(&first));
    world.say("admin", &second);
    assert_eq!(ends(&world), [(1, Role::Security, true), (2, Role::Admin, true)]);
    let third = say_lifecycle(lifecycle(attr(), Stage::Supported, 3, Some(payload(&second))));
    world.say("admin", &third);
    assert_eq!(ends(&world), [(1, Role::Security, true)]);
    let fourth = say_lifecycle(lifecycle(attr(), Stage::Supported, 4, Some(payload(&third))));
    world.say("s1", &fourth);
    assert_eq!(ends(&world), [(1, Role::Security, true)], "one of the team alone takes nothing back");
    let other = end_of(Affected::packages("pkg:deb/debian/at*"), 5, Some(&fourth));
    world.say("admin", &other);
    assert_eq!(ends(&world), [(1, Role::Security, true), (5, Role::Admin, true)], "another pattern is another matter");
    world.say("s2", &fourth);
    assert_eq!(ends(&world), [(5, Role::Admin, true)]);
    assert_eq!(world.refused(), []);
    let judged = world.judged();
    assert_eq!(Lifecycles::new(&judged.judge, &judged.standing).newest(), 5);
}

#[test]
fn an_end_by_a_compromised_key_is_void() {
    let mut world = World::new();
    let first = world.say("admin", &end_of(Affected::packages("pkg:deb/debian/attr"), 1, None));
    assert_eq!(ends(&world).len(), 1);
    world.change_roles(|roles| roles.admins[0].state = KeyState::CompromisedFrom(first));
    assert_eq!(ends(&world), []);
}

#[test]
fn control_heads_tell_of_ends_that_are_missing() {
    let mut world = World::new();
    let hidden = world.say("admin", &end_of(Affected::packages("pkg:deb/debian/attr"), 1, None));
    let Predicate::ControlHead(shown) = head(1, None, 1, 0, 2).predicate else { panic!("a head") };
    let shown = attest::predicate::ControlHead { lifecycle: Some(1), ..shown };
    let first = Statement { subject: shown.subject(), predicate: Predicate::ControlHead(shown.clone()) };
    world.say("control", &first);
    let complete = |hidden: Option<u64>| {
        let leaves = world.leaves.iter().enumerate().map(|(index, leaf)| (index as u64, leaf.as_slice()));
        let judged = judge_all(world.pin, leaves.filter(|(index, _)| Some(*index) != hidden));
        completeness(&judged.judge, &judged.standing)
    };
    assert_eq!(complete(None), Completeness::Complete(shown.clone()));
    assert_eq!(complete(Some(hidden)), Completeness::Withheld(shown));
    // A later head that has forgotten the statement contradicts the log.
    assert_eq!(world.may(&key("control"), &head(2, Some(payload(&first)), 1, 0, 3)), Err(Refusal::WrongControlHead));
}

#[test]
fn what_is_said_of_a_source_reaches_what_was_built_from_it() {
    let mut world = World::new();
    let lib = "pkg:deb/debian/libattr1@1:2.5.1-4?arch=amd64";
    world.say("b1", &source(lib, "libattr1.deb", "attr", "1:2.5.1-4"));
    world.say("b1", &source(lib, "libattr1.deb", "attr", "1:2.5.1-4"));
    world.say("b2", &source(lib, "libattr1.deb", "attr", "1:2.5.1-4"));
    world.say("b3", &source(lib, "another.deb", "acl", "1"));
    assert_eq!(world.may(&key("s1"), &source(lib, "libattr1.deb", "attr", "1")), Err(Refusal::WrongRole { needed: Role::Builder }));
    let foreign = source("pkg:deb/ubuntu/libattr1@1?arch=amd64", "x.deb", "attr", "1");
    assert_eq!(world.may(&key("b1"), &foreign), Err(Refusal::OutOfScope { subject: foreign.subject.name.clone() }));
    assert_eq!(world.refused(), []);
    let judged = world.judged();
    let stated = sources_for(&purl(lib), &judged.standing);
    let words: Vec<(String, usize)> = stated.iter().map(|stated| (stated.source.to_string(), stated.attesters.len())).collect();
    let expected = [("pkg:deb/debian/attr@1:2.5.1-4?arch=source", 2), ("pkg:deb/debian/acl@1?arch=source", 1)];
    assert_eq!(words, expected.map(|(source, count)| (source.to_owned(), count)), "keys are counted, and all are heard");
    let sources: Vec<attest::Purl> = stated.into_iter().map(|stated| stated.source).collect();
    let covers = |affected: Affected| affected.covers(&purl(lib), &hash("libattr1.deb"), &sources);
    let before = |version: &str| Affected { before: Some(version.into()), ..Affected::sources("pkg:deb/debian/attr") };
    assert!(
        covers(Affected::sources("pkg:deb/debian/attr")) && covers(Affected::sources("pkg:deb/debian/acl")) && covers(before("1:2.5.1-5"))
    );
    assert!(
        !covers(before("1:2.5.1-4"))
            && !covers(Affected::sources("pkg:deb/debian/libattr1"))
            && !covers(Affected::packages("pkg:deb/debian/attr"))
    );
    // Where nobody states a source, everything of the vendor may be meant.
    let may = |pattern: &str| Affected::sources(pattern).may_cover(&purl(lib));
    assert!(may("pkg:deb/debian/openssl") && may("pkg:deb/debian/*") && may("pkg:*"));
    assert!(!may("pkg:deb/ubuntu/attr") && !may("pkg:rpm/*") && !Affected::packages("pkg:*").may_cover(&purl(lib)));
}

//! Who counts as having built a package file again.

mod common;

use attest::judge::{Refusal, judge_all, rebuilds_for};
use attest::predicate::{Environment, Imported, Predicate, Rebuild, RebuildResult};
use attest::roles::{KeyState, Role, Roles};
use attest::{Hash, Statement};
use common::{ATTR, Minisign, first_roles, hash, key, leaf, next_roles, purl, role_key};

fn about(rebuild: Rebuild) -> Statement {
    Statement::about_package(&purl(ATTR), hash("attr.deb"), Predicate::Rebuild(rebuild))
}

fn result(result: RebuildResult) -> Rebuild {
    let sha256 = (result == RebuildResult::Different).then(|| hash("another attr.deb"));
    Rebuild { sha256, ..Rebuild::new("attr 1:2.5.1-4".into(), Environment::Derived, result) }
}

fn imported(of: &str) -> Rebuild {
    Rebuild {
        environment: Environment::Imported,
        record: Some(hash(&format!("link by {of}"))),
        imported: Some(Imported { key: hash(of), url: "https://rebuilder.example/".into() }),
        ..result(RebuildResult::Same)
    }
}

/// Roles with rebuilders r1 to r3, then what these keys say.
fn leaves(said: &[(&str, Rebuild)]) -> (Hash, Vec<Vec<u8>>, Roles, Minisign) {
    let minisign = Minisign::new(&["alice"]);
    let mut roles = first_roles(minisign.foundation(1));
    roles.rebuilders = ["r1", "r2", "r3"].iter().map(|name| role_key(&key(name), &["pkg:deb/debian/*"])).collect();
    let first = minisign.signed(&roles, &["alice"], None).to_statement().expect("fits");
    let mut leaves = vec![leaf(&key("carrier"), &first)];
    leaves.extend(said.iter().map(|(name, rebuild)| leaf(&key(name), &about(rebuild.clone()))));
    (roles.digest(), leaves, roles, minisign)
}

fn counted(pin: Hash, leaves: &[Vec<u8>]) -> (usize, Vec<u64>, Vec<(u64, Refusal)>) {
    let judged = judge_all(pin, leaves.iter().enumerate().map(|(index, leaf)| (index as u64, leaf.as_slice())));
    let rebuilds = rebuilds_for(&hash("attr.deb"), &judged.standing);
    assert_eq!(rebuilds_for(&hash("other.deb"), &judged.standing).all.len(), 0);
    (rebuilds.all.len(), rebuilds.same().iter().map(|same| same.attester.index).collect(), judged.refused)
}

#[test]
fn keys_count_once_and_only_for_the_same_file() {
    use RebuildResult::{Different, Failed, Same};
    let again = Rebuild { source_sha256: Some(hash("dsc")), ..result(Same) };
    let said = [("r1", result(Different)), ("r1", result(Same)), ("r1", again), ("r2", result(Failed)), ("r3", result(Same))];
    let (pin, leaves, ..) = leaves(&said);
    assert_eq!(counted(pin, &leaves), (5, vec![2, 5], vec![]));
}

#[test]
fn one_build_that_many_import_is_one() {
    let said = [("r1", imported("a")), ("r2", imported("a")), ("r2", imported("b")), ("r3", imported("b"))];
    let (pin, leaves, ..) = leaves(&said);
    assert_eq!(counted(pin, &leaves), (4, vec![1, 3], vec![]));
}

#[test]
fn builders_and_strangers_are_no_rebuilders_and_scopes_bind() {
    let (pin, mut leaves, ..) = leaves(&[("b1", result(RebuildResult::Same)), ("nobody", result(RebuildResult::Same))]);
    let rpm = "pkg:deb/ubuntu/attr@1:2.5.1-4?arch=amd64";
    let foreign = Statement::about_package(&purl(rpm), hash("attr.deb"), Predicate::Rebuild(result(RebuildResult::Same)));
    leaves.push(leaf(&key("r1"), &foreign));
    let (all, same, refused) = counted(pin, &leaves);
    assert_eq!((all, same), (0, vec![]));
    let wrong = |index, refusal| (index, refusal);
    let expected = vec![
        wrong(1, Refusal::WrongRole { needed: Role::Rebuilder }),
        wrong(2, Refusal::UnknownKey),
        wrong(3, Refusal::OutOfScope { subject: rpm.to_owned() }),
    ];
    assert_eq!(refused, expected);
}

#[test]
fn what_a_stolen_key_built_is_void() {
    let (pin, mut leaves, roles, minisign) = leaves(&[("r1", result(RebuildResult::Same)), ("r2", result(RebuildResult::Same))]);
    let mut next = next_roles(&roles);
    next.rebuilders[0].state = KeyState::CompromisedFrom(1);
    leaves.push(leaf(&key("carrier"), &minisign.signed(&next, &["alice"], None).to_statement().expect("fits")));
    let (all, same, _) = counted(pin, &leaves);
    assert_eq!((all, same), (1, vec![2]));
}

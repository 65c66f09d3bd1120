//! Roles: the text, signatures by the stock `minisign`, the chain of versions.

mod common;

use attest::predicate::{Predicate, RolesSignature};
use attest::purl::Scope;
use attest::roles::{ChainError, KeyState, MinisignKey, Role, Roles, RolesChain, RolesError, SignedRoles, SignedRolesError};
use attest::statement::StatementError;
use attest::{Envelope, Judge, Statement};
use base64::Engine as _;
use common::{Minisign, first_roles, hash, key, next_roles, role_key};
use tlog::Signer;

const MEMBERS: [&str; 3] = ["alice", "bob", "carol"];

fn sample() -> (Minisign, Roles) {
    let minisign = Minisign::new(&MEMBERS);
    let mut roles = first_roles(minisign.foundation(2));
    roles.builders[1].state = KeyState::Retired;
    roles.builders[2].state = KeyState::CompromisedFrom(812);
    roles.builders[0].scopes.push(Scope::parse("pkg:deb/ubuntu/*").expect("a scope"));
    (minisign, roles)
}

#[test]
fn documents_round_trip() {
    let (_, roles) = sample();
    assert_eq!(Roles::parse(&roles.encode()), Ok(roles.clone()));
    let dated = Roles { expires: attest::day::parse("2027-06-30"), ..roles.clone() };
    assert!(dated.encode().contains("\nexpires 2027-06-30\n"));
    assert_eq!(Roles::parse(&dated.encode()).as_ref(), Ok(&dated));
    assert_eq!([1_814_313_599, 1_814_313_600].map(|now| dated.is_over(now)), [false, true], "from the first second of the day on");
    assert!(!roles.is_over(u64::MAX));
    let empty = Roles { builders: vec![], admins: vec![], rebuilders: vec![], control: vec![], vendors: vec![], notes: vec![], ..roles };
    let empty = Roles { security: attest::roles::Security { threshold: 0, keys: vec![] }, ..empty };
    assert_eq!(Roles::parse(&empty.encode()), Ok(empty));
}

#[test]
fn drafts_become_documents() {
    let (_, roles) = sample();
    let bare: Vec<String> =
        roles.encode().lines().filter(|line| !line.starts_with('#')).map(|line| format!("\t{}  ", line.trim())).collect();
    let draft = bare.join("\n");
    assert_eq!(Roles::from_draft(&draft).as_ref(), Ok(&roles));
    assert_eq!(Roles::parse(&draft).map_err(|error| error.line), Err(1));
    let explained = roles.encode().replace("# Builders say", "# Builders never lie; they say");
    let line = 1 + explained.lines().position(|line| line.contains("never lie")).expect("there");
    assert_eq!(Roles::parse(&explained).map_err(|error| error.line), Err(line));
}

/// The document with one line replaced, and the number of that line.
fn replaced(text: &str, from: &str, to: &str) -> (String, usize) {
    let line = 1 + text.lines().position(|line| line.contains(from)).unwrap_or_else(|| panic!("{from} is not there"));
    (text.replacen(from, to, 1), line)
}

#[test]
fn bad_lines_are_refused_by_number() {
    let (minisign, roles) = sample();
    let text = roles.encode();
    let b1 = key("b1").key().encode();
    let alice = minisign.key("alice");
    for (from, to, reason) in [
        ("tallystick roles v1", "tallystick roles v2", "the first line is: tallystick roles v1"),
        ("origin log.example/tally", "origin ", "origin NAME, once"),
        ("origin log", "origin a\norigin log", "origin NAME, once"),
        ("version 1", "version 0", "version NUMBER from 1, once"),
        ("version 1", "version 01", "version NUMBER from 1, once"),
        ("previous none", "previous 00", "previous none, or 64 hexadecimal digits; once"),
        ("previous none", "previous none\nexpires 2027-02-29", "expires YEAR-MONTH-DAY, at most once"),
        ("previous none", "previous none\nexpires 2027-01-01\nexpires 2027-01-01", "expires YEAR-MONTH-DAY, at most once"),
        (&format!("policy {}", roles.policy), "policy 00", "policy and 64 hexadecimal digits, once"),
        ("note Made", &format!("note {}", "x".repeat(256)), "note TEXT of at most 255 bytes"),
        ("foundation 2 of 3", "foundation 2/3", "foundation M of N, once"),
        ("member alice", "member al/ice", "member NAME and a minisign public key"),
        (alice.as_str(), "RWQ", "member NAME and a minisign public key"),
        ("vendor deb/debian Debian", "vendor npm/debian Debian", "vendor TYPE/NAMESPACE and the signed Origin"),
        ("vendor deb/debian Debian", "vendor deb/debian", "vendor TYPE/NAMESPACE and the signed Origin"),
        ("threshold 1 of 2", "threshold 1", "threshold M of N, once"),
        (&b1, "b1+00000000+AAAA", "a role is held by an Ed25519 verifier key: name+hash+base64"),
        ("  retired", "  tired", "unknown word; see specs/roles.md"),
        ("  retired", "  retired now", "retired, or compromised from ENTRY; one of them, once"),
        ("compromised from 812", "compromised since 812", "retired, or compromised from ENTRY; one of them, once"),
        ("compromised from 812", "compromised from -1", "retired, or compromised from ENTRY; one of them, once"),
        (
            "scope pkg:deb/ubuntu/*",
            "scope pkg:deb/ubuntu",
            "scope PATTERN such as pkg:deb/debian/*, once, for builders, admins and rebuilders",
        ),
        (
            "scope pkg:deb/ubuntu/*",
            "scope pkg:deb/debian/*",
            "scope PATTERN such as pkg:deb/debian/*, once, for builders, admins and rebuilders",
        ),
    ] {
        let (bad, line) = replaced(&text, from, to);
        let error = Roles::parse(&bad).expect_err(to);
        let line = line + to.matches('\n').count();
        assert_eq!(error, RolesError { line, reason }, "{from} -> {to}");
    }
}

#[test]
fn what_holds_between_lines_is_checked() {
    let (minisign, roles) = sample();
    let refused = |roles: &Roles| Roles::parse(&roles.encode()).expect_err("must be refused");
    let whole = |reason| RolesError { line: 0, reason };
    let with = |change: &dyn Fn(&mut Roles)| {
        let mut other = roles.clone();
        change(&mut other);
        refused(&other)
    };
    let members = whole("foundation M of N: N members follow, 1 to 64, and M is 1 to N");
    assert_eq!(with(&|roles| roles.foundation.threshold = 0), members);
    assert_eq!(with(&|roles| roles.foundation.threshold = 4), members);
    let differ = whole("members of the foundation differ in name, key and key number");
    assert_eq!(with(&|roles| roles.foundation.members[1].name = "alice".into()), differ);
    assert_eq!(with(&|roles| roles.foundation.members[1].key = minisign.key("alice")), differ);
    let team = whole("threshold M of N: N security keys follow, M is from 1 to the number of those in use; 0 of 0 without a team");
    assert_eq!(with(&|roles| roles.security.threshold = 3), team);
    assert_eq!(with(&|roles| roles.security.threshold = 0), team);
    assert_eq!(
        with(&|roles| {
            roles.security.threshold = 2;
            roles.security.keys[0].state = KeyState::Retired;
        }),
        team
    );
    assert_eq!(with(&|roles| roles.version = 2), whole("version 1, and only it, has no previous document"));
    assert_eq!(with(&|roles| roles.previous = Some(hash("x"))), whole("version 1, and only it, has no previous document"));
    assert_eq!(with(&|roles| roles.admins[0].scopes.clear()), whole("each builder, admin and rebuilder has at least one scope"));
    assert_eq!(with(&|roles| roles.vendors.push(roles.vendors[0].clone())), whole("an Origin belongs to one namespace of each type"));
    assert_eq!(with(&|roles| roles.builders.push(roles.builders[0].clone())).reason, "the same key has this role already");
    assert_eq!(with(&|roles| roles.notes = vec!["x".repeat(250); 200]), whole("at most 40,000 bytes"));
    let text = roles.encode();
    for line in ["origin ", "version ", "previous ", "policy ", "foundation ", "threshold "] {
        let without: String = text.lines().filter(|text| !text.starts_with(line)).map(|line| format!("{line}\n")).collect();
        assert_eq!(Roles::parse(&without).map_err(|error| (error.line, error.reason.ends_with(line.trim()))), Err((0, true)), "{line}");
    }
    assert_eq!(Roles::parse("tallystick roles v1\nretired\n"), Err(RolesError { line: 2, reason: "this line belongs below a key" }));
}

#[test]
fn m_of_n_members_sign_with_the_stock_tool() {
    let (minisign, roles) = sample();
    let two = minisign.signed(&roles, &["carol", "alice"], None);
    assert_eq!(two.verify(&roles.foundation), Ok(()));
    let statement = two.to_statement().expect("fits");
    assert_eq!(Statement::parse(&statement.encode()).as_ref(), Ok(&statement));
    assert_eq!(SignedRoles::from_statement(&statement), Some(Ok(two)));
    let one = minisign.signed(&roles, &["bob"], None);
    assert_eq!(one.verify(&roles.foundation), Err(SignedRolesError::TooFew { signed: 1, needed: 2 }));
    let none = minisign.signed(&roles, &[], None);
    assert_eq!(none.verify(&roles.foundation), Err(SignedRolesError::TooFew { signed: 0, needed: 2 }));
}

#[test]
fn bad_signatures_are_refused() {
    let (minisign, roles) = sample();
    let stranger = Minisign::new(&["mallory"]);
    let text = roles.encode();
    let assemble = |minisigs: &[String]| SignedRoles::assemble(&text, minisigs, None);
    let alice = minisign.sign("alice", &text);
    assert_eq!(assemble(&[stranger.sign("mallory", &text)]), Err(SignedRolesError::UnknownKey));
    assert_eq!(assemble(&[alice.clone(), minisign.sign("alice", &text)]), Err(SignedRolesError::Repeated));
    let legacy = minisign.sign_with("alice", &text, &["-l"]);
    let swapped: String = alice.lines().rev().map(|line| format!("{line}\n")).collect();
    for bad in [
        "",
        "x\n",
        &legacy,
        &swapped,
        alice.trim_end(),
        &format!("{alice}\n"),
        &alice.replace('\n', "\r\n"),
        &alice.replace("trusted comment: t", &format!("trusted comment: {}", "t".repeat(1_024))),
    ] {
        assert_eq!(assemble(&[bad.to_owned()]), Err(SignedRolesError::Malformed), "{bad}");
    }
    for (from, to) in [("trusted comment: timestamp:", "trusted comment: timestamp:9"), ("file:", "f1le:")] {
        let changed = assemble(&[alice.replace(from, to), minisign.sign("bob", &text)]).expect("well-formed");
        assert_eq!(changed.verify(&roles.foundation), Err(SignedRolesError::BadSignature), "{to}");
    }
    let elsewhere = minisign.sign("alice", &format!("{text} "));
    assert_eq!(assemble(&[elsewhere]).and_then(|signed| signed.verify(&roles.foundation)), Err(SignedRolesError::BadSignature));
    assert!(matches!(SignedRoles::assemble("x", &[], None), Err(SignedRolesError::Roles(_))));
    assert_eq!(MinisignKey::parse("RWQ"), None);
}

#[test]
fn a_document_with_its_signatures_fits_into_a_leaf() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v", "w", "x"];
    let minisign = Minisign::new(&names);
    let roles = Roles { notes: vec!["x".repeat(250); 140], ..first_roles(minisign.foundation(2)) };
    assert!(minisign.signed(&roles, &["a", "b"], None).to_statement().is_ok());
    assert_eq!(minisign.signed(&roles, &names, None).to_statement().map(|_| ()), Err(SignedRolesError::TooLarge));
}

#[test]
fn statements_with_bad_signature_lists_are_refused() {
    let (minisign, roles) = sample();
    let signed = minisign.signed(&roles, &["alice", "bob"], None);
    let with = |change: &dyn Fn(&mut Vec<RolesSignature>)| {
        let mut statement = signed.to_statement().expect("fits");
        let Predicate::Roles(leaf) = &mut statement.predicate else { panic!("roles") };
        change(&mut leaf.signatures);
        Statement::parse(&statement.encode())
    };
    assert!(with(&|_| ()).is_ok());
    assert!(with(&|signatures| signatures.reverse()).is_err());
    assert!(with(&|signatures| signatures[1] = signatures[0].clone()).is_err());
    assert!(with(&|signatures| signatures[0].key.push('=')).is_err());
    let many = |signatures: &mut Vec<RolesSignature>| {
        let key = |number: u8| base64::engine::general_purpose::STANDARD.encode([&b"Ed"[..], &[number; 40]].concat());
        *signatures = (0..65).map(|number| RolesSignature { key: key(number), minisig: "x".into() }).collect();
        signatures.sort_by(|a, b| a.key.cmp(&b.key));
    };
    let error = StatementError::BadPredicate("at most 64 signatures, sorted by key, each key once");
    assert_eq!(with(&many).map(|_| ()), Err(error));
    assert!(with(&|signatures| signatures[0].minisig.push_str(&"x".repeat(1_024))).is_err());
}

#[test]
fn each_version_is_signed_by_the_foundation_before() {
    let (minisign, first) = sample();
    let mut second = next_roles(&first);
    let newcomers = Minisign::new(&["dora", "emil"]);
    second.foundation = newcomers.foundation(2);
    let text = second.encode();
    let old = [minisign.sign("alice", &text), minisign.sign("bob", &text)];
    let new = [newcomers.sign("dora", &text), newcomers.sign("emil", &text)];
    let signed = |minisigs: &[String]| SignedRoles::assemble(&text, minisigs, Some(&first.foundation)).expect("assembled");

    let mut chain = RolesChain::new(first.digest());
    assert_eq!(chain.check(&signed(&old)), Err(ChainError::NotPinned));
    let one = minisign.signed(&first, &["alice"], None);
    assert_eq!(chain.check(&one), Err(ChainError::Signed(SignedRolesError::TooFew { signed: 1, needed: 2 })));
    let genesis = minisign.signed(&first, &["alice", "carol"], None);
    assert_eq!(chain.push(0, &genesis), Ok(()));
    assert_eq!(chain.push(1, &genesis), Err(ChainError::Duplicate));

    assert_eq!(chain.check(&signed(&new)), Err(ChainError::Signed(SignedRolesError::TooFew { signed: 0, needed: 2 })));
    let mixed = [old[0].clone(), new[0].clone()];
    assert_eq!(chain.check(&signed(&mixed)), Err(ChainError::Signed(SignedRolesError::TooFew { signed: 1, needed: 2 })));
    assert_eq!(chain.push(7, &signed(&[&old[..], &new[..]].concat())), Ok(()));

    // The old foundation has nothing to say any more.
    let third = next_roles(&second);
    let stale = minisign.signed(&third, &["alice", "bob"], Some(&first.foundation));
    assert_eq!(chain.check(&stale), Err(ChainError::Signed(SignedRolesError::UnknownKey)));
    let good = newcomers.signed(&third, &["dora", "emil"], None);
    assert_eq!(chain.push(9, &good), Ok(()));

    assert_eq!(chain.before(0).map(|version| version.roles.version), None);
    let governing = |index| chain.before(index).map(|version| version.roles.version);
    assert_eq!([governing(1), governing(7), governing(8), governing(9), governing(10)], [Some(1), Some(1), Some(2), Some(2), Some(3)]);
    assert_eq!(chain.current().map(|version| version.index), Some(9));
}

#[test]
fn broken_chains_are_refused() {
    let (minisign, first) = sample();
    let mut chain = RolesChain::new(first.digest());
    let genesis = minisign.signed(&first, &["alice", "carol"], None);
    chain.push(0, &genesis).expect("good");
    let second = next_roles(&first);
    let both = |roles: &Roles| minisign.signed(roles, &["alice", "carol"], None);
    let wrong = |expected, found| Err(ChainError::WrongVersion { expected, found });
    assert_eq!(chain.check(&both(&Roles { version: 3, ..second.clone() })), wrong(2, 3));
    assert_eq!(chain.check(&both(&Roles { origin: "other".into(), ..second.clone() })), Err(ChainError::WrongOrigin));
    assert_eq!(chain.check(&both(&Roles { previous: Some(hash("x")), ..second.clone() })), Err(ChainError::WrongPrevious));
    assert_eq!(chain.check(&both(&Roles { notes: vec![], ..first.clone() })), wrong(2, 1));
    chain.push(5, &both(&second)).expect("good");
    assert_eq!(chain.check(&both(&second)), Err(ChainError::Duplicate));
    // Two validly signed documents at one version are evidence; a badly signed one is only a mistake.
    let twin = Roles { notes: vec!["Another second version.".into()], ..second.clone() };
    assert_eq!(chain.check(&both(&twin)), Err(ChainError::Fork { version: 2 }));
    assert_eq!(chain.check(&minisign.signed(&twin, &["bob"], None)), wrong(3, 2));
    let mut other = RolesChain::new(second.digest());
    assert_eq!(other.push(0, &both(&second)), wrong(1, 2));
}

#[test]
fn once_compromised_stays_compromised() {
    let (minisign, first) = sample();
    let mut chain = RolesChain::new(first.digest());
    chain.push(0, &minisign.signed(&first, &["alice", "carol"], None)).expect("good");
    let mut second = next_roles(&first);
    second.builders[2] = role_key(&key("b3"), &["pkg:deb/*"]);
    second.builders[1].state = KeyState::CompromisedFrom(900);
    chain.push(1, &minisign.signed(&second, &["alice", "carol"], None)).expect("good");
    let mut third = next_roles(&second);
    third.builders[1].state = KeyState::CompromisedFrom(300);
    third.builders[0].state = KeyState::CompromisedFrom(0);
    chain.push(2, &minisign.signed(&third, &["alice", "carol"], None)).expect("good");
    let from = |name: &str| chain.compromised_from(key(name).key());
    assert_eq!([from("b1"), from("b2"), from("b3"), from("admin")], [Some(0), Some(300), Some(812), None]);
}

#[test]
fn roles_answer_for_keys() {
    let (_, roles) = sample();
    assert!(roles.is_active(key("b1").key()) && roles.is_active(key("control").key()));
    assert!(!roles.is_active(key("b2").key()) && !roles.is_active(key("b3").key()) && !roles.is_active(key("nobody").key()));
    assert_eq!(roles.namespace("deb", "Debian"), Some("debian"));
    assert_eq!(roles.namespace("rpm", "Debian"), None);
    assert!(roles.find(Role::Security, key("s1").key()).is_some() && roles.find(Role::Builder, key("s1").key()).is_none());
}

#[test]
fn anybody_may_carry_a_roles_document() {
    let (minisign, roles) = sample();
    let statement = minisign.signed(&roles, &["alice", "bob"], None).to_statement().expect("fits");
    let leaf = Envelope::sign(statement.encode(), &key("nobody")).expect("signed").encode();
    let mut judge = Judge::new(roles.digest());
    assert!(judge.admit_bytes(0, &leaf).is_ok());
    assert_eq!(judge.roles().current().map(|version| version.digest), Some(roles.digest()));
}

//! Roles and states of repositories over a real log: what `tally roles submit` and `tally repo register` say, and who hears it.

use std::fs;

use attest::predicate::{Predicate, RepositoryState};
use attest::roles::RoleKey;
use attest::{Roles, Statement, Subject};
use e2e::{User, World};
use tlog::Hash;

/// A clear-signed index of that day in November; the signature is not looked at.
fn in_release(day: u8) -> String {
    format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nSuite: oldstable\nCodename: bookworm\nDate: Fri, {day} Nov 2020 10:00:00 UTC\n\
         SHA256:\n e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 main/x\n-----BEGIN PGP SIGNATURE-----\n\nx\n-----END PGP SIGNATURE-----\n"
    )
}

#[track_caller]
fn expect(user: &User<'_>, status: i32, arguments: &[&str]) -> String {
    let output = user.tally(arguments);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_foundation_appoints_an_admin_who_registers_what_builders_saw() {
    let world = World::start();
    let user = User::new(&world, "1h");
    let at = |name: &str| world.at(name).to_str().unwrap().to_owned();
    let (old, new) = (at("old"), at("new"));
    fs::write(&old, in_release(13)).unwrap();
    fs::write(&new, in_release(20)).unwrap();
    let admin = world.role_key("admin.example");
    let (key, stranger) = (at("admin.example.key"), at("security.example.key"));
    expect(&user, 14, &["repo", "register", "--key", &key, &new]);

    let first = Roles::parse(&fs::read_to_string(world.at("roles-1.txt")).unwrap()).unwrap();
    let admins = vec![RoleKey::active(admin.key().clone(), &["pkg:deb/debian/*"]).unwrap()];
    let second = Roles { version: 2, previous: Some(first.digest()), admins, ..first };
    world.sign_roles(&second);
    let [document, alice, bob] = ["roles-2.txt", "roles-2.txt.alice.minisig", "roles-2.txt.bob.minisig"].map(at);
    let said = expect(&user, 10, &["roles", "submit", "--key", &stranger, &document, &alice]);
    assert!(said.contains("1 members of the foundation signed, 2 must; nothing was submitted"), "{said}");
    let said = expect(&user, 0, &["roles", "submit", "--key", &stranger, &document, &alice, &bob]);
    assert!(said.starts_with("version 2 of the roles is entry 1 of "), "{said}");
    expect(&user, 10, &["roles", "submit", "--key", &stranger, &document, &alice, &bob]);

    expect(&user, 14, &["repo", "register", "--key", &stranger, &new]);
    expect(&user, 0, &["repo", "register", "--key", &key, &new]);
    assert!(expect(&user, 10, &["repo", "register", "--key", &key, &new]).contains("is the registered one already"));
    assert!(expect(&user, 10, &["repo", "register", "--key", &key, &old]).contains("give --older"));
    expect(&user, 2, &["repo", "check", "--file", &new]);
    let index = package::repository::Index::read(in_release(20).as_bytes(), "InRelease").unwrap();
    let subject = Subject::new(RepositoryState::subject_of("deb/debian/bookworm"), Hash::digest(in_release(20).as_bytes()));
    let state = RepositoryState::seen(&index.name, index.date, index.valid_until);
    let statement = Statement { subject, predicate: Predicate::RepositoryState(state) };
    for builder in &world.builders {
        world.say(&statement, &**builder).unwrap();
    }
    let said = expect(&user, 0, &["repo", "check", "--file", &new]);
    assert!(said.contains("registered    by admin.example (entry 2)"), "{said}");
    assert!(expect(&user, 3, &["repo", "check", "--file", &old]).contains("older"));
    expect(&user, 0, &["repo", "register", "--older", "--key", &key, &old]);
    assert!(expect(&user, 3, &["repo", "check", "--file", &new]).contains("this index was registration 1, which is over"));
    expect(&user, 0, &["repo", "register", "--key", &key, &new]);

    let (digest, saved) = (Hash::digest(in_release(20).as_bytes()).to_hex(), at("warning.json"));
    let text = ["--key", &stranger, "--id", "TSA-1", "--reference", "CVE-2026-0001", "--summary", "a hole", "--advice", "wait"];
    let warn = ["advise", "warn", "--repository", "deb/debian/*", "--digest", &digest, "--severity", "low", "--save", &saved];
    expect(&user, 64, &[&["advise", "warn", "--severity", "low"], &text[..]].concat());
    expect(&user, 0, &[&warn[..], &text[..]].concat());
    assert!(fs::read_to_string(&saved).unwrap().starts_with("{\"payload\":"));
    expect(&user, 4, &["repo", "check", "--file", &new]);
    expect(&user, 0, &[&["advise", "withdraw"], &text[..]].concat());
    expect(&user, 0, &["repo", "check", "--file", &new]);
    expect(&user, 0, &["advise", "head", "--key", &stranger]);

    // The admin ends the release, and another has its own word; whoever follows the log hears all of it.
    let text = ["--reference", "https://example.com/eol", "--summary", "the release is over"];
    let end = ["advise", "end-of-life", "--repository", "deb/debian/bookworm", "--date", "2020-12-31"];
    let by =
        |key: &str, words: &[&str]| [words, &["--key", key], &text[..]].concat().iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let say = |status: i32, key: &str, words: &[&str]| {
        let words = by(key, words);
        expect(&user, status, &words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    say(64, &key, &end[..4]);
    say(64, &key, &[&end[..5], &["31.12.2020"]].concat());
    say(64, &key, &[&end[..], &["--package", "pkg:deb/debian/*"]].concat());
    assert!(say(14, &key, &["advise", "end-of-life", "--repository", "deb/ubuntu/noble", "--date", "2020-12-31"]).contains("scopes"));
    say(0, &key, &[&end[..], &["--successor", "deb/debian/trixie"]].concat());
    let said = expect(&user, 3, &["repo", "check", "--file", &new]);
    assert!(said.contains("end of life   yes") && said.contains("says the admin: the release is over."), "{said}");
    say(
        0,
        &stranger,
        &["advise", "superseded", "--repository", "deb/debian/bookworm", "--date", "2020-12-31", "--by", "deb/debian/trixie"],
    );
    expect(&user, 10, &["advise", "second", "--key", &stranger, "--lifecycle", "9"]);
    say(0, &key, &["advise", "supported", "--repository", "deb/debian/bookworm"]);
    expect(&user, 0, &["advise", "head", "--key", &stranger]);
    let said = expect(&user, 0, &["repo", "check", "--file", &new]);
    assert!(said.contains("end of life   no, but another repository has taken its place"), "{said}");
    let said = expect(&user, 0, &["audit", "--once"]);
    for kind in ["registration", "end-of-life", "superseded", "advisory", "withdrawal"] {
        assert!(said.contains(&format!(" notice {kind}, entry ")), "{kind}: {said}");
    }
}

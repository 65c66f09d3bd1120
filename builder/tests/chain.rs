//! The chain from signature to package file, on repositories that are signed well, badly or not at all. Needs gpg, gpgv and dpkg-deb.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use attest::predicate::{Predicate, RepositoryState};
use attest::{Statement, Subject};
use support::repository::{Repository, architecture};
use tally_builder::chain::{Chain, ChainError, GpgvError, Keyring, Lists, ReleaseError};
use tally_builder::claim;
use tally_builder::sources::Source;
use tlog::Hash;

/// A repository with one package, not yet published.
struct Fixture {
    _dir: tempfile::TempDir,
    repository: Repository,
    deb: PathBuf,
    lists: PathBuf,
    snapshot: Option<u64>,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(dir.path());
    let deb = repository.add("one", "1.0", "content\n", "exit 0");
    let lists = dir.path().join("lists");
    Fixture { _dir: dir, repository, deb, lists, snapshot: None }
}

impl Fixture {
    fn publish(&self, fields: &str, key: &str, options: &[&str]) {
        self.repository.publish(&self.repository.release(fields), key, options);
        self.repository.as_lists(&self.lists);
    }

    /// Verifies as `attest` does it, and looks the package up.
    fn verify(&self, keys: &[&str]) -> Result<tally_builder::chain::Listed, ChainError> {
        let deb = claim::read(&self.deb).unwrap();
        self.chain(keys)?.origin(&deb).cloned()
    }

    fn chain(&self, keys: &[&str]) -> Result<Chain, ChainError> {
        let keyring = Keyring::open(&self.repository.keyring(keys), None).unwrap();
        let uri = format!("file:{}", self.repository.dir.display());
        let sources = [Source { uri, suite: "test".to_owned(), components: vec!["main".to_owned()], snapshot: self.snapshot }];
        let deb = claim::read(&self.deb).unwrap();
        let (architectures, wanted) = (BTreeSet::from([architecture()]), BTreeSet::from([deb.sha256]));
        let lists = Lists { dir: &self.lists, sources: &sources, architectures: &architectures };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        Chain::verify(&lists, &wanted, &keyring, now)
    }

    fn in_lists(&self, part: &str) -> PathBuf {
        fs::read_dir(&self.lists).unwrap().flatten().map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with(part)).unwrap()
    }

    fn signature(&self, keys: &[&str]) -> Option<GpgvError> {
        match self.verify(keys) {
            Err(ChainError::Signature { reason, .. }) => Some(reason),
            _ => None,
        }
    }
}

#[test]
fn a_whole_chain_is_the_packages_origin() {
    let fixture = fixture();
    fixture.publish("", "archive", &[]);
    let listed = fixture.verify(&["archive"]).unwrap();
    let in_release = fs::read(fixture.in_lists("InRelease")).unwrap();
    assert_eq!(listed.origin.in_release, Hash::digest(&in_release));
    assert_eq!((listed.origin.origin.as_str(), listed.origin.suite.as_str()), ("Tests", "test"));
    assert_eq!((listed.origin.filename.as_str(), listed.origin.signers.len()), ("pool/one_1.0_all.deb", 1));
    let claim = tally_builder::claim::Claim::new(
        claim::read(&fixture.deb).unwrap().into(),
        &listed.origin,
        &[("Tests".to_owned(), "tests".to_owned())].into(),
    );
    assert_eq!(claim.unwrap().purl.to_string(), "pkg:deb/tests/one@1.0?arch=all");
}

#[test]
fn a_verified_index_is_told_as_seen() {
    let fixture = fixture();
    fixture.publish("", "archive", &[]);
    let bytes = fs::read(fixture.in_lists("InRelease")).unwrap();
    let vendors = |origin: &str| [(origin.to_owned(), "tests".to_owned())].into();
    let states = fixture.chain(&["archive"]).unwrap().states(&vendors("Tests"));
    // Whoever has the file says the same of it, word for word.
    let read = package::repository::Index::read(&bytes, "InRelease").unwrap();
    let state = RepositoryState::seen(&read.name, read.date, read.valid_until);
    let subject = Subject::new(RepositoryState::subject_of("deb/tests/test"), Hash::digest(&bytes));
    assert_eq!(states, [Statement { subject, predicate: Predicate::RepositoryState(state) }]);
    assert_eq!(states[0].check(), Ok(()));
    assert_eq!(fixture.chain(&["archive"]).unwrap().states(&vendors("Debian")), [], "nobody knows whose it is");
}

#[test]
fn an_unknown_vendor_is_not_attested() {
    let fixture = fixture();
    fixture.publish("", "archive", &[]);
    let listed = fixture.verify(&["archive"]).unwrap();
    let vendors = [("Debian".to_owned(), "debian".to_owned())].into();
    let refused = tally_builder::claim::Claim::new(claim::read(&fixture.deb).unwrap().into(), &listed.origin, &vendors);
    assert_eq!(refused, Err(tally_builder::claim::ClaimError::UnknownVendor("Tests".to_owned())));
}

#[test]
fn unsigned_repositories_are_refused() {
    let fixture = fixture();
    fixture.publish("", "archive", &[]);
    fs::write(fixture.in_lists("InRelease"), fixture.repository.release("")).unwrap();
    assert_eq!(fixture.signature(&["archive"]), Some(GpgvError::Unsigned));
}

#[test]
fn other_keys_are_refused() {
    let fixture = fixture();
    fixture.repository.make_key("stranger", "2y", None);
    fixture.publish("", "stranger", &[]);
    assert_eq!(fixture.signature(&["archive"]), Some(GpgvError::UnknownKey));
    assert_eq!(fixture.signature(&["archive", "stranger"]), None);
}

#[test]
fn expired_keys_are_refused() {
    let fixture = fixture();
    fixture.repository.make_key("old", "1d", Some("20200101T000000"));
    fixture.publish("", "old", &["--faked-system-time", "20200101T010000!"]);
    assert_eq!(fixture.signature(&["old"]), Some(GpgvError::Expired));
}

#[test]
fn weak_digests_are_refused() {
    let fixture = fixture();
    fixture.publish("", "archive", &["--digest-algo", "SHA1", "--weak-digest", "MD5"]);
    let reason = fixture.signature(&["archive"]);
    assert!(reason.is_some(), "a SHA-1 signature was accepted");
}

#[test]
fn an_altered_release_is_refused() {
    let fixture = fixture();
    fixture.publish("", "archive", &[]);
    let path = fixture.in_lists("InRelease");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("Origin: Tests", "Origin: Debian")).unwrap();
    assert_eq!(fixture.signature(&["archive"]), Some(GpgvError::Bad));
}

#[test]
fn text_around_the_signed_text_says_nothing() {
    let fixture = fixture();
    fixture.publish("", "archive", &[]);
    let path = fixture.in_lists("InRelease");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("Origin: Debian\n\n{text}Origin: Debian\n")).unwrap();
    match fixture.verify(&["archive"]) {
        Ok(listed) => assert_eq!(listed.origin.origin, "Tests"),
        Err(error) => assert!(matches!(error, ChainError::Signature { .. }), "{error}"),
    }
}

/// Whatever unpacks into far more than an InRelease file is refused before it fills memory or disk, well signed or not.
#[test]
fn compressed_and_endless_texts_are_refused() {
    let fixture = fixture();
    fixture.publish("", "archive", &[]);
    let (large, signed) = (fixture._dir.path().join("large"), fixture.in_lists("InRelease"));
    fs::write(&large, "Origin: Tests\n".repeat(4 << 20)).unwrap();
    let compressed = ["--compress-algo", "zlib", "--compress-level", "9", "--sign"];
    fixture.repository.sign_with(&compressed, &large, &signed);
    assert!(fs::metadata(&signed).unwrap().len() < 1 << 20);
    assert_eq!(fixture.signature(&["archive"]), Some(GpgvError::Unsigned));
    // The same where a signature is to stand.
    fixture.repository.sign_with(&[&["--armor"], &compressed[..]].concat(), &large, &signed);
    let armored = fs::read_to_string(&signed).unwrap().replace("PGP MESSAGE", "PGP SIGNATURE");
    fs::write(&signed, format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nOrigin: Tests\n{armored}")).unwrap();
    let reason = fixture.signature(&["archive"]);
    println!("behind a clear text: {reason:?}");
    assert!(reason.is_some());
    // What gpgv would write is larger than it may be, whoever signed it.
    let keyring = Keyring::open(&fixture.repository.keyring(&["archive"]), None).unwrap();
    fixture.repository.sign_with(&["--clearsign"], &large, &signed);
    assert_eq!(keyring.verify(&signed).map(|signed| signed.signers), Err(GpgvError::TooMuch));
    fs::write(&large, "Origin: Tests\n".repeat(1 << 20)).unwrap();
    fixture.repository.sign_with(&["--clearsign"], &large, &signed);
    assert_eq!(keyring.verify(&signed).map(|signed| signed.signers.len()), Ok(1));
    fs::write(&signed, "-----BEGIN PGP").unwrap();
    assert_eq!(keyring.verify(&signed).map(|signed| signed.signers), Err(GpgvError::Unsigned));
}

#[test]
fn an_altered_index_is_refused() {
    let fixture = fixture();
    fixture.publish("", "archive", &[]);
    let path = fixture.in_lists("Packages");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("Version: 1.0", "Version: 2.0")).unwrap();
    assert!(matches!(fixture.verify(&["archive"]), Err(ChainError::AlteredIndex { .. })));
    fs::write(&path, &text[..text.len() - 1]).unwrap();
    assert!(matches!(fixture.verify(&["archive"]), Err(ChainError::AlteredIndex { .. })));
}

#[test]
fn an_altered_package_is_refused() {
    let mut fixture = fixture();
    fixture.publish("", "archive", &[]);
    // Another package under the same name and version, which no index names.
    let before = fs::read(&fixture.deb).unwrap();
    fixture.deb = fixture.repository.add("one", "1.0", "altered\n", "exit 0");
    assert_ne!(fs::read(&fixture.deb).unwrap(), before);
    assert!(matches!(fixture.verify(&["archive"]), Err(ChainError::Unauthenticated { .. })));
}

#[test]
fn a_package_under_another_name_is_refused() {
    let mut fixture = fixture();
    fixture.repository = Repository::new(&fixture._dir.path().join("second"));
    fs::create_dir_all(fixture.repository.dir.join("pool")).unwrap();
    let deb = fixture.repository.dir.join("pool/two_1.0_all.deb");
    fs::copy(&fixture.deb, &deb).unwrap();
    fixture.repository.list(&deb, "two", "1.0");
    fixture.publish("", "archive", &[]);
    assert!(matches!(fixture.verify(&["archive"]), Err(ChainError::OtherName { .. })));
}

#[test]
fn expired_and_future_releases_are_refused() {
    let fixture = fixture();
    fixture.publish("Valid-Until: Wed, 01 Jan 2020 00:00:00 UTC\n", "archive", &[]);
    let reason = |fixture: &Fixture| match fixture.verify(&["archive"]) {
        Err(ChainError::Release { reason, .. }) => Some(reason),
        _ => None,
    };
    assert_eq!(reason(&fixture), Some(ReleaseError::Expired(1_577_836_800)));
    let release = fixture.repository.release("");
    let date = release.lines().find(|line| line.starts_with("Date: ")).unwrap();
    let future = release.replace(date, "Date: Fri, 01 Jan 2100 00:00:00 UTC");
    fixture.repository.publish(&future, "archive", &[]);
    fixture.repository.as_lists(&fixture.lists);
    assert_eq!(reason(&fixture), Some(ReleaseError::FromTheFuture(4_102_444_800)));
}

/// What is over now was not over then; and what a snapshot's time does not fit is refused as if it were now.
#[test]
fn a_snapshot_is_judged_as_of_its_time() {
    let mut fixture = fixture();
    let release = fixture.repository.release("Valid-Until: Wed, 08 Jan 2020 00:00:00 UTC\n");
    let date = release.lines().find(|line| line.starts_with("Date: ")).unwrap();
    fixture.repository.publish(&release.replace(date, "Date: Wed, 01 Jan 2020 00:00:00 UTC"), "archive", &[]);
    fixture.repository.as_lists(&fixture.lists);
    let vendors = [("Tests".to_owned(), "tests".to_owned())].into();
    let mut at = |time: Option<u64>| {
        fixture.snapshot = time;
        match fixture.chain(&["archive"]) {
            Ok(chain) => Ok(chain.states(&vendors).len()),
            Err(ChainError::Release { reason, .. }) => Err(reason),
            Err(other) => panic!("{other}"),
        }
    };
    let date = 1_577_836_800;
    // Nothing is said of its being current.
    assert_eq!((at(Some(date + 86_400)), at(Some(date + 7 * 86_400))), (Ok(0), Ok(0)));
    assert_eq!(at(Some(date + 8 * 86_400)), Err(ReleaseError::Expired(date + 7 * 86_400)));
    assert_eq!(at(Some(date - 2 * 86_400)), Err(ReleaseError::FromTheFuture(date)));
    assert_eq!(at(None), Err(ReleaseError::Expired(date + 7 * 86_400)));
}

#[test]
fn another_suites_release_is_refused() {
    let fixture = fixture();
    let release = fixture.repository.release("").replace("Codename: test", "Codename: old").replace("Suite: test", "Suite: older");
    fixture.repository.publish(&release, "archive", &[]);
    fixture.repository.as_lists(&fixture.lists);
    assert!(matches!(fixture.verify(&["archive"]), Err(ChainError::Release { reason: ReleaseError::OtherSuite { .. }, .. })));
}

//! Databases of all three kinds: `rpm -qa` must say the same about them as we do. SQLite's (with a write-ahead log and without) and ndb's are
//! written by the real rpm, Berkeley's by the library itself, since no rpm of today writes them.

mod support;

use package::root::Root;
use package::rpm::FileState;
use package::rpmdb::{InstalledRpm, Kind, Place, RpmdbError, place, read};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use support::{SID, Suite, have, repository, run, text};

fn packages(root: &Path) -> Result<Vec<InstalledRpm>, RpmdbError> {
    let root = Root::open(root).unwrap();
    read(&root, place(&root)?.expect("there is a database"))
}

fn sh(directory: &Path, script: &str) {
    run(Command::new("bash").arg("-euc").arg(script).current_dir(directory));
}

#[test]
fn databases_of_the_real_rpm() {
    if !["rpmbuild", "rpm", "python3", "db_load"].into_iter().all(have) || !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: needs root, rpm, python3 and db_load, so this test proves NOTHING here");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    run(Command::new(repository("testdata/packages/build-rpm.sh")).arg(directory.path()));
    let install = "timeout 60 rpm --root $PWD/root --dbpath /var/lib/rpm --nodeps --noscripts --ignorearch --excludedocs -i";
    sh(directory.path(), &format!("mkdir root; {install} installable.rpm many.rpm empty.rpm 2>out || {{ cat out; exit 1; }}"));
    let root = directory.path().join("root");
    as_rpm_says(&root);
    states(&root);
    a_log_counts(&root);
    damaged_ones_are_refused(&root, SQLITE);
    for (page, order) in [("512", "1234"), ("4096", "4321"), ("4096", "1234"), ("65536", "4321")] {
        let old = berkeley(&root, page, order);
        let ask = |format: &str| rpm(old.path(), &["--define", "_db_backend bdb_ro", "-qa", "--qf", format]);
        same_as(old.path(), &ask(ABOUT));
        if page == "512" {
            damaged_ones_are_refused(old.path(), BDB);
        }
    }
    places(&root);
}

const SQLITE: Place = Place { directory: "var/lib/rpm", kind: Kind::Sqlite };
const NDB: Place = Place { directory: "var/lib/rpm", kind: Kind::Ndb };
const BDB: Place = Place { directory: "var/lib/rpm", kind: Kind::Bdb };
const ABOUT: &str = "%{NAME} %{EPOCHNUM} %{VERSION}-%{RELEASE} %{ARCH} %{SHA256HEADER}\n";

fn rpm(root: &Path, arguments: &[&str]) -> String {
    text(Command::new("rpm").arg("--root").arg(root).args(["--dbpath", "/var/lib/rpm"]).args(arguments))
}

/// Our packages, and those of rpm's answer.
fn same_as(root: &Path, about: &str) {
    let ours = |package: &InstalledRpm| {
        let identity = &package.identity;
        format!("{} {} {} {} {}", identity.name, identity.epoch, identity.version, identity.architecture, package.header)
    };
    let found = packages(root).unwrap();
    assert_eq!(found.iter().map(ours).collect::<BTreeSet<_>>(), about.lines().map(str::to_owned).collect());
    assert_eq!(found.len(), about.lines().count());
}

/// A root with the same packages in a database of Berkeley's, as the library itself writes it.
fn berkeley(root: &Path, page: &str, order: &str) -> tempfile::TempDir {
    let new = tempfile::tempdir().unwrap();
    fs::create_dir_all(new.path().join("var/lib/rpm")).unwrap();
    let script = r#"
import sqlite3, sys
source, page, order = sys.argv[1:]
rows = sqlite3.connect(source).execute("select hnum, blob from Packages").fetchall()
number = lambda value: value.to_bytes(4, "little" if order == "1234" else "big")
print(f"VERSION=3\nformat=bytevalue\ntype=hash\ndb_pagesize={page}\ndb_lorder={order}\nHEADER=END")
for key, value in [(0, number(max(key for key, _ in rows)))] + rows:
    print(f" {number(key).hex()}\n {value.hex()}")
print("DATA=END")
"#;
    let dump = text(Command::new("python3").args(["-c", script]).arg(root.join("var/lib/rpm/rpmdb.sqlite")).args([page, order]));
    fs::write(new.path().join("dump"), dump).unwrap();
    sh(new.path(), "db_load -f dump var/lib/rpm/Packages");
    new
}

/// Of openSUSE's kind, by Debian's newest rpm: hundreds of packages, so that there is more than one page of slots, and some taken out again.
#[test]
#[ignore = "bootstraps a Debian root with the newest rpm: run `make roots`"]
fn databases_of_todays_rpm() {
    let suite = Suite::new(SID[0], SID[1]);
    fs::write(suite.root().join("parts.spec"), PARTS).unwrap();
    fs::copy(repository("testdata/packages/build-rpm.sh"), suite.root().join("build.sh")).unwrap();
    run(suite
        .program("sh")
        .args(["-euc", "bash /build.sh /built && rpmbuild --quiet -bb --define '_topdir /top' --define '_rpmdir /parts' /parts.spec"]));
    let new = suite.root().join("new");
    let ask = |kind: &str, script: &str| {
        let script = script.replace("RPM", &format!("rpm --root /new --dbpath /var/lib/rpm --define '_db_backend {kind}'"));
        text(suite.program("sh").args(["-euc", &script]))
    };
    ask(
        "ndb",
        "mkdir -p /new; for name in installable many empty; do RPM --nodeps --noscripts -i /built/$name.rpm; done; RPM --nodeps -i /parts/noarch/*.rpm",
    );
    ask("ndb", "RPM --nodeps -e parts-7 parts-299");
    assert_eq!(place(&Root::open(&new).unwrap()), Ok(Some(NDB)));
    let about = ask("ndb", &format!("RPM -qa --qf '{ABOUT}'"));
    assert_eq!(about.lines().count(), 301);
    same_as(&new, &about);
    damaged_ones_are_refused(&new, NDB);
    // The same in the other two kinds, where there are many buckets and pages, too.
    ask("sqlite", "RPM --rebuilddb");
    assert_eq!(place(&Root::open(&new).unwrap()), Ok(Some(SQLITE)));
    same_as(&new, &about);
    for page in ["512", "4096"] {
        same_as(berkeley(&new, page, "1234").path(), &about);
    }
}

const PARTS: &str = r#"Name: parts
Version: 1
Release: 1
Summary: made for a test
License: none
BuildArch: noarch
%description
Many packages.
%{lua: for i = 1, 300 do print(string.format("%%package %d\nSummary: made for a test\n%%description %d\nOne.\n%%files %d\n", i, i, i)) end}
"#;

fn as_rpm_says(root: &Path) {
    same_as(root, &rpm(root, &["-qa", "--qf", ABOUT]));
    let found = packages(root).unwrap();
    let listed = rpm(root, &["-ql", "many"]);
    let many = found.iter().find(|package| package.identity.name == "many").unwrap();
    let paths: Vec<String> = many.files.iter().map(|(path, _)| format!("/{}", String::from_utf8_lossy(path))).collect();
    assert_eq!(paths, listed.lines().collect::<Vec<_>>());
    assert!(paths.len() > 2000);
}

fn states(root: &Path) {
    let found = packages(root).unwrap();
    let sample = found.iter().find(|package| package.identity.name == "installable").unwrap();
    let state = |path: &str| sample.files.iter().find(|(known, _)| known == path.as_bytes()).map(|(_, state)| *state);
    assert_eq!(state("usr/share/doc/sample/README"), Some(FileState::NotInstalled));
    assert_eq!(state("usr/bin/sample"), Some(FileState::Normal));
}

/// A row that is only in the write-ahead log counts; one whose commit is not whole does not.
fn a_log_counts(root: &Path) {
    let copy = tempfile::tempdir().unwrap();
    sh(copy.path(), &format!("mkdir -p a/var/lib/rpm b/var/lib/rpm; cp {}/var/lib/rpm/rpmdb.sqlite work.sqlite", root.display()));
    let script = r#"
import shutil, sqlite3
database = sqlite3.connect("work.sqlite")
database.execute("pragma journal_mode = wal")
database.execute("delete from Packages where hnum = (select min(hnum) from Packages)")
database.commit()
for place in "a", "b":
    shutil.copy("work.sqlite", place + "/var/lib/rpm/rpmdb.sqlite")
    shutil.copy("work.sqlite-wal", place + "/var/lib/rpm/rpmdb.sqlite-wal")
"#;
    run(Command::new("python3").arg("-c").arg(script).current_dir(copy.path()));
    let log = copy.path().join("b/var/lib/rpm/rpmdb.sqlite-wal");
    let length = fs::metadata(&log).unwrap().len();
    assert!(length > 4096, "the log holds the change");
    fs::File::options().write(true).open(&log).unwrap().set_len(length - 1).unwrap();
    let count = |root: &Path| packages(root).unwrap().len();
    assert_eq!((count(root), count(&copy.path().join("a")), count(&copy.path().join("b"))), (3, 2, 3));
}

/// Cut anywhere, and with bits of the structure flipped.
fn damaged_ones_are_refused(root: &Path, kind: Place) {
    let good = fs::read(root.join(kind.to_string())).unwrap();
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir_all(copy.path().join("var/lib/rpm")).unwrap();
    let file = copy.path().join(kind.to_string());
    let whole = packages(root).unwrap();
    for cut in [0, 50, 99, 100, 5000, good.len() / 2, good.len() - 1] {
        fs::write(&file, &good[..cut]).unwrap();
        // SQLite and Berkeley's count in pages, and need not have used all of the last one.
        assert!(packages(copy.path()).is_err() || cut == good.len() - 1 && kind != NDB, "cut at {cut}");
    }
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).unwrap()
    };
    let mut refused = 0;
    for _ in 0..30 {
        let mut bytes = good.clone();
        // The pages at the beginning hold the structure.
        for _ in 0..60 {
            let at = next(good.len().min(8192));
            bytes[at] ^= 1 << next(8);
        }
        fs::write(&file, &bytes).unwrap();
        match packages(copy.path()) {
            Err(_) => refused += 1,
            Ok(found) => assert!(found.len() <= whole.len()),
        }
    }
    assert!(refused > 2, "{refused}");
}

fn places(root: &Path) {
    let both = root.join("usr/lib/sysimage");
    let found = || place(&Root::open(root).unwrap());
    let two = |one: &str, other: &str| Err(RpmdbError::Two(one.to_owned(), other.to_owned()));
    fs::create_dir_all(&both).unwrap();
    std::os::unix::fs::symlink("../../../var/lib/rpm", both.join("rpm")).unwrap();
    assert_eq!(found(), Ok(Some(Place { directory: "usr/lib/sysimage/rpm", kind: Kind::Sqlite })), "one database under two names");
    fs::remove_file(both.join("rpm")).unwrap();
    fs::create_dir(both.join("rpm")).unwrap();
    for (name, database) in [("Packages.db", "RpmP"), ("Packages", "x"), ("rpmdb.sqlite", "SQLite")] {
        fs::write(both.join("rpm").join(name), database).unwrap();
        assert_eq!(found(), two(&format!("usr/lib/sysimage/rpm/{name}"), "var/lib/rpm/rpmdb.sqlite"));
        fs::remove_file(both.join("rpm").join(name)).unwrap();
    }
    // Of two kinds in one place, rpm's settings say which one counts: whoever plants the other hides packages.
    fs::write(root.join("var/lib/rpm/Packages.db"), "RpmP").unwrap();
    assert_eq!(found(), two("var/lib/rpm/rpmdb.sqlite", "var/lib/rpm/Packages.db"));
}

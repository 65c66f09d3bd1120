//! Databases written by the real rpm: `rpm -qa` must say the same about them as we do, with a write-ahead log and without.

mod support;

use package::root::Root;
use package::rpm::FileState;
use package::rpmdb::{InstalledRpm, RpmdbError, place, read};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use support::{have, repository, run, text};

fn packages(root: &Path) -> Result<Vec<InstalledRpm>, RpmdbError> {
    let root = Root::open(root).unwrap();
    read(&root, place(&root)?.expect("there is a database"))
}

fn sh(directory: &Path, script: &str) {
    run(Command::new("bash").arg("-euc").arg(script).current_dir(directory));
}

#[test]
fn databases_of_the_real_rpm() {
    if !["rpmbuild", "rpm", "python3"].into_iter().all(have) || !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: needs root, rpm and python3, so this test proves NOTHING here");
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
    damaged_ones_are_refused(&root);
    places(&root);
}

fn as_rpm_says(root: &Path) {
    let ask = |format: &str| text(Command::new("rpm").arg("--root").arg(root).args(["--dbpath", "/var/lib/rpm", "-qa", "--qf", format]));
    let about = ask("%{NAME} %{EPOCHNUM} %{VERSION}-%{RELEASE} %{ARCH} %{SHA256HEADER}\n");
    let found = packages(root).unwrap();
    let ours = |package: &InstalledRpm| {
        let identity = &package.identity;
        format!("{} {} {} {} {}", identity.name, identity.epoch, identity.version, identity.architecture, package.header)
    };
    assert_eq!(found.iter().map(ours).collect::<BTreeSet<_>>(), about.lines().map(str::to_owned).collect());
    let listed = text(Command::new("rpm").arg("--root").arg(root).args(["--dbpath", "/var/lib/rpm", "-ql", "many"]));
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

fn damaged_ones_are_refused(root: &Path) {
    let good = fs::read(root.join("var/lib/rpm/rpmdb.sqlite")).unwrap();
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir_all(copy.path().join("var/lib/rpm")).unwrap();
    let file = copy.path().join("var/lib/rpm/rpmdb.sqlite");
    let whole = packages(root).unwrap();
    for cut in [0, 50, 99, 100, 5000, good.len() / 2] {
        fs::write(&file, &good[..cut]).unwrap();
        assert!(packages(copy.path()).is_err(), "cut at {cut}");
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
    fs::create_dir_all(&both).unwrap();
    std::os::unix::fs::symlink("../../../var/lib/rpm", both.join("rpm")).unwrap();
    assert_eq!(place(&Root::open(root).unwrap()), Ok(Some("usr/lib/sysimage/rpm")), "one database under two names");
    fs::remove_file(both.join("rpm")).unwrap();
    fs::create_dir(both.join("rpm")).unwrap();
    fs::write(both.join("rpm/Packages.db"), "RpmP").unwrap();
    assert!(matches!(place(&Root::open(root).unwrap()), Err(RpmdbError::Unknown(_) | RpmdbError::Two(..))));
    fs::remove_file(both.join("rpm/Packages.db")).unwrap();
    fs::copy(root.join("var/lib/rpm/rpmdb.sqlite"), both.join("rpm/rpmdb.sqlite")).unwrap();
    assert_eq!(place(&Root::open(root).unwrap()), Err(RpmdbError::Two("usr/lib/sysimage/rpm", "var/lib/rpm")));
}

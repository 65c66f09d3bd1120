//! Roots that dnf, zypper and pacman of two generations installed from repositories of their own making, with rpm's packages in both formats
//! and its databases in all kinds: no false alarm, and each manipulation gets its verdict. `make roots`.

#[path = "foreign/cases.rs"]
mod cases;
mod world;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use attest::Purl;
use cases::{BDB_CASES, Case, NDB_CASES, PACMAN_CASES, RPM_CASES, SQLITE_CASES, rpm, try_all};
use package::deb::Limits;
use world::World;
use world::packages::sh;
use world::suite::{BOOKWORM, SID, Suite};

/// How a root of rpm's is made.
struct Made {
    name: &'static str,
    suite: [&'static str; 2],
    /// Of packages.
    format: &'static str,
    /// rpm's word for its kind of database.
    database: &'static str,
    /// Installs the packages of `/repository` into `/new`.
    install: &'static str,
}

const DNF4: &str = "dnf-3 -y -q --installroot=/new --repofrompath=made,file:///repository --repo=made --nogpgcheck --releasever=1 install installable empty";
const DNF5: &str = "dnf5 -y -q --use-host-config --installroot=/new --repofrompath=made,file:///repository --repo=made --no-gpgchecks --releasever=1 install installable empty";
const ZYPPER: &str =
    "z() { zypper --non-interactive --no-gpg-checks --root /new \"$@\"; }; z addrepo -G dir:/repository made; z install installable empty";

const MADE: &[Made] = &[
    Made { name: "dnf 4.14, rpm 4.18", suite: BOOKWORM, format: "4", database: "sqlite", install: DNF4 },
    Made { name: "zypper 1.14.59, rpm 4.18", suite: BOOKWORM, format: "4", database: "sqlite", install: ZYPPER },
    Made { name: "dnf 4, rpm 6, format 4", suite: SID, format: "4", database: "sqlite", install: DNF4 },
    Made { name: "dnf 5, rpm 6, format 6", suite: SID, format: "6", database: "sqlite", install: DNF5 },
    Made { name: "zypper, rpm 6, format 6, ndb", suite: SID, format: "6", database: "ndb", install: ZYPPER },
];

/// The suite's own rpm keeps a database for each user, and may write another kind than is wanted.
fn rpm_root(made: &Made) -> (Suite, World, PathBuf) {
    let suite = Suite::new(made.suite);
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/packages/build-rpm.sh"), suite.root().join("build.sh")).unwrap();
    suite.run(&format!("bash /build.sh /built {}", made.format));
    suite.run("mkdir /repository; cp /built/installable.rpm /built/empty.rpm /repository; createrepo_c -q /repository");
    suite.run(&format!("mkdir -p /etc/rpm; printf '%%_dbpath /var/lib/rpm\\n%%_db_backend {}\\n' >/etc/rpm/macros", made.database));
    suite.run(SKELETON);
    suite.run(made.install);
    let mut world = cases::world();
    for name in ["installable", "empty"] {
        let (purl, rpm) = rpm(&suite.root().join(format!("built/{name}.rpm")));
        for builder in ["builder-1", "builder-2"] {
            world.claim_rpm(builder, &purl, &rpm);
        }
    }
    world.fill_cache(world.head());
    let root = suite.root().join("new");
    (suite, world, root)
}

const SKELETON: &str = r"
mkdir -p /new/etc /new/usr/lib /new/var/lib/pacman; ln -s usr/lib /new/lib
printf 'root:x:0:0::/:/bin/sh\ndaemon:x:2:2::/:/bin/sh\n' >/new/etc/passwd; printf 'root:x:0:\ndaemon:x:2:\nmail:x:12:\n' >/new/etc/group
";

/// A root is clean, and each case is found in it.
fn table(name: &str, world: &World, root: &Path, lists: &[&[Case]]) {
    let outcome = world.verify(root);
    println!("== {name}: untouched, exit {}, {}", outcome.status, outcome.json()["packages"]);
    assert_eq!((outcome.status, outcome.findings(false)), (0, Vec::new()), "{outcome:?}");
    lists.iter().for_each(|cases| try_all(world, root, cases));
    println!("== {name}: {} manipulations, all as expected", lists.iter().map(|cases| cases.len()).sum::<usize>());
}

#[test]
#[ignore = "bootstraps Debian roots with other package managers: run `make roots`"]
fn roots_of_dnf_and_zypper() {
    for made in MADE {
        let (suite, world, root) = rpm_root(made);
        let of_database = if made.database == "ndb" { NDB_CASES } else { SQLITE_CASES };
        table(made.name, &world, &root, &[RPM_CASES, of_database]);
        drop(suite);
    }
}

/// What an old machine has: its packages in a database of Berkeley's.
#[test]
#[ignore = "bootstraps Debian roots with other package managers: run `make roots`"]
fn a_root_with_an_old_database() {
    let (_suite, world, root) = rpm_root(&MADE[0]);
    sh(&root, OLD_DATABASE);
    table("dnf 4.14, Berkeley's database", &world, &root, &[RPM_CASES, BDB_CASES]);
}

const OLD_DATABASE: &str = r#"
cd var/lib/rpm
python3 - <<'PYTHON' | db_load Packages
import sqlite3
rows = sqlite3.connect("rpmdb.sqlite").execute("select hnum, blob from Packages").fetchall()
number = lambda value: value.to_bytes(4, "little")
print("VERSION=3\nformat=bytevalue\ntype=hash\nHEADER=END")
for key, value in [(0, number(max(key for key, _ in rows)))] + rows:
    print(f" {number(key).hex()}\n {value.hex()}")
print("DATA=END")
PYTHON
rm rpmdb.sqlite*
"#;

#[test]
#[ignore = "bootstraps Debian roots with other package managers: run `make roots`"]
fn roots_of_pacman() {
    for (name, suite) in [("pacman 6", BOOKWORM), ("pacman 7", SID)] {
        let suite = Suite::new(suite);
        sh(&suite.root(), &format!("{}/../testdata/packages/build-pacman.sh $PWD/built", env!("CARGO_MANIFEST_DIR")));
        suite.run(SKELETON);
        suite.run(PACMAN);
        let file = File::open(suite.root().join("built/sample.pkg.tar.zst")).unwrap();
        let package = package::alpm::read(file, &Limits::default()).unwrap();
        let identity = &package.identity;
        let purl = Purl::alpm("example", &identity.name, &identity.version, &identity.architecture).unwrap();
        let mut world = cases::world();
        for builder in ["builder-1", "builder-2"] {
            world.claim(builder, &purl, &package.manifest);
        }
        world.fill_cache(world.head());
        table(name, &world, &suite.root().join("new"), &[PACMAN_CASES]);
    }
}

const PACMAN: &str = r"
mkdir /repository; cp /built/sample.pkg.tar.zst /repository/sample-1:1.0rc1-2-x86_64.pkg.tar.zst; repo-add -q /repository/made.db.tar.gz /repository/*.zst
printf '[options]\nArchitecture = x86_64\nSigLevel = Never\nDisableSandbox\nNoExtract = usr/lib/sample/empty usr/bin/left-*\n[made]\nServer = file:///repository\n' >/new/etc/pacman.conf
mkdir /cache; pacman --root /new --dbpath /new/var/lib/pacman --config /new/etc/pacman.conf --cachedir /cache --logfile /dev/null --hookdir /cache --gpgdir /cache --noconfirm --noscriptlet -Sy sample
";

//! Roots of other package managers than dpkg, with packages that the real rpm and pacman installed, and one laid out as apk does: no false
//! alarm, and each manipulation gets its verdict. Needs root, rpmbuild, rpm, pacman, bsdtar, setcap and python3.

mod world;

use std::fs::{self, File};
use std::path::Path;

use attest::Purl;
use attest::roles::{RoleKey, Vendor};
use package::deb::Limits;
use package::rpm::RpmPackage;
use tlog::{KeyKind, Signer as _};
use world::World;
use world::packages::sh;

/// A change of a root, and the findings and the exit status that it must lead to.
struct Case {
    name: &'static str,
    change: &'static str,
    found: &'static [&'static str],
    status: i32,
}

const fn case(name: &'static str, change: &'static str, found: &'static [&'static str], status: i32) -> Case {
    Case { name, change, found, status }
}

/// Builders attest packages of every kind, of a vendor that is named once for each.
fn world() -> World {
    let world = World::with_roles(|roles| {
        for kind in ["rpm", "alpm", "apk"] {
            roles.vendors.push(Vendor { kind: kind.into(), namespace: "example".into(), origin: "Example".into() });
        }
        let scopes = ["pkg:deb/debian/*", "pkg:rpm/example/*", "pkg:alpm/example/*", "pkg:apk/example/*"];
        let names = ["builder-1", "builder-2", "builder-3"];
        roles.builders =
            names.iter().map(|name| RoleKey::active(world::key(name, KeyKind::Ed25519).key().clone(), &scopes).unwrap()).collect();
    });
    world.configure("builders = 2\nmax_age = \"1h\"\n");
    world
}

/// Runs each case on a copy of a root, prints what was expected and what was seen, and counts what differs.
fn try_all(world: &World, base: &Path, cases: &[Case]) {
    let mut wrong = 0;
    for case in cases {
        let copy = tempfile::tempdir().unwrap();
        let root = copy.path().join("root");
        sh(base, &format!("cp -a {} {}", base.display(), root.display()));
        sh(&root, case.change);
        let outcome = world.verify(&root);
        let mut found = if outcome.stdout.is_empty() { Vec::new() } else { outcome.findings(false) };
        found.sort();
        let fits = outcome.status == case.status && found == case.found;
        wrong += usize::from(!fits);
        println!(
            "{:<4} {:<44} expected {} {:?}, seen {} {found:?}",
            if fits { "ok" } else { "BAD" },
            case.name,
            case.status,
            case.found,
            outcome.status
        );
        if !fits {
            println!("{}{}", outcome.stdout, outcome.stderr);
        }
    }
    assert_eq!(wrong, 0, "of {} cases", cases.len());
}

/// The findings with exit 0, too.
fn all_findings(world: &World, root: &Path) -> Vec<String> {
    world.verify(root).findings(true)
}

fn built(script: &str) -> tempfile::TempDir {
    assert!(rustix::process::geteuid().is_root(), "these tests install packages into roots of their own");
    let dir = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/packages").join(script);
    sh(dir.path(), &format!("{} {}", script.display(), dir.path().display()));
    sh(dir.path(), "mkdir -p root/etc root/usr/lib; ln -s usr/lib root/lib");
    sh(dir.path(), "printf 'root:x:0:0::/:/bin/sh\\ndaemon:x:2:2::/:/bin/sh\\n' >root/etc/passwd");
    sh(dir.path(), "printf 'root:x:0:\\ndaemon:x:2:\\nmail:x:12:\\n' >root/etc/group");
    dir
}

fn rpm(path: &Path) -> (Purl, RpmPackage) {
    let rpm = package::rpm::read(File::open(path).unwrap(), &Limits::default()).unwrap();
    let identity = &rpm.identity;
    let purl = Purl::rpm("example", &identity.name, &identity.version, &identity.architecture, identity.epoch).unwrap();
    (purl, rpm)
}

fn install(dir: &Path, options: &str, packages: &str) {
    let rpm = "timeout 60 rpm --root $PWD/root --dbpath /var/lib/rpm --nodeps --noscripts --ignorearch";
    sh(dir, &format!("{rpm} {options} -i {packages} 2>rpm.out || {{ cat rpm.out; exit 1; }}"));
}

/// A root on which rpm installed packages that two builders attest.
fn rpm_root() -> (tempfile::TempDir, World) {
    let dir = built("build-rpm.sh");
    install(dir.path(), "", "installable.rpm empty.rpm");
    let mut world = world();
    for name in ["installable", "empty"] {
        let (purl, rpm) = rpm(&dir.path().join(format!("{name}.rpm")));
        world.claim_rpm("builder-1", &purl, &rpm);
        world.claim_rpm("builder-2", &purl, &rpm);
    }
    world.fill_cache(world.head());
    (dir, world)
}

#[test]
fn an_rpm_root() {
    let (dir, world) = rpm_root();
    let root = dir.path().join("root");
    let outcome = world.verify(&root);
    assert_eq!((outcome.status, outcome.findings(false)), (0, Vec::new()), "{outcome:?}");
    try_all(&world, &root, RPM_CASES);
    masks_and_ghosts_are_told(&world, &root);
    expected_packages(&world, &root);
}

const MASKED: &str = "noverify /usr/lib/sample/cache";

fn masks_and_ghosts_are_told(world: &World, base: &Path) {
    let copy = tempfile::tempdir().unwrap();
    sh(base, &format!("cp -a . {}", copy.path().display()));
    sh(copy.path(), "mkdir -p var/log/sample; echo more >>usr/lib/sample/cache; echo grown >>var/log/sample/log; echo x >>etc/sample.conf");
    let found = all_findings(world, copy.path());
    assert!(found.contains(&MASKED.to_owned()) && found.contains(&"modified-config /etc/sample.conf".to_owned()), "{found:?}");
    assert!(!found.iter().any(|finding| finding.contains("/var/log")), "{found:?}");
}

/// A list kept elsewhere, against packages that were taken out of the database.
fn expected_packages(world: &World, base: &Path) {
    let copy = tempfile::tempdir().unwrap();
    sh(base, &format!("cp -a . {}", copy.path().display()));
    let list = world.path("expected");
    fs::write(&list, "installable 3:1.0~rc1-2.fc40\nempty 1-1\n").unwrap();
    let root = copy.path().to_str().unwrap();
    let verify = || world.tally(&["verify", "--all", "--json", "--root", root, "--expect", list.to_str().unwrap()]);
    assert_eq!((verify().status, verify().findings(true)), (0, vec!["explained /lib".to_owned()]), "{:?}", verify());
    sh(copy.path(), "timeout 60 rpm --root $PWD --dbpath /var/lib/rpm --nodeps --justdb -e empty 2>/dev/null");
    assert_eq!((verify().status, verify().findings(false)), (1, vec!["hidden empty 1-1".to_owned()]));
    fs::write(&list, "installable 3:1.0-2.fc40\n").unwrap();
    assert_eq!((verify().status, verify().findings(false)), (1, vec!["rolled-back installable 3:1.0-2.fc40".to_owned()]));
}

/// What rpm leaves out when told to, and a package that was signed again.
#[test]
fn what_rpm_leaves_out() {
    let dir = built("build-rpm.sh");
    install(dir.path(), "--excludedocs --excludeartifacts --define '_install_langs en'", "installable.rpm");
    let (purl, rpm) = rpm(&dir.path().join("installable.rpm"));
    let mut world = world();
    world.claim_rpm("builder-1", &purl, &rpm);
    world.claim_rpm("builder-2", &purl, &rpm);
    world.fill_cache(world.head());
    let root = dir.path().join("root");
    assert!(!root.join("usr/share/doc/sample/README").exists() && !root.join("usr/lib/sample/de.txt").exists());
    let outcome = world.verify(&root);
    assert_eq!((outcome.status, outcome.findings(false)), (0, Vec::new()), "{outcome:?}");
    let left_out = outcome.findings(true).iter().filter(|finding| finding.starts_with("not-installed ")).count();
    assert_eq!(left_out, 5, "{:?}", outcome.findings(true));
}

#[test]
fn a_package_that_was_signed_again() {
    let dir = built("build-rpm.sh");
    install(dir.path(), "", "installable.rpm");
    // Another file with the same package: what builders saw was signed otherwise.
    let mut bytes = fs::read(dir.path().join("installable.rpm")).unwrap();
    bytes[10] ^= 1;
    fs::write(dir.path().join("again.rpm"), bytes).unwrap();
    let (purl, again) = rpm(&dir.path().join("again.rpm"));
    let (_, own) = rpm(&dir.path().join("installable.rpm"));
    assert!(again.sha256 != own.sha256 && again.header == own.header);
    let mut world = world();
    world.claim_rpm("builder-1", &purl, &again);
    world.claim_rpm("builder-2", &purl, &again);
    world.fill_cache(world.head());
    let outcome = world.verify(&dir.path().join("root"));
    assert_eq!((outcome.status, outcome.findings(true)), (0, vec!["explained /lib".to_owned()]), "{outcome:?}");
    the_file_itself(&world, dir.path());
    // Claims about another package of this name do not count, however many there are.
    let mut world = self::world();
    let other = RpmPackage { header: tlog::Hash::digest(b"other"), ..own };
    world.claim_rpm("builder-1", &purl, &other);
    world.claim_rpm("builder-2", &purl, &other);
    world.fill_cache(world.head());
    let outcome = world.verify(&dir.path().join("root"));
    assert_eq!((outcome.status, outcome.findings(false)), (2, vec!["unattested installable 1.0~rc1-2.fc40 x86_64".to_owned()]));
}

/// The file at hand has other signatures than the attested one: it is the same package, until its payload is another.
fn the_file_itself(world: &World, dir: &Path) {
    let check = |name: &str| world.tally(&["check", "--offline", "--json", dir.join(name).to_str().unwrap()]);
    let outcome = check("installable.rpm");
    assert_eq!((outcome.status, outcome.findings(true)), (0, Vec::new()), "{outcome:?}");
    let outcome = check("empty.rpm");
    assert_eq!((outcome.status, outcome.findings(false).len()), (2, 1), "{outcome:?}");
    let mut bytes = fs::read(dir.join("installable.rpm")).unwrap();
    bytes.push(0);
    fs::write(dir.join("longer.rpm"), bytes).unwrap();
    assert_eq!(check("longer.rpm").status, 2, "a file that contradicts its own digests is no package");
}

const RPM_CASES: &[Case] = &[
    case("program changed", "printf 'A program' >usr/bin/sample", &["modified /usr/bin/sample"], 1),
    case(
        "size and time kept",
        "touch -r usr/bin/sample t; printf 'a_program' >usr/bin/sample; touch -r t usr/bin/sample; rm t",
        &["modified /usr/bin/sample"],
        1,
    ),
    case("library appended to", "echo >>usr/lib/sample/libsample.so.1", &["modified /usr/lib/sample/libsample.so.1"], 1),
    case("kernel module cut", "truncate -s 3 lib/modules/sample.ko", &["modified /lib/modules/sample.ko"], 1),
    case("mode", "chmod 777 usr/bin/sample", &["mode /usr/bin/sample"], 1),
    case("setuid added", "chmod u+s usr/bin/sample", &["mode /usr/bin/sample"], 1),
    case("setuid removed", "chmod u-s usr/bin/suid", &["mode /usr/bin/suid"], 1),
    case("owner", "chown 2 usr/bin/sample", &["owner /usr/bin/sample"], 1),
    case("group", "chgrp 12 usr/bin/sample", &["owner /usr/bin/sample"], 1),
    case("capability removed", "setcap -r usr/bin/capable", &["capability /usr/bin/capable"], 1),
    case("capability added", "setcap cap_setuid=ep usr/bin/sample", &["capability /usr/bin/sample"], 1),
    case("link leads elsewhere", "ln -sfn suid usr/bin/link", &["modified /usr/bin/link"], 1),
    case("file for a link", "rm usr/bin/link; cp usr/bin/sample usr/bin/link", &["modified /usr/bin/link"], 1),
    case("link for a file", "mv usr/bin/sample usr/bin/x; ln -s x usr/bin/sample", &["modified /usr/bin/sample"], 1),
    case("directory for a file", "rm usr/bin/sample; mkdir usr/bin/sample", &["modified /usr/bin/sample"], 1),
    case("pipe for a file", "rm usr/bin/sample; mkfifo usr/bin/sample", &["modified /usr/bin/sample"], 1),
    case("program missing", "rm usr/bin/sample", &["missing /usr/bin/sample"], 1),
    case("odd name missing", "rm usr/lib/sample/a*b*", &["missing /usr/lib/sample/a b\\377"], 1),
    case("directory's mode", "chmod 755 srv/sample", &["mode /srv/sample"], 1),
    case("documentation changed", "echo x >>usr/share/doc/sample/README", &["modified /usr/share/doc/sample/README"], 1),
    case("documentation removed", "rm usr/share/doc/sample/README", &[], 0),
    case("translation changed", "echo x >>usr/share/locale/de/sample.mo", &["modified /usr/share/locale/de/sample.mo"], 1),
    case("translation removed", "rm usr/share/locale/de/sample.mo usr/lib/sample/de.txt", &[], 0),
    case("licence removed", "rm usr/lib/sample/LICENSE", &["missing /usr/lib/sample/LICENSE"], 1),
    case("configuration edited", "echo x >>etc/sample.conf", &[], 0),
    case("configuration kept, .rpmnew beside it", "echo x >>etc/sample.d/kept.conf; echo y >etc/sample.d/kept.conf.rpmnew", &[], 0),
    case("configuration removed", "rm etc/sample.d/kept.conf etc/sample.d/away.conf", &[], 0),
    case("executable configuration edited", "echo x >>etc/init.d/sample", &["modified /etc/init.d/sample"], 1),
    case("configuration outside /etc edited", "echo x >>usr/share/sample/settings", &["modified /usr/share/sample/settings"], 1),
    case("masked file edited", "echo x >>usr/lib/sample/cache", &[], 0),
    case("masked file setuid", "chmod u+s usr/lib/sample/cache", &["mode /usr/lib/sample/cache"], 1),
    case("ghosts filled", "mkdir -p var/log/sample run/sample; echo x >var/log/sample/log; echo x >run/sample/state", &[], 0),
    case(
        "ghost setuid",
        "mkdir -p var/log/sample; echo x >var/log/sample/log; chmod 4755 var/log/sample/log",
        &["mode /var/log/sample/log"],
        1,
    ),
    case("hard link broken, content kept", "cp -p usr/lib/sample/two t; mv t usr/lib/sample/two", &[], 0),
    case("hard link to another file", "ln -f usr/bin/suid usr/lib/sample/two", &["modified /usr/lib/sample/two"], 1),
    case("digest in the database changed", FORGE, &["unattested installable 1.0~rc1-2.fc40 x86_64"], 2),
    case(
        "database emptied",
        "python3 -c \"import sqlite3; c = sqlite3.connect('var/lib/rpm/rpmdb.sqlite'); c.execute('delete from Packages'); c.commit()\"",
        &[],
        16,
    ),
    case("database cut", "truncate -s 5000 var/lib/rpm/rpmdb.sqlite", &[], 16),
    case("second database planted", "mkdir -p usr/lib/sysimage/rpm; cp var/lib/rpm/rpmdb.sqlite usr/lib/sysimage/rpm", &[], 16),
];

/// A changed program, and its digest in the database changed with it: rpm itself calls it clean.
const FORGE: &str = r#"
python3 - <<'PYTHON'
import hashlib, sqlite3
old, new = (hashlib.sha256(text).hexdigest().encode() for text in (b"a program", b"A program"))
database = sqlite3.connect("var/lib/rpm/rpmdb.sqlite")
for number, blob in database.execute("select hnum, blob from Packages").fetchall():
    database.execute("update Packages set blob = ? where hnum = ?", (blob.replace(old, new), number))
database.commit()
PYTHON
printf 'A program' >usr/bin/sample
"#;

fn pacman(dir: &Path, package: &str) {
    fs::write(
        dir.join("pacman.conf"),
        format!("[options]\nArchitecture = x86_64\nSigLevel = Never\nLocalFileSigLevel = Never\n{NO_EXTRACT}"),
    )
    .unwrap();
    sh(dir, "mkdir -p root/var/lib/pacman cache; cp pacman.conf root/etc/pacman.conf");
    let options = "--root $PWD/root --dbpath $PWD/root/var/lib/pacman --config pacman.conf --cachedir cache --logfile /dev/null --hookdir $PWD/cache --gpgdir cache";
    sh(
        dir,
        &format!(
            "LC_ALL=C timeout 60 pacman {options} --noconfirm --noscriptlet -U {package} >pacman.out 2>&1 || {{ cat pacman.out; exit 1; }}"
        ),
    );
}

const NO_EXTRACT: &str = "NoExtract = usr/lib/sample/empty usr/bin/left-*\n";

#[test]
fn a_pacman_root() {
    let dir = built("build-pacman.sh");
    pacman(dir.path(), "sample.pkg.tar.zst");
    let package = package::alpm::read(File::open(dir.path().join("sample.pkg.tar.zst")).unwrap(), &Limits::default()).unwrap();
    let identity = &package.identity;
    let purl = Purl::alpm("example", &identity.name, &identity.version, &identity.architecture).unwrap();
    let mut world = world();
    for builder in ["builder-1", "builder-2"] {
        world.claim(builder, &purl, &package.manifest);
    }
    world.fill_cache(world.head());
    let root = dir.path().join("root");
    let outcome = world.verify(&root);
    assert_eq!((outcome.status, outcome.findings(true)), (0, vec!["not-installed /usr/lib/sample/empty".to_owned()]), "{outcome:?}");
    try_all(&world, &root, PACMAN_CASES);
}

const PACMAN_CASES: &[Case] = &[
    case("program changed", "printf 'A program' >usr/bin/sample", &["modified /usr/bin/sample"], 1),
    case(
        "size and time kept",
        "touch -r usr/bin/sample t; printf 'a_program' >usr/bin/sample; touch -r t usr/bin/sample; rm t",
        &["modified /usr/bin/sample"],
        1,
    ),
    case("appended to", "echo >>usr/lib/sample/one", &["modified /usr/lib/sample/one", "modified /usr/lib/sample/two"], 1),
    case("cut", "truncate -s 5 usr/lib/sample/zeros", &["modified /usr/lib/sample/zeros"], 1),
    case("mode", "chmod 777 usr/bin/sample", &["mode /usr/bin/sample"], 1),
    case("setuid added", "chmod u+s usr/bin/sample", &["mode /usr/bin/sample"], 1),
    case("setuid removed", "chmod u-s usr/bin/suid", &["mode /usr/bin/suid"], 1),
    case("owner", "chown 2 usr/bin/sample", &["owner /usr/bin/sample"], 1),
    case("owner of a directory", "chown 0 srv/sample; chmod 2750 srv/sample", &["owner /srv/sample"], 1),
    case("capability removed", "setcap -r usr/bin/capable", &["capability /usr/bin/capable"], 1),
    case("capability added", "setcap cap_setuid=ep usr/bin/sample", &["capability /usr/bin/sample"], 1),
    case("link leads elsewhere", "ln -sfn suid usr/bin/link", &["modified /usr/bin/link"], 1),
    case("link for a file", "mv usr/bin/sample usr/bin/x; ln -s x usr/bin/sample", &["modified /usr/bin/sample"], 1),
    case("directory for a file", "rm usr/bin/sample; mkdir usr/bin/sample", &["modified /usr/bin/sample"], 1),
    case(
        "socket for a file",
        "rm usr/bin/sample; python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('usr/bin/sample')\"",
        &["modified /usr/bin/sample"],
        1,
    ),
    case("program missing", "rm usr/bin/sample", &["missing /usr/bin/sample"], 1),
    case("odd name missing", "rm usr/lib/sample/a*b*", &["missing /usr/lib/sample/a b\\377"], 1),
    case("documentation changed", "echo x >>usr/share/doc/sample/README", &["modified /usr/share/doc/sample/README"], 1),
    case("documentation removed", "rm usr/share/doc/sample/README", &[], 0),
    case("backup file edited, .pacnew beside it", "echo x >>etc/sample.conf; echo y >etc/sample.conf.pacnew", &[], 0),
    case("backup file removed", "rm etc/sample.conf", &[], 0),
    case("file of /etc without backup edited", "echo x >>etc/other.conf", &["modified /etc/other.conf"], 1),
    case(
        "NoExtract over a program",
        "sed -i 's|^NoExtract =|& usr/bin/sample|' etc/pacman.conf; rm usr/bin/sample",
        &["missing /usr/bin/sample"],
        1,
    ),
    case("NoExtract file put there after all", "echo x >usr/lib/sample/empty", &["modified /usr/lib/sample/empty"], 1),
    case(
        "version rolled back in the database",
        "cd var/lib/pacman/local; mv sample-* sample-1:0.9-1; sed -i 's/^1:1.0rc1-2$/1:0.9-1/' */desc",
        &["unattested sample 1:0.9-1 x86_64"],
        2,
    ),
    case("database's directory renamed alone", "cd var/lib/pacman/local; mv sample-* sample-1:0.9-1", &[], 16),
    case("database emptied", "rm -r var/lib/pacman/local/sample-*", &[], 16),
    case("pacman at work", "touch var/lib/pacman/db.lck", &[], 12),
];

/// What apk would have made of a package, by hand: there is no apk where this runs.
const ALPINE: &str = r"
cd root
bsdtar --numeric-owner -xpf ../good.apk; rm -f .PKGINFO .SIGN* .post-install .trigger
printf 'games:x:35:35::/:/bin/sh\n' >>etc/passwd
mkdir -p lib/apk/db; echo 3.20.3 >etc/alpine-release
printf '%s\n' C:Q1x= P:sample V:1.0-r2 A:x86_64 F:etc R:sample.conf F:etc/apk R:keep F:etc/init.d R:sample a:0:0:755 F:usr F:usr/bin R:hard R:link R:sample \
    F:usr/share F:usr/share/man F:usr/share/man/man1 R:sample.1.gz F:var F:var/sample M:35:12:2750 '' >lib/apk/db/installed
";

#[test]
fn an_apk_root() {
    let dir = built("build-apk.py");
    sh(dir.path(), ALPINE);
    let package = package::apk::read(File::open(dir.path().join("good.apk")).unwrap(), &Limits::default()).unwrap();
    let identity = &package.identity;
    let purl = |branch: &str| Purl::apk("example", &identity.name, &identity.version, &identity.architecture, Some(branch)).unwrap();
    let root = dir.path().join("root");
    let mut world = world();
    // The same version of another branch is another package.
    world.claim("builder-1", &purl("v3.19"), &package.manifest);
    world.claim("builder-2", &purl("v3.19"), &package.manifest);
    world.fill_cache(world.head());
    let outcome = world.verify(&root);
    assert_eq!((outcome.status, outcome.findings(false)), (2, vec!["unattested sample 1.0-r2 x86_64".to_owned()]), "{outcome:?}");
    for builder in ["builder-1", "builder-2"] {
        world.claim(builder, &purl("v3.20"), &package.manifest);
    }
    world.fill_cache(world.head());
    let outcome = world.verify(&root);
    assert_eq!((outcome.status, outcome.findings(true)), (0, Vec::new()), "{outcome:?}");
    try_all(&world, &root, APK_CASES);
    let list = world.path("expected");
    for (text, status, found) in [("1.0_rc1-r5", 0, Vec::new()), ("1.0_p1-r0", 1, vec!["rolled-back sample 1.0_p1-r0".to_owned()])] {
        fs::write(&list, format!("sample {text}\n")).unwrap();
        let arguments = ["verify", "--all", "--json", "--root", root.to_str().unwrap(), "--expect", list.to_str().unwrap()];
        let outcome = world.tally(&arguments);
        assert_eq!((outcome.status, outcome.findings(false)), (status, found), "{outcome:?}");
    }
}

const APK_CASES: &[Case] = &[
    case("program changed", "printf 'A program' >usr/bin/sample", &["modified /usr/bin/hard", "modified /usr/bin/sample"], 1),
    case(
        "size and time kept",
        "touch -r etc/apk/keep t; printf y >etc/apk/keep; touch -r t etc/apk/keep; rm t",
        &["modified /etc/apk/keep"],
        1,
    ),
    case("appended to", "echo >>etc/init.d/sample", &["modified /etc/init.d/sample"], 1),
    case("cut", "truncate -s 3 usr/share/man/man1/sample.1.gz", &["modified /usr/share/man/man1/sample.1.gz"], 1),
    case("mode", "chmod 777 etc/init.d/sample", &["mode /etc/init.d/sample"], 1),
    case("setuid added", "chmod u+s etc/init.d/sample", &["mode /etc/init.d/sample"], 1),
    case("owner of a directory", "chown 0 var/sample; chmod 2750 var/sample", &["owner /var/sample"], 1),
    case("group of a directory", "chgrp 0 var/sample; chmod 2750 var/sample", &["owner /var/sample"], 1),
    case("capability added", "setcap cap_setuid=ep etc/init.d/sample", &["capability /etc/init.d/sample"], 1),
    case("link leads elsewhere", "ln -sfn sample usr/bin/link", &["modified /usr/bin/link"], 1),
    case("directory for a file", "rm etc/init.d/sample; mkdir etc/init.d/sample", &["modified /etc/init.d/sample"], 1),
    case("pipe for a file", "rm etc/init.d/sample; mkfifo etc/init.d/sample", &["modified /etc/init.d/sample"], 1),
    case("program missing", "rm usr/bin/link", &["missing /usr/bin/link"], 1),
    case("documentation removed", "rm usr/share/man/man1/sample.1.gz", &[], 0),
    case("configuration edited, .apk-new beside it", "echo x >>etc/sample.conf; echo y >etc/sample.conf.apk-new", &[], 0),
    case("configuration of apk edited", "echo x >>etc/apk/keep", &["modified /etc/apk/keep"], 1),
    case("hard link broken, content kept", "cp -p usr/bin/hard t; mv t usr/bin/hard", &[], 0),
    case("version rolled back in the database", "sed -i 's/^V:.*/V:0.9-r0/' lib/apk/db/installed", &["unattested sample 0.9-r0 x86_64"], 2),
    case("another release said", "echo 3.21.0 >etc/alpine-release", &["unattested sample 1.0-r2 x86_64"], 2),
    case(
        "a file taken out of the list",
        "sed -i '/^R:sample$/d' lib/apk/db/installed; echo >>etc/init.d/sample",
        &["modified /etc/init.d/sample"],
        1,
    ),
    case("database emptied", ": >lib/apk/db/installed", &[], 16),
    case("database cut", "truncate -s -3 lib/apk/db/installed", &[], 16),
    case("database that leads elsewhere", "echo F:../x >>lib/apk/db/installed", &[], 16),
];

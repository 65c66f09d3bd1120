//! Roots of other package managers than dpkg, with packages that the real rpm and pacman installed, and one laid out as apk does: no false
//! alarm, and each manipulation gets its verdict. Needs root, rpmbuild, rpm, pacman, bsdtar, setcap and python3.

#[path = "foreign/cases.rs"]
mod cases;
mod world;

use std::fs::{self, File};
use std::path::Path;

use attest::Purl;
use cases::{APK_CASES, PACMAN_CASES, RPM_CASES, SQLITE_CASES, rpm, try_all};
use package::deb::Limits;
use package::rpm::RpmPackage;
use world::World;
use world::packages::sh;

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

fn install(dir: &Path, options: &str, packages: &str) {
    let rpm = "timeout 60 rpm --root $PWD/root --dbpath /var/lib/rpm --nodeps --noscripts --ignorearch";
    sh(dir, &format!("{rpm} {options} -i {packages} 2>rpm.out || {{ cat rpm.out; exit 1; }}"));
}

/// A root on which rpm installed packages that two builders attest.
fn rpm_root() -> (tempfile::TempDir, World) {
    let dir = built("build-rpm.sh");
    install(dir.path(), "", "installable.rpm empty.rpm");
    let mut world = cases::world();
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
    try_all(&world, &root, SQLITE_CASES);
    masks_and_ghosts_are_told(&world, &root);
    ghosts_own_nothing(&world, &root);
    expected_packages(&world, &root);
}

/// What a package calls a ghost was put there by others, and vouches for nothing that leads to it.
fn ghosts_own_nothing(world: &World, base: &Path) {
    let copy = tempfile::tempdir().unwrap();
    sh(base, &format!("cp -a . {}", copy.path().display()));
    sh(copy.path(), "mkdir -p var/log/sample; printf '#!/bin/sh\\n' >var/log/sample/log; chmod 755 var/log/sample/log");
    sh(copy.path(), "ln -s /var/log/sample/log usr/bin/evil; cp -p var/log/sample/log usr/lib/sample/ghost-link");
    let outcome = world.tally(&["verify", "--all", "--unowned", "--json", "--root", copy.path().to_str().unwrap()]);
    let found = outcome.findings(false);
    assert_eq!((outcome.status, found), (2, vec!["unowned /usr/bin/evil".to_owned(), "unowned /usr/lib/sample/ghost-link".to_owned()]));
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
    let mut world = cases::world();
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
    let mut world = cases::world();
    world.claim_rpm("builder-1", &purl, &again);
    world.claim_rpm("builder-2", &purl, &again);
    world.fill_cache(world.head());
    let outcome = world.verify(&dir.path().join("root"));
    assert_eq!((outcome.status, outcome.findings(true)), (0, vec!["explained /lib".to_owned()]), "{outcome:?}");
    the_file_itself(&world, dir.path());
    // Claims about another package of this name do not count, however many there are.
    let mut world = cases::world();
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
    let mut world = cases::world();
    for builder in ["builder-1", "builder-2"] {
        world.claim(builder, &purl, &package.manifest);
    }
    world.fill_cache(world.head());
    let root = dir.path().join("root");
    let outcome = world.verify(&root);
    assert_eq!((outcome.status, outcome.findings(true)), (0, vec!["not-installed /usr/lib/sample/empty".to_owned()]), "{outcome:?}");
    try_all(&world, &root, PACMAN_CASES);
}

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
    let mut world = cases::world();
    // The same version of another branch is another package.
    world.claim_apk("builder-1", &purl("v3.19"), &package);
    world.claim_apk("builder-2", &purl("v3.19"), &package);
    world.fill_cache(world.head());
    let outcome = world.verify(&root);
    assert_eq!((outcome.status, outcome.findings(false)), (2, vec!["unattested sample 1.0-r2 x86_64".to_owned()]), "{outcome:?}");
    for builder in ["builder-1", "builder-2"] {
        world.claim_apk(builder, &purl("v3.20"), &package);
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

//! `tally check` over packages of rpm, pacman and apk. Needs rpmbuild, bsdtar, zstd and python3.

mod world;

use std::fs;
use std::path::{Path, PathBuf};

use attest::predicate::{Action, PackageFiles};
use attest::roles::{RoleKey, Vendor};
use attest::{Manifest, Predicate, Purl, Statement};
use tally::archive::Archive;
use tlog::{KeyKind, Signer as _};
use world::packages::sh;
use world::{Outcome, World, key};

/// A world whose builders may speak about two more distributions.
fn world() -> World {
    World::with_roles(|roles| {
        let vendor = |kind: &str, namespace: &str| Vendor { kind: kind.into(), namespace: namespace.into(), origin: namespace.into() };
        roles.vendors = vec![vendor("alpm", "arch"), vendor("apk", "alpine"), Vendor::debian(), vendor("rpm", "fedora")];
        for builder in &mut roles.builders {
            let name = builder.key.name().as_str().to_owned();
            let scopes = ["pkg:alpm/arch/*", "pkg:apk/alpine/*", "pkg:deb/debian/*", "pkg:rpm/fedora/*"];
            *builder = RoleKey::active(key(&name, KeyKind::Ed25519).key().clone(), &scopes).unwrap();
        }
    })
}

fn built(world: &World, script: &str) -> PathBuf {
    let directory = world.path("packages");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/packages").join(script);
    sh(world.dir.path(), &format!("{} {}", script.display(), directory.display()));
    directory
}

/// Both builders say what the file holds; rpm packages are named by the digests of header and payload, too.
fn attest(world: &mut World, file: &Path, purl: &str) -> (Purl, Manifest) {
    let archive = Archive::read(file).unwrap();
    let purl = Purl::parse(purl).unwrap();
    let mut statement =
        Statement::about_package(&purl, archive.sha256, Predicate::PackageFiles(PackageFiles::of(archive.manifest.as_ref().unwrap())));
    if purl.kind() == "rpm" {
        let package = package::rpm::read(fs::File::open(file).unwrap(), &package::deb::Limits::default()).unwrap();
        statement.subject.digest.rpm_header = Some(package.header);
        statement.subject.digest.rpm_payload = Some(package.payload);
    }
    statement.subject.digest.apk_control = archive.content.filter(|_| purl.kind() == "apk");
    for builder in ["builder-1", "builder-2"] {
        world.say(builder, &statement);
    }
    (purl, archive.manifest.unwrap())
}

fn check(world: &World, file: &Path) -> Outcome {
    world.fill_cache(world.head());
    world.tally(&["check", "--offline", "--json", file.to_str().unwrap()])
}

fn tried(script: &str, purl: &str, good: &str, other: &str, broken: &str, general: &str) {
    let mut world = world();
    let packages = built(&world, script);
    let [good, other, broken] = [good, other, broken].map(|name| packages.join(name));
    assert_eq!(check(&world, &good).findings(false).len(), 1, "unattested");
    attest(&mut world, &good, purl);
    let clean = check(&world, &good);
    assert_eq!((clean.status, clean.findings(false)), (0, Vec::new()), "{clean:?}");
    let same_name = check(&world, &other);
    assert_eq!(same_name.status, 2, "{same_name:?}");
    assert!(same_name.stdout.contains("another package file of this name, version and architecture is attested"), "{same_name:?}");
    let refused = check(&world, &broken);
    assert!(refused.status == 2 && refused.findings(false)[0].starts_with("unreadable "), "{refused:?}");
    world.advise(Action::Warn, general);
    let warned = check(&world, &good);
    assert_eq!(warned.status, 4, "{warned:?}");
}

#[test]
fn rpm_packages() {
    let purl = "pkg:rpm/fedora/sample@1.0~rc1-2.fc40?arch=x86_64&epoch=3";
    tried("build-rpm.sh", purl, "sample-zstd.rpm", "sample-gzip.rpm", "source.rpm", "pkg:rpm/fedora/sample");
}

#[test]
fn pacman_packages() {
    let purl = "pkg:alpm/arch/sample@1:1.0rc1-2?arch=x86_64";
    tried("build-pacman.sh", purl, "sample.pkg.tar.zst", "sample.pkg.tar.xz", "lies-content.pkg.tar.zst", "pkg:alpm/arch/sample");
}

/// Where this runs no branch is known, since it is no Alpine.
#[test]
fn apk_packages() {
    tried("build-apk.py", "pkg:apk/alpine/sample@1.0-r2?arch=x86_64", "good.apk", "empty.apk", "other-data.apk", "pkg:apk/alpine/sample");
}

#[test]
fn an_apk_package_that_was_signed_again() {
    let mut world = world();
    let packages = built(&world, "build-apk.py");
    attest(&mut world, &packages.join("good.apk"), "pkg:apk/alpine/sample@1.0-r2?arch=x86_64");
    for other in ["signed-again.apk", "unsigned.apk"] {
        let outcome = check(&world, &packages.join(other));
        assert_eq!((outcome.status, outcome.findings(false)), (0, Vec::new()), "{other}: {outcome:?}");
    }
}

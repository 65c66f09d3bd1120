//! The whole line over a whole system, nothing but the real programs: two builders attest every package of a bootstrapped Debian root, a user
//! judges the root. Needs root, Podman, mmdebstrap, dpkg-deb, gpg, minisign and this machine's own apt sources; takes minutes: `make acceptance`.

#[path = "../../builder/tests/support/repository.rs"]
#[allow(dead_code, reason = "the builder's tests use all of it")]
mod repository;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use attest::manifest::{Class, Node};
use attest::{Envelope, Manifest, Statement};
use client::block_on;
use e2e::{Builder, User, World};
use repository::Repository;
use serde_json::Value;

/// What must be among the root's packages: manual pages, a foreign library, a diversion, a statoverride, a file capability.
const INCLUDE: &str = "man-db,zlib1g:i386,dash,dbus,iputils-ping";
/// How many packages are also installed, each in a container of its own.
const CONTAINERED: usize = 50;
/// These among them: scripts of dbus and iputils-ping change what the packages ship, and only an observation explains that.
const FIRST: [&str; 5] = ["dbus:", "iputils-ping:", "dash:", "man-db:", ":i386="];
const FLIPS: usize = 20;
/// Attested from two different files under one name and version.
const DISPUTED: &str = "hostname";

/// Runs a tool that must succeed.
fn tool(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    output.stdout
}

fn text(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn sh(dir: &Path, script: &str) -> String {
    String::from_utf8(tool(Command::new("bash").arg("-euc").arg(script).current_dir(dir))).unwrap()
}

#[test]
#[ignore = "attests more than a hundred packages twice: run `make acceptance`"]
fn every_package_of_a_root_is_attested_and_every_flipped_byte_is_found() {
    let world = World::start();
    let started = Instant::now();
    let tell = |what: &str| println!("[{:4} s] {what}", started.elapsed().as_secs());
    let packages = bootstrap(&world);
    assert!(packages.len() > 100 && packages.iter().any(|package| package.contains(":i386=")), "{packages:?}");
    tell(&format!("a root of {} packages, with {INCLUDE} among them", packages.len()));

    let builders = builders(&world);
    let (disputed, rest): (Vec<_>, Vec<_>) = packages.iter().cloned().partition(|package| package.starts_with(&format!("{DISPUTED}:")));
    attest_all(&builders, &rest, &tell);
    compare_claims(&world, &rest, &tell);

    let user = User::new(&world, "1h");
    let [[observer, first], [_, second]] = &builders;
    attest(first, &disputed);
    alter_for_one(&world, &user, second, &disputed[0], &tell);
    attest(second, &disputed);
    tell("the second builder attests the genuine file too");

    expect(&user, 0, &["sync", "--full", "--root", world.at("root").to_str().unwrap()]);
    let report = verify(&user, &world, 0);
    assert_eq!(report["packages"]["judged"], packages.len());
    let (judged, files) = (&report["packages"]["judged"], &report["files"]);
    tell(&format!("tally verify --root: exit 0, {judged} packages, files: {files}, findings: {}", report["counts"]));
    flip_and_find(&user, &world, observer.home());
    tell(&format!("{FLIPS} of {FLIPS} flipped bytes found, and nothing else"));
}

/// Makes the root and lists its packages as builders are asked for them.
fn bootstrap(world: &World) -> Vec<String> {
    let script = format!(
        r#"
mmdebstrap --quiet --variant=minbase --architectures=amd64,i386 --include={INCLUDE} \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  {suite} root "deb {mirror} {suite} main"
dpkg-query --admindir=root/var/lib/dpkg -W -f '${{Package}}:${{Architecture}}=${{Version}}\n' | sed 's/:all=/=/'
"#,
        suite = suite(),
        mirror = mirror()
    );
    let listed = sh(world.dir.path(), &script);
    listed.lines().map(str::to_owned).collect()
}

/// Two builders that share nothing: keys, image, downloads, host name and clock are each one's own. Each comes twice, to
/// observe what it attests and to claim alone.
fn builders(world: &World) -> [[Builder; 2]; 2] {
    let common = format!("keyring = \"/usr/share/keyrings/debian-archive-keyring.gpg\"\nsuite = \"{}\"\nobserve_runs = 1\n", suite());
    let common = format!("{common}bootstrap.mirror = \"{}\"\n", mirror());
    let other = "[container]\nhostname = \"other\"\nfaketime = \"+400d\"\n";
    let both = |n: usize, more: &str| {
        let builder = |name: &str, observe: bool| {
            Builder::new(world, &format!("builder-{n}"), &format!("{name}-{n}"), &format!("observe = {observe}\n{common}{more}"))
        };
        [builder("observer", true), builder("claimer", false)]
    };
    [both(1, ""), both(2, other)]
}

fn suite() -> String {
    sh(Path::new("/"), ". /etc/os-release; printf %s $VERSION_CODENAME")
}

/// Where this machine's apt finds its own release.
fn mirror() -> String {
    let script = "apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Codename: '\"$1\" | head -n 1";
    let found = String::from_utf8(tool(Command::new("bash").args(["-euc", script, "-", &suite()]))).unwrap().trim().to_owned();
    assert!(!found.is_empty(), "this machine has no apt source for its release");
    found
}

/// The first packages are installed and observed, the others only claimed: what is compared is the same.
fn attest_all(builders: &[[Builder; 2]; 2], packages: &[String], tell: &dyn Fn(&str)) {
    let is_needed = |package: &String| FIRST.iter().any(|part| package.contains(part));
    let mut packages = packages.to_vec();
    packages.sort_by_key(|package| !is_needed(package));
    let (containered, claimed) = packages.split_at(CONTAINERED);
    assert!(claimed.iter().all(|package| !is_needed(package)));
    for (n, [observer, claimer]) in (1..).zip(builders) {
        attest(observer, containered);
        tell(&format!("builder {n} downloaded, claimed, installed and observed {} packages", containered.len()));
        attest(claimer, claimed);
        tell(&format!("builder {n} downloaded and claimed {} more", claimed.len()));
    }
}

fn attest(builder: &Builder, packages: &[String]) {
    let output = builder.attest(packages);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

/// What the log holds, by package URL, kind and builder.
type Logged = BTreeMap<(String, &'static str), BTreeMap<String, Vec<u8>>>;

fn logged(world: &World) -> Logged {
    let queries = ["package-files", "package-origin", "install-observation"].map(|kind| format!("type:{kind}/v1"));
    let mut logged = Logged::new();
    for found in block_on(world.client().lookup(&queries)).unwrap().unwrap().found {
        let envelope = Envelope::parse(&found.leaf).unwrap();
        envelope.verify().unwrap();
        let statement = Statement::parse(envelope.payload()).unwrap();
        let by = envelope.key().name().as_str().to_owned();
        let said = logged.entry((statement.subject.name.clone(), statement.kind().short_name())).or_default();
        assert_eq!(said.insert(by, envelope.payload().to_vec()), None, "twice in the log: {}", statement.subject.name);
    }
    logged
}

/// Both builders said the same bytes about every package, in statements that were logged.
fn compare_claims(world: &World, packages: &[String], tell: &dyn Fn(&str)) {
    let logged = logged(world);
    // Agreeing statements, and all.
    let same = |kind: &str| {
        let of_kind: Vec<_> = logged.iter().filter(|((_, found), _)| *found == kind).collect();
        let agree = of_kind.iter().filter(|(_, by)| by.len() == 2 && by.values().collect::<BTreeSet<_>>().len() == 1).count();
        (agree, of_kind.len())
    };
    assert_eq!(same("package-files/v1"), (packages.len(), packages.len()), "claims differ");
    let origins = same("package-origin/v1");
    assert_eq!(same("install-observation/v1").1, CONTAINERED);
    let count = packages.len();
    tell(&format!(
        "the claims about {count} packages are byte-identical, {CONTAINERED} of them installed; so are {} of {} origins",
        origins.0, origins.1
    ));
}

/// The second builder's operator trusts one more repository, whose signed index names a package of the same name and version with one
/// byte changed: every signature holds, and the builder attests what it was given.
fn alter_for_one(world: &World, user: &User, deceived: &Builder, package: &str, tell: &dyn Fn(&str)) {
    let (genuine, altered) = alter(world, package);
    let mut repository = Repository::new(&world.at("elsewhere"));
    let file = repository.dir.join("pool").join(altered.file_name().unwrap());
    fs::copy(&altered, &file).unwrap();
    repository.list(&file, DISPUTED, package.split('=').nth(1).unwrap());
    repository.publish(&repository.release("").replace("Origin: Tests", "Origin: Debian"), "archive", &[]);
    fs::write(world.at("elsewhere.list"), repository.source_line("")).unwrap();
    sh(world.dir.path(), "cp -a builder-2 elsewhere/home");
    let config = format!(
        "suite = \"test\"\nsources = \"elsewhere.list\"\nkeyring = \"{}\"\nobserve = false\nimage = \"{}\"\n",
        repository.keyring(&["archive"]).display(),
        deceived.image()
    );
    attest(&Builder::new(world, "elsewhere/home", "deceived", &config), &[DISPUTED.to_owned()]);
    let root = world.at("root");
    expect(user, 0, &["sync", "--full", "--root", root.to_str().unwrap()]);
    let said = expect(user, 2, &["verify", "--offline", "--root", root.to_str().unwrap(), "--verbose", DISPUTED]);
    println!("{said}");
    for file in [&genuine, &altered] {
        expect(user, 2, &["check", file.to_str().unwrap()]);
        let digest = String::from_utf8(tool(Command::new("sha256sum").arg(file))).unwrap();
        assert!(said.contains(&digest[..12]), "{said}");
    }
    assert!(said.contains("builder-1.example") && said.contains("builder-2.example"), "{said}");
    tell("a package altered for one builder: too few agree on either file (exit 2), both claims shown");
}

/// The package file as this machine's apt downloads it, and the same with one byte of its program changed.
fn alter(world: &World, package: &str) -> (PathBuf, PathBuf) {
    let script = format!(
        "mkdir genuine altered; (cd genuine; apt-get -qq -o APT::Sandbox::User=root download {package})
        dpkg-deb -R genuine/*.deb altered/tree
        printf '\\xff' | dd of=altered/tree/bin/hostname bs=1 seek=1000 conv=notrunc status=none
        dpkg-deb --root-owner-group -b altered/tree altered/$(basename genuine/*.deb) >/dev/null; echo genuine/*.deb altered/*.deb"
    );
    let files = sh(world.dir.path(), &script);
    let mut files = files.split_whitespace().map(|file| world.at(file));
    (files.next().unwrap(), files.next().unwrap())
}

#[track_caller]
fn expect(user: &User, status: i32, arguments: &[&str]) -> String {
    let output = user.tally(arguments);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Judges the whole root without a network.
fn verify(user: &User, world: &World, status: i32) -> Value {
    let root = world.at("root");
    let report = expect(user, status, &["verify", "--offline", "--all", "--json", "--root", root.to_str().unwrap()]);
    serde_json::from_str(&report).unwrap()
}

/// Flips one byte in each of some files chosen by chance: exactly these are found.
fn flip_and_find(user: &User, world: &World, home: &Path) {
    let mut files = fixed_files(home, &world.at("root"));
    let chance = RandomState::new();
    files.sort_by_key(|path| chance.hash_one(path));
    let chosen: BTreeSet<String> = files.into_iter().take(FLIPS).collect();
    assert_eq!(chosen.len(), FLIPS);
    for path in &chosen {
        let file = world.at("root").join(path);
        let metadata = fs::metadata(&file).unwrap();
        let handle = fs::File::options().read(true).write(true).open(&file).unwrap();
        let (mut byte, at) = ([0], chance.hash_one((path, "at")) % metadata.len());
        handle.read_exact_at(&mut byte, at).unwrap();
        handle.write_all_at(&[byte[0] ^ (1 << (at % 8))], at).unwrap();
        handle.set_modified(metadata.modified().unwrap()).unwrap();
        println!("    byte {at} of {} in /{path}", metadata.len());
    }
    let report = verify(user, world, 1);
    let findings = report["findings"].as_array().unwrap().iter().filter(|finding| finding["exit"] != 0);
    let found: Vec<_> = findings.map(|finding| (finding["finding"].as_str().unwrap(), finding["path"].as_str().unwrap())).collect();
    let expected: Vec<_> = chosen.iter().map(|path| format!("/{path}")).collect();
    let mut paths: Vec<_> = found.iter().map(|(_, path)| *path).collect();
    paths.sort_unstable();
    assert_eq!(paths, expected);
    assert!(found.iter().all(|(finding, _)| *finding == "modified"), "{found:?}");
}

/// Files tagged `fixed` of all manifests that stand in the root under their own name and under no other.
fn fixed_files(home: &Path, root: &Path) -> Vec<String> {
    let mut paths = BTreeSet::new();
    for entry in fs::read_dir(home.join("manifests")).unwrap().flatten() {
        let Ok(manifest) = Manifest::parse(&fs::read(entry.path()).unwrap()) else { continue };
        let fixed =
            manifest.entries().iter().filter(|entry| entry.class == Class::Fixed && matches!(entry.node, Node::File { size: 1.., .. }));
        paths.extend(fixed.filter_map(|entry| String::from_utf8(entry.path.clone()).ok()));
    }
    let stands = |path: &String| fs::symlink_metadata(root.join(path)).is_ok_and(|found| found.is_file() && found.nlink() == 1);
    paths.into_iter().filter(stands).collect()
}

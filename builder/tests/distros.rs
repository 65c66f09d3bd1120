//! dnf, zypper and pacman as they are in two generations of Debian, with repositories made by their own tools. Needs root, Podman and mmdebstrap.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use attest::Statement;
use attest::predicate::{Change, Observed, Predicate};
use package::deb::Limits;
use package::{alpm, rpm};
use support::containers::{Builder, alone, containers_of};
use support::log::Log;
use support::repository::Repository;
use support::service::{Running, logged, metric, wait_for};

/// Suites with the package managers in them.
const SID: [&str; 2] =
    ["sid", "zypper,dnf,dnf5,python3-libdnf5-python-plugins-loader,pacman-package-manager,makepkg,createrepo-c,rpm,zstd,libarchive-tools"];
const BOOKWORM: [&str; 2] = ["bookworm", "zypper,dnf,pacman-package-manager,makepkg,createrepo-c,rpm,zstd,libarchive-tools"];

/// A repository that is served, the keys that sign it, and an image whose tools make it.
struct Yard {
    dir: tempfile::TempDir,
    keys: Repository,
    image: String,
    server: Child,
    url: String,
}

impl Yard {
    fn new([suite, packages]: [&str; 2]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let root = String::from_utf8(support::tool(Command::new(workspace.join(".ci/root")).args([suite, packages]))).unwrap();
        let import = format!(
            "tar -C {} --exclude=./var/lib/apt/lists --numeric-owner -c . | podman import --quiet - localhost/tally-{suite}",
            root.trim()
        );
        support::tool(Command::new("sh").args(["-c", &import]));
        let served = dir.path().join("served");
        fs::create_dir(&served).unwrap();
        let script = "import http.server, functools, sys\nh = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])\n\
                      s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), h)\nprint(s.server_port, flush=True)\ns.serve_forever()\n";
        let mut server =
            Command::new("python3").args(["-c", script]).arg(&served).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let keys = Repository::new(dir.path());
        Self { dir, keys, image: format!("localhost/tally-{suite}"), server, url: format!("http://127.0.0.1:{}", port.trim()) }
    }

    fn served(&self) -> PathBuf {
        self.dir.path().join("served")
    }

    /// Runs a script in a container of the image, with the served directory at `/srv`.
    fn make(&self, script: &str) {
        let volume = format!("{}:/srv:z", self.served().display());
        // The machine may allow less than Podman asks for.
        let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
        let mut podman = Command::new("podman");
        podman.args(["--runtime", "runc", "run", "--rm", "--network", "none"]).args(limits);
        support::tool(podman.args(["--volume", &volume, &self.image, "sh", "-euc", script]));
    }

    /// Two packages, one of which needs the other, and their index.
    fn rpm(&self) {
        self.rpm_of("1.0");
    }

    /// Another version of the one beside those that are there.
    fn rpm_of(&self, version: &str) {
        fs::write(self.served().join("plain.spec"), PLAIN_SPEC.replace("Version: 1.0", &format!("Version: {version}"))).unwrap();
        fs::write(self.served().join("needed.spec"), NEEDED_SPEC).unwrap();
        self.make(&format!(
            "cd /srv\nmkdir -p rpm\n{RPMBUILD} plain.spec\n[ -e rpm/needed-1-1.noarch.rpm ] || {RPMBUILD} needed.spec\nmv noarch/* rpm/\ncreaterepo_c -q rpm"
        ));
        self.keys.sign(&self.served().join("rpm/repodata/repomd.xml"), &self.served().join("rpm/repodata/repomd.xml.asc"), true);
    }

    fn pacman(&self) {
        self.pacman_of("1.0");
    }

    fn pacman_of(&self, version: &str) {
        fs::write(self.served().join("PKGBUILD"), PKGBUILD.replace("pkgver=1.0", &format!("pkgver={version}"))).unwrap();
        fs::write(self.served().join("plain.install"), "post_install() {\n  echo made >/usr/share/plain/made\n}\n").unwrap();
        self.make(
            "mkdir -p /srv/alpm /build && cp /srv/PKGBUILD /srv/plain.install /build && chown -R 65534:65534 /build && cd /build\n\
             PKGEXT=.pkg.tar.zst PKGDEST=/build setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/build makepkg --nodeps --nosign\n\
             cp *.pkg.tar.zst /srv/alpm && cd /srv/alpm && repo-add tests.db.tar.gz *.pkg.tar.zst",
        );
        self.keys.sign(&self.served().join("alpm/tests.db"), &self.served().join("alpm/tests.db.sig"), false);
    }

    fn builder(&self, manager: &str, path: &str) -> Builder {
        self.builder_with(manager, path, "", "")
    }

    /// With more members of the configuration before the sections, and sections.
    fn builder_with(&self, manager: &str, path: &str, more: &str, sections: &str) -> Builder {
        let text = format!(
            "keyring = \"{}\"\nmanager = \"{manager}\"\nimage = \"{}\"\nobserve_runs = 1\n{more}vendors = {{ tests = \"tests\" }}\n{sections}\
             [[repository]]\nname = \"tests\"\nurl = \"{}/{path}\"\n",
            self.keys.keyring(&["archive"]).display(),
            self.image,
            self.url
        );
        Builder::new(self.dir.path(), &format!("{manager}-{}", path.replace('/', "2")), &text)
    }

    fn file(&self, path: &str, start: &str) -> PathBuf {
        let is_it = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start))
                && path.extension().is_some_and(|end| end != "sig")
        };
        fs::read_dir(self.served().join(path)).unwrap().flatten().map(|entry| entry.path()).find(is_it).unwrap()
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = Command::new("podman").args(["rmi", "--force", &self.image]).output();
    }
}

const RPMBUILD: &str = "rpmbuild -bb --quiet --target noarch --define '_rpmformat 4' --define '_topdir /tmp/top' --define '_rpmdir /srv' --define '_build_id_links none' \
     --define '_binary_filedigest_algorithm 8' --define '_source_filedigest_algorithm 8' --define 'debug_package %{nil}'";
const PLAIN_SPEC: &str = "Name: plain\nEpoch: 2\nVersion: 1.0\nRelease: 3.t40\nSummary: t\nLicense: none\nBuildArch: noarch\nAutoReqProv: no\nRequires: needed\n\
%description\nt\n%install\nmkdir -p %{buildroot}/usr/share/plain %{buildroot}/usr/share/doc/plain\necho plain >%{buildroot}/usr/share/plain/file\n\
echo read >%{buildroot}/usr/share/doc/plain/README\n%post\necho made >/usr/share/plain/made\n%files\n/usr/share/plain\n%dir /usr/share/doc/plain\n%doc /usr/share/doc/plain/README\n";
const NEEDED_SPEC: &str = "Name: needed\nVersion: 1\nRelease: 1\nSummary: t\nLicense: none\nBuildArch: noarch\nAutoReqProv: no\nProvides: /bin/sh, glibc\n%description\nt\n\
%install\nmkdir -p %{buildroot}/usr/share/needed\necho needed >%{buildroot}/usr/share/needed/file\n%files\n/usr/share/needed\n";
const PKGBUILD: &str = "pkgname=plain\nepoch=2\npkgver=1.0\npkgrel=3\npkgdesc=t\narch=(any)\nlicense=(none)\noptions=(!strip)\ninstall=plain.install\n\
package() {\n  install -Dm644 /dev/stdin \"$pkgdir/usr/share/plain/file\" <<<plain\n  install -Dm644 /dev/stdin \"$pkgdir/usr/share/doc/plain/README\" <<<read\n}\n";

fn predicates(builder: &Builder, purl: &str) -> BTreeMap<&'static str, Statement> {
    let said = builder.said();
    assert_eq!(said.keys().map(|(_, name)| name.as_str()).collect::<std::collections::BTreeSet<_>>(), [purl].into());
    said.into_iter().map(|((kind, _), payload)| (kind, Statement::parse(&payload).unwrap())).collect()
}

/// The claim is the package's, the origin the repository's, and the observation what its script made and nothing else.
fn assert_said(builder: &Builder, purl: &str, manifest: &attest::Manifest, file: &Path, signed: &Path) {
    let said = predicates(builder, purl);
    let Predicate::PackageFiles(files) = &said["package-files/v1"].predicate else { panic!() };
    assert_eq!(
        (files.manifest, said["package-files/v1"].subject.digest.sha256),
        (manifest.root(), tlog::Hash::digest(&fs::read(file).unwrap()))
    );
    let Predicate::PackageOrigin(origin) = &said["package-origin/v1"].predicate else { panic!() };
    assert_eq!(
        (origin.origin.as_str(), origin.signers.len(), origin.in_release),
        ("tests", 1, tlog::Hash::digest(&fs::read(signed).unwrap()))
    );
    let Predicate::PackageSource(source) = &said["package-source/v1"].predicate else { panic!() };
    assert!(source.purl().is_some_and(|source| source.name() == "plain" && source.version().contains("1.0-3")), "{source:?}");
    let Predicate::InstallObservation(observation) = &said["install-observation/v1"].predicate else { panic!() };
    // Linker's cache: made by pacman, and never the same.
    let entries = observation.entries.iter().filter(|entry| !entry.path.starts_with("./var/cache/ldconfig"));
    let found: Vec<(&str, Change)> = entries.map(|Observed { path, change, .. }| (path.as_str(), *change)).collect();
    assert_eq!(found, [("./usr/share/plain/made", Change::Generated)], "{:?}", observation.entries);
    assert_eq!(containers_of(builder), "");
}

fn rpm_flow(yard: &Yard, manager: &str) {
    let builder = yard.builder(manager, "rpm");
    let output = builder.attest(&["plain", "absent"]);
    let text = support::text(&output);
    assert!(output.status.code() == Some(1) && text.contains("\"package\":\"absent\""), "{text}");
    let (file, repomd) = (yard.file("rpm", "plain-"), yard.served().join("rpm/repodata/repomd.xml"));
    let package = rpm::read(fs::File::open(&file).unwrap(), &Limits::default()).unwrap();
    assert_said(&builder, "pkg:rpm/tests/plain@1.0-3.t40?arch=noarch&epoch=2", &package.manifest, &file, &repomd);
    let digest = &predicates(&builder, "pkg:rpm/tests/plain@1.0-3.t40?arch=noarch&epoch=2")["package-files/v1"].subject.digest;
    assert_eq!((digest.rpm_header, digest.rpm_payload), (Some(package.header), Some(package.payload)));
    println!("{manager}: {}", text.lines().next().unwrap_or_default());
}

/// Nothing is said when the index is unsigned, altered, signed by another key, or does not list what is served.
fn refusals(yard: &Yard, builder: &Builder, index: &Path, signature: &Path, armor: bool, other: &Path) {
    let said = builder.said().len();
    let refused = |what: &str, code: i32| {
        let output = builder.attest(&["plain"]);
        let text = support::text(&output);
        assert!(output.status.code() == Some(code) && text.contains(what) && text.contains("hint"), "{what}: {text}");
        assert_eq!((builder.said().len(), containers_of(builder).as_str()), (said, ""));
    };
    let (good, good_signature) = (fs::read(index).unwrap(), fs::read(signature).unwrap());
    fs::remove_file(signature).unwrap();
    refused("is not signed", 10);
    yard.keys.make_key("stranger", "2y", None);
    yard.keys.sign_as("stranger", index, signature, armor);
    refused("no signature by a key of the keyring", 10);
    fs::write(signature, &good_signature).unwrap();
    fs::write(index, [good.as_slice(), b"\n"].concat()).unwrap();
    refused("the file was altered", 10);
    // A good index that does not know the package that is served.
    fs::copy(other, index).unwrap();
    yard.keys.sign(index, signature, armor);
    refused("", if armor { 10 } else { 1 });
    fs::write(index, &good).unwrap();
    fs::write(signature, &good_signature).unwrap();
    let output = builder.attest(&["plain"]);
    assert!(output.status.success(), "{}", support::text(&output));
}

fn rpm_managers(suite: [&str; 2], managers: &[&str]) {
    let _alone = alone();
    let yard = Yard::new(suite);
    yard.rpm();
    for manager in managers {
        rpm_flow(&yard, manager);
    }
    let repodata = yard.served().join("rpm/repodata");
    let other = yard.dir.path().join("other.xml");
    fs::write(&other, "<repomd></repomd>\n").unwrap();
    let builder = yard.builder(managers[0], "rpm/");
    refusals(&yard, &builder, &repodata.join("repomd.xml"), &repodata.join("repomd.xml.asc"), true, &other);
}

fn pacman(suite: [&str; 2]) {
    let _alone = alone();
    let yard = Yard::new(suite);
    yard.pacman();
    let builder = yard.builder("pacman", "alpm");
    let output = builder.attest(&["plain"]);
    assert!(output.status.success(), "{}", support::text(&output));
    let file = yard.file("alpm", "plain-");
    let package = alpm::read(fs::File::open(&file).unwrap(), &Limits::default()).unwrap();
    let database = yard.served().join("alpm/tests.db");
    assert_said(&builder, "pkg:alpm/tests/plain@2:1.0-3?arch=any", &package.manifest, &file, &database);
    let empty = yard.dir.path().join("empty.db");
    support::tool(Command::new("tar").args(["-czf"]).arg(&empty).args(["-T", "/dev/null"]));
    let strict = yard.builder("pacman", "alpm/");
    refusals(&yard, &strict, &database, &yard.served().join("alpm/tests.db.sig"), false, &empty);
}

/// The service says of each version what is to be said, once, and as soon as it is published; killed again and again, it neither loses nor repeats.
fn watched(yard: &Yard, manager: &str, path: &str, publish: &dyn Fn(&str)) {
    let log = Log::start();
    let kind = if manager == "pacman" { "alpm" } else { "rpm" };
    let run = format!("[run]\ninterval = 2\nbatch = 2\npackages = [\"pkg:{kind}/tests/plain\"]\n");
    let builder = yard.builder_with(manager, path, &log.config(), &run);
    let running = Running::start(&builder, &[]);
    wait_for("the first version", || logged(&log).len() == EACH);
    publish("2.0");
    wait_for("the second version", || logged(&log).len() == 2 * EACH);
    let said = logged(&log);
    assert_eq!(said.iter().filter(|(_, purl)| purl.contains("/plain@") && purl.contains("2.0-3")).count(), EACH, "{said:?}");
    if kind == "rpm" {
        let asked = support::tally_builder(&["request", "--config", &builder.config, "needed"], 30);
        assert!(asked.status.success(), "{}", support::text(&asked));
        wait_for("what was asked for", || logged(&log).len() == 3 * EACH);
    }
    running.end();
    let before = logged(&log).len();
    publish("3.0");
    for kill in 0..4 {
        let mut running = Running::start(&builder, &[]);
        let moment = Duration::from_millis(RandomState::new().hash_one(kill) % 15_000);
        std::thread::sleep(moment);
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        println!("{manager}: killed after {} ms with {} entries in the log", moment.as_millis(), logged(&log).len());
    }
    let mut running = Running::start(&builder, &["--metrics", "127.0.0.1:0"]);
    let address = running.says("metrics at http://").split('/').nth(2).unwrap().to_owned();
    wait_for("the third version", || logged(&log).len() >= before + EACH);
    // Where the last kill came after everything was said, it is not up yet.
    wait_for("a round", || metric(&address, "tally_builder_look_time_seconds") > 0.0);
    running.end();
    let said = logged(&log);
    assert_eq!((said.len(), said.iter().collect::<BTreeSet<_>>().len()), (before + EACH, before + EACH), "{said:?}");
    assert_eq!((containers_of(&builder).as_str(), builder.said().len()), ("", 0));
    println!("{manager}: {} entries, each once", said.len());
}

/// What is said of a package: its files, where it comes from, its source, its installation.
const EACH: usize = 4;

#[test]
#[ignore = "bootstraps a root of another suite: make distros"]
fn the_service_of_dnf_and_zypper() {
    let _alone = alone();
    for (suite, manager) in [(SID, "dnf"), (BOOKWORM, "zypper")] {
        let yard = Yard::new(suite);
        yard.rpm();
        let publish = |version: &str| yard.rpm_of(version);
        watched(&yard, manager, "rpm", &publish);
    }
}

#[test]
#[ignore = "bootstraps a root of another suite: make distros"]
fn the_service_of_pacman() {
    let _alone = alone();
    let yard = Yard::new(SID);
    yard.pacman();
    let publish = |version: &str| yard.pacman_of(version);
    watched(&yard, "pacman", "alpm", &publish);
}

#[test]
#[ignore = "bootstraps a root of another suite: make distros"]
fn dnf5_and_zypper_of_sid() {
    rpm_managers(SID, &["zypper", "dnf"]);
}

#[test]
#[ignore = "bootstraps a root of another suite: make distros"]
fn dnf4_and_zypper_of_bookworm() {
    rpm_managers(BOOKWORM, &["dnf", "zypper"]);
}

#[test]
#[ignore = "bootstraps a root of another suite: make distros"]
fn pacman_of_sid() {
    pacman(SID);
}

#[test]
#[ignore = "bootstraps a root of another suite: make distros"]
fn pacman_of_bookworm() {
    pacman(BOOKWORM);
}

//! Packages whose maintainer scripts attack what runs them, and images by reference. Needs root, Podman, mmdebstrap and this machine's own
//! apt sources.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use attest::Statement;
use attest::predicate::Predicate;
use serde_json::Value;
use support::containers::{Builder, DEBIAN, alone, bootstrap, containers_of, local_builder};
use support::repository::Repository;

/// What the program said about each package, by name.
fn reports(output: &std::process::Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn report<'a>(reports: &'a [Value], package: &str) -> &'a Value {
    reports.iter().find(|report| report["package"] == package).unwrap_or_else(|| panic!("{package}: {reports:?}"))
}

/// The root of the manifest that was claimed for a package.
fn claimed(builder: &Builder, name: &str) -> tlog::Hash {
    let payload = &builder.said()[&("package-files/v1", format!("pkg:deb/tests/{name}@1.0?arch=all"))];
    match Statement::parse(payload).unwrap().predicate {
        Predicate::PackageFiles(files) => files.manifest,
        other => panic!("{other:?}"),
    }
}

/// Scripts with a name, and whether an installation with them can succeed.
const ATTACKS: [(&str, &str, Option<bool>); 9] = [
    ("endless", "sleep 100000", Some(false)),
    ("forks", "bomb() { bomb | bomb & }; bomb; sleep 5; exit 0", None),
    ("kills", "kill -9 1; kill -9 -1; exit 0", None),
    ("memory", "tail /dev/zero", Some(false)),
    ("daemon", "setsid sleep 100000 >/dev/null 2>&1 & exit 0", Some(true)),
    ("accounts", "echo evil:x:0:0::/:/bin/sh >/etc/passwd; rm -rf /etc/apt /var/lib/dpkg/info/victim.list; exit 0", Some(true)),
    (
        "devices",
        "for name in sda vda nvme0n1; do mknod /dev/evil b 254 0 && head -c 1 /dev/evil; done; mount -o remount,rw /run/tallystick/in; echo b >/proc/sysrq-trigger; exit 0",
        Some(true),
    ),
    ("sparse", "for n in 1 2 3 4 5; do truncate -s 15G /sparse-$n; done; truncate -s 10T /huge; [ ! -s /huge ]", Some(false)),
    ("fails", "echo no such luck >&2; exit 7", Some(false)),
];

/// Whatever a script does, it does to its own container: every claim is what the package file says, an honest package beside it is observed,
/// the run ends, and nothing goes on.
#[test]
fn attacks_stay_in_their_container() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(dir.path());
    let files: Vec<_> = ATTACKS.iter().map(|(name, script, _)| (*name, repository.add(name, "1.0", "content\n", script))).collect();
    let victim = repository.add("victim", "1.0", "content\n", "echo made >/usr/share/tests/made; exit 0");
    repository.publish(&repository.release(""), "archive", &[]);
    let accounts = fs::read("/etc/passwd").unwrap();
    let builder = local_builder(dir.path(), &repository, "", "observe_runs = 1\ncontainer = { timeout = 40, memory = 300 }\n");
    let names: Vec<&str> = ATTACKS.iter().map(|(name, ..)| *name).chain(["victim"]).collect();
    let output = builder.attest(&names);
    assert_eq!(output.status.code(), Some(1), "{}", support::text(&output));
    let reports = reports(&output);
    for (name, _, succeeds) in ATTACKS {
        let report = report(&reports, name);
        assert!(succeeds.is_none_or(|succeeds| succeeds == report["observed"].is_number()), "{report}");
        println!("{name}: {}", report["error"].as_str().unwrap_or("installed"));
    }
    assert!(report(&reports, "endless")["error"].as_str().unwrap().contains("did not end within 40 seconds"));
    assert!(report(&reports, "sparse")["error"].as_str().unwrap().contains("file system holds"), "{reports:?}");
    assert!(report(&reports, "fails")["error"].as_str().unwrap().contains("status 7"), "{reports:?}");
    assert!(report(&reports, "victim")["observed"].is_number());
    for (name, file) in files.iter().map(|(name, file)| (*name, file)).chain([("victim", &victim)]) {
        assert_eq!(claimed(&builder, name), tally_builder::claim::read(file).unwrap().manifest.root(), "{name}");
    }
    let made = builder.observed("pkg:deb/tests/victim@");
    assert!(made.iter().any(|entry| entry.path == "./usr/share/tests/made" && entry.uname.as_deref() == Some("root")), "{made:?}");
    assert_eq!((containers_of(&builder).as_str(), fs::read("/etc/passwd").unwrap()), ("", accounts));
    let left = Command::new("pgrep").args(["-fx", "sleep 100000"]).output().unwrap();
    assert_eq!(String::from_utf8(left.stdout).unwrap(), "", "a daemon goes on");
}

/// A script that fills the disk is stopped while there is room left, and the room is given back.
#[test]
fn a_script_that_fills_the_disk_is_stopped() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let disk = Storage::mount(&dir.path().join("storage"));
    let mut repository = Repository::new(dir.path());
    repository.add("fills", "1.0", "content\n", "head -c 100G /dev/zero >/fill; exit 0");
    repository.add("victim", "1.0", "content\n", "exit 0");
    repository.publish(&repository.release(""), "archive", &[]);
    // In that storage, an image has to be made first.
    let maker = Builder::new(dir.path(), "maker", &format!("{DEBIAN}observe = false\n{}", bootstrap()));
    let attest = |config: &str, packages: &[&str]| {
        let mut command = Command::new("timeout");
        command.args(["-k5", "600", env!("CARGO_BIN_EXE_tally-builder"), "attest", "--json", "--config", config]).args(packages);
        command.env("CONTAINERS_STORAGE_CONF", disk.config()).output().unwrap()
    };
    let output = attest(&maker.config, &["hostname"]);
    assert!(output.status.success(), "{}", support::text(&output));
    fs::write(dir.path().join("local.list"), repository.source_line("")).unwrap();
    let text = |reserve: u32| {
        format!(
            "keyring = \"{}\"\nsources = \"local.list\"\nimage = \"{}\"\nobserve_runs = 1\nvendors = {{ Tests = \"tests\" }}\ncontainer = {{ reserve = {reserve} }}\n",
            repository.keyring(&["archive"]).display(),
            maker.image()
        )
    };
    let builder = Builder::new(dir.path(), "local", &text(300));
    let output = attest(&builder.config, &["fills"]);
    assert_eq!(output.status.code(), Some(1), "{}", support::text(&output));
    assert!(support::text(&output).contains("has less than 300 MiB left"), "{}", support::text(&output));
    let output = attest(&builder.config, &["victim"]);
    assert!(output.status.success(), "{}", support::text(&output));
    let greedy = Builder::new(dir.path(), "greedy", &text(1_000_000));
    let output = attest(&greedy.config, &["victim"]);
    assert_eq!(output.status.code(), Some(10), "{}", support::text(&output));
    assert!(support::text(&output).contains("hint: make room there"), "{}", support::text(&output));
}

/// Storage of Podman's own for one test, in memory.
struct Storage(std::path::PathBuf);

impl Storage {
    fn mount(path: &Path) -> Self {
        fs::create_dir(path).unwrap();
        support::tool(Command::new("mount").args(["-t", "tmpfs", "-o", "size=1500m", "tmpfs"]).arg(path));
        let text = format!("[storage]\ndriver = \"overlay\"\ngraphroot = \"{0}/graph\"\nrunroot = \"{0}/run\"\n", path.display());
        fs::write(path.join("storage.conf"), text).unwrap();
        Self(path.to_owned())
    }

    fn config(&self) -> std::path::PathBuf {
        self.0.join("storage.conf")
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        // Podman leaves its own directory mounted on itself.
        for part in ["graph/overlay", ""] {
            let _ = Command::new("umount").arg("--lazy").arg(self.0.join(part)).stderr(std::process::Stdio::null()).status();
        }
    }
}

/// An image by name, by digest and by ID is one image, and stays pinned when its name moves on.
#[test]
fn an_image_by_any_reference_is_pinned() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(dir.path());
    repository.add("one", "1.0", "content\n", "exit 0");
    repository.publish(&repository.release(""), "archive", &[]);
    let by_id = local_builder(dir.path(), &repository, "", "observe_runs = 1\n");
    assert!(by_id.attest(&["one"]).status.success());
    let id = by_id.image();
    let name = format!("localhost/tallystick-builder-test-{}", std::process::id());
    let podman = |arguments: &[&str]| String::from_utf8(support::tool(Command::new("podman").args(arguments))).unwrap();
    podman(&["tag", &id, &name]);
    let _names = Names(name.clone());
    let digest = podman(&["image", "inspect", "--format", "{{.Digest}}", &name]);
    let text = fs::read_to_string(&by_id.config).unwrap();
    let configured = |part: &str, reference: &str| {
        let more = text
            .lines()
            .skip(2)
            .map(|line| if line.starts_with("image = ") { format!("image = {reference:?}\n") } else { format!("{line}\n") });
        Builder::new(dir.path(), part, &more.collect::<String>())
    };
    let by_name = configured("by-name", &name);
    for builder in [&by_name, &configured("by-digest", &format!("{name}@{}", digest.trim())), &configured("by-short-id", &id[7..19])] {
        let output = builder.attest(&["one"]);
        assert!(output.status.success(), "{}", support::text(&output));
        assert_eq!((builder.image(), builder.said_of_packages().len()), (id.clone(), 4));
        assert_eq!(
            builder.said()[&("package-files/v1", "pkg:deb/tests/one@1.0?arch=all".to_owned())],
            by_id.said()[&("package-files/v1", "pkg:deb/tests/one@1.0?arch=all".to_owned())]
        );
    }
    // The name moves on to an image in which nothing could run.
    support::tool(Command::new("tar").args(["-cf"]).arg(dir.path().join("other.tar")).args(["-C", "/", "etc/hostname"]));
    podman(&["import", "--quiet", dir.path().join("other.tar").to_str().unwrap(), &name]);
    let output = by_name.attest(&["one"]);
    assert!(output.status.success() && by_name.image() == id, "{}", support::text(&output));
    let missing = configured("missing", "localhost/tallystick-no-such-image:1");
    let output = missing.attest(&["one"]);
    let said = support::text(&output);
    assert!(output.status.code() == Some(10) && said.contains("pull the image") && said.contains("hint: "), "{said}");
}

/// An image's own sources are used, but for one that would show its containers a directory of this machine.
#[test]
fn an_image_is_shown_no_directory_that_it_names_itself() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let maker = Builder::new(dir.path(), "maker", &format!("{DEBIAN}observe = false\n{}", bootstrap()));
    assert!(maker.attest(&["hostname"]).status.success());
    let builder = |name: &str, image: &str| Builder::new(dir.path(), name, &format!("{DEBIAN}observe = false\nimage = \"{image}\"\n"));
    let output = builder("plain", &maker.image()).attest(&["hostname"]);
    assert!(output.status.success(), "{}", support::text(&output));
    let podman = |arguments: &[&str]| String::from_utf8(support::tool(Command::new("podman").args(arguments))).unwrap().trim().to_owned();
    let list = dir.path().join("more.list");
    fs::write(&list, format!("deb file:{} {}-updates main\n", dir.path().display(), support::containers::suite())).unwrap();
    let name = format!("localhost/tallystick-builder-test-sources-{}", std::process::id());
    let _names = Names(name.clone());
    let container = podman(&["create", &maker.image(), "true"]);
    podman(&["cp", list.to_str().unwrap(), &format!("{container}:/etc/apt/sources.list.d/more.list")]);
    podman(&["commit", "--quiet", &container, &name]);
    podman(&["rm", &container]);
    let greedy = builder("greedy", &name);
    let output = greedy.attest(&["hostname"]);
    let text = support::text(&output);
    let refused = format!("the image's own /etc/apt names file:{}", dir.path().display());
    assert!(output.status.code() == Some(10) && text.contains(&refused) && text.contains("hint: if packages"), "{text}");
    assert_eq!((greedy.said().len(), containers_of(&greedy).as_str()), (0, ""));
}

/// Names of images, taken away at the end with what has no other name.
struct Names(String);

impl Drop for Names {
    fn drop(&mut self) {
        let _ = Command::new("podman").args(["rmi", "--force", &self.0]).output();
    }
}

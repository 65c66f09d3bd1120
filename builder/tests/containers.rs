//! Whole runs in real containers. Needs root, Podman, mmdebstrap or debootstrap, and this machine's own apt sources for its release.

mod support;

use std::fs;
use std::process::Command;

use attest::Statement;
use attest::predicate::{Change, Predicate};
use support::containers::{Builder, DEBIAN, alone, bootstrap, containers_of, local_builder};
use support::repository::Repository;

/// Two builders with downloads, containers, host names, clocks and user numbers of their own say the same about what packages contain.
#[test]
fn two_builders_agree_byte_for_byte() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let first = Builder::new(dir.path(), "first", &format!("{DEBIAN}observe_runs = 1\n{}", bootstrap()));
    let other = "[container]\nhostname = \"other\"\nfaketime = \"+400d\"\nuid_range = \"300000:65536\"\n";
    let second = Builder::new(dir.path(), "second", &format!("{DEBIAN}observe_runs = 1\n{other}{}", bootstrap()));
    let packages = ["iputils-ping", "dash", "dbus", "hostname", "libacl1"];
    for builder in [&first, &second] {
        let output = builder.attest(&packages);
        assert!(output.status.success(), "{}", support::text(&output));
        assert_eq!(containers_of(builder), "");
        assert_eq!(fs::read_dir(builder.dir.join("work")).unwrap().count(), 0);
    }
    let (one, two) = (first.said(), second.said());
    assert_eq!(one.keys().collect::<Vec<_>>(), two.keys().collect::<Vec<_>>());
    assert_eq!(first.said_of_packages().len(), 4 * packages.len());
    assert!(one.len() > 4 * packages.len(), "what repositories showed is said as well");
    for (name, payload) in one.iter().filter(|((kind, _), _)| *kind != "install-observation/v1") {
        assert_eq!(two[name], *payload, "{name:?}");
    }
    for builder in [&first, &second] {
        assert_expected_changes(builder);
    }
}

/// What scripts are known to do: ping's capability, the mode that dbus gives its helper, dash's diversion.
fn assert_expected_changes(builder: &Builder) {
    let find = |purl: &str, end: &str| builder.observed(purl).into_iter().find(|entry| entry.path.ends_with(end));
    let ping = find("pkg:deb/debian/iputils-ping@", "/bin/ping").unwrap();
    // cap_net_raw, effective and permitted, also where the container has user numbers of its own.
    let caps = Some("0100000200200000000000000000000000000000");
    assert_eq!((ping.change, ping.caps.as_deref(), ping.sha256), (Change::Modified, caps, None), "{ping:?}");
    let helper = find("pkg:deb/debian/dbus@", "/dbus-daemon-launch-helper").unwrap();
    assert_eq!((helper.mode.as_deref(), helper.gname.as_deref()), (Some("04754"), Some("messagebus")), "{helper:?}");
    let shell = find("pkg:deb/debian/dash@", "/bin/sh").unwrap();
    assert_eq!((shell.change, shell.to.as_deref()), (Change::Diverted, Some("./bin/sh.distrib")), "{shell:?}");
}

/// A superseded version comes from a snapshot whose time is long over; the same address is refused where nobody declared it one.
#[test]
fn an_old_version_comes_from_a_snapshot() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(dir.path());
    let dated = dir.path().join("20200102T000000Z");
    fs::rename(&repository.dir, &dated).unwrap();
    repository.dir = dated;
    repository.add("one", "1.0", "old\n", "exit 0");
    let release = repository.release("Valid-Until: Wed, 08 Jan 2020 00:00:00 UTC\n");
    let date = release.lines().find(|line| line.starts_with("Date: ")).unwrap();
    repository.publish(&release.replace(date, "Date: Wed, 01 Jan 2020 00:00:00 UTC"), "archive", &[]);
    let builder = local_builder(dir.path(), &repository, "[check-valid-until=no] ", "observe = false\n");
    let output = builder.attest(&["one=1.0"]);
    assert!(output.status.success(), "{}", support::text(&output));
    let said: Vec<&str> = builder.said().into_keys().map(|(kind, _)| kind).collect();
    assert_eq!(said, ["package-files/v1", "package-origin/v1", "package-source/v1"]);
    fs::write(dir.path().join("local.list"), repository.source_line("")).unwrap();
    let output = builder.attest(&["one=1.0"]);
    assert!(output.status.code() == Some(10) && support::text(&output).contains("hint"), "{}", support::text(&output));
}

/// Claims come before scripts, and every package has a container of its own: a script that alters everything it can reach changes
/// nothing that is said about others.
#[test]
fn a_hostile_script_reaches_no_other_claim() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(dir.path());
    let evil =
        "for f in /usr/share/tests/* /run/tallystick/in/debs/*; do echo evil >$f; rm -f $f; done; echo x >/usr/share/tests/victim; exit 0";
    let hostile = repository.add("aaa", "1.0", "harmless\n", evil);
    let victim = repository.add("victim", "1.0", "content\n", "echo stamp-$(date +%s) >/usr/share/tests/made; exit 0");
    repository.publish(&repository.release(""), "archive", &[]);
    let builder = local_builder(dir.path(), &repository, "", "observe_runs = 2\n");
    let output = builder.attest(&["aaa", "victim"]);
    assert!(output.status.success(), "{}", support::text(&output));
    let said = builder.said();
    for (name, path) in [("aaa", hostile), ("victim", victim)] {
        let manifest = tally_builder::claim::read(&path).unwrap().manifest;
        let payload = &said[&("package-files/v1", format!("pkg:deb/tests/{name}@1.0?arch=all"))];
        match Statement::parse(payload).unwrap().predicate {
            Predicate::PackageFiles(files) => assert_eq!(files.manifest, manifest.root()),
            other => panic!("{other:?}"),
        }
    }
    let of_victim = builder.observed("pkg:deb/tests/victim@");
    let made: Vec<_> = of_victim.iter().filter(|entry| entry.path == "./usr/share/tests/made").collect();
    assert_eq!(made.len(), 1, "{of_victim:?}");
    assert_eq!((made[0].change, made[0].node.as_deref()), (Change::Generated, Some("file")));
    assert!(!of_victim.iter().any(|entry| entry.path.ends_with("/victim") || entry.path.ends_with("/aaa")), "{of_victim:?}");
    let of_hostile = builder.observed("pkg:deb/tests/aaa@");
    assert!(of_hostile.iter().any(|entry| entry.path == "./usr/share/tests/aaa" && entry.change == Change::Missing), "{of_hostile:?}");
}

/// `[trusted=yes]` and unsigned repositories give no statement at all.
#[test]
fn unauthenticated_sources_are_refused() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(dir.path());
    repository.add("one", "1.0", "content\n", "exit 0");
    repository.publish(&repository.release(""), "archive", &[]);
    let trusting = local_builder(dir.path(), &repository, "[trusted=yes] ", "");
    let output = trusting.attest(&["one"]);
    assert_eq!(output.status.code(), Some(10), "{}", support::text(&output));
    assert!(support::text(&output).contains("trusted=yes") && support::text(&output).contains("hint: remove the option"));
    assert_eq!(trusting.said().len(), 0);
    fs::write(dir.path().join("local.list"), repository.source_line("")).unwrap();
    let good = trusting.attest(&["one", "absent"]);
    assert_eq!(good.status.code(), Some(1), "{}", support::text(&good));
    assert!(support::text(&good).contains("Unable to locate package absent"));
    let said = trusting.said().len();
    fs::remove_file(repository.dir.join("dists/test/InRelease")).unwrap();
    let unsigned = trusting.attest(&["one"]);
    assert_eq!(unsigned.status.code(), Some(10), "{}", support::text(&unsigned));
    assert_eq!((trusting.said().len(), containers_of(&trusting).as_str()), (said, ""));
}

/// An interruption in the middle leaves no container, no service and no scratch files.
#[test]
fn an_interrupted_run_cleans_up() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(dir.path());
    repository.add("slow", "1.0", "content\n", "sleep 600");
    repository.publish(&repository.release(""), "archive", &[]);
    let builder = local_builder(dir.path(), &repository, "", "");
    let mut child = Command::new(env!("CARGO_BIN_EXE_tally-builder"))
        .args(["attest", "--config", &builder.config, "slow"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let started = std::time::Instant::now();
    let running = |builder: &Builder| {
        let filter = format!("label=dev.tallystick.builder={}", builder.dir.display());
        let arguments = ["ps", "--quiet", "--filter", "status=running", "--filter", &filter];
        !support::tool(Command::new("podman").args(arguments)).is_empty()
    };
    // The install container is the one that runs while a claim is in the spool already.
    while builder.said_of_packages().len() < 3 || !running(&builder) {
        assert!(started.elapsed().as_secs() < 300, "it never came to install");
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    support::tool(Command::new("kill").args(["-INT", &child.id().to_string()]));
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(containers_of(&builder), "");
    assert_eq!(fs::read_dir(builder.dir.join("work")).unwrap().count(), 0);
    let left: Vec<_> =
        fs::read_dir(&builder.dir).unwrap().flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(builder.said_of_packages().len(), 3);
}

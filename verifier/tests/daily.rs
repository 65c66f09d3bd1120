//! `tally verify` every day: what is new, what monitoring and log collectors get, and the units that systemd runs. Needs root.

mod world;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use attest::predicate::PackageOrigin;
use attest::{Predicate, Statement};
use tlog::Hash;
use world::packages::{Root, base};
use world::{Outcome, World, now};

fn fresh() -> (World, Root) {
    let world = base().world();
    world.fill_cache(world.head());
    (world, base().root())
}

fn verify(world: &World, root: &Root, more: &[&str]) -> Outcome {
    world.tally(&[&["verify", "--all", "--root", root.path().to_str().unwrap()], more].concat())
}

#[test]
fn quiet_says_nothing_about_a_clean_root() {
    let (world, root) = fresh();
    let outcome = verify(&world, &root, &["--quiet"]);
    assert_eq!((outcome.status, outcome.stdout.as_str(), outcome.stderr.as_str()), (0, "", ""));
    root.sh("echo >> usr/bin/suid");
    let outcome = verify(&world, &root, &["--quiet"]);
    assert!(outcome.status == 1 && outcome.stdout.contains("modified          /usr/bin/suid"), "{outcome:?}");
}

#[test]
fn only_what_is_new_is_told_and_the_status_stands_for_all() {
    let (world, root) = fresh();
    root.sh("echo >> usr/bin/suid");
    let daily = |more: &[&str]| verify(&world, &root, &[&["--since-last", "--quiet"], more].concat());
    let first = daily(&[]);
    assert!(first.status == 1 && first.stdout.contains("/usr/bin/suid") && first.stdout.contains("all is new"), "{first:?}");
    let second = daily(&[]);
    assert_eq!((second.status, second.stdout.as_str()), (1, ""), "{second:?}");
    root.sh("rm usr/bin/capper");
    let third = daily(&["--json"]).json();
    assert_eq!((&third["exit"], &third["since"]["still"]), (&1.into(), &1.into()), "{third}");
    let told = third["findings"].as_array().unwrap().iter().filter(|finding| finding["exit"] != 0);
    let new: Vec<&str> = told.filter_map(|finding| finding["path"].as_str()).collect();
    assert_eq!(new, ["/usr/bin/capper"]);
    // Changed again is new; back as attested is gone, and told where it is asked for.
    root.sh("echo >> usr/bin/suid; printf 'made setuid by a script' > usr/bin/capper; chmod 755 usr/bin/capper");
    let fourth = daily(&[]);
    assert!(fourth.stdout.contains("1 new, 0 as before, 2 gone") && fourth.stdout.contains("/usr/bin/suid"), "{fourth:?}");
    // Runs without it are not remembered; neither is another root's.
    root.sh("rm usr/bin/capper");
    assert_eq!(verify(&world, &root, &[]).status, 1);
    assert_eq!(verify(&world, &base().root(), &["--since-last"]).status, 0);
    assert!(daily(&[]).stdout.contains("1 new, 1 as before, 0 gone"));
    let memory = fs::read_dir(world.path("cache-state")).unwrap().map(|entry| entry.unwrap().path());
    memory.for_each(|path| fs::write(path, "{}").unwrap());
    let damaged = daily(&[]);
    assert!(damaged.stdout.contains("/usr/bin/suid") && damaged.stderr.contains("everything counts as new"), "{damaged:?}");
    assert_eq!(world.tally(&["verify", "basic", "--since-last"]).status, 64);
}

#[test]
fn lines_for_collectors_have_a_schema_and_ids_that_stay() {
    let (world, root) = fresh();
    root.sh("echo >> usr/bin/suid; chmod 700 usr/bin/capper");
    let lines =
        |outcome: Outcome| -> Vec<serde_json::Value> { outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
    let (one, two) = (lines(verify(&world, &root, &["--jsonl"])), lines(verify(&world, &root, &["--format", "jsonl"])));
    assert!(one.iter().all(|line| line["schema"] == 1), "{one:?}");
    assert_eq!((&one[0]["type"], &one[0]["exit"], &one[0]["counts"]["modified"]), (&"run".into(), &1.into(), &1.into()));
    assert!(one[0]["findings"].is_null());
    let ids =
        |lines: &[serde_json::Value]| -> Vec<String> { lines[1..].iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect() };
    assert_eq!(ids(&one), ids(&two));
    let unique: std::collections::BTreeSet<String> = ids(&one).into_iter().collect();
    assert_eq!(unique.len(), one.len() - 1);
    // The same lines through a socket, as syslog frames them.
    let socket = world.path("log");
    let listener = UnixDatagram::bind(&socket).unwrap();
    listener.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    assert_eq!(verify(&world, &root, &["--syslog", socket.to_str().unwrap(), "--quiet"]).status, 1);
    let mut buffer = vec![0; 1 << 16];
    let mut received = || {
        let length = listener.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let (run, finding) = (received(), received());
    assert!(run.starts_with("<82>") && run.contains(" tally[") && run.contains("\"type\":\"run\""), "{run}");
    assert!(finding.starts_with("<82>") && finding.contains("/usr/bin/suid"), "{finding}");
    drop(listener);
    let alone = verify(&world, &root, &["--syslog", socket.to_str().unwrap()]);
    assert!(alone.status == 1 && alone.stderr.contains("the system's log could not be written"), "{alone:?}");
}

#[test]
fn monitoring_gets_whole_files_whatever_happens() {
    let (world, root) = fresh();
    let file = world.path("metrics/tally.prom");
    fs::create_dir(file.parent().unwrap()).unwrap();
    let run = |status: i32| {
        assert_eq!(verify(&world, &root, &["--quiet", "--metrics", file.to_str().unwrap()]).status, status);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.ends_with('\n') && text.lines().all(|line| line.starts_with("# ") || line.split(' ').count() == 2), "{text}");
        let value = move |name: &str| -> Option<u64> { text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()) };
        assert!(now() - value("tally_last_run_timestamp_seconds").unwrap() < 600);
        assert_eq!(value("tally_exit_status"), Some(status.try_into().unwrap()));
        value
    };
    let clean = run(0);
    assert_eq!(clean("tally_findings{finding=\"modified\",exit=\"1\"}"), Some(0));
    assert_eq!(
        (clean("tally_packages{state=\"attested\"}"), clean("tally_checkpoint_entries")),
        (Some(6), Some(world.leaves.len() as u64))
    );
    assert!(clean("tally_checkpoint_age_seconds").unwrap() < 600 && clean("tally_bytes_hashed").unwrap() > 300_000);
    root.sh("echo >> usr/bin/suid");
    assert_eq!(run(1)("tally_findings{finding=\"modified\",exit=\"1\"}"), Some(1));
    fs::remove_file(world.path("cache/known")).unwrap();
    assert_eq!(run(11)("tally_findings{finding=\"modified\",exit=\"1\"}"), None);
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    let nowhere = verify(&world, &root, &["--metrics", "/proc/nowhere/tally.prom"]);
    assert!(nowhere.status == 11 && nowhere.stderr.contains("the file for monitoring could not be written"), "{nowhere:?}");
}

#[test]
fn other_tools_can_read_the_reports() {
    let (world, root) = fresh();
    root.sh("echo >> usr/bin/suid; rm usr/lib/basic/lib.so; chmod 700 usr/bin/capper; echo x >> etc/basic.conf; ln -sf other usr/bin/basic-link; echo >> usr/share/basic/a*");
    let sarif: serde_json::Value = serde_json::from_str(&verify(&world, &root, &["--format", "sarif"]).stdout).unwrap();
    let run = &sarif["runs"][0];
    assert_eq!((&sarif["version"], &run["invocations"][0]["exitCode"]), (&"2.1.0".into(), &1.into()));
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    for result in run["results"].as_array().unwrap() {
        assert_eq!(rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()]["id"], result["ruleId"]);
        assert!(result["message"]["text"].is_string() && result["partialFingerprints"]["tallyFindingId/v1"].is_string(), "{result}");
    }
    let text = sarif.to_string();
    assert!(text.contains("file:///usr/bin/suid") && text.contains("file:///usr/share/basic/a%20b%FF"), "{text}");
    let junit = world.path("junit.xml");
    fs::write(&junit, verify(&world, &root, &["--format", "junit"]).stdout).unwrap();
    let script = "import sys, xml.etree.ElementTree as t; s = t.parse(sys.argv[1]).getroot()[0]; f = s.findall('.//failure'); assert len(f) == int(s.get('failures')) > 4 and len(s) == int(s.get('tests')), s.attrib; print(*(c.get('name') for c in s))";
    let names = Command::new("python3").args(["-c", script, junit.to_str().unwrap()]).output().unwrap();
    assert!(names.status.success() && String::from_utf8_lossy(&names.stdout).contains("/usr/bin/suid"), "{names:?}");
    let lines = verify(&world, &root, &["--format", "rpm"]);
    assert_eq!(lines.status, 1);
    for line in [
        "S.5......    /usr/bin/suid",
        "missing      /usr/lib/basic/lib.so",
        ".M.......    /usr/bin/capper",
        "S.5......  c /etc/basic.conf",
        "....L....    /usr/bin/basic-link",
    ] {
        assert!(lines.stdout.lines().any(|printed| printed == line), "{line}: {}", lines.stdout);
    }
}

#[test]
fn the_story_of_a_file_is_whole() {
    let mut world = base().world();
    let (purl, manifest) = base().manifest("basic");
    let origin = PackageOrigin {
        filename: "pool/b/basic.deb".into(),
        in_release: Hash::digest(b"InRelease"),
        origin: "Debian".into(),
        packages_path: "main/binary-amd64/Packages.xz".into(),
        packages: Hash::digest(b"Packages"),
        signers: vec!["0123456789ABCDEF0123456789ABCDEF01234567".into()],
        suite: "bookworm".into(),
    };
    world.say("builder-2", &Statement::about_package(&purl, *manifest.package(), Predicate::PackageOrigin(origin)));
    world.fill_cache(world.head());
    let root = base().root();
    root.sh("echo >> usr/bin/suid");
    let story = world.tally(&["explain", "/usr/bin/suid", "--root", root.path().to_str().unwrap()]);
    assert_eq!(story.status, 1);
    let parts = [
        "belongs to    basic 1.0-1 amd64".to_owned(),
        format!("looked up as  {purl}"),
        format!("package file  sha256 {}", manifest.package()),
        format!("claim         manifest {}", manifest.root()),
        "claimed by    builder-1 (entry 1), builder-2 (entry 2)".to_owned(),
        "came from     Debian bookworm, pool/b/basic.deb in main/binary-amd64/Packages.xz, signed by 0123456789ABCDEF".to_owned(),
        format!("seen there by builder-2 (entry {})", world.leaves.len() - 1),
        "attributes    mode 4755 root:root".to_owned(),
        format!("proven under  {} with {} entries, root ", world::ORIGIN, world.leaves.len()),
        "cosigned by   w1, w2".to_owned(),
        "its content differs".to_owned(),
        "attested: a file of 6 bytes".to_owned(),
        "found:    a file of 7 bytes".to_owned(),
        "to accept it, put this into the accept file".to_owned(),
    ];
    parts.iter().for_each(|part| assert!(story.stdout.contains(part.as_str()), "{part}: {}", story.stdout));
}

/// What the unit leaves of root: it reads everything, and writes what is its own.
#[test]
fn the_capability_of_the_unit_is_enough() {
    let (world, root) = fresh();
    root.sh("chown 1000 usr/bin/suid; chmod 0400 usr/bin/suid");
    let unit = include_str!("../systemd/tally-verify.service");
    assert!(unit.contains("CapabilityBoundingSet=CAP_DAC_READ_SEARCH\n"));
    let bounded = ["setpriv", "--bounding-set=-all,+dac_read_search", "--inh-caps=-all", "--no-new-privs"];
    let arguments = ["verify", "--all", "--since-last", "--json", "--root", root.path().to_str().unwrap()];
    let outcome = world.tally_by(&bounded, &arguments);
    assert_eq!(
        (outcome.status, outcome.findings(false)),
        (1, vec!["mode /usr/bin/suid".to_owned(), "owner /usr/bin/suid".to_owned()]),
        "{outcome:?}"
    );
    assert!(fs::read_dir(world.path("cache-state")).unwrap().count() == 1, "the memory was written");
    let without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"];
    let blind = world.tally_by(&without, &arguments);
    assert!(blind.stdout.contains("unreadable"), "it needs that capability: {blind:?}");
}

#[test]
fn systemd_accepts_the_units() {
    let world = base().world();
    let image = world.path("image");
    let config = image.join(world.path("tally.toml").strip_prefix("/").unwrap());
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::copy(world.path("tally.toml"), &config).unwrap();
    fs::create_dir_all(image.join("etc/systemd/system")).unwrap();
    let timer =
        |more: &[&str]| world.tally(&[&["setup", "timer", "--root", image.to_str().unwrap(), "--program", "/usr/bin/env"], more].concat());
    let done = timer(&[]);
    assert!(done.status == 0 && done.stdout.contains("systemctl enable --now tally-verify.timer"), "{done:?}");
    assert!(timer(&[]).stdout.contains("already as it should be"));
    let units = image.join("etc/systemd/system");
    let service = fs::read_to_string(units.join("tally-verify.service")).unwrap();
    assert!(service.contains(&format!("ExecStart=/usr/bin/env --config {} verify", world.path("tally.toml").display())), "{service}");
    assert!(service.contains(&format!("ReadWritePaths=-{}\n", world.dir.path().display())), "a cache elsewhere can be written: {service}");
    let names = ["tally-sync.service", "tally-verify.service", "tally-verify.timer"].map(|name| units.join(name));
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&names).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && !said.contains("tally-"), "{said}");
    assert_eq!(timer(&["--remove"]).status, 0);
    assert_eq!(fs::read_dir(&units).unwrap().count(), 0);

    // The team's control heads.
    let heads = |more: &[&str]| {
        let command = ["setup", "control-head", "--root", image.to_str().unwrap(), "--program", "/usr/bin/env"];
        world.tally(&[&command[..], more].concat())
    };
    assert_eq!(heads(&["--key", "control.key"]).status, 10, "it would be looked for in another directory");
    let done = heads(&["--key", "/srv/keys/control.key"]);
    assert!(done.status == 0 && done.stdout.contains("systemctl enable --now tally-advise-head.timer"), "{done:?}");
    assert!(heads(&["--key", "/srv/keys/control.key"]).stdout.contains("already as it should be"));
    let service = fs::read_to_string(units.join("tally-advise-head.service")).unwrap();
    let command =
        format!("ExecStart=/usr/bin/env --config {} advise head --key /srv/keys/control.key\n", world.path("tally.toml").display());
    assert!(service.contains(&command), "{service}");
    let names = ["tally-advise-head.service", "tally-advise-head.timer"].map(|name| units.join(name));
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&names).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && !said.contains("tally-"), "{said}");
    fs::write(units.join("tally-advise-head.timer"), "[Timer]\nOnBootSec=1h\n").unwrap();
    assert_eq!(heads(&[]).status, 10, "somebody else's");
    fs::remove_file(units.join("tally-advise-head.timer")).unwrap();
    assert_eq!(heads(&["--remove"]).status, 0);
    assert_eq!(fs::read_dir(&units).unwrap().count(), 0);
}

/// This machine, as far as its packages and the settings of apt go, is the small root's.
#[test]
fn the_report_about_this_machine_tells_of_its_gate() {
    let (world, root) = fresh();
    let database = root.path().join("var/lib/dpkg");
    let with = |settings: &str, arguments: &[&str]| {
        let script = format!(
            "mount --bind {} /var/lib/dpkg && mount -t tmpfs none /etc/apt/apt.conf.d && {settings} && exec \"$@\"",
            database.display()
        );
        world.tally_by(&["unshare", "-m", "sh", "-c", &script, "sh"], arguments)
    };
    let hooked = "touch /etc/apt/apt.conf.d/80tallystick";
    let gate = |settings: &str| with(settings, &["verify", "--all", "--json"]).json()["gate"].clone();
    assert_eq!(gate("true"), serde_json::Value::Null, "there is none");
    let begins = gate(hooked);
    assert_eq!(
        (&begins["began"], &begins["hooks"][0]["manager"], &begins["hooks"][0]["asked"]),
        (&false.into(), &"apt".into(), &().into())
    );
    assert_eq!(with(hooked, &["gate", "status", "--seen"]).status, 0);
    assert_eq!(gate(hooked)["unjudged"], serde_json::json!([]));
    // One that came past it, and a run of the hook.
    let known = world.path("cache-state/known");
    let text = fs::read_to_string(&known).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("taker ")).collect();
    fs::write(&known, kept.join("\n") + "\n").unwrap();
    let record = "{\"schema\":1,\"time\":\"2026-11-21T15:04:05Z\",\"manager\":\"apt\",\"decision\":\"passed\"}\n";
    fs::write(world.path("cache-state/gate.jsonl"), record).unwrap();
    let past = gate(hooked);
    let unjudged: Vec<&str> = past["unjudged"].as_array().unwrap().iter().filter_map(|package| package.as_str()).collect();
    assert!(unjudged.len() == 1 && unjudged[0].starts_with("taker "), "{past}");
    let metrics = world.path("gate.prom");
    let text = with(hooked, &["verify", "--all", "--metrics", metrics.to_str().unwrap()]);
    let line = format!(
        "  gate          warns; apt last asked at 2026-11-21T15:04:05Z; 1 came past it: {} (next: tally gate status)\n",
        unjudged[0]
    );
    assert!(text.stdout.contains(&line), "{text:?}");
    let metrics = fs::read_to_string(metrics).unwrap();
    assert!(metrics.contains("\ntally_gate_unjudged 1\n") && metrics.contains("\ntally_gate_enforces 0\n"), "{metrics}");
    fs::write(world.path("cache-state/enforce"), "").unwrap();
    assert_eq!(gate(hooked)["enforces"], true);
    // Another root has no gate of this machine, and a memory that cannot be read is told.
    assert_eq!(world.verify(root.path()).json()["gate"], serde_json::Value::Null);
    fs::remove_file(&known).unwrap();
    fs::create_dir(&known).unwrap();
    assert!(gate(hooked)["error"].is_string());
    assert!(with(hooked, &["verify", "--all"]).stdout.contains("gate          its memory cannot be read"));
}

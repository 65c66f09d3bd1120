//! apt's gate, with the real apt and dpkg: what passes, what stops before dpkg runs, and that nothing bricks apt. Needs root.

#[path = "gate/apt.rs"]
mod apt;
mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use apt::{Apt, ENFORCE};
use attest::predicate::Action;
use world::now;
use world::packages::sh;
use world::server::Server;

const WARN: &str = "builders = 2\nmax_age = \"1h\"\n[gate]\nask_log = false\n";

/// Attested, unattested, attested by one, in conflict and warned of.
fn of_every_kind(rules: &str) -> Apt {
    let mut apt = Apt::new(rules);
    apt.attested("main", "good", "1.0");
    apt.attested("main", "other", "1.0");
    apt.package("main", "unknown", "1.0", "x");
    let (lone, manifest) = apt.package("main", "lone", "1.0", "x");
    apt.world.claim("builder-1", &lone, &manifest);
    apt.attested("main", "evil", "1.0");
    apt.world.advise(Action::Warn, "pkg:deb/debian/evil");
    let (disputed, genuine) = apt.package("main", "disputed", "1.0", "genuine");
    let altered = String::from_utf8(genuine.encode()).unwrap().replace("mode=0644", "mode=0600");
    let altered = attest::Manifest::parse(altered.as_bytes()).unwrap();
    apt.world.claim("builder-1", &disputed, &genuine);
    apt.world.claim("builder-2", &disputed, &altered);
    apt.publish("main", "Debian", "stable");
    apt.update();
    apt
}

#[test]
fn attested_packages_pass_and_all_others_stop_before_dpkg() {
    let apt = of_every_kind(ENFORCE);
    apt.passes(&["install", "good"], &["tally: 1 package files, 1 as at least 2 builders attest\n"]);
    assert_eq!(apt.installed(), ["good=1.0"]);
    assert!(apt.enforces());
    let rest = "install the rest without";
    apt.stops(
        &["install", "unknown"],
        &["unattested        ", "unknown 1.0 amd64", "1 REFUSED", &format!("{rest} unknown"), "gate allow --once --reason WHY unknown"],
    );
    apt.stops(&["install", "lone"], &["too-few-builders", "lone 1.0 amd64", "builder-1 (entry"]);
    apt.stops(&["install", "disputed"], &["builder-conflict", "disputed 1.0 amd64", "contradict each other"]);
    apt.stops(&["install", "evil"], &["warned ", "evil 1.0 amd64", "TSA-1 (High)", "CVE-2026-0001"]);
    let both =
        apt.stops(&["install", "other", "unknown"], &["2 package files, 1 as at least 2 builders attest, 1 REFUSED", "unknown 1.0 amd64"]);
    assert!(!both.stderr.contains("other 1.0"), "only the offending package is named: {both:?}");
    apt.passes(&["remove", "good"], &[]);
    assert_eq!(apt.installed(), Vec::<String>::new());
    let decisions: Vec<String> = apt.record().iter().map(|entry| entry["decision"].as_str().unwrap().to_owned()).collect();
    assert_eq!(decisions, ["passed", "refused", "refused", "refused", "refused", "refused"]);
    assert_eq!(apt.record()[1]["packages"][0], serde_json::json!({ "package": "unknown", "fate": "refused", "findings": ["unattested"] }));
}

#[test]
fn to_warn_is_the_default_and_stops_nothing() {
    let apt = of_every_kind(WARN);
    let all = ["good", "unknown", "lone", "disputed", "evil"];
    let said = apt.passes(
        &[&["install"], &all[..]].concat(),
        &["5 package files, 1 as at least 2 builders attest, 4 WARNED OF", "unattested", "builder-conflict"],
    );
    assert!(!said.stderr.contains("gate allow"), "{said:?}");
    assert_eq!(apt.installed().len(), 5);
    assert!(!apt.enforces());
    assert_eq!(apt.record()[0]["decision"], "warned");
}

#[test]
fn what_is_held_lets_the_rest_through() {
    let mut apt = Apt::new(ENFORCE);
    for name in ["good", "late"] {
        apt.attested("main", name, "1.0");
    }
    apt.publish("main", "Debian", "stable");
    apt.update();
    apt.passes(&["install", "good", "late"], &[]);
    apt.attested("main", "good", "1.1");
    apt.package("main", "late", "1.1", "not attested yet");
    apt.publish("main", "Debian", "stable");
    apt.update();
    let stopped = apt.stops(&["upgrade"], &["late 1.1 amd64"]);
    let command = stopped.stderr.lines().find_map(|line| line.trim().strip_prefix("next: ")?.split(", ").next()).unwrap();
    assert_eq!(command, "apt-mark hold late");
    let (program, arguments) = command.split_once(' ').unwrap();
    assert_eq!(apt.run(program, &arguments.split(' ').collect::<Vec<_>>()).status, 0);
    apt.passes(&["upgrade"], &[]);
    assert_eq!(apt.installed(), ["good=1.1", "late=1.0"]);
}

#[test]
fn an_override_works_once_and_is_recorded() {
    let apt = of_every_kind(ENFORCE);
    let allow = |more: &[&str]| apt.world.tally(&[&["gate", "allow", "--once", "--reason", "ticket 17"], more].concat());
    assert_eq!(apt.world.tally(&["gate", "allow", "--reason", "x"]).status, 64, "there is no override for good");
    for nonsense in [vec!["--within", "7d"], vec!["--within", "0s"], vec!["--within", "soon"]] {
        assert_eq!(allow(&nonsense).status, 64, "{nonsense:?}");
    }
    assert_eq!(allow(&["unknown"]).status, 0);
    apt.stops(&["install", "lone"], &["too-few-builders"]);
    apt.passes(&["install", "unknown"], &["unattested", "overridden once, and recorded: ticket 17"]);
    apt.passes(&["remove", "unknown"], &[]);
    apt.stops(&["install", "unknown"], &["unattested"]);
    let entry = &apt.record()[1];
    assert_eq!((entry["decision"].as_str(), entry["reason"].as_str()), (Some("overridden"), Some("ticket 17")), "{entry}");
    // Whatever is refused, a cache that went away too.
    assert_eq!(allow(&[]).status, 0);
    fs::remove_dir_all(apt.world.path("cache")).unwrap();
    apt.passes(&["install", "good"], &["overridden once, and recorded, though nothing was judged"]);
    apt.stops(&["install", "lone"], &["there is no cache", "hint: run: tally sync"]);
}

#[test]
fn it_begins_with_the_first_sync_and_fails_closed_from_then_on() {
    let mut apt = Apt::new(ENFORCE);
    apt.attested("main", "good", "1.0");
    apt.package("main", "unknown", "1.0", "x");
    apt.package("main", "later", "1.0", "x");
    apt.publish("main", "Debian", "stable");
    apt.update();
    fs::remove_dir_all(apt.world.path("cache")).unwrap();
    apt.passes(&["install", "unknown"], &["nothing was synced yet"]);
    assert!(!apt.enforces());
    let server = Server::start();
    apt.world.configure_log(ENFORCE, &server.url);
    server.show(&apt.world.leaves, &apt.world.head(), &apt.world.manifests);
    let synced = apt.world.tally(&["sync", "--root", apt.root.path().to_str().unwrap()]);
    assert_eq!(synced.status, 0, "{synced:?}");
    assert!(apt.enforces(), "a sync is enough");
    apt.stops(&["install", "later"], &["unattested"]);
    // Stale: by the policy, and by the gate's own limit.
    apt.world.fill_cache(apt.world.checkpoint(apt.world.leaves.len(), &[(1, now() - 1800), (2, now() - 1800)]));
    apt.passes(&["install", "--reinstall", "good"], &[]);
    apt.world.configure(&format!("{ENFORCE}max_age = \"10m\"\n"));
    apt.stops(
        &["install", "--reinstall", "good"],
        &["stale-head", "30 minutes old (at most 10 minutes", "next: tally sync; then the same again"],
    );
    // Neither a damaged cache nor a broken policy opens the gate, nor does a program that only fails.
    apt.world.configure(ENFORCE);
    fs::write(apt.world.path("cache/known"), "nonsense").unwrap();
    apt.stops(&["install", "--reinstall", "good"], &["is damaged"]);
    fs::remove_dir_all(apt.world.path("cache")).unwrap();
    apt.stops(&["install", "--reinstall", "good"], &["there is no cache"]);
    apt.world.configure("nonsense");
    apt.stops(&["install", "--reinstall", "good"], &["policy.toml"]);
    fs::remove_file(apt.world.path("tally.toml")).unwrap();
    apt.stops(&["install", "--reinstall", "good"], &["tally.toml"]);
    apt.passes(&["remove", "good"], &[]);
}

#[test]
fn where_it_only_warns_its_own_failure_stops_nothing() {
    let apt = of_every_kind(WARN);
    fs::write(apt.world.path("cache/known"), "nonsense").unwrap();
    apt.passes(&["install", "unknown"], &["packages are installed that were not judged", "is damaged"]);
    apt.world.configure("nonsense");
    apt.passes(&["install", "lone"], &["policy.toml"]);
    let crashing = apt.world.path("crashing");
    fs::write(&crashing, "#!/bin/sh\nkill -SEGV $$\n").unwrap();
    fs::set_permissions(&crashing, fs::Permissions::from_mode(0o755)).unwrap();
    apt.set_up(&crashing);
    apt.passes(&["install", "evil"], &[]);
    fs::create_dir_all(apt.world.path("cache-state")).unwrap();
    fs::write(apt.world.path("cache-state/enforce"), "").unwrap();
    apt.stops(&["install", "good"], &[]);
}

#[test]
fn a_memory_that_cannot_be_written_does_not_open_the_gate() {
    let apt = of_every_kind(ENFORCE);
    fs::write(apt.world.path("cache-state"), "in the way").unwrap();
    apt.stops(&["install", "good"], &["the gate's memory in"]);
    apt.world.configure(WARN);
    apt.passes(&["install", "good", "unknown"], &["not judged", "the gate's memory in"]);
    apt.passes(&["remove", "good"], &[]);
}

#[test]
fn apt_goes_on_when_tally_is_removed_and_its_conffile_stays() {
    let mut apt = Apt::new(ENFORCE);
    apt.attested("main", "good", "1.0");
    // A package of tally's own: the program, and the hook as a conffile.
    let program = apt.root.path().join("usr/bin/tally");
    apt.set_up(&program);
    let hook = fs::read_to_string(apt.root.path().join("etc/apt/apt.conf.d/80tallystick")).unwrap();
    fs::remove_file(apt.root.path().join("etc/apt/apt.conf.d/80tallystick")).unwrap();
    let script = format!(
        "mkdir -p x/usr/bin x/etc/apt/apt.conf.d; printf '#!/bin/sh\\nexec {} \"$@\"\\n' > x/usr/bin/tally; chmod 755 x/usr/bin/tally\ncat > x/etc/apt/apt.conf.d/80tallystick <<'END'\n{hook}END\necho /etc/apt/apt.conf.d/80tallystick > x/DEBIAN/conffiles",
        env!("CARGO_BIN_EXE_tally")
    );
    apt.built("main", "tallystick", "1.0", "amd64", &script);
    apt.package("main", "unknown", "1.0", "x");
    apt.publish("main", "Debian", "stable");
    apt.update();
    apt.passes(&["install", "tallystick"], &[]);
    apt.stops(&["install", "unknown"], &["unattested"]);
    apt.passes(&["remove", "tallystick"], &[]);
    assert!(!program.exists() && apt.root.path().join("etc/apt/apt.conf.d/80tallystick").exists());
    apt.passes(&["install", "unknown"], &["tally is not there: packages are not judged"]);
    apt.passes(&["purge", "unknown", "tallystick"], &[]);
    assert_eq!(apt.installed(), Vec::<String>::new());
}

#[test]
fn security_updates_have_a_grace_and_vendors_their_modes() {
    let mut apt = Apt::new(&format!("{ENFORCE}[gate.vendors]\nThird = \"ignore\"\nlocal = \"warn\"\n"));
    apt.package("security", "urgent", "1.0", "x");
    apt.attested("security", "evil", "1.0");
    apt.world.advise(Action::Warn, "pkg:deb/debian/evil");
    apt.package("third", "theirs", "1.0", "x");
    apt.package("main", "unknown", "1.0", "x");
    apt.package("file", "mine", "1.0", "x");
    apt.publish("security", "Debian", "stable-security");
    apt.publish("third", "Third", "stable");
    apt.publish("main", "Debian", "stable");
    apt.update();
    apt.passes(&["install", "theirs"], &["1 of vendors that are not judged"]);
    apt.passes(&["install", apt.deb("file", "mine", "1.0").to_str().unwrap()], &["mine 1.0 amd64", "1 WARNED OF"]);
    apt.stops(&["install", "evil"], &["warned "]);
    apt.passes(&["install", "urgent"], &["1 security updates that may still lack claims", "urgent 1.0 amd64"]);
    apt.stops(&["install", "unknown"], &["unattested"]);
    apt.passes(&["remove", "urgent"], &[]);
    let seen = apt.world.path("cache-state/seen");
    let text = fs::read_to_string(&seen).unwrap();
    let digests: Vec<&str> = text
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(digest, since)| {
            assert!(now() - since.parse::<u64>().unwrap() < 600);
            digest
        })
        .collect();
    assert_eq!(digests.len(), 2, "evil and urgent");
    fs::write(&seen, digests.iter().map(|digest| format!("{digest} {}\n", now() - 49 * 3600)).collect::<String>()).unwrap();
    apt.stops(&["install", "urgent"], &["unattested", "urgent 1.0 amd64"]);
    // Two repositories with one file: the stricter one decides.
    fs::copy(apt.deb("main", "unknown", "1.0"), apt.deb("third", "unknown", "1.0")).unwrap();
    apt.publish("third", "Third", "stable");
    apt.update();
    apt.stops(&["install", "unknown"], &["unattested"]);
}

#[test]
fn the_log_is_asked_about_what_is_not_in_the_cache() {
    let mut apt = Apt::new(ENFORCE);
    apt.attested("main", "good", "1.0");
    let before = apt.world.leaves.len();
    apt.attested("main", "new", "1.0");
    let (all, manifest) = apt.built("main", "everywhere", "1:2.0~rc1", "all", "mkdir -p x/usr/share/e; echo e > x/usr/share/e/e");
    for builder in ["builder-1", "builder-2"] {
        apt.world.claim(builder, &all, &manifest);
    }
    apt.publish("main", "Debian", "stable");
    apt.update();
    apt.world.fill_cache(apt.world.checkpoint(before, &[(1, now()), (2, now())]));
    let asking = ENFORCE.replace("ask_log = false", "ask_log = true");
    apt.world.configure(&asking);
    apt.stops(&["install", "new"], &["the log could not be asked, only the cache is used", "unattested"]);
    apt.passes(&["install", "good"], &["the log could not be asked"]);
    let server = Server::start();
    server.show(&apt.world.leaves, &apt.world.head(), &apt.world.manifests);
    apt.world.configure_log(&asking, &server.url);
    let said = apt.passes(&["install", "new", "everywhere"], &["2 package files, 2 as at least 2 builders attest"]);
    assert!(!said.stderr.contains("note"), "{said:?}");
}

#[test]
fn what_apt_says_is_not_believed_further_than_it_goes() {
    let mut apt = Apt::new(ENFORCE);
    apt.attested("main", "good", "1.0");
    apt.attested("main", "other", "1.0");
    apt.publish("main", "Debian", "stable");
    apt.update();
    // A file that is another package: both are attested.
    let named = apt.deb("main", "good", "1.0");
    let genuine = fs::read(&named).unwrap();
    let archive = apt.root.path().join("var/cache/apt/archives/good_1.0_amd64.deb");
    let gate = |bytes: &str| {
        let script =
            format!("printf '{bytes}' | {} --config {} gate apt", env!("CARGO_BIN_EXE_tally"), apt.world.path("tally.toml").display());
        apt.run("sh", &["-c", &script])
    };
    let line = |name: &str| format!("VERSION 3\\nAPT::Architecture=amd64\\n\\n{name} - - none < 1.0 amd64 none {}\\n", archive.display());
    fs::write(&archive, &genuine).unwrap();
    assert_eq!(gate(&line("good")).status, 0);
    let misnamed = gate(&line("other"));
    assert!(misnamed.status == 1 && misnamed.stderr.contains("misnamed"), "{misnamed:?}");
    fs::write(&archive, &genuine[..genuine.len() - 1]).unwrap();
    let cut = gate(&line("good"));
    assert!(cut.status == 2 && cut.stderr.contains("unreadable"), "{cut:?}");
    fs::remove_file(&archive).unwrap();
    assert_eq!(gate(&line("good")).status, 2);
    for nonsense in ["", "VERSION 2\\n\\n", "VERSION 3\\n", "VERSION 3\\n\\ngood\\n"] {
        let outcome = gate(nonsense);
        assert!(outcome.status == 10 && outcome.stderr.contains("what apt says cannot be read"), "{nonsense}: {outcome:?}");
    }
    assert_eq!(gate("VERSION 3\\n\\ngood 1.0 amd64 none > - - none **REMOVE**\\n").status, 0);
    let error = gate(&line("good").replace(archive.to_str().unwrap(), "**ERROR**"));
    assert!(error.status == 2 && error.stderr.contains("apt has no file"), "{error:?}");
    // Without the second line of the hook apt speaks version 1.
    let hook = apt.root.path().join("etc/apt/apt.conf.d/80tallystick");
    let text = fs::read_to_string(&hook).unwrap();
    fs::write(&hook, text.lines().filter(|line| !line.contains("Tools::Options")).collect::<Vec<_>>().join("\n")).unwrap();
    apt.stops(&["install", "good"], &["does not begin with \"VERSION 3\""]);
    // Another descriptor than standard input.
    fs::write(&hook, format!("{text}DPkg::Tools::Options::{}::InfoFD \"20\";\n", env!("CARGO_BIN_EXE_tally"))).unwrap();
    apt.passes(&["install", "good"], &["1 as at least 2 builders attest"]);
}

/// Debian's own packages and apt inside a bootstrapped root: one that is attested, one that is not, one that is warned of.
#[test]
#[ignore = "bootstraps a Debian root, which takes a minute: run `make gate`"]
fn inside_a_bootstrapped_root() {
    let mut world = world::World::new();
    let root = world.path("root");
    sh(world.dir.path(), BOOTSTRAP);
    for (name, builders) in [("hello", 2), ("time", 2), ("ed", 1)] {
        let deb = fs::read_dir(&root)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.file_name().unwrap().to_string_lossy().starts_with(&format!("{name}_")));
        let package = package::deb::read(fs::File::open(deb.unwrap()).unwrap(), &package::deb::Limits::default()).unwrap();
        let control = &package.control;
        let purl = attest::Purl::deb("debian", &control.name, &control.version, &control.architecture).unwrap();
        for number in 1..=builders {
            world.claim(&format!("builder-{number}"), &purl, &package.manifest);
        }
    }
    world.advise(Action::Warn, "pkg:deb/debian/time");
    world.configure(ENFORCE);
    world.fill_cache(world.head());
    let script = format!(
        "install -D {} root/usr/bin/tally; mkdir -p root/etc/tallystick root/var/lib/tallystick; cp policy.toml witness.policy root/etc/tallystick; sed 's,\"cache\",\"/var/lib/tallystick/cache\",' tally.toml > root/etc/tallystick/tally.toml; cp -r cache root/var/lib/tallystick",
        env!("CARGO_BIN_EXE_tally")
    );
    sh(world.dir.path(), &script);
    let inside = |command: &str| {
        let output = std::process::Command::new("chroot").arg(&root).args(["sh", "-c", command]).env("LC_ALL", "C").output().unwrap();
        println!("# {command}\n{}", String::from_utf8_lossy(&output.stderr));
        world::Outcome::of(&output)
    };
    let set_up = inside("tally setup apt --program /usr/bin/tally");
    assert_eq!(set_up.status, 0, "{set_up:?}");
    let installed = |name: &str| inside(&format!("dpkg-query -W -f '${{db:Status-Abbrev}}' {name}")).stdout.starts_with("ii");
    let hello = inside("apt-get install -y hello");
    assert!(hello.status == 0 && hello.stderr.contains("1 as at least 2 builders attest") && installed("hello"), "{hello:?}");
    for (name, words) in [("ed", "too-few-builders"), ("time", "warned "), ("bc", "unattested")] {
        let stopped = inside(&format!("apt-get install -y {name}"));
        assert!(stopped.status == 100 && stopped.stderr.contains(words) && !installed(name), "{stopped:?}");
    }
    assert_eq!(
        inside("tally gate allow --once --reason 'seen by hand' ed && apt-get install -y ed && apt-get remove -y ed hello").status,
        0
    );
    assert_eq!(inside("rm /usr/bin/tally; apt-get install -y bc").status, 0, "a missing program stops nothing");
}

const BOOTSTRAP: &str = r#"
suite=$(. /etc/os-release; printf %s "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Codename: $suite" | head -n 1)
mmdebstrap --quiet --variant=apt "$suite" root "deb $mirror $suite main"
cp /etc/resolv.conf root/etc/
chroot root sh -c 'cd /; apt-get update -q; apt-get download -q hello ed time'
"#;

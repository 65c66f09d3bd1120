//! Each row of the table of exit statuses, and each difference that has its explanation, on real roots made with dpkg. Needs root.

mod world;

use std::path::Path;

use attest::predicate::Action;
use attest::roles::KeyState;
use world::packages::{Root, base};
use world::{World, now, observed_mode};

fn fresh() -> (World, Root) {
    let world = base().world();
    world.fill_cache(world.head());
    (world, base().root())
}

#[track_caller]
fn expect(world: &World, root: &Root, status: i32, findings: &[&str]) {
    let outcome = world.verify(root.path());
    assert_eq!(
        (outcome.status, outcome.findings(false)),
        (status, findings.iter().map(|text| (*text).to_owned()).collect()),
        "{outcome:?}"
    );
}

#[test]
fn an_untouched_root_is_clean_and_says_what_was_hashed() {
    let (world, root) = fresh();
    let outcome = world.verify(root.path());
    assert_eq!((outcome.status, outcome.findings(false)), (0, Vec::new()), "{outcome:?}");
    let json = outcome.json();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["packages"], serde_json::json!({ "installed": 6, "judged": 6, "attested": 6 }));
    assert_eq!(json["files"]["hashed"], serde_json::json!({ "config": 3, "fixed": 14, "optional": 2 }));
    let text = world.tally(&["verify", "--all", "--root", root.path().to_str().unwrap()]);
    assert!(text.stdout.contains("files hashed by tag: 3 config, 14 fixed, 2 optional"), "{}", text.stdout);
    let bare = world.tally(&["verify", "--root", root.path().to_str().unwrap(), "--offline"]);
    assert_eq!((bare.status, bare.stdout.lines().last()), (0, text.stdout.lines().last()), "without packages, all are judged");
}

/// One manipulation each: what is done, the exit status, and everything that is found.
const MANIPULATIONS: &[(&str, i32, &[&str])] = &[
    ("printf A | dd of=usr/bin/basic conv=notrunc status=none", 1, &["modified /usr/bin/basic", "modified /usr/bin/basic-hard"]),
    ("echo >> usr/lib/basic/lib.so", 1, &["modified /usr/lib/basic/lib.so"]),
    ("truncate -s -1 usr/lib/basic/lib.so", 1, &["modified /usr/lib/basic/lib.so"]),
    (
        "touch -r usr/lib/basic/lib.so t; printf A | dd of=usr/lib/basic/lib.so conv=notrunc status=none; touch -r t usr/lib/basic/lib.so; rm t",
        1,
        &["modified /usr/lib/basic/lib.so"],
    ),
    ("echo >> usr/lib/module.ko", 1, &["modified /lib/module.ko"]),
    ("echo >> usr/share/doc/basic/copyright", 1, &["modified /usr/share/doc/basic/copyright"]),
    ("echo >> usr/share/locale/de/LC_MESSAGES/basic.mo", 1, &["modified /usr/share/locale/de/LC_MESSAGES/basic.mo"]),
    ("echo >> usr/share/basic/a*", 1, &["modified /usr/share/basic/a b\\377"]),
    ("chmod 700 usr/bin/capper", 1, &["mode /usr/bin/capper"]),
    ("chmod u+s usr/bin/capper", 1, &["mode /usr/bin/capper"]),
    ("chmod u-s usr/bin/suid", 1, &["mode /usr/bin/suid"]),
    ("chmod o+w usr/lib/basic", 1, &["mode /usr/lib/basic"]),
    ("chown 1000 usr/bin/capper", 1, &["owner /usr/bin/capper"]),
    ("chgrp 1000 usr/bin/capper", 1, &["owner /usr/bin/capper"]),
    ("setcap cap_net_raw+ep usr/bin/capper", 1, &["capability /usr/bin/capper"]),
    (
        "python3 -c 'import os,struct; os.setxattr(\"usr/bin/capper\", \"system.posix_acl_access\", struct.pack(\"<I\", 2) + b\"\".join(struct.pack(\"<HHI\", *e) for e in [(1,7,0xffffffff),(2,7,1000),(4,5,0xffffffff),(16,5,0xffffffff),(32,5,0xffffffff)]))'",
        1,
        &["capability /usr/bin/capper"],
    ),
    ("ln -sf ../bin/suid usr/bin/basic-link", 1, &["modified /usr/bin/basic-link"]),
    ("rm usr/bin/basic-link; cp -a usr/bin/basic usr/bin/basic-link", 1, &["modified /usr/bin/basic-link"]),
    ("mv usr/bin/capper opt; ln -s ../../opt usr/bin/capper", 1, &["modified /usr/bin/capper"]),
    ("rm usr/bin/capper; mkdir usr/bin/capper", 1, &["modified /usr/bin/capper"]),
    ("mkdir opt; mv usr/lib/basic opt; ln -s ../../opt/basic usr/lib/basic", 1, &["modified /usr/lib/basic"]),
    ("rm usr/bin/capper", 1, &["missing /usr/bin/capper"]),
    ("rmdir var/lib/basic", 1, &["missing /var/lib/basic"]),
    ("rm -r usr/share/doc usr/share/locale", 0, &[]),
    ("cp -a usr/bin/basic t; mv t usr/bin/basic", 0, &[]),
    ("ln -f usr/bin/suid usr/bin/capper", 1, &["modified /usr/bin/capper"]),
    ("echo changed >> etc/basic.conf", 0, &[]),
    ("rm etc/basic.conf", 0, &[]),
    ("chmod 600 etc/basic.conf", 0, &[]),
    ("chmod 666 etc/basic.conf", 1, &["mode /etc/basic.conf"]),
    ("chmod 755 etc/basic.conf; echo >> etc/basic.conf", 1, &["modified /etc/basic.conf"]),
    ("echo changed >> etc/init.d/basic", 1, &["modified /etc/init.d/basic"]),
    ("echo changed >> usr/share/basic/conf", 1, &["modified /usr/share/basic/conf"]),
    ("rm usr/share/basic/conf", 1, &["missing /usr/share/basic/conf"]),
    ("cp usr/bin/basic usr/bin/tool", 1, &["modified /usr/bin/tool"]),
    ("echo >> usr/bin/tool.old", 1, &["modified /usr/bin/tool"]),
    ("rm usr/bin/tool", 1, &["missing /usr/bin/tool"]),
    (
        "dpkg-divert --root=$PWD --local --add --rename --divert /usr/bin/capper.real /usr/bin/capper >/dev/null; printf evil > usr/bin/capper; chmod 755 usr/bin/capper",
        1,
        &["modified /usr/bin/capper"],
    ),
    ("dpkg-divert --root=$PWD --local --add --rename --divert /usr/bin/capper.real /usr/bin/capper >/dev/null", 0, &[]),
    (
        "printf '/usr/bin/capper\\n/usr/bin/capper.real\\ntaker\\n' >> var/lib/dpkg/diversions; mv usr/bin/capper usr/bin/capper.real; printf evil > usr/bin/capper; chmod 755 usr/bin/capper",
        1,
        &["modified /usr/bin/capper"],
    ),
    ("echo 'root root 775 /usr/bin/capper' >> var/lib/dpkg/statoverride; chmod 775 usr/bin/capper", 1, &["mode /usr/bin/capper"]),
    ("echo 'root root 4755 /usr/bin/capper' >> var/lib/dpkg/statoverride; chmod 4755 usr/bin/capper", 1, &["mode /usr/bin/capper"]),
    ("echo 'user root 755 /usr/bin/capper' >> var/lib/dpkg/statoverride; chown 1000 usr/bin/capper", 1, &["owner /usr/bin/capper"]),
    (
        "echo 'root messagebus 750 /usr/bin/capper' >> var/lib/dpkg/statoverride; chown root:101 usr/bin/capper; chmod 750 usr/bin/capper",
        0,
        &[],
    ),
    ("echo >> usr/share/shared/data", 1, &["modified /usr/share/shared/data"]),
    ("printf shared > usr/share/basic/taken", 0, &[]),
    ("printf neither > usr/share/basic/taken", 1, &["modified /usr/share/basic/taken"]),
    ("rm usr/bin/capper; mkfifo usr/bin/capper", 1, &["modified /usr/bin/capper"]),
    ("rm usr/bin/capper; mknod usr/bin/capper c 1 5", 1, &["modified /usr/bin/capper"]),
    ("rm usr/bin/capper; mknod usr/bin/capper b 7 0", 1, &["modified /usr/bin/capper"]),
    (
        "rm usr/bin/capper; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"usr/bin/capper\")'; chmod 755 usr/bin/capper",
        1,
        &["modified /usr/bin/capper"],
    ),
    ("truncate -s 1T usr/bin/capper", 1, &["modified /usr/bin/capper"]),
    ("rm -r usr/lib/basic; ln -s basic usr/lib/basic", 1, &["modified /usr/lib/basic", "unreadable /usr/lib/basic/lib.so"]),
    ("rm -r usr/lib/basic; ln -s /proc/self/root/usr usr/lib/basic", 1, &["modified /usr/lib/basic", "missing /usr/lib/basic/lib.so"]),
    ("sed -i '/taken/d' var/lib/dpkg/info/taker.list", 0, &[]),
    ("sed -i '/capper/d' var/lib/dpkg/info/basic.list; printf evil > usr/bin/capper", 1, &["modified /usr/bin/capper"]),
    ("sed -i '/^Package: basic/,/^$/s/^Version: .*/Version: 0.9-1/' var/lib/dpkg/status", 2, &["unattested basic 0.9-1 amd64"]),
    ("rm lib; cp -a usr/lib lib; printf evil > lib/module.ko", 1, &["modified /lib/module.ko"]),
];

#[test]
fn every_manipulation_is_found_and_nothing_else() {
    let world = base().world();
    let mut wrong = Vec::new();
    for (script, status, findings) in MANIPULATIONS {
        world.fill_cache(world.head());
        let root = base().root();
        root.sh(script);
        let outcome = world.verify(root.path());
        let mut found = if outcome.status >= 10 { vec![outcome.stderr.clone()] } else { outcome.findings(false) };
        let mut expected: Vec<String> = findings.iter().map(|text| (*text).to_owned()).collect();
        found.sort();
        expected.sort();
        if outcome.status != *status || found != expected {
            wrong.push(format!("{script}\n  expected {status} {expected:?}\n  found    {} {found:?}", outcome.status));
        }
    }
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), MANIPULATIONS.len(), wrong.join("\n"));
}

#[test]
fn observations_by_enough_builders_explain_what_scripts_did() {
    let (mut world, root) = fresh();
    let (purl, manifest) = base().manifest("basic");
    root.sh("chmod 4755 usr/bin/capper");
    world.observe("builder-1", &purl, &manifest, vec![observed_mode("usr/bin/capper", "04755")]);
    world.fill_cache(world.head());
    expect(&world, &root, 1, &["mode /usr/bin/capper"]);
    world.observe("builder-2", &purl, &manifest, vec![observed_mode("usr/bin/capper", "04755")]);
    world.fill_cache(world.head());
    expect(&world, &root, 0, &[]);
    root.sh("chown 1000 usr/bin/capper; chmod 4755 usr/bin/capper");
    expect(&world, &root, 1, &["mode /usr/bin/capper", "owner /usr/bin/capper"]);
}

#[test]
fn the_policy_allows_a_state_and_only_that() {
    let (world, root) = fresh();
    root.sh("chmod 4755 usr/bin/capper");
    world.configure("builders = 2\n[[allow]]\npath = \"/usr/bin/capper\"\nmode = \"4755\"\n");
    expect(&world, &root, 0, &[]);
    root.sh("chmod 6755 usr/bin/capper");
    expect(&world, &root, 1, &["mode /usr/bin/capper"]);
}

#[test]
fn no_claim_too_few_dissent_and_conflict() {
    let (purl, manifest) = base().manifest("basic");
    let mut lie = attest::manifest::ManifestBuilder::new(*manifest.package());
    for entry in manifest.entries().iter().filter(|entry| entry.path == b"usr/bin/suid") {
        let (node, attributes) = (entry.node.clone(), entry.attributes.clone().unwrap());
        lie.push(&entry.path, node, attributes, entry.class, None).unwrap();
    }
    let lie = lie.finish().unwrap();
    let root = base().root();
    // Nobody attests the package that took this file over, so it cannot excuse the difference.
    root.sh("printf shared > usr/share/basic/taken");
    let mut world = World::new();
    let judge = |world: &World, root: &Root| {
        world.fill_cache(world.head());
        let outcome = world.tally(&["verify", "basic", "--json", "--root", root.path().to_str().unwrap()]);
        (outcome.status, outcome.findings(false).iter().map(|text| text.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>())
    };
    let found = |status: i32, kind: &str| (status, vec![kind.to_owned()]);
    assert_eq!(judge(&world, &root), found(2, "unattested"));
    world.claim("builder-1", &purl, &manifest);
    assert_eq!(judge(&world, &root), found(2, "too-few-builders"));
    world.claim("builder-1", &purl, &manifest);
    assert_eq!(judge(&world, &root), found(2, "too-few-builders"), "keys are counted, not leaves");
    world.claim("stranger", &purl, &manifest);
    assert_eq!(judge(&world, &root), found(2, "too-few-builders"), "unknown keys do not count");
    world.claim("builder-2", &purl, &lie);
    assert_eq!(judge(&world, &root), found(1, "builder-conflict"));
    world.claim("builder-3", &purl, &manifest);
    assert_eq!(judge(&world, &root), found(2, "dissent"));
    let text = world.tally(&["verify", "basic", "--root", root.path().to_str().unwrap()]).stdout;
    assert!(text.contains("builder-2 (entry 4)") && text.contains("./etc/basic.conf"), "{text}");
    let mut lone = World::new();
    lone.claim("builder-1", &purl, &manifest);
    let last = lone.claim("builder-2", &purl, &manifest);
    assert_eq!(judge(&lone, &root), (0, Vec::new()));
    lone.change_roles(|roles| roles.builders[1].state = KeyState::CompromisedFrom(last + 1));
    assert_eq!(judge(&lone, &root), (0, Vec::new()), "what was said before still stands");
    lone.change_roles(|roles| roles.builders[1].state = KeyState::CompromisedFrom(last));
    assert_eq!(judge(&lone, &root), found(2, "too-few-builders"));
}

#[test]
fn roles_of_another_log_bind_nobody() {
    let mut world = World::with_roles(|roles| roles.origin = "another.example/log".into());
    let (purl, manifest) = base().manifest("basic");
    world.claim("builder-1", &purl, &manifest);
    world.claim("builder-2", &purl, &manifest);
    world.fill_cache(world.head());
    let outcome = world.verify(base().root().path());
    assert_eq!(outcome.status, 11, "{outcome:?}");
    assert!(outcome.stderr.contains("another.example/log, which is another log"), "{outcome:?}");
}

#[test]
fn ambiguous_packages_are_judged_by_the_file_that_fits() {
    let (mut world, root) = fresh();
    let (purl, manifest) = base().manifest("basic");
    let mut other = attest::manifest::ManifestBuilder::new(tlog::Hash::digest(b"another package file"));
    let entry = manifest.entry(b"usr/bin/suid").unwrap();
    other.push(&entry.path, attest::manifest::Node::Fifo, entry.attributes.clone().unwrap(), entry.class, None).unwrap();
    let other = other.finish().unwrap();
    world.claim("builder-1", &purl, &other);
    world.claim("builder-2", &purl, &other);
    world.fill_cache(world.head());
    let outcome = world.verify(root.path());
    assert_eq!((outcome.status, outcome.findings(false)), (0, Vec::new()), "{outcome:?}");
    assert!(outcome.findings(true).contains(&"ambiguous-package basic 1.0-1 amd64".to_owned()));
    root.sh("echo >> usr/bin/suid");
    expect(&world, &root, 1, &["modified /usr/bin/suid"]);
    let root = base().root();
    root.sh("mode=$(stat -c %a usr/bin/suid); rm usr/bin/suid; mkfifo usr/bin/suid; chmod $mode usr/bin/suid");
    expect(&world, &root, 0, &[]);
}

#[test]
fn warnings_and_their_withdrawal() {
    let (mut world, root) = fresh();
    world.advise(Action::Warn, "pkg:deb/debian/basic");
    world.fill_cache(world.head());
    expect(&world, &root, 4, &["warned basic 1.0-1 amd64"]);
    root.sh("echo >> usr/bin/suid");
    let outcome = world.verify(root.path());
    assert_eq!(outcome.status, 1, "1 stands before 4");
    world.advise(Action::Withdraw, "");
    world.fill_cache(world.head());
    expect(&world, &root, 1, &["modified /usr/bin/suid"]);
}

#[test]
fn old_heads_are_stale_by_the_witnesses_times_alone() {
    let (world, root) = fresh();
    let size = world.leaves.len();
    world.fill_cache(world.checkpoint(size, &[(1, now() - 7200), (2, now() - 7200)]));
    expect(&world, &root, 3, &["stale-head "]);
    world.fill_cache(world.checkpoint(size, &[(1, now() - 7200), (2, now())]));
    expect(&world, &root, 3, &["stale-head "]);
    world.fill_cache(world.checkpoint(size, &[(1, now() - 7200), (2, now()), (3, now())]));
    expect(&world, &root, 0, &[]);
    world.fill_cache(world.checkpoint(size, &[(1, now()), (2, now()), (3, now() + 86_400)]));
    expect(&world, &root, 0, &[]);
    world.fill_cache(world.checkpoint(size, &[(1, now() + 86_400), (2, now() + 86_400)]));
    expect(&world, &root, 13, &["clock-behind "]);
}

#[test]
fn control_heads_say_whether_warnings_are_complete() {
    let (mut world, root) = fresh();
    let words = |world: &World| world.verify(root.path()).json()["completeness"].as_str().unwrap().to_owned();
    assert!(words(&world).starts_with("the log's word"));
    world.configure("builders = 2\nmax_control_head_age = \"1h\"\n");
    expect(&world, &root, 3, &["stale-control-head "]);
    world.control_head(0, 1, now());
    world.fill_cache(world.head());
    expect(&world, &root, 0, &[]);
    assert!(words(&world).starts_with("the security team vouched"));
    world.control_head(1, 1, now());
    world.fill_cache(world.head());
    expect(&world, &root, 3, &["stale-control-head "]);
    let mut world = base().world();
    world.control_head(0, 2, now());
    world.fill_cache(world.head());
    expect(&world, &root, 3, &["stale-roles "]);
    let mut world = base().world();
    world.control_head(0, 1, now() - 90_000);
    world.fill_cache(world.head());
    expect(&world, &root, 3, &["stale-control-head "]);
}

#[test]
fn without_a_verdict_the_status_is_ten_and_above() {
    let (world, root) = fresh();
    let path = root.path().to_str().unwrap();
    let run = |world: &World, arguments: &[&str]| {
        let outcome = world.tally(arguments);
        assert!(outcome.stderr.contains("error: ") && outcome.stderr.contains("hint: "), "{outcome:?}");
        outcome.status
    };
    assert_eq!(run(&world, &["verify", "nothing", "--root", path]), 10);
    assert_eq!(run(&world, &["verify", "--all", "--root", "/nowhere"]), 10);
    assert_eq!(world.tally(&["verify", "--all", "basic"]).status, 64);
    assert_eq!(world.tally(&["verify", "--all", "--unknown"]).status, 64);
    std::fs::remove_file(world.path("cache/known")).unwrap();
    assert_eq!(run(&world, &["verify", "--all", "--root", path]), 11);
    std::fs::write(world.path("cache/known"), "garbage").unwrap();
    assert_eq!(run(&world, &["verify", "--all", "--root", path]), 11);
    world.fill_cache(world.checkpoint(world.leaves.len(), &[(1, now())]));
    assert_eq!(run(&world, &["verify", "--all", "--root", path]), 11);
    world.fill_cache(world.head());
    root.sh("mv var/lib/dpkg/status s; printf 'junk' > var/lib/dpkg/status");
    assert_eq!(run(&world, &["verify", "--all", "--root", path]), 16);
    world.configure("builders = 0");
    assert_eq!(run(&world, &["verify", "--all", "--root", path]), 15);
}

#[test]
fn a_running_package_manager_is_waited_for_by_the_user() {
    let (world, root) = fresh();
    root.sh("touch var/lib/dpkg/lock");
    let lock = root.path().join("var/lib/dpkg/lock");
    let script = "import fcntl,sys; f=open(sys.argv[1],'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()";
    let mut holder = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(&lock)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.take().unwrap()), &mut String::new()).unwrap();
    let outcome = world.verify(root.path());
    drop(holder.stdin.take());
    holder.wait().unwrap();
    assert_eq!(outcome.status, 12, "{outcome:?}");
    expect(&world, &root, 0, &[]);
}

#[test]
fn damaged_or_lost_manifests_leave_no_verdict() {
    let (world, root) = fresh();
    let (_, manifest) = base().manifest("basic");
    let file = world.path("cache/manifests").join(manifest.root().to_hex());
    let mut text = std::fs::read(&file).unwrap();
    let last = text.len() - 5;
    text[last] ^= 1;
    std::fs::write(&file, text).unwrap();
    expect(&world, &root, 11, &["cache-incomplete basic 1.0-1 amd64"]);
    std::fs::remove_file(&file).unwrap();
    expect(&world, &root, 11, &["cache-incomplete basic 1.0-1 amd64"]);
    root.sh("echo >> usr/lib/amd64/libshared.so");
    assert_eq!(world.verify(root.path()).status, 1, "1 stands before 10 and above");
}

#[test]
fn a_tampered_cache_is_refused() {
    let (world, root) = fresh();
    let known = world.path("cache/known");
    let whole = std::fs::read(&known).unwrap();
    for position in (0..whole.len()).step_by(whole.len() / 40) {
        let mut bytes = whole.clone();
        bytes[position] ^= 1;
        std::fs::write(&known, bytes).unwrap();
        let outcome = world.verify(root.path());
        assert_eq!(outcome.status, 11, "byte {position}: {outcome:?}");
    }
}

#[test]
fn accepted_findings_are_silent_and_reported() {
    let (world, root) = fresh();
    root.sh("printf patched > usr/bin/capper");
    let json = world.verify(root.path()).json();
    let digest = json["findings"][0]["sha256"].as_str().unwrap().to_owned();
    world.configure("builders = 2\naccept = \"accept.toml\"\n");
    let entry = |expires: &str| {
        format!("[[accept]]\npath = \"/usr/bin/capper\"\nsha256 = \"{digest}\"\nreason = \"patched here\"\nexpires = \"{expires}\"\n")
    };
    std::fs::write(world.path("accept.toml"), entry("2099-01-01")).unwrap();
    let outcome = world.verify(root.path());
    assert_eq!((outcome.status, outcome.findings(true).contains(&"accepted /usr/bin/capper".to_owned())), (0, true), "{outcome:?}");
    std::fs::write(world.path("accept.toml"), entry("2020-01-01")).unwrap();
    assert_eq!(world.verify(root.path()).status, 1);
    root.sh("printf other > usr/bin/capper");
    std::fs::write(world.path("accept.toml"), entry("2099-01-01")).unwrap();
    assert_eq!(world.verify(root.path()).status, 1);
}

#[test]
fn a_list_kept_elsewhere_finds_hidden_and_rolled_back_packages() {
    let (world, root) = fresh();
    let list = world.path("list");
    let judge = |text: &str| {
        std::fs::write(&list, text).unwrap();
        let path = root.path().to_str().unwrap();
        let outcome = world.tally(&["verify", "--all", "--json", "--root", path, "--expect", list.to_str().unwrap()]);
        (outcome.status, outcome.findings(false))
    };
    assert_eq!(judge("basic 1.0-1\n"), (0, Vec::new()));
    assert_eq!(judge("basic 0.9-1\n"), (0, Vec::new()));
    assert_eq!(judge("basic 2.0-1\n"), (1, vec!["rolled-back basic 2.0-1".to_owned()]));
    assert_eq!(judge("gone 1.0-1\n"), (1, vec!["hidden gone 1.0-1".to_owned()]));
    assert_eq!(judge("shared:arm64 1.0-1\n"), (1, vec!["hidden shared 1.0-1".to_owned()]));
}

#[test]
fn no_network_is_used_and_none_is_needed() {
    let (world, root) = fresh();
    root.sh("echo >> usr/bin/suid");
    let path = root.path().to_str().unwrap();
    let arguments = ["verify", "--all", "--offline", "--json", "--root", path];
    let online = world.tally(&arguments);
    let offline = world.tally_by(&["unshare", "-n"], &arguments);
    assert_eq!((online.status, online.findings(true)), (offline.status, offline.findings(true)));
    assert_eq!(offline.status, 1);
    let deb = base().deb("basic");
    for arguments in
        [arguments.to_vec(), vec!["explain", "/usr/bin/suid", "--root", path], vec!["check", "--offline", deb.to_str().unwrap()]]
    {
        let trace = world.path("trace");
        let traced = world.tally_by(&["strace", "-f", "-qq", "-e", "trace=%network", "-o", trace.to_str().unwrap()], &arguments);
        assert!(traced.status < 2, "{traced:?}");
        let calls = std::fs::read_to_string(&trace).unwrap();
        let calls: Vec<&str> = calls.lines().filter(|line| line.contains('(')).collect();
        assert_eq!(calls, Vec::<&str>::new(), "{arguments:?}");
    }
}

#[test]
fn a_file_is_explained() {
    let (world, root) = fresh();
    root.sh("printf evil > usr/bin/suid");
    let path = root.path().to_str().unwrap();
    println!("{}", world.tally(&["verify", "--all", "--root", path]).stdout);
    let outcome = world.tally(&["explain", "/usr/bin/suid", "--root", path]);
    assert_eq!(outcome.status, 1, "{outcome:?}");
    for part in [
        "belongs to    basic 1.0-1 amd64",
        "builder-1 (entry 1), builder-2 (entry 2)",
        "tag fixed",
        "mode 4755 root:root",
        "[[accept]]",
        "cosigned by   w1, w2",
    ] {
        assert!(outcome.stdout.contains(part), "{part}: {}", outcome.stdout);
    }
    println!("{}", outcome.stdout);
    assert_eq!(world.tally(&["explain", "/usr/bin/basic", "--root", path]).status, 0);
    assert_eq!(world.tally(&["explain", "/bin/basic", "--root", path]).status, 0);
    assert_eq!(world.tally(&["explain", "/no/such", "--root", path]).status, 10);
    assert_eq!(world.tally(&["explain", "relative", "--root", path]).status, 64);
}

#[test]
fn package_files_are_judged_before_they_are_installed() {
    let (world, _root) = fresh();
    let deb = |name: &str| base().deb(name).to_str().unwrap().to_owned();
    let check = |files: &[&str]| {
        let outcome = world.tally(&[&["check", "--offline", "--json"], files].concat());
        (outcome.status, outcome.findings(false).len())
    };
    assert_eq!(check(&[&deb("basic"), &deb("taker")]), (0, 0));
    let altered = world.path("altered.deb");
    world::packages::sh(
        Path::new("/"),
        &format!(
            "d=$(mktemp -d); dpkg-deb -R {} $d; echo >> $d/usr/bin/suid; dpkg-deb --root-owner-group -b $d {} >/dev/null; rm -r $d",
            deb("basic"),
            altered.display()
        ),
    );
    assert_eq!(check(&[altered.to_str().unwrap()]), (2, 1));
    std::fs::write(world.path("cut.deb"), &std::fs::read(deb("basic")).unwrap()[..900]).unwrap();
    assert_eq!(check(&[world.path("cut.deb").to_str().unwrap()]), (2, 1));
    assert_eq!(check(&["/nowhere.deb"]), (2, 1));
}

#[test]
fn half_installed_packages_are_judged_and_said() {
    let (world, root) = fresh();
    root.sh("sed -i '/^Package: basic/,/^$/s/^Status: .*/Status: install ok unpacked/' var/lib/dpkg/status");
    let outcome = world.verify(root.path());
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(outcome.findings(true).contains(&"package-state basic 1.0-1 amd64".to_owned()));
    root.sh("sed -i '/^Package: basic/,/^$/s/^Status: .*/Status: deinstall ok config-files/' var/lib/dpkg/status; rm usr/bin/suid");
    expect(&world, &root, 0, &[]);
}

#[test]
fn hostile_roots_neither_hang_nor_lead_outside() {
    let hostile: &[(&str, i32)] = &[
        ("rm etc/passwd; mkfifo etc/passwd", 10),
        ("rm etc/passwd; ln -s /etc/passwd etc/passwd", 10),
        ("rm etc/group; mkdir etc/group", 10),
        ("rm var/lib/dpkg/status; mkfifo var/lib/dpkg/status", 16),
        ("rm var/lib/dpkg/status; ln -s ../../../../../../../../var/lib/dpkg/status var/lib/dpkg/status", 16),
        ("rm var/lib/dpkg/status; mknod var/lib/dpkg/status c 1 5", 16),
        ("rm var/lib/dpkg/status", 16),
        ("truncate -s 1T var/lib/dpkg/status", 16),
        ("head -c 1000000 /dev/urandom > var/lib/dpkg/diversions", 16),
        ("rm -r var; ln -s / var", 16),
        ("rm etc/os-release; ln -s /dev/zero etc/os-release", 0),
        ("rm -rf usr; ln -s / usr", 1),
    ];
    let world = base().world();
    for (script, status) in hostile {
        world.fill_cache(world.head());
        let root = base().root();
        root.sh(script);
        let outcome = world.verify(root.path());
        assert_eq!(outcome.status, *status, "{script}: {outcome:?}");
    }
}

#[test]
fn what_cannot_be_read_is_never_clean() {
    let (world, root) = fresh();
    let open = |path: &Path| world::packages::sh(path, "chmod -R go+rX .");
    open(world.dir.path());
    root.sh("chmod 755 .; chmod 600 usr/lib/basic/lib.so");
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let path = root.path().to_str().unwrap();
    let outcome = world.tally_by(&nobody, &["verify", "--all", "--json", "--root", path]);
    assert_eq!((outcome.status, outcome.findings(false)), (2, vec!["unreadable /usr/lib/basic/lib.so".to_owned()]), "{outcome:?}");
    root.sh("chmod 644 usr/lib/basic/lib.so; chmod 700 usr/lib/basic");
    let outcome = world.tally_by(&nobody, &["verify", "--all", "--json", "--root", path]);
    assert_eq!(outcome.status, 1, "the directory's mode is seen");
    assert!(outcome.findings(false).contains(&"unreadable /usr/lib/basic/lib.so".to_owned()), "{outcome:?}");
}

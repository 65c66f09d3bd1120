//! The gates of dnf, zypper and pacman, with the real package managers inside roots of their own: what passes, what stops before anything
//! is installed, and that nothing bricks them. Needs root; all but one need a Debian mirror and run as `make gates`.

#[path = "gates/manager.rs"]
mod manager;
#[path = "gates/small.rs"]
mod small;
mod world;
#[path = "gates/yard.rs"]
mod yard;

use std::path::PathBuf;

use manager::{DNF4, DNF5, Manager, PACMAN, ZYPPER};
use yard::{ENFORCE, KINDS, WARN, Yard};

/// What is tried, in a table.
struct Table<'a> {
    yard: &'a Yard,
    manager: &'a Manager,
    wrong: usize,
    rows: usize,
}

impl Table<'_> {
    /// Something is done and must be installed or not afterwards, with these words said.
    fn row(&mut self, what: &str, command: &str, stops: bool, after: &[(&str, Option<&str>)], words: &[&str]) {
        let expected = if stops { self.manager.stopped } else { 0 };
        let outcome = self.yard.run(command);
        let mut wrong: Vec<String> = Vec::new();
        if stops == (outcome.status == 0) || stops && self.manager.stopped != outcome.status {
            wrong.push(format!("status {}", outcome.status));
        }
        for (name, version) in after {
            let seen = self.manager.installed(self.yard, name);
            if seen.as_deref() != *version {
                wrong.push(format!("{name} is {seen:?}"));
            }
        }
        wrong.extend(words.iter().filter(|word| !outcome.stderr.contains(*word)).map(|word| format!("does not say {word:?}")));
        let seen = if wrong.is_empty() { "as expected".to_owned() } else { wrong.join(", ") };
        println!(
            "{:<4} {:<8} {what:<58} expected {expected:<3} seen {:<3} {seen}",
            if wrong.is_empty() { "ok" } else { "BAD" },
            self.manager.name,
            outcome.status
        );
        if !wrong.is_empty() {
            println!("# {command}\n{}", outcome.stderr);
        }
        self.wrong += usize::from(!wrong.is_empty());
        self.rows += 1;
    }

    fn stops(&mut self, what: &str, packages: &str, words: &[&str]) {
        let after: Vec<(&str, Option<&str>)> = packages.split(' ').map(|name| (name, None)).collect();
        self.row(what, &format!("{} {packages}", self.manager.install), true, &after, words);
    }

    fn passes(&mut self, what: &str, packages: &str, words: &[&str]) {
        let after: Vec<(&str, Option<&str>)> = packages.split(' ').map(|name| (name, Some("1"))).collect();
        self.row(what, &format!("{} {packages}", self.manager.install), false, &after, words);
    }

    fn removes(&mut self, what: &str, package: &str) {
        self.row(what, &format!("{} {package}", self.manager.remove), false, &[(package, None)], &[]);
    }
}

/// Everything that is expected of each of them.
fn try_all(yard: &mut Yard, manager: &Manager) {
    let built: Vec<(&str, PathBuf)> = KINDS.iter().map(|name| (*name, manager.build(yard, name, 1))).collect();
    let good = manager.build(yard, "good", 2);
    let other = manager.build(yard, "other", 2);
    yard.say(&built);
    yard.say(&[("good", good.clone())]);
    if manager.setup == "zypper" {
        // zypper wants a system beneath the packages.
        let system = manager.build(yard, "glibc", 1);
        yard.must(&format!("rpm --dbpath /var/lib/rpm --nodeps -i {}", system.display()));
    }
    let files: Vec<&PathBuf> = built.iter().filter(|(name, _)| *name != "local").map(|(_, file)| file).collect();
    manager.publish(yard, "stable", &files);
    yard.rules(WARN);
    let setup = |more: &str| yard.must(&format!("tally setup {} --program /usr/bin/tally {more}", manager.setup));
    assert!(setup("--dry-run").stdout.contains("would write"));
    setup("");
    assert!(setup("").stdout.contains("already as it should be"));
    let mut table = Table { yard, manager, wrong: 0, rows: 0 };
    before_enforcing(&mut table);
    kinds(&mut table);
    failing(&mut table);
    overridden(&mut table);
    late(&mut table);
    places(&mut table, &built);
    advisories(&mut table);
    manager.publish(yard, "stable", &[&good, &other]);
    upgrade(&mut table);
    never_judged(&table);
    table.yard.must(&format!("tally setup {} --remove", manager.setup));
    table.row("the hook was taken away", &format!("{} {}", manager.local, built[3].1.display()), false, &[("unknown", Some("1"))], &[]);
    println!("{}: {} cases, {} not as expected", manager.name, table.rows, table.wrong);
    assert_eq!(table.wrong, 0);
}

fn before_enforcing(table: &mut Table) {
    table.yard.rules(ENFORCE);
    table.passes("before the first sync it warns", "unknown", &["nothing was synced yet"]);
    table.removes("and removes", "unknown");
    table.yard.rules(WARN);
    table.yard.sync(0);
    table.passes("the default is to warn", "unknown evil", &["2 WARNED OF", "unattested", "warned "]);
    table.removes("what was warned of goes", "unknown");
    table.removes("what was warned of goes", "evil");
}

fn kinds(table: &mut Table) {
    table.yard.rules(ENFORCE);
    table.passes("attested by two of two", "good", &["1 package files, 1 as at least 2 builders attest"]);
    table.stops("attested by nobody", "unknown", &["unattested", "1 REFUSED", "nothing was installed"]);
    table.stops("attested by one of two", "lone", &["too-few-builders"]);
    table.stops("builders contradict each other", "disputed", &["builder-conflict"]);
    table.stops("the security team warns", "evil", &["warned ", "TSA-1"]);
    table.stops(
        "one of two is not attested: neither comes",
        "other unknown",
        &["2 package files, 1 as at least 2", "install the rest without unknown"],
    );
    table.passes("the rest without it", "other", &["1 as at least 2"]);
}

fn failing(table: &mut Table) {
    let yard = table.yard;
    table.removes("removal while all is well", "other");
    yard.sync(7200);
    table.stops("what is known is stale", "other", &["stale-head"]);
    yard.forget();
    table.stops("the cache is gone", "other", &["there is no cache"]);
    yard.sync(0);
    yard.rules("nonsense");
    table.stops("the policy cannot be read", "other", &["policy.toml"]);
    table.removes("removal with such a policy", "good");
    yard.rules(ENFORCE);
    yard.replace_program("#!/bin/sh\nkill -KILL $$\n");
    table.stops("tally is killed", "other", &[]);
    yard.put_program();
    table.passes("tally works again", "other", &[]);
    yard.replace_program("#!/bin/sh\nexit 101\n");
    table.stops("tally crashes", "good", &[]);
    table.removes("removal while it crashes", "other");
    yard.must("rm /usr/bin/tally");
    table.passes("tally is not there", "unknown", &["tally is not there"]);
    table.removes("removal without tally", "unknown");
    yard.put_program();
    table.stops("tally is back", "unknown", &["unattested"]);
}

fn overridden(table: &mut Table) {
    let allowed = table.yard.run("tally gate allow --once --reason 'ticket 17' unknown");
    assert_eq!(allowed.status, 0, "{allowed:?}");
    table.stops("an override for another package", "lone", &["too-few-builders"]);
    table.passes("an override for this one", "unknown", &["overridden once, and recorded: ticket 17"]);
    table.removes("and away", "unknown");
    table.stops("the override was for once", "unknown", &["unattested"]);
    let record = table.yard.record();
    let overridden = record.iter().find(|entry| entry["decision"] == "overridden").unwrap();
    assert_eq!(
        (overridden["reason"].as_str(), overridden["manager"].as_str()),
        (Some("ticket 17"), Some(table.manager.setup)),
        "{overridden}"
    );
}

fn places(table: &mut Table, built: &[(&str, PathBuf)]) {
    let (yard, manager) = (table.yard, table.manager);
    let file = |name: &str| built.iter().find(|(built, _)| *built == name).unwrap().1.display();
    let local = |name: &str| format!("{} {}", manager.local, file(name));
    table.row("a file that is attested", &local("local"), false, &[("local", Some("1"))], &["1 as at least 2"]);
    table.row("a file that is not attested", &local("unknown"), true, &[("unknown", None)], &["unattested"]);
    yard.rules(&format!("{ENFORCE}[gate.vendors]\nlocal = \"warn\"\n"));
    // One that no repository has: zypper does not tell which of two of one name and version it takes.
    let mine = format!("{} {}", manager.local, manager.build(yard, "mine", 1).display());
    table.row("local files are only warned of", &mine, false, &[("mine", Some("1"))], &["1 WARNED OF"]);
    table.removes("and away", "mine");
    yard.rules(&format!("{ENFORCE}[gate.vendors]\nexample = \"ignore\"\n"));
    table.passes("a vendor that is not judged", "unknown", &["1 of vendors that are not judged"]);
    table.removes("and away", "unknown");
    yard.rules(ENFORCE);
    let urgent = manager.build(yard, "urgent", 1);
    manager.publish(yard, "stable-security", &[&urgent]);
    table.passes("a security update has a grace", "urgent", &["1 security updates that may still lack claims"]);
    table.removes("and away", "urgent");
    let seen = yard.root.join("var/lib/tallystick/cache-state/seen");
    let text = std::fs::read_to_string(&seen).unwrap();
    let old = world::now() - 49 * 3600;
    std::fs::write(&seen, text.lines().map(|line| format!("{} {old}\n", line.split(' ').next().unwrap())).collect::<String>()).unwrap();
    table.stops("which ends", "urgent", &["unattested"]);
}

/// A repository of any name, one of whose packages an advisory calls a security update. pacman has no advisories.
fn advisories(table: &mut Table) {
    let (yard, manager) = (table.yard, table.manager);
    if manager.kind != "rpm" {
        return;
    }
    let files = ["fixed", "changed"].map(|name| manager.build(yard, name, 1));
    manager.publish(yard, "updates", &files.iter().collect::<Vec<_>>());
    yard.must(ADVISORIES);
    if manager.setup == "zypper" {
        yard.must("zypper --non-interactive --no-gpg-checks refresh --force updates");
    }
    table.passes("an advisory calls it a security update", "fixed", &["1 security updates that may still lack claims"]);
    table.stops("another calls it something else", "changed", &["unattested"]);
    table.removes("and away", "fixed");
}

const ADVISORIES: &str = r#"
set -eu; cd /srv/updates; cat >updateinfo.xml <<'END'
<?xml version="1.0" encoding="UTF-8"?>
<updates>
<update from="a@example.com" status="stable" type="security" version="1"><id>A-1</id><title>fixed</title><release>R</release><issued date="2026-11-01 00:00:00"/><severity>Important</severity><description>A hole</description>
<pkglist><collection short="R"><name>R</name><package name="fixed" version="1" release="1" epoch="0" arch="noarch"><filename>fixed-1-1.noarch.rpm</filename></package></collection></pkglist></update>
<update from="a@example.com" status="stable" type="bugfix" version="1"><id>A-2</id><title>changed</title><release>R</release><issued date="2026-11-01 00:00:00"/><severity>None</severity><description>A bug</description>
<pkglist><collection short="R"><name>R</name><package name="changed" version="1" release="1" epoch="0" arch="noarch"><filename>changed-1-1.noarch.rpm</filename></package></collection></pkglist></update>
</updates>
END
modifyrepo_c updateinfo.xml repodata >/dev/null
"#;

/// libzypp goes on without a plugin that is late.
fn late(table: &mut Table) {
    let (yard, manager) = (table.yard, table.manager);
    if manager.setup != "zypper" {
        return;
    }
    yard.replace_program("#!/bin/sh\nexec sleep 60\n");
    let install = format!("ZYPP_PLUGIN_TIMEOUT=8 {} unknown", manager.install);
    table.row("tally does not answer in time", &install, true, &[("unknown", None)], &["tally failed (status 124)"]);
    yard.put_program();
}

fn upgrade(table: &mut Table) {
    table.yard.rules(ENFORCE);
    let upgrade = table.manager.upgrade;
    // good 1 and other 1 come from files; good 2 is attested, other 2 is not.
    let install = format!("{} /build/good-1-1* /build/other-1-1*", table.manager.local);
    table.row("the old versions, from files", &install, false, &[("good", Some("1")), ("other", Some("1"))], &["2 as at least 2"]);
    table.row(
        "one update is not attested: all wait",
        upgrade,
        true,
        &[("good", Some("1")), ("other", Some("1"))],
        &["other 2-1", "1 REFUSED"],
    );
    let hold = match table.manager.setup {
        "pacman" => format!("{upgrade} --ignore other"),
        "zypper" => format!("zypper --non-interactive addlock other && {upgrade}"),
        _ => format!("{upgrade} --exclude=other"),
    };
    table.row("only it is held back", &hold, false, &[("good", Some("2")), ("other", Some("1"))], &["1 as at least 2"]);
}

/// This machine's pacman, in seconds; and what only pacman needs, since its hooks are told names alone.
#[test]
fn pacman_of_this_machine() {
    let mut yard = Yard::small();
    let built: Vec<(&str, PathBuf)> = ["good", "unknown", "evil"].iter().map(|name| (*name, small::package(&yard.root, name, 1))).collect();
    let newer = small::package(&yard.root, "good", 3);
    yard.say(&built);
    small::publish(&yard.root, &["good", "unknown", "evil"]);
    yard.rules(ENFORCE);
    yard.must("tally setup pacman --program /usr/bin/tally");
    yard.sync(0);
    let mut table = Table { yard: &yard, manager: &PACMAN, wrong: 0, rows: 0 };
    table.passes("attested by two of two", "good", &["1 as at least 2 builders attest"]);
    table.stops("attested by nobody", "unknown", &["unattested", "nothing was installed"]);
    table.stops("the security team warns", "stable/evil", &["warned "]);
    table.row(
        "an older version from a file",
        &format!("pacman -U --noconfirm {}", newer.display()),
        true,
        &[("good", Some("1"))],
        &["unattested"],
    );
    let listed = format!("echo {} | pacman -U --noconfirm -", newer.display());
    table.row("files that are listed to pacman", &listed, true, &[("good", Some("1"))], &["unreadable", "pacman has no file for it"]);
    yard.must("cp /usr/bin/pacman /usr/bin/shop");
    let shop = format!("shop -U --noconfirm {}", newer.display());
    let words = ["it is not pacman that asks", "good 3-1 any was installed, and something else of its name was judged"];
    table.row("another program installs a file", &shop, false, &[("good", Some("3"))], &words);
    yard.replace_program("#!/bin/sh\nexit 101\n");
    table.stops("tally crashes", "unknown", &[]);
    table.removes("removal while it crashes", "good");
    yard.must("rm /usr/bin/tally");
    table.passes("tally is not there", "unknown", &["tally is not there"]);
    assert_eq!(table.wrong, 0, "of {}", table.rows);
    assert_eq!(yard.record().iter().filter(|entry| entry["decision"] == "escaped").count(), 1);
    yard.put_program();
    let status = yard.run("tally gate status");
    assert_eq!(status.status, 2, "{status:?}");
    for words in ["pacman   has a hook, which was last asked at", "1 packages came without being judged:\n  unknown 1-1 any"] {
        assert!(status.stdout.contains(words), "{words}: {status:?}");
    }
    yard.must("tally gate status --seen");
    assert!(yard.must("tally gate status --json").json()["unjudged"].as_array().unwrap().is_empty());
}

/// What was let through is known; what rpm installs alone, or while a hook does not run, is told afterwards.
fn never_judged(table: &Table) {
    let (yard, manager) = (table.yard, table.manager);
    let status = yard.must("tally gate status");
    assert!(status.stdout.contains("nothing came without being judged"), "{status:?}");
    let late = manager.build(yard, "late", 1);
    let escape = match manager.kind {
        "rpm" => "rpm --dbpath /var/lib/rpm --nodeps -i FILE",
        _ => "mv /usr/share/libalpm/hooks /away; pacman -U --noconfirm FILE; mv /away /usr/share/libalpm/hooks",
    };
    yard.must(&escape.replace("FILE", &late.display().to_string()));
    let status = yard.run("tally gate status");
    assert!(status.status == 2 && status.stdout.contains("came without being judged:\n  late 1-1 "), "{status:?}");
    println!("ok   {:<8} what came past it is told", manager.name);
}

const SID: &str =
    "zypper,dnf,dnf5,python3-libdnf5-python-plugins-loader,pacman-package-manager,makepkg,createrepo-c,rpm,zstd,libarchive-tools";
const BOOKWORM: &str = "zypper,dnf,pacman-package-manager,makepkg,createrepo-c,rpm,zstd,libarchive-tools";

#[test]
#[ignore = "makes a Debian root, which takes minutes: run `make gates`"]
fn dnf_4_of_today() {
    try_all(&mut Yard::new("sid", SID), &DNF4);
}

#[test]
#[ignore = "makes a Debian root, which takes minutes: run `make gates`"]
fn dnf_4_of_debian_12() {
    try_all(&mut Yard::new("bookworm", BOOKWORM), &Manager { name: "dnf 4.14", ..DNF4 });
}

#[test]
#[ignore = "makes a Debian root, which takes minutes: run `make gates`"]
fn dnf_5() {
    let mut yard = Yard::new("sid", SID);
    // It keeps packages that were installed, and offers them from a repository of its own.
    yard.must("sed -i 's/^enabled *=.*/enabled = 0/' /etc/dnf/libdnf5-plugins/local.conf");
    try_all(&mut yard, &DNF5);
}

#[test]
#[ignore = "makes a Debian root, which takes minutes: run `make gates`"]
fn pacman_of_today() {
    try_all(&mut Yard::new("sid", SID), &PACMAN);
}

#[test]
#[ignore = "makes a Debian root, which takes minutes: run `make gates`"]
fn pacman_of_debian_12() {
    try_all(&mut Yard::new("bookworm", BOOKWORM), &Manager { name: "pacman 6", ..PACMAN });
}

#[test]
#[ignore = "makes a Debian root, which takes minutes: run `make gates`"]
fn zypper_of_today() {
    try_all(&mut Yard::new("sid", SID), &ZYPPER);
}

#[test]
#[ignore = "makes a Debian root, which takes minutes: run `make gates`"]
fn zypper_of_debian_12() {
    try_all(&mut Yard::new("bookworm", BOOKWORM), &Manager { name: "zypp 17.25", ..ZYPPER });
}

//! Promises about repositories, each kept and broken, as a real zypper meets them: libzypp runs `tally` on every new index.

mod world;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use attest::predicate::{Action, Affected, Stage};
use attest::roles::KeyState;
use tlog::Hash;
use world::packages::sh;
use world::repositories::{Admin, RULES, SUSE, advise, role, see, world};
use world::server::Server;
use world::{Outcome, World, now};

/// `tally setup zypper-refresh`, with the configuration where the root has it.
fn run_setup(more: &[&str]) -> Outcome {
    let command = ["setup", "zypper-refresh"];
    Outcome::of(&Command::new(env!("CARGO_BIN_EXE_tally")).args(command).args(more).output().unwrap())
}

/// A root with zypper, a repository made by createrepo_c, and a log that `tally` in the root asks.
struct Yard {
    world: World,
    admin: Admin,
    server: Server,
    root: PathBuf,
    _dir: tempfile::TempDir,
}

impl Yard {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/root")).args(["sid", PACKAGES]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let base = String::from_utf8(made.stdout).unwrap();
        let root = dir.path().join("root");
        sh(dir.path(), &format!("cp -a --reflink=auto {} root && rm -f root/etc/zypp/repos.d/*.repo", base.trim()));
        sh(&root, &format!("mkdir -p etc/tallystick var/lib/tallystick {PLUGINS} srv/oss"));
        fs::copy(env!("CARGO_BIN_EXE_tally"), root.join("usr/bin/tally")).unwrap();
        // The client of HTTP does not start without any authorities, though none is asked here.
        sh(&root, "mkdir -p etc/ssl/certs && cp /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/");
        let (world, server) = (world(), Server::start());
        fs::copy(world.path("witness.policy"), root.join("etc/tallystick/witness.policy")).unwrap();
        fs::write(root.join("etc/tallystick/policy.toml"), RULES).unwrap();
        let config = format!(
            "log = \"{}\"\nwitness_policy = \"witness.policy\"\npolicy = \"policy.toml\"\ncache = \"/var/lib/tallystick/cache\"\nroles_sha256 = \"{}\"\n",
            server.url, world.roles_sha256
        );
        fs::write(root.join("etc/tallystick/tally.toml"), config).unwrap();
        let yard = Self { world, admin: Admin::new(), server, root, _dir: dir };
        yard.hook();
        let added = yard.run("createrepo_c -q /srv/oss && zypper -n ar -G dir:///srv/oss oss");
        assert_eq!(added.status, 0, "{added:?}");
        yard
    }

    fn hook(&self) {
        let root = self.root.to_str().unwrap();
        let setup = |more: &[&str]| run_setup(&[&["--root", root, "--program", "/usr/bin/tally"], more].concat());
        for (more, said) in [(&[][..], "wrote "), (&[], "already as it should be"), (&["--remove"], "removed "), (&[], "wrote ")] {
            let done = setup(more);
            assert!(done.status == 0 && done.stdout.contains(said), "{said}: {done:?}");
        }
    }

    /// Runs a command inside.
    fn run(&self, command: &str) -> Outcome {
        let script = "mount -t proc proc \"$0/proc\" && exec timeout 120 chroot \"$0\" sh -c \"$1\"";
        let output = Command::new("unshare").args(["-m", "sh", "-c", script]).arg(&self.root).arg(command).env("LC_ALL", "C").output();
        Outcome::of(&output.unwrap())
    }

    /// A new state of the repository, made so many seconds ago.
    fn publish(&self, name: &str, ago: u64) -> String {
        let command = format!(
            "mkdir -p /srv/{name} && createrepo_c -q --revision {} --set-timestamp-to-revision /srv/{name} && cat /srv/{name}/repodata/repomd.xml",
            now() - ago
        );
        let made = self.run(&command);
        assert_eq!(made.status, 0, "{made:?}");
        made.stdout
    }

    /// The mirror serves this state from now on.
    fn serve(&self, name: &str) {
        sh(&self.root, &format!("rm -rf srv/oss/repodata && cp -a srv/{name}/repodata srv/oss/"));
    }

    fn see(&mut self, index: &str, who: &[&str]) {
        see(&mut self.world, SUSE, index, who);
    }

    fn register(&mut self, index: &str) {
        self.admin.register(&mut self.world, SUSE, index);
    }

    /// The log shows what was said so far, vouched for so many seconds ago.
    fn show(&self, ago: u64) {
        let head = self.world.checkpoint(self.world.leaves.len(), &[(1, now() - ago), (2, now() - ago)]);
        self.server.show(&self.world.leaves, &head, &[]);
    }

    /// What zypper has taken in.
    fn taken(&self) -> Option<Hash> {
        fs::read(self.root.join("var/cache/zypp/raw/oss/repodata/repomd.xml")).ok().map(|bytes| Hash::digest(&bytes))
    }

    /// What `tally repo check` and `zypper ref` say to what the mirror serves; a line of the table.
    #[track_caller]
    fn expect(&self, promise: &str, case: &str, status: i32, words: &str) {
        let before = self.taken();
        let check = self.run("tally repo check --alias oss --file /srv/oss/repodata/repomd.xml");
        let zypper = self.run("zypper -n ref -f oss");
        println!("{promise:<11} {case:<44} expected {status}   tally repo check {}   zypper ref {}", check.status, zypper.status);
        assert_eq!(check.status, status, "{check:?}");
        assert!(check.stdout.contains(words), "{words}: {check:?}");
        let served = fs::read(self.root.join("srv/oss/repodata/repomd.xml")).unwrap();
        if status == 0 {
            assert_eq!((zypper.status, self.taken()), (0, Some(Hash::digest(&served))), "{zypper:?}");
        } else {
            let said = format!("{}{}", zypper.stdout, zypper.stderr);
            assert_eq!((zypper.status, self.taken()), (ZYPPER_REFUSED, before), "the old metadata stay: {zypper:?}");
            assert!(said.contains("Metadata rejected by 'tally' plugin") && said.contains(words), "{words}: {said}");
        }
    }
}

#[test]
#[ignore = "bootstraps a Debian root with zypper; make repo-states"]
fn promises_hold_in_a_real_refresh() {
    let mut yard = Yard::new();
    let (monday, tuesday) = (yard.publish("monday", 90_000), yard.publish("tuesday", 7_200));
    for index in [&monday, &tuesday] {
        yard.see(index, &["builder-1", "builder-2"]);
        yard.register(index);
    }
    // First, since a cosignature that was seen once is not forgotten.
    yard.show(7_200);
    yard.serve("tuesday");
    yard.expect("current", "a mirror and a log that are frozen", 3, "stale-head");
    yard.show(0);
    yard.expect("current", "the registered index", 0, "current       yes");
    yard.serve("monday");
    yard.expect("current", "yesterday's index, replayed", 3, "stale, current is repomd.xml");

    let wednesday = yard.publish("wednesday", 3_600);
    yard.see(&wednesday, &["builder-1", "builder-2"]);
    let mut stranger = Admin { key: "builder-3", end: yard.admin.end };
    stranger.register(&mut yard.world, SUSE, &wednesday);
    yard.show(0);
    yard.serve("wednesday");
    yard.expect("registered", "registered by a key without that role", 2, "unregistered");
    yard.register(&wednesday);
    yard.show(0);
    yard.expect("registered", "registered by the assigned admin", 0, "registered    by admin");

    let thursday = yard.publish("thursday", 1_800);
    yard.register(&thursday);
    yard.serve("thursday");
    for (who, case, status, words) in [
        (None, "attested by nobody", 2, "2 builders must have seen this index, and 0 did"),
        (Some("builder-2"), "attested by one of two", 2, "2 builders must have seen this index, and 1 did"),
        (Some("builder-3"), "attested by two", 0, "attested      by 2 builders"),
    ] {
        who.into_iter().for_each(|who| yard.see(&thursday, &[who]));
        yard.show(0);
        yard.expect("attested", case, status, words);
    }

    let digests = vec![Hash::digest(thursday.as_bytes())];
    let warning = advise(&mut yard.world, Action::Warn, vec![Affected { digests, ..Affected::repositories(SUSE) }], None);
    yard.show(0);
    yard.expect("not warned", "the security team warns of the index", 4, "TSA-7 (Critical)");
    advise(&mut yard.world, Action::Withdraw, Vec::new(), Some(warning));
    yard.show(0);
    yard.expect("not warned", "and withdraws", 0, "warned        no");
    for (stage, date, case, status, words) in [
        (Stage::EndOfLife, now() + 86_400, "the admin sets a day for its end", 0, "end of life   not yet, but a day is set"),
        (Stage::EndOfLife, now() - 60, "and the day has come", 3, "says the admin: Nobody repairs it any more."),
        (Stage::Supported, 0, "and takes it back", 0, "end of life   no"),
    ] {
        yard.world.say_end("admin", Affected::repositories(SUSE), stage, date);
        yard.show(0);
        yard.expect("not ended", case, status, words);
    }

    yard.serve("monday");
    yard.expect("hooked", "zypper ref asks tally, and keeps what it had", 3, "stale, current is repomd.xml");
    fs::remove_file(yard.root.join(PLUGINS).join("tally")).unwrap();
    let taken = yard.run("zypper -n ref -f oss");
    assert_eq!((taken.status, yard.taken()), (0, Some(Hash::digest(monday.as_bytes()))), "without tally it takes anything: {taken:?}");
    println!("{:<11} {:<44} expected 0   (not run)            zypper ref {}", "hooked", "the same without tally's plugin", taken.status);
    yard.hook();

    yard.world.change_roles(|roles| {
        roles.admins[0].state = KeyState::Retired;
        roles.admins.push(role("successor", &["pkg:rpm/opensuse/*"]));
    });
    let friday = yard.publish("friday", 60);
    yard.see(&friday, &["builder-1", "builder-2"]);
    let end = yard.admin.end;
    yard.register(&friday);
    yard.show(0);
    yard.serve("friday");
    yard.expect("roles", "registered by the admin whom they retired", 2, "unregistered");
    Admin { key: "successor", end }.register(&mut yard.world, SUSE, &friday);
    yard.show(0);
    yard.expect("roles", "registered by the admin whom they name now", 0, "registered    by successor");
    demanded(&yard);
}

/// What a definition demands with `repo_sigcheck_plugin`, by itself: a plugin that is not there, or does not answer, stops the refresh.
fn demanded(yard: &Yard) {
    assert_eq!(yard.run("echo 'repo_sigcheck_plugin=tallystick oss' >>/etc/zypp/repos.d/oss.repo").status, 0);
    fs::remove_file(yard.root.join(PLUGINS).join("tally")).unwrap();
    let plugin = yard.root.join("usr/lib/zypp/plugins/sigcheck/tallystick");
    let written = fs::read_to_string(&plugin).unwrap();
    let broken = "#!/bin/sh\nexit 0\n";
    for (case, served, program, status, words) in [
        ("the registered index", "friday", Some(&*written), 0, ""),
        ("an index that was replayed", "monday", Some(&*written), ZYPPER_REFUSED, "stale, current is repomd.xml"),
        ("the registered index, and a plugin that ends", "friday", Some(broken), ZYPPER_REFUSED, ""),
        ("the registered index, and no plugin", "friday", None, ZYPPER_REFUSED, ""),
        ("the registered index again", "friday", Some(&*written), 0, ""),
    ] {
        match program {
            Some(text) => fs::write(&plugin, text).unwrap(),
            None => fs::remove_file(&plugin).unwrap(),
        }
        sh(&yard.root, "test ! -e usr/lib/zypp/plugins/sigcheck/tallystick || chmod 755 usr/lib/zypp/plugins/sigcheck/tallystick");
        yard.serve(served);
        let before = yard.taken();
        let zypper = yard.run("zypper -n ref -f oss");
        println!("{:<11} {case:<44} expected {status}   zypper ref {}", "demanded", zypper.status);
        let said = format!("{}{}", zypper.stdout, zypper.stderr);
        assert!(zypper.status == status && said.contains(words), "{case}: {zypper:?}");
        assert!(status == 0 || yard.taken() == before, "the old metadata stay");
    }
    let gate = yard.run("tally gate status --json").json();
    let asked = gate["hooks"].as_array().unwrap().iter().find(|hook| hook["manager"] == "zypper-refresh");
    assert!(asked.is_none(), "the other plugin was taken away: {gate}");
    yard.hook();
    let gate = yard.run("tally gate status --json").json();
    let asked = gate["hooks"].as_array().unwrap().iter().find(|hook| hook["manager"] == "zypper-refresh").unwrap();
    assert!(asked["asked"].is_string(), "the record proves that libzypp asks: {gate}");
}

const PLUGINS: &str = "usr/lib/zypp/plugins/repoverification";
const PACKAGES: &str =
    "zypper,dnf,dnf5,python3-libdnf5-python-plugins-loader,pacman-package-manager,makepkg,createrepo-c,rpm,zstd,libarchive-tools";
/// zypper's status where an action failed in libzypp.
const ZYPPER_REFUSED: i32 = 4;

//! A root of a Debian suite with real package managers, repositories made in it by its own tools, and `tally` inside.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use attest::predicate::Action;
use attest::roles::{RoleKey, Vendor};
use attest::{Manifest, Purl};
use package::deb::Limits;
use tlog::{KeyKind, Signer as _};

use crate::world::packages::sh;
use crate::world::{Outcome, World, key, now};

/// Enforces, from the cache alone.
pub const ENFORCE: &str = "builders = 2\nmax_age = \"1h\"\n[gate]\nmode = \"enforce\"\nask_log = false\n";
pub const WARN: &str = "builders = 2\nmax_age = \"1h\"\n[gate]\nask_log = false\n";

/// The packages of every kind, by what builders and the security team say of them.
pub const KINDS: [&str; 7] = ["good", "other", "local", "unknown", "lone", "disputed", "evil"];

pub struct Yard {
    pub world: World,
    pub root: PathBuf,
    _dir: tempfile::TempDir,
}

impl Yard {
    /// A copy of a root with these Debian packages.
    pub fn new(suite: &str, packages: &str) -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests work inside roots of their own");
        let dir = tempfile::tempdir().unwrap();
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let output = Command::new(workspace.join(".ci/root")).args([suite, packages]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let base = String::from_utf8(output.stdout).unwrap();
        sh(dir.path(), &format!("cp -a --reflink=auto {} root", base.trim()));
        sh(
            dir.path(),
            "mkdir -p root/etc/tallystick root/var/lib/tallystick root/build root/srv; chmod 777 root/build; rm -f root/dev/null; mknod -m 666 root/dev/null c 1 3",
        );
        let root = dir.path().join("root");
        sh(&root, "mount -t proc proc proc");
        let yard = Self { world: world(), root, _dir: dir };
        yard.put_program();
        yard
    }

    /// A root with this machine's pacman.
    pub fn small() -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests work inside roots of their own");
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        crate::small::root(&root);
        sh(&root, "mount -t proc proc proc");
        Self { world: world(), root, _dir: dir }
    }

    pub fn put_program(&self) {
        fs::copy(env!("CARGO_BIN_EXE_tally"), self.root.join("usr/bin/tally")).unwrap();
    }

    /// Another program in the place of `tally`.
    pub fn replace_program(&self, script: &str) {
        fs::remove_file(self.root.join("usr/bin/tally")).unwrap();
        fs::write(self.root.join("usr/bin/tally"), script).unwrap();
        sh(&self.root, "chmod 755 usr/bin/tally");
    }

    /// Runs a command inside, and says so.
    pub fn run(&self, command: &str) -> Outcome {
        let output = Command::new("timeout")
            .args(["120", "chroot"])
            .arg(&self.root)
            .args(["sh", "-c", command])
            .env("LC_ALL", "C")
            .env("HOME", "/root")
            .output()
            .unwrap();
        let mut outcome = Outcome::of(&output);
        // Package managers write what their hooks say where they please.
        outcome.stderr = format!("{}{}", outcome.stdout, outcome.stderr);
        outcome
    }

    #[track_caller]
    pub fn must(&self, command: &str) -> Outcome {
        let outcome = self.run(command);
        assert_eq!(outcome.status, 0, "{command}: {outcome:?}");
        outcome
    }

    /// These rules, for the `tally` inside.
    pub fn rules(&self, rules: &str) {
        self.world.configure(rules);
        let inside = self.root.join("etc/tallystick");
        for file in ["policy.toml", "witness.policy"] {
            fs::copy(self.world.path(file), inside.join(file)).unwrap();
        }
        let text = fs::read_to_string(self.world.path("tally.toml")).unwrap().replace("\"cache\"", "\"/var/lib/tallystick/cache\"");
        fs::write(inside.join("tally.toml"), text).unwrap();
    }

    /// What the log knows, as of so many seconds ago.
    pub fn sync(&self, age: u64) {
        let then = now() - age;
        self.world.fill_cache(self.world.checkpoint(self.world.leaves.len(), &[(1, then), (2, then)]));
        self.forget();
        sh(&self.root, &format!("cp -r {} var/lib/tallystick/cache", self.world.path("cache").display()));
    }

    /// Takes the cache away.
    pub fn forget(&self) {
        sh(&self.root, "rm -rf var/lib/tallystick/cache");
    }

    /// The gate's record.
    pub fn record(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.root.join("var/lib/tallystick/cache-state/gate.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Has builders and the security team say of packages what their names promise.
    pub fn say(&mut self, packages: &[(&str, PathBuf)]) {
        for (name, file) in packages {
            let read = Package::read(&self.root.join(file.strip_prefix("/").unwrap()));
            match *name {
                "unknown" => {}
                "lone" => self.claim("builder-1", &read, false),
                "disputed" => {
                    self.claim("builder-1", &read, false);
                    self.claim("builder-2", &read, true);
                }
                _ => ["builder-1", "builder-2"].iter().for_each(|builder| self.claim(builder, &read, false)),
            }
            if *name == "evil" {
                let purl = read.purl().to_string();
                self.world.advise(Action::Warn, purl.split('@').next().unwrap());
            }
        }
    }

    fn claim(&mut self, builder: &str, package: &Package, altered: bool) {
        let alter = |manifest: &Manifest| {
            let text = String::from_utf8(manifest.encode()).unwrap();
            Manifest::parse(text.replace("mode=0644", "mode=0600").as_bytes()).unwrap()
        };
        match package {
            Package::Rpm(purl, rpm) => {
                let mut rpm = rpm.clone();
                if altered {
                    rpm.manifest = alter(&rpm.manifest);
                }
                self.world.claim_rpm(builder, purl, &rpm);
            }
            Package::Alpm(purl, manifest) => {
                let manifest = if altered { alter(manifest) } else { manifest.clone() };
                self.world.claim(builder, purl, &manifest);
            }
        }
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.root.join("proc")).status();
    }
}

enum Package {
    Rpm(Purl, Box<package::rpm::RpmPackage>),
    Alpm(Purl, Manifest),
}

impl Package {
    fn read(path: &Path) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if path.extension().is_some_and(|extension| extension == "rpm") {
            let rpm = package::rpm::read(file, &Limits::default()).unwrap();
            let id = &rpm.identity;
            return Self::Rpm(Purl::rpm("example", &id.name, &id.version, &id.architecture, id.epoch).unwrap(), Box::new(rpm));
        }
        let alpm = package::alpm::read(file, &Limits::default()).unwrap();
        let id = &alpm.identity;
        Self::Alpm(Purl::alpm("example", &id.name, &id.version, &id.architecture).unwrap(), alpm.manifest)
    }

    fn purl(&self) -> &Purl {
        match self {
            Self::Rpm(purl, _) | Self::Alpm(purl, _) => purl,
        }
    }
}

/// Builders attest packages of a vendor whose repository is called `stable`.
fn world() -> World {
    World::with_roles(|roles| {
        for kind in ["rpm", "alpm"] {
            roles.vendors.push(Vendor { kind: kind.into(), namespace: "example".into(), origin: "stable".into() });
        }
        let scopes = ["pkg:rpm/example/*", "pkg:alpm/example/*"];
        roles.builders = ["builder-1", "builder-2", "builder-3"]
            .iter()
            .map(|name| RoleKey::active(key(name, KeyKind::Ed25519).key().clone(), &scopes).unwrap())
            .collect();
    })
}

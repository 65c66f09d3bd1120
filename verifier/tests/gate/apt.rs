//! The real apt and dpkg over a root of its own, with repositories made on the spot and the hook that `tally setup apt` writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use attest::{Manifest, Purl};

use crate::world::packages::{Root, base, sh};
use crate::world::{Outcome, World};

/// Enforces, from the cache alone.
pub const ENFORCE: &str = "builders = 2\nmax_age = \"1h\"\n[gate]\nmode = \"enforce\"\nask_log = false\n";

pub struct Apt {
    pub world: World,
    pub root: Root,
    dir: tempfile::TempDir,
}

impl Apt {
    /// A root with apt's hook, and an empty log. Packages come with [`Apt::package`].
    pub fn new(rules: &str) -> Self {
        let apt = Self { world: World::new(), root: base().root(), dir: tempfile::tempdir().unwrap() };
        apt.root.sh("mkdir -p etc/apt/{apt.conf.d,preferences.d,trusted.gpg.d,sources.list.d} var/lib/apt/lists/partial var/cache/apt/archives/partial var/log/apt; : > var/lib/dpkg/status");
        fs::write(apt.at("apt.conf"), CONFIG.replace("ROOT", apt.root.path().to_str().unwrap())).unwrap();
        apt.world.configure(rules);
        apt.set_up(Path::new(env!("CARGO_BIN_EXE_tally")));
        apt
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `tally setup apt` with this program. The hook runs outside of the root, so its configuration does, too.
    pub fn set_up(&self, program: &Path) {
        let hook = self.root.path().join("etc/apt/apt.conf.d/80tallystick");
        fs::create_dir_all(self.at("image/etc/apt/apt.conf.d")).unwrap();
        let config = self.world.path("tally.toml");
        let on_image = self.at("image").join(config.strip_prefix("/").unwrap());
        fs::create_dir_all(on_image.parent().unwrap()).unwrap();
        // The cache's place is the one on the machine that runs the hook.
        let text = fs::read_to_string(&config).unwrap().replace("\"cache\"", &format!("{:?}", self.world.path("cache")));
        fs::write(on_image, text).unwrap();
        let (image, program) = (self.at("image"), program.to_str().unwrap());
        let done = self.world.tally(&["setup", "apt", "--root", image.to_str().unwrap(), "--program", program]);
        assert_eq!(done.status, 0, "{done:?}");
        fs::copy(image.join("etc/apt/apt.conf.d/80tallystick"), hook).unwrap();
    }

    /// Builds a package into a repository and returns its name in the log and its manifest.
    pub fn package(&self, repository: &str, name: &str, version: &str, content: &str) -> (Purl, Manifest) {
        self.built(
            repository,
            name,
            version,
            "amd64",
            &format!("mkdir -p x/usr/share/{name}; printf '{content}' > x/usr/share/{name}/data"),
        )
    }

    /// The same with any architecture and content: a script that fills the directory `x`.
    pub fn built(&self, repository: &str, name: &str, version: &str, architecture: &str, script: &str) -> (Purl, Manifest) {
        let file = self.deb(repository, name, version);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        sh(
            file.parent().unwrap(),
            &format!(
                "umask 022; mkdir -p x/DEBIAN; {script}\nprintf 'Package: {name}\\nVersion: {version}\\nArchitecture: {architecture}\\nMaintainer: T <t@example.com>\\nDescription: test\\n' > x/DEBIAN/control\ndpkg-deb --root-owner-group -Znone -b x {} > /dev/null; rm -r x",
                file.display()
            ),
        );
        let package = package::deb::read(fs::File::open(&file).unwrap(), &package::deb::Limits::default()).unwrap();
        (Purl::deb("debian", name, version, architecture).unwrap(), package.manifest)
    }

    pub fn deb(&self, repository: &str, name: &str, version: &str) -> PathBuf {
        self.at(repository).join(format!("{name}_{version}.deb"))
    }

    /// A package that two builders attest.
    pub fn attested(&mut self, repository: &str, name: &str, version: &str) {
        let (purl, manifest) = self.package(repository, name, version, name);
        for builder in ["builder-1", "builder-2"] {
            self.world.claim(builder, &purl, &manifest);
        }
    }

    /// Publishes a repository under an `Origin` and a suite.
    pub fn publish(&self, repository: &str, origin: &str, suite: &str) {
        let release =
            format!("apt-ftparchive -o APT::FTPArchive::Release::Origin={origin} -o APT::FTPArchive::Release::Suite={suite} release .");
        sh(&self.at(repository), &format!("apt-ftparchive packages . > Packages; {release} > ../Release; mv ../Release Release"));
        let source = format!("deb [trusted=yes] copy:{} ./\n", self.at(repository).display());
        fs::write(self.root.path().join(format!("etc/apt/sources.list.d/{repository}.list")), source).unwrap();
    }

    /// `apt-get update` for what was published; what the log knows goes into the cache.
    pub fn update(&self) {
        self.world.fill_cache(self.world.head());
        let outcome = self.get(&["update"]);
        assert_eq!(outcome.status, 0, "{outcome:?}");
    }

    pub fn get(&self, arguments: &[&str]) -> Outcome {
        self.run("apt-get", arguments)
    }

    pub fn run(&self, program: &str, arguments: &[&str]) -> Outcome {
        let mut command = Command::new("timeout");
        command.args(["120", program]).args(arguments).env("APT_CONFIG", self.at("apt.conf")).env("LC_ALL", "C");
        Outcome::of(&command.output().unwrap())
    }

    /// Names of installed packages with their versions.
    pub fn installed(&self) -> Vec<String> {
        let admin = format!("--admindir={}/var/lib/dpkg", self.root.path().display());
        let output = Command::new("dpkg-query").args([&admin, "-W", "-f", "${db:Status-Abbrev}${Package}=${Version}\\n"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        // Held ones are "hi".
        text.lines().filter(|line| line[1..].starts_with("i ")).map(|line| line[3..].to_owned()).collect()
    }

    /// apt stops before dpkg, with these words, and nothing changes.
    #[track_caller]
    pub fn stops(&self, arguments: &[&str], words: &[&str]) -> Outcome {
        let before = self.installed();
        let outcome = self.get(arguments);
        assert_eq!((outcome.status, self.installed()), (100, before), "{outcome:?}");
        assert!(!outcome.stdout.contains("Unpacking"), "{outcome:?}");
        words.iter().for_each(|word| assert!(outcome.stderr.contains(word), "{word}: {outcome:?}"));
        outcome
    }

    /// apt does its work, and the gate says these words.
    #[track_caller]
    pub fn passes(&self, arguments: &[&str], words: &[&str]) -> Outcome {
        let outcome = self.get(arguments);
        assert_eq!(outcome.status, 0, "{outcome:?}");
        words.iter().for_each(|word| assert!(outcome.stderr.contains(word), "{word}: {outcome:?}"));
        outcome
    }

    /// The gate's record.
    pub fn record(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.world.path("cache-state").join("gate.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn enforces(&self) -> bool {
        self.world.path("cache-state").join("enforce").exists()
    }
}

const CONFIG: &str = r#"
Dir "ROOT/";
Dir::State::status "ROOT/var/lib/dpkg/status";
DPkg::Options { "--root=ROOT"; "--force-script-chrootless"; "--force-bad-path"; "--log=/dev/null"; };
DPkg::Use-Pty "0";
APT::Sandbox::User "root";
APT::Architecture "amd64";
APT::Architectures { "amd64"; "i386"; };
APT::Get::Assume-Yes "true";
APT::Install-Recommends "0";
Acquire::Languages "none";
"#;

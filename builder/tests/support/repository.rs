//! A small signed repository, made by hand with gpg and dpkg-deb.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tlog::Hash;

use super::tool;

/// A repository of one suite (`test`), one component (`main`) and this machine's architecture.
pub struct Repository {
    pub dir: PathBuf,
    home: PathBuf,
    packages: String,
}

impl Repository {
    /// An empty one below `dir`, with a key of its own.
    pub fn new(dir: &Path) -> Self {
        let (home, root) = (dir.join("gnupg"), dir.join("repository"));
        fs::create_dir_all(&home).unwrap();
        fs::create_dir_all(root.join("pool")).unwrap();
        tool(Command::new("chmod").arg("700").arg(&home));
        let repository = Self { dir: root, home, packages: String::new() };
        repository.make_key("archive", "2y", None);
        repository
    }

    fn gpg(&self) -> Command {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--quiet", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""]).env("GNUPGHOME", &self.home);
        command
    }

    /// Makes a signing key; with a time (`20200101T000000`), as if it were then.
    pub fn make_key(&self, name: &str, expires: &str, time: Option<&str>) {
        let mut command = self.gpg();
        if let Some(time) = time {
            command.args(["--faked-system-time", &format!("{time}!")]);
        }
        tool(command.args(["--quick-generate-key", name, "ed25519", "sign", expires]));
    }

    /// A binary keyring with these keys.
    pub fn keyring(&self, names: &[&str]) -> PathBuf {
        let path = self.home.join(format!("{}.keyring", names.join("-")));
        fs::write(&path, tool(self.gpg().arg("--export").args(names.iter().map(|name| format!("={name}"))))).unwrap();
        path
    }

    /// Builds a package with one file and a maintainer script, and lists it.
    pub fn add(&mut self, name: &str, version: &str, content: &str, postinst: &str) -> PathBuf {
        let source = self.dir.join(format!("source-{name}"));
        fs::create_dir_all(source.join("DEBIAN")).unwrap();
        fs::create_dir_all(source.join("usr/share/tests")).unwrap();
        let control = format!("Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: test\n");
        fs::write(source.join("DEBIAN/control"), control).unwrap();
        fs::write(source.join("DEBIAN/postinst"), format!("#!/bin/sh\n{postinst}\n")).unwrap();
        tool(Command::new("chmod").arg("755").arg(source.join("DEBIAN/postinst")));
        fs::write(source.join("usr/share/tests").join(name), content).unwrap();
        let path = self.dir.join(format!("pool/{name}_{version}_all.deb"));
        tool(Command::new("dpkg-deb").args(["--build", "--root-owner-group"]).arg(&source).arg(&path));
        fs::remove_dir_all(&source).unwrap();
        self.list(&path, name, version);
        path
    }

    /// Lists a package file as it is now.
    pub fn list(&mut self, path: &Path, name: &str, version: &str) {
        let bytes = fs::read(path).unwrap();
        let file = path.file_name().unwrap().to_str().unwrap();
        let architecture = String::from_utf8(tool(Command::new("dpkg-deb").arg("-f").arg(path).arg("Architecture"))).unwrap();
        write!(
            self.packages,
            "Package: {name}\nVersion: {version}\nArchitecture: {}\nMaintainer: T <t@example.org>\nDescription: test\n\
             Filename: pool/{file}\nSize: {}\nSHA256: {}\n\n",
            architecture.trim(),
            bytes.len(),
            Hash::digest(&bytes)
        )
        .unwrap();
    }

    /// The text of Release, for now, with more fields if wanted.
    pub fn release(&self, fields: &str) -> String {
        let date = String::from_utf8(tool(Command::new("date").args(["-uR"]))).unwrap();
        let date = date.trim().replace("+0000", "UTC");
        let (index, size) = (Hash::digest(self.packages.as_bytes()), self.packages.len());
        let arch = architecture();
        format!(
            "Origin: Tests\nSuite: test\nCodename: test\nDate: {date}\nArchitectures: {arch}\nComponents: main\n{fields}SHA256:\n {index} {size} main/binary-{arch}/Packages\n"
        )
    }

    /// Writes everything, with InRelease signed by a key.
    pub fn publish(&self, release: &str, key: &str, options: &[&str]) {
        self.write_index();
        let suite = self.dir.join("dists/test");
        fs::write(suite.join("Release"), release).unwrap();
        let mut gpg = self.gpg();
        gpg.args(options).args(["--local-user", &format!("={key}"), "--clearsign", "--output"]);
        tool(gpg.arg(suite.join("InRelease")).arg(suite.join("Release")));
    }

    /// Signs a file with any of gpg's other options.
    pub fn sign_with(&self, options: &[&str], file: &Path, output: &Path) {
        tool(self.gpg().args(["--local-user", "=archive"]).args(options).arg("--output").arg(output).arg(file));
    }

    /// Signs a file with a detached signature.
    pub fn sign(&self, file: &Path, signature: &Path, armor: bool) {
        self.sign_as("archive", file, signature, armor);
    }

    /// The same with another key.
    pub fn sign_as(&self, key: &str, file: &Path, signature: &Path, armor: bool) {
        let mut gpg = self.gpg();
        gpg.args(if armor { &["--armor"][..] } else { &[] }).args(["--local-user", &format!("={key}"), "--detach-sign", "--output"]);
        tool(gpg.arg(signature).arg(file));
    }

    /// Writes the index alone.
    pub fn write_index(&self) {
        let dir = self.dir.join(format!("dists/test/main/binary-{}", architecture()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("Packages"), &self.packages).unwrap();
    }

    /// The files as apt would keep them in its `lists` directory for the source `file:DIR`.
    pub fn as_lists(&self, lists: &Path) {
        fs::create_dir_all(lists).unwrap();
        let prefix = format!("{}/dists/test/", self.dir.display()).replace('_', "%5f").replace('~', "%7e").replace('/', "_");
        let index = format!("main/binary-{}/Packages", architecture());
        for path in ["InRelease", &index] {
            let name = format!("{prefix}{}", path.replace('/', "_"));
            fs::copy(self.dir.join("dists/test").join(path), lists.join(name)).unwrap();
        }
    }

    /// The line of a sources list.
    pub fn source_line(&self, options: &str) -> String {
        format!("deb {options}file:{} test main\n", self.dir.display())
    }
}

/// This machine's architecture as dpkg calls it.
pub fn architecture() -> String {
    String::from_utf8(tool(Command::new("dpkg").arg("--print-architecture"))).unwrap().trim().to_owned()
}

//! zypper's gate: a commit plugin of libzypp hands over what libzypp says before it installs anything (`specs/gate.md`, section 2.3). It
//! names packages without digests, so they are looked up in what libzypp has downloaded: package files, and the repositories' lists.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use package::tarball::Identity;
use serde::Deserialize;

use crate::archive::{Archive, Format};
use crate::check::{self, Checked};
use crate::cli::CommitArgs;
use crate::exit;
use crate::failure::Failure;
use crate::gate::coming::{is_security, is_word};
use crate::gate::desk::{Offer, Place};
use crate::gate::manager::Manager;
use crate::gate::rpmmd::primary::{self, Listed};
use crate::gate::rpmmd::{Nevra, security_updates};
use crate::gate::{GateError, desk, session};

/// `tally gate zypper`: judges a frame `COMMITBEGIN` on standard input.
///
/// # Errors
/// If nothing can be judged where the policy enforces, or the configuration cannot be read.
pub fn run(config: &Path, args: &CommitArgs) -> Result<u8, Failure> {
    let mut bytes = Vec::new();
    let read = io::stdin().take(MAX_FRAME + 1).read_to_end(&mut bytes).map_err(GateError::Input);
    let coming = read.and_then(|_| steps(&bytes).ok_or(GateError::Listing("libzypp")));
    if coming.as_ref().is_ok_and(Vec::is_empty) {
        return Ok(exit::CLEAN);
    }
    session(config, |setup, now| {
        let names_files = args.pid.is_none_or(names_files);
        let offers = Shelf::open(Path::new("/"), coming?, names_files).map_err(|(path, error)| GateError::Index(path, error))?.offers();
        desk::assess(setup, Manager::Zypper, &offers, Vec::new(), now)
    })
}

/// Whether a process was called with package files. Where that cannot be seen, it may have been.
fn names_files(pid: u32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline"));
    line.map_or(true, |line| line.split(|byte| *byte == 0).any(|word| word.to_ascii_lowercase().ends_with(b".rpm")))
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "TransactionStepList")]
    steps: Vec<BodyStep>,
}

#[derive(Deserialize)]
struct BodyStep {
    #[serde(rename = "type")]
    kind: Option<String>,
    solvable: Solvable,
}

#[derive(Deserialize)]
struct Solvable {
    n: String,
    #[serde(default)]
    e: u32,
    v: String,
    #[serde(default)]
    r: String,
    a: String,
}

/// What comes, from a frame with or without the zero byte at its end: the command, headers, an empty line, JSON. `None` for anything else.
#[must_use]
pub fn steps(frame: &[u8]) -> Option<Vec<Nevra>> {
    let text = std::str::from_utf8(frame.strip_suffix(b"\0").unwrap_or(frame)).ok()?;
    let (head, body) = text.split_once("\n\n")?;
    let mut lines = head.split('\n');
    if lines.next() != Some("COMMITBEGIN") || !lines.all(|line| line.contains(':')) {
        return None;
    }
    let steps = serde_json::from_str::<Body>(body).ok()?.steps;
    let mut coming: Vec<Nevra> = steps.into_iter().filter(BodyStep::comes).filter_map(|step| step.solvable.nevra()).collect();
    coming.sort();
    coming.dedup();
    let is_named = |nevra: &Nevra| [&nevra.name, &nevra.version, &nevra.architecture].into_iter().all(|text| is_word(text));
    coming.iter().all(is_named).then_some(coming)
}

impl BodyStep {
    /// `+` installs, `M` installs beside another version; what has no type changes no package.
    fn comes(&self) -> bool {
        self.kind.as_deref().is_some_and(|kind| kind != "-")
    }
}

impl Solvable {
    /// Patches, patterns and products have a kind before their name and bring no file of their own.
    fn nevra(self) -> Option<Nevra> {
        let is_package = !["patch:", "pattern:", "product:", "application:", "srcpackage:"].iter().any(|kind| self.n.starts_with(kind));
        let version = if self.r.is_empty() { self.v } else { format!("{}-{}", self.v, self.r) };
        is_package.then_some(Nevra { name: self.n, epoch: self.e, version, architecture: self.a })
    }
}

/// What libzypp can take the packages from.
struct Shelf {
    steps: Vec<Nevra>,
    /// By the alias of the repository.
    listed: Vec<(String, Vec<Listed>)>,
    /// By alias, too: what its advisories call security updates.
    security: BTreeSet<(String, Nevra)>,
    packages: PathBuf,
    /// Files that were given to zypper, and others that lie where it puts them.
    given: Vec<Checked>,
    installed: BTreeSet<String>,
}

impl Shelf {
    fn open(root: &Path, steps: Vec<Nevra>, names_files: bool) -> Result<Self, (PathBuf, io::Error)> {
        let names: BTreeSet<&str> = steps.iter().map(|step| step.name.as_str()).collect();
        let raw = root.join(RAW);
        let (mut listed, mut security) = (Vec::new(), BTreeSet::new());
        for alias in entries(&raw).map_err(|error| (raw.clone(), error))? {
            let alias = alias.to_string_lossy().into_owned();
            let repodata = raw.join(&alias).join("repodata");
            security.extend(security_updates(&repodata, &names).into_iter().map(|nevra| (alias.clone(), nevra)));
            let lists = entries(&repodata).map_err(|error| (repodata.clone(), error))?;
            for list in lists.iter().filter_map(|name| name.to_str()).filter(|name| name.contains("primary.xml")) {
                let path = repodata.join(list);
                listed.push((alias.clone(), primary::read(&path, &names).map_err(|error| (path, error))?));
            }
        }
        let given = if names_files { given(root)? } else { Vec::new() };
        let database = package::root::Root::open(root).ok().and_then(|root| package::installed::Database::open(&root).ok());
        let installed = database.map(|database| database.packages.into_iter().map(|package| package.name).collect()).unwrap_or_default();
        Ok(Self { steps, listed, security, packages: root.join(PACKAGES), given: check::open_all(&given), installed })
    }

    fn offers(&self) -> Vec<Offer> {
        self.steps.iter().map(|step| self.offer(step)).collect()
    }

    /// Every package of this name and version that libzypp knows: which one it takes cannot be told.
    fn offer(&self, step: &Nevra) -> Offer {
        let says = step.identity();
        let (mut contents, mut places) = (Vec::new(), BTreeSet::new());
        for (alias, listed) in &self.listed {
            for package in listed.iter().filter(|package| package.nevra == *step) {
                contents.push(self.content(alias, package));
                places.insert(Place {
                    origin: Some(alias.clone()),
                    security: is_security(alias) || self.security.contains(&(alias.clone(), step.clone())),
                });
            }
        }
        let digest = |file: &Checked| Some(file.package.as_ref().ok()?.sha256);
        let is_it = |file: &&Checked| file.package.as_ref().is_ok_and(|package| package.identity() == says);
        for file in self.given.iter().filter(is_it) {
            if contents.iter().all(|content| digest(content) != digest(file)) {
                contents.push(file.clone());
            }
        }
        let places = (!contents.is_empty()).then_some(places);
        Offer { name: step.name.clone(), says, installed: self.installed.contains(&step.name), contents, places }
    }

    /// The file, if it was downloaded and is the listed one; else what the list says of it. libzypp compares the two before it installs the
    /// file, and fetches another where they differ.
    fn content(&self, alias: &str, listed: &Listed) -> Checked {
        let inside = Path::new(&listed.location).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        let file = self.packages.join(alias).join(&listed.location);
        let is_listed =
            |file: &Checked| file.package.as_ref().is_ok_and(|package| listed.sha256.is_none_or(|sha256| package.sha256 == sha256));
        let downloaded = (inside && file.is_file()).then(|| check::open(&file)).filter(is_listed);
        downloaded.unwrap_or_else(|| Checked { file: format!("{alias}/{}", listed.location), package: listed.archive().map(Box::new) })
    }
}

impl Listed {
    /// What is known of the package before it is downloaded.
    fn archive(&self) -> Result<Archive, String> {
        let Nevra { name, epoch, version, architecture } = self.nevra.clone();
        let sha256 = self.sha256.ok_or("the repository's list says no SHA-256 of it, so what comes cannot be known")?;
        Ok(Archive { epoch, ..Archive::listed(Format::Rpm, Identity { name, version, architecture }, sha256) })
    }
}

/// Where zypper puts files that it was called with: today, and in Debian 12.
fn given(root: &Path) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let temporary = root.join(TEMPORARY);
    let mut places = vec![root.join(PLAIN)];
    for name in entries(&temporary).map_err(|error| (temporary.clone(), error))? {
        let place = temporary.join(&name);
        // Others than root can write there, too.
        let is_libzypp = name.as_encoded_bytes().starts_with(b"zypp.") && fs::symlink_metadata(&place).is_ok_and(|meta| meta.uid() == 0);
        places.extend(is_libzypp.then(|| place.join("zypper/_tmpRPMcache_/%CLI%")));
    }
    let mut found = Vec::new();
    for place in places {
        let names = entries(&place).map_err(|error| (place.clone(), error))?;
        found.extend(names.iter().map(|name| place.join(name)).filter(|path| path.extension().is_some_and(|extension| extension == "rpm")));
    }
    Ok(found)
}

/// The names in a directory, sorted; nothing if it is not there.
fn entries(directory: &Path) -> io::Result<Vec<OsString>> {
    let mut names = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        entries => entries?.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>()?,
    };
    names.sort();
    Ok(names)
}

const RAW: &str = "var/cache/zypp/raw";
const PACKAGES: &str = "var/cache/zypp/packages";
const PLAIN: &str = "var/cache/zypper/RPMS";
const TEMPORARY: &str = "var/tmp";
const MAX_FRAME: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: &str = "COMMITBEGIN\ncontent-length:109\n\n{\n\"TransactionStepList\": [{\n\"solvable\": {\n\"a\": \"noarch\",\n\"e\": 2,\n\"n\": \"alpha\",\n\"r\": \"1\",\n\"v\": \"3\"\n},\n\"type\": \"+\"\n}]\n}\0";

    #[test]
    fn what_comes_is_told_from_what_goes() {
        let coming = steps(FRAME.as_bytes()).unwrap();
        assert_eq!(coming[0].identity(), "alpha 2:3-1 noarch");
        assert_eq!(steps(FRAME.trim_end_matches('\0').as_bytes()).unwrap(), coming);
        assert_eq!(steps(FRAME.replace("\"+\"", "\"M\"").as_bytes()).unwrap(), coming);
        assert_eq!(steps(FRAME.replace("\"+\"", "\"-\"").as_bytes()), Some(Vec::new()));
        assert_eq!(steps(FRAME.replace("alpha", "patch:alpha").as_bytes()), Some(Vec::new()));
        assert_eq!(steps(FRAME.replace(",\n\"type\": \"+\"", "").as_bytes()), Some(Vec::new()));
    }

    #[test]
    fn other_frames_are_refused() {
        for (from, to) in [
            ("COMMITBEGIN", "COMMITEND"),
            ("\n\n", "\n"),
            ("content-length", "content-length\nx"),
            ("}]\n}", "}]\n"),
            ("\"n\"", "\"m\""),
            ("\"e\": 2", "\"e\": -2"),
            ("TransactionStepList", "Steps"),
            ("\"alpha\"", "\"al\\npha\""),
            ("\"noarch\"", "\"no\u{9b}arch\""),
        ] {
            assert_eq!(steps(FRAME.replacen(from, to, 1).as_bytes()), None, "{to}");
        }
        assert_eq!(steps(b""), None);
        assert_eq!(steps(b"\xff"), None);
    }

    #[test]
    fn a_package_is_looked_up_wherever_libzypp_has_it() {
        let root = tempfile::tempdir().unwrap();
        let list = |digest: u8| {
            let digest = format!("{digest:02x}").repeat(32);
            format!(
                "<metadata><package type=\"rpm\"><name>alpha</name><arch>noarch</arch><version epoch=\"2\" ver=\"3\" rel=\"1\"/><checksum type=\"sha256\" pkgid=\"YES\">{digest}</checksum><location href=\"alpha.rpm\"/></package></metadata>"
            )
        };
        for (alias, digest) in [("one", 1), ("two-security", 2)] {
            let directory = root.path().join(RAW).join(alias).join("repodata");
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("abc-primary.xml"), list(digest)).unwrap();
        }
        let offers = || Shelf::open(root.path(), steps(FRAME.as_bytes()).unwrap(), true).unwrap().offers();
        let all = offers();
        let digests: Vec<String> = all[0].contents.iter().map(|content| content.package.as_ref().unwrap().sha256.to_hex()).collect();
        assert_eq!(digests, ["01".repeat(32), "02".repeat(32)]);
        assert!(all[0].places.as_ref().unwrap().iter().any(|place| place.security));
        // A file that is not the listed one says nothing: libzypp fetches another.
        fs::create_dir_all(root.path().join(PACKAGES).join("one")).unwrap();
        fs::write(root.path().join(PACKAGES).join("one/alpha.rpm"), "x").unwrap();
        assert_eq!(offers()[0].contents[0].package.as_ref().unwrap().sha256.to_hex(), "01".repeat(32));
        // What a list gives no SHA-256 of cannot be known, and is a candidate all the same.
        let list = root.path().join(RAW).join("one/repodata/abc-primary.xml");
        fs::write(&list, fs::read_to_string(&list).unwrap().replace("sha256", "sha512")).unwrap();
        assert!(offers()[0].contents.len() == 2 && offers()[0].contents[0].package.is_err());
        fs::remove_dir_all(root.path().join(RAW)).unwrap();
        assert!(offers()[0].contents.is_empty() && offers()[0].places.is_none());
    }
}

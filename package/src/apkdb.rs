//! apk's database of installed packages, `lib/apk/db/installed` (`specs/installed.md`, section 4).

use crate::dpkg::LockHolder;
use crate::root::{Root, RootError, RootReason};
use crate::tarball::Identity;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fmt;

/// One installed package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledApk {
    /// Its name, version and architecture.
    pub identity: Identity,
    /// Whether files or scripts failed when it was installed.
    pub broken: bool,
    /// Its paths below the root.
    pub files: Vec<Vec<u8>>,
}

/// Why a database cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApkdbError {
    /// A file cannot be read.
    Unreadable(RootError),
    /// A line is malformed: its number and what is wrong.
    Line(usize, &'static str),
    /// The package that ends at this line is malformed.
    Package(usize, &'static str),
    /// Two databases, of which apk uses only one.
    Two(&'static str, &'static str),
}

/// Where the root keeps its database; `None` where there is none.
pub fn place(root: &Root) -> Result<Option<&'static str>, ApkdbError> {
    let mut found: Option<(&'static str, (u64, u64))> = None;
    for directory in PLACES {
        let meta = match root.stat_target(format!("{directory}/installed").as_bytes()) {
            // Where links lead in circles apk finds nothing either.
            Err(RootError { reason: RootReason::System(number), .. }) if number == Errno::LOOP.raw_os_error() => None,
            meta => meta?,
        };
        let Some(meta) = meta else { continue };
        match found {
            None => found = Some((directory, meta.identity)),
            // In a merged /usr both are the same file.
            Some((_, known)) if known == meta.identity => {}
            Some((other, _)) => return Err(ApkdbError::Two(other, directory)),
        }
    }
    Ok(found.map(|(directory, _)| directory))
}

/// Reads all packages, sorted by name and version.
pub fn read(root: &Root, directory: &str) -> Result<Vec<InstalledApk>, ApkdbError> {
    parse(&root.read(format!("{directory}/installed").as_bytes(), LIMIT)?.unwrap_or_default())
}

/// Reads a database: paragraphs of `K:value`, each ended by an empty line.
pub fn parse(input: &[u8]) -> Result<Vec<InstalledApk>, ApkdbError> {
    let mut packages = Vec::new();
    let mut draft = Draft::default();
    let body = input.strip_suffix(b"\n").unwrap_or(input);
    if body.len() == input.len() && !input.is_empty() {
        return Err(ApkdbError::Line(input.split(|byte| *byte == b'\n').count(), "its last line is cut"));
    }
    let mut last = 0;
    for (number, line) in (1..).zip(body.split(|byte| *byte == b'\n')) {
        last = number;
        if line.is_empty() {
            packages.extend(std::mem::take(&mut draft).finish(number)?);
        } else {
            draft.take(number, line)?;
        }
    }
    packages.extend(draft.finish(last)?);
    packages.sort_by(|a: &InstalledApk, b| a.identity.cmp(&b.identity));
    match packages.windows(2).any(|pair| pair[0].identity.name == pair[1].identity.name) {
        true => Err(ApkdbError::Package(last, "a package stands there twice")),
        false => Ok(packages),
    }
}

/// Whether apk is at work. Its lock is one of the BSD kind, of which nobody can ask without trying: it is taken for a moment, shared, and
/// only if it is free.
pub fn lock_holder(root: &Root, directory: &'static str) -> Result<Option<LockHolder>, RootError> {
    let file = if directory == PLACES[0] { "usr/lib/apk/db/lock" } else { "lib/apk/db/lock" };
    let Some(open) = root.open_file(file.as_bytes())? else { return Ok(None) };
    let held = rustix::fs::flock(&open, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK);
    Ok(held.then_some(LockHolder { file, process: None }))
}

/// The branch that the root was made from: `v3.20` of `3.20.3`, `edge` of a version before its release. Branches build the same version
/// again, so it belongs to a package's name.
pub fn branch(root: &Root) -> Result<Option<String>, RootError> {
    let Some(text) = root.read(b"etc/alpine-release", 1 << 10)? else { return Ok(None) };
    Ok(std::str::from_utf8(&text).ok().and_then(|text| branch_of(text.trim())))
}

fn branch_of(release: &str) -> Option<String> {
    if release.contains("_alpha") || release.contains("_git") {
        return Some("edge".to_owned());
    }
    let mut numbers = release.split('.');
    let (major, minor) = (numbers.next()?, numbers.next()?);
    let is_number = |text: &str| !text.is_empty() && text.len() < 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(major) && is_number(minor)).then(|| format!("v{major}.{minor}"))
}

/// A paragraph that is being read.
#[derive(Default)]
struct Draft {
    name: Option<String>,
    version: Option<String>,
    architecture: Option<String>,
    broken: bool,
    directory: Option<Vec<u8>>,
    files: Vec<Vec<u8>>,
}

impl Draft {
    fn take(&mut self, number: usize, line: &[u8]) -> Result<(), ApkdbError> {
        let fail = |what| ApkdbError::Line(number, what);
        let [key, b':', value @ ..] = line else { return Err(fail("is not \"K:value\"")) };
        let word = |field: &mut Option<String>| {
            let plain = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
            let text = std::str::from_utf8(value).ok().filter(plain).ok_or(fail("has an odd name, version or architecture"))?;
            field.replace(text.to_owned()).map_or(Ok(()), |_| Err(fail("repeats a field")))
        };
        match key {
            b'P' => word(&mut self.name),
            b'V' => word(&mut self.version),
            b'A' => word(&mut self.architecture),
            b'f' => {
                self.broken |= value.iter().any(|state| b"fs".contains(state));
                Ok(())
            }
            b'F' => {
                self.directory = Some(value.to_vec());
                if value.is_empty() { Ok(()) } else { self.add(number, value.to_vec()) }
            }
            b'R' => {
                let directory = self.directory.as_ref().ok_or(fail("is a file before any directory"))?;
                let path = if directory.is_empty() { value.to_vec() } else { [directory, &b"/"[..], value].concat() };
                if value.is_empty() || value.contains(&b'/') { Err(fail("is no file's name")) } else { self.add(number, path) }
            }
            // Modes, digests (SHA-1), relations: the machine's word, of which nothing is believed.
            _ => Ok(()),
        }
    }

    fn add(&mut self, number: usize, path: Vec<u8>) -> Result<(), ApkdbError> {
        if crate::payload::relative(&path).is_err() {
            return Err(ApkdbError::Line(number, "is a path that leads elsewhere"));
        }
        self.files.push(path);
        Ok(())
    }

    /// `None` for an empty paragraph.
    fn finish(self, number: usize) -> Result<Option<InstalledApk>, ApkdbError> {
        match self {
            Self { name: Some(name), version: Some(version), architecture: Some(architecture), broken, files, .. } => {
                Ok(Some(InstalledApk { identity: Identity { name, version, architecture }, broken, files }))
            }
            Self { name: None, version: None, architecture: None, directory: None, .. } => Ok(None),
            _ => Err(ApkdbError::Package(number, "has no name, version or architecture")),
        }
    }
}

impl From<RootError> for ApkdbError {
    fn from(error: RootError) -> Self {
        Self::Unreadable(error)
    }
}

impl fmt::Display for ApkdbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::Line(number, what) => write!(f, "the apk database is damaged: line {number} {what}"),
            Self::Package(number, what) => write!(f, "the apk database is damaged: the package before line {number}: {what}"),
            Self::Two(one, other) => {
                write!(f, "apk databases in {one} and in {other}; which one counts cannot be known, remove the old one")
            }
        }
    }
}

impl std::error::Error for ApkdbError {}

/// Of apk 3 on a merged `/usr`, and of all others.
const PLACES: [&str; 2] = ["usr/lib/apk/db", "lib/apk/db"];
const LIMIT: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "C:Q1abcdefghijklmnopqrstuvwxyz0=\nP:musl\nV:1.2.5-r0\nA:x86_64\nS:1\nT:the c library\nF:lib\nR:ld-musl-x86_64.so.1\na:0:0:755\nZ:Q1x=\nF:usr\nM:0:0:1777\nF:usr/lib\n\n";

    fn file(path: &str) -> Vec<u8> {
        path.as_bytes().to_vec()
    }

    #[test]
    fn reads_packages() {
        let two = format!("{ONE}P:a\nV:1-r0\nA:noarch\nf:fs\nF:\nR:top\n\n");
        let packages = parse(two.as_bytes()).unwrap();
        let identity = |name: &str, version: &str, architecture: &str| Identity {
            name: name.into(),
            version: version.into(),
            architecture: architecture.into(),
        };
        let first = InstalledApk { identity: identity("a", "1-r0", "noarch"), broken: true, files: vec![file("top")] };
        let files = ["lib", "lib/ld-musl-x86_64.so.1", "usr", "usr/lib"].map(file).to_vec();
        let second = InstalledApk { identity: identity("musl", "1.2.5-r0", "x86_64"), broken: false, files };
        assert_eq!(packages, [first, second]);
        assert_eq!(parse(b""), Ok(Vec::new()));
        assert_eq!(parse(b"P:a\nV:1\nA:x\n").unwrap().len(), 1, "without an empty line at the end");
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for text in [
            "P:a\nV:1\nA:x\n\nP:a\nV:2\nA:x\n\n",
            "P:a\nP:b\nV:1\nA:x\n\n",
            "P:a\nV:1\n\n",
            "P:a\nV:1\nA:x y\n\n",
            "P:../a\nV:1\nA:x\n\n",
            "P:a\nV:1\nA:x\nR:file\n\n",
            "P:a\nV:1\nA:x\nF:..\n\n",
            "P:a\nV:1\nA:x\nF:/etc\n\n",
            "P:a\nV:1\nA:x\nF:etc\nR:a/b\n\n",
            "P:a\nV:1\nA:x\nF:etc\nR:\n\n",
            "P:a\nV:1\nA:x\nF:etc\nR:..\n\n",
            "P:a\nV:1\nA:x\nno field\n\n",
            "F:etc\nR:a\n\n",
            "P:a\nV:1\nA:x",
        ] {
            assert!(matches!(parse(text.as_bytes()), Err(ApkdbError::Line(..) | ApkdbError::Package(..))), "{text}");
        }
    }

    #[test]
    fn branches() {
        let cases = [("3.20.3", Some("v3.20")), ("3.23.0_alpha20260101", Some("edge")), ("3", None), ("edge", None), ("3.x", None)];
        for (release, branch) in cases {
            assert_eq!(branch_of(release).as_deref(), branch, "{release}");
        }
    }

    #[test]
    fn two_databases_are_refused_and_a_held_lock_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert_eq!(place(&root), Ok(None));
        std::fs::create_dir_all(dir.path().join("lib/apk/db")).unwrap();
        std::fs::write(dir.path().join("lib/apk/db/installed"), ONE).unwrap();
        assert_eq!((place(&root), read(&root, "lib/apk/db").map(|packages| packages.len())), (Ok(Some("lib/apk/db")), Ok(1)));
        let lock = std::fs::File::create(dir.path().join("lib/apk/db/lock")).unwrap();
        assert_eq!(lock_holder(&root, "lib/apk/db"), Ok(None));
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).unwrap();
        assert!(lock_holder(&root, "lib/apk/db").unwrap().is_some());
        drop(lock);
        assert_eq!(lock_holder(&root, "lib/apk/db"), Ok(None));
        std::fs::create_dir_all(dir.path().join("usr/lib/apk/db")).unwrap();
        std::fs::write(dir.path().join("usr/lib/apk/db/installed"), ONE).unwrap();
        assert!(matches!(place(&root), Err(ApkdbError::Two(..))));
    }
}

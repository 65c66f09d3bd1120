//! pacman's database of installed packages, `var/lib/pacman/local` (`specs/installed.md`, section 3).

use crate::dpkg::matches;
use crate::root::{FileKind, Root, RootError};
use crate::tarball::Identity;
use std::fmt;

/// One installed package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledAlpm {
    /// Its name, version and architecture.
    pub identity: Identity,
    /// Its paths below the root.
    pub files: Vec<Vec<u8>>,
}

/// Why a database cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlpmdbError {
    /// A file cannot be read.
    Unreadable(RootError),
    /// A file is malformed, or missing.
    Malformed(String, &'static str),
}

/// Whether the root has such a database.
pub fn is_there(root: &Root) -> Result<bool, AlpmdbError> {
    Ok(root.stat_target(LOCAL.as_bytes())?.is_some_and(|meta| meta.kind == FileKind::Directory))
}

/// Whether pacman is at work, or was interrupted: its lock is a file.
pub fn is_locked(root: &Root) -> Result<bool, RootError> {
    Ok(root.stat(LOCK.as_bytes())?.is_some())
}

/// Reads all packages, sorted by name and version.
pub fn read(root: &Root) -> Result<Vec<InstalledAlpm>, AlpmdbError> {
    let mut packages = Vec::new();
    for name in root.list(LOCAL.as_bytes())?.unwrap_or_default() {
        if name == VERSION_FILE {
            continue;
        }
        let directory = String::from_utf8(name).map_err(|_| AlpmdbError::Malformed(LOCAL.to_owned(), "holds an odd name"))?;
        packages.push(package(root, &directory)?);
    }
    packages.sort_by(|a, b| a.identity.cmp(&b.identity));
    match packages.windows(2).find(|pair| pair[0].identity.name == pair[1].identity.name) {
        Some(pair) => Err(AlpmdbError::Malformed(format!("{LOCAL}/{}", pair[0].identity.name), "stands there in two versions")),
        None => Ok(packages),
    }
}

/// What pacman never unpacks: `NoExtract` of `etc/pacman.conf`; the last pattern that matches decides, `!` takes back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoExtract {
    patterns: Vec<(bool, Vec<u8>)>,
}

impl NoExtract {
    /// Reads the root's settings. Included files are passed over, which only makes the verdict stricter.
    pub fn read(root: &Root) -> Result<Self, RootError> {
        match root.stat(CONFIG.as_bytes())? {
            Some(meta) if meta.kind == FileKind::File => Ok(Self::parse(&root.read(CONFIG.as_bytes(), LIMIT)?.unwrap_or_default())),
            _ => Ok(Self::default()),
        }
    }

    /// Reads settings; other keys are passed over.
    pub fn parse(input: &[u8]) -> Self {
        let mut patterns = Vec::new();
        for line in input.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
            let Some(value) = line.strip_prefix(b"NoExtract").map(<[u8]>::trim_ascii).and_then(|rest| rest.strip_prefix(b"=")) else {
                continue;
            };
            for word in value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
                let (keep, pattern) = word.strip_prefix(b"!").map_or((false, word), |pattern| (true, pattern));
                patterns.push((keep, pattern.to_vec()));
            }
        }
        Self { patterns }
    }

    /// Whether a path below the root is left out.
    pub fn excludes(&self, path: &[u8]) -> bool {
        self.patterns.iter().rev().find(|(_, pattern)| matches(pattern, path)).is_some_and(|(keep, _)| !keep)
    }
}

fn package(root: &Root, directory: &str) -> Result<InstalledAlpm, AlpmdbError> {
    let file = |name: &str| {
        let path = format!("{LOCAL}/{directory}/{name}");
        let content = root.read(path.as_bytes(), LIMIT)?;
        content.ok_or(AlpmdbError::Malformed(path, "is missing"))
    };
    let malformed = |what| AlpmdbError::Malformed(format!("{LOCAL}/{directory}"), what);
    let desc = file("desc")?;
    let word = |section: &[u8]| {
        let mut lines = sections(&desc).filter(|(name, _)| *name == section).flat_map(|(_, lines)| lines);
        let (Some(word), None) = (lines.next(), lines.next()) else { return Err(malformed("has no name, version or architecture")) };
        let plain = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        std::str::from_utf8(word).ok().filter(plain).map(str::to_owned).ok_or_else(|| malformed("has an odd name, version or architecture"))
    };
    let identity = Identity { name: word(b"NAME")?, version: word(b"VERSION")?, architecture: word(b"ARCH")? };
    if directory != format!("{}-{}", identity.name, identity.version) {
        return Err(malformed("is about another package than its name says"));
    }
    let files = file("files")?;
    let listed = sections(&files).filter(|(name, _)| *name == b"FILES").flat_map(|(_, lines)| lines);
    let files = listed.map(|path| path.strip_suffix(b"/").unwrap_or(path));
    let files: Vec<Vec<u8>> = files.map(<[u8]>::to_vec).collect();
    if files.iter().any(|path| crate::payload::relative(path).is_err()) {
        return Err(malformed("lists a path that leads elsewhere"));
    }
    Ok(InstalledAlpm { identity, files })
}

/// `%NAME%`, its lines, an empty line; again and again.
fn sections(input: &[u8]) -> impl Iterator<Item = (&[u8], Vec<&[u8]>)> {
    let mut lines = input.split(|byte| *byte == b'\n');
    std::iter::from_fn(move || {
        let name = lines.by_ref().find_map(|line| line.strip_prefix(b"%").and_then(|line| line.strip_suffix(b"%")))?;
        Some((name, lines.by_ref().take_while(|line| !line.is_empty()).collect()))
    })
}

impl From<RootError> for AlpmdbError {
    fn from(error: RootError) -> Self {
        Self::Unreadable(error)
    }
}

impl fmt::Display for AlpmdbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::Malformed(place, what) => write!(f, "{place} {what}"),
        }
    }
}

impl std::error::Error for AlpmdbError {}

const LOCAL: &str = "var/lib/pacman/local";
pub(crate) const LOCK: &str = "var/lib/pacman/db.lck";
const CONFIG: &str = "etc/pacman.conf";
const VERSION_FILE: &[u8] = b"ALPM_DB_VERSION";
const LIMIT: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn root(desc: &str, files: &str) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("var/lib/pacman/local/a-1:2-3");
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(dir.path().join("var/lib/pacman/local/ALPM_DB_VERSION"), "9\n").unwrap();
        std::fs::write(place.join("desc"), desc).unwrap();
        std::fs::write(place.join("files"), files).unwrap();
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    const DESC: &str = "%NAME%\na\n\n%VERSION%\n1:2-3\n\n%ARCH%\nany\n\n";

    #[test]
    fn reads_a_package() {
        let (_dir, root) = root(DESC, "%FILES%\nusr/\nusr/a b\n\n%BACKUP%\netc/a\t0\n\n");
        let identity = Identity { name: "a".into(), version: "1:2-3".into(), architecture: "any".into() };
        assert_eq!(read(&root), Ok(vec![InstalledAlpm { identity, files: vec![b"usr".to_vec(), b"usr/a b".to_vec()] }]));
        assert_eq!((is_there(&root), is_locked(&root)), (Ok(true), Ok(false)));
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for (desc, files) in [
            ("%NAME%\na\n\n%VERSION%\n1:2-3\n\n", ""),
            ("%NAME%\nb\n\n%VERSION%\n1:2-3\n\n%ARCH%\nany\n\n", ""),
            ("%NAME%\na\nb\n\n%VERSION%\n1:2-3\n\n%ARCH%\nany\n\n", ""),
            ("%NAME%\na\n\n%VERSION%\n1:2-3\n\n%ARCH%\na b\n\n", ""),
            (DESC, "%FILES%\n../x\n"),
            (DESC, "%FILES%\n/x\n"),
        ] {
            let (_dir, root) = root(desc, files);
            assert!(matches!(read(&root), Err(AlpmdbError::Malformed(..))), "{desc} {files}");
        }
    }

    #[test]
    fn patterns_of_what_is_left_out() {
        let settings = NoExtract::parse(b"[options]\n#NoExtract = a\nNoExtract = usr/share/help/* !usr/share/help/C/*\n NoExtract=x\n");
        let excluded: Vec<bool> =
            [&b"usr/share/help/de/x"[..], b"usr/share/help/C/x", b"x", b"a"].map(|path| settings.excludes(path)).to_vec();
        assert_eq!(excluded, [true, false, true, false]);
    }
}

//! Which of apt's repositories list a package file: only that tells whose policy it falls under, and whether it comes from a security suite.
//!
//! apt has verified the indexes that it keeps; here they are only searched.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use package::compression::{Compression, Decoder};
use package::deb822;
use package::release::signed_text;
use tlog::Hash;

use crate::gate::desk::Place;

/// A repository, by what its Release file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Repository {
    /// `Origin`, such as `Debian`.
    pub origin: Option<String>,
    /// `Suite` and `Codename`, such as `stable-security` and `bookworm-security`.
    pub suites: Vec<String>,
}

impl Repository {
    /// Whether it is a suite of security updates.
    #[must_use]
    pub fn is_security(&self) -> bool {
        self.suites.iter().any(|suite| suite.ends_with("-security"))
    }

    /// The same as the gate's desk knows places.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { origin: self.origin.clone(), security: self.is_security() }
    }

    /// From a Release file's text; one that cannot be read says nothing of itself.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let Ok(paragraph) = deb822::single(signed_text(text)) else { return Self::default() };
        let field = |name| paragraph.text(name).ok().flatten().map(str::to_owned);
        Self { origin: field("Origin"), suites: field("Suite").into_iter().chain(field("Codename")).collect() }
    }
}

/// The repositories that list each of these package files, from the directory in which apt keeps its indexes.
///
/// # Errors
/// If an index cannot be read: it may be the one that matters.
pub fn listing(lists: &Path, wanted: &BTreeSet<Hash>) -> io::Result<BTreeMap<Hash, BTreeSet<Repository>>> {
    let mut found: BTreeMap<Hash, BTreeSet<Repository>> = BTreeMap::new();
    let names = names(lists)?;
    let mut releases: Vec<&str> =
        names.iter().filter_map(|name| name.strip_suffix("InRelease").or_else(|| name.strip_suffix("Release"))).collect();
    // An index belongs to the release with the longest common beginning.
    releases.sort_by_key(|base| std::cmp::Reverse(base.len()));
    for name in &names {
        let Some((_, extension)) = name.rsplit_once("_Packages").filter(|(_, end)| end.is_empty() || end.starts_with('.')) else {
            continue;
        };
        let digests = search(open(&lists.join(name), extension.trim_start_matches('.'))?, wanted)?;
        if digests.is_empty() {
            continue;
        }
        let base = releases.iter().find(|base| name.starts_with(**base));
        let repository = base.map_or_else(|| Ok(Repository::default()), |base| release(lists, base))?;
        for digest in digests {
            found.entry(digest).or_default().insert(repository.clone());
        }
    }
    Ok(found)
}

fn names(lists: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(lists) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string().ok())).collect::<io::Result<Vec<_>>>()?;
    let mut names: Vec<String> = names.into_iter().flatten().collect();
    names.sort();
    Ok(names)
}

fn release(lists: &Path, base: &str) -> io::Result<Repository> {
    for name in ["InRelease", "Release"] {
        match File::open(lists.join(format!("{base}{name}"))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            file => {
                let mut text = Vec::new();
                file?.take(MAX_RELEASE).read_to_end(&mut text)?;
                return Ok(Repository::parse(&text));
            }
        }
    }
    Ok(Repository::default())
}

fn open(path: &Path, extension: &str) -> io::Result<Box<dyn Read>> {
    if extension.is_empty() {
        return Ok(Box::new(File::open(path)?.take(MAX_INDEX)));
    }
    match Compression::from_extension(extension) {
        Some(compression) => Ok(Box::new(Decoder::new(compression, File::open(path)?, MAX_INDEX)?)),
        // lz4 and the like: apt reads what it wrote.
        None => {
            let output = Command::new(HELPER).arg("cat-file").arg(path).stdin(Stdio::null()).output()?;
            if !output.status.success() {
                return Err(io::Error::other(format!("{}: {HELPER} cannot read it", path.display())));
            }
            Ok(Box::new(io::Cursor::new(output.stdout)))
        }
    }
}

/// Those of the digests that stand in fields `SHA256`, spelled in any way that apt takes. An index that names a package without one is an
/// error: nobody can tell which packages it is the place of.
fn search(index: Box<dyn Read>, wanted: &BTreeSet<Hash>) -> io::Result<BTreeSet<Hash>> {
    let mut reader = BufReader::with_capacity(1 << 16, index);
    let (mut found, mut line, mut unnamed) = (BTreeSet::new(), Vec::new(), 0i64);
    while (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line)? > 0 {
        if line.len() as u64 == MAX_LINE {
            return Err(io::Error::other(format!("a line of it is longer than {MAX_LINE} bytes")));
        }
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (field, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if field.eq_ignore_ascii_case(b"Package") {
            unnamed += 1;
        } else if field.eq_ignore_ascii_case(b"SHA256") {
            unnamed -= 1;
            let digest = std::str::from_utf8(value).ok().and_then(|text| Hash::from_hex(&text.trim().to_ascii_lowercase()));
            found.extend(digest.filter(|digest| wanted.contains(digest)));
        }
        line.clear();
    }
    if unnamed > 0 { Err(io::Error::other("it names packages without a SHA-256")) } else { Ok(found) }
}

const MAX_RELEASE: u64 = 32 << 20;
const MAX_INDEX: u64 = 2 << 30;
const MAX_LINE: u64 = 16 << 20;
const HELPER: &str = "/usr/lib/apt/apt-helper";

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const RELEASE: &str = "Origin: Debian\nSuite: oldstable-security\nCodename: bookworm-security\nDate: Sat, 21 Nov 2026 10:00:00 UTC\n";

    fn signed() -> String {
        format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{RELEASE}-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n"
        )
    }

    #[test]
    fn a_release_says_who_it_is() {
        for text in [RELEASE.to_owned(), signed()] {
            let repository = Repository::parse(text.as_bytes());
            assert_eq!(repository.origin.as_deref(), Some("Debian"));
            assert_eq!(repository.suites, ["oldstable-security", "bookworm-security"]);
            assert!(repository.is_security());
        }
        assert!(!Repository::parse(RELEASE.replace("-security", "").as_bytes()).is_security());
        for nonsense in [
            "",
            "nonsense",
            "-----BEGIN PGP SIGNED MESSAGE-----\n",
            "-----BEGIN PGP SIGNED MESSAGE-----\n\n\n-----BEGIN PGP SIGNATURE-----",
        ] {
            assert_eq!(Repository::parse(nonsense.as_bytes()), Repository::default(), "{nonsense:?}");
        }
    }

    #[test]
    fn an_index_belongs_to_its_release_however_it_is_compressed() {
        let dir = tempfile::tempdir().unwrap();
        let digests: Vec<Hash> = (0..4_u8).map(|number| Hash::digest(&[number])).collect();
        let stanza = |number: usize| format!("Package: p{number}\nSHA256: {}\n\n", digests[number]);
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        put("host_debian_dists_x_InRelease", &signed());
        put("host_debian_dists_x_main_binary-amd64_Packages", &(stanza(0) + &stanza(1)));
        put("host_debian_dists_x_main_i18n_Translation-en", &stanza(3));
        put("host_other_._Release", "Origin: Other\n");
        put("host_other_._Packages", &stanza(1));
        let script = "xz < host_other_._Packages > host_alone_._Packages.xz; gzip < host_other_._Packages > host_other_._extra_Packages.gz";
        assert!(Command::new("sh").arg("-c").arg(script).current_dir(dir.path()).status().unwrap().success());
        let found = listing(dir.path(), &digests.iter().copied().collect()).unwrap();
        let origins =
            |digest: &Hash| -> Vec<Option<&str>> { found[digest].iter().map(|repository| repository.origin.as_deref()).collect() };
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(origins(&digests[0]), [Some("Debian")]);
        assert_eq!(origins(&digests[1]), [None, Some("Debian"), Some("Other")]);
        fs::write(dir.path().join("host_other_._Packages.xz"), b"not xz").unwrap();
        assert!(listing(dir.path(), &digests.iter().copied().collect()).is_err());
        assert_eq!(listing(&dir.path().join("none"), &BTreeSet::new()).unwrap(), BTreeMap::new());
    }

    #[test]
    fn fields_are_read_as_apt_reads_them() {
        let digest = Hash::digest(b"1");
        let wanted = BTreeSet::from([digest]);
        let read = |text: String| search(Box::new(io::Cursor::new(text.into_bytes())), &wanted);
        for field in ["SHA256: ", "sha256:", "Sha256:  "] {
            assert_eq!(read(format!("Package: p\n{field}{digest}\n\n")).unwrap(), wanted, "{field}");
        }
        assert!(read("package: p\nSHA512: 00\n".to_owned()).is_err(), "nobody can tell what this is the place of");
        assert!(read("x".repeat(17 << 20)).is_err());
        assert_eq!(read(String::new()).unwrap(), BTreeSet::new());
    }
}

//! A .buildinfo file: what a package was built from, where and in what (deb-buildinfo(5), `specs/rebuild.md`, section 2).
//!
//! It is a recipe and no evidence: a wrong one leads to another file, and never to the same. So its signature, if it has one, is not
//! looked at.

use package::control::{is_architecture, is_package_name, is_version};
use package::deb822::{self, Paragraph};
use tlog::Hash;

use crate::chain::is_file_name;

/// A recorded build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buildinfo {
    /// SHA-256 of the file as it was given.
    pub sha256: Hash,
    /// Name of the source package.
    pub source: String,
    /// Version of the source package.
    pub source_version: String,
    /// Version of what was built; with `+bN` for a rebuild without a change of the source.
    pub version: String,
    /// What was built: the machine's architecture, `all`, `source`.
    pub architectures: Vec<String>,
    /// Names of the binary packages.
    pub binaries: Vec<String>,
    /// The entry of the changelog that a rebuild without a change of the source puts on top.
    pub binary_only_changes: Option<String>,
    /// Where it was built.
    pub build_path: Option<String>,
    /// `NAME=VERSION` of every package that was installed for it, sorted.
    pub installed: Vec<String>,
    /// Variables that bear on the result.
    pub environment: Vec<(String, String)>,
}

/// Why a file was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildinfoError {
    /// Larger than any.
    #[error("it has more than 1 MiB")]
    TooLarge,
    /// Not one paragraph.
    #[error("line {0}: not a field")]
    NotFields(usize),
    /// A field is missing or makes no sense.
    #[error("{0} is missing or malformed")]
    Field(&'static str),
}

impl Buildinfo {
    /// Reads one, signed or not.
    ///
    /// # Errors
    /// What makes no sense.
    pub fn parse(bytes: &[u8]) -> Result<Self, BuildinfoError> {
        if bytes.len() > MAX_BYTES {
            return Err(BuildinfoError::TooLarge);
        }
        let text = unsigned(bytes);
        let paragraph = deb822::single(&text).map_err(|error| BuildinfoError::NotFields(error.line))?;
        let version = checked(&paragraph, "Version", is_harmless_version)?.to_owned();
        let (source, source_version) = source(&paragraph, &version)?;
        let architectures = words(&paragraph, "Architecture", |word| is_architecture(word) && is_harmless(word))?;
        let binaries = words(&paragraph, "Binary", |word| is_package_name(word) && is_harmless(word))?;
        if architectures.is_empty() || binaries.is_empty() {
            return Err(BuildinfoError::Field(if architectures.is_empty() { "Architecture" } else { "Binary" }));
        }
        let build_path = paragraph.text("Build-Path").map_err(|_| BuildinfoError::Field("Build-Path"))?;
        if build_path.is_some_and(|path| !is_build_path(path)) {
            return Err(BuildinfoError::Field("Build-Path"));
        }
        Ok(Self {
            sha256: Hash::digest(bytes),
            source,
            source_version,
            version,
            architectures,
            binaries,
            binary_only_changes: changes(&paragraph)?,
            build_path: build_path.map(str::to_owned),
            installed: installed(&paragraph)?,
            environment: environment(&paragraph)?,
        })
    }
}

/// The text inside a clear signature, its dashes taken off; or all of it.
fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let Some(rest) = bytes.strip_prefix(b"-----BEGIN PGP SIGNED MESSAGE-----\n".as_slice()) else { return bytes.to_vec() };
    let mut lines = rest.split_inclusive(|byte| *byte == b'\n').skip_while(|line| *line != b"\n").skip(1);
    let inside = lines.by_ref().take_while(|line| !line.starts_with(b"-----BEGIN PGP SIGNATURE-----"));
    inside.flat_map(|line| line.strip_prefix(b"- ").unwrap_or(line)).copied().collect()
}

fn checked<'p>(paragraph: &Paragraph<'p>, field: &'static str, fits: fn(&str) -> bool) -> Result<&'p str, BuildinfoError> {
    paragraph.required(field).ok().filter(|value| fits(value)).ok_or(BuildinfoError::Field(field))
}

/// `NAME` or `NAME (VERSION)`.
fn source(paragraph: &Paragraph<'_>, version: &str) -> Result<(String, String), BuildinfoError> {
    let value = checked(paragraph, "Source", |_| true)?;
    let (name, own) = value.split_once(' ').map_or((value, None), |(name, own)| (name, Some(own)));
    let own = match own {
        None => Some(version),
        Some(own) => own.strip_prefix('(').and_then(|own| own.strip_suffix(')')),
    };
    let own = own.filter(|own| is_harmless_version(own) && is_package_name(name) && is_harmless(name));
    Ok((name.to_owned(), own.ok_or(BuildinfoError::Field("Source"))?.to_owned()))
}

fn words(paragraph: &Paragraph<'_>, field: &'static str, fits: fn(&str) -> bool) -> Result<Vec<String>, BuildinfoError> {
    let text = paragraph.text(field).map_err(|_| BuildinfoError::Field(field))?.unwrap_or_default();
    let words: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
    if words.len() <= MOST && words.iter().all(|word| fits(word)) { Ok(words) } else { Err(BuildinfoError::Field(field)) }
}

/// Lines `NAME (= VERSION),`.
fn installed(paragraph: &Paragraph<'_>) -> Result<Vec<String>, BuildinfoError> {
    const FIELD: &str = "Installed-Build-Depends";
    let one = |line: &[u8]| {
        let line = std::str::from_utf8(line).ok()?;
        let (name, rest) = line.strip_suffix(',').unwrap_or(line).split_once(' ')?;
        let version = rest.strip_prefix("(= ")?.strip_suffix(')')?;
        let name = name.split_once(':').map_or(Some(name), |(name, arch)| (is_architecture(arch) && is_harmless(arch)).then_some(name))?;
        (is_package_name(name) && is_harmless(name) && is_harmless_version(version)).then(|| format!("{name}={version}"))
    };
    let mut packages: Vec<String> = paragraph.lines(FIELD).map(one).collect::<Option<_>>().ok_or(BuildinfoError::Field(FIELD))?;
    packages.sort();
    packages.dedup();
    if packages.is_empty() || packages.len() > MOST { Err(BuildinfoError::Field(FIELD)) } else { Ok(packages) }
}

/// Lines `NAME="VALUE"`; of those only the variables that dpkg records because they may change what is built.
fn environment(paragraph: &Paragraph<'_>) -> Result<Vec<(String, String)>, BuildinfoError> {
    const FIELD: &str = "Environment";
    let one = |line: &[u8]| {
        let (name, value) = std::str::from_utf8(line).ok()?.split_once('=')?;
        let value = value.strip_prefix('"')?.strip_suffix('"')?;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        is_name.then(|| (name.to_owned(), value.replace("\\\"", "\"").replace("\\\\", "\\")))
    };
    let all: Vec<(String, String)> = paragraph.lines(FIELD).map(one).collect::<Option<_>>().ok_or(BuildinfoError::Field(FIELD))?;
    let bears = |name: &str| name.starts_with("DEB_") || name.starts_with("LC_") || matches!(name, "LANG" | "TZ" | "SOURCE_DATE_EPOCH");
    Ok(all.into_iter().filter(|(name, value)| bears(name) && !value.contains('\0')).collect())
}

/// The changelog's entry: its lines lose one space, and a line with a dot alone is empty.
fn changes(paragraph: &Paragraph<'_>) -> Result<Option<String>, BuildinfoError> {
    const FIELD: &str = "Binary-Only-Changes";
    let Some(field) = paragraph.fields.iter().find(|field| field.name.eq_ignore_ascii_case(FIELD)) else { return Ok(None) };
    let text = std::str::from_utf8(field.raw).map_err(|_| BuildinfoError::Field(FIELD))?;
    let lines = text.lines().skip(1).map(|line| line.strip_prefix(' ').unwrap_or(line)).map(|line| if line == "." { "" } else { line });
    let entry: String = lines.flat_map(|line| [line, "\n"]).collect();
    if entry.trim().is_empty() { Err(BuildinfoError::Field(FIELD)) } else { Ok(Some(format!("{}\n\n", entry.trim_end()))) }
}

/// A directory that a container can make, and whose name needs no quotes.
fn is_build_path(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let plain = |part: &&str| is_file_name(part) || (part.starts_with("<<") && is_file_name(part.trim_matches(['<', '>'])));
    path.len() <= 1_024 && parts.len() >= 3 && parts.first() == Some(&"") && parts.iter().skip(1).all(plain)
}

fn is_harmless_version(version: &str) -> bool {
    is_version(version) && is_harmless(version)
}

/// Names and versions become words of a shell script.
fn is_harmless(word: &str) -> bool {
    !word.starts_with('-') && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.~:".contains(&byte))
}

const MAX_BYTES: usize = 1 << 20;
const MOST: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Format: 1.0\nSource: sed\nBinary: sed\nArchitecture: amd64\nVersion: 4.9-1\nChecksums-Sha256:\n e3b0 5 sed_4.9-1_amd64.deb\n\
                        Build-Path: /build/reproducible-path/sed-4.9\nInstalled-Build-Depends:\n make (= 4.3-4.1),\n gcc-12 (= 12.2.0-14),\n libc6:amd64 (= 2.36-9)\n\
                        Environment:\n DEB_BUILD_OPTIONS=\"parallel=4\"\n LANG=\"C.UTF-8\"\n PATH=\"/tmp\"\n SOURCE_DATE_EPOCH=\"1673041443\"\n";

    fn refused(from: &str, to: &str) -> Result<(), BuildinfoError> {
        assert!(TEXT.contains(from), "{from}");
        Buildinfo::parse(TEXT.replacen(from, to, 1).as_bytes()).map(drop)
    }

    #[test]
    fn a_recorded_build_is_read() {
        let read = Buildinfo::parse(TEXT.as_bytes()).unwrap();
        assert_eq!((read.source.as_str(), read.source_version.as_str(), read.version.as_str()), ("sed", "4.9-1", "4.9-1"));
        assert_eq!(read.installed, ["gcc-12=12.2.0-14", "libc6=2.36-9", "make=4.3-4.1"]);
        let names: Vec<&str> = read.environment.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["DEB_BUILD_OPTIONS", "LANG", "SOURCE_DATE_EPOCH"]);
        assert_eq!(read.build_path.as_deref(), Some("/build/reproducible-path/sed-4.9"));
        let signed = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{TEXT}-----BEGIN PGP SIGNATURE-----\n\nx\n-----END PGP SIGNATURE-----\n"
        );
        let again = Buildinfo::parse(signed.as_bytes()).unwrap();
        assert_eq!(Buildinfo { sha256: read.sha256, ..again.clone() }, read);
        assert_ne!(again.sha256, read.sha256, "the digest is that of the file");
    }

    #[test]
    fn a_rebuild_without_a_change_of_the_source_has_its_entry() {
        let text = TEXT.replace("Source: sed", "Source: sed (4.9-1)").replace("Version: 4.9-1", "Version: 4.9-1+b2")
            + "Binary-Only-Changes:\n sed (4.9-1+b2) sid; urgency=low, binary-only=yes\n .\n   * Binary-only rebuild.\n .\n  -- A <a@b>  Fri, 06 Jan 2023 21:44:03 +0000\n";
        let read = Buildinfo::parse(text.as_bytes()).unwrap();
        assert_eq!((read.source_version.as_str(), read.version.as_str()), ("4.9-1", "4.9-1+b2"));
        let entry = "sed (4.9-1+b2) sid; urgency=low, binary-only=yes\n\n  * Binary-only rebuild.\n\n -- A <a@b>  Fri, 06 Jan 2023 21:44:03 +0000\n\n";
        assert_eq!(read.binary_only_changes.as_deref(), Some(entry));
    }

    #[test]
    fn everything_else_is_refused() {
        let field = |name| Err(BuildinfoError::Field(name));
        assert_eq!(refused("Source: sed", "Source: sed 4.9"), field("Source"));
        assert_eq!(refused("Source: sed", "Source: $(id)"), field("Source"));
        assert_eq!(refused("Version: 4.9-1", "Version: 4.9 1"), field("Version"));
        assert_eq!(refused("Version: 4.9-1\n", ""), field("Version"));
        assert_eq!(refused("Binary: sed", "Binary: -o"), field("Binary"));
        assert_eq!(refused("Architecture: amd64", "Architecture:"), field("Architecture"));
        for path in ["relative/path", "/build", "/build/../etc", "/build/a b", "/build/$(id)", "/build//x", "/build/<<a/b>>"] {
            assert_eq!(refused("/build/reproducible-path/sed-4.9", path), field("Build-Path"), "{path}");
        }
        assert_eq!(refused("(= 4.3-4.1)", "(>= 4.3-4.1)"), field("Installed-Build-Depends"));
        assert_eq!(refused("make (= 4.3-4.1)", "make;id (= 4.3-4.1)"), field("Installed-Build-Depends"));
        assert_eq!(refused("LANG=\"C.UTF-8\"", "LANG=C.UTF-8"), field("Environment"));
        assert_eq!(refused("LANG=", "lang;id="), field("Environment"));
        assert_eq!(refused("Format: 1.0", "Format"), Err(BuildinfoError::NotFields(1)));
        assert_eq!(Buildinfo::parse(&vec![b'x'; MAX_BYTES + 1]), Err(BuildinfoError::TooLarge));
    }
}

//! Sources indexes: the files of one source package, as a signed index names them.

use package::control::{is_package_name, is_version};
use package::deb822::{self, Paragraph};
use tlog::Hash;

/// A source package that a signed index names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRecord {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its files; exactly one is the .dsc.
    pub files: Vec<SourceFile>,
}

/// One file of a source package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name, without any directory.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Hash,
}

impl SourceRecord {
    /// The description of the source package.
    #[must_use]
    pub fn dsc(&self) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.name.ends_with(".dsc"))
    }
}

/// The package of this name and version in an index. Every paragraph is parsed, so that a malformed index is refused whole.
///
/// # Errors
/// Which line makes no sense.
pub fn find(text: &[u8], name: &str, version: &str) -> Result<Option<SourceRecord>, String> {
    let mut found = None;
    for paragraph in deb822::paragraphs(text) {
        let paragraph = paragraph.map_err(|error| format!("line {}: not a field", error.line))?;
        let is_it = paragraph.bytes("Package") == Some(name.as_bytes()) && paragraph.bytes("Version") == Some(version.as_bytes());
        if is_it && found.is_none() {
            found = Some(record(&paragraph).ok_or_else(|| format!("line {}: not a source package", paragraph.line))?);
        }
    }
    Ok(found)
}

fn record(paragraph: &Paragraph<'_>) -> Option<SourceRecord> {
    let (name, version) = (paragraph.required("Package").ok()?, paragraph.required("Version").ok()?);
    let files: Vec<SourceFile> = paragraph.lines("Checksums-Sha256").map(file).collect::<Option<_>>()?;
    let is_once = |file: &SourceFile| files.iter().filter(|other| other.name == file.name).count() == 1;
    let one_dsc = files.iter().filter(|file| file.name.ends_with(".dsc")).count() == 1;
    let fits = is_package_name(name) && is_version(version) && one_dsc && files.iter().all(is_once);
    fits.then(|| SourceRecord { name: name.to_owned(), version: version.to_owned(), files })
}

/// `digest size name`.
fn file(line: &[u8]) -> Option<SourceFile> {
    let words: Vec<&str> = std::str::from_utf8(line).ok()?.split_ascii_whitespace().collect();
    let [sha256, size, name] = words[..] else { return None };
    let number: u64 = size.parse().ok()?;
    let fits = number.to_string() == size && is_file_name(name);
    fits.then_some(SourceFile { name: name.to_owned(), size: number, sha256: Hash::from_hex(sha256)? })
}

/// A plain name: it becomes part of paths and of a shell script.
#[must_use]
pub fn is_file_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.~_:".contains(&byte);
    !name.is_empty() && name.len() <= 255 && !name.starts_with(['.', '-']) && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn index(lines: &str) -> String {
        format!("Package: other\nVersion: 1\n\nPackage: sed\nVersion: 4.9-1\nChecksums-Sha256:\n{lines}Directory: pool/s\n")
    }

    #[test]
    fn the_files_of_a_source_package_are_found() {
        let text = index(&format!(" {DIGEST} 0 sed_4.9-1.dsc\n {DIGEST} 12 sed_4.9.orig.tar.xz\n"));
        let record = find(text.as_bytes(), "sed", "4.9-1").unwrap().unwrap();
        assert_eq!((record.files.len(), record.files[1].size, record.dsc().unwrap().name.as_str()), (2, 12, "sed_4.9-1.dsc"));
        assert_eq!(find(text.as_bytes(), "sed", "4.9-2"), Ok(None));
        assert_eq!(find(text.as_bytes(), "se", "4.9-1"), Ok(None));
    }

    #[test]
    fn everything_else_is_refused() {
        let good = format!(" {DIGEST} 0 sed_4.9-1.dsc\n");
        for bad in [
            String::new(),
            good.replace(".dsc", ".tar"),
            good.replace("sed_", "../sed_"),
            good.replace("sed_", ".sed_"),
            good.replace("sed_", "sed$_"),
            good.replace(" 0 ", " 00 "),
            good.replace(" 0 ", " "),
            good.replace('e', "E"),
            good.repeat(2),
            format!("{good} {DIGEST} 0 b.dsc\n"),
        ] {
            assert!(find(index(&bad).as_bytes(), "sed", "4.9-1").is_err(), "{bad}");
        }
        assert!(find(b"Package\n", "sed", "4.9-1").is_err());
    }
}

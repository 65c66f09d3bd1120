//! Keeping what dpkg recorded of a build: a recipe that others, and this program, can follow.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use super::RebuildError;
use super::buildinfo::Buildinfo;

/// Copies a .buildinfo out of the build into a directory, as `SOURCE_VERSION_ARCHITECTURES.buildinfo`. It comes out of a container, so it is
/// read as strictly as any, and named by what it says.
pub(super) fn keep(record: &Path, dir: &Path) -> Result<(), RebuildError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| RebuildError::Io { path, source }
    };
    let mut bytes = Vec::new();
    fs::File::open(record).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes)).map_err(io(record))?;
    let parsed = Buildinfo::parse(&bytes).map_err(|error| RebuildError::Record(error.to_string()))?;
    let version = parsed.version.split_once(':').map_or(parsed.version.as_str(), |(_, rest)| rest);
    let path = dir.join(format!("{}_{version}_{}.buildinfo", parsed.source, parsed.architectures.join("-")));
    fs::create_dir_all(dir).map_err(io(dir))?;
    fs::write(&path, &bytes).map_err(io(&path))
}

/// More than a record may have, so that a longer one is refused.
const MAX_BYTES: u64 = (1 << 20) + 1;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Format: 1.0\nSource: a\nBinary: a b\nArchitecture: amd64 all\nVersion: 1:2-3\nBuild-Path: /build/a\nInstalled-Build-Depends:\n dash (= 1)\n";

    #[test]
    fn it_is_named_by_what_it_says_and_refused_if_it_makes_no_sense() {
        let dir = tempfile::tempdir().unwrap();
        let (file, kept) = (dir.path().join("x.buildinfo"), dir.path().join("kept"));
        for (text, good) in [(GOOD, true), ("nonsense", false), (&GOOD.replace("Source: a", "Source: ../a"), false)] {
            fs::write(&file, text).unwrap();
            assert_eq!(keep(&file, &kept).is_ok(), good, "{text}");
        }
        let names: Vec<_> = fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["a_2-3_amd64-all.buildinfo"]);
    }
}

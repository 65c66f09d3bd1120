//! Where two package files first differ (`specs/rebuild.md`, section 4).
//!
//! The payload is looked at before the control information: that lists digests of the payload's files, so it differs as well wherever
//! these do, and says less.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use attest::manifest::escape_path;
use attest::predicate::{Differs, FirstDifference};
use package::ar::{Archive, Member};
use package::compression::{Compression, Decoder};
use package::deb::Refusal;
use sha2::{Digest as _, Sha256};

/// The first difference; `None` if the files are the same, or one of them cannot be read that far.
#[must_use]
pub fn first_difference(one: &Path, other: &Path) -> Option<FirstDifference> {
    let (members, others) = (members(one).ok()?, members(other).ok()?);
    let mut differing: Vec<usize> = (0..members.len().max(others.len())).filter(|at| members.get(*at) != others.get(*at)).collect();
    differing.sort_by_key(|at| !members.get(*at).is_some_and(|(member, _)| member.name.starts_with("data.tar")));
    let at = differing.first().copied()?;
    let name = |list: &[(Member, [u8; 32])]| list.get(at).map(|(member, _)| member.name.clone());
    let (own, others_name) = (name(&members), name(&others));
    let member = own.clone().or_else(|| others_name.clone())?;
    if own != others_name {
        return Some(FirstDifference { member, path: None, what: Differs::Presence });
    }
    let Some(extension) = member.split_once(".tar").map(|(_, extension)| extension.trim_start_matches('.').to_owned()) else {
        return Some(FirstDifference { member, path: None, what: Differs::Content });
    };
    let inside = inside(one, other, at, &extension).ok()?;
    let (path, what) = inside.map_or((None, Differs::Encoding), |(path, what)| (Some(path), what));
    Some(FirstDifference { member, path, what })
}

/// Names, sizes and digests of an archive's members.
fn members(file: &Path) -> Result<Vec<(Member, [u8; 32])>, Refusal> {
    let mut archive = Archive::open(io::BufReader::new(File::open(file)?))?;
    let mut members = Vec::new();
    while let Some(member) = archive.next_member()? {
        members.push((member, digest(&mut archive)?));
    }
    Ok(members)
}

/// The first entry in which the tar archives in member number `at` differ; `None` if they hold the same.
fn inside(one: &Path, other: &Path, at: usize, extension: &str) -> Result<Option<(String, Differs)>, Refusal> {
    let (mut first, mut second) = (member(one, at)?, member(other, at)?);
    let compression = Compression::from_extension(extension).ok_or_else(|| Refusal::Compression(extension.to_owned()))?;
    let mut first = tar::Archive::new(Decoder::new(compression, &mut first, MOST)?);
    let mut second = tar::Archive::new(Decoder::new(compression, &mut second, MOST)?);
    let (mut entries, mut others) = (first.entries()?, second.entries()?);
    loop {
        let (mut entry, mut other) = match (entries.next().transpose()?, others.next().transpose()?) {
            (None, None) => return Ok(None),
            (Some(entry), Some(other)) => (entry, other),
            (Some(lone), None) | (None, Some(lone)) => return Ok(Some((path(&lone), Differs::Presence))),
        };
        if entry.path_bytes() != other.path_bytes() {
            return Ok(Some((path(&entry), Differs::Presence)));
        }
        if digest(&mut entry)? != digest(&mut other)? {
            return Ok(Some((path(&entry), Differs::Content)));
        }
        if attributes(&entry)? != attributes(&other)? {
            return Ok(Some((path(&entry), Differs::Attributes)));
        }
    }
}

/// An archive that stands at the beginning of a member's content.
fn member(file: &Path, at: usize) -> Result<Archive<io::BufReader<File>>, Refusal> {
    let mut archive = Archive::open(io::BufReader::new(File::open(file)?))?;
    for _ in 0..at {
        archive.next_member()?;
        archive.skip()?;
    }
    archive.next_member()?;
    Ok(archive)
}

fn path<R: Read>(entry: &tar::Entry<'_, R>) -> String {
    let bytes = entry.path_bytes();
    let plain = bytes.strip_prefix(b"./").unwrap_or(&bytes);
    escape_path(plain.strip_suffix(b"/").unwrap_or(plain))
}

/// Everything of an entry but its path and content.
fn attributes<R: Read>(entry: &tar::Entry<'_, R>) -> io::Result<Vec<u8>> {
    let header = entry.header();
    let numbers = [u64::from(header.mode()?), header.uid()?, header.gid()?, header.mtime()?];
    let mut text: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    text.push(header.entry_type().as_byte());
    let names = [header.username_bytes(), header.groupname_bytes()];
    names.into_iter().flatten().for_each(|name| text.extend([name, b"\0"].concat()));
    text.extend(entry.link_name_bytes().as_deref().unwrap_or_default());
    for device in [header.device_major(), header.device_minor()] {
        text.extend(device.ok().flatten().unwrap_or_default().to_be_bytes());
    }
    Ok(text)
}

fn digest(reader: &mut impl Read) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().into()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// What an archive may unpack to.
const MOST: u64 = 64 << 30;

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::process::Command;

    /// Packages of two files by dpkg-deb itself, after a shell command has changed them.
    fn built(dir: &Path, name: &str, change: &str, options: &str) -> PathBuf {
        let deb = dir.join(format!("{name}.deb"));
        let script = format!(
            "mkdir -p {name}/DEBIAN {name}/usr/bin; printf 'Package: x\\nVersion: 1\\nArchitecture: all\\nMaintainer: t <t@t>\\nDescription: t\\n' >{name}/DEBIAN/control; \
             echo one >{name}/usr/bin/one; echo two >'{name}/usr/bin/t w'; chmod 755 {name}/usr/bin/one; cd {name}; {change}; cd ..; \
             find {name} -exec touch -h -d @1700000000 {{}} +; {options} dpkg-deb --root-owner-group -b {name} {} >/dev/null",
            deb.display()
        );
        let output = Command::new("bash").args(["-euc", &script]).current_dir(dir).env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        deb
    }

    #[test]
    fn the_first_difference_is_found_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let base = built(dir.path(), "base", ":", "");
        let found = |name: &str, change: &str, options: &str| {
            let first = first_difference(&base, &built(dir.path(), name, change, options))?;
            Some((first.member, first.path, first.what))
        };
        let some = |member: &str, path: Option<&str>, what| Some((member.to_owned(), path.map(str::to_owned), what));
        assert_eq!(found("same", ":", ""), None);
        assert_eq!(found("content", "echo three >'usr/bin/t w'", ""), some("data.tar.xz", Some("./usr/bin/t\\040w"), Differs::Content));
        assert_eq!(found("mode", "chmod 700 usr/bin/one", ""), some("data.tar.xz", Some("./usr/bin/one"), Differs::Attributes));
        assert_eq!(found("more", "echo x >usr/bin/zzz", ""), some("data.tar.xz", Some("./usr/bin/zzz"), Differs::Presence));
        assert_eq!(found("less", "rm usr/bin/one", ""), some("data.tar.xz", Some("./usr/bin/one"), Differs::Presence));
        let both = "echo x >usr/bin/one; sed -i s/Version:.1/Version:\\ 2/ DEBIAN/control";
        assert_eq!(found("both", both, ""), some("data.tar.xz", Some("./usr/bin/one"), Differs::Content), "the payload comes first");
        let control = "sed -i s/Version:.1/Version:\\ 2/ DEBIAN/control";
        assert_eq!(found("control", control, ""), some("control.tar.xz", Some("./control"), Differs::Content));
        assert_eq!(found("packed", ":", "XZ_OPT=-0 DPKG_DEB_COMPRESSOR_LEVEL=0"), some("data.tar.xz", None, Differs::Encoding));
        assert_eq!(found("gzip", ":", "DPKG_DEB_COMPRESSOR_TYPE=gzip"), some("data.tar.xz", None, Differs::Presence));
        std::fs::write(dir.path().join("no.deb"), b"no package").unwrap();
        assert_eq!(first_difference(&base, &dir.path().join("no.deb")), None);
    }
}

//! What runs or is loaded from the system's own directories, by names and modes alone.

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;

use rustix::fs::FileType;

use crate::survey::{Directories, Resolver, SeenNode, join};

/// A walk through the system's directories.
#[derive(Debug, Default)]
pub struct Walk {
    /// Places of programs, libraries, bytecode, and of links with such names.
    pub found: BTreeSet<Vec<u8>>,
    /// Directories that could not be looked through, and why.
    pub unreadable: Vec<(Vec<u8>, String)>,
}

impl Walk {
    /// Whether a walk would take note of what stands at this canonical place.
    #[must_use]
    pub fn counts(resolver: &mut Resolver<'_>, place: &[u8], node: &SeenNode, mode: u32) -> bool {
        let name = place.rsplit(|byte| *byte == b'/').next().unwrap_or(place);
        let mut is_below = |tops: &[&str]| tops.iter().any(|top| place.starts_with(&join(&resolver.real(top.as_bytes()), b"")));
        let runs = is_below(&PATHS);
        let is_found = match node {
            SeenNode::File(_) => runs || mode & 0o111 != 0 || is_loaded(name),
            SeenNode::Link(_) => runs || is_loaded(name),
            _ => false,
        };
        is_found && (runs || is_below(&LIBRARIES))
    }

    /// Walks; links are not followed, but those of the directories to begin with.
    #[must_use]
    pub fn through(root: BorrowedFd<'_>, resolver: &mut Resolver<'_>) -> Self {
        let mut walk = Self::default();
        let mut directories = Directories::new(root);
        let mut tops: Vec<(Vec<u8>, bool)> = PATHS.iter().map(|top| (resolver.real(top.as_bytes()), true)).collect();
        tops.extend(LIBRARIES.iter().map(|top| (resolver.real(top.as_bytes()), false)));
        let mut done: BTreeSet<Vec<u8>> = BTreeSet::new();
        let mut waiting: Vec<(Vec<u8>, bool)> = tops.into_iter().rev().collect();
        while let Some((directory, runs)) = waiting.pop() {
            if done.insert(directory.clone()) {
                let below = walk.directory(&mut directories, &directory, runs);
                waiting.extend(below.into_iter().rev().map(|directory| (directory, runs)));
            }
        }
        walk
    }

    /// Notes what is in a directory; the directories in it are still to be walked. In one of `PATH` every file counts.
    fn directory(&mut self, directories: &mut Directories<'_>, directory: &[u8], runs: bool) -> Vec<Vec<u8>> {
        let entries = match directories.list(directory) {
            Ok(entries) => entries,
            // Of the directories to begin with, not all are on every system.
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Vec::new(),
            Err(error) => {
                self.unreadable.push((directory.to_vec(), error.to_string()));
                return Vec::new();
            }
        };
        let mut below = Vec::new();
        for (name, kind, mode) in entries {
            let place = join(directory, &name);
            match kind {
                FileType::Directory => below.push(place),
                FileType::RegularFile if runs || mode & 0o111 != 0 || is_loaded(&name) => drop(self.found.insert(place)),
                FileType::Symlink if runs || is_loaded(&name) => drop(self.found.insert(place)),
                _ => {}
            }
        }
        below.sort();
        below
    }
}

/// Libraries, kernel modules, modules of python and perl, by their names.
fn is_loaded(name: &[u8]) -> bool {
    let ends = [&b".so"[..], b".ko", b".ko.xz", b".ko.zst", b".ko.gz", b".py", b".pyc", b".pth", b".pm", b"ld.so.preload"];
    ends.iter().any(|end| name.ends_with(end)) || name.windows(5).any(|part| part.starts_with(b".so.") && part[4].is_ascii_digit())
}

/// Where shells look for programs.
const PATHS: [&str; 8] = ["usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin", "usr/local/games", "usr/games"];
/// Where programs look for libraries and for other programs; settings that run at start.
const LIBRARIES: [&str; 12] = [
    "usr/lib",
    "usr/lib32",
    "usr/lib64",
    "usr/libx32",
    "usr/libexec",
    "usr/share",
    "usr/local/lib",
    "usr/local/libexec",
    "lib",
    "lib32",
    "lib64",
    "etc",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn what_runs_or_is_loaded_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, mode: u32| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "x").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        write("usr/bin/plain", 0o644);
        write("usr/lib/deep/helper", 0o755);
        write("usr/lib/deep/data", 0o644);
        write("usr/lib/libx.so.1.2", 0o644);
        write("usr/lib/python3/__pycache__/a.cpython-311.pyc", 0o644);
        write("usr/share/doc/script", 0o755);
        write("opt/own/bin/program", 0o755);
        write("etc/ld.so.preload", 0o644);
        write("etc/passwd", 0o644);
        write("etc/ld.so.cache", 0o644);
        symlink("usr/bin", dir.path().join("bin")).unwrap();
        symlink("/opt/own/bin/program", dir.path().join("usr/bin/link")).unwrap();
        symlink("/opt", dir.path().join("usr/lib/elsewhere")).unwrap();
        let root = crate::survey::open_root(dir.path()).unwrap();
        let walk = Walk::through(root.as_fd(), &mut Resolver::new(root.as_fd()));
        let found: Vec<&str> = walk.found.iter().map(|place| std::str::from_utf8(place).unwrap()).collect();
        let expected = [
            "etc/ld.so.preload",
            "usr/bin/link",
            "usr/bin/plain",
            "usr/lib/deep/helper",
            "usr/lib/libx.so.1.2",
            "usr/lib/python3/__pycache__/a.cpython-311.pyc",
            "usr/share/doc/script",
        ];
        assert_eq!(found, expected);
        assert!(walk.unreadable.is_empty());
    }
}

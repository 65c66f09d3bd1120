//! Where files really stand, and whose they are: diversions and merged directories.

use super::{Diversion, DpkgError};
use crate::paths::Paths;
use crate::root::{FileKind, Root};
use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

/// Top-level directories that are links into `usr` (`bin` -> `usr/bin`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aliases {
    names: Vec<Vec<u8>>,
}

/// Where a shipped file stands on a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<'a> {
    /// Path below the root, diversion and aliases applied.
    pub path: Vec<u8>,
    /// The diversion that moved it.
    pub diversion: Option<&'a Diversion>,
}

impl Aliases {
    /// Reads the links of a root; only those that lead to the directory of the same name in `usr` count.
    pub(crate) fn read(root: &Root) -> Result<Self, DpkgError> {
        let mut names = Vec::new();
        for name in MERGED {
            let link = match root.stat(name)? {
                Some(meta) if meta.kind == FileKind::Link => root.read_link(name)?.unwrap_or_default(),
                _ => continue,
            };
            if link.strip_prefix(b"/").unwrap_or(&link).strip_prefix(b"usr/") == Some(*name) {
                names.push(name.to_vec());
            }
        }
        Ok(Self { names })
    }

    /// Aliases for the given names, for roots that are known otherwise.
    pub fn of(names: &[&str]) -> Self {
        Self { names: names.iter().map(|name| name.as_bytes().to_vec()).collect() }
    }

    /// The path with a merged top-level directory replaced by its place in `usr`. The link itself keeps its name.
    pub fn canonical<'a>(&self, path: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(slash) = path.iter().position(|byte| *byte == b'/') else { return Cow::Borrowed(path) };
        if self.names.iter().any(|name| name == &path[..slash]) { Cow::Owned([b"usr/", path].concat()) } else { Cow::Borrowed(path) }
    }

    /// The names that are aliases, such as `bin`.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().map(Vec::as_slice)
    }
}

/// Which packages put something at which real path: an index over their lists, since another copy of a hundred thousand paths would be
/// the largest part of what is kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Owners {
    state: RandomState,
    /// Sorted: the hash of a place, the package's number, the path's number in its list.
    index: Vec<(u32, u32, u32)>,
}

/// What an index is over: it is asked with the same that it was made of.
#[derive(Clone, Copy)]
pub(crate) struct Lists<'a> {
    pub packages: &'a dyn Fn(usize) -> Option<(&'a str, &'a Paths)>,
    pub diversions: &'a [Diversion],
    pub aliases: &'a Aliases,
}

impl Owners {
    pub fn new(lists: Lists<'_>) -> Self {
        let state = RandomState::new();
        let diverted: HashMap<&[u8], &Diversion> =
            lists.diversions.iter().map(|diversion| (diversion.from.as_slice(), diversion)).collect();
        let mut index = Vec::new();
        for (number, (name, paths)) in (0..).map_while(|number| Some((number, (lists.packages)(number as usize)?))) {
            for (at, path) in (0..).zip(paths.iter()) {
                let moved = diverted.get(path).filter(|diversion| applies(diversion, name));
                let place = lists.aliases.canonical(moved.map_or(path, |diversion| &diversion.to));
                index.push((short(&state, &place), number, at));
            }
        }
        index.shrink_to_fit();
        index.sort_unstable();
        Self { state, index }
    }

    /// The numbers of the packages that put something at a canonical path, rising.
    pub fn of(&self, path: &[u8], lists: Lists<'_>) -> Vec<usize> {
        let hash = short(&self.state, path);
        let start = self.index.partition_point(|(other, _, _)| *other < hash);
        let candidates = self.index[start..].iter().take_while(|(other, _, _)| *other == hash);
        let puts = |(_, package, at): &(u32, u32, u32)| {
            let (name, paths) = (lists.packages)(*package as usize)?;
            let place = locate(paths.at(*at as usize)?, name, lists.diversions, lists.aliases).path;
            (place == path).then_some(*package as usize)
        };
        let mut owners: Vec<usize> = candidates.filter_map(puts).collect();
        owners.dedup();
        owners
    }
}

/// Half of a hash: what has the same is compared.
fn short(state: &RandomState, path: &[u8]) -> u32 {
    (state.hash_one(path) >> 32) as u32
}

pub(super) fn locate<'a>(path: &[u8], package: &str, diversions: &'a [Diversion], aliases: &Aliases) -> Located<'a> {
    let diversion = diversions.iter().find(|diversion| diversion.from == path && applies(diversion, package));
    let place = diversion.map_or(path, |diversion| &diversion.to);
    Located { path: aliases.canonical(place).into_owned(), diversion }
}

/// A diversion moves everyone's file but that of the package that made it.
fn applies(diversion: &Diversion, package: &str) -> bool {
    diversion.by.as_deref() != Some(package)
}

const MERGED: &[&[u8]] = &[b"bin", b"lib", b"lib32", b"lib64", b"libo32", b"libx32", b"sbin"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_paths() {
        let aliases = Aliases::of(&["bin", "lib"]);
        for (path, expected) in [("bin/sh", "usr/bin/sh"), ("bin", "bin"), ("lib64/x", "lib64/x"), ("usr/bin/sh", "usr/bin/sh"), ("", "")] {
            assert_eq!(&*aliases.canonical(path.as_bytes()), expected.as_bytes());
        }
    }

    #[test]
    fn diversions_move_all_but_their_maker() {
        let divert = |from: &str, to: &str, by: Option<&str>| Diversion { from: from.into(), to: to.into(), by: by.map(str::to_owned) };
        let diversions = [divert("bin/sh", "bin/sh.distrib", Some("dash")), divert("usr/a", "usr/b", None)];
        let aliases = Aliases::of(&["bin"]);
        let place = |path: &str, package| locate(path.as_bytes(), package, &diversions, &aliases).path;
        assert_eq!(place("bin/sh", "dash"), b"usr/bin/sh");
        assert_eq!(place("bin/sh", "bash"), b"usr/bin/sh.distrib");
        assert_eq!(place("usr/a", "dash"), b"usr/b");
    }
}

//! What an exported file system's own tables say: accounts, diversions, and which paths packages own.

use std::collections::{BTreeMap, BTreeSet};

/// A diversion: files that others ship at `from` stand at `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Diversion {
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
    /// The package that made it; `:` for the administrator.
    pub(super) package: Vec<u8>,
}

/// The tables of one file system. Paths have no leading slash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Database {
    users: BTreeMap<u64, String>,
    groups: BTreeMap<u64, String>,
    /// In order of `from`.
    diversions: Vec<Diversion>,
    pub(super) owned: BTreeSet<Vec<u8>>,
}

impl Database {
    /// Whether a file is one of the tables.
    pub(super) fn wants(path: &[u8]) -> bool {
        matches!(path, PASSWD | GROUP | DIVERSIONS | OWNED) || (path.starts_with(INFO) && path.ends_with(b".list"))
    }

    pub(super) fn add(&mut self, path: &[u8], text: &[u8]) {
        match path {
            PASSWD => self.users = accounts(text),
            GROUP => self.groups = accounts(text),
            DIVERSIONS => self.diversions = diversions(text),
            _ => self.owned.extend(text.split(|byte| *byte == b'\n').map(relative).filter(|path| (1..=MAX_PATH).contains(&path.len()))),
        }
    }

    /// All diversions.
    pub(super) fn diversions(&self) -> &[Diversion] {
        &self.diversions
    }

    /// A user's name, or the number where there is none.
    pub(super) fn user(&self, id: u64) -> String {
        self.users.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    /// A group's name, or the number where there is none.
    pub(super) fn group(&self, id: u64) -> String {
        self.groups.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    /// Where the files of a package at `path` stand because another package diverts them.
    pub(super) fn diverted(&self, path: &[u8], package: &str) -> Option<&[u8]> {
        let from = self.diversions.partition_point(|diversion| diversion.from.as_slice() < path);
        let here = self.diversions[from..].iter().take_while(|diversion| diversion.from == path);
        let mut others = here.filter(|diversion| diversion.package != package.as_bytes());
        others.next().map(|diversion| diversion.to.as_slice())
    }
}

/// `name:password:number:...`; the first name of a number counts.
fn accounts(text: &[u8]) -> BTreeMap<u64, String> {
    let mut names = BTreeMap::new();
    for line in String::from_utf8_lossy(text).lines() {
        let mut fields = line.split(':');
        let (name, number) = (fields.next().unwrap_or_default(), fields.nth(1).and_then(|number| number.parse().ok()));
        if let Some(number) = number.filter(|_| attest::manifest::is_owner(name)) {
            names.entry(number).or_insert_with(|| name.to_owned());
        }
    }
    names
}

/// Three lines each: from, to, package.
fn diversions(text: &[u8]) -> Vec<Diversion> {
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let read = |three: &[&[u8]]| Diversion { from: relative(three[0]), to: relative(three[1]), package: three[2].to_vec() };
    let mut diversions: Vec<Diversion> = lines.chunks_exact(3).map(read).collect();
    // Of several at one place the first counts, as before.
    diversions.sort_by(|a, b| a.from.cmp(&b.from));
    diversions
}

fn relative(path: &[u8]) -> Vec<u8> {
    // pacman ends directories so.
    match path.strip_suffix(b"/").unwrap_or(path).strip_prefix(b"/") {
        Some(b".") | None => Vec::new(),
        Some(rest) => rest.to_vec(),
    }
}

/// Linux opens no longer path, so that no package has one.
const MAX_PATH: usize = 4096;
const PASSWD: &[u8] = b"etc/passwd";
const GROUP: &[u8] = b"etc/group";
const DIVERSIONS: &[u8] = b"var/lib/dpkg/diversions";
/// Where the databases are no text, the script that installs writes their paths here.
const OWNED: &[u8] = b"var/lib/tallystick/owned";
const INFO: &[u8] = b"var/lib/dpkg/info/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read() {
        let mut database = Database::default();
        database.add(PASSWD, b"root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\nbad name:x:7:7::/:/\nshort\n");
        database.add(GROUP, b"root:x:0:\nmessagebus:x:101:\n");
        database.add(DIVERSIONS, b"/bin/sh\n/bin/sh.distrib\ndash\n/x\n/y\n:\n");
        database.add(b"var/lib/dpkg/info/a.list", b"/.\n/usr\n/usr/bin\n");
        assert_eq!((database.user(0), database.user(7), database.group(101)), ("root".into(), "7".into(), "messagebus".into()));
        assert_eq!(database.diverted(b"bin/sh", "bash"), Some(&b"bin/sh.distrib"[..]));
        assert_eq!(database.diverted(b"bin/sh", "dash"), None);
        assert_eq!(database.diverted(b"x", "dash"), Some(&b"y"[..]));
        assert_eq!((database.diverted(b"a", "dash"), database.diverted(b"z", "dash")), (None, None));
        database.add(DIVERSIONS, b"/x\n/1\ndash\n/a\n/2\n:\n/x\n/3\nbash\n/x\n/4\n:\n");
        assert_eq!(database.diverted(b"x", "dash"), Some(&b"3"[..]), "the first that is not its own");
        assert_eq!(database.owned, BTreeSet::from([b"usr".to_vec(), b"usr/bin".to_vec()]));
        database.add(b"var/lib/dpkg/info/b.list", format!("/{}\n", "x".repeat(MAX_PATH + 1)).as_bytes());
        assert_eq!(database.owned.len(), 2);
        assert!(Database::wants(b"var/lib/dpkg/info/a:i386.list") && !Database::wants(b"etc/shadow"));
    }
}

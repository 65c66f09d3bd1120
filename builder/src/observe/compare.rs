//! The differences between a manifest and an installed file system, pure.

use std::collections::{BTreeMap, BTreeSet};

use attest::Manifest;
use attest::manifest::{Attributes, Class, Entry, Node, escape_path};
use attest::predicate::{Change, Observed};

use super::tree::{Found, Kind, Tree, TreeError};

/// Everything that installing `package` made of its manifest: changed, missing and diverted paths, and what is new beside them.
///
/// # Errors
/// If its paths lead through more links than can be followed.
pub fn compare(package: &str, manifest: &Manifest, baseline: &Tree, after: &Tree) -> Result<Vec<Observed>, TreeError> {
    compare_within(package, manifest, baseline, after, MAX_STEPS)
}

fn compare_within(package: &str, manifest: &Manifest, baseline: &Tree, after: &Tree, mut steps: usize) -> Result<Vec<Observed>, TreeError> {
    let steps = &mut steps;
    let mut entries = Vec::new();
    for entry in manifest.entries().iter().filter(|entry| entry.class != Class::Implied) {
        let moved = after.database.diverted(&entry.path, package);
        if let Some(to) = moved {
            entries.push(Observed { to: Some(escape_path(to)), ..Observed::new(entry.escaped_path(), Change::Diverted) });
        }
        entries.extend(difference(entry, &after.follow(moved.unwrap_or(&entry.path), steps), after));
    }
    for diversion in after.database.diversions().iter().filter(|diversion| diversion.package == package.as_bytes()) {
        let to = Some(escape_path(&diversion.to));
        entries.push(Observed { to, ..Observed::new(escape_path(&diversion.from), Change::Diverted) });
    }
    entries.extend(generated(baseline, after, steps));
    if *steps == 0 {
        return Err(TreeError::TooMuch("links to follow"));
    }
    Ok(entries)
}

/// What two runs agree on: paths in both, with the attributes that are the same in both.
#[must_use]
pub fn merge(first: Vec<Observed>, second: Vec<Observed>) -> Vec<Observed> {
    let mut agreed = Vec::new();
    let mut others: BTreeMap<(&str, Change), &Observed> = BTreeMap::new();
    for other in &second {
        others.entry((&other.path, other.change)).or_insert(other);
    }
    for one in first {
        let Some(other) = others.get(&(one.path.as_str(), one.change)).copied() else { continue };
        let both = Observed {
            caps: same(one.caps, &other.caps),
            gname: same(one.gname, &other.gname),
            link: same(one.link, &other.link),
            mode: same(one.mode, &other.mode),
            sha256: same(one.sha256, &other.sha256),
            to: same(one.to, &other.to),
            node: same(one.node, &other.node),
            uname: same(one.uname, &other.uname),
            ..Observed::new(one.path, one.change)
        };
        let bare = both == Observed::new(both.path.clone(), both.change);
        if !bare || both.change == Change::Missing {
            agreed.push(both);
        }
    }
    agreed
}

fn same<T: PartialEq>(one: Option<T>, other: &Option<T>) -> Option<T> {
    one.filter(|one| other.as_ref() == Some(one))
}

/// How one entry differs from what stands at its real path, if it does.
fn difference(entry: &Entry, path: &[u8], after: &Tree) -> Option<Observed> {
    let Some(found) = after.at(path) else {
        return Some(Observed::new(entry.escaped_path(), Change::Missing));
    };
    // A directory that the system replaced by a link to a directory (`/bin` to `/usr/bin`): dpkg unpacks through it.
    if entry.node == Node::Dir && matches!(found.kind, Kind::Link(_)) {
        return None;
    }
    let observed = modified(entry, found, after);
    (observed != Observed::new(entry.escaped_path(), Change::Modified)).then_some(observed)
}

fn modified(entry: &Entry, found: &Found, after: &Tree) -> Observed {
    let mut observed = Observed::new(entry.escaped_path(), Change::Modified);
    match (&entry.node, &found.kind) {
        (Node::File { sha256, .. }, Kind::File(found)) => observed.sha256 = (sha256 != found).then_some(*found),
        (Node::Link(target), Kind::Link(found)) => observed.link = (target != found).then(|| escape_target(found)),
        (Node::Dir, Kind::Dir) | (Node::Char(_), Kind::Char) | (Node::Block(_), Kind::Block) | (Node::Fifo, Kind::Fifo) => {}
        _ => describe_content(&mut observed, found),
    }
    if let Some(Attributes { mode, uname, gname }) = entry.attributes.as_deref() {
        let is_link = matches!(found.kind, Kind::Link(_));
        observed.mode = (!is_link && *mode != found.mode).then(|| octal(found.mode));
        observed.uname = Some(after.database.user(found.uid)).filter(|found| found != uname);
        observed.gname = Some(after.database.group(found.gid)).filter(|found| found != gname);
    }
    if entry.caps != found.caps {
        observed.caps = found.caps.as_deref().map(hex::encode);
    }
    observed
}

/// New paths that no package owns.
fn generated(baseline: &Tree, after: &Tree, steps: &mut usize) -> Vec<Observed> {
    let moved = after.database.diversions().iter().flat_map(|diversion| [&diversion.from, &diversion.to]);
    let owned: BTreeSet<Vec<u8>> = after.database.owned.iter().chain(moved).map(|path| after.follow(path, steps)).collect();
    let new = after.paths().filter(|(path, _)| baseline.at(path).is_none() && !owned.contains(*path) && !is_ours(path));
    new.filter_map(|(path, found)| describe(path, found, after)).collect()
}

fn describe(path: &[u8], found: &Found, after: &Tree) -> Option<Observed> {
    let mut observed = Observed::new(escape_path(path), Change::Generated);
    // A path or link that no statement can carry is left out rather than misquoted.
    if !attest::manifest::is_escaped_path(&observed.path) {
        return None;
    }
    describe_content(&mut observed, found);
    observed.mode = (!matches!(found.kind, Kind::Link(_))).then(|| octal(found.mode));
    observed.uname = Some(after.database.user(found.uid));
    observed.gname = Some(after.database.group(found.gid));
    observed.caps = found.caps.as_deref().map(hex::encode);
    Some(observed)
}

fn describe_content(observed: &mut Observed, found: &Found) {
    observed.node = Some(found.node().to_owned());
    match &found.kind {
        Kind::File(sha256) => observed.sha256 = Some(*sha256),
        Kind::Link(target) => observed.link = Some(escape_target(target)),
        _ => {}
    }
}

/// Targets are escaped as paths are, without the `./` in front.
fn escape_target(target: &[u8]) -> String {
    let path = escape_path(target);
    path.strip_prefix("./").unwrap_or(&path).to_owned()
}

fn octal(mode: u32) -> String {
    format!("0{mode:03o}")
}

/// What the container and package managers need for themselves.
fn is_ours(path: &[u8]) -> bool {
    OURS.iter().any(|ours| path.strip_prefix(*ours).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")))
}

/// Parts of paths that are looked at, for a whole file system: many times what any has.
const MAX_STEPS: usize = 50_000_000;
const OURS: [&[u8]; 29] = [
    b"dev",
    b"proc",
    b"sys",
    b"run/tallystick",
    b"run/.containerenv",
    b"run/lock",
    b"etc/hostname",
    b"etc/hosts",
    b"etc/mtab",
    b"etc/resolv.conf",
    b"usr/sbin/policy-rc.d",
    b"var/lib/dpkg",
    b"var/lib/apt",
    b"var/cache/apt",
    b"var/log/apt",
    b"var/log/dpkg.log",
    b"var/lib/tallystick",
    b"var/lib/rpm",
    b"root/.rpmdb",
    b"usr/lib/sysimage/rpm",
    b"usr/lib/sysimage/libdnf5",
    b"var/lib/dnf",
    b"var/lib/zypp",
    b"var/cache/dnf",
    b"var/cache/libdnf5",
    b"var/cache/zypp",
    b"var/lib/pacman",
    b"var/cache/pacman",
    b"var/log/pacman.log",
];

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::Hash;

    fn no_files() -> Manifest {
        attest::manifest::ManifestBuilder::new(Hash::EMPTY).finish().unwrap()
    }

    fn file(mode: u32) -> Found {
        Found { kind: Kind::File(Hash::EMPTY), mode, uid: 0, gid: 0, caps: None }
    }

    fn seen(path: &str, change: Change, mode: &str) -> Observed {
        Observed { mode: Some(mode.to_owned()), ..Observed::new(path.to_owned(), change) }
    }

    #[test]
    fn two_runs_agree_on_paths_changes_and_attributes() {
        let first = vec![
            seen("./a", Change::Generated, "0644"),
            seen("./b", Change::Generated, "0644"),
            seen("./c", Change::Modified, "0644"),
            Observed::new("./d".to_owned(), Change::Missing),
            seen("./e", Change::Generated, "0644"),
        ];
        let second = vec![
            Observed::new("./d".to_owned(), Change::Missing),
            seen("./c", Change::Generated, "0644"),
            seen("./b", Change::Generated, "0600"),
            seen("./a", Change::Generated, "0644"),
            seen("./e", Change::Generated, "0600"),
            seen("./e", Change::Generated, "0644"),
        ];
        let agreed = [seen("./a", Change::Generated, "0644"), Observed::new("./d".to_owned(), Change::Missing)];
        assert_eq!(merge(first, second), agreed, "of two entries for one change the first counts");
    }

    /// As many as a file system may hold, in the worst order: this ends, where looking through all for each would not.
    #[test]
    fn many_generated_files_are_merged_and_compared() {
        let all = |numbers: &mut dyn Iterator<Item = u32>| -> Vec<Observed> {
            numbers.map(|number| seen(&format!("./{number:07}"), Change::Generated, "0644")).collect()
        };
        assert_eq!(merge(all(&mut (0..300_000)), all(&mut (0..300_000).rev())).len(), 300_000);
        let after = Tree::of((0..300_000_u32).map(|number| (format!("{number:07}").into_bytes(), file(0o644))).collect());
        let entries = compare("p", &no_files(), &Tree::default(), &after).unwrap();
        assert_eq!(entries.len(), 300_000);
    }

    #[test]
    fn ways_that_lead_on_and_on_are_refused() {
        let mut after = Tree::of([(b"a".to_vec(), file(0o644))].into());
        after.database.add(b"var/lib/dpkg/info/p.list", b"/a\n/b/c/d\n");
        let compared = |steps| compare_within("p", &no_files(), &Tree::default(), &after, steps).map(|entries| entries.len());
        assert_eq!((compared(5), compared(4)), (Ok(0), Err(TreeError::TooMuch("links to follow"))));
    }
}

//! This machine's own dpkg database, against what dpkg's tools say about it.

mod support;

use package::accounts::Accounts;
use package::dpkg::{Database, DpkgError, lock_holder};
use package::root::Root;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use support::{have, run, text};

fn machine() -> Option<(Root, Database)> {
    if !have("dpkg-query") {
        return None;
    }
    let root = Root::open(Path::new("/")).unwrap();
    let database = Database::open(&root).unwrap();
    Some((root, database))
}

#[test]
fn packages_conffiles_and_lists_agree_with_dpkg_query() {
    let Some((_, database)) = machine() else { return };
    let format = "${binary:Package} ${Version} ${Architecture} ${db:Status-Status}\n";
    let expected: BTreeSet<String> = text(Command::new("dpkg-query").args(["-W", "-f", format])).lines().map(str::to_owned).collect();
    let ours: BTreeSet<String> = database
        .packages
        .iter()
        .map(|package| format!("{} {} {} {}", package.display_name(), package.version, package.architecture, state(package)))
        .collect();
    assert_eq!(ours, expected);

    let names: Vec<String> = database.packages.iter().map(|package| package.display_name()).collect();
    let listed = run(Command::new("dpkg-query").arg("-L").args(&names)).stdout;
    let mut paths = 0;
    // dpkg-query prints packages in the order asked for, an empty line between them, and remarks about diversions.
    for (package, expected) in database.packages.iter().zip(split_lists(&listed)) {
        let ours: Vec<Vec<u8>> = package.files.iter().map(|path| [b"/", path].concat()).collect();
        assert_eq!(ours, expected, "{}", package.name);
        paths += ours.len();
    }
    println!("{} packages and {paths} paths as dpkg-query says", database.packages.len());
}

fn state(package: &package::dpkg::Installed) -> &'static str {
    use package::dpkg::State::*;
    match package.status.state {
        NotInstalled => "not-installed",
        ConfigFiles => "config-files",
        HalfInstalled => "half-installed",
        Unpacked => "unpacked",
        HalfConfigured => "half-configured",
        TriggersAwaited => "triggers-awaited",
        TriggersPending => "triggers-pending",
        Installed => "installed",
    }
}

fn split_lists(listed: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut lists = vec![Vec::new()];
    for line in listed.split(|byte| *byte == b'\n') {
        match line {
            b"" => lists.push(Vec::new()),
            line if line.starts_with(b"/") && line != b"/." => lists.last_mut().unwrap().push(line.to_vec()),
            _ => {}
        }
    }
    lists
}

#[test]
fn diversions_and_statoverrides_agree_with_their_tools() {
    let Some((_, database)) = machine() else { return };
    let show = |path: &[u8]| format!("/{}", String::from_utf8_lossy(path));
    let ours: BTreeSet<String> = database
        .diversions
        .iter()
        .map(|diversion| match &diversion.by {
            Some(package) => format!("diversion of {} to {} by {package}", show(&diversion.from), show(&diversion.to)),
            None => format!("local diversion of {} to {}", show(&diversion.from), show(&diversion.to)),
        })
        .collect();
    let expected = text(Command::new("dpkg-divert").args(["--list"]).env("LC_ALL", "C"));
    assert_eq!(ours, expected.lines().map(str::to_owned).collect());

    let ours: BTreeSet<String> = database
        .statoverrides
        .iter()
        .map(|known| format!("{} {} {:o} {}", known.user, known.group, known.mode, show(&known.path)))
        .collect();
    // Exits with 1 when there are none.
    let expected = Command::new("dpkg-statoverride").arg("--list").output().unwrap().stdout;
    assert_eq!(ours, String::from_utf8(expected).unwrap().lines().map(str::to_owned).collect());
}

#[test]
fn owners_agree_with_dpkg_search() {
    let Some((_, database)) = machine() else { return };
    let mut asked = 0;
    for package in database.packages.iter().filter(|package| package.status.is_installed()).step_by(25) {
        let Some(path) = package.files.iter().rev().find(|path| !path.contains(&b'*')) else { continue };
        let shown = format!("/{}", String::from_utf8(path.to_vec()).unwrap());
        let found = text(Command::new("dpkg-query").args(["-S", &shown]).env("LC_ALL", "C"));
        let line = found.lines().find(|line| !line.starts_with("diversion") && line.ends_with(&shown)).unwrap();
        let expected: BTreeSet<String> = line.rsplit_once(": ").unwrap().0.split(", ").map(str::to_owned).collect();
        let place = database.locate(path, &package.name);
        let ours: BTreeSet<String> = database.owners_of(&place.path).map(|package| package.display_name()).collect();
        assert!(ours.is_superset(&expected), "{shown}: {ours:?} {expected:?}");
        asked += 1;
    }
    assert!(asked > 3);
}

#[test]
fn files_stand_where_the_tables_say() {
    let Some((root, database)) = machine() else { return };
    let (mut files, mut missing) = (0, Vec::new());
    for package in database.packages.iter().filter(|package| package.status.is_installed()) {
        for path in package.files.iter().step_by(10) {
            let place = database.locate(path, &package.name);
            files += 1;
            if root.stat(&place.path).unwrap().is_none() && !database.filters.excludes(path, false) {
                missing.push(place.path);
            }
        }
    }
    println!("{} of {files} listed paths are missing", missing.len());
    assert!(missing.len() * 20 < files, "{missing:?}");
}

#[test]
fn alternatives_lead_to_one_of_their_choices() {
    let Some((root, database)) = machine() else { return };
    for group in &database.alternatives {
        let private = format!("etc/alternatives/{}", group.name);
        assert!(database.alternative(private.as_bytes()).is_some_and(|found| found.links().any(|link| link == private.as_bytes())));
        let Some(target) = root.read_link(private.as_bytes()).unwrap() else { continue };
        assert!(group.choices.iter().any(|choice| [b"/", &choice.file[..]].concat() == target), "{}", group.name);
    }
}

#[test]
fn accounts_agree_with_the_c_library() {
    let Some((root, _)) = machine() else { return };
    let accounts = Accounts::open(&root).unwrap();
    for line in fs::read_to_string("/etc/passwd").unwrap().lines() {
        let (name, id) = (line.split(':').next().unwrap(), line.split(':').nth(2).unwrap().parse().unwrap());
        let expected = text(Command::new("getent").args(["passwd", &format!("{id}")]));
        assert!(expected.starts_with(&format!("{}:", accounts.user(id))), "{name}");
    }
}

/// A database of our own, with everything that can be odd in one.
#[test]
fn a_made_up_root() {
    let directory = tempfile::tempdir().unwrap();
    let top = directory.path();
    let root = Root::open(top).unwrap();
    assert_eq!(Database::open(&root).err(), Some(DpkgError::NoDatabase));

    let write = |path: &str, content: &str| {
        fs::create_dir_all(top.join(path).parent().unwrap()).unwrap();
        fs::write(top.join(path), content).unwrap();
    };
    let package = |name: &str, more: &str| format!("Package: {name}\nStatus: install ok installed\nVersion: 1\n{more}\n");
    let same = |arch: &str| package("lib", &format!("Architecture: {arch}\nMulti-Arch: same\n"));
    let half = package("half", "Architecture: all\n").replace("ok installed", "reinstreq half-installed");
    write("var/lib/dpkg/status", &[same("amd64"), same("i386"), package("sh", "Architecture: all\n"), half].concat());
    write("var/lib/dpkg/info/lib:amd64.list", "/.\n/usr\n/usr/doc\n");
    write("var/lib/dpkg/info/lib:i386.list", "/.\n/usr\n/usr/doc\n");
    write("var/lib/dpkg/info/sh.list", "/bin/sh\n/bin/other\n");
    write("var/lib/dpkg/status.d/tiny", "Package: tiny\nVersion: 2\nArchitecture: all\n");
    write("var/lib/dpkg/status.d/tiny.md5sums", &format!("{}  usr/tiny\n", "0".repeat(32)));
    write("var/lib/dpkg/diversions", "/bin/sh\n/bin/sh.distrib\ndash\n");
    write("var/lib/dpkg/statoverride", "root mail 2755 /bin/other\n");
    write("var/lib/dpkg/updates/0001", "");
    write("etc/dpkg/dpkg.cfg.d/slim", "path-exclude=/usr/doc*\n");
    write("etc/dpkg/dpkg.cfg.d/slim.off", "path-exclude=*\n");
    write("usr/bin/other", "");
    std::os::unix::fs::symlink("/usr/bin", top.join("bin")).unwrap();
    std::os::unix::fs::symlink("somewhere", top.join("lib")).unwrap();

    let database = Database::open(&root).unwrap();
    let names: Vec<_> =
        database.packages.iter().map(|package| (package.display_name(), package.files.len(), package.list_missing)).collect();
    let expected = [("half", 0, true), ("lib:amd64", 2, false), ("lib:i386", 2, false), ("sh", 2, false), ("tiny", 1, false)];
    assert_eq!(names, expected.map(|(name, files, missing)| (name.to_owned(), files, missing)));
    assert_eq!(database.owners_of(b"usr/doc").count(), 2);
    assert_eq!(database.owners_of(b"usr/bin/sh").count(), 0);
    assert_eq!(database.owners_of(b"bin/sh.distrib").map(|package| package.name.as_str()).collect::<Vec<_>>(), ["sh"]);
    assert_eq!(database.locate(b"bin/sh", "sh").path, b"usr/bin/sh.distrib");
    assert_eq!(database.statoverride(b"usr/bin/other").map(|known| known.mode), Some(0o2755));
    assert_eq!(database.aliases.names().collect::<Vec<_>>(), [b"bin"]);
    assert_eq!((database.journal.as_slice(), lock_holder(&root)), (&["0001".to_owned()][..], Ok(None)));
    assert_eq!(database.unfinished().map(|package| package.name.as_str()).collect::<Vec<_>>(), ["half"]);
    assert!(database.filters.excludes(b"usr/doc/x", false) && !database.filters.excludes(b"usr/bin/x", false));

    write("var/lib/dpkg/info/sh.list", "/bin/sh\nrelative\n");
    let error = Database::open(&root).unwrap_err().to_string();
    assert_eq!(error, "var/lib/dpkg/info/sh.list, line 2: not an absolute path");
    write("var/lib/dpkg/info/sh.list", "/bin/sh\n");
    write("var/lib/dpkg/status", &same("amd64").repeat(2));
    assert_eq!(Database::open(&root).unwrap_err().to_string(), "var/lib/dpkg/status: lib amd64 stands twice");
}

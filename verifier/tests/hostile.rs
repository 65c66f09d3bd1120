//! What a hostile root, a hostile package name and odd paths make of the reports; the statuses where several hold; the JSON report's
//! fields. Needs root.

mod world;

use std::path::Path;

use attest::predicate::Action;
use tally::finding::{Class, Kind};
use world::packages::{Root, base};
use world::{Outcome, World, now};

fn fresh() -> (World, Root) {
    let world = base().world();
    world.fill_cache(world.head());
    (world, base().root())
}

fn explain(world: &World, root: &Root, path: &str) -> Outcome {
    world.tally(&["explain", path, "--root", root.path().to_str().unwrap()])
}

/// Each link leads through the next one and two thousand directories more: whoever follows them all runs out of stack.
const DEEP: &str = r#"python3 - <<'PYTHON'
import os, shutil
shutil.rmtree("usr/share/basic")
for number in range(40):
    os.symlink(f"/l{number + 1}/" + "a/" * 2000, f"l{number}")
os.symlink("/l0/" + "a/" * 2000, "usr/share/basic")
PYTHON
"#;

#[test]
fn links_without_end_are_no_way_out() {
    let (world, root) = fresh();
    root.sh(DEEP);
    let outcome = world.verify(root.path());
    assert!(outcome.status == 1 && outcome.findings(false).contains(&"modified /usr/share/basic".to_owned()), "{outcome:?}");
}

#[test]
fn every_kind_of_path_is_explained() {
    let (world, root) = fresh();
    let cases: &[(&str, i32, &[&str])] = &[
        ("/usr/bin/basic", 0, &["belongs to    basic 1.0-1 amd64", "tag fixed", "claimed by    builder-1 (entry 1), builder-2 (entry 2)"]),
        ("/usr/lib/basic", 0, &["belongs to    basic", "a directory"]),
        ("/usr/bin/basic-link", 0, &["belongs to    basic", "a link to basic"]),
        ("/bin/basic-link", 0, &["belongs to    basic", "a link to basic"]),
        ("/etc/basic.conf", 0, &["belongs to    basic", "tag config"]),
        ("/usr/share/shared/data", 0, &["belongs to    shared 1.0-1 amd64", "belongs to    shared 1.0-1 i386"]),
        ("/usr/bin/tool", 0, &["belongs to    diverter"]),
        ("/usr/bin/tool.old", 0, &["moved away by a diversion by diverter"]),
        ("/usr/share/basic/taken", 0, &["belongs to    taker"]),
        ("/lib/module.ko", 0, &["belongs to    basic"]),
        ("/usr//bin/./basic/", 0, &["belongs to    basic 1.0-1 amd64"]),
        ("/usr/bin/nobodys", 2, &["belongs to    no package"]),
        ("/", 0, &["belongs to    no package"]),
        ("/usr/bin/never-there", 10, &["nothing is at /usr/bin/never-there, and no installed package owns it"]),
        ("/usr/bin/../bin/basic", 64, &["leads back by .."]),
        ("relative", 64, &["is not an absolute path"]),
        ("", 64, &["a value is required"]),
    ];
    root.sh("printf x > usr/bin/nobodys");
    let mut wrong = Vec::new();
    for (path, status, parts) in cases {
        let outcome = explain(&world, &root, path);
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        if outcome.status != *status || !parts.iter().all(|part| said.contains(part)) {
            wrong.push(format!("{path}: {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    root.sh("rm usr/bin/capper; echo changed >> etc/basic.conf");
    let gone = explain(&world, &root, "/usr/bin/capper");
    assert!(gone.status == 1 && gone.stdout.contains("missing"), "{gone:?}");
    let edited = explain(&world, &root, "/etc/basic.conf");
    assert!(edited.status == 0 && edited.stdout.contains("modified-config"), "{edited:?}");
    let json = world.tally(&["explain", "/usr/bin/capper", "--json", "--root", root.path().to_str().unwrap()]).json();
    assert_eq!((json["command"].as_str(), json["findings"][0]["finding"].as_str()), (Some("explain"), Some("missing")));
}

#[test]
fn a_path_that_is_no_text_is_explained() {
    use std::os::unix::ffi::OsStrExt as _;
    let (world, root) = fresh();
    let run = || {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_tally"))
            .arg("--config")
            .arg(world.path("tally.toml"))
            .args(["explain", "--root"])
            .arg(root.path())
            .arg(std::ffi::OsStr::from_bytes(b"/usr/share/basic/a b\xff"))
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (status, text) = run();
    assert!(status == Some(0) && text.starts_with("/usr/share/basic/a b\\377\n") && text.contains("belongs to    basic"), "{text}");
    root.sh("echo >> usr/share/basic/a*");
    let (status, text) = run();
    assert!(status == Some(1) && text.contains("modified"), "{text}");
}

/// What a package, a file or a database calls itself never reaches the terminal as a command, nor a shell as one.
#[test]
fn names_of_a_hostile_root_are_printed_as_text() {
    let (world, root) = fresh();
    let hostile: &[&str] = &[
        "sed -i '/^Package: basic/,/^$/s/^Version: .*/Version: 1.0-1\\x1b[31m/' var/lib/dpkg/status",
        "sed -i 's/^Package: basic$/Package: basic\\x1b[2J/' var/lib/dpkg/status",
        "sed -i 's/^Package: basic$/Package: $(reboot)/' var/lib/dpkg/status",
        "sed -i 's/^Package: basic$/Package: ..\\/..\\/etc/' var/lib/dpkg/status",
        "sed -i '/^Package: basic/,/^$/s/^Architecture: .*/Architecture: amd64\\x1b[31m/' var/lib/dpkg/status",
        "printf '/usr/bin/capper\\n/usr/bin/capper.\\033[31m\\n:\\n' >> var/lib/dpkg/diversions",
        "printf '/usr/bin/capper\\n/usr/bin/capper.old\\n\\033[31m\\n' >> var/lib/dpkg/diversions; mv usr/bin/capper usr/bin/capper.old; echo > usr/bin/capper",
        "printf 'ID=\\033[31m\\n' > etc/os-release",
        "printf 'ro\\033[31mot:x:1000:1000::/:/bin/sh\\nroot:x:0:0::/:/bin/sh\\n' > etc/passwd; chown 1000 usr/bin/capper",
        "ln -sf $'\\e[31m' usr/bin/basic-link",
    ];
    for script in hostile {
        let root_of_it = base().root();
        root_of_it.sh(script);
        for arguments in [&["verify", "--all", "--verbose"][..], &["explain", "/usr/bin/capper"], &["verify", "--all", "--json"]] {
            let outcome = world.tally(&[arguments, &["--root", root_of_it.path().to_str().unwrap()]].concat());
            let said = format!("{}{}", outcome.stdout, outcome.stderr);
            assert!(!said.contains('\u{1b}'), "{script}: {said}");
            assert!(outcome.status != 101 && outcome.status >= 0, "{script}: {outcome:?}");
            let command = said.lines().find(|line| line.contains("next:") && line.contains("$("));
            assert_eq!(command, None, "{script}");
        }
    }
    drop(root);
}

#[test]
fn a_database_without_packages_is_not_clean() {
    let (world, root) = fresh();
    root.sh("cp var/lib/dpkg/status s; : > var/lib/dpkg/status");
    let outcome = world.verify(root.path());
    assert!(outcome.status == 16 && outcome.stderr.contains("no package is installed"), "{outcome:?}");
    root.sh("sed 's/^Status: .*/Status: deinstall ok config-files/' s > var/lib/dpkg/status");
    assert_eq!(world.verify(root.path()).status, 16);
    root.sh("sed '/^Package: taker/,$d' s > var/lib/dpkg/status");
    assert_ne!(world.verify(root.path()).status, 16);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_never_clean() {
    let (world, root) = fresh();
    let stop = root.path().join("stop");
    let script = "while [ ! -e stop ]; do printf x >> usr/lib/basic/lib.so; truncate -s 300000 usr/lib/basic/lib.so; done";
    let dir = root.path().to_owned();
    let writer = std::thread::spawn(move || world::packages::sh(&dir, script));
    let mut kinds = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let outcome = world.verify(root.path());
        assert!(matches!(outcome.status, 0..=2), "{outcome:?}");
        kinds.extend(outcome.findings(false));
        // Clean only if it was whole, and untouched from the first look to the last byte.
        assert!(outcome.status != 0 || outcome.findings(false).is_empty());
    }
    std::fs::write(stop, "").unwrap();
    writer.join().unwrap();
    let expected = ["changed /usr/lib/basic/lib.so", "modified /usr/lib/basic/lib.so"];
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| expected.contains(&kind.as_str())), "{kinds:?}");
}

#[test]
fn huge_sparse_and_endless_things_cost_nothing() {
    let (world, _) = fresh();
    for script in [
        "truncate -s 8E usr/lib/basic/lib.so || truncate -s 15T usr/lib/basic/lib.so",
        "mkdir -p $(printf 'd/%.0s' $(seq 500)); rm -r usr/lib/basic; ln -s ../../d usr/lib/basic",
        "rm -r usr/lib/basic; ln -s a usr/lib/b; ln -s b usr/lib/a; ln -s a usr/lib/basic",
        "rm usr/lib/basic/lib.so; ln -s /dev/zero usr/lib/basic/lib.so",
        "rm -r usr/share; ln -s /proc/self/cwd usr/share",
    ] {
        let root = base().root();
        root.sh(script);
        let outcome = world.verify(root.path());
        assert_eq!(outcome.status, 1, "{script}: {outcome:?}");
    }
}

#[test]
fn where_several_statuses_hold_the_worst_counts() {
    let mut world = base().world();
    let size = world.leaves.len();
    let old = [(1, now() - 7200), (2, now() - 7200)];
    let ahead = [(1, now() + 86_400), (2, now() + 86_400)];
    let judge = |world: &World, script: &str| {
        let root = base().root();
        root.sh(script);
        let outcome = world.verify(root.path());
        let kinds: Vec<String> = outcome.findings(false).iter().map(|text| text.split(' ').next().unwrap().to_owned()).collect();
        (outcome.status, kinds.join(" "))
    };
    let unattested = "sed -i '/^Package: basic/,/^$/s/^Version: .*/Version: 0.9-1/' var/lib/dpkg/status";
    world.fill_cache(world.checkpoint(size, &old));
    assert_eq!(judge(&world, "true"), (3, "stale-head".into()));
    assert_eq!(judge(&world, unattested), (3, "stale-head unattested".into()));
    assert_eq!(judge(&world, "rm usr/bin/tool"), (1, "missing stale-head".into()));
    world.fill_cache(world.checkpoint(size, &ahead));
    assert_eq!(judge(&world, unattested), (13, "clock-behind unattested".into()));
    assert_eq!(judge(&world, "rm usr/bin/tool"), (1, "missing clock-behind".into()));
    world.advise(Action::Warn, "pkg:deb/debian/taker");
    world.fill_cache(world.checkpoint(size + 1, &ahead));
    assert_eq!(judge(&world, unattested), (13, "clock-behind warned unattested".into()));
    world.fill_cache(world.checkpoint(size + 1, &old));
    assert_eq!(judge(&world, unattested), (4, "warned stale-head unattested".into()));
    assert_eq!(judge(&world, &format!("{unattested}; rm usr/bin/tool")), (1, "missing warned stale-head unattested".into()));
    let manifest = world.path("cache/manifests").join(base().manifest("shared-amd64").1.root().to_hex());
    std::fs::remove_file(manifest).unwrap();
    assert_eq!(judge(&world, unattested), (11, "cache-incomplete warned stale-head unattested".into()));
}

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs/verdict.md")).unwrap()
}

/// The page that scripts are written by names every finding with its status.
#[test]
fn every_finding_is_on_the_page() {
    let page = page();
    let page = page.split("## 3. Findings").nth(1).unwrap();
    for kind in Kind::ALL {
        let row = page.lines().find(|line| line.starts_with("| `") && line.contains(&format!("`{}`", kind.name())));
        let row = row.unwrap_or_else(|| panic!("{kind} is not on the page"));
        let status = row.split('|').nth(2).unwrap().trim();
        assert_eq!(status, kind.class().status().to_string(), "{row}");
        assert!(matches!(
            kind.class(),
            Class::Integrity | Class::Operational(_) | Class::Warned | Class::Stale | Class::Unknown | Class::Explained
        ));
    }
}

/// The JSON report has exactly the fields of the page, whatever was found.
#[test]
fn the_json_report_has_the_fields_of_the_page() {
    let (mut world, root) = fresh();
    world.advise(Action::Warn, "pkg:deb/debian/basic");
    world.fill_cache(world.head());
    root.sh("echo >> usr/bin/suid; rm usr/bin/tool; echo >> etc/basic.conf");
    let path = root.path().to_str().unwrap();
    let deb = base().deb("basic");
    let page = page();
    let check = |json: &serde_json::Value, fields: &[&str], place: &str| {
        let mut found: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = fields.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{place}");
        assert!(fields.iter().all(|field| page.contains(&format!("`{field}`"))), "{place}");
    };
    for arguments in [
        &["verify", "--all", "--json", "--root", path][..],
        &["explain", "/usr/bin/suid", "--json", "--root", path],
        &["check", "--offline", "--json", deb.to_str().unwrap()],
    ] {
        let json = world.tally(arguments).json();
        let top = [
            "schema",
            "command",
            "target",
            "time",
            "exit",
            "checkpoint",
            "completeness",
            "builders",
            "packages",
            "files",
            "unowned",
            "gate",
            "entries",
            "counts",
            "since",
            "findings",
        ];
        check(&json, &top, arguments[0]);
        check(&json["checkpoint"], &["origin", "size", "root", "witnesses", "fresh", "age_seconds"], "checkpoint");
        check(&json["packages"], &["installed", "judged", "attested"], "packages");
        check(&json["files"], &["hashed", "bytes", "other"], "files");
        check(&json["entries"], &["verified", "not_counting"], "entries");
        let findings = json["findings"].as_array().unwrap();
        assert!(!findings.is_empty());
        for finding in findings {
            let fields = ["id", "finding", "exit", "package", "path", "why", "attested", "found", "sha256", "attested_by", "next"];
            check(finding, &fields, "finding");
            finding["attested_by"].as_array().unwrap().iter().for_each(|by| check(by, &["entry", "builder"], "attested_by"));
        }
        assert_eq!(json["schema"], 1);
        assert_eq!(json["exit"], world.tally(arguments).status);
    }
    // Without a verdict there is no report: the reason is on standard error.
    std::fs::remove_dir_all(world.path("cache")).unwrap();
    let outcome = world.tally(&["verify", "--all", "--json", "--root", path]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (11, ""));
    assert!(outcome.stderr.starts_with("error: there is no cache in"), "{outcome:?}");
}

//! 300 real packages from the machine's own apt: the second implementation, bsdtar and mtree must agree with us.
//!
//! Downloads at most 300 MB once, into `target/tmp/packages`, which later runs use again.

mod support;

use package::deb::{DebPackage, Limits, read};
use package::release::{PackageRecord, packages};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{have, kept, oracle, run, text};

#[test]
fn three_hundred_real_packages() {
    if !["apt-get", "dpkg-query", "python3", "zstd", "bsdtar"].into_iter().all(have) {
        return;
    }
    let cache = kept("packages");
    let index = index();
    let chosen = choose(&index);
    let files = download(&cache, &chosen);
    assert!(files.len() >= COUNT, "only {} packages could be downloaded", files.len());

    let out = tempfile::tempdir().unwrap();
    let read: Vec<DebPackage> = std::thread::scope(|scope| {
        let second = scope.spawn(|| oracle(out.path(), &files));
        let ours = files.iter().map(|file| read(File::open(file).unwrap(), &Limits::default()).unwrap()).collect();
        second.join().unwrap();
        ours
    });
    let mut tags: BTreeMap<&str, usize> = BTreeMap::new();
    for (file, deb) in files.iter().zip(&read) {
        let (ours, theirs) = (deb.manifest.encode(), fs::read(manifest_path(out.path(), file)).unwrap());
        assert!(ours == theirs, "{}: the second implementation differs", file.display());
        for entry in deb.manifest.entries() {
            *tags.entry(entry.class.tag()).or_default() += 1;
            *tags.entry("hardlink").or_default() += usize::from(entry.hardlink.is_some());
        }
        check_against_apt(deb, file, &chosen);
    }
    let lines: usize = read.iter().map(|deb| deb.manifest.entries().len() + 1).sum();
    println!("{} real packages, {lines} manifest lines, byte-identical to the second implementation; tags {tags:?}", files.len());
    bsdtar_reads_every_manifest(out.path(), &files, &read);
    mtree_verifies_an_unpacked_root(out.path(), &files);
}

fn manifest_path(out: &Path, file: &Path) -> PathBuf {
    out.join(format!("{}.mtree", file.file_name().unwrap().to_str().unwrap()))
}

/// Every package of apt's indices, read by our own parser.
fn index() -> Vec<PackageRecord> {
    let targets = text(Command::new("apt-get").args(["indextargets", "--format", "$(FILENAME)", "Created-By: Packages"]));
    let helper = "/usr/lib/apt/apt-helper";
    let mut records = Vec::new();
    for target in targets.lines().filter(|target| Path::new(target).exists()) {
        let index = run(Command::new(helper).args(["cat-file", target])).stdout;
        records.extend(packages(&index).map(|record| record.unwrap_or_else(|error| panic!("{target}: {error}"))));
    }
    println!("{} records in apt's indices", records.len());
    records
}

/// Interesting packages first, then an even choice of the installed ones by size, then of all others.
fn choose(index: &[PackageRecord]) -> Vec<&PackageRecord> {
    let versions: HashMap<String, String> = text(Command::new("dpkg-query").args(["-W", "-f", "${Package} ${Architecture} ${Version}\n"]))
        .lines()
        .filter_map(|line| line.rsplit_once(' ').map(|(key, version)| (key.to_owned(), version.to_owned())))
        .collect();
    let installed = |record: &&PackageRecord| {
        let key = format!("{} {}", record.control.name, record.control.architecture);
        versions.get(&key) == Some(&record.control.version)
    };
    let mut chosen: Vec<&PackageRecord> = Vec::new();
    let mut seen = BTreeSet::new();
    for name in INTERESTING {
        let found = index.iter().filter(|record| record.control.name == *name);
        chosen.extend(found.max_by_key(installed).filter(|_| seen.insert((*name).to_owned())));
    }
    let small = |record: &&PackageRecord| record.size < 1_500_000;
    for all in [true, false] {
        let mut rest: Vec<_> =
            index.iter().filter(small).filter(|record| installed(record) == all && !seen.contains(&record.control.name)).collect();
        rest.sort_by_key(|record| (record.size, &record.control.name));
        rest.dedup_by_key(|record| &record.control.name);
        let step = (rest.len() / (COUNT + 5).saturating_sub(chosen.len()).max(1)).max(1);
        chosen.extend(rest.into_iter().step_by(step).filter(|record| seen.insert(record.control.name.clone())));
        chosen.truncate(COUNT + 5);
    }
    let total: u64 = chosen.iter().map(|record| record.size).sum();
    assert!(total < 300_000_000, "{total} bytes are too much to download");
    chosen
}

fn file_name(record: &PackageRecord) -> String {
    let control = &record.control;
    format!("{}_{}_{}.deb", control.name, control.version.replace(':', "%3a"), control.architecture)
}

/// Downloads what the cache lacks; what apt cannot get is left out.
fn download(cache: &Path, chosen: &[&PackageRecord]) -> Vec<PathBuf> {
    let present = |record: &PackageRecord| fs::metadata(cache.join(file_name(record))).is_ok_and(|meta| meta.len() == record.size);
    let missing: Vec<_> = chosen.iter().filter(|record| !present(record)).collect();
    for some in missing.chunks(50) {
        let names = some.iter().map(|record| format!("{}={}", record.control.name, record.control.version));
        let output = Command::new("apt-get").args(["-qq", "download"]).args(names).current_dir(cache).output().unwrap();
        if !output.status.success() {
            eprintln!("apt-get download: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    chosen.iter().filter(|record| present(record)).map(|record| cache.join(file_name(record))).collect()
}

/// The digest, size and control fields that apt's index foretold.
fn check_against_apt(deb: &DebPackage, file: &Path, chosen: &[&PackageRecord]) {
    let name = file.file_name().unwrap().to_str().unwrap();
    let record = chosen.iter().find(|record| file_name(record) == name).unwrap();
    assert_eq!((deb.size, deb.sha256.as_bytes()), (record.size, &record.sha256), "{name}");
    let key = |control: &package::control::Control| {
        (control.name.clone(), control.version.clone(), control.architecture.clone(), control.multi_arch)
    };
    assert_eq!(key(&deb.control), key(&record.control), "{name}");
}

fn bsdtar_reads_every_manifest(out: &Path, files: &[PathBuf], read: &[DebPackage]) {
    for (file, deb) in files.iter().zip(read) {
        let names = run(Command::new("bsdtar").arg("-tf").arg(manifest_path(out, file))).stdout;
        assert_eq!(names.iter().filter(|byte| **byte == b'\n').count(), deb.manifest.entries().len(), "{}", file.display());
    }
    println!("bsdtar reads all {} manifests", files.len());
}

/// Needs root: owners are set when unpacking.
fn mtree_verifies_an_unpacked_root(out: &Path, files: &[PathBuf]) {
    if !have("mtree") || !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: mtree against an unpacked root needs mtree and root");
        return;
    }
    let file =
        files.iter().find(|file| file.file_name().unwrap().to_str().unwrap().starts_with("coreutils_")).expect("coreutils was chosen");
    let root = tempfile::tempdir().unwrap();
    run(Command::new("dpkg-deb").arg("-x").arg(file).arg(root.path()));
    let manifest = manifest_path(out, file);
    let mtree = || Command::new("mtree").arg("-p").arg(root.path()).arg("-f").arg(&manifest).output().unwrap();
    let clean = mtree();
    assert!(clean.status.success(), "{}", String::from_utf8_lossy(&clean.stdout));
    fs::write(root.path().join("usr/bin/env"), "replaced").unwrap();
    let tampered = mtree();
    assert_eq!(tampered.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&tampered.stdout).contains("usr/bin/env"));
    println!("mtree verifies coreutils against an unpacked root, and sees one replaced file");
}

const COUNT: usize = 300;

/// Odd in some way: capabilities, diversions, set-user-id files, many files, multi-arch, hard links, conffiles, all compressions in use.
const INTERESTING: &[&str] = &[
    "coreutils",
    "dash",
    "bash",
    "iputils-ping",
    "dbus",
    "man-db",
    "git",
    "libc6",
    "libc-bin",
    "passwd",
    "login",
    "sudo",
    "openssh-client",
    "openssh-server",
    "base-files",
    "base-passwd",
    "tzdata",
    "perl-base",
    "perl",
    "cron",
    "mount",
    "util-linux",
    "util-linux-extra",
    "systemd",
    "udev",
    "policykit-1",
    "postfix",
    "exim4-base",
    "man2html",
    "vim-runtime",
    "vim-tiny",
    "postgresql-common",
    "libssl3",
    "ca-certificates",
    "apt",
    "dpkg",
    "gcc-12-base",
    "e2fsprogs",
    "gzip",
    "libpam-modules",
    "libcap2-bin",
    "debianutils",
    "bzip2",
    "mtr-tiny",
    "procps",
    "screen",
    "busybox",
    "zoneinfo",
];

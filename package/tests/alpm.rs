//! Packages made with makepkg's own commands: pacman and bsdtar must say the same about them as we do.

mod support;

use attest::Manifest;
use package::alpm::read;
use package::deb::Limits;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use support::{have, holds_for, repository, run};

struct Built(tempfile::TempDir);

impl Built {
    fn new() -> Option<Self> {
        if !["pacman", "bsdtar", "zstd", "xz"].into_iter().all(have) {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        run(Command::new(repository("testdata/packages/build-pacman.sh")).arg(directory.path()));
        Some(Self(directory))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn refusal(&self, name: &str) -> String {
        read(&self.bytes(name)[..], &Limits::default()).expect_err(name).to_string()
    }
}

/// All in one test, so that the packages are built once.
#[test]
fn packages_made_as_makepkg_makes_them() {
    let Some(built) = Built::new() else { return };
    let names = ["sample.pkg.tar.zst", "sample.pkg.tar.xz", "sample.pkg.tar.gz"];
    let packages = names.map(|name| read(&built.bytes(name)[..], &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}")));
    assert_eq!(packages[0].manifest.entries(), packages[1].manifest.entries());
    assert_eq!(packages[0].manifest.entries(), packages[2].manifest.entries());
    for (name, package) in names.iter().zip(&packages) {
        assert_eq!(Manifest::parse(&package.manifest.encode()).as_ref(), Ok(&package.manifest), "{name}");
        assert!(package.has_script);
        let info = String::from_utf8(run(Command::new("bsdtar").arg("-xOf").arg(built.path(name)).arg(".PKGINFO")).stdout).unwrap();
        let base = info.lines().find_map(|line| line.strip_prefix("pkgbase = ")).expect("as makepkg writes it");
        assert_eq!(package.source, Some((base.to_owned(), package.identity.version.clone())));
        pacman_says_the_same(&built, name, &package.manifest, &package.identity.to_string());
        let directory = tempfile::tempdir().unwrap();
        run(Command::new("bsdtar").arg("-xpf").arg(built.path(name)).arg("-C").arg(directory.path()).env("LC_ALL", "C"));
        holds_for(&package.manifest, directory.path());
    }
    the_lines_are_as_foretold(&packages[0].manifest);
    refusals(&built);
    every_cut_is_refused(&built);
}

fn pacman_says_the_same(built: &Built, name: &str, manifest: &Manifest, identity: &str) {
    // Nothing of this machine's own database is asked, but pacman wants one to be there.
    let none = tempfile::tempdir().unwrap();
    let ask =
        |option: &str| run(Command::new("pacman").arg(option).arg("--dbpath").arg(none.path()).arg(built.path(name)).env("LC_ALL", "C"));
    let about = String::from_utf8(ask("-Qp").stdout).unwrap();
    assert_eq!(format!("{} x86_64", about.trim()), identity);
    let listed: BTreeSet<Vec<u8>> = ask("-Qlqp")
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| line.strip_prefix(b"/").unwrap_or(line).strip_suffix(b"/").unwrap_or(line.strip_prefix(b"/").unwrap_or(line)).to_vec())
        .collect();
    let ours: BTreeSet<Vec<u8>> = manifest.entries().iter().skip(1).map(|entry| entry.path.clone()).collect();
    assert_eq!(ours, listed);
}

fn the_lines_are_as_foretold(manifest: &Manifest) {
    let text = String::from_utf8(manifest.encode()).unwrap();
    let has = |path: &str, words: &[&str]| {
        let line = text.lines().find(|line| line.starts_with(&format!("{path} "))).unwrap_or_else(|| panic!("{path} has no line"));
        words.iter().for_each(|word| assert!(format!(" {line} ").contains(&format!(" {word} ")), "{line}"));
    };
    has("./usr/bin/suid", &["mode=04755", "uname=root", "gname=root", "tags=fixed"]);
    has("./usr/bin/capable", &["tags=fixed,caps.0100000200200000000000000000000000000000"]);
    has("./usr/lib/sample/one", &["tags=fixed,hardlink.1"]);
    has("./usr/lib/sample/two", &["tags=fixed,hardlink.1"]);
    has("./usr/lib/sample/a\\040b\\377", &["size=8"]);
    has("./usr/lib/sample/odd-link", &["link=a\\040b"]);
    has("./srv/sample", &["mode=02750", "uname=33", "gname=12", "tags=fixed"]);
    has("./etc/sample.conf", &["tags=config"]);
    has("./etc/other.conf", &["tags=fixed"]);
    has("./usr/share/doc/sample/README", &["optional", "tags=optional"]);
    assert!(!text.contains(".PKGINFO") && !text.contains("not-there"));
}

fn refusals(built: &Built) {
    let cases = [
        ("content", "usr/lib/sample/one: the package contradicts itself in its content"),
        ("size", "usr/lib/sample/one: the package contradicts itself in its content"),
        ("mode", "usr/bin/suid: the package contradicts itself in its mode or owner"),
        ("owner", "srv/sample: the package contradicts itself in its mode or owner"),
        ("target", "usr/lib/sample/odd-link: the package contradicts itself in what it is"),
        ("type", "srv/sample: the package contradicts itself in what it is"),
        ("absent", "usr/bin/sample: the package contradicts itself in whether it is there"),
        ("more", "usr/bin/more: the package contradicts itself in whether it is there"),
        ("keyword", "an unknown keyword"),
    ];
    for (name, words) in cases {
        let error = built.refusal(&format!("lies-{name}.pkg.tar.zst"));
        assert!(error.starts_with("sample 1:1.0rc1-2 x86_64: ") && error.contains(words), "{name}: {error}");
    }
    for (name, words) in [("no-list", "no .MTREE"), ("no-info", "no .PKGINFO"), ("other", ".OTHER: not a file that such a package has")] {
        let error = built.refusal(&format!("{name}.pkg.tar.zst"));
        assert!(error.contains(words), "{name}: {error}");
    }
    let bytes = built.bytes("sample.pkg.tar.gz");
    assert!(read(&b"!<arch>\n"[..], &Limits::default()).unwrap_err().to_string().contains("not a package"));
    let followed = [&bytes[..], b"x"].concat();
    assert!(read(&followed[..], &Limits::default()).unwrap_err().to_string().contains("bytes follow the compressed stream"));
    for (limits, words) in [
        (Limits { package: 1000, ..Limits::default() }, "limit of 1000 bytes"),
        (Limits { payload: 10_000, ..Limits::default() }, "limit of 10000 bytes"),
        (Limits { control: 100, ..Limits::default() }, "metadata is larger than the limit of 100 bytes"),
        (Limits { entries: 5, ..Limits::default() }, "more entries than the limit of 5"),
    ] {
        let error = read(&bytes[..], &limits).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
}

fn every_cut_is_refused(built: &Built) {
    for name in ["sample.pkg.tar.zst", "sample.pkg.tar.gz"] {
        let bytes = built.bytes(name);
        for cut in (0..bytes.len()).step_by(11) {
            assert!(read(&bytes[..cut], &Limits::default()).is_err(), "{name} cut at {cut}");
        }
    }
}

/// A small file that unpacks to a lot stops at the ratio, long before the payload's own limit.
#[test]
fn a_bomb_is_refused() {
    let zeros = zstd::encode_all(std::io::Read::take(std::io::repeat(0), 100 << 20), 19).unwrap();
    let error = read(&zeros[..], &Limits { ratio: 10, ..Limits::default() }).unwrap_err().to_string();
    assert!(error.starts_with("content is larger than the limit of 67"), "{error}");
}

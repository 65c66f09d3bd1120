//! Small Alpine packages, laid out as abuild does: each gets the verdict that stands beside it.

mod support;

use attest::Manifest;
use package::apk::read;
use package::deb::Limits;
use std::fs;
use std::process::Command;
use support::{have, holds_for, repository, run};

#[test]
fn every_package_gets_its_verdict() {
    if !["python3", "bsdtar"].into_iter().all(have) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    run(Command::new("python3").arg(repository("testdata/packages/build-apk.py")).arg(directory.path()));
    let bytes = |name: &str| fs::read(directory.path().join(format!("{name}.apk"))).unwrap();
    let mut cases = 0;
    for entry in fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_stem().unwrap().to_str().unwrap().to_owned();
        if entry.extension().is_some_and(|extension| extension == "apk") {
            continue;
        }
        cases += 1;
        let verdict = fs::read_to_string(&entry).unwrap();
        let result = read(&bytes(&name)[..], &Limits::default());
        match verdict.trim_end().strip_prefix("refuse: ") {
            None => drop(result.unwrap_or_else(|error| panic!("{name}: {error}"))),
            Some(words) => {
                let error = result.expect_err(&name).to_string();
                assert!(error.contains(words), "{name}: {error}");
            }
        }
    }
    assert!(cases >= 16, "{cases}");
    let [good, again, unsigned] = ["good", "signed-again", "unsigned"].map(|name| read(&bytes(name)[..], &Limits::default()).unwrap());
    for other in [&again, &unsigned] {
        assert_ne!(good.sha256, other.sha256);
        assert_eq!((good.control, good.data, good.manifest.entries()), (other.control, other.data, other.manifest.entries()));
    }
    assert_eq!(good.scripts, [".post-install", ".trigger"]);
    the_lines_are_as_foretold(&good.manifest);
    let unpacked = tempfile::tempdir().unwrap();
    run(Command::new("bsdtar").arg("-xpf").arg(directory.path().join("good.apk")).arg("-C").arg(unpacked.path()));
    holds_for(&good.manifest, unpacked.path());
    let good = bytes("good");
    (0..good.len()).for_each(|cut| assert!(read(&good[..cut], &Limits::default()).is_err(), "cut at {cut}"));
}

fn the_lines_are_as_foretold(manifest: &Manifest) {
    assert_eq!(Manifest::parse(&manifest.encode()).as_ref(), Ok(manifest));
    let text = String::from_utf8(manifest.encode()).unwrap();
    let has = |path: &str, words: &[&str]| {
        let line = text.lines().find(|line| line.starts_with(&format!("{path} "))).unwrap_or_else(|| panic!("{path} has no line"));
        words.iter().for_each(|word| assert!(format!(" {line} ").contains(&format!(" {word} ")), "{line}"));
    };
    has("./etc/sample.conf", &["tags=config"]);
    has("./etc/init.d/sample", &["mode=0755", "tags=fixed"]);
    has("./etc/apk/keep", &["tags=fixed"]);
    has("./usr/bin/sample", &["tags=fixed,hardlink.1"]);
    has("./usr/bin/link", &["link=/bin/busybox"]);
    has("./usr/share/man/man1/sample.1.gz", &["tags=optional"]);
    has("./var/sample", &["mode=02750", "uname=games", "gname=12"]);
}

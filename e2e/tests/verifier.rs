//! The user's program against a real log with real witnesses: package files, warnings, a quorum that is away. Needs dpkg-deb and minisign.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use attest::Purl;
use e2e::{User, World};
use package::deb::{Limits, read};

/// A small package file.
fn package(dir: &Path) -> PathBuf {
    let tree = dir.join("tree");
    fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    fs::create_dir_all(tree.join("usr/bin")).unwrap();
    fs::write(tree.join("usr/bin/hello"), "hello\n").unwrap();
    fs::write(
        tree.join("DEBIAN/control"),
        "Package: hello\nVersion: 1.0-1\nArchitecture: amd64\nMaintainer: T <t@example.com>\nDescription: test\n",
    )
    .unwrap();
    let deb = dir.join("hello.deb");
    let output = Command::new("dpkg-deb").args(["--root-owner-group", "-b"]).arg(&tree).arg(&deb).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    deb
}

#[track_caller]
fn expect(user: &User, status: i32, arguments: &[&str]) {
    let output = user.tally(arguments);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {output:?}");
}

#[test]
fn warnings_reach_the_user_and_are_withdrawn() {
    let mut world = World::start();
    let dir = tempfile::tempdir().unwrap();
    let deb = package(dir.path());
    let file = deb.to_str().unwrap();
    let read = read(fs::File::open(&deb).unwrap(), &Limits::default()).unwrap();
    let purl = Purl::deb("debian", "hello", "1.0-1", "amd64").unwrap();
    let key = world.at("security.example.key");
    let key = key.to_str().unwrap();
    let text = ["--key", key, "--id", "TSA-1", "--reference", "CVE-2026-0001", "--summary", "a hole", "--advice", "upgrade"];

    let user = User::new(&world, "1h");
    expect(&user, 2, &["check", file]);
    world.claim(0, &purl, read.sha256, &read.manifest).unwrap();
    expect(&user, 2, &["check", file]);
    world.claim(1, &purl, read.sha256, &read.manifest).unwrap();
    expect(&user, 0, &["check", file]);

    expect(&user, 0, &[&["advise", "warn", "--package", "pkg:deb/debian/hello", "--severity", "high"], &text[..]].concat());
    expect(&user, 4, &["check", file]);
    expect(&user, 0, &["advise", "head", "--key", key]);
    expect(&user, 4, &["check", file]);
    expect(&user, 0, &[&["advise", "withdraw"], &text[..]].concat());
    expect(&user, 0, &["check", file]);
    let other = world.at("builder-1/keys/builder.key");
    expect(&user, 14, &["advise", "head", "--key", other.to_str().unwrap()]);
    expect(&user, 10, &["advise", "second", "--id", "TSA-9", "--key", key]);
    expect(&user, 14, &["advise", "second", "--id", "TSA-1", "--key", other.to_str().unwrap()]);

    // Two of three witnesses away: nothing is published, and what was keeps its verdict.
    let known = user.tally(&["check", file]).status.code();
    let gone: Vec<_> = world.witnesses.iter_mut().take(2).filter_map(Option::take).collect();
    gone.into_iter().for_each(|witness| witness.kill());
    let user = User::new(&world, "1h");
    expect(&user, 14, &["advise", "head", "--wait", "3", "--key", key]);
    assert_eq!(user.tally(&["check", file]).status.code(), known);
}

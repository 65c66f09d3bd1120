//! Copies of a log's directory against real witnesses: an old backup and a running clone both stop, and say what to do.

use std::path::Path;
use std::process::Command;

use attest::manifest::Manifest;
use attest::{Hash, Purl};
use client::{FetchError, block_on};
use e2e::{Program, World, wait_until};

/// Claims version `version` of a package through the running log.
fn claim(world: &World, version: &str) -> Result<u64, FetchError> {
    let package = Hash::digest(version.as_bytes());
    let text = format!(
        "#mtree package-sha256={package}\n. type=dir optional tags=implied\n./x type=file mode=0644 uname=root gname=root size=1 sha256digest={package} tags=fixed\n"
    );
    let manifest = Manifest::parse(text.as_bytes()).unwrap();
    let purl = Purl::parse(&format!("pkg:deb/debian/x@{version}?arch=amd64")).unwrap();
    world.claim(0, &purl, package, &manifest).map(|proof| proof.index)
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

fn terminate(program: Option<Program>) {
    assert!(program.expect("it runs").terminate().unwrap().success());
}

fn size(url: &str) -> u64 {
    block_on(client::LogClient::new(url).unwrap().checkpoint()).unwrap().unwrap().tree().size
}

/// Whether the log had its head cosigned since it started. It does so before it takes the first entries.
fn has_published(log: &Program) -> bool {
    let metrics = Command::new("curl").args(["-sf", &format!("{}/metrics", log.url())]).output().unwrap().stdout;
    let metrics = String::from_utf8(metrics).unwrap();
    metrics.lines().any(|line| line.strip_prefix("tally_log_published_timestamp_seconds ").is_some_and(|at| at != "0"))
}

#[test]
fn a_restored_backup_reads_on_and_signs_nothing() {
    let mut world = World::start();
    claim(&world, "1").unwrap();
    terminate(world.log.take());
    copy(&world.at("log"), &world.at("backup"));
    let before = std::fs::read(world.at("backup/state/committed")).unwrap();
    world.start_log();
    claim(&world, "2").unwrap();
    terminate(world.log.take());
    let backup = world.try_start_log("backup").unwrap();
    wait_until(|| backup.said().contains("stopped: witness"));
    let said = backup.said();
    assert!(said.contains("a larger tree") && said.contains("newest copy"), "{said}");
    assert_eq!(size(&backup.url()), 2, "reads go on");
    world.log = Some(backup);
    assert_eq!(claim(&world, "3").unwrap_err().status(), Some(503));
    assert_eq!(std::fs::read(world.at("backup/state/committed")).unwrap(), before);
    terminate(world.log.take());
    // The newest copy is the one to go on with.
    world.start_log();
    assert_eq!(claim(&world, "3").unwrap(), 3);
}

/// Restores a directory of the world, with the keys of the one that was copied to `backup`.
fn restore(world: &World, name: &str, from: &str) -> String {
    let (dir, keys) = (world.at(name), world.at("backup"));
    let arguments = ["restore", "--dir", dir.to_str().unwrap(), "--from", from, "--keys", keys.to_str().unwrap()];
    let output = e2e::run("tally-log", arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_restore_of_an_old_backup_refuses_and_one_from_a_mirror_goes_on() {
    let mut world = World::start();
    claim(&world, "1").unwrap();
    terminate(world.log.take());
    copy(&world.at("log"), &world.at("backup"));
    world.start_log();
    claim(&world, "2").unwrap();
    let url = world.log.as_ref().unwrap().url();
    assert!(restore(&world, "old", world.at("backup").to_str().unwrap()).starts_with("restored: size 2 "));
    assert!(restore(&world, "new", &url).starts_with("restored: size 3 "));
    terminate(world.log.take());
    let old = world.try_start_log("old").unwrap();
    wait_until(|| old.said().contains("stopped: witness"));
    assert!(old.said().contains("a larger tree") && old.said().contains("restore the missing entries from a mirror"), "{}", old.said());
    world.log = Some(old);
    assert_eq!(claim(&world, "3").unwrap_err().status(), Some(503));
    terminate(world.log.take());
    let new = world.try_start_log("new").unwrap();
    wait_until(|| new.said().contains("taking entries"));
    world.log = Some(new);
    assert_eq!(claim(&world, "3").unwrap(), 3, "under the same witnesses");
}

#[test]
fn of_two_running_clones_one_stops_and_its_fork_is_published_nowhere() {
    let mut world = World::start();
    claim(&world, "1").unwrap();
    terminate(world.log.take());
    copy(&world.at("log"), &world.at("clone"));
    world.start_log();
    let clone = world.try_start_log("clone").unwrap();
    wait_until(|| has_published(&clone));
    assert_eq!(claim(&world, "2").unwrap(), 2);
    let first = world.log.replace(clone);
    assert_eq!(claim(&world, "another-2").unwrap_err().status(), Some(503));
    let clone = world.log.take().unwrap();
    assert!(clone.said().contains("another tree"), "{}", clone.said());
    assert_eq!(size(&clone.url()), 2, "what it committed is not published");
    world.log = first;
    assert_eq!(claim(&world, "3").unwrap(), 3, "the other goes on");
    terminate(Some(clone));
}

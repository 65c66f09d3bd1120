//! The service against a local signed repository and a log of one process. Needs root, Podman, mmdebstrap and this machine's own apt sources.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::containers::{Builder, alone, containers_of, images_of, local_builder};
use support::log::{Fault, Log};
use support::repository::Repository;
use support::service::{Running, logged, metric, wait_for};

/// Publishes the repository as it is now.
fn publish(repository: &Repository) {
    repository.publish(&repository.release(""), "archive", &[]);
}

fn service(dir: &Path, repository: &Repository, log: &Log) -> Builder {
    let builder = local_builder(dir, repository, "", &format!("observe_runs = 1\n{}", log.config()));
    let mut config = fs::OpenOptions::new().append(true).open(&builder.config).unwrap();
    config.write_all(b"[run]\ninterval = 2\nbatch = 2\npackages = [\"pkg:deb/tests/w*\"]\n").unwrap();
    builder
}

/// A new version is in the log after one look; what is there is not said again, not after a restart either; requests reach what is not watched.
#[test]
fn what_is_new_comes_into_the_log_once() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(dir.path());
    for name in ["watched", "other"] {
        repository.add(name, "1.0", "content\n", "exit 0");
    }
    publish(&repository);
    let log = Log::start();
    let builder = service(dir.path(), &repository, &log);
    let mut running = Running::start(&builder, &["--metrics", "127.0.0.1:0"]);
    let address = running.says("metrics at http://").split('/').nth(2).unwrap().to_owned();
    wait_for("the first version", || logged(&log).len() == 4);
    repository.add("watched", "2.0", "more content\n", "exit 0");
    publish(&repository);
    wait_for("the second version", || logged(&log).len() == 8);
    assert_eq!(logged(&log).iter().filter(|(_, purl)| purl == "pkg:deb/tests/watched@2.0?arch=all").count(), 4);
    wait_for("the lag", || metric(&address, "tally_builder_lag_seconds_count") == 2.0);
    assert_eq!(metric(&address, "tally_builder_packages_total{result=\"attested\"}"), 2.0);
    let asked = support::tally_builder(&["request", "--config", &builder.config, "other", "absent", "watched"], 30);
    assert!(asked.status.success(), "{}", support::text(&asked));
    wait_for("what was asked for", || logged(&log).len() == 12);
    let requests = builder.dir.join("requests");
    wait_for("an empty queue", || fs::read_dir(&requests).unwrap().flatten().filter(|entry| entry.path().is_file()).count() == 0);
    let refused = fs::read_dir(requests.join("failed")).unwrap().flatten().next().unwrap();
    assert_eq!(fs::read_to_string(refused.path()).unwrap(), "absent\nno repository of the sources offers it\n");
    running.end();
    // A start with everything done looks, and does nothing.
    let mut again = Running::start(&builder, &["--metrics", "127.0.0.1:0"]);
    let address = again.says("metrics at http://").split('/').nth(2).unwrap().to_owned();
    again.says("3 package files are known");
    wait_for("a round", || {
        metric(&address, "tally_builder_look_time_seconds") > 0.0 && metric(&address, "tally_builder_due_packages") == 0.0
    });
    assert!(!again.end().iter().any(|line| line.starts_with("attested") || line.starts_with("failed")));
    assert_eq!((logged(&log).len(), log.state.lock().unwrap().repeated), (12, 0));
    assert_eq!((containers_of(&builder).as_str(), images_of(&builder).len()), ("", 0));
}

/// Killed at random moments, with a log that fails now and then, every package is in the log once, each statement once.
#[test]
fn killed_at_any_moment_it_neither_loses_nor_repeats() {
    let _alone = alone();
    let kills = if std::env::var_os("TALLY_CASES").is_some() { 30 } else { 5 };
    let dir = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(dir.path());
    for number in 0..4 {
        repository.add(&format!("w{number}"), "1.0", &format!("{number}\n"), "exit 0");
    }
    publish(&repository);
    let log = Log::start();
    let builder = service(dir.path(), &repository, &log);
    for kill in 0..kills {
        if kill % 2 == 1 {
            // Also what a repository publishes meanwhile must not be missed, and what is known not be said anew because its index is newer.
            repository.add(&format!("w-new{kill}"), "1.0", "new\n", "exit 0");
            publish(&repository);
            log.fail("/entries", &[Fault::DropAfter]);
        }
        let mut running = Running::start(&builder, &[]);
        let moment = Duration::from_millis(RandomState::new().hash_one(kill) % 12_000);
        std::thread::sleep(moment);
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        println!("killed after {} ms with {} entries in the log", moment.as_millis(), logged(&log).len());
    }
    let packages = 4 + kills / 2;
    let mut running = Running::start(&builder, &["--metrics", "127.0.0.1:0"]);
    let address = running.says("metrics at http://").split('/').nth(2).unwrap().to_owned();
    wait_for("every entry", || logged(&log).len() >= 4 * packages);
    // Where the last kill came after everything was said, there is still to be cleaned up.
    wait_for("a round", || metric(&address, "tally_builder_look_time_seconds") > 0.0);
    running.end();
    let said = logged(&log);
    let distinct: BTreeSet<_> = said.iter().collect();
    assert_eq!((said.len(), distinct.len()), (4 * packages, 4 * packages), "{said:?}");
    assert_eq!((builder.said().len(), containers_of(&builder).as_str(), images_of(&builder).len()), (0, "", 0));
    assert_eq!(fs::read_dir(builder.dir.join("work")).unwrap().count(), 0);
}

#[test]
fn the_unit_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("tally-builder.service");
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/tally-builder.service")).unwrap();
    fs::write(&unit, text.replace("/usr/bin/tally-builder", "/usr/bin/env tally-builder")).unwrap();
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
    assert!(verified.status.success() && !support::text(&verified).contains("tally-builder.service"), "{}", support::text(&verified));
}

//! The spool against logs that are down, slow, wrong or refuse, and against being killed.

mod support;

use std::path::Path;
use std::time::Duration;

use attest::predicate::{PackageFiles, PackageOrigin, Predicate};
use attest::{Envelope, Manifest, Purl, Statement};
use support::log::{Fault, Log};
use tally_builder::config::{Config, LogTarget};
use tally_builder::home::Home;
use tally_builder::progress::Progress;
use tally_builder::spool::{Added, Spool};
use tally_builder::submit::{Outcome, Sender};
use tlog::Hash;

fn manifest(number: u8) -> Manifest {
    Manifest::parse(&attest::manifest::ManifestBuilder::new(Hash::digest(&[number])).finish().unwrap().encode()).unwrap()
}

/// Spools a claim and an origin about package `number`, as `attest` does it.
fn say(home: &Home, number: u8) {
    let spool = Spool::new(home);
    let signer = home.signer().unwrap();
    let purl = Purl::deb("debian", "test", &format!("1.{number}"), "all").unwrap();
    let manifest = manifest(number);
    let origin = PackageOrigin {
        filename: "pool/x.deb".into(),
        in_release: Hash::EMPTY,
        origin: "Debian".into(),
        packages_path: "main/binary-amd64/Packages".into(),
        packages: Hash::EMPTY,
        signers: vec!["A".repeat(40)],
        suite: "bookworm".into(),
    };
    spool.keep_manifest(&manifest.root(), &manifest.encode()).unwrap();
    for predicate in [Predicate::PackageFiles(PackageFiles::of(&manifest)), Predicate::PackageOrigin(origin)] {
        let statement = Statement::about_package(&purl, Hash::digest(&[number]), predicate);
        statement.check().unwrap();
        spool.add(&Envelope::sign(statement.encode(), signer.as_ref()).unwrap()).unwrap();
    }
}

fn target(log: &Log) -> LogTarget {
    LogTarget { url: log.url.clone(), origin: log.origin.clone(), keys: vec![log.key.clone()] }
}

async fn send(home: &Home, log: &Log, seconds: u64) -> Outcome {
    let (target, spool, signer) = (target(log), Spool::new(home), home.signer().unwrap());
    let sender = Sender::new(&target, None, &spool, signer.as_ref()).unwrap();
    tokio::time::timeout(Duration::from_secs(60), sender.send(Duration::from_secs(seconds), &Progress::silent())).await.unwrap().unwrap()
}

/// Everything spooled is either waiting or has a verified receipt; nothing stands twice in the log.
fn assert_whole(home: &Home, log: &Log, said: usize) {
    let spool = Spool::new(home);
    assert_eq!(spool.waiting().unwrap().len() + spool.receipts().unwrap(), said);
    let state = log.state.lock().unwrap();
    let distinct: std::collections::BTreeSet<_> = state.entries.iter().collect();
    assert_eq!(distinct.len(), state.entries.len());
}

/// One claim that can never be sent keeps nothing else from being sent.
#[tokio::test]
async fn a_claim_without_its_manifest_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let (home, _) = support::builder(dir.path(), "b");
    let log = Log::start();
    say(&home, 0);
    say(&home, 1);
    std::fs::remove_file(home.dir().join(format!("manifests/{}", manifest(0).root()))).unwrap();
    let outcome = send(&home, &log, 0).await;
    assert_eq!((outcome.logged, outcome.refused.len(), outcome.waiting), (3, 1, 0), "{outcome:?}");
    let refused = Spool::new(&home).refused().unwrap();
    assert!(refused.len() == 1 && refused[0].reason.contains("attest the package again"), "{refused:?}");
    // Which makes it good.
    say(&home, 0);
    assert_eq!(send(&home, &log, 0).await.logged, 1);
    assert_whole(&home, &log, 4);
}

#[tokio::test]
async fn every_fault_passes_and_nothing_is_lost() {
    let faults = [
        Fault::Drop,
        Fault::DropAfter,
        Fault::Status(503, Some(1)),
        Fault::Status(429, None),
        Fault::Status(500, None),
        Fault::Pending,
        Fault::Garbage,
        Fault::WrongLeaf,
        Fault::WrongKey,
        Fault::Slow(300),
    ];
    for fault in faults {
        for (path, only_singles) in [("/entries", false), ("/entries", true), ("/manifest", false)] {
            let dir = tempfile::tempdir().unwrap();
            let (home, _) = support::builder(dir.path(), "b");
            let log = Log::start();
            log.state.lock().unwrap().only_singles = only_singles;
            say(&home, 1);
            log.fail(path, &[fault]);
            let outcome = send(&home, &log, 20).await;
            assert_eq!((outcome.logged, outcome.waiting, outcome.refused.len()), (2, 0, 0), "{fault:?} {path} {outcome:?}");
            let state = log.state.lock().unwrap();
            assert!(state.requests >= 2 && state.faults[path].is_empty(), "{fault:?}");
            assert_eq!(state.batches == 0, only_singles);
            drop(state);
            assert_whole(&home, &log, 2);
        }
    }
}

#[tokio::test]
async fn refusals_are_kept_with_their_reason_and_can_be_said_again() {
    for (status, only_singles) in [400, 403, 413].into_iter().flat_map(|status| [(status, false), (status, true)]) {
        let dir = tempfile::tempdir().unwrap();
        let (home, _) = support::builder(dir.path(), "b");
        let log = Log::start();
        log.state.lock().unwrap().only_singles = only_singles;
        say(&home, 1);
        log.fail("/entries", &[Fault::Status(status, None); 2]);
        let outcome = send(&home, &log, 5).await;
        assert_eq!((outcome.logged, outcome.waiting, outcome.refused.len()), (0, 0, 2));
        let refused = Spool::new(&home).refused().unwrap();
        assert_eq!(refused.len(), 2);
        assert!(refused.iter().all(|refused| refused.reason.contains(&status.to_string()) && refused.reason.contains("the test says so")));
        // Roles changed: the same statements are said again and pass.
        say(&home, 1);
        assert_eq!(Spool::new(&home).refused().unwrap(), []);
        assert_eq!(send(&home, &log, 5).await.logged, 2);
    }
}

#[tokio::test]
async fn a_refused_line_does_not_touch_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let (home, _) = support::builder(dir.path(), "b");
    let log = Log::start();
    (0..6).for_each(|number| say(&home, number));
    log.fail("/entries", &[Fault::Slow(0), Fault::Status(403, None), Fault::Slow(0), Fault::Pending, Fault::Status(500, None)]);
    let outcome = send(&home, &log, 20).await;
    assert_eq!((outcome.logged, outcome.refused.len(), outcome.waiting), (11, 1, 0), "{outcome:?}");
    let state = log.state.lock().unwrap();
    assert_eq!((state.batches, state.requests, state.entries.len()), (2, 6 + 2, 11), "six manifests, and two batches for twelve entries");
    drop(state);
    let spool = Spool::new(&home);
    assert_eq!((spool.receipts().unwrap(), spool.refused().unwrap().len()), (11, 1));
}

#[tokio::test]
async fn a_lost_manifest_is_stored_again_and_a_broken_chain_rule_is_final() {
    let dir = tempfile::tempdir().unwrap();
    let (home, _) = support::builder(dir.path(), "b");
    let log = Log::start();
    say(&home, 1);
    log.fail("/entries", &[Fault::Status(422, None); 2]);
    assert_eq!(send(&home, &log, 10).await.logged, 2);
    say(&home, 2);
    log.fail("/entries", &[Fault::Status(422, None); 4]);
    let outcome = send(&home, &log, 10).await;
    assert_eq!((outcome.logged, outcome.refused.len()), (0, 2), "{outcome:?}");
}

#[tokio::test]
async fn a_log_that_is_down_leaves_everything_in_the_spool() {
    let dir = tempfile::tempdir().unwrap();
    let (home, _) = support::builder(dir.path(), "b");
    let mut log = Log::start();
    say(&home, 1);
    let good = std::mem::replace(&mut log.url, "http://127.0.0.1:1".to_owned());
    let outcome = send(&home, &log, 0).await;
    assert_eq!((outcome.logged, outcome.waiting), (0, 2));
    assert!(outcome.last.is_some());
    log.url = good;
    assert_eq!(send(&home, &log, 5).await.logged, 2);
    assert_eq!(send(&home, &log, 5).await, Outcome::default());
}

#[tokio::test]
async fn what_was_logged_is_not_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let (home, _) = support::builder(dir.path(), "b");
    let log = Log::start();
    say(&home, 1);
    send(&home, &log, 5).await;
    let before = log.state.lock().unwrap().requests;
    say(&home, 1);
    assert_eq!(send(&home, &log, 5).await, Outcome::default());
    assert_eq!(log.state.lock().unwrap().requests, before);
}

#[tokio::test]
async fn a_crash_between_receipt_and_move_is_completed_without_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (home, _) = support::builder(dir.path(), "b");
    let mut log = Log::start();
    say(&home, 1);
    send(&home, &log, 5).await;
    // As if the process had been killed after the receipts were written: the envelopes stand in the spool still.
    for entry in std::fs::read_dir(home.dir().join("receipts")).unwrap().flatten() {
        if entry.path().extension().is_some_and(|end| end == "json") {
            std::fs::rename(entry.path(), home.dir().join("spool").join(entry.file_name())).unwrap();
        }
    }
    log.url = "http://127.0.0.1:1".to_owned();
    assert_eq!(send(&home, &log, 0).await.logged, 2);
    // A receipt that proves nothing does not count.
    let receipts: Vec<_> = std::fs::read_dir(home.dir().join("receipts")).unwrap().flatten().map(|entry| entry.path()).collect();
    for path in receipts {
        if path.extension().is_some_and(|end| end == "json") {
            std::fs::rename(&path, home.dir().join("spool").join(path.file_name().unwrap())).unwrap();
        } else {
            std::fs::write(&path, "c2sp.org/tlog-proof@v1\n").unwrap();
        }
    }
    assert_eq!(send(&home, &log, 0).await.waiting, 2);
}

#[test]
fn damaged_envelopes_are_set_aside_and_unfinished_files_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let (home, _) = support::builder(dir.path(), "b");
    say(&home, 1);
    let spool = Spool::new(&home);
    let path = home.dir().join("spool").join(format!("{}.json", spool.waiting().unwrap()[0].id));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    std::fs::write(home.dir().join("spool/.new-abc"), "half").unwrap();
    assert_eq!(spool.waiting().unwrap().len(), 1);
    assert!(spool.refused().unwrap()[0].reason.contains("damaged"));
}

#[test]
fn a_full_or_read_only_spool_is_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (home, _) = support::builder(dir.path(), "b");
    let spool = Spool::new(&home);
    std::fs::remove_dir(home.dir().join("manifests")).unwrap();
    std::fs::write(home.dir().join("manifests"), "not a directory").unwrap();
    let error = spool.keep_manifest(&Hash::EMPTY, b"x").unwrap_err();
    assert!(error.to_string().contains("manifests") && error.hint().contains("disk"));
}

#[test]
fn adding_twice_is_adding_once() {
    let dir = tempfile::tempdir().unwrap();
    let (home, _) = support::builder(dir.path(), "b");
    say(&home, 1);
    say(&home, 1);
    let spool = Spool::new(&home);
    let waiting = spool.waiting().unwrap();
    assert_eq!(waiting.len(), 2);
    let envelope = Envelope::parse(&waiting[0].bytes).unwrap();
    assert_eq!(spool.add(&envelope).unwrap(), Added::Waits);
    spool.logged(&waiting[0].id, b"receipt").unwrap();
    assert_eq!(spool.add(&envelope).unwrap(), Added::Logged);
}

fn config_file(dir: &Path, log: &Log, more: &str) -> String {
    let path = dir.join("builder.toml");
    let text = format!("dir = \"b\"\nkeyring = \"none.gpg\"\nsuite = \"bookworm\"\n{}{more}", log.config());
    Config::parse(&text, &path).unwrap();
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn killed_at_any_moment_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (home, _) = support::builder(dir.path(), "b");
    let log = Log::start();
    let config = config_file(dir.path(), &log, "patience = 20\n");
    let said = 40;
    (0..said / 2).for_each(|number| say(&home, number));
    let mut killed = 0;
    for round in 0..12_u64 {
        log.fail("/entries", &[Fault::Slow(40), Fault::DropAfter, Fault::Slow(20), Fault::Pending]);
        let program = env!("CARGO_BIN_EXE_tally-builder");
        let mut child = std::process::Command::new(program)
            .args(["spool", "send", "--config", &config])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(20 + 35 * round));
        child.kill().unwrap();
        killed += usize::from(!child.wait().unwrap().success());
        assert_whole(&home, &log, usize::from(said));
    }
    let output = support::tally_builder(&["spool", "send", "--config", &config], 60);
    assert!(output.status.success(), "{}", support::text(&output));
    let spool = Spool::new(&home);
    assert_eq!((spool.waiting().unwrap().len(), spool.receipts().unwrap()), (0, usize::from(said)));
    let state = log.state.lock().unwrap();
    assert_eq!(state.entries.len(), usize::from(said));
    println!("killed {killed} times, {} entries came twice and stand once", state.repeated);
}

#[test]
fn the_program_says_what_waits_and_how_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let (home, _) = support::builder(dir.path(), "b");
    let log = Log::start();
    let config = config_file(dir.path(), &log, "patience = 0\n");
    say(&home, 1);
    let listed = support::tally_builder(&["spool", "list", "--config", &config], 20);
    assert_eq!(listed.status.code(), Some(3));
    assert!(support::text(&listed).contains("2 waiting, 0 refused, 0 in the log"));
    log.fail("/entries", &[Fault::Status(403, None)]);
    let sent = support::tally_builder(&["spool", "send", "--config", &config, "--json"], 30);
    assert_eq!(sent.status.code(), Some(1), "{}", support::text(&sent));
    let answer: serde_json::Value = serde_json::from_slice(&sent.stdout).unwrap();
    assert_eq!((&answer["logged"], answer["refused"].as_array().unwrap().len()), (&serde_json::json!(1), 1));
    let lock = home.lock().unwrap();
    let busy = support::tally_builder(&["spool", "list", "--config", &config], 20);
    assert_eq!(busy.status.code(), Some(10));
    assert!(support::text(&busy).contains("hint: wait for the other run"));
    drop(lock);
}

//! Full and read-only disks, over a small tmpfs. Needs root and `mount`; says so and passes where there is neither.

mod kit;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use client::cli::Advice;
use kit::{World, entries, index};
use store::Directory;
use tally_log::clock::SystemClock;
use tally_log::sequencer::Turn;
use tally_log::shared::Status;
use tally_log::{Config, build, init};
use tlog::Policy;

/// A tmpfs that is unmounted at the end.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let disk = Self(dir);
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(disk.0.path()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(disk);
        }
        println!("skipped: mounting a tmpfs needs root");
        None
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(Command::new("mount").args(["-o", &options]).arg(self.0.path()).status().unwrap().success());
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_loses_nothing_and_room_lets_it_go_on() {
    // Different amounts of room, so that the disk is full at different steps of a round.
    let (mut stopped, mut waited) = (0, 0);
    for room in (300..900).step_by(40) {
        let Some(disk) = Disk::mount(&format!("{room}k")) else { return };
        let mut world = World::new(Arc::new(Directory::open(disk.path()).unwrap()));
        world.quorum = 0;
        let mut log = world.open().unwrap();
        assert_eq!(log.settle(), Turn::Idle);
        let (mut acknowledged, mut turn) = (Vec::new(), Turn::Idle);
        for round in 0..500_u32 {
            let leaf = [&round.to_be_bytes()[..], &[7; 3_000]].concat();
            let answer = log.submit(&leaf);
            turn = log.settle();
            match index(answer) {
                Some(_) => acknowledged.push(leaf),
                None => break,
            }
        }
        assert_ne!(turn, Turn::Idle, "the disk of {room}k never filled");
        match log.shared.status() {
            Status::Waiting(why) => {
                assert!(why.contains("No space left"), "{why}");
                waited += 1;
            }
            Status::Stopped(why) => {
                assert!(why.contains("No space left"), "{why}");
                stopped += 1;
            }
            other => panic!("{other:?}"),
        }
        let (_, leaves) = entries(&*world.store);
        assert_eq!(leaves, acknowledged, "reads go on, and nothing else was published");
        disk.remount("size=8m");
        if matches!(turn, Turn::Stopped) {
            drop(log);
            log = world.open().unwrap();
        }
        let answer = log.submit(b"room again");
        assert_eq!(log.settle(), Turn::Idle, "{:?}", log.shared.status());
        assert!(index(answer).is_some());
        let (_, leaves) = entries(&*world.store);
        assert_eq!(leaves[..acknowledged.len()], acknowledged, "the acknowledged entries, in order");
    }
    println!("the disk was full before a commit {waited} times and after one {stopped} times; nothing acknowledged was lost");
    assert!(waited + stopped > 0);
}

#[test]
fn a_disk_that_is_full_before_a_round_is_waited_for() {
    let Some(disk) = Disk::mount("2m") else { return };
    let mut world = World::new(Arc::new(Directory::open(disk.path()).unwrap()));
    world.quorum = 0;
    let mut log = world.open().unwrap();
    assert_eq!(log.add(&[b"before"]), [0]);
    let filler = disk.path().join("filler");
    let full = std::fs::write(&filler, vec![7; 4 << 20]);
    assert_eq!(full.map_err(|error| error.kind()), Err(std::io::ErrorKind::StorageFull));
    let answer = log.submit(&[1; 10_000]);
    assert_eq!(log.settle(), Turn::Waiting);
    let Status::Waiting(why) = log.shared.status() else { panic!("not waiting") };
    assert!(why.contains("nothing can be committed") && why.contains("No space left"), "{why}");
    assert_eq!((index(answer), log.committed().size), (None, 1));
    std::fs::remove_file(filler).unwrap();
    assert_eq!(log.add(&[b"after"]), [1]);
    assert_eq!(entries(&*world.store).1, [&b"before"[..], b"after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_is_refused_and_can_be_checked() {
    let Some(disk) = Disk::mount("8m") else { return };
    let dir = disk.path().join("log");
    init::init(&dir, "example.com/read-only", true, &SystemClock).unwrap();
    let config = || Config::new(dir.clone(), "127.0.0.1:0", Policy::parse(b"quorum none\n").unwrap());
    drop(build(config()).await.unwrap());
    disk.remount("ro");
    let refused = build(config()).await.err().expect("refused");
    assert!(format!("{refused:#}").contains("Read-only file system"), "{refused:#}");
    assert!(refused.downcast_ref::<Advice>().is_some_and(|advice| advice.hint.contains("writable")), "{refused:#}");
    let error = format!("{:#}", init::init(&disk.path().join("another"), "example.com/x", true, &SystemClock).unwrap_err());
    assert!(error.contains("Read-only file system"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_reserve_nothing_new_is_taken_and_nothing_breaks() {
    let Some(disk) = Disk::mount("64m") else { return };
    let dir = disk.path().join("log");
    init::init(&dir, "example.com/reserve", true, &SystemClock).unwrap();
    let path = dir.join("log.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let reserve = "reserve_bytes = 33554432";
    std::fs::write(
        &path,
        text.lines().map(|line| if line.starts_with("reserve_bytes") { reserve } else { line }).collect::<Vec<_>>().join("\n"),
    )
    .unwrap();
    let (server, address) = build(Config::new(dir.clone(), "127.0.0.1:0", Policy::parse(b"quorum none\n").unwrap())).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async move { drop(stopped.await) }));
    let client = reqwest::Client::new();
    let get = |path: &str| client.get(format!("http://{address}/{path}")).send();
    let add = |n: u32| client.post(format!("http://{address}/add")).body(format!("{n} {}", "x".repeat(4_000))).send();
    // Two mebibytes above the reserve: what a few rounds write between two looks at the disk stays far below it.
    let above = store::free_space(&dir).unwrap() - (34 << 20);
    std::fs::write(disk.path().join("filler"), vec![7; usize::try_from(above).unwrap()]).unwrap();
    let mut taken = 0;
    let refused = loop {
        let answer = add(taken).await.unwrap();
        if answer.status() != 200 {
            break answer;
        }
        taken += 1;
        assert!(taken < 1_000, "the disk never fills");
    };
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "300");
    assert_eq!(refused.text().await.unwrap(), "the log's disk is nearly full; its operator has to make room\n");
    assert!(taken > 10, "{taken}");
    assert_eq!(get("healthz").await.unwrap().text().await.unwrap(), "the disk is nearly full\n");
    let metrics = get("metrics").await.unwrap().text().await.unwrap();
    let value = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok()).unwrap();
    assert_eq!(value("tally_log_reserve_bytes "), 32 << 20);
    assert!((1 << 20..32 << 20).contains(&value("tally_log_free_bytes ")), "there is room left: {metrics}");
    assert_eq!(get("checkpoint").await.unwrap().status(), 200, "reads go on");
    disk.remount("size=128m");
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(add(taken).await.unwrap().status(), 200, "with room again it goes on");
    assert_eq!(get("healthz").await.unwrap().status(), 200);
    drop(stop);
    running.await.unwrap().unwrap();
    let settings = tally_log::server::read_settings(&dir).unwrap();
    let keys: Vec<_> = settings.keys.iter().map(|key| tlog::VerifierKey::parse(key).unwrap()).collect();
    let report = tally_log::fsck::check(&tally_log::fsck::DirectorySource::open(&dir).unwrap(), &keys).unwrap();
    assert_eq!((report.tree.size, report.findings.as_slice()), (u64::from(taken) + 1, &[][..]));
    println!("{taken} entries taken until 32 MiB were left; nothing lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_on_a_full_disk_asks_for_room() {
    let Some(disk) = Disk::mount("2m") else { return };
    let dir = disk.path().join("log");
    init::init(&dir, "example.com/full", true, &SystemClock).unwrap();
    let filled = std::fs::write(disk.path().join("filler"), vec![7; 4 << 20]);
    assert_eq!(filled.map_err(|error| error.kind()), Err(std::io::ErrorKind::StorageFull));
    let config = Config::new(dir.clone(), "127.0.0.1:0", Policy::parse(b"quorum none\n").unwrap());
    let refused = build(config).await.err().expect("refused");
    let hint = refused.downcast_ref::<Advice>().map(|advice| advice.hint.as_str()).unwrap_or_default();
    assert!(format!("{refused:#}").contains("No space left") && hint.contains("make room"), "{refused:#}; {hint}");
}

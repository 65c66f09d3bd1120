//! The mirror as a program: its role, and `kill -9` at any moment of an upload.

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::witness::{AddAnswer, EntriesAnswer, WitnessClient};
use client::{LogClient, block_on};
use support::upload::Filled;
use tlog::{BundleId, Growth, bundle};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tally-witness");
const SIZE: u64 = 4000;
const KILLS: usize = 12;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

fn start(dir: &Path, address: &str) -> (Child, String) {
    let (own, logs) = (dir.join("m"), dir.join("logs"));
    let mut command = Command::new(PROGRAM);
    command.args(["mirror", "--dir", text(&own), "--listen", address, "--logs", text(&logs)]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim().strip_prefix("listening on ").expect(&line).to_owned())
}

#[test]
fn one_directory_has_one_role() {
    let dir = tempfile::tempdir().unwrap();
    let (m, w, logs) = (dir.path().join("m"), dir.path().join("w"), dir.path().join("logs"));
    std::fs::write(&logs, "logs/v0\n").unwrap();
    assert!(run(&["init", "--dir", text(&m), "--name", "m.example", "--mirror"]).status.success());
    assert!(run(&["init", "--dir", text(&w), "--name", "w.example"]).status.success());
    for (command, dir, reason) in [("mirror", &w, "a witness's"), ("serve", &m, "a mirror's"), ("feed", &m, "a mirror's")] {
        let listen: &[&str] = if command == "feed" { &["--once"] } else { &["--listen", "127.0.0.1:0"] };
        let refused = run(&[&[command, "--dir", text(dir), "--logs", text(&logs)], listen].concat());
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(reason) && said.contains("hint: make another"), "{command}: {said}");
    }
    std::fs::write(m.join("role"), "witness\n").unwrap();
    let damaged = run(&["mirror", "--dir", text(&m), "--logs", text(&logs), "--listen", "127.0.0.1:0"]);
    assert!(String::from_utf8_lossy(&damaged.stderr).contains("role is damaged"));
}

/// What a log does, for as long as it is wanted: grows by some entries, has them mirrored, and notes what was vouched for.
fn grow(log: &Filled, url: &str, vouched: &Mutex<u64>, is_over: &AtomicBool) {
    let client = WitnessClient::new(url, Duration::from_secs(5)).unwrap();
    let (mut old, mut next) = (0, 0);
    for size in (1..).map(|step| step * 61).take_while(|size| *size <= SIZE) {
        let mut is_held = false;
        while !is_held {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            let request = tlog::witness::AddCheckpoint {
                old_size: old,
                proof: log.log.proof(old as usize, size as usize),
                checkpoint: log.log.signed(size as usize).note,
            };
            match block_on(client.add_checkpoint(&request)).unwrap() {
                Ok(AddAnswer::OtherSize(known)) => old = known.min(size),
                Ok(AddAnswer::Cosigned(_)) => old = size,
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
            match block_on(client.add_entries(log.body(next, size, 2).0)).unwrap() {
                Ok(EntriesAnswer::Held(_)) => is_held = true,
                Ok(EntriesAnswer::Wanted(info)) => next = info.next.min(size),
                Err(_) => {}
            }
        }
        next = size;
        *vouched.lock().unwrap() = size;
    }
}

/// The mirror's checkpoint, and whether every entry of it is served and gives its root.
fn shown(log: &Filled, url: &str) -> u64 {
    let client = LogClient::new(&format!("{url}/{}", log.log.id())).unwrap();
    let Ok(signed) = block_on(client.checkpoint()).unwrap() else { return 0 };
    let tree = signed.checkpoint.tree;
    let mut growth = Growth::new();
    for id in BundleId::all(tree.size) {
        let bytes = block_on(client.bundle(id)).unwrap().expect("an entry that was vouched for");
        let leaves = bundle::leaf_hashes(bundle::cut(&bytes, id.width()).unwrap(), id.width()).unwrap();
        leaves.into_iter().for_each(|leaf| growth.push(leaf, &mut |_, _| {}).unwrap());
    }
    assert_eq!(growth.tree(), tree, "what is served is not what was vouched for");
    tree.size
}

#[test]
fn killed_at_any_moment_it_holds_what_it_vouched_for() {
    let dir = tempfile::tempdir().unwrap();
    let log = Filled::new(SIZE as usize, usize::MAX);
    std::fs::write(dir.path().join("logs"), support::list(&[&log.log])).unwrap();
    assert!(run(&["init", "--dir", text(&dir.path().join("m")), "--name", "m.example", "--mirror"]).status.success());
    let (mut child, address) = start(dir.path(), "127.0.0.1:0");
    let (url, vouched, is_over) = (format!("http://{address}"), Mutex::new(0), AtomicBool::new(false));
    let mut before = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| grow(&log, &url, &vouched, &is_over));
        for kill in 0..KILLS {
            std::thread::sleep(Duration::from_millis(40 + 37 * kill as u64 % 150));
            let answered = *vouched.lock().unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
            child = start(dir.path(), &address).0;
            let size = shown(&log, &url);
            assert!(size >= answered, "{answered} was vouched for before the kill, and {size} is shown after it");
            before = size;
        }
        is_over.store(true, Ordering::Relaxed);
    });
    println!("{KILLS} kills; {before} entries vouched for and held at the end");
    assert!(before > 0);
    child.kill().unwrap();
    child.wait().unwrap();
}

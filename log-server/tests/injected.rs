//! `strace` makes system calls of the real program fail: the n-th of its kind on each thread, once or from then on. The program ends,
//! refuses or goes on; started again without faults, it has every entry that it acknowledged, and is clean.
//!
//! `TALLY_CASES=many` tries every n up to 24; without it, a few.

mod kit;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kit::ORIGIN;
use kit::watched::spread;
use store::{Directory, Store};
use tally_log::clock::SystemClock;
use tally_log::config::Settings;
use tally_log::entries::Entries;
use tally_log::{fsck, init};
use tlog::{SignedCheckpoint, VerifierKey};

/// What the calls of the issue are called today.
const CALLS: [(&str, &str); 8] = [
    ("openat", "openat,openat2"),
    ("write", "write,pwrite64,writev"),
    ("fsync", "fsync,fdatasync"),
    ("rename", "rename,renameat,renameat2"),
    ("link", "link,linkat"),
    ("unlink", "unlink,unlinkat"),
    ("mkdir", "mkdir,mkdirat"),
    ("read", "read,pread64"),
];

#[test]
fn injected_faults_lose_nothing() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut total = (0, 0, 0);
    for (name, calls) in CALLS {
        let (mut struck, mut acknowledged, mut started) = (0, 0, 0);
        let cases = spread((1..=24).collect(), 4, 24);
        for (case, n) in cases.iter().enumerate() {
            let error = if name == "write" && case % 2 == 1 { "ENOSPC" } else { "EIO" };
            let ever = if case % 2 == 0 { "" } else { "+" };
            let dir = tempfile::tempdir().unwrap();
            let keys = made(&dir.path().join("log"));
            let inject = format!("inject={calls}:error={error}:when={n}{ever}");
            let outcome = runtime.block_on(run(dir.path(), Some((&format!("trace={calls}"), &inject)), 6));
            let injected = std::fs::read_to_string(dir.path().join("trace")).unwrap_or_default().matches("(INJECTED)").count();
            // Without faults: what was acknowledged is there, more is taken, and all is clean.
            let after = runtime.block_on(run(dir.path(), None, 1));
            let what = format!("{inject}: {outcome:?}");
            assert_eq!(after.entries.len(), 1, "{what}: it does not go on");
            verify(&dir.path().join("log"), &keys, outcome.entries.iter().chain(&after.entries), &what);
            struck += injected;
            acknowledged += outcome.entries.len();
            started += usize::from(outcome.is_started);
        }
        println!("{name}: {} runs, {started} started, {struck} calls failed, {acknowledged} entries acknowledged meanwhile", cases.len());
        // The store makes no links: there is nothing to fail.
        assert_eq!(struck == 0, name == "link", "{name}");
        total = (total.0 + cases.len(), total.1 + struck, total.2 + acknowledged);
    }
    println!("{} runs, {} failed calls, {} entries acknowledged; lost: 0, wrong roots signed: 0", total.0, total.1, total.2);
}

fn made(log: &Path) -> Vec<VerifierKey> {
    let keys = init::init(log, ORIGIN, true, &SystemClock).unwrap();
    let path = log.join("log.toml");
    let mut settings = Settings::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
    settings.batch_interval_ms = 5;
    std::fs::write(&path, settings.encode()).unwrap();
    std::fs::write(log.parent().unwrap().join("policy"), "quorum none\n").unwrap();
    keys
}

#[derive(Debug, Default)]
struct Outcome {
    is_started: bool,
    /// Index and leaf of what was acknowledged.
    entries: Vec<(u64, Vec<u8>)>,
}

/// Runs the program, under `strace` if something is to fail, submits up to `count` entries, and kills it.
async fn run(dir: &Path, inject: Option<(&str, &str)>, count: usize) -> Outcome {
    let program = env!("CARGO_BIN_EXE_tally-log");
    let mut command = match inject {
        None => Command::new(program),
        Some((trace, inject)) => {
            let mut command = Command::new("strace");
            command.args(["-f", "-qq", "-e", trace, "-e", inject, "-e", "signal=none", "-o"]).arg(dir.join("trace")).arg(program);
            command
        }
    };
    command.arg("serve").arg("--dir").arg(dir.join("log")).args(["--listen", "127.0.0.1:0", "--policy"]).arg(dir.join("policy"));
    let mut running = Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("strace is installed"));
    let Some(address) = running.address().await else { return Outcome::default() };
    let client = reqwest::Client::builder().timeout(Duration::from_secs(3)).build().unwrap();
    let mut entries = Vec::new();
    for n in 0..count {
        let leaf = format!("{n} {}", "x".repeat(300));
        let sent = client.post(format!("http://{address}/add?wait=2")).body(leaf.clone()).send().await;
        match sent {
            Ok(answer) if answer.status() == 200 => entries.push((answer.text().await.unwrap().parse().unwrap(), leaf.into_bytes())),
            Ok(answer) if answer.status() == 503 => break,
            _ => {}
        }
    }
    Outcome { is_started: true, entries }
}

struct Running(Child);

impl Running {
    /// Where it listens; `None` if it ends without having said so, or says nothing for twenty seconds.
    async fn address(&mut self) -> Option<String> {
        let stdout = self.0.stdout.take().unwrap();
        let line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).map(|_| line)
        });
        let line = tokio::time::timeout(Duration::from_secs(20), line).await.ok()?.ok()?.ok()?;
        line.trim().strip_prefix("listening on ").map(str::to_owned)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Under strace the program is its child; it has to end first.
        let id = self.0.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let _ = Command::new("kill").args(["-KILL", child]).status();
        }
        let started = Instant::now();
        while !children.is_empty() && self.0.try_wait().is_ok_and(|ended| ended.is_none()) && started.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn verify<'a>(log: &Path, keys: &[VerifierKey], acknowledged: impl Iterator<Item = &'a (u64, Vec<u8>)>, what: &str) {
    let store = Directory::open_read_only(log).unwrap();
    let checkpoint = SignedCheckpoint::parse(&store.get("public/checkpoint").unwrap().unwrap()).unwrap();
    checkpoint.verify_log(keys).unwrap();
    let mut entries = Entries::new(&store, checkpoint.tree().size);
    for (index, leaf) in acknowledged {
        assert_eq!(&entries.leaf(*index).unwrap(), leaf, "{what}: entry {index}");
    }
    let report = fsck::check(&fsck::DirectorySource::open(log).unwrap(), keys).unwrap();
    assert_eq!(report.findings, [], "{what}");
}

//! `kill -9` of the real program under load, at random moments: every acknowledged entry is there afterwards, with a valid proof,
//! and the log is clean. Which phase of a round each kill hit is known from the program's trace and printed; after the random
//! kills, aimed ones go on until every phase was hit.

mod kit;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kit::{ORIGIN, TestWitness, http_witness, wait_until};
use store::{Directory, Store};
use tally_log::clock::SystemClock;
use tally_log::config::Settings;
use tally_log::entries::Entries;
use tally_log::ledger::Phase;
use tally_log::prover;
use tally_log::{fsck, init};
use tlog::{SignedCheckpoint, VerifierKey, hash_leaf};

const RANDOM_KILLS: usize = 50;
const MOST_KILLS: usize = 300;
const LEAST_ACKNOWLEDGED: usize = 1_000;
const SUBMITTERS: usize = 16;
const DEADLINE: Duration = Duration::from_secs(900);

#[test]
fn killed_at_any_moment_it_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let keys = make_log(&log);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let policy = dir.path().join("policy");
    std::fs::write(&policy, runtime.block_on(witnesses(&keys))).unwrap();
    let load = Arc::new(Load::default());
    let submitters: Vec<_> = (0..SUBMITTERS).map(|n| submitter(n, &load, runtime.handle().clone())).collect();
    let hits = kill_often(&log, &policy, &load);
    load.stop.store(true, Ordering::SeqCst);
    submitters.into_iter().for_each(|submitter| submitter.join().unwrap());
    let total: usize = hits.values().sum();
    println!("{total} kills, of which the first {RANDOM_KILLS} at random moments; by phase: {hits:?}");
    let mut acknowledged = std::mem::take(&mut *load.acknowledged.lock().unwrap());
    acknowledged.sort_unstable();
    // The last start publishes what the last kill left behind.
    let mut server = Running::start(&log, &policy);
    wait_until("what was acknowledged is published", || published(&log).tree().size as usize >= acknowledged.len());
    server.terminate();
    verify(&log, &keys, &acknowledged);
    assert!(total >= RANDOM_KILLS && acknowledged.len() >= LEAST_ACKNOWLEDGED, "{total} kills, {} acknowledged", acknowledged.len());
    for phase in Phase::ALL {
        assert!(hits.contains_key(&format!("{phase:?}")), "no kill hit {phase:?}");
    }
}

fn make_log(log: &Path) -> Vec<VerifierKey> {
    let keys = init::init(log, ORIGIN, true, &SystemClock).unwrap();
    let path = log.join("log.toml");
    let mut settings = Settings::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
    settings.batch_interval_ms = 5;
    std::fs::write(&path, settings.encode()).unwrap();
    keys
}

/// Three witnesses, two of whom must cosign; the policy that says so.
async fn witnesses(keys: &[VerifierKey]) -> String {
    let mut policy = String::new();
    for n in 0..3_u8 {
        let witness = TestWitness::of_log(&format!("witness-{n}"), 40 + n, Arc::new(SystemClock), keys);
        let line = witness.line();
        policy += &format!("witness {} {} http://{}\n", line.name, line.key.encode(), http_witness::serve(witness).await);
    }
    policy + "group g 2 witness-0 witness-1 witness-2\nquorum g\n"
}

/// What submitters and killer share.
#[derive(Default)]
struct Load {
    url: RwLock<String>,
    stop: AtomicBool,
    next: AtomicU64,
    /// Index and leaf of every entry that was answered with an index.
    acknowledged: Mutex<Vec<(u64, Vec<u8>)>>,
}

fn submitter(number: usize, load: &Arc<Load>, runtime: tokio::runtime::Handle) -> JoinHandle<()> {
    let load = load.clone();
    thread::spawn(move || {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        while !load.stop.load(Ordering::SeqCst) {
            let leaf = format!("{number} {} {}", load.next.fetch_add(1, Ordering::SeqCst), "x".repeat(200));
            let url = load.url.read().unwrap().clone();
            let sent = client.post(format!("{url}/add")).body(leaf.clone());
            let answer = runtime.block_on(async {
                let response = sent.send().await?;
                let status = response.status().as_u16();
                Ok::<_, reqwest::Error>((status, response.text().await?))
            });
            match answer {
                Ok((200, index)) => load.acknowledged.lock().unwrap().push((index.parse().unwrap(), leaf.into_bytes())),
                _ => thread::sleep(Duration::from_millis(5)),
            }
        }
    })
}

/// Kills at random moments, then aimed at phases that were not hit. Returns how often each phase was.
fn kill_often(log: &Path, policy: &Path, load: &Load) -> BTreeMap<String, usize> {
    let mut hits = BTreeMap::new();
    let mut random = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    println!("moments from seed {random}");
    let started = Instant::now();
    for kill in 0..MOST_KILLS {
        let missing = Phase::ALL.iter().map(|phase| format!("{phase:?}")).find(|phase| !hits.contains_key(phase));
        let enough = load.acknowledged.lock().unwrap().len() >= LEAST_ACKNOWLEDGED;
        if (kill >= RANDOM_KILLS && missing.is_none() && enough) || started.elapsed() > DEADLINE {
            break;
        }
        let mut server = Running::start(log, policy);
        load.url.write().unwrap().clone_from(&server.url);
        // xorshift: any spread of moments will do.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        thread::sleep(Duration::from_micros(random % 400_000));
        if let Some(phase) = missing.filter(|_| kill >= RANDOM_KILLS) {
            server.wait_for(&phase);
        }
        *hits.entry(server.kill()).or_default() += 1;
    }
    hits
}

/// The program while it runs, and the phase that it said last.
struct Running {
    child: Child,
    url: String,
    phase: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Running {
    fn start(log: &Path, policy: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tally-log"));
        command.arg("serve").arg("--dir").arg(log).args(["--listen", "127.0.0.1:0", "--policy"]).arg(policy);
        let mut child = command.env("TALLY_LOG", "trace").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (phase, last) = (Arc::new(Mutex::new(String::new())), Arc::new(Mutex::new(String::new())));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (written, errors) = (phase.clone(), last.clone());
        let reader = thread::spawn(move || {
            for line in stderr.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                if let Some((_, phase)) = line.split_once("phase=") {
                    phase.trim().clone_into(&mut written.lock().unwrap());
                }
                *errors.lock().unwrap() = line;
            }
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ");
        let address = address.unwrap_or_else(|| panic!("it does not start: {}", last.lock().unwrap()));
        Self { url: format!("http://{address}"), child, phase, reader: Some(reader) }
    }

    /// Until the trace names the phase, at most five seconds.
    fn wait_for(&self, phase: &str) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while *self.phase.lock().unwrap() != phase && Instant::now() < deadline {
            thread::yield_now();
        }
    }

    /// Kills the program and returns the phase that it was in.
    fn kill(&mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        self.phase.lock().unwrap().clone()
    }

    /// Asks the program to end, and waits until it has.
    fn terminate(&mut self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn published(log: &Path) -> SignedCheckpoint {
    let note = Directory::open_read_only(log).unwrap().get("public/checkpoint").unwrap().unwrap();
    SignedCheckpoint::parse(&note).unwrap()
}

fn verify(log: &Path, keys: &[VerifierKey], acknowledged: &[(u64, Vec<u8>)]) {
    let checkpoint = published(log);
    checkpoint.verify_log(keys).unwrap();
    let store: Arc<dyn Store> = Arc::new(Directory::open_read_only(log).unwrap());
    let indices: Vec<u64> = acknowledged.iter().map(|(index, _)| *index).collect();
    let prover = prover::stored(&*store, &checkpoint.tree(), &indices).unwrap();
    let mut entries = Entries::new(&*store, checkpoint.tree().size);
    for (index, leaf) in acknowledged {
        assert_eq!(&entries.leaf(*index).unwrap(), leaf, "entry {index}");
        let proof = prover::inclusion_of(&prover, *index, &hash_leaf(leaf)).unwrap();
        proof.verify(&checkpoint.tree(), *index, &hash_leaf(leaf)).unwrap();
    }
    let report = fsck::check(&fsck::DirectorySource::open(log).unwrap(), keys).unwrap();
    assert_eq!(report.findings, []);
    println!("{} acknowledged entries proven under size {}; fsck: {} objects, clean", acknowledged.len(), report.tree.size, report.objects);
}

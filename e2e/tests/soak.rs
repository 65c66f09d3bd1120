//! Mixed load for a long time, while the log and its witnesses are killed at random moments: nothing acknowledged is lost, every
//! acknowledgement is a proof under the quorum, and memory stays flat. `make soak` runs it, for `SOAK_SECONDS` (120 if unset).

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use attest::predicate::{PackageFiles, Predicate};
use attest::{Envelope, Manifest, Purl, Statement};
use client::log::Submitted;
use client::{FetchError, Http, LogClient, block_on};
use e2e::program::{Program, run};
use e2e::world::{ORIGIN, World};
use tlog::{BundleId, Hash, Policy, Signer, VerifierKey, bundle, hash_leaf};

const SUBMITTERS: usize = 6;
const READERS: usize = 2;

/// What load, killer and verifier share.
struct Shared {
    url: RwLock<String>,
    stop: AtomicBool,
    next: AtomicU64,
    builders: Vec<Box<dyn Signer>>,
    keys: Vec<VerifierKey>,
    policy: Policy,
    /// Index and leaf hash of every acknowledged entry.
    acknowledged: Mutex<Vec<(u64, Hash)>>,
    reads: AtomicU64,
    unanswered: AtomicU64,
}

/// xorshift: any spread of moments will do.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[test]
#[ignore = "takes minutes: make soak"]
fn mixed_load_with_random_kills_loses_nothing() {
    let seconds: u64 = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(120);
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    println!("{seconds} seconds of {SUBMITTERS} submitters and {READERS} readers; moments from seed {seed}");
    let mut world = World::start();
    let shared = Arc::new(Shared {
        url: RwLock::new(world.log.as_ref().unwrap().url()),
        stop: AtomicBool::new(false),
        next: AtomicU64::new(0),
        builders: std::mem::take(&mut world.builders),
        keys: world.log_keys.clone(),
        policy: world.policy(),
        acknowledged: Mutex::default(),
        reads: AtomicU64::new(0),
        unanswered: AtomicU64::new(0),
    });
    let threads: Vec<_> = (0..SUBMITTERS).map(|n| submitter(n, &shared)).chain((0..READERS).map(|_| reader(&shared))).collect();
    let (kills, memory) = kill_for(Duration::from_secs(seconds), &mut world, &shared, &mut Random(seed));
    shared.stop.store(true, Ordering::SeqCst);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let acknowledged = std::mem::take(&mut *shared.acknowledged.lock().unwrap());
    println!(
        "kills: {kills:?}; {} entries acknowledged, {} submissions unanswered, {} reads",
        acknowledged.len(),
        shared.unanswered.load(Ordering::SeqCst),
        shared.reads.load(Ordering::SeqCst)
    );
    for (name, samples) in &memory {
        let quarter = |n: usize| samples.iter().skip(samples.len() * n / 4).take(samples.len() / 4 + 1).max().copied().unwrap_or(0);
        println!("{name}: most memory in each quarter, MiB: {:?}", [quarter(0), quarter(1), quarter(2), quarter(3)].map(|kib| kib >> 10));
        assert!(quarter(3) <= quarter(1) * 3 / 2 + (32 << 10), "{name} grows: {samples:?}");
    }
    let size = verify(&world, &shared, &acknowledged);
    println!("size {size}; acknowledged and lost: 0; fsck clean");
    assert!(!acknowledged.is_empty() && kills.values().sum::<usize>() > 0, "{kills:?}");
}

/// Claims about packages, one after the other. An answer counts when its proof holds under the quorum.
fn submitter(number: usize, shared: &Arc<Shared>) -> JoinHandle<()> {
    let shared = shared.clone();
    thread::spawn(move || {
        let signer = number % shared.builders.len();
        while !shared.stop.load(Ordering::SeqCst) {
            let name = format!("package-{}", shared.next.fetch_add(1, Ordering::SeqCst));
            // As a builder does: until the log has it.
            while !shared.stop.load(Ordering::SeqCst) {
                match claim(&shared, &*shared.builders[signer], &name) {
                    Ok(Some(entry)) => {
                        shared.acknowledged.lock().unwrap().push(entry);
                        break;
                    }
                    Ok(None) | Err(_) => {
                        shared.unanswered.fetch_add(1, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(50));
                    }
                }
            }
        }
    })
}

fn claim(shared: &Shared, signer: &dyn Signer, name: &str) -> Result<Option<(u64, Hash)>, FetchError> {
    let package = Hash::digest(name.as_bytes());
    let text = format!(
        "#mtree package-sha256={package}\n. type=dir optional tags=implied\n./x type=file mode=0644 uname=root gname=root size=1 sha256digest={package} tags=fixed\n"
    );
    let manifest = Manifest::parse(text.as_bytes()).expect("a manifest");
    let purl = Purl::deb("debian", name, "1.0-1", "amd64").expect("a package URL");
    let files = PackageFiles::of(&manifest);
    let root = files.manifest;
    let statement = Statement::about_package(&purl, package, Predicate::PackageFiles(files));
    let envelope = Envelope::sign(statement.encode(), signer).expect("it signs").encode();
    let client = LogClient::new(&shared.url.read().unwrap().clone())?;
    block_on(client.put_manifest(ORIGIN, &root, manifest.encode(), signer)).expect("a runtime")?;
    let Submitted::Proven(proof) = block_on(client.submit(envelope.clone(), Duration::from_secs(10))).expect("a runtime")? else {
        return Ok(None);
    };
    let leaf = hash_leaf(proof.extra.as_deref().unwrap_or(&envelope));
    let checkpoint = &proof.checkpoint;
    checkpoint.verify_log(&shared.keys).expect("signed by the log");
    shared.policy.verify(checkpoint).expect("cosigned by the quorum");
    proof.proof.verify(&checkpoint.checkpoint.tree, proof.index, &leaf).expect("proven");
    Ok(Some((proof.index, leaf)))
}

/// Checkpoints, bundles and look-ups.
fn reader(shared: &Arc<Shared>) -> JoinHandle<()> {
    let shared = shared.clone();
    thread::spawn(move || {
        let mut newest = 0;
        while !shared.stop.load(Ordering::SeqCst) {
            let read = || -> Result<u64, FetchError> {
                let client = LogClient::new(&shared.url.read().unwrap().clone())?;
                let size = block_on(client.checkpoint()).expect("a runtime")?.tree().size;
                if let Some(id) = BundleId::holding(size.saturating_sub(1), size) {
                    block_on(client.bundle(id)).expect("a runtime")?;
                }
                block_on(client.lookup(&["type:roles/v1".to_owned()])).expect("a runtime")?;
                Ok(size)
            };
            if let Ok(size) = read() {
                assert!(size >= newest, "the published tree shrank from {newest} to {size}");
                newest = size;
                shared.reads.fetch_add(3, Ordering::SeqCst);
            }
            thread::sleep(Duration::from_millis(20));
        }
    })
}

type Kills = BTreeMap<String, usize>;
type Memory = BTreeMap<String, Vec<u64>>;

/// Kills the log or a witness every few seconds and starts it again; notes everybody's memory each second.
fn kill_for(time: Duration, world: &mut World, shared: &Shared, random: &mut Random) -> (Kills, Memory) {
    let (mut kills, mut memory) = (Kills::new(), Memory::new());
    let started = Instant::now();
    let mut next = Duration::from_secs(2);
    let mut told = Duration::ZERO;
    while started.elapsed() < time {
        thread::sleep(Duration::from_secs(1));
        note_memory(world, &mut memory);
        if started.elapsed() >= next {
            next = started.elapsed() + Duration::from_millis(1_000 + random.below(9_000));
            let victim = random.below(6) as usize;
            *kills.entry(kill(world, shared, victim)).or_default() += 1;
        }
        if started.elapsed() >= told {
            told = started.elapsed() + Duration::from_secs(30);
            let last = memory.iter().map(|(name, samples)| format!("{name} {} MiB", samples.last().unwrap_or(&0) >> 10));
            let count = shared.acknowledged.lock().unwrap().len();
            println!("{:>5} s: {count} acknowledged; {}", started.elapsed().as_secs(), last.collect::<Vec<_>>().join(", "));
        }
    }
    (kills, memory)
}

/// A half of all kills hit the log.
fn kill(world: &mut World, shared: &Shared, victim: usize) -> String {
    if victim >= 3 {
        world.log.take().expect("it runs").kill();
        let log = world.try_start_log("log").expect("the log starts again");
        *shared.url.write().unwrap() = log.url();
        world.log = Some(log);
        return "log".to_owned();
    }
    let witness = world.witnesses[victim].take().expect("it runs");
    let address = witness.address().to_string();
    witness.kill();
    world.restart_witness(victim + 1, &address);
    format!("witness {}", victim + 1)
}

fn note_memory(world: &World, memory: &mut Memory) {
    let witnesses = world.witnesses.iter().flatten().enumerate().map(|(n, program)| (format!("witness {}", n + 1), program));
    for (name, program) in witnesses.chain(world.log.as_ref().map(|log| ("log".to_owned(), log))) {
        memory.entry(name).or_default().push(resident(program));
    }
}

/// Resident memory in KiB.
fn resident(program: &Program) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Every acknowledged leaf is in the log at its place, and all of it is clean.
fn verify(world: &World, shared: &Shared, acknowledged: &[(u64, Hash)]) -> u64 {
    let http = Http::new(&shared.url.read().unwrap(), Duration::from_secs(5)).expect("a URL");
    let started = Instant::now();
    while let Err(error) = block_on(http.get("healthz", 4096)).expect("a runtime") {
        assert!(started.elapsed() < Duration::from_secs(60), "the log is not well at the end: {error}");
        thread::sleep(Duration::from_millis(100));
    }
    let client = world.client();
    let size = block_on(client.checkpoint()).expect("a runtime").expect("published").tree().size;
    let mut leaves = Vec::new();
    for id in BundleId::all(size) {
        let bytes = block_on(client.bundle(id)).expect("a runtime").expect("a bundle");
        leaves.extend(bundle::leaf_hashes(bundle::cut(&bytes, id.width()).expect("a bundle"), id.width()).expect("a bundle"));
    }
    let lost = acknowledged.iter().filter(|(index, leaf)| leaves.get(*index as usize) != Some(leaf)).count();
    assert_eq!(lost, 0, "acknowledged entries are lost");
    let output = run("tally-log", ["fsck", world.at("log").to_str().expect("text")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    size
}

//! Gossip, simulated in one process with the real checkpoints, tiles, comparisons and evidence: a log shows one client another world than
//! all others, and clients that meet compare what they have seen (`specs/evidence.md`, "How it is found").
//!
//! `make gossip` prints the table; a small part runs with all tests.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tlog::evidence::Evidence;
use tlog::plan::Tiles;
use tlog::{Checkpoint, Comparison, Edge, KeyKind, KeyName, Relation, SignedCheckpoint, Signer as _, SigningKey, VerifierKey};

/// Entries that both worlds share.
const SHARED: usize = 1_000;
/// Entries after them: clients have synced at different times, so they hold trees of all these sizes.
const AFTER: usize = 200;

/// A log that lies: two worlds, one key.
struct Liar {
    key: SigningKey,
    worlds: [Vec<Vec<u8>>; 2],
    signed: HashMap<(usize, usize), SignedCheckpoint>,
    tiles: HashMap<(usize, usize), Tiles>,
}

impl Liar {
    fn new() -> Self {
        let key = SigningKey::from_seed(KeyName::parse("liar.example/log").unwrap(), KeyKind::Ed25519, &[1; 32]).unwrap();
        let world = |name: &str| {
            let entry = |index: usize| format!("{index} {}", if index < SHARED { "for all" } else { name }).into_bytes();
            (0..SHARED + AFTER).map(entry).collect::<Vec<_>>()
        };
        Self { key, worlds: [world("for the many"), world("for one")], signed: HashMap::new(), tiles: HashMap::new() }
    }

    /// What it serves in a world at a size: the signed checkpoint and all tiles.
    fn serve(&mut self, world: usize, size: usize) -> (SignedCheckpoint, Tiles) {
        if !self.signed.contains_key(&(world, size)) {
            let entries: Vec<&[u8]> = self.worlds[world][..size].iter().map(Vec::as_slice).collect();
            let batch = Edge::empty().append(&entries).unwrap();
            let checkpoint = Checkpoint { origin: "liar.example/log".into(), tree: batch.tree, extensions: Vec::new() };
            let line = checkpoint.sign(&self.key, 0).unwrap();
            self.signed.insert((world, size), SignedCheckpoint::new(checkpoint, vec![line]));
            self.tiles.insert((world, size), batch.tiles.into_iter().collect());
        }
        (self.signed[&(world, size)].clone(), self.tiles[&(world, size)].clone())
    }
}

/// What a client knows: where it stands in its world, and, once it has it, the evidence.
struct Client {
    world: usize,
    size: usize,
    evidence: Option<Vec<u8>>,
}

/// Numbers that are random and the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }
}

/// How one run went.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Contacts until somebody could convict the log, and the round in which that was.
    convicted: Option<(usize, usize)>,
    /// Contacts and rounds until every client that gossips had evidence.
    known: Option<(usize, usize)>,
    /// What comparing took until the conviction.
    time: Duration,
}

/// Of `clients` clients, `gossiping` ones take part; `deceived` of them (at most) have seen the other world. In a round each of them, in an
/// order of chance, contacts one other of them: they compare checkpoints, or hand over evidence.
fn simulate(liar: &mut Liar, clients: usize, gossiping: usize, is_deceived: &dyn Fn(usize) -> bool, rounds: usize, seed: u64) -> Run {
    assert!(gossiping <= clients);
    let mut random = Random(seed | 1);
    let mut all: Vec<Client> = (0..clients)
        .map(|number| Client { world: usize::from(is_deceived(number)), size: SHARED + 1 + random.below(AFTER), evidence: None })
        .collect();
    let vkey = liar.key.key().encode();
    let (mut contacts, mut time, mut convicted, mut known) = (0, Duration::ZERO, None, None);
    for round in 1..=rounds {
        let mut order: Vec<usize> = (0..gossiping).collect();
        (1..gossiping).rev().for_each(|at| order.swap(at, random.below(at + 1)));
        for one in order {
            let other = (one + 1 + random.below(gossiping - 1)) % gossiping;
            contacts += 1;
            let found = match (&all[one].evidence, &all[other].evidence) {
                (Some(evidence), _) | (None, Some(evidence)) => Some(evidence.clone()),
                (None, None) => meet(liar, &all[one], &all[other], &mut time),
            };
            let Some(evidence) = found else { continue };
            if convicted.is_none() {
                // A second machine, with nothing but the file and the log's key.
                assert!(convicts(&evidence, &vkey));
                convicted = Some((contacts, round));
            }
            all[one].evidence = Some(evidence.clone());
            all[other].evidence = Some(evidence);
            if all[..gossiping].iter().all(|client| client.evidence.is_some()) {
                known = known.or(Some((contacts, round)));
            }
        }
        if known.is_some() {
            break;
        }
    }
    Run { convicted, known, time }
}

/// Two clients compare their newest checkpoints; whoever has the larger tree fetches the tiles that decide it, from the log, which serves
/// him the world that he is in.
fn meet(liar: &mut Liar, one: &Client, other: &Client, time: &mut Duration) -> Option<Vec<u8>> {
    let (first, first_tiles) = liar.serve(one.world, one.size);
    let (second, second_tiles) = liar.serve(other.world, other.size);
    let started = Instant::now();
    let comparison = Comparison::new(&first, &second).unwrap();
    let tiles = if std::ptr::eq(comparison.larger(), &first) { first_tiles } else { second_tiles };
    let asked: Tiles = comparison.tiles().iter().map(|tile| (*tile, tiles[tile].clone())).collect();
    let evidence = match comparison.finish(&asked).unwrap() {
        Relation::One(_) => None,
        Relation::Two(evidence) => Some(evidence.encode().into_bytes()),
    };
    *time += started.elapsed();
    evidence
}

fn convicts(evidence: &[u8], vkey: &str) -> bool {
    let key = VerifierKey::parse(vkey).unwrap();
    Evidence::parse(evidence).is_ok_and(|evidence| evidence.verify(&[key]).is_ok())
}

#[test]
fn one_deceived_client_convicts_the_log_within_one_round() {
    let mut liar = Liar::new();
    for (clients, gossiping) in [(10, 2), (10, 10), (100, 7), (100, 100)] {
        for seed in 1..=20 {
            // The deceived one is the first, and gossips.
            let run = simulate(&mut liar, clients, gossiping, &|number| number == 0, 20, seed * 7_919);
            let (contacts, round) = run.convicted.expect("convicted");
            assert!(round == 1 && contacts <= gossiping, "{clients} {gossiping} {run:?}");
            let (_, all) = run.known.expect("known to all");
            assert!(all <= 2 + 2 * gossiping.ilog2() as usize + 4, "{clients} {gossiping} {run:?}");
        }
    }
}

/// The evidence of the first contact of two who were shown different worlds, as a file, and the log's key.
fn evidence_of_a_contact() -> (Vec<u8>, String) {
    let mut liar = Liar::new();
    let client = |world, size| Client { world, size, evidence: None };
    let (deceived, other) = (client(1, SHARED + 7), client(0, SHARED + 90));
    let evidence = meet(&mut liar, &deceived, &other, &mut Duration::default()).expect("two histories");
    (evidence, liar.key.key().encode())
}

/// Another machine: an empty directory but for the file, no network, no configuration, and the log's key.
fn second_machine(evidence: &[u8], vkey: &str) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("fork.evidence"), evidence).expect("written");
    let mut command = std::process::Command::new("unshare");
    command.arg("-n").arg(e2e::program::path("tally")).args(["audit", "evidence", "fork.evidence", "--key", vkey]);
    let output = command.current_dir(dir.path()).env_clear().output().expect("unshare");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_second_machine_convicts_with_the_file_and_the_logs_key_alone() {
    let (evidence, vkey) = evidence_of_a_contact();
    let (status, said) = second_machine(&evidence, &vkey);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.starts_with("proven: liar.example/log signed two histories that exclude each other: 1007 entries with root "), "{said}");
    let stranger = SigningKey::from_seed(KeyName::parse("liar.example/log").unwrap(), KeyKind::Ed25519, &[2; 32]).unwrap();
    let (status, said) = second_machine(&evidence, &stranger.key().encode());
    assert!(status == Some(1) && said.contains("not both signed by the key"), "{status:?} {said}");
    let text = String::from_utf8(evidence).unwrap();
    let altered = text.replacen("\n1007\n", "\n1008\n", 1);
    assert_ne!(altered, text);
    assert_eq!(second_machine(altered.as_bytes(), &vkey).0, Some(1), "who forges evidence convicts nobody");
}

#[test]
fn who_does_not_gossip_is_not_helped_and_an_honest_log_is_not_accused() {
    let mut liar = Liar::new();
    for seed in 1..=5 {
        let aside = simulate(&mut liar, 100, 50, &|number| number == 99, 5, seed * 104_729);
        assert!(aside.convicted.is_none(), "the deceived one meets nobody");
        let honest = simulate(&mut liar, 100, 100, &|_| false, 5, seed * 15_485_863);
        assert!(honest.convicted.is_none());
    }
}

/// Runs of a row: fewer where each has many contacts.
const fn runs(gossiping: usize) -> u64 {
    if gossiping > 100 { 20 } else { 200 }
}

fn spread(mut values: Vec<usize>) -> String {
    values.sort_unstable();
    let mean = values.iter().sum::<usize>() as f64 / values.len() as f64;
    format!("{mean:.1} ({}..{})", values[0], values[values.len() - 1])
}

#[test]
#[ignore = "prints a table: make gossip"]
fn the_table_of_contacts_and_times() {
    let mut liar = Liar::new();
    println!("One client of n is shown another world; k of n gossip, the deceived one among them. Mean (least..most).");
    println!(
        "| n | k | runs | contacts until convicted | rounds | contacts until all k have the evidence | rounds | comparing, microseconds |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for clients in [10, 100, 1_000] {
        let mut rows = vec![2, clients / 10, clients / 2, clients];
        rows.dedup();
        rows.retain(|gossiping| *gossiping >= 2);
        for gossiping in rows {
            let done: Vec<Run> = (1..=runs(gossiping))
                .map(|seed| simulate(&mut liar, clients, gossiping, &|number| number == 0, 100, seed * 6_700_417))
                .collect();
            let pick = |of: &dyn Fn(&Run) -> usize| spread(done.iter().map(of).collect());
            let micros = done.iter().map(|run| run.time.as_secs_f64()).sum::<f64>() * 1e6 / done.len() as f64;
            println!(
                "| {clients} | {gossiping} | {} | {} | {} | {} | {} | {micros:.0} |",
                done.len(),
                pick(&|run| run.convicted.expect("convicted").0),
                pick(&|run| run.convicted.expect("convicted").1),
                pick(&|run| run.known.expect("known").0),
                pick(&|run| run.known.expect("known").1),
            );
        }
    }
    let split: Vec<Run> =
        (1..=runs(100)).map(|seed| simulate(&mut liar, 1_000, 100, &|number| number % 2 == 0, 100, seed * 7_368_787)).collect();
    let contacts = spread(split.iter().map(|run| run.convicted.expect("convicted").0).collect());
    println!("Half of 1,000 deceived, 100 gossip: {contacts} contacts until convicted.");
    let aside =
        (1..=runs(500)).filter(|seed| simulate(&mut liar, 1_000, 500, &|number| number == 999, 3, seed * 32_452_843).convicted.is_some());
    let (evidence, vkey) = evidence_of_a_contact();
    let (status, said) = second_machine(&evidence, &vkey);
    println!(
        "The evidence of a contact, {} bytes, on a second machine without network, with the log's key alone: status {status:?}, {said}",
        evidence.len()
    );
    assert_eq!(status, Some(0));
    println!("The deceived one does not gossip, 500 of 1,000 others do: convicted in {} of {} runs.", aside.count(), runs(500));
}

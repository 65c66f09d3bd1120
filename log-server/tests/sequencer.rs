//! The rules of a log's life, each with its test: quorum, clones, restored backups, lost swaps, outages, clocks, idling.

mod kit;

use std::sync::Arc;

use kit::{Mood, START, TestLog, World, entries, index};
use store::{Directory, Faulty, Memory, Store, When};
use tally_log::clock::Clock as _;
use tally_log::pool::Full;
use tally_log::sequencer::Turn;
use tally_log::shared::Status;
use tlog::{Policy, SignedCheckpoint};

fn world() -> World {
    World::new(Arc::new(Memory::new()))
}

fn started(world: &World) -> TestLog {
    let mut log = world.open().unwrap();
    assert_eq!(log.settle(), Turn::Idle, "{:?}", log.shared.status());
    log
}

fn is_published_under(policy: &Policy, world: &World) -> bool {
    let note = world.store.get("public/checkpoint").unwrap().unwrap();
    let signed = SignedCheckpoint::parse(&note).unwrap();
    policy.cosigned(&signed).is_ok_and(|cosigned| policy.is_satisfied_by(&|name| cosigned.contains_key(name)))
}

#[test]
fn entries_are_published_in_order_under_the_quorum() {
    let world = world();
    let mut log = started(&world);
    assert_eq!(log.add(&[b"a", b"b", b"c"]), [0, 1, 2]);
    assert_eq!(log.add(&[b"d"]), [3]);
    let (tree, leaves) = entries(&*world.store);
    assert_eq!(tree.size, 4);
    assert_eq!(leaves, [b"a", b"b", b"c", b"d"]);
    assert!(is_published_under(&world.policy(), &world));
    assert_eq!(world.store.list("state/stage").unwrap(), Vec::<String>::new(), "staging is cleaned");
}

#[test]
fn growth_over_tiles_and_levels_is_whole() {
    let world = world();
    let mut log = started(&world);
    let mut count = 0_u32;
    for step in [1, 254, 1, 1, 255, 300, 1000, 777] {
        let leaves: Vec<Vec<u8>> = (count..count + step).map(|n| n.to_be_bytes().to_vec()).collect();
        log.add(&leaves.iter().map(Vec::as_slice).collect::<Vec<_>>());
        count += step;
        assert_eq!(entries(&*world.store).0.size, u64::from(count));
    }
    let mut log = started(&world);
    assert_eq!(log.add(&[b"after a new start"]), [u64::from(count)]);
}

#[test]
fn without_a_quorum_nothing_is_published_and_reads_stay() {
    let world = world();
    let mut log = started(&world);
    log.add(&[b"a"]);
    world.away(2);
    let waiting = log.submit(b"b");
    assert_eq!(log.settle(), Turn::Waiting);
    assert_eq!(index(waiting), None);
    assert_eq!(log.published().unwrap().size, 1);
    assert_eq!(log.committed().size, 2);
    assert!(matches!(log.shared.status(), Status::Waiting(_)));
    // One witness less than three is enough.
    world.away(1);
    assert_eq!(log.settle(), Turn::Idle);
    assert_eq!(entries(&*world.store).1, [b"a", b"b"]);
}

#[test]
fn at_most_one_tree_is_committed_and_unpublished() {
    let world = world();
    let mut log = started(&world);
    world.away(2);
    let first = log.submit(b"a");
    assert_eq!(log.settle(), Turn::Waiting);
    let second = log.submit(b"b");
    for _ in 0..5 {
        assert_eq!(log.settle(), Turn::Waiting);
    }
    assert_eq!(log.committed().size, 1);
    world.away(0);
    assert_eq!(log.settle(), Turn::Idle);
    assert_eq!((index(first), index(second)), (Some(0), Some(1)));
}

#[test]
fn six_hours_without_witnesses_cost_waiting_only() {
    let mut world = world();
    world.queue_bytes = 20_000;
    let mut log = started(&world);
    log.add(&[b"before"]);
    world.away(3);
    let mut waiting = Vec::new();
    let mut is_full = false;
    for minute in 0..360_u32 {
        world.clock.pass(60);
        match log.pool.submit(None, minute.to_string().into_bytes(), ()) {
            Ok(receiver) => waiting.push(receiver),
            Err(Full) => is_full = true,
        }
        assert_eq!(log.settle(), Turn::Waiting);
        assert_eq!(log.published().unwrap().size, 1);
    }
    assert!(is_full, "the queue is bounded");
    assert!(log.pool.load().1 <= 20_000);
    world.away(0);
    assert_eq!(log.settle(), Turn::Idle, "{:?}", log.shared.status());
    let indices: Vec<_> = waiting.into_iter().map(index).collect();
    assert_eq!(indices, (1..=indices.len() as u64).map(Some).collect::<Vec<_>>());
    assert_eq!(entries(&*world.store).0.size, 1 + indices.len() as u64);
    let time = log.sequencer.ledger().committed().time;
    assert_eq!(time, START + 6 * 3600, "the next checkpoint is of now");
}

#[test]
fn six_hours_without_witnesses_over_a_restart() {
    let world = world();
    let mut log = started(&world);
    world.away(3);
    drop(log.submit(b"committed only"));
    assert_eq!(log.settle(), Turn::Waiting);
    drop(log);
    world.clock.pass(6 * 3600);
    let mut log = world.open().unwrap();
    assert_eq!(log.settle(), Turn::Waiting);
    assert!(matches!(log.shared.status(), Status::Asking(_)), "reads only until witnesses answer");
    world.away(0);
    assert_eq!(log.settle(), Turn::Idle);
    assert_eq!(entries(&*world.store).1, [b"committed only"]);
    assert_eq!(log.add(&[b"and on"]), [1]);
}

/// A copy of all objects, as a backup or a clone of the directory has them.
fn copy(store: &dyn Store) -> Arc<dyn Store> {
    let copy = Memory::new();
    for key in store.list("").unwrap() {
        copy.put(&key, &store.get(&key).unwrap().unwrap()).unwrap();
    }
    Arc::new(copy)
}

#[test]
fn a_restored_backup_refuses_to_sign() {
    let world = world();
    let mut log = started(&world);
    log.add(&[b"a"]);
    let backup = copy(&*world.store);
    log.add(&[b"b"]);
    drop(log);
    let restored = World { store: backup.clone(), ..world.clone() };
    let before = backup.get("state/committed").unwrap();
    let mut log = restored.open().unwrap();
    let answer = log.submit(b"c");
    assert_eq!(log.settle(), Turn::Stopped);
    assert_eq!(index(answer), None);
    let Status::Stopped(why) = log.shared.status() else { panic!("not stopped") };
    assert!(why.contains("larger tree") && why.contains("size 2"), "{why}");
    assert!(why.contains("newest copy"), "says what to do: {why}");
    assert_eq!(backup.get("state/committed").unwrap(), before, "nothing was signed");
    assert_eq!(log.settle(), Turn::Stopped, "and stays so");
}

#[test]
fn of_two_clones_one_stops_and_no_fork_is_published() {
    let world = world();
    let mut first = started(&world);
    first.add(&[b"a"]);
    let clone = World { store: copy(&*world.store), ..world.clone() };
    let mut second = started(&clone);
    first.add(&[b"b"]);
    let answer = second.submit(b"not b");
    assert_eq!(second.settle(), Turn::Stopped);
    assert_eq!(index(answer), None);
    let Status::Stopped(why) = second.shared.status() else { panic!("not stopped") };
    assert!(why.contains("another tree"), "{why}");
    assert_eq!(entries(&*clone.store).1, [b"a"], "the fork was committed there, but never published");
    first.add(&[b"c"]);
    assert_eq!(entries(&*world.store).1, [b"a", b"b", b"c"], "the other goes on");
    let mut again = clone.open().unwrap();
    assert_eq!(again.settle(), Turn::Stopped, "a new start of the clone stops as well");
}

#[test]
fn a_size_without_a_checkpoint_only_marks_its_witness() {
    let world = world();
    let mut log = started(&world);
    world.witnesses[0].set(Mood::Boasting);
    assert_eq!(log.add(&[b"a"]), [0]);
    world.witnesses[1].set(Mood::Forging);
    drop(log.submit(b"b"));
    assert_eq!(log.settle(), Turn::Waiting, "one good witness of three is no quorum");
    let Status::Waiting(why) = log.shared.status() else { panic!("not waiting") };
    assert!(why.contains("shows no checkpoint") && why.contains("is wrong"), "{why}");
    world.witnesses[1].set(Mood::Good);
    assert_eq!(log.settle(), Turn::Idle);
}

#[test]
fn a_lost_swap_stops_the_sequencer_whether_or_not_it_took_effect() {
    for when in [When::Before, When::After] {
        let mut swaps = 0;
        for call in 0.. {
            let world = world();
            let mut log = started(&world);
            log.add(&[b"a"]);
            drop(log);
            let faulty = Arc::new(LostSwap { inner: world.store.clone(), faulty: Faulty::new(Memory::new(), call, when), when });
            let Ok(mut log) = world.open_over(faulty.clone()) else { panic!("opening swaps nothing") };
            let answer = log.submit(b"b");
            let turn = log.settle();
            if !faulty.faulty.has_failed() {
                assert_eq!(turn, Turn::Idle);
                break;
            }
            swaps += 1;
            assert_eq!(turn, Turn::Stopped, "swap {call} {when:?}");
            assert_eq!(index(answer), None);
            assert_eq!(log.settle(), Turn::Stopped, "it does not guess");
            let mut log = started(&world);
            log.add(&[b"c"]);
            let leaves = entries(&*world.store).1;
            assert!(leaves == [b"a", b"c"] || leaves == [b"a", b"b", b"c"], "{leaves:?}");
        }
        assert_eq!(swaps, 3, "refreshed head, committed, published");
    }
}

/// Fails the n-th swap only.
struct LostSwap {
    inner: Arc<dyn Store>,
    /// Counts the swaps.
    faulty: Faulty<Memory>,
    when: When,
}

impl Store for LostSwap {
    fn get(&self, key: &str) -> std::io::Result<Option<Vec<u8>>> {
        self.inner.get(key)
    }
    fn put(&self, key: &str, value: &[u8]) -> std::io::Result<()> {
        self.inner.put(key, value)
    }
    fn put_all(&self, objects: &[(String, Vec<u8>)]) -> std::io::Result<()> {
        self.inner.put_all(objects)
    }
    fn swap(&self, key: &str, old: Option<&[u8]>, new: &[u8]) -> std::io::Result<store::Swap> {
        let counted = self.faulty.get("x");
        if counted.is_ok() || self.when == When::After {
            let swapped = self.inner.swap(key, old, new)?;
            counted?;
            return Ok(swapped);
        }
        counted?;
        unreachable!("the count failed")
    }
    fn rewrite(&self, key: &str) -> std::io::Result<()> {
        self.inner.rewrite(key)
    }
    fn discard(&self, key: &str) -> std::io::Result<()> {
        self.inner.discard(key)
    }
    fn list(&self, prefix: &str) -> std::io::Result<Vec<String>> {
        self.inner.list(prefix)
    }
}

#[test]
fn a_clock_that_goes_back_never_takes_the_checkpoint_with_it() {
    let world = world();
    let mut log = started(&world);
    log.add(&[b"a"]);
    let before = log.sequencer.ledger().committed().time;
    world.clock.set(START - 50_000);
    log.add(&[b"b"]);
    assert_eq!(log.sequencer.ledger().committed().time, before);
    world.clock.set(START + 60);
    log.add(&[b"c"]);
    assert_eq!(log.sequencer.ledger().committed().time, START + 60);
}

#[test]
fn a_clock_that_jumps_forward_is_refused_until_it_is_right_again() {
    let world = world();
    let mut log = started(&world);
    log.add(&[b"a"]);
    // This machine jumps a day ahead; the witnesses' clocks stay.
    world.clock.pass(86_400);
    for witness in &world.witnesses {
        witness.state().ahead = -86_400;
    }
    let answer = log.submit(b"b");
    assert_eq!(log.settle(), Turn::Waiting);
    let Status::Waiting(why) = log.shared.status() else { panic!("not waiting") };
    assert!(why.contains("correct this machine's clock"), "{why}");
    for _ in 0..20 {
        world.clock.pass(5);
        assert_eq!(log.sequencer.turn(), Turn::Waiting);
        assert_eq!(log.shared.status(), Status::Waiting(why.clone()), "the operator is told once, not every few seconds");
    }
    assert_eq!(log.committed().size, 1, "nothing was signed for tomorrow");
    world.clock.set(START + 120);
    for witness in &world.witnesses {
        witness.state().ahead = 0;
    }
    assert_eq!(log.settle(), Turn::Idle);
    assert_eq!(index(answer), Some(1));
}

#[test]
fn one_witness_with_a_wrong_clock_moves_nothing() {
    let world = world();
    let mut log = started(&world);
    world.witnesses[2].state().ahead = 400_000;
    log.add(&[b"a"]);
    world.clock.pass(86_400);
    for witness in &world.witnesses[..2] {
        witness.state().ahead = -86_400;
    }
    drop(log.submit(b"b"));
    assert_eq!(log.settle(), Turn::Waiting);
    assert_eq!(log.committed().size, 1);
}

#[test]
fn an_idle_log_is_cosigned_afresh_every_ten_minutes() {
    let world = world();
    let mut log = started(&world);
    log.add(&[b"a"]);
    let first = log.shared.view().unwrap();
    world.clock.pass(599);
    assert_eq!(log.settle(), Turn::Idle);
    assert_eq!(log.shared.view().unwrap(), first, "not yet");
    world.clock.pass(1);
    assert_eq!(log.settle(), Turn::Idle);
    let second = log.shared.view().unwrap();
    assert_eq!(second.tree, first.tree);
    let signed = SignedCheckpoint::parse(second.note.as_bytes()).unwrap();
    let cosigned = world.policy().cosigned(&signed).unwrap();
    assert_eq!(world.policy().freshness(&cosigned, u64::MAX), Some(START + 600));
    // Without witnesses the older head stays.
    world.away(3);
    world.clock.pass(600);
    assert_eq!(log.settle(), Turn::Waiting);
    assert_eq!(log.shared.view().unwrap(), second);
}

#[test]
fn cosignatures_older_than_a_minute_are_asked_for_again() {
    let world = world();
    let mut log = started(&world);
    world.away(2);
    drop(log.submit(b"a"));
    assert_eq!(log.settle(), Turn::Waiting);
    let asked = |n: usize| world.witnesses[n].state().asked;
    let before = asked(2);
    assert_eq!(log.settle(), Turn::Waiting);
    assert_eq!(asked(2), before, "its cosignature is kept for a minute");
    world.clock.pass(61);
    world.away(1);
    assert_eq!(log.settle(), Turn::Idle);
    assert_eq!(asked(2), before + 1);
    let signed = SignedCheckpoint::parse(&world.store.get("public/checkpoint").unwrap().unwrap()).unwrap();
    let cosigned = world.policy().cosigned(&signed).unwrap();
    assert!(cosigned.len() >= 2 && cosigned.values().all(|time| *time == START + 61), "{cosigned:?}");
}

#[test]
fn quorum_none_publishes_without_witnesses() {
    let mut world = world();
    world.quorum = 0;
    world.away(3);
    let mut log = started(&world);
    assert_eq!(log.add(&[b"a"]), [0]);
    world.clock.pass(40 * 86_400);
    assert_eq!(log.add(&[b"b"]), [1]);
    assert_eq!(log.sequencer.ledger().committed().time, world.clock.now());
}

#[test]
fn a_damaged_edge_is_never_signed() {
    let world = world();
    let mut log = started(&world);
    log.add(&[b"a", b"b", b"c"]);
    let key = "public/tile/0/000.p/3";
    let mut tile = world.store.get(key).unwrap().unwrap();
    tile[33] ^= 0x10;
    world.store.discard(key).unwrap();
    world.store.put(key, &tile).unwrap();
    let answer = log.submit(b"d");
    assert_eq!(log.settle(), Turn::Waiting);
    assert_eq!(index(answer), None);
    assert_eq!(log.committed().size, 3);
    let Status::Waiting(why) = log.shared.status() else { panic!("not waiting") };
    assert!(why.contains("damaged"), "{why}");
    assert!(world.open().is_err(), "and no new start signs it");
}

#[test]
fn missing_truncated_and_foreign_objects_refuse_the_start() {
    let world = world();
    let mut log = started(&world);
    log.add(&[b"a", b"b", b"c"]);
    for key in ["state/committed", "public/checkpoint", "public/tile/0/000.p/3", "public/tile/entries/000.p/3"] {
        let original = world.store.get(key).unwrap().unwrap();
        for damaged in [&original[..original.len() / 2], b"", b"garbage\n", &[0xff; 96]] {
            world.store.discard(key).unwrap();
            world.store.put(key, damaged).unwrap();
            let error = world.open().err().unwrap_or_else(|| panic!("{key} of {} bytes is accepted", damaged.len()));
            assert!(error.to_string().contains(key) || error.to_string().contains("edge"), "{key}: {error}");
        }
        world.store.discard(key).unwrap();
        if key != "public/checkpoint" {
            assert!(world.open().is_err(), "{key} is missing");
        }
        world.store.put(key, &original).unwrap();
        assert!(world.open().is_ok(), "{key} is back");
    }
}

#[test]
fn a_published_tree_ahead_of_the_committed_one_refuses_the_start() {
    let world = world();
    let mut log = started(&world);
    log.add(&[b"a"]);
    let old = world.store.get("state/committed").unwrap().unwrap();
    log.add(&[b"b"]);
    drop(log);
    world.store.discard("state/committed").unwrap();
    world.store.put("state/committed", &old).unwrap();
    let error = world.open().err().unwrap();
    assert_eq!(error.to_string(), "the published tree (size 2) is not a prefix of the committed one (size 1)");
}

/// The loop over every store call: the n-th and all later calls fail, before or after taking effect, over a directory.
#[test]
fn whatever_store_call_fails_the_reopened_log_is_whole_and_only_grew() {
    let mut tried = 0;
    for when in [When::Before, When::After] {
        for call in 0..u64::MAX {
            let dir = tempfile::tempdir().unwrap();
            let world = World::new(Arc::new(Directory::open(dir.path()).unwrap()));
            let mut log = started(&world);
            let first: Vec<Vec<u8>> = (0..250_u32).map(|n| n.to_be_bytes().to_vec()).collect();
            log.add(&first.iter().map(Vec::as_slice).collect::<Vec<_>>());
            drop(log);
            let faulty = Arc::new(Faulty::new(Directory::open(dir.path()).unwrap(), call, when));
            let mut acknowledged = first;
            let mut unsure = Vec::new();
            if let Ok(mut log) = world.open_over(faulty.clone()) {
                // Two rounds, the first of which fills a tile and thereby reaches the next level.
                for round in [&[&b"a"[..], b"b", b"c", b"d", b"e", b"f", b"g"][..], &[b"h"]] {
                    let answers: Vec<_> = round.iter().map(|leaf| (log.submit(leaf), leaf.to_vec())).collect();
                    log.settle();
                    for (answer, leaf) in answers {
                        let list = if index(answer).is_some() { &mut acknowledged } else { &mut unsure };
                        list.push(leaf);
                    }
                }
            }
            tried += 1;
            let mut log = world.open().unwrap_or_else(|error| panic!("call {call} {when:?}: {error}"));
            assert_eq!(log.settle(), Turn::Idle, "call {call} {when:?}: {:?}", log.shared.status());
            acknowledged.push(b"last".to_vec());
            log.add(&[b"last"]);
            let (_, leaves) = entries(&*world.store);
            for leaf in &leaves {
                assert!(acknowledged.contains(leaf) || unsure.contains(leaf), "call {call} {when:?}: {leaf:?} came from nowhere");
            }
            // Acknowledged entries are there, in their order; of the others, whole batches may be.
            let kept: Vec<_> = leaves.iter().filter(|leaf| acknowledged.contains(leaf)).cloned().collect();
            assert_eq!(kept, acknowledged, "call {call} {when:?}");
            if !faulty.has_failed() {
                break;
            }
        }
    }
    println!("{tried} runs, one for each store call that failed before or after it took effect");
    assert!(tried > 40, "{tried}");
}

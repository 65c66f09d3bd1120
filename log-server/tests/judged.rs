//! What the sequencer's gate keeps of entries that it has judged, until it is known what became of them.

mod kit;

use std::sync::Arc;

use attest::predicate::ControlHead;
use attest::{Predicate, Statement};
use kit::served::{Served, builder, security, sign, warning};
use kit::{ORIGIN, START, log_keys};
use store::Memory;
use tally_log::clock::ManualClock;
use tally_log::config::Settings;
use tally_log::gate::{Gate as _, Verdict};
use tally_log::index::Index;
use tally_log::pool::{Entry, Pool, Refusal};
use tally_log::roles::{Desk, Manifests, RolesGate, Submission, bootstrap_files, parts};
use tlog::{Tree, hash_leaf};

/// An entry as the sequencer takes it from a queue.
fn entry(leaf: &[u8]) -> Entry<Submission> {
    let pool = Pool::new(1 << 20);
    let meta = parts(leaf).unwrap();
    drop(pool.submit(Some(meta.identity()), leaf.to_vec(), meta).unwrap());
    let mut taken = pool.take(1 << 20, 1);
    assert_eq!(taken.len(), 1);
    taken.pop_front().unwrap()
}

/// A gate before the first roles, and these; the log's directory stays while it is held.
fn gate(clock: Arc<ManualClock>) -> (RolesGate, Entry<Submission>, Served) {
    let made = Served::made(false, |_| {});
    let roles = bootstrap_files(&made.dir.path().join("roles-1.txt")).unwrap();
    let index = Arc::new(Index::open(&made.dir.path().join("index")).unwrap());
    let store = Arc::new(Memory::new());
    let settings = Settings::parse(&std::fs::read_to_string(made.log_dir().join("log.toml")).unwrap()).unwrap();
    let manifests = Manifests::open(store.clone(), index.clone(), settings.manifest_quota_bytes).unwrap();
    let desk = Arc::new(Desk::new(ORIGIN, Arc::new(Pool::new(1 << 20)), index, manifests, store, settings.rates, roles.judge()));
    let first = entry(&roles.envelope(log_keys().envelope_signer()).unwrap());
    (RolesGate::new(desk, clock), first, made)
}

#[test]
fn the_judgement_of_entries_that_were_not_committed_is_dropped() {
    let (mut gate, first, _made) = gate(Arc::new(ManualClock::new(START)));
    let warns = |name: &str| entry(&sign(&warning(1, None, name), &security()));
    let foreign = entry(&sign(&warning(1, None, "jq"), &builder()));
    // The roles may come again when their commit has failed.
    assert_eq!(gate.judge(&first, 0).unwrap(), Verdict::TakeLast);
    assert!(matches!(gate.judge(&first, 1).unwrap(), Verdict::Refuse(_)), "they stand already, as far as this batch goes");
    gate.abandon();
    assert!(matches!(gate.judge(&warns("jq"), 0).unwrap(), Verdict::Refuse(_)), "without roles nobody has a role");
    assert_eq!(gate.judge(&first, 0).unwrap(), Verdict::TakeLast);
    gate.record(0, &[first], &Tree { size: 1, root: hash_leaf(b"any") }).unwrap();
    // And so may an advisory's number.
    assert_eq!(gate.judge(&warns("jq"), 1).unwrap(), Verdict::Take);
    assert!(matches!(gate.judge(&warns("sl"), 2).unwrap(), Verdict::Refuse(_)), "number 1 is taken");
    gate.abandon();
    assert_eq!(gate.judge(&warns("sl"), 1).unwrap(), Verdict::Take, "by an entry that never was");
    assert!(matches!(gate.judge(&foreign, 2).unwrap(), Verdict::Refuse(_)));
}

#[test]
fn control_heads_name_nothing_that_the_log_does_not_hold() {
    let clock = Arc::new(ManualClock::new(START));
    let (mut gate, first, _made) = gate(clock.clone());
    assert_eq!(gate.judge(&first, 0).unwrap(), Verdict::TakeLast);
    gate.record(0, &[first], &Tree { size: 1, root: hash_leaf(b"any") }).unwrap();
    let good = ControlHead { advisory: 0, lifecycle: None, previous: None, roles: 1, sequence: 1, size: 1, time: START };
    let says =
        |head: ControlHead| entry(&sign(&Statement { subject: head.subject(), predicate: Predicate::ControlHead(head) }, &security()));
    let mut refused = |head: ControlHead, word: &str| {
        let verdict = gate.judge(&says(head), 1).unwrap();
        let Verdict::Refuse(Refusal::Unfounded(why)) = &verdict else { panic!("{word}: {verdict:?}") };
        assert!(why.contains(word), "{why}");
    };
    refused(ControlHead { time: START + 301, ..good.clone() }, "301 seconds ahead of the log's clock");
    refused(ControlHead { time: (1 << 53) - 1, ..good.clone() }, "ahead of the log's clock");
    refused(ControlHead { size: 2, ..good.clone() }, "a tree of size 2, and the log has 1");
    refused(ControlHead { roles: 2, ..good.clone() }, "roles version 2, and the log has 1");
    refused(ControlHead { advisory: 1, ..good.clone() }, "advisory 1, and the log has 0");
    refused(ControlHead { lifecycle: Some(1), ..good.clone() }, "lifecycle statement 1, and the log has 0");
    // What is judged before it in the same batch counts.
    assert_eq!(gate.judge(&entry(&sign(&warning(1, None, "jq"), &security())), 1).unwrap(), Verdict::Take);
    assert_eq!(gate.judge(&says(ControlHead { advisory: 1, size: 2, ..good.clone() }), 2).unwrap(), Verdict::Take);
    gate.abandon();
    clock.pass(1);
    assert_eq!(gate.judge(&says(ControlHead { time: START + 301, ..good }), 1).unwrap(), Verdict::Take, "clocks differ a little");
}

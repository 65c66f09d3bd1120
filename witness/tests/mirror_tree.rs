//! A mirror vouches for the tree that its copy has, and for no other of that size.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use store::disk::{Disk, Fate, Recorder};
use store::{Call, Directory, Memory, Store};
use support::upload::{Filled, Sending, add, info, lines, opened, pending};
use support::{NAME, NOW, advance, key, times};
use tally_witness::mirror::copy::{Copy, Piece};
use tally_witness::mirror::{Refused, Uploaded};
use tally_witness::{Failure, Hold, Refusal};
use tlog::mirror::Span;
use tlog::{ConsistencyProof, KeyKind, SubtreeProof, Tree, cosignature};

const COUNT: usize = 900;

fn memory() -> Arc<dyn Store> {
    Arc::new(Memory::new())
}

/// The objects below a folder.
fn kept(store: &dyn Store, folder: &str) -> BTreeMap<String, Vec<u8>> {
    store.list(folder).unwrap().into_iter().map(|key| (key.clone(), store.get(&key).unwrap().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_another_history_is_not_vouched_for() {
    let (log, fork) = (Filled::new(COUNT, usize::MAX), Filled::new(COUNT, 300));
    let store = memory();
    let mirror = opened(&log, &store);
    pending(&mirror, &log, 0, 300).await;
    lines(add(&mirror, log.body(0, 300, 9).0).await);
    let older = kept(&*store, "state");
    pending(&mirror, &log, 300, 600).await;
    lines(add(&mirror, log.body(300, 600, 9).0).await);
    drop(mirror);
    // The state is restored from a backup, the copy is not, and the log goes on differently from there.
    for (key, value) in kept(&*store, "state") {
        store.swap(&key, Some(&value), &older[&key]).unwrap();
    }
    let mirror = opened(&log, &store);
    pending(&mirror, &fork, 300, 600).await;
    assert_eq!(add(&mirror, fork.body(600, 600, 0).0).await, Err(Refused::Failure(Failure::NotSaved)));
    assert_eq!(kept(&*store, "state")[&format!("state/{}/vouched", log.log.id())], older[&format!("state/{}/vouched", log.log.id())]);
    // Nor when it has grown from there, by entries that both histories have and that are proven to be of the fork.
    pending(&mirror, &fork, 600, 700).await;
    let grown = add(&mirror, fork.body(600, 700, 9).0).await;
    assert!(matches!(grown, Err(Refused::Unproven | Refused::Failure(Failure::NotSaved))), "{grown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smaller_tree_than_the_copys_is_not_vouched_for() {
    let log = Filled::new(COUNT, usize::MAX);
    let mirror = opened(&log, &memory());
    pending(&mirror, &log, 0, 300).await;
    pending(&mirror, &log, 300, 600).await;
    assert_eq!(add(&mirror, log.body(0, 600, 2).0).await, Ok(Uploaded::Partly(info(600, 512))));
    assert_eq!(add(&mirror, log.body(300, 300, 0).0).await, Ok(Uploaded::Elsewhere(info(600, 512))));
    assert_eq!(add(&mirror, log.body(0, 300, 9).0).await, Ok(Uploaded::Elsewhere(info(600, 512))));
    times(&lines(add(&mirror, log.body(512, 600, 9).0).await), &log.log.checkpoint(600));
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_if_another_upload_has_taken_the_copy_further_meanwhile() {
    let log = Filled::new(COUNT, usize::MAX);
    let mirror = opened(&log, &memory());
    pending(&mirror, &log, 0, 300).await;
    pending(&mirror, &log, 300, 600).await;
    let (body, ends) = log.body(0, 300, 9);
    let slower = Sending::start(&mirror);
    slower.send(&body[..ends[0]]).await;
    slower.send(&body[ends[0]..ends[1]]).await;
    assert_eq!(add(&mirror, log.body(0, 600, 2).0).await, Ok(Uploaded::Partly(info(600, 512))));
    slower.send(&body[ends[1]..]).await;
    assert_eq!(slower.answer().await, Ok(Uploaded::Elsewhere(info(600, 512))));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_signed_for_a_log_that_was_held_while_its_entries_came_in() {
    let log = Filled::new(COUNT, usize::MAX);
    let store = memory();
    let mirror = opened(&log, &store);
    pending(&mirror, &log, 0, 600).await;
    let (body, ends) = log.body(0, 600, 9);
    let sending = Sending::start(&mirror);
    sending.send(&body[..ends[0]]).await;
    // Asked for: so the head was judged, and the log was not held then.
    sending.send(&body[ends[0]..ends[1]]).await;
    let mut own = log.log.signed(COUNT);
    own.note.lines.push(cosignature::cosign(&key(NAME, KeyKind::CosignatureV1, 100), &own.checkpoint, NOW).unwrap());
    let is_held = |failure: &Failure| matches!(failure, Failure::Refused(Refusal::Held(Hold::OwnNewer(_))));
    let held = advance(mirror.witness(), &support::add(0, ConsistencyProof(Vec::new()), own.note)).await;
    assert!(held.as_ref().is_err_and(is_held), "{held:?}");
    sending.send(&body[ends[1]..]).await;
    let answer = sending.answer().await;
    assert!(matches!(&answer, Err(Refused::Failure(failure)) if is_held(failure)), "{answer:?}");
    assert_eq!(store.get(&format!("state/{}/vouched", log.log.id())).unwrap(), None);
}

#[test]
fn a_copy_has_no_gaps() {
    let log = Filled::new(COUNT, usize::MAX);
    let copy = Copy::new(memory(), "x");
    let piece = |start: u64, end: u64| Piece {
        span: Span { aligned: start - start % 256, start, end },
        entries: log.entries[start as usize..end as usize].to_vec(),
        proof: SubtreeProof(Vec::new()),
    };
    assert!(copy.take(&[piece(256, 512)]).is_err());
    assert_eq!(copy.take(&[piece(0, 256)]).unwrap(), 256);
    assert!(copy.take(&[piece(0, 256), piece(512, 768)]).is_err());
    assert_eq!(copy.take(&[piece(100, 256), piece(256, 512)]).unwrap(), 512);
    assert_eq!(copy.tree().unwrap(), Tree::of(&log.log.leaves[..512]));
}

/// Reading what is held must cost nothing: anybody may ask for it again and again.
#[tokio::test(flavor = "multi_thread")]
async fn asking_for_health_writes_nothing() {
    let log = Filled::new(COUNT, usize::MAX);
    let dir = tempfile::tempdir().unwrap();
    let writes: Arc<Mutex<u64>> = Arc::default();
    let counted = Arc::clone(&writes);
    let plan = move |_, call: &Call<'_>, _: &Disk| {
        *counted.lock().unwrap() += u64::from(!matches!(call, Call::Read(_)));
        Fate::Happens
    };
    let recorder = Arc::new(Recorder::new(Disk::new(dir.path()), Box::new(plan)));
    let store: Arc<dyn Store> = Arc::new(Directory::open_watched(dir.path(), Some(recorder)).unwrap());
    let mirror = opened(&log, &store);
    pending(&mirror, &log, 0, 300).await;
    lines(add(&mirror, log.body(0, 300, 9).0).await);
    let before = *writes.lock().unwrap();
    assert!(before > 0 && mirror.incomplete().is_empty());
    assert!(mirror.newest(&log.log.id()).await.unwrap().is_some());
    assert_eq!(*writes.lock().unwrap(), before);
    // What cannot be read is not healthy.
    let vouched = dir.path().join(format!("state/{}/vouched", log.log.id()));
    std::fs::write(vouched, "x").unwrap();
    assert!(mirror.incomplete()[0].starts_with("unreadable "));
}

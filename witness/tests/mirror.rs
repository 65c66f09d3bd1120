//! A mirror takes entries in any portions, signs when it has all, serves them, and refuses what is not as specified.

mod support;

use std::sync::Arc;

use store::{Memory, Store};
use support::upload::{Filled, add, gzip, info, lines, mirror, opened, pending};
use support::{ORIGIN, Reply, TestClock, advance, own, reply, signers, times};
use tally_witness::mirror::{Mirror, Refused, Uploaded, http};
use tally_witness::server::Server;
use tally_witness::{Failure, Refusal};
use tlog::{BundleId, SignedCheckpoint, Tile, Tree, bundle};

const COUNT: usize = 1500;

fn fresh(log: &Filled) -> (Arc<dyn Store>, Arc<Mirror>) {
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let mirror = opened(log, &store);
    (store, mirror)
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_come_in_portions_and_are_vouched_for_when_all_are_there() {
    let log = Filled::new(COUNT, usize::MAX);
    let (store, mirror) = fresh(&log);
    pending(&mirror, &log, 0, 1300).await;
    assert_eq!(mirror.newest(&log.log.id()).await, Ok(None));
    // Two packages, then the rest from inside the third one's predecessor: what is here already is proven again and kept once.
    assert_eq!(add(&mirror, log.body(0, 1300, 2).0).await, Ok(Uploaded::Partly(info(1300, 512))));
    assert_eq!(mirror.newest(&log.log.id()).await, Ok(None));
    let answer = lines(add(&mirror, log.body(100, 1300, 99).0).await);
    times(&answer, &log.log.checkpoint(1300));
    // The log grows; the next upload begins inside a bundle, at a mirror that has just started.
    drop(mirror);
    let mirror = opened(&log, &store);
    pending(&mirror, &log, 1300, COUNT).await;
    let shown = SignedCheckpoint::parse(mirror.newest(&log.log.id()).await.unwrap().unwrap().as_bytes()).unwrap();
    assert_eq!(shown.checkpoint.tree.size, 1300, "the checkpoint whose entries are there");
    let answer = lines(add(&mirror, log.body(1300, COUNT as u64, 99).0).await);
    times(&answer, &log.log.checkpoint(COUNT));
    let shown = SignedCheckpoint::parse(mirror.newest(&log.log.id()).await.unwrap().unwrap().as_bytes()).unwrap();
    assert_eq!(shown.checkpoint.tree, Tree::of(&log.log.leaves));
    shown.verify_log(&log.log.keys()).unwrap();
    assert!(own().iter().all(|key| shown.note.lines.iter().any(|line| line.is_by(key))));
    served(&mirror, &log);
    // Nothing is left of what has become full.
    let partial = store.list("mirror").unwrap().into_iter().filter(|key| key.contains(".p/")).collect::<Vec<_>>();
    assert!(partial.iter().all(|key| key.contains("/005.p/") || key.contains("tile/1/000.p/")), "{partial:?}");
}

/// Every tile and bundle of the tree, as the log itself has it.
fn served(mirror: &Mirror, log: &Filled) {
    let size = log.entries.len() as u64;
    let id = log.log.id();
    for bundle_id in BundleId::all(size) {
        let bytes = mirror.object(&id, &bundle_id.path()).unwrap().unwrap();
        let first = bundle_id.index() as usize * 256;
        let entries = &log.entries[first..first + usize::from(bundle_id.width())];
        assert_eq!(bundle::parse(&bytes, bundle_id.width()).unwrap(), entries.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
    let tiles: Vec<Tile> = Tile::all(size).collect();
    let plan = tlog::plan::Plan::for_tiles(&Tree::of(&log.log.leaves), tiles.iter().copied()).unwrap();
    let fetched = plan.tiles().iter().map(|tile| (*tile, mirror.object(&id, &tile.path()).unwrap().unwrap())).collect();
    plan.finish(&fetched).expect("the tiles lead to the root");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_checkpoint_can_still_be_filled_and_time_does_not_go_back() {
    let log = Filled::new(COUNT, usize::MAX);
    let clock = TestClock::new();
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let mirror = mirror(signers(), &log.log, &store, &clock).unwrap();
    pending(&mirror, &log, 0, 300).await;
    pending(&mirror, &log, 300, 700).await;
    times(&lines(add(&mirror, log.body(0, 300, 9).0).await), &log.log.checkpoint(300));
    times(&lines(add(&mirror, log.body(300, 700, 9).0).await), &log.log.checkpoint(700));
    // Nothing smaller than what was vouched for is signed again.
    assert_eq!(add(&mirror, log.body(300, 300, 0).0).await, Ok(Uploaded::Elsewhere(info(700, 700))));
    // The same tree again, without entries: a fresh time.
    clock.set(support::NOW + 100);
    pending(&mirror, &log, 700, 700).await;
    let again = times(&lines(add(&mirror, log.body(700, 700, 0).0).await), &log.log.checkpoint(700));
    assert_eq!(again, [support::NOW + 100; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_empty_tree_is_held_by_whoever_has_nothing() {
    let log = Filled::new(3, usize::MAX);
    let (_store, mirror) = fresh(&log);
    pending(&mirror, &log, 0, 0).await;
    times(&lines(add(&mirror, log.body(0, 0, 0).0).await), &log.log.checkpoint(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_specified_is_refused() {
    let log = Filled::new(COUNT, usize::MAX);
    let (_store, mirror) = fresh(&log);
    let (whole, ends) = log.body(0, 1300, 99);
    let elsewhere = |size, next| Ok(Uploaded::Elsewhere(info(size, next)));
    assert_eq!(add(&mirror, whole.clone()).await, elsewhere(0, 0), "no checkpoint has come");
    pending(&mirror, &log, 0, 1300).await;
    assert_eq!(add(&mirror, log.body(0, 1299, 99).0).await, elsewhere(1300, 0), "not a size that is waited for");
    assert_eq!(add(&mirror, log.body(1, 1300, 99).0).await, elsewhere(1300, 0), "an entry is left out");
    let mut other = log.upload(0, 1300);
    other.origin = "example.org/other".into();
    assert_eq!(add(&mirror, other.encode().unwrap()).await, Err(Refused::Failure(Failure::Refused(Refusal::UnknownLog))));
    // Malformed heads, and bodies that end before the first package does.
    for body in [vec![], vec![0], whole[..20].to_vec(), whole[..ends[0]].to_vec(), whole[..ends[1] - 1].to_vec()] {
        assert_eq!(add(&mirror, body).await, Err(Refused::Malformed));
    }
    for broken in [
        {
            let mut body = whole.clone();
            body[1] = 0;
            body
        },
        {
            let mut body = whole.clone();
            body[2] = 0xff;
            body
        },
        {
            let upload = log.upload(0, 1300);
            let mut body = upload.encode().unwrap();
            body[17] = 0xff;
            body
        },
    ] {
        assert_eq!(add(&mirror, broken).await, Err(Refused::Malformed));
    }
    // A flipped bit in an entry, in a proof, and too many hashes.
    for (at, expected) in [(ends[0] + 40, Refused::Unproven), (ends[1] - 5, Refused::Unproven)] {
        let mut body = whole.clone();
        body[at] ^= 1;
        assert_eq!(add(&mirror, body).await, Err(expected), "{at}");
    }
    let hashes = (whole[ends[1] - 1 - 32 * 3..ends[1]].len() - 1) / 32;
    let mut body = whole.clone();
    body[ends[1] - 1 - 32 * hashes] = 64;
    assert_eq!(add(&mirror, body).await, Err(Refused::Malformed));
    assert_eq!(add(&mirror, log.body(0, 1300, 0).0).await, Err(Refused::Malformed), "no package at all");
    // What was cut off inside the second package is worth the first one.
    assert_eq!(add(&mirror, whole[..ends[2] - 1].to_vec()).await, Ok(Uploaded::Partly(info(1300, 256))));
    // A damaged third package: the second is kept.
    let mut body = whole.clone();
    body[ends[2] + 40] ^= 1;
    assert_eq!(add(&mirror, body).await, Err(Refused::Unproven));
    assert_eq!(add(&mirror, log.body(300, 1300, 1).0).await, Ok(Uploaded::Partly(info(1300, 512))));
    // Bytes after the last package.
    assert_eq!(add(&mirror, [whole.clone(), vec![0]].concat()).await, Err(Refused::Malformed));
    times(&lines(add(&mirror, whole).await), &log.log.checkpoint(1300));
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_another_history_are_not_taken() {
    let (log, fork) = (Filled::new(COUNT, usize::MAX), Filled::new(COUNT, 300));
    let (_store, mirror) = fresh(&log);
    pending(&mirror, &log, 0, 700).await;
    assert_eq!(add(&mirror, fork.body(0, 700, 99).0).await, Err(Refused::Unproven));
    times(&lines(add(&mirror, log.body(0, 700, 99).0).await), &log.log.checkpoint(700));
    let refused = advance(mirror.witness(), &fork.log.request(700, 900)).await;
    assert_eq!(refused, Err(Failure::Refused(Refusal::Inconsistent)));
    assert_eq!(add(&mirror, fork.body(700, 900, 99).0).await, Ok(Uploaded::Elsewhere(info(700, 700))));
}

/// Over HTTP: content types, statuses, gzip.
struct Running(String, reqwest::Client, Server);

impl Running {
    async fn start(mirror: Arc<Mirror>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::start(listener, http::router(mirror)).unwrap();
        Self(format!("http://{}", server.address()), reqwest::Client::new(), server)
    }
    async fn entries(&self, body: Vec<u8>, kind: &str, encoding: Option<&str>) -> Reply {
        let mut request = self.1.post(format!("{}/add-entries", self.0)).header("content-type", kind).body(body);
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        reply(request).await
    }
    async fn get(&self, path: &str) -> Reply {
        reply(self.1.get(format!("{}{path}", self.0))).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http() {
    const KIND: &str = "application/octet-stream";
    let log = Filled::new(COUNT, usize::MAX);
    let (_store, mirror) = fresh(&log);
    let running = Running::start(Arc::clone(&mirror)).await;
    let added = reply(running.1.post(format!("{}/add-checkpoint", running.0)).body(log.log.request(0, 700))).await;
    assert_eq!((added.status, added.body.as_str()), (200, ""));
    let (body, _) = log.body(0, 700, 99);
    assert_eq!(running.entries(body.clone(), "text/plain", None).await.status, 415);
    assert_eq!(running.entries(body.clone(), KIND, Some("br")).await.status, 415);
    assert_eq!(running.entries(body.clone(), KIND, Some("gzip")).await.status, 400, "not gzip");
    let conflict = running.entries(log.body(0, 0, 0).0, KIND, None).await;
    assert_eq!((conflict.status, conflict.content_type.as_str()), (409, "text/x.tlog.mirror-info"));
    assert_eq!(conflict.body, "700\n0\n\n");
    let mut lying = log.upload(0, 700);
    lying.origin = "example.org/other".into();
    assert_eq!(running.entries(lying.encode().unwrap(), KIND, None).await.status, 404);
    let mut flipped = body.clone();
    flipped[100] ^= 1;
    assert_eq!(running.entries(flipped, KIND, None).await.status, 422);
    let id = log.log.id();
    assert_eq!(running.get(&format!("/{id}/checkpoint")).await.status, 404);
    let partly = running.entries(log.body(0, 700, 1).0, KIND, None).await;
    assert_eq!((partly.status, partly.body.as_str()), (202, "700\n256\n\n"));
    let held = running.entries(gzip(&log.body(256, 700, 9).0), KIND, Some("gzip")).await;
    assert_eq!(held.status, 200, "{}", held.body);
    times(&held.body, &log.log.checkpoint(700));
    let shown = running.get(&format!("/{id}/checkpoint")).await;
    assert_eq!((shown.status, SignedCheckpoint::parse(shown.body.as_bytes()).unwrap().checkpoint.tree.size), (200, 700));
    for (path, status) in
        [("tile/0/000", 200), ("tile/entries/002.p/188", 200), ("tile/0/003", 404), ("tile/9x/000", 404), ("manifest/zz", 404)]
    {
        assert_eq!(running.get(&format!("/{id}/{path}")).await.status, status, "{path}");
    }
    assert_eq!(running.get(&format!("/{}/tile/0/000", "0".repeat(64))).await.status, 404);
    let health = running.get("/healthz").await;
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
    assert!(running.get("/metrics").await.body.contains(&format!("tally_witness_mirrored_entries{{origin=\"{ORIGIN}\"}} 700")));
    running.2.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_lost_entries_says_so_and_shows_no_checkpoint_until_it_has_them() {
    let log = Filled::new(COUNT, usize::MAX);
    let (store, mirror) = fresh(&log);
    pending(&mirror, &log, 0, 700).await;
    lines(add(&mirror, log.body(0, 700, 99).0).await);
    drop(mirror);
    let next = format!("mirror/{}/next", log.log.id());
    store.discard(&next).unwrap();
    let mirror = opened(&log, &store);
    assert_eq!(mirror.newest(&log.log.id()).await, Ok(None));
    assert_eq!(mirror.incomplete().len(), 1);
    pending(&mirror, &log, 700, 700).await;
    lines(add(&mirror, log.body(0, 700, 99).0).await);
    assert!(mirror.incomplete().is_empty() && mirror.newest(&log.log.id()).await.unwrap().is_some());
    // A damaged copy is not opened.
    drop(mirror);
    for key in [next, format!("mirror/{}/tile/entries/002.p/188", log.log.id())] {
        let old = store.get(&key).unwrap().unwrap();
        let mut flipped = old.clone();
        flipped[40] ^= 1;
        store.swap(&key, Some(&old), &flipped).unwrap();
        let refused = support::upload::mirror(signers(), &log.log, &store, &TestClock::new());
        assert!(refused.is_err_and(|problem| problem.kind() == std::io::ErrorKind::InvalidData), "{key}");
        store.swap(&key, Some(&flipped), &old).unwrap();
    }
}

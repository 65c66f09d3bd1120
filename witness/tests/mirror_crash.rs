//! A mirror that ends at any store call, and a disk that loses power at any system call: whatever tree its keys have signed, all of that
//! tree's entries are there afterwards, and the next life goes on.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use store::disk::{Disk, Fate, Image, Recorder};
use store::{Call, Directory, Faulty, Memory, Store, When};
use support::upload::{Filled, add, mirror};
use support::{NAME, TestClock, advance};
use tally_witness::Signers;
use tally_witness::mirror::{Mirror, Uploaded};
use tlog::key::SignError;
use tlog::{BundleId, Checkpoint, Growth, KeyKind, Signer, SigningKey, Tile, Tree, VerifierKey, bundle};

/// The sizes that the log publishes.
const SIZES: [usize; 4] = [0, 3, 300, 520];

/// Whether a store has every entry and every tile of a tree.
fn holds(store: &dyn Store, id: &str, tree: &Tree) -> bool {
    let object = |path: &str| store.get(&format!("mirror/{id}/{path}")).unwrap();
    let wider = |path: String, full: String| object(&path).or_else(|| object(&full));
    let mut growth = Growth::new();
    for bundle_id in BundleId::all(tree.size) {
        let Some(bytes) = wider(bundle_id.path(), bundle_id.full().path()) else { return false };
        let Ok(bytes) = bundle::cut(&bytes, bundle_id.width()) else { return false };
        bundle::leaf_hashes(bytes, bundle_id.width()).unwrap().into_iter().for_each(|leaf| growth.push(leaf, &mut |_, _| {}).unwrap());
    }
    let tiles_are_there = Tile::all(tree.size).all(|tile| wider(tile.path(), tile.full().path()).is_some());
    growth.tree() == *tree && tiles_are_there
}

/// Signs only after it has seen that the store, without any faults, holds what is being vouched for.
struct Watchful {
    key: SigningKey,
    store: Arc<dyn Store>,
    id: String,
    signed: Arc<Mutex<Vec<Tree>>>,
}

impl Signer for Watchful {
    fn key(&self) -> &VerifierKey {
        self.key.key()
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        if self.key().kind() == KeyKind::CosignatureV1 {
            let text = std::str::from_utf8(message).unwrap().splitn(3, '\n').nth(2).unwrap();
            let tree = Checkpoint::parse(text).unwrap().tree;
            assert!(holds(&*self.store, &self.id, &tree), "size {} was signed and is not held", tree.size);
            self.signed.lock().unwrap().push(tree);
        }
        self.key.sign(message)
    }
}

fn watchful(store: &Arc<dyn Store>, id: &str, signed: &Arc<Mutex<Vec<Tree>>>) -> Signers {
    let signer = |kind, seed| {
        let key = support::key(NAME, kind, seed);
        Box::new(Watchful { key, store: Arc::clone(store), id: id.to_owned(), signed: Arc::clone(signed) })
    };
    Signers { cosignature: signer(KeyKind::CosignatureV1, 100), subtree: signer(KeyKind::MlDsa44, 101) }
}

/// What a log sends, made once: signing takes most of the time here.
struct Bodies {
    log: Filled,
    checkpoints: Mutex<BTreeMap<(usize, usize), String>>,
}

impl Bodies {
    fn new() -> Self {
        Self { log: Filled::new(SIZES[3], usize::MAX), checkpoints: Mutex::default() }
    }

    fn checkpoint(&self, old: usize, new: usize) -> String {
        self.checkpoints.lock().unwrap().entry((old, new)).or_insert_with(|| self.log.log.request(old, new)).clone()
    }

    fn last(&self) -> Tree {
        Tree::of(&self.log.log.leaves)
    }
}

/// What a log does: each checkpoint, then the entries, from where the mirror says that it is. Returns the trees that were vouched for.
async fn life(mirror: &Mirror, bodies: &Bodies) -> Vec<Tree> {
    let log = &bodies.log;
    let (mut vouched, mut next) = (Vec::new(), 0);
    for steps in SIZES.windows(2) {
        for old in &SIZES[..3] {
            // One of them is what it has.
            let _ = advance(mirror.witness(), &bodies.checkpoint((*old).min(steps[1]), steps[1])).await;
        }
        for _ in 0..4 {
            match add(mirror, log.body(next, steps[1] as u64, 1).0).await {
                Ok(Uploaded::Vouched(_)) => {
                    vouched.push(log.log.checkpoint(steps[1]).tree);
                    break;
                }
                Ok(Uploaded::Partly(info) | Uploaded::Elsewhere(info)) => next = info.next.min(steps[1] as u64),
                Err(_) => {}
            }
        }
    }
    vouched
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_every_call() {
    let bodies = Bodies::new();
    let (log, clock) = (&bodies.log, TestClock::new());
    let id = log.log.id();
    let mut calls = 0;
    for call in 0.. {
        let mut reached = false;
        for when in [When::Before, When::After] {
            let kept: Arc<dyn Store> = Arc::new(Memory::new());
            let signed = Arc::default();
            let faulty = Arc::new(Faulty::new(Arc::clone(&kept), call, when));
            let store: Arc<dyn Store> = faulty.clone();
            let mut vouched = match mirror(watchful(&kept, &id, &signed), &log.log, &store, &clock) {
                Ok(mirror) => life(&mirror, &bodies).await,
                Err(_) => Vec::new(),
            };
            reached |= faulty.has_failed();
            let second = mirror(watchful(&kept, &id, &signed), &log.log, &kept, &clock).unwrap();
            let later = life(&second, &bodies).await;
            assert_eq!(later.last(), Some(&bodies.last()), "on a good disk the mirror gets to the end");
            vouched.extend(later);
            assert!(vouched.iter().all(|tree| signed.lock().unwrap().contains(tree) && holds(&*kept, &id, tree)));
        }
        calls = call;
        if !reached {
            break;
        }
    }
    println!("{calls} store calls, each failing before and after it took effect; signed and not held: 0");
    assert!(calls >= 40, "{calls}");
}

/// What was answered, and what a cut then may leave.
type Cuts = Arc<Mutex<Vec<(Vec<Tree>, Vec<Image>)>>>;

fn noting(dir: &std::path::Path, signed: &Arc<Mutex<Vec<Tree>>>) -> (Arc<Recorder>, Cuts) {
    let cuts = Cuts::default();
    let (noted, signed) = (cuts.clone(), signed.clone());
    let plan = move |_, call: &Call<'_>, disk: &Disk| {
        if !matches!(call, Call::Read(_)) {
            noted.lock().unwrap().push((signed.lock().unwrap().clone(), disk.cuts(0).into_iter().collect()));
        }
        Fate::Happens
    };
    (Arc::new(Recorder::new(Disk::new(dir), Box::new(plan))), cuts)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_power_cut_at_any_call_what_was_signed_is_held() {
    let bodies = Bodies::new();
    let (log, clock) = (&bodies.log, TestClock::new());
    let id = log.log.id();
    let dir = tempfile::tempdir().unwrap();
    let signed: Arc<Mutex<Vec<Tree>>> = Arc::default();
    let (recorder, cuts) = noting(dir.path(), &signed);
    let store: Arc<dyn Store> = Arc::new(Directory::open_watched(dir.path(), Some(recorder)).unwrap());
    let first = mirror(watchful(&store, &id, &signed), &log.log, &store, &clock).unwrap();
    assert_eq!(life(&first, &bodies).await.len(), 3);
    drop(first);
    let cuts = std::mem::take(&mut *cuts.lock().unwrap());
    let states: Vec<_> =
        cuts.into_iter().flat_map(|(signed, images)| images.into_iter().map(move |image| (signed.clone(), image))).collect();
    let most = if std::env::var("TALLY_CASES").is_ok_and(|value| value == "many") { 1_000 } else { 60 };
    let step = states.len() / most + 1;
    let mut tried = 0;
    for (signed, image) in states.iter().step_by(step) {
        let memory = std::path::Path::new("/dev/shm");
        // In memory where there is such a file system: the model says what is durable.
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        image.write(dir.path()).unwrap();
        let store: Arc<dyn Store> = Arc::new(Directory::open(dir.path()).unwrap());
        let mirror = mirror(support::signers(), &log.log, &store, &clock).unwrap();
        assert!(signed.iter().all(|tree| holds(&*store, &id, tree)), "signed before the cut, and not held after it: {signed:?}");
        assert_eq!(life(&mirror, &bodies).await.last(), Some(&bodies.last()), "it goes on");
        tried += 1;
    }
    println!("{} states after a cut, {tried} of them tried; signed and not held: 0", states.len());
    assert!(tried >= 50, "{tried}");
}

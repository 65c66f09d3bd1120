//! Whatever a log sends, properly signed: the verdict never leads from a tree to one that does not extend it, and no time goes back.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tlog::witness::AddCheckpoint;
use tlog::{Checkpoint, ConsistencyProof, Hash, KeyKind, KeyName, SignedCheckpoint, Signer, SigningKey, Tree, cosignature, hash_leaf};

#[allow(dead_code)]
#[path = "../../witness/src/decide.rs"]
mod decide;
#[allow(dead_code)]
#[path = "../../witness/src/known.rs"]
mod known;

use decide::{Keys, authenticate, cosignature_time};
use known::Known;

const ORIGIN: &str = "example.org/log";
const NOW: u64 = 1_795_219_200;
const LEAVES: usize = 40;
/// The two views are the same up to here.
const FORK: usize = 11;

static LOG: LazyLock<SigningKey> = LazyLock::new(|| key(ORIGIN, KeyKind::Ed25519, 1));
static OWN: LazyLock<SigningKey> = LazyLock::new(|| key("witness.example.org", KeyKind::CosignatureV1, 2));
static VIEWS: LazyLock<[Vec<Hash>; 2]> =
    LazyLock::new(|| [0, FORK].map(|fork| (0..LEAVES).map(|leaf| hash_leaf(&[leaf as u8, u8::from(fork > 0 && leaf >= fork)])).collect()));

fn key(name: &str, kind: KeyKind, seed: u8) -> SigningKey {
    SigningKey::from_seed(KeyName::parse(name).expect("a name"), kind, &[seed; 32]).expect("a key")
}

fn signed(view: usize, size: usize) -> SignedCheckpoint {
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), tree: Tree::of(&VIEWS[view][..size]), extensions: Vec::new() };
    let line = checkpoint.sign(&*LOG, 0).expect("it signs");
    SignedCheckpoint::new(checkpoint, vec![line])
}

fuzz_target!(|input: ([u8; 8], i16, Vec<(u8, u8, u8)>)| {
    let ([known_view, known_size, view, old, new, proof_view, proof_old, own], clock, mutations) = input;
    let size = |byte: u8| usize::from(byte) % (LEAVES + 1);
    let side = |byte: u8| usize::from(byte & 1);
    let known = (known_size != 0xff).then(|| Known { signed: signed(side(known_view), size(known_size)), time: NOW });
    let mut proof = ConsistencyProof::of(&VIEWS[side(proof_view)][..size(new)], size(proof_old)).unwrap_or(ConsistencyProof(Vec::new()));
    for (verb, position, byte) in mutations {
        let position = usize::from(position) % (proof.0.len() + 1);
        match verb % 3 {
            0 if proof.0.len() < 63 => proof.0.insert(position, hash_leaf(&[byte])),
            1 if position < proof.0.len() => drop(proof.0.remove(position)),
            _ => proof.0.get_mut(position).into_iter().for_each(|hash| *hash = VIEWS[side(byte)][usize::from(byte) % LEAVES]),
        }
    }
    let mut checkpoint = signed(side(view), size(new));
    if own & 3 == 3 {
        let line = cosignature::cosign(&*OWN, &checkpoint.checkpoint, NOW + u64::from(own >> 2)).expect("it signs");
        checkpoint.note.lines.push(line);
    }
    let tree = checkpoint.tree();
    let request = AddCheckpoint { old_size: size(old) as u64, proof, checkpoint: checkpoint.note };
    let (log_keys, own_keys) = ([LOG.key().clone()], [OWN.key().clone()]);
    let Ok(submission) = authenticate(request, Keys { log: &log_keys, own: &own_keys }) else { return };
    let now = NOW.saturating_add_signed(i64::from(clock));
    let Ok(next) = decide::decide(known.as_ref(), None, &submission, now) else { return };
    let before = known.as_ref().map_or(Tree::EMPTY, Known::tree);
    assert_eq!(next.tree(), tree);
    assert_eq!(size(old) as u64, before.size);
    assert!(tree.size >= before.size);
    // The new tree's own leaves, cut to the old size, are the old tree.
    assert_eq!(Tree::of(&VIEWS[side(view)][..before.size as usize]), before);
    assert_eq!(Ok(next.time), cosignature_time(known.as_ref().map(|known| known.time), now));
    assert!(known.is_none_or(|known| next.time >= known.time && (own & 3 != 3 || known.tree().size == tree.size)));
});

//! Properties over arbitrary values: what is encoded is read back as the same value, what is accepted encodes to the same bytes,
//! and what is signed verifies until a bit changes.

mod fixture;

use fixture::{log, public, witness};
use proptest::collection::vec;
use proptest::prelude::*;
use tlog::evidence::Evidence;
use tlog::mirror::{self, MirrorInfo, Package, Upload};
use tlog::witness::{AddCheckpoint, SignSubtree};
use tlog::{
    Checkpoint, ConsistencyProof, Hash, InclusionProof, KeyId, KeyKind, KeyName, Note, Policy, SignatureLine, SignedCheckpoint,
    Signer as _, SigningKey, SubtreeProof, TlogProof, Tree, VerifierKey, cosignature, merkle,
};

const MAX: u64 = i64::MAX as u64;

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash::new)
}

fn hashes() -> impl Strategy<Value = Vec<Hash>> {
    vec(hash(), 0..=63)
}

fn key_name() -> impl Strategy<Value = KeyName> {
    "[a-zA-Z0-9./_é語-]{1,40}".prop_map(|name| KeyName::parse(&name).unwrap())
}

fn line() -> impl Strategy<Value = SignatureLine> {
    (key_name(), any::<[u8; 4]>(), vec(any::<u8>(), 1..200)).prop_map(|(name, id, signature)| SignatureLine {
        name,
        id: KeyId(id),
        signature,
    })
}

fn note() -> impl Strategy<Value = Note> {
    ("([ -~é]{0,20}\n){1,6}", vec(line(), 1..8)).prop_map(|(text, lines)| Note { text, lines })
}

fn checkpoint() -> impl Strategy<Value = Checkpoint> {
    ("[ -~é]{1,100}", 0..=MAX, hash(), vec("[ -~é]{1,40}", 0..3)).prop_map(|(origin, size, root, extensions)| Checkpoint {
        origin,
        tree: Tree { size, root },
        extensions,
    })
}

fn signed() -> impl Strategy<Value = SignedCheckpoint> {
    (checkpoint(), vec(line(), 1..5)).prop_map(|(checkpoint, lines)| SignedCheckpoint::new(checkpoint, lines))
}

fn kind() -> impl Strategy<Value = KeyKind> {
    prop_oneof![Just(KeyKind::Ed25519), Just(KeyKind::CosignatureV1), Just(KeyKind::MlDsa44)]
}

/// Changes one bit, inserts, removes or doubles a byte: what a careless relay or a careful attacker does.
fn mutated(bytes: Vec<u8>) -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    (any::<prop::sample::Index>(), 0..4_u8, any::<u8>()).prop_map(move |(at, how, byte)| {
        let (mut changed, at) = (bytes.clone(), at.index(bytes.len()));
        match how {
            0 => changed[at] ^= 1 << (byte % 8),
            1 => changed.insert(at, byte),
            2 => drop(changed.remove(at)),
            _ => changed.insert(at, bytes[at]),
        }
        (bytes.clone(), changed)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn keys(name in key_name(), kind in kind(), seed in any::<[u8; 32]>(), message in vec(any::<u8>(), 0..100), bit in any::<prop::sample::Index>()) {
        let key = SigningKey::from_seed(name, kind, &seed).unwrap();
        let text = key.encode();
        let again = SigningKey::parse(&text).unwrap();
        prop_assert_eq!(&*again.encode(), &*text);
        prop_assert_eq!(&VerifierKey::parse(&key.key().encode()).unwrap(), key.key());
        let mut signature = again.sign(&message).unwrap();
        prop_assert!(key.key().verify(&message, &signature));
        let at = bit.index(signature.len() * 8);
        signature[at / 8] ^= 1 << (at % 8);
        prop_assert!(!key.key().verify(&message, &signature));
    }

    #[test]
    fn notes(note in note()) {
        prop_assert_eq!(Note::parse(note.encode().as_bytes()).unwrap(), note);
    }

    #[test]
    fn checkpoints(signed in signed()) {
        prop_assert_eq!(&Checkpoint::parse(&signed.checkpoint.encode()).unwrap(), &signed.checkpoint);
        prop_assert_eq!(SignedCheckpoint::parse(signed.encode().as_bytes()).unwrap(), signed);
    }

    #[test]
    fn cosignatures(checkpoint in checkpoint(), time in 1..=MAX) {
        for key in witness(1) {
            match cosignature::cosign(&key, &checkpoint, time) {
                Ok(line) => {
                    prop_assert_eq!(cosignature::verify(key.key(), &line, &checkpoint), Ok(time));
                    prop_assert_eq!(SignatureLine::parse(line.encode().trim_end_matches('\n')).unwrap(), line);
                }
                Err(_) => prop_assert!(key.key().kind() == KeyKind::MlDsa44 && !checkpoint.extensions.is_empty()),
            }
        }
    }

    #[test]
    fn proofs(extra in prop::option::of(vec(any::<u8>(), 1..50)), index in 0..=MAX, hashes in hashes(), checkpoint in signed()) {
        let proof = TlogProof { extra, index, proof: InclusionProof(hashes), checkpoint };
        prop_assert_eq!(TlogProof::parse(proof.encode().as_bytes()).unwrap(), proof);
    }

    #[test]
    fn requests(old_size in 0..=MAX, hashes in hashes(), checkpoint in note(), hash in hash(), start in 0..MAX, width in 0..100_u64) {
        let add = AddCheckpoint { old_size, proof: ConsistencyProof(hashes.clone()), checkpoint: checkpoint.clone() };
        prop_assert_eq!(AddCheckpoint::parse(add.encode().as_bytes()).unwrap(), add);
        let start = start & !0x7f;
        let end = start + width;
        prop_assume!(merkle::is_subtree(start, end));
        let sign = SignSubtree { start, end, hash, proof: SubtreeProof(hashes), checkpoint };
        prop_assert_eq!(SignSubtree::parse(sign.encode().as_bytes()).unwrap(), sign);
    }

    #[test]
    fn evidence(one in signed(), other in signed(), root in hash(), hashes in hashes()) {
        let differ = one.tree().size != other.tree().size;
        let evidence = Evidence::new(one, other, differ.then_some((root, ConsistencyProof(hashes))));
        prop_assert_eq!(Evidence::parse(evidence.encode().as_bytes()).unwrap(), evidence);
    }

    #[test]
    fn an_altered_checkpoint_never_verifies((good, changed) in mutated(fixture::signed_short(13, false).encode().into_bytes())) {
        prop_assume!(good != changed);
        let verified = SignedCheckpoint::parse(&changed).and_then(|signed| signed.verify_log(&public(&log())));
        prop_assert!(verified.is_err(), "{}", String::from_utf8_lossy(&changed));
    }

    #[test]
    fn an_altered_proof_never_verifies((good, changed) in mutated(proof().encode().into_bytes())) {
        prop_assume!(good != changed);
        let policy = Policy::parse(format!("log {}\nquorum none\n", log()[0].key().encode()).as_bytes()).unwrap();
        prop_assert!(proof().verify(&policy, &[5]).is_ok());
        if let Ok(proof) = TlogProof::parse(&changed) {
            prop_assert!(proof.verify(&policy, &[5]).is_err(), "{}", String::from_utf8_lossy(&changed));
        }
    }

    #[test]
    fn noise_is_refused_without_a_panic(bytes in vec(any::<u8>(), 0..400)) {
        prop_assert!(SignedCheckpoint::parse(&bytes).is_err() && TlogProof::parse(&bytes).is_err());
        prop_assert!(AddCheckpoint::parse(&bytes).is_err() && SignSubtree::parse(&bytes).is_err() && Evidence::parse(&bytes).is_err());
    }
}

fn proof() -> TlogProof {
    TlogProof {
        extra: None,
        index: 5,
        proof: fixture::inclusion(&fixture::leaves(13, false), 5),
        checkpoint: fixture::signed_short(13, false),
    }
}

proptest! {
    #[test]
    fn uploads_come_back_whole_and_ask_for_more_where_they_are_cut(
        origin in "[!-~é]{1,100}",
        start in 0..2000_u64,
        count in 0..600_u64,
        ticket in vec(any::<u8>(), 0..40),
        proof in hashes(),
        cut in any::<prop::sample::Index>(),
    ) {
        let upload = Upload { origin, start, end: start + count, ticket };
        let mut body = upload.encode().unwrap();
        let head = body.len();
        prop_assert_eq!(Upload::parse(&body), Ok(Some((upload.clone(), head))));
        prop_assert_eq!(Upload::parse(&body[..cut.index(head)]), Ok(None));
        let mut next = start;
        for span in upload.spans() {
            prop_assert!(span.start == next && span.aligned.is_multiple_of(mirror::PACKAGE) && span.start - span.aligned < mirror::PACKAGE);
            prop_assert!(span.end == upload.end || span.end.is_multiple_of(mirror::PACKAGE));
            next = span.end;
            let entries: Vec<Vec<u8>> = (span.start..span.end).map(|index| vec![index as u8; (index % 5) as usize]).collect();
            let package = Package { entries: entries.iter().map(Vec::as_slice).collect(), proof: SubtreeProof(proof.clone()) };
            let from = body.len();
            package.push(&mut body).unwrap();
            let bytes = &body[from..];
            prop_assert_eq!(Package::parse(&bytes[..cut.index(bytes.len())], span.count()), Ok(None));
            prop_assert_eq!(Package::parse(bytes, span.count()), Ok(Some((package, bytes.len()))));
        }
        prop_assert_eq!(next, upload.end);
    }

    #[test]
    fn what_a_mirror_says_of_itself_has_one_spelling(size in 0..=MAX, next in 0..=MAX, ticket in vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>()) {
        let info = MirrorInfo { size, next, ticket };
        let text = info.encode().into_bytes();
        prop_assert_eq!(MirrorInfo::parse(&text), Ok(info.clone()));
        let mut changed = text.clone();
        changed[at.index(text.len())] ^= 1;
        prop_assert!(MirrorInfo::parse(&changed).is_ok_and(|other| other != info && other.encode().into_bytes() == changed) || MirrorInfo::parse(&changed).is_err());
        for (from, to) in [("\n", "\r\n"), ("\n", "\n\n"), ("", "0"), ("", "+")] {
            let other = String::from_utf8(text.clone()).unwrap().replacen(from, to, 1);
            prop_assert!(MirrorInfo::parse(other.as_bytes()).is_err(), "{other:?}");
        }
    }
}

#[test]
fn uploads_that_cannot_be_are_refused() {
    let upload = Upload { origin: "o".into(), start: 5, end: 9, ticket: Vec::new() };
    let good = upload.encode().unwrap();
    // No origin, one of control characters, one too long, the end before the start, an end beyond all trees.
    let changed = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        bytes
    };
    let long = [&[1, 0][..], &[b'o'; 256]].concat();
    let empty = [&[0, 0][..], &good[3..]].concat();
    for bytes in [empty, changed(2, b'\n'), changed(2, 0xff), long, changed(18, 4), changed(11, 0x80)] {
        assert_eq!(Upload::parse(&bytes), Err(mirror::Malformed), "{bytes:?}");
    }
    assert_eq!(Upload { origin: "o".repeat(70_000), ..upload }.encode(), None);
    assert_eq!(Package::parse(&[0, 0, 64], 1), Err(mirror::Malformed));
    let too_long = Package { entries: vec![&[0; 65_536]], proof: SubtreeProof(Vec::new()) };
    assert_eq!(too_long.push(&mut Vec::new()), Err(mirror::Malformed));
    let too_deep = Package { entries: Vec::new(), proof: SubtreeProof(vec![Hash::EMPTY; 64]) };
    assert_eq!(too_deep.push(&mut Vec::new()), Err(mirror::Malformed));
}

/// Every tree of at most five witnesses in two levels of groups: what is counted here the slow way, over all pairs of sets.
#[test]
fn disjoint_quorums_agree_with_trying_all_pairs() {
    let lines: String = (1..=5).map(|n| format!("witness w{n} {}\n", witness(n)[0].key().encode())).collect();
    let mut compared = 0;
    for (a, b, c) in
        [(1, 1, 1), (1, 1, 2), (1, 2, 1), (1, 2, 2), (2, 1, 1), (2, 1, 2), (2, 2, 1), (2, 2, 2), (2, 2, 3), (3, 1, 2), (3, 2, 1), (3, 1, 3)]
    {
        for (x, y) in [("w1 w2 w3", "w4"), ("w1 w2 w3", ""), ("w1 w2", "w3 w4")] {
            let second = if y.is_empty() { String::new() } else { format!("group y {b} {y}\n") };
            let top = if y.is_empty() { "x w5" } else { "x y w5" };
            let text = format!("{lines}group x {a} {x}\n{second}group g {c} {top}\nquorum g\n");
            let Ok(policy) = Policy::parse(text.as_bytes()) else { continue };
            assert_eq!(policy.has_disjoint_quorums(), Some(slow(&policy)), "{text}");
            compared += 1;
        }
    }
    assert!(compared >= 20, "{compared}");
}

fn slow(policy: &Policy) -> bool {
    let names: Vec<_> = policy.witnesses().iter().map(|witness| witness.name.clone()).collect();
    let satisfied = |set: u32| policy.is_satisfied_by(&|name| names.iter().position(|n| n == name).is_some_and(|i| set >> i & 1 == 1));
    let all = 1_u32 << names.len();
    (0..all).any(|one| satisfied(one) && satisfied(!one & (all - 1)))
}

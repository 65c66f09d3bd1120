//! What the signed formats say together: policies over cosigned checkpoints, freshness, offline proofs, and the rules of signing.

mod fixture;

use std::time::{Duration, Instant};

use fixture::{ORIGIN, TIME, checkpoint, cosigned, inclusion, leaves, log, public, signed, signer, witness};
use tlog::key::SignError;
use tlog::merkle::ProofError;
use tlog::note::NoteError;
use tlog::policy::{Cosigned, Unsatisfied};
use tlog::tlog_proof::Unproven;
use tlog::witness::{AddCheckpoint, MAX_BODY};
use tlog::{
    Checkpoint, Hash, KeyKind, Note, Policy, SignatureLine, SignedCheckpoint, Signer, SigningKey, TlogProof, VerifierKey, cosignature,
};

/// Two keys for each witness, grouped `any`, and the given rule over the witnesses w1, w2, ...
fn policy(witnesses: u8, rule: &str) -> Policy {
    let mut text: String = log().iter().map(|key| format!("log {}\n", key.key().encode())).collect();
    for number in 1..=witnesses {
        let [v1, ml_dsa] = witness(number).map(|key| key.key().encode());
        text += &format!("witness w{number}a {v1}\nwitness w{number}b {ml_dsa}\ngroup w{number} any w{number}a w{number}b\n");
    }
    Policy::parse(format!("{text}{rule}\n").as_bytes()).unwrap()
}

fn two_of_three() -> Policy {
    policy(3, "group g 2 w1 w2 w3\nquorum g")
}

#[test]
fn a_checkpoint_needs_the_log_and_the_quorum() {
    let policy = two_of_three();
    let verified = policy.verify(&cosigned(13, &[1, 3])).unwrap();
    let names: Vec<_> = verified.into_iter().collect();
    let want = [("w1a", 1), ("w1b", 1), ("w3a", 3), ("w3b", 3)].map(|(name, later)| (name.to_string(), TIME + later));
    assert_eq!(names, want);
    assert_eq!(policy.verify(&cosigned(13, &[2])), Err(Unsatisfied::Quorum), "two keys of one witness are one witness");
    assert_eq!(policy.verify(&signed(13, false)), Err(Unsatisfied::Quorum));
    let mut without_log = cosigned(13, &[1, 2]);
    without_log.note.lines.drain(..2);
    assert_eq!(policy.verify(&without_log), Err(Unsatisfied::Log));
}

#[test]
fn any_one_log_suffices_and_only_for_its_origin() {
    let other = signer("log.example/two", KeyKind::Ed25519, 99);
    let text = format!("log {}\nlog {}\nquorum none\n", log()[0].key().encode(), other.key().encode());
    let policy = Policy::parse(text.as_bytes()).unwrap();
    assert_eq!(policy.verify(&signed(13, false)), Ok(Cosigned::new()));
    let foreign = SignedCheckpoint::new(checkpoint(13, false), vec![checkpoint(13, false).sign(&other, 0).unwrap()]);
    assert_eq!(policy.verify(&foreign), Err(Unsatisfied::Log), "another log's key does not speak for this origin");
    let none = Policy::parse(b"quorum none\n").unwrap();
    assert_eq!(none.verify(&signed(13, false)), Err(Unsatisfied::Log), "a policy without logs accepts none");
}

#[test]
fn a_known_key_that_fails_refuses_the_checkpoint() {
    let policy = two_of_three();
    for index in 0..6 {
        let mut bad = cosigned(13, &[1, 2]);
        *bad.note.lines[index].signature.last_mut().unwrap() ^= 1;
        let want = if index < 2 { Unsatisfied::Log } else { Unsatisfied::Quorum };
        assert_eq!(policy.verify(&bad), Err(want), "line {index}");
    }
    let mut unknown = cosigned(13, &[1, 2, 9]);
    *unknown.note.lines.last_mut().unwrap().signature.last_mut().unwrap() ^= 1;
    assert!(policy.verify(&unknown).is_ok(), "unknown keys are ignored, whatever they carry");
}

#[test]
fn of_two_cosignatures_by_one_key_the_newest_counts() {
    let mut twice = cosigned(13, &[1, 2]);
    let [v1, _] = witness(1);
    for later in [500, 400] {
        twice.note.lines.push(cosignature::cosign(&v1, &twice.checkpoint, TIME + later).unwrap());
    }
    assert_eq!(two_of_three().verify(&twice).unwrap()["w1a"], TIME + 500);
}

#[test]
fn freshness_is_the_largest_time_that_a_quorum_confirms() {
    let policy = two_of_three();
    let at = |times: &[(&str, u64)]| times.iter().map(|(name, time)| (name.to_string(), *time)).collect::<Cosigned>();
    let all = at(&[("w1a", 10), ("w2a", 20), ("w3a", 30)]);
    assert_eq!(policy.freshness(&all, 100), Some(20));
    assert_eq!(policy.freshness(&all, 29), Some(10), "a time beyond the latest counts as none");
    assert_eq!(policy.freshness(&all, 19), None);
    assert_eq!(policy.freshness(&at(&[("w1a", 10), ("w1b", 90), ("w2b", 50)]), 100), Some(50), "a witness's newer key counts");
    assert_eq!(policy.freshness(&at(&[("w1a", 0), ("w2a", 20)]), 100), None, "0 is no claim about time");
    assert_eq!(policy.freshness(&at(&[("w1a", 20), ("w2a", 20)]), 20), Some(20));
    assert_eq!(Policy::parse(b"quorum none\n").unwrap().freshness(&all, 100), None);
}

#[test]
fn disjoint_quorums() {
    let disjoint = |witnesses, rule| policy(witnesses, rule).has_disjoint_quorums();
    assert_eq!(disjoint(3, "group g 2 w1 w2 w3\nquorum g"), Some(false));
    assert_eq!(disjoint(4, "group g 2 w1 w2 w3 w4\nquorum g"), Some(true));
    assert_eq!(disjoint(4, "group g 3 w1 w2 w3 w4\nquorum g"), Some(false));
    assert_eq!(disjoint(2, "group g any w1 w2\nquorum g"), Some(true));
    assert_eq!(disjoint(1, "quorum w1"), Some(false), "two keys of one witness are not two quorums");
    assert_eq!(disjoint(1, "quorum none"), Some(true));
    assert_eq!(disjoint(5, "group x 2 w1 w2 w3\ngroup y any w4 w5\ngroup g all x y\nquorum g"), Some(false));
    assert_eq!(disjoint(4, "group x any w1 w2\ngroup y any w3 w4\ngroup g all x y\nquorum g"), Some(true));
    assert_eq!(disjoint(3, "group x all w1 w2\ngroup g any x w3\nquorum g"), Some(true));
    assert_eq!(disjoint(4, "group g all w1 w2\nquorum g"), Some(false), "what the quorum does not reach does not matter");
    assert_eq!(disjoint(20, &format!("group g 10{}\nquorum g", (1..=20).map(|n| format!(" w{n}")).collect::<String>())), Some(true));
}

/// Keys of one witness in different groups: only trying both sides for each such witness tells.
#[test]
fn disjoint_quorums_of_witnesses_in_several_places() {
    let keys = |count: u8| -> String {
        (1..=count)
            .flat_map(|number| {
                let [v1, ml_dsa] = witness(number).map(|key| key.key().encode());
                [format!("witness w{number}a {v1}\n"), format!("witness w{number}b {ml_dsa}\n")]
            })
            .collect()
    };
    let names = |count: u8, key: char| (1..=count).map(|number| format!(" w{number}{key}")).collect::<String>();
    let disjoint = |count: u8, rule: String| Policy::parse(format!("{}{rule}\n", keys(count)).as_bytes()).unwrap().has_disjoint_quorums();
    let split = |count, k: u8, top: &str| {
        format!("group x {k}{}\ngroup y {k}{}\ngroup g {top} x y\nquorum g", names(count, 'a'), names(count, 'b'))
    };
    assert_eq!(disjoint(3, split(3, 2, "all")), Some(false));
    assert_eq!(disjoint(3, split(3, 2, "any")), Some(false));
    assert_eq!(disjoint(2, split(2, 1, "all")), Some(true));
    assert_eq!(disjoint(16, split(16, 9, "all")), Some(false));
    assert_eq!(disjoint(17, split(17, 9, "all")), None, "too large to tell");
}

#[test]
fn a_proof_leads_from_an_entry_to_the_policy() {
    let proof = TlogProof { extra: None, index: 5, proof: inclusion(&leaves(13, false), 5), checkpoint: cosigned(13, &[1, 2]) };
    let policy = two_of_three();
    assert_eq!(proof.verify(&policy, &[5]).map(|cosigned| cosigned.len()), Ok(4));
    assert_eq!(proof.verify(&policy, &[6]), Err(Unproven::Inclusion(ProofError::WrongRoot)));
    let beyond = TlogProof { index: 13, ..proof.clone() };
    assert_eq!(beyond.verify(&policy, &[5]), Err(Unproven::Inclusion(ProofError::OutOfRange)));
    let unwitnessed = TlogProof { checkpoint: signed(13, false), ..proof };
    assert_eq!(unwitnessed.verify(&policy, &[5]), Err(Unproven::Policy(Unsatisfied::Quorum)));
}

#[test]
fn keys_sign_only_what_their_type_says() {
    let ([ed25519, ml_dsa], [v1, _]) = (log(), witness(1));
    let plain = checkpoint(13, false);
    let extended = Checkpoint { extensions: vec!["one".into()], ..plain.clone() };
    let mut note = Note::unsigned("text\n").unwrap();
    assert_eq!(note.sign(&v1), Err(SignError));
    assert_eq!(note.sign(&ml_dsa), Err(SignError));
    assert_eq!(plain.sign(&v1, TIME), Err(SignError), "type 04 is for witnesses");
    assert_eq!(extended.sign(&ml_dsa, TIME), Err(SignError), "type 06 does not cover extensions");
    assert_eq!(cosignature::cosign(&ed25519, &plain, TIME), Err(SignError));
    assert_eq!(cosignature::cosign(&v1, &plain, 0), Err(SignError), "a cosignature needs its time");
    assert_eq!(cosignature::cosign(&v1, &plain, 1 << 63), Err(SignError));
    let subtree = |key: &SigningKey, start, end| cosignature::sign_subtree(key, ORIGIN, start, end, &Hash::EMPTY);
    assert_eq!(subtree(&v1, 0, 4), Err(SignError));
    assert_eq!(subtree(&ml_dsa, 1, 3), Err(SignError), "not a subtree");
    assert!(subtree(&ml_dsa, 4, 8).is_ok());
    assert_eq!(cosignature::sign_subtree(&ml_dsa, "", 4, 8, &Hash::EMPTY), Err(SignError));
    assert_eq!(cosignature::sign_subtree(&ml_dsa, &"o".repeat(256), 4, 8, &Hash::EMPTY), Err(SignError));
}

#[test]
fn subtree_signatures_are_bound_to_all_that_they_say() {
    let [_, ml_dsa] = witness(1);
    let line = cosignature::sign_subtree(&ml_dsa, ORIGIN, 4, 8, &Hash::EMPTY).unwrap();
    let verify = |origin: &str, start, end, hash: &Hash| cosignature::verify_subtree(ml_dsa.key(), &line, origin, start, end, hash);
    use cosignature::CosignatureError::{BadSignature, Malformed, Unsupported, WrongKey};
    assert_eq!(verify(ORIGIN, 4, 8, &Hash::EMPTY), Ok(()));
    assert_eq!(verify("log.example/two", 4, 8, &Hash::EMPTY), Err(BadSignature));
    assert_eq!(verify(ORIGIN, 4, 7, &Hash::EMPTY), Err(BadSignature));
    assert_eq!(verify(ORIGIN, 0, 8, &Hash::EMPTY), Err(BadSignature));
    assert_eq!(verify(ORIGIN, 4, 8, &Hash::new([0; 32])), Err(BadSignature));
    assert_eq!(verify(ORIGIN, 3, 8, &Hash::EMPTY), Err(Unsupported));
    let timed = cosignature::cosign(&ml_dsa, &checkpoint(8, false), TIME).unwrap();
    let tree = checkpoint(8, false).tree;
    assert_eq!(cosignature::verify_subtree(ml_dsa.key(), &timed, ORIGIN, 0, 8, &tree.root), Err(Malformed), "it carries a time");
    let [v1, _] = witness(1);
    assert_eq!(cosignature::verify_subtree(v1.key(), &timed, ORIGIN, 0, 8, &tree.root), Err(WrongKey));
}

/// A signer behind which something is broken.
struct Broken(VerifierKey);
impl Signer for Broken {
    fn key(&self) -> &VerifierKey {
        &self.0
    }
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(vec![0; 63])
    }
}

#[test]
fn a_broken_signer_is_noticed() {
    let broken = |key: &SigningKey| Broken(key.key().clone());
    let ([ed25519, ml_dsa], [v1, _]) = (log(), witness(1));
    assert_eq!(checkpoint(13, false).sign(&broken(&ed25519), 0), Err(SignError));
    assert_eq!(checkpoint(13, false).sign(&broken(&ml_dsa), 0), Err(SignError));
    assert_eq!(cosignature::cosign(&broken(&v1), &checkpoint(13, false), TIME), Err(SignError));
    assert_eq!(Note::unsigned("text\n").unwrap().sign(&broken(&ed25519)), Err(SignError));
}

#[test]
fn limits_come_before_work() {
    let line = SignatureLine::by(log()[0].key(), vec![0; 64]).encode();
    let note = |text: usize| format!("{}\n\n{line}", "a".repeat(text));
    let room = Note::MAX_BYTES - line.len() - 2;
    assert!(Note::parse(note(room).as_bytes()).is_ok());
    assert_eq!(Note::parse(note(room + 1).as_bytes()), Err(NoteError::TooLarge));
    assert_eq!(Note::unsigned(&format!("{}\n", "a".repeat(Note::MAX_BYTES))), Err(NoteError::TooLarge));
    assert!(SignatureLine::parse(&line.repeat(20_000)).is_err());
    assert!(Checkpoint::parse(&"a\n".repeat(Note::MAX_BYTES)).is_err());
    let started = Instant::now();
    for large in [vec![b'\n'; 40_000_000], vec![b'a'; 40_000_000], "\u{2014} a 12345678\n".repeat(2_000_000).into_bytes()] {
        assert_eq!(Note::parse(&large), Err(NoteError::TooLarge));
        assert!(TlogProof::parse(&large).is_err() && AddCheckpoint::parse(&large).is_err());
        assert!(Policy::parse(&large).is_err() && tlog::evidence::Evidence::parse(&large).is_err());
    }
    println!("refusing large inputs took {:?}", started.elapsed().max(Duration::from_micros(1)));
    let largest = format!("old 0\n\n{}", note(room));
    assert!(largest.len() <= MAX_BODY && AddCheckpoint::parse(largest.as_bytes()).is_ok());
}

/// R is the identity and S = k * a, made for this message: the bare equation holds, strict verification refuses R.
#[test]
fn a_signature_with_a_point_of_small_order_is_refused() {
    let s = "95c0fdcc54fccad1f2b8bc9b96aa6837c82f86349e6576ad29ca3ece7b7ea905";
    let signature = [&[1_u8][..], &[0; 31], &hex::decode(s).unwrap()].concat();
    let key = SigningKey::from_seed(fixture::name("a"), KeyKind::Ed25519, &[1; 32]).unwrap();
    let lax = ed25519_dalek::VerifyingKey::from_bytes(key.key().public().try_into().unwrap()).unwrap();
    let parsed = ed25519_dalek::Signature::from_slice(&signature).unwrap();
    assert!(ed25519_dalek::Verifier::verify(&lax, b"message", &parsed).is_ok(), "the vector is what it claims to be");
    assert!(!key.key().verify(b"message", &signature));
}

#[test]
fn errors_speak_to_people() {
    let error = Policy::parse(b"\nquorum x\n").unwrap_err();
    assert_eq!(error.to_string(), "line 2: the quorum is not defined on an earlier line");
    assert_eq!(VerifierKey::parse("x").unwrap_err().to_string().split(';').count(), 2, "what is wrong; what to do");
    assert_eq!(signed(13, false).verify_log(&[]).unwrap_err().to_string(), "no known key signed");
}

#[test]
fn secrets_are_not_shown() {
    let [key, _] = log();
    assert!(!format!("{key:?}").contains(&key.encode()[40..]));
    assert_eq!(format!("{key:?}"), format!("SigningKey({ORIGIN}+{} Ed25519)", key.key().id()));
}

#[test]
fn log_keys_do_not_pass_as_witnesses_nor_witnesses_as_logs() {
    let cosigned = cosigned(13, &[1]);
    assert!(cosigned.verify_log(&public(&log())).is_ok());
    let [v1, ml_dsa] = witness(1);
    assert!(cosigned.verify_log(&public(&[v1])).is_err(), "type 04 is no log key");
    assert!(cosigned.verify_log(&public(&[ml_dsa])).is_ok(), "type 06 tells them apart by name: the caller chooses the keys");
    assert!(cosigned.verify_log(&[]).is_err());
    let twice = [public(&log()), public(&log())].concat();
    assert_eq!(cosigned.verify_log(&twice), Err(tlog::checkpoint::CheckpointError::Note(NoteError::AmbiguousKey)));
    assert_eq!(cosigned.expect_origin("x"), Err(tlog::checkpoint::CheckpointError::WrongOrigin));
}

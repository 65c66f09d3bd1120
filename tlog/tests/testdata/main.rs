//! Our own vectors: `testdata/FORMAT/NAME.txt`, where the first line is the verdict and the rest is what is judged.
//!
//! `cases.rs` says what the files hold and why. `TALLYSTICK_BLESS=1` writes them again; without it every file must be there, and
//! be the same, and get the verdict that its first line states.

mod cases;
#[path = "../fixture/mod.rs"]
mod fixture;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fixture::{log, public, witness};
use tlog::evidence::Evidence;
use tlog::policy::PolicyError;
use tlog::witness::{AddCheckpoint, SignSubtree};
use tlog::{Checkpoint, Note, Policy, SignatureLine, SignedCheckpoint, SigningKey, TlogProof, VerifierKey, cosignature};

/// Each format, and the fuzz target that begins from its good cases (`testdata/fuzz/TARGET/`, without the verdict).
const FORMATS: [(&str, &str); 11] = [
    ("vkey", "vkey"),
    ("skey", "skey"),
    ("line", "cosignature_line"),
    ("note", "note"),
    ("checkpoint", "checkpoint"),
    ("cosignature", "checkpoint"),
    ("proof", "tlog_proof"),
    ("policy", "policy"),
    ("add-checkpoint", "add_checkpoint"),
    ("sign-subtree", "sign_subtree"),
    ("evidence", "evidence"),
];

fn folder(format: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata")).join(format)
}

#[test]
fn files_hold_what_the_cases_say() {
    let bless = std::env::var_os("TALLYSTICK_BLESS").is_some();
    for (format, target) in FORMATS {
        let mut names = BTreeSet::new();
        for case in cases::of(format) {
            let path = folder(format).join(format!("{}.txt", case.name));
            let bytes = [case.verdict.as_bytes(), b"\n", &case.bytes].concat();
            hold(&path, &bytes, bless);
            if case.verdict.starts_with("accept") {
                hold(&folder("fuzz").join(target).join(format!("{format}-{}", case.name)), &case.bytes, bless);
            }
            assert!(names.insert(format!("{}.txt", case.name)), "{}: two cases of one name", case.name);
        }
        let files: BTreeSet<_> = fs::read_dir(folder(format)).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(files, names, "{format}: a file without a case");
    }
}

fn hold(path: &Path, bytes: &[u8], bless: bool) {
    if bless {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    assert!(fs::read(path).unwrap_or_default() == bytes, "{} differs: TALLYSTICK_BLESS=1 writes it", path.display());
}

#[test]
fn every_file_gets_its_verdict() {
    for (format, _) in FORMATS {
        let (mut accepted, mut refused, mut wrong) = (0, 0, Vec::new());
        for file in fs::read_dir(folder(format)).unwrap() {
            let path = file.unwrap().path();
            let whole = fs::read(&path).unwrap();
            let end = whole.iter().position(|byte| *byte == b'\n').unwrap();
            let (verdict, bytes) = (std::str::from_utf8(&whole[..end]).unwrap(), &whole[end + 1..]);
            let judged = judge(format, bytes);
            if judged != verdict {
                wrong.push(format!("{}: {judged}", path.display()));
            }
            if verdict.starts_with("accept") { accepted += 1 } else { refused += 1 }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        println!("testdata/{format}: {accepted} accepted, {refused} refused");
        assert!(accepted > 0 && refused > 0, "{format}: both verdicts must be there");
    }
}

/// A small fuzzer over all files, for every run of the tests: what is accepted must still encode to the same bytes.
#[test]
fn altered_files_are_refused_or_encode_to_themselves() {
    let mut random = 1_u64;
    let mut below = |limit: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap() % limit
    };
    // Cosignatures are judged only in checkpoints that parse.
    for (format, _) in FORMATS.iter().filter(|(format, _)| *format != "cosignature") {
        let (mut accepted, mut refused) = (0, 0);
        for case in cases::of(format).into_iter().filter(|case| (1..20_000).contains(&case.bytes.len())) {
            for _ in 0..20 {
                let (mut bytes, at) = (case.bytes.clone(), below(case.bytes.len()));
                match below(5) {
                    0 => bytes[at] ^= 1 << below(8),
                    1 => bytes.insert(at, [b'\n', b' ', b'0', b'+', b'=', b'A', 0, 0xe2][below(8)]),
                    2 => drop(bytes.remove(at)),
                    3 => bytes.truncate(at),
                    _ => bytes.extend_from_within(at..),
                }
                if matches!(*format, "vkey" | "skey" | "line") && std::str::from_utf8(&bytes).is_err() {
                    continue;
                }
                let judged = judge(format, &bytes);
                assert!(!judged.contains("accept, but"), "{format} {}: {judged}: {:?}", case.name, String::from_utf8_lossy(&bytes));
                if judged == "accept" { accepted += 1 } else { refused += 1 }
            }
        }
        println!("{format}: {accepted} altered files accepted, {refused} refused");
        assert!(refused > accepted, "{format}: altering must matter");
    }
}

/// The verdict as a file's first line states it. What is accepted must encode to the same bytes.
fn judge(format: &str, bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else { return judge_bytes(format, bytes) };
    match format {
        "vkey" => verdict(VerifierKey::parse(text), |key| key.encode() == text),
        "skey" => verdict(SigningKey::parse(text), |key| *key.encode() == text),
        "line" => verdict(SignatureLine::parse(text), |line| line.encode() == format!("{text}\n")),
        "checkpoint" if !text.contains("\n\n") => verdict(Checkpoint::parse(text), |checkpoint| checkpoint.encode() == text),
        _ => judge_bytes(format, bytes),
    }
}

fn judge_bytes(format: &str, bytes: &[u8]) -> String {
    let same = |text: String| text.as_bytes() == bytes;
    match format {
        "note" => {
            let parsed = Note::parse(bytes).and_then(|note| note.verify(&public(&log())).map(|_| note));
            verdict(parsed, |note| same(note.encode()))
        }
        "checkpoint" => {
            let parsed = SignedCheckpoint::parse(bytes).and_then(|signed| signed.verify_log(&public(&log())).map(|()| signed));
            verdict(parsed, |signed| same(signed.encode()))
        }
        "cosignature" => judge_cosignature(bytes),
        "proof" => verdict(TlogProof::parse(bytes), |proof| same(proof.encode())),
        "policy" => match Policy::parse(bytes) {
            Ok(policy) if Policy::parse(policy.encode().as_bytes()).as_ref() == Ok(&policy) => "accept".into(),
            Ok(_) => "accept, but another policy after encoding".into(),
            Err(PolicyError { line, reason }) => format!("refuse line {line}: {reason}"),
        },
        "add-checkpoint" => verdict(AddCheckpoint::parse(bytes), |request| same(request.encode())),
        "sign-subtree" => verdict(SignSubtree::parse(bytes), |request| same(request.encode())),
        "evidence" => {
            let parsed = Evidence::parse(bytes).and_then(|evidence| evidence.verify(&public(&log())).map(|()| evidence));
            verdict(parsed, |evidence| same(evidence.encode()))
        }
        other => panic!("no judge for {other}"),
    }
}

/// The last line of the note, judged as witness 1's cosignature by the key that it names, else by its key of type 04.
fn judge_cosignature(bytes: &[u8]) -> String {
    let signed = SignedCheckpoint::parse(bytes).unwrap();
    let line = signed.note.lines.last().unwrap();
    let [v1, ml_dsa] = witness(1);
    let mut keys = public(&[ml_dsa]);
    keys.extend(public(&log()));
    let key = keys.into_iter().find(|key| line.is_by(key)).unwrap_or(public(&[v1]).remove(0));
    match cosignature::verify(&key, line, &signed.checkpoint) {
        Ok(time) => format!("accept {time}"),
        Err(error) => format!("refuse {error:?}"),
    }
}

fn verdict<T, E: std::fmt::Debug>(parsed: Result<T, E>, same: impl Fn(&T) -> bool) -> String {
    match parsed {
        Ok(value) if same(&value) => "accept".into(),
        Ok(_) => "accept, but other bytes after encoding".into(),
        Err(error) => format!("refuse {error:?}"),
    }
}

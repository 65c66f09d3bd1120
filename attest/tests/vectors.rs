//! Our own vectors in `testdata/`: each file begins with the verdict that the rest must get, `accept` or `refuse REASON`.
//! `cargo test -p attest --test write_vectors -- --ignored` wrote them once; formats are frozen, so they stay as they are.

mod common;

use std::fmt::Debug;
use std::fs;
use std::path::Path;

use attest::judge::Refusal;
use attest::roles::{RolesChain, SignedRoles};
use attest::{Bundle, Envelope, Hash, Judge, Manifest, Purl, Roles, Scope, Statement};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::testdata;

fn verdict<T, E: Debug>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "accept".to_owned(),
        Err(error) => format!("refuse {error:?}"),
    }
}

/// Runs all files of a folder; at least `least` of them must be there, and both verdicts.
fn run(folder: &str, least: usize, judge: impl Fn(&[u8]) -> String) {
    let mut accepted = 0;
    let mut files: Vec<_> = fs::read_dir(testdata().join(folder)).expect("the folder").map(|file| file.expect("a file").path()).collect();
    files.sort();
    for file in &files {
        let bytes = fs::read(file).expect("readable");
        let end = bytes.iter().position(|byte| *byte == b'\n').expect("a verdict");
        let expected = String::from_utf8_lossy(&bytes[..end]).into_owned();
        assert_eq!(judge(&bytes[end + 1..]), expected, "{}", file.display());
        accepted += usize::from(expected == "accept");
    }
    println!("{folder}: {} vectors, {accepted} accepted", files.len());
    assert!(files.len() >= least && accepted > 0 && accepted < files.len(), "{folder}: {} vectors", files.len());
}

#[test]
fn envelopes() {
    run("envelope", 12, |bytes| {
        verdict(Envelope::parse(bytes).and_then(|envelope| {
            assert_eq!(envelope.encode(), bytes);
            envelope.verify()
        }))
    });
}

#[test]
fn statements() {
    run("statement", 25, |bytes| verdict(Statement::parse(bytes).map(|statement| assert_eq!(statement.encode(), bytes))));
}

#[test]
fn manifests() {
    run("manifest", 20, |bytes| verdict(Manifest::parse(bytes).map(|manifest| assert_eq!(manifest.encode(), bytes))));
}

#[test]
fn roles() {
    run("roles", 15, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        match Roles::parse(&text) {
            Ok(roles) => {
                assert_eq!(roles.encode(), text);
                "accept".to_owned()
            }
            Err(error) => format!("refuse {error}"),
        }
    });
}

#[test]
fn bundles() {
    run("proof-bundle", 10, |bytes| {
        verdict(Bundle::parse(bytes).and_then(|bundle| {
            assert_eq!(bundle.encode(), bytes);
            bundle.verify()
        }))
    });
}

/// `accept URL` or `refuse REASON URL`, one a line.
fn run_lines<E: Debug>(file: &str, parse: impl Fn(&str) -> Result<String, E>) {
    let text = fs::read_to_string(testdata().join(file)).expect("the file");
    let mut count = 0;
    for line in text.lines() {
        let (words, url) = line.rsplit_once(' ').expect("a verdict and a value");
        assert_eq!(verdict(parse(url).map(|written| assert_eq!(written, url))), words, "{url}");
        count += 1;
    }
    assert!(count >= 15, "{file}: {count} lines");
}

#[test]
fn package_urls_and_scopes() {
    run_lines("purl/urls.txt", |url| Purl::parse(url).map(|purl| purl.to_string()));
    run_lines("purl/scopes.txt", |scope| Scope::parse(scope).map(|scope| scope.to_string()));
}

/// Documents and signatures made once by the stock `minisign`. `steps.txt`: `DOCUMENT SIGNER,SIGNER VERDICT`, in the order in
/// which a chain that is pinned to the first document meets them.
#[test]
fn a_chain_of_roles_signed_by_minisign() {
    let folder = testdata().join("roles-chain");
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("the file");
    let mut chain = RolesChain::new(Hash::digest(read("roles-1.txt").as_bytes()));
    let steps = read("steps.txt");
    for (index, step) in steps.lines().enumerate() {
        let mut words = step.splitn(3, ' ');
        let (document, signers, expected) =
            (words.next().expect("a document"), words.next().expect("signers"), words.next().expect("a verdict"));
        let minisigs: Vec<String> = signers.split(',').map(|signer| read(&format!("{document}.{signer}.minisig"))).collect();
        let known = chain.current().map(|current| current.roles.foundation.clone());
        let signed = SignedRoles::assemble(&read(document), &minisigs, known.as_ref()).expect("assembled");
        assert_eq!(verdict(chain.push(index as u64, &signed)), expected, "step {}", index + 1);
    }
    assert_eq!((steps.lines().count(), chain.versions().len()), (6, 3));
}

/// `pin HASH`, then leaf after leaf: `accept BASE64` or `refuse TEXT: BASE64`.
#[test]
fn scenarios() {
    let mut count = 0;
    for file in fs::read_dir(testdata().join("judge")).expect("the folder") {
        let path = file.expect("a file").path();
        scenario(&path);
        count += 1;
    }
    assert!(count >= 2, "{count} scenarios");
}

fn scenario(path: &Path) {
    let text = fs::read_to_string(path).expect("readable");
    let mut lines = text.lines();
    let pin = lines.next().and_then(|line| Hash::from_hex(line.strip_prefix("pin ")?)).expect("a pin");
    let mut judge = Judge::new(pin);
    for (index, line) in lines.enumerate() {
        let (expected, leaf) = line.rsplit_once(' ').expect("a verdict and a leaf");
        let leaf = STANDARD.decode(leaf).expect("base64");
        let said = match judge.admit_bytes(index as u64, &leaf) {
            Ok(_) => "accept".to_owned(),
            Err(refusal) => refused(&refusal),
        };
        assert_eq!(said, expected, "{}, leaf {index}", path.display());
    }
}

fn refused(refusal: &Refusal) -> String {
    format!("refuse {refusal}:")
}

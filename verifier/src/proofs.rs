//! What others hand over, verified without believing anything of it: proofs of entries, evidence against a log, signed verdicts.

use std::path::{Path, PathBuf};

use tlog::evidence::Evidence;
use tlog::{TlogProof, VerifierKey};

use crate::config::Config;
use crate::exit;
use crate::failure::Failure;
use crate::setup::load_policy;
use crate::time;

/// That an entry is in the log.
///
/// # Errors
/// If that is not proven.
pub fn prove(config: &Path, policy: Option<PathBuf>, proof: &Path, entry: &Path) -> Result<u8, Failure> {
    let policy = match policy {
        Some(policy) => load_policy(&policy)?,
        None => load_policy(&Config::load(config)?.witness_policy)?,
    };
    let text = client::cli::read_limited(proof, TlogProof::MAX_BYTES as u64)?;
    let entry = client::cli::read_limited(entry, tlog::bundle::MAX_ENTRY as u64)?;
    let proof = TlogProof::parse(&text).map_err(|_| Failure::Unproven(format!("{}: not a tlog-proof", proof.display())))?;
    let cosigned = proof.verify(&policy, &entry).map_err(|error| Failure::Unproven(format!("the proof proves nothing: {error:?}")))?;
    let checkpoint = &proof.checkpoint.checkpoint;
    println!(
        "proven: entry {} of {}, in a tree of {} entries cosigned with {} witness keys",
        proof.index,
        checkpoint.origin,
        checkpoint.tree.size,
        cosigned.len()
    );
    Ok(exit::CLEAN)
}

/// That a log signed two histories.
///
/// # Errors
/// If that is not proven.
pub fn evidence(file: &Path, keys: &[String]) -> Result<u8, Failure> {
    let keys = parse_keys(keys)?;
    let bytes = client::cli::read_limited(file, Evidence::MAX_BYTES as u64)?;
    let evidence = Evidence::parse(&bytes).map_err(|_| Failure::Unproven(format!("{}: not an evidence file", file.display())))?;
    evidence.verify(&keys).map_err(|error| Failure::Unproven(format!("{}: {}", file.display(), unproven(error))))?;
    let (smaller, larger) = (evidence.smaller.tree(), evidence.larger.tree());
    println!(
        "proven: {} signed two histories that exclude each other: {} entries with root {} and {} entries with root {}",
        evidence.smaller.checkpoint.origin, smaller.size, smaller.root, larger.size, larger.root
    );
    Ok(exit::CLEAN)
}

fn unproven(error: tlog::evidence::EvidenceError) -> &'static str {
    match error {
        tlog::evidence::EvidenceError::NotSigned => "the checkpoints are not both signed by the key",
        tlog::evidence::EvidenceError::Unproven => "the two checkpoints do not exclude each other",
        _ => "not an evidence file",
    }
}

/// What a machine says of itself, by its key; the status is that of the verdict.
///
/// # Errors
/// If nobody signed it who may.
pub fn verdict(file: &Path, keys: &[String], max_age: Option<&str>) -> Result<u8, Failure> {
    let span = |text: &str| time::parse_span(text).ok_or_else(|| Failure::Usage(format!("--max-age {text} is not a span such as 2d")));
    crate::verdict::read::read(file, &parse_keys(keys)?, max_age.map(span).transpose()?, time::now())
}

fn parse_keys(keys: &[String]) -> Result<Vec<VerifierKey>, Failure> {
    let parse = |text: &String| VerifierKey::parse(text).map_err(|error| Failure::Usage(format!("--key {text}: {error}")));
    keys.iter().map(parse).collect()
}

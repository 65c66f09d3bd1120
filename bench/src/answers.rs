//! Are the answers true? A sample of each run is compared with what the log holds; a proof is verified as a client would.

use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tlog::{BundleId, Hash, InclusionProof, Policy, SignedCheckpoint, TlogProof, bundle, hash_leaf};

use crate::load::Outcome;
use crate::requests::{Raw, Signed};

/// Each index that `POST /add` answered leads to the entry that was sent, in the log's bundles. Returns how many were compared.
///
/// # Errors
/// If one does not.
pub fn check_raw(dir: &Path, requests: &Raw, outcome: &Outcome) -> anyhow::Result<usize> {
    let size = SignedCheckpoint::parse(&std::fs::read(dir.join("public/checkpoint"))?)?.tree().size;
    for (number, answer) in &outcome.samples {
        let index: u64 = std::str::from_utf8(&answer.body)?.trim_end().parse().context("an index")?;
        let id = BundleId::holding(index, size).with_context(|| format!("index {index} of a tree of {size}"))?;
        let bytes = std::fs::read(dir.join("public").join(id.path()))?;
        let entries = bundle::parse(&bytes, id.width())?;
        let found = entries.get(usize::try_from(index % 256)?).copied();
        anyhow::ensure!(found == Some(&requests.entry(*number)), "leaf {index} is not the entry that was answered with it");
    }
    Ok(outcome.samples.len())
}

/// Each answer of `POST /entries` proves the entry that was sent, under the witnesses' quorum.
///
/// # Errors
/// If one does not.
pub fn check_proofs(policy: &Policy, requests: &Signed, outcome: &Outcome) -> anyhow::Result<usize> {
    for (number, answer) in &outcome.samples {
        let proof = TlogProof::parse(&answer.body)?;
        let entry = requests.of(*number).first().context("an entry")?;
        proof.verify(policy, entry)?;
    }
    Ok(outcome.samples.len())
}

/// One line of a batch's answer.
#[derive(Deserialize)]
struct Line {
    index: u64,
    proof: Vec<String>,
}

/// The first line of a batch's answer.
#[derive(Deserialize)]
struct First {
    checkpoint: String,
}

/// Each answer of `POST /entries/batch` proves every entry that was sent, under the witnesses' quorum.
///
/// # Errors
/// If one does not.
pub fn check_batches(policy: &Policy, requests: &Signed, outcome: &Outcome) -> anyhow::Result<usize> {
    let mut checked = 0;
    for (number, answer) in &outcome.samples {
        let mut lines = std::str::from_utf8(&answer.body)?.lines();
        let first: First = serde_json::from_str(lines.next().context("a first line")?)?;
        let checkpoint = SignedCheckpoint::parse(first.checkpoint.as_bytes())?;
        policy.verify(&checkpoint)?;
        let entries = requests.of(*number);
        let answers = lines.map(serde_json::from_str).collect::<Result<Vec<Line>, _>>()?;
        anyhow::ensure!(answers.len() == entries.len(), "{} lines for {} entries", answers.len(), entries.len());
        for (entry, line) in entries.iter().zip(answers) {
            let path: Option<Vec<Hash>> =
                line.proof.iter().map(|hash| Some(Hash::new(STANDARD.decode(hash).ok()?.try_into().ok()?))).collect();
            InclusionProof(path.context("base64 hashes")?).verify(&checkpoint.tree(), line.index, &hash_leaf(entry))?;
            checked += 1;
        }
    }
    Ok(checked)
}

//! `accept-state`: the operator's word that a state is the newest there is, `specs/witness.md` section 6.

use anyhow::Context as _;
use client::cli::Advice;
use std::sync::Arc;
use store::{Store, Swap};
use tlog::{SignedCheckpoint, VerifierKey};

use crate::decide::{cosignature_time, is_newer, own_cosignatures};
use crate::state::States;
use crate::{Hold, Known, Log};

/// Accepts the state of one log: the stored record, or a checkpoint with an own cosignature that is newer. Returns what is in force.
///
/// `shown` are checkpoints that the operator has collected; the one that holds the log, if any, is among the candidates by itself.
///
/// # Errors
/// If a checkpoint is not this log's or not cosigned by this witness, or if two cosigned ones of one size have different roots.
pub fn accept(
    store: Arc<dyn Store>,
    log: &Log,
    own: &[VerifierKey],
    shown: &[SignedCheckpoint],
    now: u64,
) -> anyhow::Result<Option<Known>> {
    let states = States::new(store);
    let id = log.id();
    let stored = states.load(&id, own).context("reading the state")?;
    let mut candidates: Vec<Known> = shown.iter().map(|signed| cosigned(signed, log, own)).collect::<Result<_, _>>()?;
    match &stored.hold {
        Some(Hold::OwnNewer(signed)) => candidates.push(cosigned(signed, log, own)?),
        Some(Hold::Damaged) if candidates.is_empty() => return Err(damaged(log)),
        _ => {}
    }
    let mut known = stored.known.clone();
    for candidate in candidates {
        if known.as_ref().is_some_and(|known| known.tree().size == candidate.tree().size && known.tree().root != candidate.tree().root) {
            return Err(two_trees(log, candidate.tree().size));
        }
        if is_newer(known.as_ref(), candidate.tree(), candidate.time) {
            known = Some(candidate);
        }
    }
    let Some(known) = known else { return Ok(None) };
    cosignature_time(Some(known.time), now).map_err(|error| clock(&error))?;
    if stored.known.as_ref() != Some(&known) {
        let swapped = states.save(&id, stored.raw.as_deref(), &known.encode()).context("saving the state")?;
        anyhow::ensure!(swapped == Swap::Done, "the state was changed by somebody else");
    }
    states.release(&id).context("removing what held the log")?;
    Ok(Some(known))
}

/// The record that an own cosignature stands for: this witness checked consistency before it made it.
fn cosigned(signed: &SignedCheckpoint, log: &Log, own: &[VerifierKey]) -> anyhow::Result<Known> {
    let of_this_log = signed.checkpoint.origin == log.origin && signed.checkpoint.extensions.is_empty();
    if !of_this_log || signed.verify_log(&log.keys).is_err() {
        return Err(
            Advice::new(format!("the checkpoint is not one of {}", log.origin), "give --log and --checkpoint of the same log").into()
        );
    }
    // Time 0 marks subtree signatures; they say nothing about when.
    let time = own_cosignatures(signed, own).into_iter().map(|(time, _)| time).max();
    let time = time.ok_or_else(|| {
        Advice::new(
            "the checkpoint carries no cosignature of this witness",
            "take it from the log, a monitor or a mirror, with all its signature lines",
        )
    })?;
    let mut signed = signed.clone();
    signed.note.lines.retain(|line| log.keys.iter().any(|key| line.is_by(key)));
    Ok(Known { signed, time })
}

fn damaged(log: &Log) -> anyhow::Error {
    let what = format!("the state of {} is damaged", log.origin);
    Advice::new(what, "give the newest checkpoint that this witness has cosigned: --checkpoint FILE").into()
}

fn two_trees(log: &Log, size: u64) -> anyhow::Error {
    let what = format!("this witness has cosigned two trees of {} at size {size}", log.origin);
    Advice::new(what, "its word about this log is worth nothing any more: make a new witness with new keys, and publish both checkpoints")
        .into()
}

fn clock(error: &crate::decide::ClockError) -> anyhow::Error {
    Advice::new(format!("the clock cannot be right: {error:?}"), "set it, and look at the time of the newest cosignature").into()
}

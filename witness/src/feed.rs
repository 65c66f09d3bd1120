//! Fetching checkpoints of logs that never call a witness, and cosigning them: `specs/feed.md`.
//!
//! The log's words go through the same door as anybody's request, [`Witness::add_checkpoint`], so nothing is signed here that would not be
//! signed there. The consistency proof is made from the log's tiles, which are authenticated against the new root.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use client::log::LogClient;
use tlog::plan::ConsistencyPlan;
use tlog::witness::AddCheckpoint;
use tlog::{ConsistencyProof, SignedCheckpoint};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::{Failure, Log, Refusal, Witness};

/// How long one answer of a log may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long one log's address may take in all: a slow one holds up others no longer.
const LONGEST: Duration = Duration::from_secs(300);
/// Logs that are asked at a time.
pub(crate) const PARALLEL: usize = 16;
/// The origin of Go's checksum databases, whose paths are their own.
pub const CHECKSUM_DATABASE: &str = "go.sum database tree";
const DAY: u64 = 24 * 60 * 60;

/// Feeds every log that has an address, for ever: each at this interval, or more rarely where its `qpd` says so.
pub async fn feed_for_ever(witness: Arc<Witness>, every: Duration) {
    let places = Arc::new(Semaphore::new(PARALLEL));
    let mut tasks = tokio::task::JoinSet::new();
    let logs: Vec<Log> = witness.logs().filter(|log| !log.urls.is_empty()).cloned().collect();
    for log in logs {
        let (witness, places) = (Arc::clone(&witness), Arc::clone(&places));
        tasks.spawn(async move {
            let pause = every.max(Duration::from_secs(DAY / u64::from(log.queries_per_day)));
            loop {
                let place = places.acquire().await;
                // What went wrong has been said; the next round tries again.
                let _ = feed(&witness, &log).await;
                drop(place);
                tokio::time::sleep(pause).await;
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// Feeds every log that has an address once; returns those that were not cosigned.
pub async fn feed_once(witness: &Arc<Witness>) -> Vec<String> {
    let places = Arc::new(Semaphore::new(PARALLEL));
    let mut tasks = tokio::task::JoinSet::new();
    let logs: Vec<Log> = witness.logs().filter(|log| !log.urls.is_empty()).cloned().collect();
    for log in logs {
        let (witness, places) = (Arc::clone(witness), Arc::clone(&places));
        tasks.spawn(async move {
            let _place = places.acquire().await;
            (feed(&witness, &log).await.is_ok(), log.origin)
        });
    }
    let fed = tasks.join_all().await;
    let mut failed: Vec<String> = fed.into_iter().filter(|(is_fed, _)| !is_fed).map(|(_, origin)| origin).collect();
    failed.sort();
    failed
}

/// Brings the witness to what one of the log's addresses shows; returns the size. Says how it went.
async fn feed(witness: &Arc<Witness>, log: &Log) -> anyhow::Result<u64> {
    let mut result = Err(anyhow!("the list gives no address"));
    for url in &log.urls {
        let one = tokio::time::timeout(LONGEST, feed_from(witness, log, url));
        result = one.await.unwrap_or_else(|_| Err(anyhow!("{url} took too long")));
        match &result {
            Ok(size) => {
                info!(origin = log.origin, size, "cosigned what the log shows");
                break;
            }
            Err(problem) => warn!(origin = log.origin, problem = format!("{problem:#}"), "not cosigned"),
        }
    }
    result
}

async fn feed_from(witness: &Arc<Witness>, log: &Log, url: &str) -> anyhow::Result<u64> {
    let client = client_of(log, url)?;
    let signed = client.checkpoint().await?;
    if signed.checkpoint.origin != log.origin {
        bail!("{url} shows a checkpoint of {:?}", signed.checkpoint.origin);
    }
    let size = signed.checkpoint.tree.size;
    match submit(witness, &signed, 0, ConsistencyProof(Vec::new())).await {
        // The size that is known comes with the refusal.
        Err(Failure::Refused(Refusal::Stale { size: known })) if known <= size => {
            let proof = proof(&client, &signed, known).await.with_context(|| format!("proving that size {size} extends {known}"))?;
            submit(witness, &signed, known, proof).await.map_err(explain)?;
        }
        Err(Failure::Refused(Refusal::Stale { size: known })) => {
            bail!("{url} shows size {size}, and {known} was cosigned before: a stale copy")
        }
        other => drop(other.map_err(explain)?),
    }
    Ok(size)
}

/// The log at one of its addresses.
pub(crate) fn client_of(log: &Log, url: &str) -> Result<LogClient, client::FetchError> {
    let client = LogClient::with_timeout(url, TIMEOUT)?;
    Ok(if log.origin == CHECKSUM_DATABASE { client.of_checksum_database() } else { client })
}

async fn submit(witness: &Arc<Witness>, signed: &SignedCheckpoint, old_size: u64, proof: ConsistencyProof) -> Result<String, Failure> {
    let request = AddCheckpoint { old_size, proof, checkpoint: signed.note.clone() };
    witness.add_checkpoint(request.encode().as_bytes()).await
}

async fn proof(client: &LogClient, signed: &SignedCheckpoint, old: u64) -> anyhow::Result<ConsistencyProof> {
    let malformed = |error| anyhow!("the tiles do not lead to the checkpoint: {error:?}");
    let plan = ConsistencyPlan::new(old, &signed.checkpoint.tree).map_err(malformed)?;
    let tiles = client.tiles(plan.tiles()).await?;
    Ok(plan.finish(&tiles).map_err(malformed)?.1)
}

fn explain(failure: Failure) -> anyhow::Error {
    match failure {
        Failure::Refused(Refusal::Held(hold)) => anyhow!("nothing is signed for this log: {hold}"),
        Failure::Refused(Refusal::Inconsistent) => anyhow!("the log's tree does not extend the one that was cosigned: two histories"),
        Failure::Refused(Refusal::NotSignedByLog) => anyhow!("no key of the list has signed the checkpoint"),
        Failure::Refused(refusal) => anyhow!("refused: {refusal:?}"),
        Failure::NotSaved => anyhow!("the state could not be saved"),
        Failure::NotSigned => anyhow!("a key did not sign"),
        Failure::Busy => anyhow!("too many requests for this log are waiting"),
    }
}

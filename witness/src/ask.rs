//! Asking the logs' addresses after a start: their checkpoints may carry a cosignature of this witness that its state does not know,
//! `specs/witness.md` section 6.

use std::sync::Arc;
use std::time::Duration;

use client::FetchError;
use tlog::SignedCheckpoint;
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::{Log, Witness, feed};

/// How long between two rounds, while an address has not answered.
const PAUSE: Duration = Duration::from_secs(2);
/// Longest pause: it doubles from round to round.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Asks until every log with addresses has had an answer.
pub async fn ask_all(witness: Arc<Witness>) {
    let places = Arc::new(Semaphore::new(feed::PARALLEL));
    let mut tasks = tokio::task::JoinSet::new();
    for log in witness.unasked() {
        tasks.spawn(ask(Arc::clone(&witness), log, Arc::clone(&places)));
    }
    while tasks.join_next().await.is_some() {}
}

async fn ask(witness: Arc<Witness>, log: Log, places: Arc<Semaphore>) {
    let mut pause = PAUSE;
    loop {
        let mut answered = false;
        // All of them, each time: one that is behind or hides our line must not answer for the others.
        for url in &log.urls {
            let _place = places.acquire().await;
            answered |= ask_one(&witness, &log, url).await;
        }
        if answered {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn ask_one(witness: &Arc<Witness>, log: &Log, url: &str) -> bool {
    let origin = &*log.origin;
    match newest(log, url).await {
        Err(problem) => {
            warn!(origin, %problem, "the log's address gave no checkpoint; nothing is signed for it yet");
            false
        }
        Ok(checkpoint) => {
            let answered = witness.shown(origin, checkpoint).await;
            if answered {
                info!(origin, url, "the log's address has answered");
            } else {
                warn!(origin, url, "what the address shows is not a checkpoint of this log");
            }
            answered
        }
    }
}

/// The checkpoint below an address; `None` where nothing is published.
async fn newest(log: &Log, url: &str) -> Result<Option<SignedCheckpoint>, FetchError> {
    match feed::client_of(log, url)?.checkpoint().await {
        Err(FetchError::Status { status: 404, .. }) => Ok(None),
        answer => answer.map(Some),
    }
}

//! `POST /entries/batch`: an envelope a line in; out come the checkpoint once, and for each line, in order, its index and path or
//! what is wrong with it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use tlog::InclusionProof;
use tokio::time::Instant;

use super::buffers::Lent;
use super::entries::{Place, Standing, admit, place};
use super::intake::Taken;
use super::{App, Problem, body, reads};
use crate::prover;

/// One line of the answer.
#[derive(Serialize)]
#[serde(untagged)]
enum Line {
    Logged {
        index: u64,
        proof: Vec<String>,
    },
    Refused {
        status: u16,
        error: String,
    },
    /// 202: not published within the wait.
    Pending {
        status: u16,
    },
}

/// Answers 200, whatever became of the lines.
pub async fn submit(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, Problem> {
    app.desk()?;
    app.accepting()?;
    let wait = body::wait(request.uri().query())?;
    let Taken { bytes: body, memory: _memory } = app.intake.read(request, MAX_BODY).await?;
    let deadline = Instant::now() + wait;
    let (shared, lines) = (app.clone(), split(&body)?);
    let standings = in_turn(&app, move || admit_all(&shared, &body, &lines)).await?;
    let mut places = Vec::with_capacity(standings.len());
    for standing in standings {
        places.push(match standing {
            Ok(standing) => place(standing, deadline.saturating_duration_since(Instant::now())).await,
            Err(problem) => Err(problem),
        });
    }
    let shared = app.clone();
    let text = in_turn(&app, move || answer(&shared, places)).await??;
    Ok(reads::typed("application/x-ndjson", "no-store", text.send()))
}

/// Does a batch's work on another thread when a processor is free for it: more at once would take no less time, but each its
/// thread and that thread's memory.
async fn in_turn<T: Send + 'static>(app: &App, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let _turn = app.batches.acquire().await.map_err(|_| Problem::Broken)?;
    tokio::task::spawn_blocking(work).await.map_err(|_| Problem::Broken)
}

/// Byte ranges of the lines, without their line feeds.
fn split(body: &Bytes) -> Result<Vec<std::ops::Range<usize>>, Problem> {
    let text = body.strip_suffix(b"\n").unwrap_or(body);
    let mut start = 0;
    let mut lines = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        lines.push(start..start + line.len());
        start += line.len() + 1;
        if lines.len() > MAX_LINES {
            return Err(Problem::Malformed(format!("more than {MAX_LINES} lines")));
        }
    }
    Ok(lines)
}

fn admit_all(app: &App, body: &Bytes, lines: &[std::ops::Range<usize>]) -> Vec<Result<Standing, Problem>> {
    let admit_line = |range: &std::ops::Range<usize>| admit(app, app.desk()?, body.get(range.clone()).unwrap_or_default());
    lines.iter().map(admit_line).collect()
}

/// All proofs lead to one checkpoint: the newest at the time of the answer, which covers every accepted line.
fn answer(app: &App, places: Vec<Result<Option<Place>, Problem>>) -> Result<Lent, Problem> {
    let indices: Vec<u64> = places.iter().flatten().flatten().map(|(index, _)| *index).collect();
    let view = app.shared.view().filter(|_| !indices.is_empty());
    let prover = view.as_ref().map(|view| prover::prover(&*app.store, view, &indices)).transpose()?;
    let mut lent = app.buffers.lend();
    let text = lent.bytes();
    match &view {
        Some(view) => text.extend_from_slice(serde_json::json!({ "checkpoint": view.note }).to_string().as_bytes()),
        None => text.extend_from_slice(b"{}"),
    }
    for place in places {
        let line = match (place, &prover) {
            (Ok(Some((index, _))), Some(prover)) => Line::Logged { index, proof: encode(&prover::inclusion(prover, index)?.1) },
            (Ok(_), _) => Line::Pending { status: 202 },
            (Err(problem), _) => Line::Refused { status: problem.status().as_u16(), error: problem.text() },
        };
        text.push(b'\n');
        serde_json::to_writer(&mut *text, &line).map_err(|_| Problem::Broken)?;
    }
    text.push(b'\n');
    Ok(lent)
}

/// A path as JSON has it: base64, leaf's sibling first.
pub fn encode(proof: &InclusionProof) -> Vec<String> {
    proof.0.iter().map(tlog::Hash::to_base64).collect()
}

/// Largest body in bytes.
const MAX_BODY: usize = 16 << 20;
/// Most lines in one body.
const MAX_LINES: usize = 10_000;

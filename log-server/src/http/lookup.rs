//! `POST /lookup`: subject names and predicate types in, every matching leaf with its proof out. An answer takes a thread until its
//! client has read it, so there are a few of them at a time, and whoever does not read makes room for others.

use std::collections::BTreeSet;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout};

use super::{App, Problem, batch, body, reads};
use crate::entries::Entries;
use crate::prover;
use crate::roles::{Desk, Submission, parts};
use crate::shared::View;

/// One line of the answer.
#[derive(Serialize)]
struct Found {
    index: u64,
    leaf: String,
    proof: Vec<String>,
}

/// Answers 200 with the checkpoint and the leaves, by rising index, each once. All of it is of one published tree.
pub async fn lookup(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, Problem> {
    let desk = app.desk()?.clone();
    let text = body::read(request, MAX_BODY, body::ENTRY_TIME).await?;
    let question = parse(&text)?;
    let view = app.shared.view().ok_or_else(|| Problem::Unavailable("nothing is published yet".to_owned(), 5))?;
    let (place, size) = (place(&app).await?, view.tree.size);
    // The place is held by whoever works, also when the client is gone.
    let found = tokio::task::spawn_blocking(move || candidates(&desk, &question, size).map(|found| (question.terms, found, place)));
    let (queries, candidates, place) = found.await.map_err(|_| Problem::Broken)??;
    let (sender, receiver) = mpsc::channel(PIECES);
    let reader = Reader { parts: sender, runtime: Handle::current(), places: app.lookups.clone(), _place: place };
    tokio::task::spawn_blocking(move || write(&app, &view, &queries, &candidates, &reader));
    let mut response = reads::typed("application/x-ndjson", "no-store", Vec::new());
    *response.body_mut() = Body::from_stream(pieces(receiver));
    response.headers_mut().remove(axum::http::header::CONTENT_LENGTH);
    Ok(response)
}

/// A place among the lookups that are answered.
async fn place(app: &App) -> Result<OwnedSemaphorePermit, Problem> {
    let busy = || Problem::Unavailable("too many lookups at once".to_owned(), 5);
    timeout(PLACE_TIME, app.lookups.clone().acquire_owned()).await.map_err(|_| busy())?.map_err(|_| busy())
}

/// A part of an answer on its way to the client.
enum Part {
    Piece(Bytes),
    /// It is whole.
    End,
}

/// Whoever reads an answer.
struct Reader {
    parts: mpsc::Sender<Part>,
    runtime: Handle,
    places: Arc<Semaphore>,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    /// Hands a part over; nothing if nobody takes it. From a thread that may wait.
    fn hand(&self, part: Part) -> Option<()> {
        self.runtime.block_on(async {
            let begun = Instant::now();
            let mut sending = pin!(self.parts.send(part));
            loop {
                match timeout(STALL, &mut sending).await {
                    Ok(sent) => return sent.ok(),
                    Err(_) if begun.elapsed() >= READ_TIME || self.places.available_permits() == 0 => return None,
                    Err(_) => {}
                }
            }
        })
    }
}

/// The body: what comes, up to its end. One without an end is an error, which cuts the connection and which the client so notices.
fn pieces(parts: mpsc::Receiver<Part>) -> impl stream::Stream<Item = io::Result<Bytes>> {
    stream::unfold(Some(parts), |parts| async move {
        let mut parts = parts?;
        match parts.recv().await {
            Some(Part::Piece(piece)) => Some((Ok(piece), Some(parts))),
            Some(Part::End) => None,
            None => Some((Err(io::Error::other("the answer was given up")), None)),
        }
    })
}

/// What is asked for: terms, and from which leaf on.
struct Question {
    terms: Vec<String>,
    from: u64,
}

fn parse(text: &Bytes) -> Result<Question, Problem> {
    let text = std::str::from_utf8(text).map_err(|_| Problem::Malformed("the queries are not text".to_owned()))?;
    let (from, terms): (Vec<&str>, Vec<&str>) = text.lines().filter(|line| !line.is_empty()).partition(|line| line.starts_with(FROM));
    if terms.len() > MAX_QUERIES {
        return Err(Problem::Malformed(format!("more than {MAX_QUERIES} queries")));
    }
    let from = match from.as_slice() {
        [] => 0,
        [line] => line[FROM.len()..].parse().map_err(|_| Problem::Malformed(format!("{line} names no leaf")))?,
        _ => return Err(Problem::Malformed(format!("several lines that begin with {FROM}"))),
    };
    Ok(Question { terms: terms.into_iter().map(str::to_owned).collect(), from })
}

/// Leaves that the index names for any of the queries.
fn candidates(desk: &Desk, question: &Question, size: u64) -> Result<BTreeSet<u64>, Problem> {
    let mut found = BTreeSet::new();
    for term in &question.terms {
        found.extend(desk.index.with_term(term, question.from.min(size)..size, MAX_FOUND + 1)?);
        if found.len() > MAX_FOUND {
            return Err(Problem::Malformed(format!("more than {MAX_FOUND} leaves match: ask for less, or read the log itself")));
        }
    }
    Ok(found)
}

/// Sends the answer in pieces; nothing if it was not sent to its end.
fn write(app: &App, view: &View, queries: &[String], candidates: &BTreeSet<u64>, reader: &Reader) -> Option<()> {
    let wanted: BTreeSet<&str> = queries.iter().map(String::as_str).collect();
    let mut piece = format!("{}\n", serde_json::json!({ "checkpoint": view.note }));
    let mut entries = Entries::new(&*app.store, view.tree.size);
    let candidates: Vec<u64> = candidates.iter().copied().collect();
    for some in candidates.chunks(TOGETHER) {
        piece.push_str(&lines(app, view, &wanted, &mut entries, some).ok()?);
        if piece.len() > PIECE {
            reader.hand(Part::Piece(Bytes::from(std::mem::take(&mut piece))))?;
        }
    }
    reader.hand(Part::Piece(Bytes::from(piece)))?;
    reader.hand(Part::End)
}

/// The index names candidates by half a hash; the leaves themselves say whether they match.
fn lines(app: &App, view: &View, wanted: &BTreeSet<&str>, entries: &mut Entries<'_>, some: &[u64]) -> Result<String, Problem> {
    let prover = prover::prover(&*app.store, view, some)?;
    let mut lines = String::new();
    for index in some {
        let leaf = entries.leaf(*index)?;
        let terms = parts(&leaf).as_ref().map(Submission::row).map(|row| row.terms).unwrap_or_default();
        if !terms.iter().any(|term| wanted.contains(term.as_str())) {
            continue;
        }
        let proof = prover::inclusion_of(&prover, *index, &tlog::hash_leaf(&leaf))?;
        let found = Found { index: *index, leaf: STANDARD.encode(&leaf), proof: batch::encode(&proof) };
        lines += &serde_json::to_string(&found).map_err(|_| Problem::Broken)?;
        lines.push('\n');
    }
    Ok(lines)
}

/// Begins the line that says from which leaf on. No subject and no type begins so.
const FROM: &str = "from:";
/// Largest body in bytes.
const MAX_BODY: usize = 1 << 20;
/// Most queries in one body.
const MAX_QUERIES: usize = 10_000;
/// Most leaves in one answer.
const MAX_FOUND: usize = 200_000;
/// Leaves that are proven together, so that their tiles are read once: at most some 16 KiB of memory for each.
const TOGETHER: usize = 64;
/// Bytes that are sent together.
const PIECE: usize = 64 << 10;
/// Pieces that wait for the client.
const PIECES: usize = 2;
/// Lookups that are answered at once.
pub const LOOKUPS: usize = 16;
/// Longest wait for one of these places.
const PLACE_TIME: Duration = Duration::from_secs(10);
/// Longest time for a client to take a piece.
const READ_TIME: Duration = Duration::from_secs(30);
/// The same while no place is free.
const STALL: Duration = Duration::from_secs(5);

//! `POST /entries`: one envelope in, its `tlog-proof` out once it is published.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use tlog::{Hash, TlogProof, hash_leaf};
use tokio::sync::oneshot::Receiver;

use super::{App, Problem, body, problem, reads};
use crate::entries::Entries;
use crate::pool::Outcome;
use crate::prover;
use crate::roles::{Checked, Desk};
use crate::shared::View;

/// Where a submission stands after admission.
pub enum Standing {
    /// It waits for its turn, or for the publication of the tree that it is in.
    Pending(Receiver<Outcome>),
    /// It is published.
    Logged(u64, Arc<View>),
}

/// Index and published tree of an entry.
pub type Place = (u64, Arc<View>);

/// The route as the router has it.
pub async fn route(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, Problem> {
    submit(&app, request).await
}

/// Answers 200 with the proof, or 202 if it was not published within the wait.
pub async fn submit<B: HttpBody<Data = Bytes> + Unpin>(app: &App, request: Request<B>) -> Result<Response, Problem> {
    let desk = app.desk()?.clone();
    app.accepting()?;
    let wait = body::wait(request.uri().query())?;
    let (standing, submitted) = {
        // A piece of the connection's buffer, which is free again before the wait.
        let leaf = body::read(request, attest::envelope::MAX_BYTES, body::ENTRY_TIME).await?;
        // An envelope takes some fifty microseconds to check: not worth another thread.
        (admit(app, &desk, &leaf)?, hash_leaf(&leaf))
    };
    match place(standing, wait).await? {
        Some((index, view)) => proof(app, index, &view, &submitted),
        None => Ok(StatusCode::ACCEPTED.into_response()),
    }
}

/// Checks a submission and queues it, or finds where it is.
pub fn admit(app: &App, desk: &Desk, leaf: &[u8]) -> Result<Standing, Problem> {
    match desk.check(leaf)?? {
        Checked::New(submission) => {
            desk.check_rate(&submission)
                .map_err(|seconds| Problem::TooMany("this key submits more than its role may".to_owned(), seconds))?;
            Ok(Standing::Pending(desk.pool.submit(Some(submission.identity()), leaf.to_vec(), *submission)?))
        }
        Checked::Known(index) => match app.shared.view() {
            Some(view) if index < view.tree.size => Ok(Standing::Logged(index, view)),
            _ => Ok(Standing::Pending(desk.pool.wait_for(index)?)),
        },
    }
}

/// Index and tree of a submission, if it is published within the wait.
pub async fn place(standing: Standing, wait: Duration) -> Result<Option<Place>, Problem> {
    match standing {
        Standing::Logged(index, view) => Ok(Some((index, view))),
        Standing::Pending(receiver) => match tokio::time::timeout(wait, receiver).await {
            Err(_) => Ok(None),
            Ok(outcome) => problem::logged(outcome.unwrap_or(Outcome::Failed)).map(Some),
        },
    }
}

/// The proof as C2SP tlog-proof. Where the key had signed the same payload before with other bytes, the proof is of the stored
/// leaf, which then comes along as `extra`.
fn proof(app: &App, index: u64, view: &View, submitted: &Hash) -> Result<Response, Problem> {
    let (stored, proof) = prover::inclusion(&*prover::prover(&*app.store, view, &[index])?, index)?;
    let extra = if stored == *submitted { None } else { Some(Entries::new(&*app.store, view.tree.size).leaf(index)?) };
    let text = TlogProof::encode_parts(extra.as_deref(), index, &proof, &view.note);
    Ok(reads::typed("text/plain; charset=utf-8", "no-store", text.into_bytes()))
}

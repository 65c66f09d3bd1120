//! `POST /add`, in logs made with `--open` only: the raw leaf in, its index in decimal out once it is published.

use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::{App, Door, Problem, body, problem};

/// The route as the router has it.
pub async fn route(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, Problem> {
    add(&app, request).await
}

/// Answers 200 with the index, or 202 if it was not published within the wait.
pub async fn add<B: HttpBody<Data = Bytes> + Unpin>(app: &App, request: Request<B>) -> Result<Response, Problem> {
    let Door::Open(pool) = &app.door else { return Err(Problem::NotFound) };
    app.accepting()?;
    let wait = body::wait(request.uri().query())?;
    let receiver = {
        // A piece of the connection's buffer, which is free again before the wait.
        let leaf = body::read(request, tlog::bundle::MAX_ENTRY, body::ENTRY_TIME).await?;
        pool.submit(None, leaf.to_vec(), ())?
    };
    match tokio::time::timeout(wait, receiver).await {
        Err(_) => Ok(StatusCode::ACCEPTED.into_response()),
        Ok(outcome) => {
            let (index, _) = problem::logged(outcome.unwrap_or(crate::pool::Outcome::Failed))?;
            Ok(index.to_string().into_response())
        }
    }
}

//! The thin skin: routes, limits, and the one place where a failure becomes a status.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

use crate::decide::ClockError;
use crate::{Failure, Hold, Refusal, Witness};

/// Largest request body in bytes. A checkpoint with a hundred Ed25519 lines, or thirty of ML-DSA-44, and a full proof fit.
pub const MAX_BODY: usize = 128 << 10;
/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// What 409 answers carry, exactly: clients compare it byte by byte.
const TLOG_SIZE: &str = "text/x.tlog.size";
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// All routes.
pub fn router(witness: Arc<Witness>) -> Router {
    let own = Router::new().route("/{id}/checkpoint", get(checkpoint)).route("/healthz", get(health));
    own.with_state(Arc::clone(&witness)).merge(submissions(witness))
}

/// Those that a mirror has, too, with the same meaning.
pub(crate) fn submissions(witness: Arc<Witness>) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/sign-subtree", post(sign_subtree))
        .route("/{id}/evidence", get(evidence))
        .route("/{id}/evidence/{name}", get(evidence_file))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(witness)
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, request: Request) -> Response {
    let response = match body(request).await {
        Err(refused) => refused,
        Ok(body) => answer(witness.add_checkpoint(&body).await),
    };
    witness.metrics().answered("add-checkpoint", response.status().as_u16());
    response
}

async fn sign_subtree(State(witness): State<Arc<Witness>>, request: Request) -> Response {
    let response = match body(request).await {
        Err(refused) => refused,
        Ok(body) => {
            let signing = Arc::clone(&witness);
            let signed = tokio::task::spawn_blocking(move || signing.sign_subtree(&body)).await;
            answer(signed.unwrap_or(Err(Failure::NotSigned)))
        }
    };
    witness.metrics().answered("sign-subtree", response.status().as_u16());
    response
}

async fn checkpoint(State(witness): State<Arc<Witness>>, Path(id): Path<String>) -> Response {
    let response = match witness.newest(&id).await {
        Ok(Some(cosigned)) => public(cosigned.as_bytes().to_vec()),
        Ok(None) => text(StatusCode::NOT_FOUND, "no checkpoint of such a log is cosigned here"),
        Err(failure) => failed(&failure),
    };
    witness.metrics().answered("checkpoint", response.status().as_u16());
    response
}

async fn evidence(State(witness): State<Arc<Witness>>, Path(id): Path<String>) -> Response {
    let listed = tokio::task::spawn_blocking(move || witness.evidence(&id)).await;
    match listed {
        Ok(Ok(Some(names))) => public(names.iter().flat_map(|name| [name.as_str(), "\n"]).collect::<String>().into_bytes()),
        Ok(Ok(None)) => text(StatusCode::NOT_FOUND, "no such log is watched here"),
        Ok(Err(_)) | Err(_) => unreadable(),
    }
}

async fn evidence_file(State(witness): State<Arc<Witness>>, Path((id, name)): Path<(String, String)>) -> Response {
    let read = tokio::task::spawn_blocking(move || witness.evidence_file(&id, &name)).await;
    match read {
        Ok(Ok(Some(bytes))) => public(bytes),
        Ok(Ok(None)) => text(StatusCode::NOT_FOUND, "no such evidence is kept here"),
        Ok(Err(_)) | Err(_) => unreadable(),
    }
}

async fn metrics(State(witness): State<Arc<Witness>>) -> Response {
    ([(header::CONTENT_TYPE, client::metrics::CONTENT_TYPE)], witness.metrics().encode()).into_response()
}

/// 200 while every log is served; the lines say what is wrong, or known of a log.
async fn health(State(witness): State<Arc<Witness>>) -> Response {
    let health = witness.health();
    healthy(health.is_refusing, health.lines)
}

pub(crate) fn healthy(is_refusing: bool, lines: Vec<String>) -> Response {
    let (status, first) = if is_refusing { (StatusCode::SERVICE_UNAVAILABLE, "refusing") } else { (StatusCode::OK, "ok") };
    let lines = std::iter::once(first.to_owned()).chain(lines).collect::<Vec<_>>().join("\n");
    text(status, &lines)
}

async fn body(request: Request) -> Result<Bytes, Response> {
    match tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(text(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 131072 bytes"))
        }
        Ok(Err(_)) => Err(text(StatusCode::BAD_REQUEST, "the body could not be read")),
        Err(_) => Err(text(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    }
}

fn answer(result: Result<String, Failure>) -> Response {
    match result {
        Ok(lines) => ([(header::CONTENT_TYPE, TEXT)], lines).into_response(),
        Err(failure) => failed(&failure),
    }
}

/// The status of every failure.
pub(crate) fn failed(failure: &Failure) -> Response {
    match failure {
        Failure::Refused(refusal) => refused(refusal),
        Failure::NotSaved => later("the state could not be made durable, so nothing was signed"),
        Failure::Busy => later("too many requests for this log"),
        Failure::NotSigned => text(StatusCode::INTERNAL_SERVER_ERROR, "a key did not sign"),
    }
}

/// The status of every refusal.
fn refused(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::Malformed(reason) => text(StatusCode::BAD_REQUEST, reason),
        Refusal::UnknownLog => text(StatusCode::NOT_FOUND, "this log is not on the list of this witness"),
        Refusal::NotSignedByLog => text(StatusCode::FORBIDDEN, "no key of the log signed this, or one's signature is wrong"),
        Refusal::NotCosigned => text(StatusCode::FORBIDDEN, "this witness's own ML-DSA-44 cosignature is missing or wrong"),
        Refusal::Stale { size } => {
            (StatusCode::CONFLICT, [(header::CONTENT_TYPE, HeaderValue::from_static(TLOG_SIZE))], format!("{size}\n")).into_response()
        }
        Refusal::Inconsistent => text(StatusCode::UNPROCESSABLE_ENTITY, "the proof does not lead to this checkpoint"),
        Refusal::Held(hold @ Hold::Unasked) => later(&hold.to_string()),
        // No Retry-After: only the operator can end it.
        Refusal::Held(hold) => text(StatusCode::SERVICE_UNAVAILABLE, &format!("held: {hold}")),
        Refusal::Clock(ClockError::NotSet) => later("the witness's clock is not set"),
        Refusal::Clock(ClockError::Behind) => later("the witness's clock is behind its newest cosignature"),
    }
}

pub(crate) fn later(reason: &str) -> Response {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, reason);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

pub(crate) fn unreadable() -> Response {
    later("what is kept cannot be read now")
}

pub(crate) fn text(status: StatusCode, line: &str) -> Response {
    (status, [(header::CONTENT_TYPE, TEXT)], format!("{line}\n")).into_response()
}

/// Anybody may read it, from any web page, and nobody may keep an old one.
pub(crate) fn public(bytes: Vec<u8>) -> Response {
    let headers = [(header::CONTENT_TYPE, TEXT), (header::CACHE_CONTROL, "no-cache"), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
    (headers, bytes).into_response()
}

//! A mirror's routes: those of a witness, `add-entries`, and the copies as tlog-tiles serves them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tlog::mirror::MirrorInfo;
use tlog::{BundleId, Hash, Tile};

use super::incoming::Incoming;
use super::{Mirror, Refused, Uploaded};
use crate::http::{failed, later, public, text, unreadable};

const ENTRIES: &str = "application/octet-stream";
const INFO: &str = "text/x.tlog.mirror-info";
/// What a tile, bundle or manifest says never changes.
const IMMUTABLE: &str = "public, max-age=604800, immutable";

/// All routes.
pub fn router(mirror: Arc<Mirror>) -> Router {
    // An upload has no largest size; what is held of it has.
    let uploads = Router::new().route("/add-entries", post(add_entries)).layer(DefaultBodyLimit::disable());
    let reads = Router::new()
        .route("/{id}/checkpoint", get(checkpoint))
        .route("/{id}/tile/{*path}", get(tile))
        .route("/{id}/manifest/{root}", get(manifest))
        .route("/healthz", get(health));
    let witness = crate::http::submissions(Arc::clone(mirror.witness()));
    uploads.merge(reads).with_state(mirror).merge(witness)
}

async fn add_entries(State(mirror): State<Arc<Mirror>>, request: Request) -> Response {
    let mut response = upload(&mirror, request).await;
    response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    mirror.witness().metrics().answered("add-entries", response.status().as_u16());
    response
}

async fn upload(mirror: &Mirror, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind.as_bytes() != ENTRIES.as_bytes()) {
        return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the Content-Type must be application/octet-stream");
    }
    let Ok(mut incoming) = Incoming::new(&parts.headers, body, mirror.patience()) else {
        return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the only Content-Encoding known here is gzip");
    };
    match mirror.add_entries(&mut incoming).await {
        Ok(Uploaded::Vouched(lines)) => ([(header::CONTENT_TYPE, crate::http::TEXT)], lines).into_response(),
        Ok(Uploaded::Partly(info)) => informed(StatusCode::ACCEPTED, &info),
        Ok(Uploaded::Elsewhere(info)) => informed(StatusCode::CONFLICT, &info),
        Err(Refused::Failure(failure)) => failed(&failure),
        Err(Refused::Malformed) => text(StatusCode::BAD_REQUEST, "the body is not an upload, or ends before its first package does"),
        Err(Refused::Slow) => text(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
        Err(Refused::Unproven) => text(StatusCode::UNPROCESSABLE_ENTITY, "a proof does not lead to the checkpoint"),
        Err(Refused::NoManifest(problem)) => later(&format!("a manifest that an entry claims cannot be had: {problem}")),
    }
}

fn informed(status: StatusCode, info: &MirrorInfo) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static(INFO))], info.encode()).into_response()
}

async fn checkpoint(State(mirror): State<Arc<Mirror>>, Path(id): Path<String>) -> Response {
    let response = match mirror.newest(&id).await {
        Ok(Some(cosigned)) => public(cosigned.as_bytes().to_vec()),
        Ok(None) => text(StatusCode::NOT_FOUND, "no checkpoint of such a log is held here with all its entries"),
        Err(failure) => failed(&failure),
    };
    mirror.witness().metrics().answered("checkpoint", response.status().as_u16());
    response
}

async fn tile(State(mirror): State<Arc<Mirror>>, Path((id, path)): Path<(String, String)>) -> Response {
    let path = format!("tile/{path}");
    if Tile::parse(&path).is_none() && BundleId::parse(&path).is_none() {
        return text(StatusCode::NOT_FOUND, "no tile and no bundle has this path");
    }
    object(mirror, id, path, ENTRIES).await
}

async fn manifest(State(mirror): State<Arc<Mirror>>, Path((id, root)): Path<(String, String)>) -> Response {
    match Hash::from_hex(&root) {
        Some(root) => object(mirror, id, format!("manifest/{root}"), crate::http::TEXT).await,
        None => text(StatusCode::NOT_FOUND, "a manifest's name is its root, in hexadecimal"),
    }
}

async fn object(mirror: Arc<Mirror>, id: String, path: String, kind: &'static str) -> Response {
    let read = tokio::task::spawn_blocking(move || mirror.object(&id, &path)).await;
    match read {
        Ok(Ok(Some(bytes))) => {
            let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, IMMUTABLE), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
            (headers, bytes).into_response()
        }
        Ok(Ok(None)) => text(StatusCode::NOT_FOUND, "this is not held here"),
        Ok(Err(_)) | Err(_) => unreadable(),
    }
}

/// 200 while everything is served that was vouched for.
async fn health(State(mirror): State<Arc<Mirror>>) -> Response {
    let reading = Arc::clone(&mirror);
    let Ok(mut lines) = tokio::task::spawn_blocking(move || reading.incomplete()).await else { return unreadable() };
    let health = mirror.witness().health();
    let is_ill = health.is_refusing || !lines.is_empty();
    lines.extend(health.lines);
    crate::http::healthy(is_ill, lines)
}

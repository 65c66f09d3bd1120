//! Reads: C2SP tlog-tiles, metrics and health. Only paths that parse as a tile or bundle reach the store.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tlog::Tile;
use tlog::tile::BundleId;

use super::{App, Door, Problem};
use crate::layout;
use crate::shared::Status;

/// `GET /checkpoint`: the published one, never cached.
pub async fn checkpoint(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let view = app.shared.view().ok_or(Problem::NotFound)?;
    Ok(typed("text/plain; charset=utf-8", "no-store", view.note.clone().into_bytes()))
}

/// `GET /tile/…`: hash tiles and entry bundles.
pub async fn tile(State(app): State<Arc<App>>, Path(path): Path<String>) -> Result<Response, Problem> {
    let path = format!("tile/{path}");
    let key = Tile::parse(&path).map(|tile| layout::tile(&tile));
    let key = key.or_else(|| BundleId::parse(&path).map(|bundle| layout::bundle(&bundle))).ok_or(Problem::NotFound)?;
    Ok(typed("application/octet-stream", IMMUTABLE, object(&app, key).await?))
}

/// `GET /frozen`: where to go instead, if the log is frozen.
pub async fn frozen(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    app.frozen.as_ref().ok_or(Problem::NotFound)?;
    Ok(typed("application/toml", "no-store", object(&app, layout::FROZEN.to_owned()).await?))
}

/// One object of the store, read off the request threads.
pub async fn object(app: &Arc<App>, key: String) -> Result<Bytes, Problem> {
    let (store, mut buffer) = (app.store.clone(), app.buffers.lend());
    let name = key.clone();
    let read = tokio::task::spawn_blocking(move || store.read_into(&key, buffer.bytes()).map(|found| found.then_some(buffer))).await;
    match read {
        Ok(Ok(found)) => Ok(found.ok_or(Problem::NotFound)?.send()),
        Ok(Err(error)) => {
            tracing::error!("reading {name}: {error}");
            Err(Problem::Broken)
        }
        Err(_) => Err(Problem::Broken),
    }
}

/// `GET /metrics`.
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    let (entries, bytes) = app.door.load();
    app.metrics.queued.set(i64::try_from(entries).unwrap_or(i64::MAX));
    app.metrics.queued_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    app.metrics.free_bytes.set(i64::try_from(app.room.free()).unwrap_or(i64::MAX));
    app.metrics.reserve_bytes.set(i64::try_from(app.room.reserve()).unwrap_or(i64::MAX));
    app.metrics.frozen.set(i64::from(app.frozen.is_some()));
    typed(client::metrics::CONTENT_TYPE, "no-store", app.metrics.encode().into_bytes())
}

/// `GET /healthz`: 200 if entries are taken and the published checkpoint is fresh, else 503 and why in a few words.
pub async fn health(State(app): State<Arc<App>>) -> Response {
    let ill = |why: &str| (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response();
    match app.shared.status() {
        Status::Running => {}
        Status::Asking(_) => return ill("reads only: the witnesses have not been heard"),
        Status::Waiting(_) => return ill("nothing new is published"),
        Status::Stopped(_) => return ill("stopped"),
    }
    if app.frozen.is_none() && app.room.is_short() {
        return ill("the disk is nearly full");
    }
    if let Door::Roles(desk) = &app.door
        && desk.judge().roles().current().is_none()
    {
        return ill("the first roles are not published");
    }
    if let Some((object, others)) = app.scrub.damage() {
        return ill(&format!("damaged at rest: {object} and {others} more; see tally-log repair"));
    }
    let age = app.shared.view().map(|view| app.clock.now().saturating_sub(view.at));
    match age {
        None => ill("nothing is published"),
        Some(age) if app.stale_after > 0 && age > app.stale_after => ill("the published checkpoint is old"),
        Some(_) if app.frozen.is_some() => "ok, frozen\n".into_response(),
        Some(_) => "ok\n".into_response(),
    }
}

/// Everything else.
pub async fn nothing() -> Problem {
    Problem::NotFound
}

/// An answer with its type and how long it may be cached.
pub fn typed(content_type: &'static str, cache: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = body.into().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

/// What a tile, bundle or manifest says never changes.
pub const IMMUTABLE: &str = "public, max-age=604800, immutable";

//! `PUT /manifest/<root>` and its `GET`. A key that may upload nothing is refused before a byte of the body is read. Whether the key is
//! the uploader's is known only afterwards, since the signature is over the body.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::log::{MAX_MANIFEST, SIGNATURE_HEADER, manifest_message};
use tlog::{Hash, KeyKind, VerifierKey};

use super::intake::Taken;
use super::{App, Problem, body, reads};
use crate::layout;
use crate::roles::ManifestError;

/// `GET /manifest/<root>`.
pub async fn read(State(app): State<Arc<App>>, Path(root): Path<String>) -> Result<Response, Problem> {
    let root = Hash::from_hex(&root).ok_or(Problem::NotFound)?;
    Ok(reads::typed("text/plain; charset=utf-8", reads::IMMUTABLE, reads::object(&app, layout::manifest(&root)).await?))
}

/// `PUT /manifest/<root>`: 201 if it is new, 200 if it was there.
pub async fn store(State(app): State<Arc<App>>, Path(root): Path<String>, request: Request<Body>) -> Result<Response, Problem> {
    let desk = app.desk()?.clone();
    app.accepting()?;
    let root =
        Hash::from_hex(&root).ok_or_else(|| Problem::Malformed("a manifest's name is 64 lowercase hexadecimal digits".to_owned()))?;
    let (key, signature) = signed_by(&request)?;
    if desk.judge().roles().current().is_none() {
        // A refusal now would be final for a key that the first roles, a moment away, may name.
        return Err(Problem::Unavailable("the log's first roles are not published yet".to_owned(), 2));
    }
    if !desk.may_upload(&key) {
        return Err(Problem::Forbidden("the roles do not name this key, or it is no longer active".to_owned()));
    }
    let length = body::length(&request);
    desk.manifests.check_quota(&key, length.unwrap_or(0) as u64).map_err(problem_of)?;
    let Taken { bytes: text, memory: _memory } = app.intake.read(request, MAX_MANIFEST).await?;
    let now = app.clock.now();
    let stored = tokio::task::spawn_blocking(move || {
        let message = manifest_message(&desk.origin, &root, &text);
        if !key.verify(message.as_bytes(), &signature) {
            return Err(Problem::Forbidden("the signature over the manifest does not verify".to_owned()));
        }
        desk.manifests.put(&root, &text, &key, now).map_err(problem_of)
    });
    let is_new = stored.await.map_err(|_| Problem::Broken)??;
    Ok(if is_new { StatusCode::CREATED } else { StatusCode::OK }.into_response())
}

/// Key and signature of the header; the signature is not checked yet.
fn signed_by(request: &Request<Body>) -> Result<(VerifierKey, Vec<u8>), Problem> {
    let malformed = || Problem::Malformed("the header Tally-Signature is not: verifier key, space, base64 signature".to_owned());
    let value = request.headers().get(SIGNATURE_HEADER).and_then(|value| value.to_str().ok()).ok_or_else(malformed)?;
    let (key, signature) = value.split_once(' ').ok_or_else(malformed)?;
    let key = VerifierKey::parse(key).ok().filter(|key| key.kind() == KeyKind::Ed25519).ok_or_else(malformed)?;
    Ok((key, STANDARD.decode(signature).map_err(|_| malformed())?))
}

fn problem_of(error: ManifestError) -> Problem {
    match error {
        ManifestError::Malformed(why) => Problem::Malformed(why),
        ManifestError::WrongRoot(root) => Problem::Malformed(format!("the manifest's root is {root}")),
        ManifestError::Quota(bytes) => Problem::TooMany(
            format!("manifests that no entry claims take up this key's {bytes} bytes; submit the entries, or come again in an hour"),
            60,
        ),
        ManifestError::Failed(why) => {
            tracing::error!("storing a manifest: {why}");
            Problem::Unavailable("the manifest could not be stored".to_owned(), 30)
        }
    }
}

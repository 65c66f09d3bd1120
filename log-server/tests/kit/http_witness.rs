//! The test witness behind a real socket, for the real binary.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use client::witness::AddAnswer;
use tally_log::witnesses::{Endpoint as _, Fault};
use tlog::witness::AddCheckpoint;

use super::TestWitness;

/// Serves a witness on port 0.
pub async fn serve(witness: TestWitness) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{origin}/checkpoint", get(newest))
        .with_state(Arc::new(witness));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn add_checkpoint(State(witness): State<Arc<TestWitness>>, body: Bytes) -> Response {
    let Ok(request) = AddCheckpoint::parse(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    match TestWitness::clone(&witness).add_checkpoint(&request) {
        Ok(AddAnswer::Cosigned(lines)) => lines.iter().map(|line| line.encode()).collect::<String>().into_response(),
        Ok(AddAnswer::OtherSize(size)) => {
            (StatusCode::CONFLICT, [(header::CONTENT_TYPE, "text/x.tlog.size")], format!("{size}\n")).into_response()
        }
        Err(Fault::Silent(why)) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
        Err(Fault::Refused(why)) => (StatusCode::UNPROCESSABLE_ENTITY, why).into_response(),
    }
}

async fn newest(State(witness): State<Arc<TestWitness>>) -> Response {
    match TestWitness::clone(&witness).newest("") {
        Ok(Some(signed)) => signed.encode().into_response(),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

//! Connections: how many there are at a time, and how long a client may hold one that says nothing or reads nothing.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::http::{App, Front};

/// What a connection may take.
#[derive(Clone, Copy)]
pub struct Limits {
    /// How many there are at a time.
    pub connections: usize,
    /// Longest time for a request's headers, and for the next request.
    pub header_time: Duration,
    /// Longest time in which a client takes in nothing of what was sent to it.
    pub unread_time: Duration,
}

/// Accepts connections, a limited number at a time. An error of one connection ends that connection.
pub async fn accept(listener: &TcpListener, app: &Arc<App>, limits: Limits, graceful: &GracefulShutdown) {
    let service = Front::new(app.clone());
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.header_time).max_buf_size(MAX_HEADERS).keep_alive(true);
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: others must end before this can go on.
                tracing::warn!("accepting a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if let Err(error) = client::socket::prepare(&stream, limits.unread_time) {
            tracing::warn!("limiting how long a client may read nothing: {error}");
        }
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service.clone()));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("connection: {error}");
            }
            drop(place);
        });
    }
}

/// Largest request head in bytes.
const MAX_HEADERS: usize = 64 << 10;

//! The backend's end: dial, serve HTTP/2 on the connection, and dial again when it ends.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::{info, warn};

use super::{ALPN, KeyHash};

/// How long dialling may take.
const DIAL: Duration = Duration::from_secs(15);
/// Between two tries; it doubles until it is the longest.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A connection that lasted this long was a good one: the next pause is the shortest again.
const GOOD: Duration = Duration::from_secs(60);
/// How often a silent bastion is asked whether it is there, and how long it may take to say so.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Requests at a time on one connection.
const MAX_STREAMS: u32 = 256;
/// Largest head of a request.
const MAX_HEAD: u32 = 64 << 10;

/// Where a bastion is, and how to reach it.
#[derive(Clone)]
pub struct Dial {
    address: String,
    name: ServerName<'static>,
    connector: TlsConnector,
}

impl Dial {
    /// A bastion at `host:port`; `None` if that is not a host and a port.
    #[must_use]
    pub fn new(address: &str, config: ClientConfig) -> Option<Self> {
        let (host, port) = address.rsplit_once(':')?;
        port.parse::<u16>().ok()?;
        let name = ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']').to_owned()).ok()?;
        Some(Self { address: address.to_owned(), name, connector: TlsConnector::from(Arc::new(config)) })
    }

    async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let stream = self.connector.connect(self.name.clone(), stream).await?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err(io::Error::other("it is no bastion: it does not speak bastion/0"));
        }
        Ok(stream)
    }

    /// One connection, from dialling to its end.
    async fn serve(&self, router: Router) -> io::Result<()> {
        let stream = tokio::time::timeout(DIAL, self.connect()).await.map_err(|_| io::ErrorKind::TimedOut)??;
        info!(bastion = self.address, "connected to the bastion");
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new()).keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(KEEP_ALIVE);
        http.max_concurrent_streams(MAX_STREAMS).max_header_list_size(MAX_HEAD);
        http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await.map_err(io::Error::other)
    }
}

/// Serves these routes through the bastion, for ever: whenever the connection ends it is made again.
pub async fn serve(dial: Dial, router: Router, hash: KeyHash) {
    info!(url = format!("https://{}/{hash}", dial.address), "the submission prefix through the bastion");
    let mut pause = PAUSE;
    loop {
        let started = Instant::now();
        match dial.serve(router.clone()).await {
            Ok(()) => info!(bastion = dial.address, "the bastion has ended the connection"),
            Err(problem) => {
                warn!(bastion = dial.address, %problem, seconds = pause.as_secs(), "no connection to the bastion; trying again")
            }
        }
        if started.elapsed() >= GOOD {
            pause = PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

//! The bastion: passes requests on to the backends that have dialled in.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info, warn};

use super::allow::Allowed;
use super::tls::key_hash;
use super::{ALPN, KeyHash};

/// Most connections at a time; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 1024;
/// Largest body of a request, and of an answer.
const MAX_REQUEST: usize = 256 << 10;
const MAX_ANSWER: usize = 4 << 20;
/// How long a handshake, a head, and an answer may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEAD: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(30);
/// How often a silent backend is asked whether it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// After a failed accept, as when no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What belongs to one connection alone (RFC 9110, 7.6.1), or is set anew.
const NOT_PASSED_ON: &[&str] =
    &["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "host", "content-length", FORWARDED];
const FORWARDED: &str = "x-forwarded-for";

/// A bastion: who may dial in, and who has.
pub struct Bastion {
    allowed: RwLock<Allowed>,
    backends: Mutex<HashMap<KeyHash, Backend>>,
    connections: AtomicU64,
    backend_tls: Arc<ServerConfig>,
    public_tls: Arc<ServerConfig>,
}

/// The newest connection of one backend.
struct Backend {
    number: u64,
    sender: SendRequest<Full<Bytes>>,
}

impl Bastion {
    /// A bastion for these backends.
    #[must_use]
    pub fn new(allowed: Allowed, backend_tls: ServerConfig, public_tls: ServerConfig) -> Arc<Self> {
        Arc::new(Self {
            allowed: RwLock::new(allowed),
            backends: Mutex::default(),
            connections: AtomicU64::new(0),
            backend_tls: Arc::new(backend_tls),
            public_tls: Arc::new(public_tls),
        })
    }

    /// Another list. Backends that are no longer on it lose their connection.
    pub fn allow(&self, allowed: Allowed) {
        self.backends().retain(|hash, _| allowed.has(hash));
        *self.allowed.write().unwrap_or_else(PoisonError::into_inner) = allowed;
    }

    fn is_allowed(&self, hash: &KeyHash) -> bool {
        self.allowed.read().unwrap_or_else(PoisonError::into_inner).has(hash)
    }

    fn backends(&self) -> std::sync::MutexGuard<'_, HashMap<KeyHash, Backend>> {
        self.backends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts backends and clients, for ever.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let bastion = Arc::clone(&self);
                    tokio::spawn(async move {
                        if let Err(problem) = bastion.connection(stream, peer.ip()).await {
                            debug!(%peer, %problem, "a connection has ended");
                        }
                        drop(place);
                    });
                }
                Err(problem) => {
                    warn!(%problem, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: IpAddr) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let handshake = async {
            let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
            let is_backend = hello.client_hello().alpn().is_some_and(|mut offered| offered.any(|name| name == ALPN));
            let config = if is_backend { &self.backend_tls } else { &self.public_tls };
            std::io::Result::Ok((is_backend, hello.into_stream(Arc::clone(config)).await?))
        };
        let (is_backend, stream) = tokio::time::timeout(HANDSHAKE, handshake).await??;
        if is_backend { self.backend(stream, peer).await } else { self.client(stream, peer).await }
    }

    /// Keeps a backend's connection until it ends, or is replaced by a newer one.
    async fn backend(&self, stream: TlsStream<TcpStream>, peer: IpAddr) -> anyhow::Result<()> {
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).and_then(key_hash);
        let hash = certificate.ok_or_else(|| anyhow::anyhow!("no Ed25519 certificate"))?;
        if !self.is_allowed(&hash) {
            info!(%hash, %peer, "turned away: this backend is not on the list");
            return Ok(());
        }
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new()).keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(KEEP_ALIVE).keep_alive_while_idle(true);
        let (sender, connection) = http.handshake(TokioIo::new(stream)).await?;
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        self.backends().insert(hash, Backend { number, sender });
        info!(%hash, %peer, "a backend has connected");
        // It ends when the other side goes, or when the last sender is dropped.
        let ended = connection.await;
        let mut backends = self.backends();
        if backends.get(&hash).is_some_and(|backend| backend.number == number) {
            backends.remove(&hash);
        }
        info!(%hash, "a backend has gone");
        Ok(ended?)
    }

    async fn client(self: Arc<Self>, stream: TlsStream<TcpStream>, peer: IpAddr) -> anyhow::Result<()> {
        let service = service_fn(move |request| {
            let bastion = Arc::clone(&self);
            async move { Ok::<_, Infallible>(bastion.answer(request, peer).await.unwrap_or_else(refusal)) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(64 << 10);
        Ok(http.serve_connection(TokioIo::new(stream), service).await?)
    }

    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Result<Response<Full<Bytes>>, (StatusCode, &'static str)> {
        let (hash, uri) = target(request.uri()).ok_or((StatusCode::NOT_FOUND, "the path begins with a backend's key hash"))?;
        if !self.is_allowed(&hash) {
            return Err((StatusCode::MISDIRECTED_REQUEST, "no such backend here"));
        }
        let sender = self.backends().get(&hash).map(|backend| backend.sender.clone());
        let mut sender = sender.ok_or((StatusCode::SERVICE_UNAVAILABLE, "this backend is not connected"))?;
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_REQUEST).collect().await.map_err(|_| (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"))?;
        let mut passed = Request::new(Full::new(body.to_bytes()));
        *passed.method_mut() = head.method;
        *passed.uri_mut() = uri;
        *passed.headers_mut() = passed_on(head.headers);
        if let Ok(peer) = HeaderValue::try_from(peer.to_string()) {
            passed.headers_mut().insert(HeaderName::from_static(FORWARDED), peer);
        }
        let bad = (StatusCode::BAD_GATEWAY, "the backend gave no answer");
        let exchange = async {
            sender.ready().await.map_err(|_| bad)?;
            let (head, body) = sender.send_request(passed).await.map_err(|_| bad)?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|_| bad)?;
            Ok((head, body.to_bytes()))
        };
        let late = (StatusCode::GATEWAY_TIMEOUT, "the backend took too long");
        let (head, body) = tokio::time::timeout(ANSWER, exchange).await.map_err(|_| late)??;
        let mut answer = Response::new(Full::new(body));
        *answer.status_mut() = head.status;
        *answer.headers_mut() = passed_on(head.headers);
        Ok(answer)
    }
}

/// The backend that a path names, and the address without that segment. Its host is the hash: it names nothing outside.
fn target(uri: &Uri) -> Option<(KeyHash, Uri)> {
    let (hash, path) = uri.path().strip_prefix('/')?.split_once('/')?;
    let hash = KeyHash::parse(hash)?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some((hash, Uri::try_from(format!("https://{hash}/{path}{query}")).ok()?))
}

fn passed_on(mut headers: HeaderMap) -> HeaderMap {
    // What a connection header names belongs to that connection, too.
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in NOT_PASSED_ON {
        headers.remove(*name);
    }
    headers
}

fn refusal((status, text): (StatusCode, &'static str)) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{text}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_backend_and_loses_that_segment() {
        let hash = "ab".repeat(32);
        let (named, uri) = target(&format!("/{hash}/add-checkpoint?x=1").parse().unwrap()).unwrap();
        assert_eq!(named.to_string(), hash);
        assert_eq!(uri.to_string(), format!("https://{hash}/add-checkpoint?x=1"));
        for path in ["/", "/x/y", &format!("/{hash}"), &format!("/{}/x", hash.to_uppercase()), &format!("/{}/x", &hash[2..])] {
            assert_eq!(target(&path.parse().unwrap()), None, "{path}");
        }
    }

    #[test]
    fn headers_of_the_connection_and_forged_addresses_stay_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("connection", "close, x-private"), ("x-private", "1"), (FORWARDED, "1.2.3.4"), ("accept", "text/plain")] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.append(HeaderName::from_static(FORWARDED), HeaderValue::from_static("5.6.7.8"));
        let passed = passed_on(headers);
        assert_eq!(passed.len(), 1);
        assert_eq!(passed["accept"], "text/plain");
    }
}

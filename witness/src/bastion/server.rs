//! The bastion: passes requests on to the backends that have dialled in.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Bytes;
use client::socket;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info, warn};

use super::allow::Allowed;
use super::tls::key_hash;
use super::{ALPN, KeyHash};

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

/// How much a bastion takes on at a time. Backends have no limit but the list: clients can leave them no room.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections of whom it is not known yet what they are; further ones wait in the kernel's queue.
    pub handshakes: usize,
    /// Clients; further ones are turned away.
    pub clients: usize,
    /// How long the body of a request may take.
    pub body: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { handshakes: 256, clients: 768, body: Duration::from_secs(10) }
    }
}

/// A bastion: who may dial in, and who has.
pub struct Bastion {
    allowed: RwLock<Allowed>,
    backends: Mutex<HashMap<KeyHash, Backend>>,
    connections: AtomicU64,
    backend_tls: Arc<ServerConfig>,
    public_tls: Arc<ServerConfig>,
    handshakes: Arc<Semaphore>,
    clients: Arc<Semaphore>,
    body: Duration,
}

/// Why a request is not passed on, or has no answer.
type Refusal = (StatusCode, &'static str);

/// The newest connection of one backend.
struct Backend {
    number: u64,
    sender: SendRequest<Full<Bytes>>,
}

impl Bastion {
    /// A bastion for these backends.
    #[must_use]
    pub fn new(allowed: Allowed, backend_tls: ServerConfig, public_tls: ServerConfig) -> Arc<Self> {
        Self::with_limits(allowed, backend_tls, public_tls, Limits::default())
    }

    /// A bastion that takes on so much.
    #[must_use]
    pub fn with_limits(allowed: Allowed, backend_tls: ServerConfig, public_tls: ServerConfig, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            allowed: RwLock::new(allowed),
            backends: Mutex::default(),
            connections: AtomicU64::new(0),
            backend_tls: Arc::new(backend_tls),
            public_tls: Arc::new(public_tls),
            handshakes: Arc::new(Semaphore::new(limits.handshakes)),
            clients: Arc::new(Semaphore::new(limits.clients)),
            body: limits.body,
        })
    }

    /// Another list. Backends that are no longer on it lose their connection.
    pub fn allow(&self, allowed: Allowed) {
        // The list first: who is let in by the old one is still found here.
        *self.allowed.write().unwrap_or_else(PoisonError::into_inner) = allowed;
        self.backends().retain(|hash, _| self.is_allowed(hash));
    }

    /// Takes up a backend's new connection and returns its number; `None` if it is not on the list.
    fn admit(&self, hash: KeyHash, sender: SendRequest<Full<Bytes>>) -> Option<u64> {
        let mut backends = self.backends();
        // Asked under the lock: a list that was read meanwhile has dropped whom it found here.
        let number = self.is_allowed(&hash).then(|| self.connections.fetch_add(1, Ordering::Relaxed))?;
        backends.insert(hash, Backend { number, sender });
        Some(number)
    }

    fn is_allowed(&self, hash: &KeyHash) -> bool {
        self.allowed.read().unwrap_or_else(PoisonError::into_inner).has(hash)
    }

    fn backends(&self) -> std::sync::MutexGuard<'_, HashMap<KeyHash, Backend>> {
        self.backends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts backends and clients, for ever.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        while let Ok(place) = Arc::clone(&self.handshakes).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let bastion = Arc::clone(&self);
                    tokio::spawn(async move {
                        if let Err(problem) = bastion.connection(stream, peer.ip(), place).await {
                            debug!(%peer, %problem, "a connection has ended");
                        }
                    });
                }
                Err(problem) => {
                    warn!(%problem, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: IpAddr, handshaking: OwnedSemaphorePermit) -> anyhow::Result<()> {
        socket::prepare(&stream, socket::UNTAKEN)?;
        let (client, stream) = tokio::time::timeout(HANDSHAKE, self.handshake(stream)).await??;
        drop(handshaking);
        match client {
            None => self.backend(stream, peer).await,
            Some(_place) => self.client(stream, peer).await,
        }
    }

    /// TLS, and a client's place; a backend needs none.
    async fn handshake(&self, stream: TcpStream) -> anyhow::Result<(Option<OwnedSemaphorePermit>, TlsStream<TcpStream>)> {
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        if hello.client_hello().alpn().is_some_and(|mut offered| offered.any(|name| name == ALPN)) {
            return Ok((None, hello.into_stream(Arc::clone(&self.backend_tls)).await?));
        }
        let place = Arc::clone(&self.clients).try_acquire_owned();
        let place = place.map_err(|_| anyhow::anyhow!("turned away: there are too many clients"))?;
        Ok((Some(place), hello.into_stream(Arc::clone(&self.public_tls)).await?))
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
        let Some(number) = self.admit(hash, sender) else { return Ok(()) };
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

    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Result<Response<Full<Bytes>>, Refusal> {
        let (hash, uri) = target(request.uri()).ok_or((StatusCode::NOT_FOUND, "the path begins with a backend's key hash"))?;
        if !self.is_allowed(&hash) {
            return Err((StatusCode::MISDIRECTED_REQUEST, "no such backend here"));
        }
        let sender = self.backends().get(&hash).map(|backend| backend.sender.clone());
        let mut sender = sender.ok_or((StatusCode::SERVICE_UNAVAILABLE, "this backend is not connected"))?;
        let (head, body) = request.into_parts();
        let mut passed = Request::new(Full::new(self.body(body).await?));
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

    /// The body of a request, as a whole.
    async fn body(&self, body: Incoming) -> Result<Bytes, Refusal> {
        match tokio::time::timeout(self.body, Limited::new(body, MAX_REQUEST).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(problem)) if problem.is::<LengthLimitError>() => Err((StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")),
            Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "the body could not be read")),
            Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body took too long")),
        }
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

fn refusal((status, text): Refusal) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{text}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bastion(allowed: Allowed) -> Arc<Bastion> {
        let no_certificate = || {
            let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
            let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
            builder.with_cert_resolver(Arc::new(rustls::server::ResolvesServerCertUsingSni::new()))
        };
        Bastion::new(allowed, no_certificate(), no_certificate())
    }

    #[tokio::test]
    async fn a_backend_that_was_let_in_by_an_older_list_is_not_taken_up() {
        let hash = KeyHash::of(&[1; 32]);
        let bastion = bastion(Allowed::parse(format!("{hash}\n").as_bytes()).unwrap());
        let (stream, _other) = tokio::io::duplex(64 << 10);
        let (sender, _connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        assert_eq!(bastion.admit(hash, sender.clone()), Some(0));
        bastion.allow(Allowed::default());
        assert!(bastion.backends().is_empty());
        // Its handshake was under way when the list was read.
        assert_eq!(bastion.admit(hash, sender), None);
        assert!(bastion.backends().is_empty());
    }

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

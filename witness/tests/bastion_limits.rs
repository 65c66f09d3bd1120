//! What clients may take of a bastion: time for a body, and places of which none is a backend's.

mod support;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use support::certificate::certificate;
use tally_witness::bastion::allow::Allowed;
use tally_witness::bastion::backend::{self, Dial};
use tally_witness::bastion::server::{Bastion, Limits};
use tally_witness::bastion::{Identity, backend_config, bastion_config, public_config};
use tlog::KeyKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A bastion in this process, and one backend that may dial in.
struct Setup {
    bastion: Arc<Bastion>,
    address: String,
    roots: RootCertStore,
    identity: Identity,
}

impl Setup {
    async fn start(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        certificate(dir.path());
        let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(&read("cert.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(&read("key.pem")).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&read("ca.pem")).unwrap()).unwrap();
        let identity = Identity::new(Arc::new(support::key("b.example", KeyKind::Ed25519, 3))).unwrap();
        let allowed = Allowed::parse(format!("{}\n", identity.hash()).as_bytes()).unwrap();
        let (backends, public) = (bastion_config(chain.clone(), key.clone_key()).unwrap(), public_config(chain, key).unwrap());
        let bastion = Bastion::with_limits(allowed, backends, public, limits);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(Arc::clone(&bastion).serve(listener));
        Self { bastion, address, roots, identity }
    }

    /// A backend that says how long a body was.
    fn dial(&self) {
        let config = backend_config(&self.identity, self.roots.clone()).unwrap();
        let length = |body: axum::body::Bytes| async move { body.len().to_string() };
        let router = Router::new().route("/", get(|| async { "here" })).route("/length", post(length));
        tokio::spawn(backend::serve(Dial::new(&self.address, config).unwrap(), router, self.identity.hash()));
    }

    async fn client(&self) -> io::Result<Client> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(self.roots.clone()).with_no_client_auth();
        let stream = TcpStream::connect(&self.address).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut client = Client(TlsConnector::from(Arc::new(config)).connect(name, stream).await?);
        // The handshake may end here before the other side knows.
        client.ask("GET", "/", "\r\n").await?;
        Ok(client)
    }

    async fn waited_for(&self, client: &mut Client) {
        let path = format!("/{}/", self.identity.hash());
        for _ in 0..600 {
            if client.ask("GET", &path, "\r\n").await.unwrap() == 200 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the backend is not there after a minute");
    }

    fn length(&self) -> String {
        format!("/{}/length", self.identity.hash())
    }
}

/// One connection.
struct Client(TlsStream<TcpStream>);

impl Client {
    /// The status of the answer; `rest` is what follows the host.
    async fn ask(&mut self, method: &str, path: &str, rest: &str) -> io::Result<u16> {
        self.0.write_all(format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{rest}").as_bytes()).await?;
        let reading = async {
            let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
            loop {
                let read = self.0.read(&mut chunk).await?;
                answer.extend_from_slice(&chunk[..read]);
                let text = String::from_utf8_lossy(&answer).to_lowercase();
                let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
                match text.split_once("\r\n\r\n") {
                    Some((_, body)) if length.is_some_and(|length| body.len() >= length) => {
                        return text.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData.into());
                    }
                    _ if read == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), reading).await.expect("an answer within a minute")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_its_time() {
    let setup = Setup::start(Limits { body: Duration::from_millis(200), ..Limits::default() }).await;
    setup.dial();
    let mut client = setup.client().await.unwrap();
    setup.waited_for(&mut client).await;
    let path = setup.length();
    assert_eq!(client.ask("POST", &path, "content-length: 5\r\n\r\nwhole").await.unwrap(), 200);
    assert_eq!(client.ask("POST", &path, "content-length: 5\r\n\r\npart").await.unwrap(), 408);
    // What cannot be read is not what is too large.
    let mut client = setup.client().await.unwrap();
    assert_eq!(client.ask("POST", &path, "transfer-encoding: chunked\r\n\r\n4\r\npart\r\nx").await.unwrap(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_take_all_places_leave_a_backend_its_own() {
    let setup = Setup::start(Limits { handshakes: 2, clients: 2, ..Limits::default() }).await;
    let mut clients = vec![setup.client().await.unwrap(), setup.client().await.unwrap()];
    assert!(setup.client().await.is_err(), "a third one is turned away");
    setup.dial();
    setup.waited_for(&mut clients[0]).await;
    assert!(setup.client().await.is_err());
    // A place that is left is another's.
    drop(clients.pop());
    for _ in 0..600 {
        if setup.client().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the place is not free after a minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_taken_off_the_list_is_gone_at_once() {
    let setup = Setup::start(Limits::default()).await;
    setup.dial();
    let mut client = setup.client().await.unwrap();
    setup.waited_for(&mut client).await;
    setup.bastion.allow(Allowed::default());
    let path = format!("/{}/", setup.identity.hash());
    assert_eq!(client.ask("GET", &path, "\r\n").await.unwrap(), 421);
}

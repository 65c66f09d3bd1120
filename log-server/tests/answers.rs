//! That answers reach whoever asked: refusals of large bodies, and web pages of any origin.

mod kit;

use std::time::Duration;

use kit::served::{Served, builder, stranger};
use tlog::{Hash, Signer as _, VerifierKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const WAIT: Duration = Duration::from_secs(30);

/// Sends the whole of a body, as clients do that look for the answer only then, and returns the answer's first line.
async fn answer_after_sending(served: &Served, head: &str, length: usize) -> String {
    let mut stream = tokio::net::TcpStream::connect(served.url.trim_start_matches("http://")).await.unwrap();
    stream.write_all(format!("{head}host: x\r\ncontent-length: {length}\r\n\r\n").as_bytes()).await.unwrap();
    let piece = vec![b'a'; 1 << 20];
    let mut left = length;
    while left > 0 {
        let count = left.min(piece.len());
        stream.write_all(&piece[..count]).await.expect("the log takes what it refuses");
        left -= count;
    }
    let mut answer = [0; 12];
    tokio::time::timeout(WAIT, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_arrives_though_the_body_is_large() {
    let served = Served::start(false).await;
    let signature = "A".repeat(88);
    let put = |key: &VerifierKey| format!("PUT /manifest/{} HTTP/1.1\r\ntally-signature: {} {signature}\r\n", Hash::EMPTY, key.encode());
    for (head, length, status) in [
        (put(builder().key()).as_str(), (64 << 20) + 1, 413),
        (&put(stranger().key()), 30 << 20, 403),
        ("POST /entries/batch HTTP/1.1\r\n", (16 << 20) + 1, 413),
        ("POST /entries HTTP/1.1\r\n", 20 << 20, 413),
        ("POST /nowhere HTTP/1.1\r\n", 20 << 20, 404),
    ] {
        assert_eq!(answer_after_sending(&served, head, length).await, format!("HTTP/1.1 {status}"), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_web_page_may_read_every_answer() {
    let served = Served::start(false).await;
    for path in ["checkpoint", "tile/entries/000.p/1", "tile/0/007", "healthz", "nowhere"] {
        let response = reqwest::get(served.path(path)).await.unwrap();
        let origins: Vec<_> = response.headers().get_all("access-control-allow-origin").iter().collect();
        assert_eq!(origins, ["*"], "{path}");
    }
    let refused = reqwest::Client::new().post(served.path("entries")).body("nonsense").send().await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["access-control-allow-origin"]), (400, &"*".parse().unwrap()));
}

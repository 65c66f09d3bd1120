//! Clients that send slowly, or not at all, or do not read: they hold up nobody.

mod kit;

use std::time::Duration;

use attest::predicate::PackageOrigin;
use attest::{Hash, Predicate, Statement};
use kit::ORIGIN;
use kit::served::{Served, builder, claim, manifest, purl, second_builder, sign};
use reqwest::{Client, StatusCode};
use tally_log::http::Uploads;
use tlog::Signer as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

const WAIT: Duration = Duration::from_secs(60);

/// A connection that takes in little before it is read from.
async fn connect(served: &Served) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(served.url.trim_start_matches("http://").parse().unwrap()).await.unwrap()
}

/// A connection on which a request's head was sent, and what else belongs to it.
async fn begin(served: &Served, request: &str, headers: &str, body: &[u8]) -> TcpStream {
    let mut stream = connect(served).await;
    stream.write_all(format!("{request} HTTP/1.1\r\nhost: x\r\n{headers}\r\n\r\n").as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    stream
}

/// The head of the answer, or what there is of it when the connection ends.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    while !text.windows(4).any(|window| window == b"\r\n\r\n") {
        match tokio::time::timeout(WAIT, stream.read(&mut buffer)).await.expect("an answer") {
            Ok(0) | Err(_) => break,
            Ok(read) => text.extend_from_slice(&buffer[..read]),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Puts a manifest and submits the claim about it in a batch.
async fn honest(served: &Served, name: &str) -> (StatusCode, String) {
    let text = manifest(name);
    served.client().put_manifest(ORIGIN, &text.root(), text.encode(), &builder()).await.unwrap();
    let batch = Client::new().post(served.path("entries/batch")).body(sign(&claim(name), &builder())).send().await.unwrap();
    (batch.status(), batch.text().await.unwrap())
}

fn accepted((status, text): (StatusCode, String)) -> bool {
    status == StatusCode::OK && text.lines().nth(1).is_some_and(|line| line.contains("\"index\""))
}

/// The header that a builder's manifest comes with; the signature is checked after the body.
fn unsigned() -> String {
    format!("tally-signature: {} {}", second_builder().key().encode(), "A".repeat(86) + "==")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_announces_much_and_sends_nothing_keeps_nobody_out() {
    let served = Served::start(false).await;
    let mut silent = Vec::new();
    let path = format!("PUT /manifest/{}", Hash::digest(b"any"));
    for n in 0..40 {
        silent.push(match n % 4 {
            0 => begin(&served, "POST /entries/batch", "transfer-encoding: chunked", b"").await,
            1 => begin(&served, "POST /entries/batch", "content-length: 16777216", b"x").await,
            2 => begin(&served, &path, &format!("{}\r\ntransfer-encoding: chunked", unsigned()), b"").await,
            _ => begin(&served, &path, &format!("{}\r\ncontent-length: 67108864", unsigned()), b"x").await,
        });
    }
    assert!(accepted(honest(&served, "jq").await));
    // In the end each of them is told.
    for mut stream in silent {
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_trickles_in_is_ended_and_a_steady_one_is_not() {
    let mut served = Served::made(false, |_| {});
    served.uploads = Uploads { grace: Duration::from_secs(3), slowest: 10_000, ..Uploads::default() };
    served.serve().await.unwrap();
    let mut trickle = begin(&served, "POST /entries/batch", "content-length: 1000000", b"").await;
    let (mut read, mut write) = trickle.split();
    // Far below the rate, and never silent; it is ended long before it is through.
    let send = async {
        for _ in 0..1_000 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if write.write_all(b"x").await.is_err() {
                return;
            }
        }
    };
    let mut head = [0; 12];
    tokio::select! {
        () = send => panic!("it may trickle in"),
        read = read.read_exact(&mut head) => assert_eq!(read.map(|_| &head[..]).unwrap(), b"HTTP/1.1 408"),
    }
    // Fast first and silent then: what came fast earns no long rest.
    let mut rests = begin(&served, "POST /entries/batch", "content-length: 4000000", &vec![b'x'; 3_000_000]).await;
    assert!(answer(&mut rests).await.starts_with("HTTP/1.1 408"));
    // Twice as long as anybody may be silent, at many times the rate.
    let mut steady = begin(&served, "POST /entries/batch", "content-length: 2000000", b"").await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(350)).await;
        steady.write_all(&[b'x'; 100_000]).await.unwrap();
    }
    assert!(answer(&mut steady).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_wait_for_each_others_memory_do_not_all_fail() {
    let mut served = Served::made(false, |_| {});
    served.uploads = Uploads { memory_kib: 1_024, memory_time: Duration::from_secs(1), ..Uploads::default() };
    served.serve().await.unwrap();
    // Each needs more than half of the memory, and together they have it all before one is through.
    let mut halves = Vec::new();
    for _ in 0..4 {
        halves.push(begin(&served, "POST /entries/batch", "content-length: 700000", &[b'x'; 250_000]).await);
    }
    // Memory is all taken when nobody else gets any.
    let mut probes = 0;
    while Client::new().post(served.path("entries/batch")).body("x").send().await.unwrap().status() != StatusCode::SERVICE_UNAVAILABLE {
        probes += 1;
        assert!(probes < 1_000, "the four do not take all of it");
    }
    let rest = halves.into_iter().map(|mut stream| {
        tokio::spawn(async move {
            // Whoever is refused may be so in the middle of sending.
            let _ = stream.write_all(&[b'x'; 450_000]).await;
            answer(&mut stream).await
        })
    });
    let (mut whole, mut refused) = (0, 0);
    for task in rest.collect::<Vec<_>>() {
        let answer = task.await.unwrap();
        match answer.split_whitespace().nth(1) {
            Some("200") => whole += 1,
            Some("503") => {
                assert!(answer.contains("retry-after: "), "{answer}");
                refused += 1;
            }
            _ => panic!("{answer}"),
        }
    }
    assert!(whole > 0 && refused > 0 && whole + refused == 4, "{whole} were taken, {refused} refused");
    assert!(accepted(honest(&served, "jq").await), "all memory is free again");
    let large = Client::new().post(served.path("entries/batch")).body(vec![b'x'; 1_000_000]).send().await.unwrap();
    assert_eq!(large.status(), StatusCode::OK);
}

/// A leaf of some 6 KB.
fn large_origin(n: usize) -> Statement {
    let origin = PackageOrigin {
        filename: format!("pool/{n}/{}", "f".repeat(900)),
        in_release: Hash::digest(b"InRelease"),
        origin: "Debian".into(),
        packages_path: "p".repeat(1_000),
        packages: Hash::digest(b"Packages"),
        signers: (0..16).map(|signer| format!("{signer:064}")).collect(),
        suite: "s".repeat(1_000),
    };
    Statement::about_package(&purl("large"), Hash::digest(b"large"), Predicate::PackageOrigin(origin))
}

/// A log with 1,000 large leaves that a lookup finds.
async fn large_log(served: &Served) {
    let leaves: Vec<Vec<u8>> = (0..1_000).map(|n| sign(&large_origin(n), &builder())).collect();
    let batch = Client::new().post(served.path("entries/batch?wait=60")).body(leaves.join(&b'\n')).send().await.unwrap();
    let text = batch.text().await.unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("\"index\"")).count(), 1_000, "{:.300}", text);
}

async fn ask(served: &Served) -> TcpStream {
    let query = "type:package-origin/v1\n";
    begin(served, "POST /lookup", &format!("content-length: {}", query.len()), query.as_bytes()).await
}

/// Few threads that may wait, so that a few dozen clients could take all of them.
#[test]
fn lookups_that_nobody_reads_stop_neither_reads_nor_other_lookups() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(24).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut served = Served::made(false, |_| {});
        served.header_time = Duration::from_secs(2);
        served.serve().await.unwrap();
        large_log(&served).await;
        let mut unread = Vec::new();
        for _ in 0..60 {
            unread.push(ask(&served).await);
        }
        let tile = tokio::time::timeout(WAIT, reqwest::get(served.path("tile/entries/000"))).await.expect("tiles are served").unwrap();
        assert_eq!(tile.status(), StatusCode::OK);
        let mut found = None;
        for _ in 0..10 {
            match served.client().lookup(&["type:roles/v1".to_owned()]).await {
                Ok(answer) => {
                    found = Some(answer.found.len());
                    break;
                }
                Err(error) => println!("not yet: {error}"),
            }
        }
        assert_eq!(found, Some(1), "an honest lookup comes through");
        // Those who come to read after all see that their answer has no end, or that they were not let in.
        let late = unread.into_iter().map(|mut stream| {
            tokio::spawn(async move {
                let mut text = Vec::new();
                let _ = tokio::time::timeout(WAIT, stream.read_to_end(&mut text)).await.expect("the connection ends");
                text
            })
        });
        let (mut cut, mut refused) = (0, 0);
        for task in late.collect::<Vec<_>>() {
            let text = task.await.unwrap();
            cut += usize::from(text.starts_with(b"HTTP/1.1 200") && !text.ends_with(b"\r\n0\r\n\r\n"));
            refused += usize::from(text.starts_with(b"HTTP/1.1 503") && String::from_utf8_lossy(&text).contains("\r\nretry-after: "));
        }
        assert!(cut > 0 && refused > 0, "{cut} were cut off, {refused} not let in");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_is_cut_off() {
    let mut served = Served::made(false, |_| {});
    served.serve().await.unwrap();
    large_log(&served).await;
    served.stop().await;
    let text = std::fs::read_to_string(served.log_dir().join("log.toml")).unwrap();
    let mut settings = tally_log::config::Settings::parse(&text).unwrap();
    settings.connections = 1;
    std::fs::write(served.log_dir().join("log.toml"), settings.encode()).unwrap();
    served.unread_time = Duration::from_secs(1);
    served.header_time = Duration::from_secs(1);
    served.serve().await.unwrap();
    // It asks for more than the sockets hold, again and again, and reads none of it.
    let request = "GET /tile/entries/000 HTTP/1.1\r\nhost: x\r\n\r\n".repeat(200);
    let mut unread = connect(&served).await;
    unread.write_all(request.as_bytes()).await.unwrap();
    let mut next = begin(&served, "GET /checkpoint", "x-any: y", b"").await;
    assert!(answer(&mut next).await.starts_with("HTTP/1.1 200"), "the only place is free again");
}

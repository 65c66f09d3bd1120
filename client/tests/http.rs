//! Answers as hostile or broken servers give them, over a real socket.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::Duration;

use client::log::{BatchLine, LogClient, Submitted, manifest_message};
use client::witness::{AddAnswer, WitnessClient};
use client::{FetchError, Http, block_on};
use tlog::{Hash, Tile};

/// Serves one canned answer per connection, in order, and returns the requests' bytes.
struct Canned {
    url: String,
    thread: JoinHandle<Vec<String>>,
}

impl Canned {
    fn new(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || answers.iter().map(|answer| serve(&listener, answer)).collect());
        Self { url, thread }
    }

    fn requests(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}

fn serve(listener: &TcpListener, answer: &[u8]) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    // Head, then as much body as it announces.
    loop {
        let read = stream.read(&mut buffer).unwrap_or(0);
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
            if body.len() >= length {
                break;
            }
        }
        assert_ne!(read, 0, "the request ended early");
    }
    // The client may have stopped reading on purpose.
    let _ = stream.write_all(answer);
    String::from_utf8_lossy(&request).into_owned()
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn get(canned: &Canned, limit: usize) -> Result<Vec<u8>, FetchError> {
    let http = Http::new(&canned.url, Duration::from_secs(5)).unwrap();
    block_on(http.get("x", limit)).unwrap().map(|answer| answer.body)
}

#[test]
fn answers_are_limited_with_and_without_a_length() {
    let canned = Canned::new(vec![answer("200 OK", "", &[b'a'; 100])]);
    assert_eq!(get(&canned, 100).unwrap().len(), 100);
    let canned = Canned::new(vec![answer("200 OK", "", &[b'a'; 101])]);
    assert!(matches!(get(&canned, 100), Err(FetchError::TooLarge { limit: 100, .. })));
    let unannounced = [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".as_slice(), &[b'a'; 101]].concat();
    let canned = Canned::new(vec![unannounced]);
    assert!(matches!(get(&canned, 100), Err(FetchError::TooLarge { limit: 100, .. })));
}

#[test]
fn a_compressed_bomb_is_limited_by_what_it_becomes() {
    let canned = Canned::new(vec![answer("200 OK", "Content-Encoding: gzip\r\n", &gzip_of_zeros())]);
    assert!(matches!(get(&canned, 100_000), Err(FetchError::TooLarge { limit: 100_000, .. })));
}

/// One megabyte of zeros, compressed by the system's gzip.
fn gzip_of_zeros() -> Vec<u8> {
    let output = std::process::Command::new("sh").args(["-c", "head -c 1000000 /dev/zero | gzip -9"]).output().unwrap();
    assert!(output.status.success() && output.stdout.len() < 2000);
    output.stdout
}

#[test]
fn a_cut_answer_is_unreachable_not_short() {
    let canned = Canned::new(vec![b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".to_vec()]);
    let error = get(&canned, 100).unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }) && error.is_temporary());
}

#[test]
fn refusals_carry_reason_and_delay() {
    let canned = Canned::new(vec![answer("503 Service Unavailable", "Retry-After: 7\r\n", b"full\x1b[31m\nsecond line")]);
    let error = get(&canned, 100).unwrap_err();
    let FetchError::Status { status, reason, retry_after, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*status, reason.as_str(), *retry_after), (503, "full[31m", Some(7)));
    assert!(error.is_temporary());
    let canned = Canned::new(vec![answer("403 Forbidden", "", b"no")]);
    assert!(!get(&canned, 100).unwrap_err().is_temporary());
}

#[test]
fn only_web_addresses_are_used() {
    for url in ["file:///etc/passwd", "ftp://127.0.0.1/", "not a url"] {
        assert!(Http::new(url, Duration::from_secs(1)).is_err(), "{url}");
    }
}

/// In a child, because where certificates are looked for is read from the environment.
#[test]
fn without_certificate_authorities_plain_addresses_work_and_others_say_what_is_missing() {
    if std::env::var_os("SSL_CERT_FILE").is_none_or(|file| file != "/nonexistent") {
        let test = "without_certificate_authorities_plain_addresses_work_and_others_say_what_is_missing";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args([test, "--exact"]).env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent");
        assert!(child.status().unwrap().success());
        return;
    }
    let canned = Canned::new(vec![answer("200 OK", "", b"plain")]);
    assert_eq!(get(&canned, 100).unwrap(), b"plain");
    let error = Http::new("https://127.0.0.1:1/", Duration::from_secs(5)).unwrap_err();
    assert!(error.to_string().contains("ca-certificates"), "{error}");
}

#[test]
fn a_collected_partial_tile_is_cut_from_the_full_one() {
    let tile = Tile::new(0, 0, 3).unwrap();
    let full: Vec<u8> = (0..256).flat_map(|n| [n as u8; 32]).collect();
    let canned = Canned::new(vec![answer("404 Not Found", "", b""), answer("200 OK", "", &full)]);
    let bytes = block_on(LogClient::new(&canned.url).unwrap().tile(tile)).unwrap().unwrap();
    assert_eq!(bytes, full[..96]);
    let requests = canned.requests();
    assert!(requests[0].starts_with("GET /tile/0/000.p/3 ") && requests[1].starts_with("GET /tile/0/000 "), "{requests:?}");

    let canned = Canned::new(vec![answer("200 OK", "", &full[..64])]);
    let short = block_on(LogClient::new(&canned.url).unwrap().tile(tile)).unwrap();
    assert!(matches!(short, Err(FetchError::Malformed { .. })));
}

#[test]
fn pending_is_not_proven() {
    let submit =
        |canned: &Canned| block_on(LogClient::new(&canned.url).unwrap().submit(b"entry".to_vec(), Duration::from_secs(3))).unwrap();
    let canned = Canned::new(vec![answer("202 Accepted", "", b"")]);
    assert_eq!(submit(&canned), Ok(Submitted::Pending));
    let request = canned.requests().remove(0);
    assert!(request.starts_with("POST /entries?wait=3 ") && request.ends_with("\r\n\r\nentry"), "{request}");
    let canned = Canned::new(vec![answer("200 OK", "", b"fine\n")]);
    assert!(matches!(submit(&canned), Err(FetchError::Malformed { .. })));
}

#[test]
fn a_lookup_is_strict() {
    let head = r#"{"checkpoint":"example.org/log\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— x AAAAAAA=\n"}"#;
    let lookup = |lines: &str| {
        let canned = Canned::new(vec![answer("200 OK", "", format!("{head}\n{lines}").as_bytes())]);
        block_on(LogClient::new(&canned.url).unwrap().lookup(&["type:roles/v1".to_owned()])).unwrap()
    };
    let good = r#"{"index":3,"leaf":"YQ==","proof":["47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="]}"#;
    let answer = lookup(good).unwrap();
    assert_eq!((answer.found[0].index, answer.found[0].leaf.as_slice(), answer.found[0].proof.0[0]), (3, b"a".as_slice(), Hash::EMPTY));
    let hash = "\"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\",".repeat(64);
    let long = format!(r#"{{"index":3,"leaf":"YQ==","proof":[{}]}}"#, hash.trim_end_matches(','));
    let repeated = format!("{good}\n{good}");
    for bad in [
        &long,
        &repeated,
        r#"{"index":3,"leaf":"YQ=="}"#,
        r#"{"index":3,"leaf":"Y","proof":[]}"#,
        r#"{"index":3,"leaf":"YQ==","proof":["AA=="]}"#,
    ] {
        assert!(matches!(lookup(bad), Err(FetchError::Malformed { .. })), "{bad}");
    }
}

#[test]
fn a_batch_is_strict() {
    let head = r#"{"checkpoint":"example.org/log\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— x AAAAAAA=\n"}"#;
    let batch = |text: &str| {
        let canned = Canned::new(vec![answer("200 OK", "", text.as_bytes())]);
        block_on(LogClient::new(&canned.url).unwrap().submit_batch(&[b"a", b"b"], Duration::ZERO)).unwrap()
    };
    let (proven, pending) = (r#"{"index":3,"proof":["47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="]}"#, r#"{"status":202}"#);
    let refused = r#"{"status":403,"error":"no \u001b[31mrole\nnames it"}"#;
    let lines = batch(&format!("{head}\n{proven}\n{pending}\n")).unwrap();
    assert!(matches!(&lines[0], BatchLine::Submitted(Submitted::Proven(proof)) if proof.index == 3 && proof.proof.0 == [Hash::EMPTY]));
    assert_eq!(lines[1], BatchLine::Submitted(Submitted::Pending));
    let lines = batch(&format!("{{}}\n{refused}\n{pending}\n")).unwrap();
    assert_eq!(lines[0], BatchLine::Refused { status: 403, reason: "no [31mrole".to_owned() });
    for bad in [
        format!("{head}\n{proven}\n"),
        format!("{head}\n{proven}\n{proven}\n{proven}\n"),
        format!("{{}}\n{proven}\n{pending}\n"),
        format!("{head}\n{pending}\n{{\"status\":200,\"error\":\"x\"}}\n"),
        format!("{head}\n{pending}\n{{\"status\":403}}\n"),
        format!("{head}\n{pending}\n{{\"index\":3,\"proof\":[],\"status\":202}}\n"),
        format!("{head}\n{pending}\n{{\"index\":3,\"proof\":[],\"x\":1}}\n"),
        format!("{{\"checkpoint\":\"x\"}}\n{pending}\n{pending}\n"),
        String::new(),
    ] {
        assert!(matches!(batch(&bad), Err(FetchError::Malformed { .. })), "{bad}");
    }
}

#[test]
fn manifest_signatures_name_log_root_and_body() {
    let message = manifest_message("example.org/log", &Hash::EMPTY, b"");
    assert_eq!(message, format!("tallystick/manifest/v1\nexample.org/log\n{0}\n{0}\n", Hash::EMPTY));
}

#[test]
fn a_witness_conflict_gives_a_canonical_size() {
    let note = "example.org/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— x AAAAAAA=\n";
    let request = tlog::witness::AddCheckpoint {
        old_size: 0,
        proof: tlog::ConsistencyProof(Vec::new()),
        checkpoint: tlog::Note::parse(note.as_bytes()).unwrap(),
    };
    let ask = |body: &[u8]| {
        let canned = Canned::new(vec![answer("409 Conflict", "Content-Type: text/x.tlog.size\r\n", body)]);
        let witness = WitnessClient::new(&canned.url, Duration::from_secs(5)).unwrap();
        block_on(witness.add_checkpoint(&request)).unwrap()
    };
    assert_eq!(ask(b"17\n"), Ok(AddAnswer::OtherSize(17)));
    for body in [b"017\n".as_slice(), b"\n", b"+17\n", b"some text\n"] {
        assert!(matches!(ask(body), Err(FetchError::Malformed { .. })));
    }
}

#[test]
fn a_witness_without_a_checkpoint_is_not_an_error() {
    let canned = Canned::new(vec![answer("404 Not Found", "", b"")]);
    let witness = WitnessClient::new(&canned.url, Duration::from_secs(5)).unwrap();
    assert_eq!(block_on(witness.newest("example.org/log")).unwrap(), Ok(None));
    let request = canned.requests().remove(0);
    assert!(request.starts_with(&format!("GET /{}/checkpoint ", Hash::digest(b"example.org/log"))), "{request}");
}

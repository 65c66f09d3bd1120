//! Clients that send little or nothing: they end, and until then they keep nobody out.

mod support;

use std::sync::Arc;
use std::time::Duration;

use attest::predicate::{PackageFiles, Predicate};
use attest::{Envelope, Purl, Statement};
use store::{Memory, Store};
use support::upload::{Filled, Sending, add, answered, info, lines, opened, patient, pending, until};
use support::{ORIGIN, TestClock, key, list, signers, times};
use tally_witness::mirror::{Mirror, Patience, Refused, Uploaded, http};
use tally_witness::server::Server;
use tally_witness::{Failure, Refusal};
use tlog::{Hash, KeyKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const COUNT: usize = 700;
/// So long that a test ends before.
const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);

fn memory() -> Arc<dyn Store> {
    Arc::new(Memory::new())
}

fn waiting(list: &str, patience: Patience) -> Arc<Mirror> {
    patient(signers(), list, &memory(), &TestClock::new(), patience).unwrap()
}

fn endless() -> Patience {
    Patience { head: LONG, silence: LONG, lag: LONG, ..Patience::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_do_not_end_cost_no_place() {
    let log = Filled::new(COUNT, usize::MAX);
    let mirror = waiting(&list(&[&log.log]), endless());
    pending(&mirror, &log, 0, COUNT).await;
    let head = log.upload(0, COUNT as u64).encode().unwrap();
    let mut silent = Vec::new();
    for _ in 0..64 {
        let sending = Sending::start(&mirror);
        sending.send(&head[..head.len() - 1]).await;
        silent.push(sending);
    }
    times(&lines(add(&mirror, log.body(0, COUNT as u64, 99).0).await), &log.log.checkpoint(COUNT));
    assert!(silent.iter().all(|sending| !sending.answer.is_finished()), "nobody had to go for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_head_decides_is_answered_before_the_body_comes() {
    let (log, other) = (Filled::new(COUNT, usize::MAX), Filled::of("example.org/other", 1, usize::MAX));
    let mirror = waiting(&list(&[&log.log]), endless());
    pending(&mirror, &log, 0, COUNT).await;
    let unknown = Err(Refused::Failure(Failure::Refused(Refusal::UnknownLog)));
    let cases = [(other.upload(0, 1), unknown), (log.upload(0, 1), Ok(Uploaded::Elsewhere(info(COUNT as u64, 0))))];
    for (upload, expected) in cases {
        let sending = Sending::start(&mirror);
        sending.send(&upload.encode().unwrap()).await;
        assert_eq!(answered(sending.answer).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_uploads_keep_no_honest_log_out() {
    let logs = [Filled::new(COUNT, usize::MAX), Filled::of("example.org/other", COUNT, usize::MAX)];
    let mirror = waiting(&list(&[&logs[0].log, &logs[1].log]), endless());
    for log in &logs {
        pending(&mirror, log, 0, COUNT).await;
    }
    let (body, ends) = logs[0].body(0, COUNT as u64, 99);
    let mut silent = Vec::new();
    for number in 0..20 {
        let sending = Sending::start(&mirror);
        sending.send(&body[..ends[number % 2]]).await;
        silent.push(sending);
    }
    let gone = |silent: &[Sending]| silent.iter().filter(|sending| sending.answer.is_finished()).count();
    // Each of this log after the fourth has taken the place of one before it.
    until("sixteen have given way", || gone(&silent) == 16).await;
    times(&lines(add(&mirror, logs[1].body(0, COUNT as u64, 99).0).await), &logs[1].log.checkpoint(COUNT));
    assert_eq!(gone(&silent), 16, "another log has places of its own");
    times(&lines(add(&mirror, body).await), &logs[0].log.checkpoint(COUNT));
    until("one more has given way", || gone(&silent) == 17).await;
    for sending in silent.into_iter().filter(|sending| sending.answer.is_finished()) {
        let answer = answered(sending.answer).await;
        let busy = answer == Err(Refused::Failure(Failure::Busy));
        // What one had brought is kept; where that is by now all that there is, it is told so.
        assert!(busy || matches!(answer, Ok(Uploaded::Partly(_) | Uploaded::Vouched(_))), "{answer:?}");
    }
}

/// Sends the first bytes at once and the others one by one, and is silent then, but does not go.
async fn trickle(mirror: &Arc<Mirror>, first: &[u8], then: &[u8]) -> Result<Uploaded, Refused> {
    let Sending { bytes, answer } = Sending::begin(mirror, Some(first.to_vec()));
    let (sender, then) = (bytes.unwrap(), then.to_vec());
    tokio::spawn(async move {
        for byte in then {
            tokio::time::sleep(Duration::from_millis(2)).await;
            if sender.send(vec![byte]).await.is_err() {
                break;
            }
        }
        sender.closed().await;
    });
    answered(answer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trickle_ends_and_what_came_before_it_is_kept() {
    let log = Filled::new(COUNT, usize::MAX);
    // A byte every now and then is no silence, and far less than this.
    let mirror = waiting(&list(&[&log.log]), Patience { lag: SHORT, rate: 64 << 20, ..endless() });
    pending(&mirror, &log, 0, COUNT).await;
    let (body, ends) = log.body(0, COUNT as u64, 99);
    assert_eq!(trickle(&mirror, &body[..ends[0]], &body[ends[0]..]).await, Err(Refused::Slow));
    assert_eq!(trickle(&mirror, &body[..ends[1]], &body[ends[1]..]).await, Ok(Uploaded::Partly(info(COUNT as u64, 256))));
    // Whoever sends as fast as that is not touched by it.
    times(&lines(add(&mirror, body).await), &log.log.checkpoint(COUNT));
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_an_upload_and_so_does_a_slow_head() {
    let log = Filled::new(COUNT, usize::MAX);
    let (body, ends) = log.body(0, COUNT as u64, 99);
    let silence = waiting(&list(&[&log.log]), Patience { silence: SHORT, ..endless() });
    let head = waiting(&list(&[&log.log]), Patience { head: SHORT, ..endless() });
    for mirror in [&silence, &head] {
        pending(mirror, &log, 0, COUNT).await;
    }
    for cut in [0, 1, ends[0], ends[1] - 1] {
        assert_eq!(trickle(&silence, &body[..cut], &[]).await, Err(Refused::Slow), "{cut}");
    }
    assert_eq!(trickle(&silence, &body[..ends[2] + 9], &[]).await, Ok(Uploaded::Partly(info(COUNT as u64, 512))));
    let mut upload = log.upload(0, COUNT as u64);
    upload.ticket = vec![0; 60_000];
    assert_eq!(trickle(&head, &[], &upload.encode().unwrap()).await, Err(Refused::Slow));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_package_without_proof_is_the_last() {
    let log = Filled::new(COUNT, usize::MAX);
    let mirror = waiting(&list(&[&log.log]), endless());
    pending(&mirror, &log, 0, COUNT).await;
    let (mut body, ends) = log.body(0, COUNT as u64, 99);
    for (package, kept) in [(1, 0), (2, 256)] {
        body[ends[package] - 1] ^= 1;
        let sending = Sending::start(&mirror);
        sending.send(&body[..ends[package]]).await;
        assert_eq!(answered(sending.answer).await, Err(Refused::Unproven), "its client has not even ended it");
        body[ends[package] - 1] ^= 1;
        assert_eq!(add(&mirror, log.body(1, 1, 0).0).await, Ok(Uploaded::Elsewhere(info(COUNT as u64, kept))));
    }
}

/// A status line from a client that says only this much.
async fn status(server: &Server, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = "POST /add-entries HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\ncontent-length: 99999\r\n\r\n";
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut answer = [0; 12];
    let read = stream.read_exact(&mut answer);
    tokio::time::timeout(Duration::from_secs(60), read).await.expect("an answer within a minute").unwrap();
    String::from_utf8(answer.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_it_is_408() {
    let log = Filled::new(COUNT, usize::MAX);
    let mirror = waiting(&list(&[&log.log]), Patience { head: SECOND, silence: SECOND, ..endless() });
    pending(&mirror, &log, 0, COUNT).await;
    let server = Server::start(TcpListener::bind("127.0.0.1:0").await.unwrap(), http::router(mirror)).unwrap();
    let (body, ends) = log.body(0, COUNT as u64, 99);
    assert_eq!(status(&server, &body[..9]).await, "HTTP/1.1 408");
    assert_eq!(status(&server, &body[..ends[1] - 1]).await, "HTTP/1.1 408");
    assert_eq!(status(&server, &body[..ends[1]]).await, "HTTP/1.1 202");
    let unknown = Filled::of("example.org/other", 1, usize::MAX);
    assert_eq!(status(&server, &unknown.upload(0, 1).encode().unwrap()).await, "HTTP/1.1 404");
    server.stop().await;
}

/// An entry that claims a manifest.
fn claim() -> Vec<u8> {
    let package = Hash::digest(b"package");
    let manifest = attest::manifest::ManifestBuilder::new(package).finish().unwrap();
    let purl = Purl::deb("debian", "test", "1.0", "all").unwrap();
    let statement = Statement::about_package(&purl, package, Predicate::PackageFiles(PackageFiles::of(&manifest)));
    Envelope::sign(statement.encode(), &key("example.org/builder", KeyKind::Ed25519, 77)).unwrap().encode()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_gives_no_manifest_is_not_waited_for() {
    let log = Filled::with(ORIGIN, vec![claim()]);
    // Connected by the system, and never answered.
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", deaf.local_addr().unwrap());
    let mirror = waiting(&format!("logs/v0\n{}", log.log.block(&[url])), Patience { manifests: SHORT, ..endless() });
    assert!(mirror.witness().shown(ORIGIN, None).await);
    pending(&mirror, &log, 0, 1).await;
    let refused = add(&mirror, log.body(0, 1, 1).0).await;
    assert!(matches!(&refused, Err(Refused::NoManifest(problem)) if problem.contains("took more than")), "{refused:?}");
    assert!(mirror.incomplete().is_empty() && mirror.newest(&log.log.id()).await == Ok(None));
    // The same entry of a log without an address is an entry as others are.
    let store = memory();
    let mirror = opened(&log, &store);
    pending(&mirror, &log, 0, 1).await;
    times(&lines(add(&mirror, log.body(0, 1, 1).0).await), &log.log.checkpoint(1));
}

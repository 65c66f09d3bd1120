//! Limits: connections, idle ones by the thousand, slow heads and bodies, large heads, rates, and the reserve of free space.

mod kit;

use std::time::Duration;

use kit::ORIGIN;
use kit::served::{Served, builder, claim, manifest, second_builder, sign};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn connect(served: &Served) -> TcpStream {
    TcpStream::connect(served.url.trim_start_matches("http://")).await.unwrap()
}

/// Sends a request and returns the status line, or nothing if none comes within the time.
async fn ask(stream: &mut TcpStream, request: &str, time: Duration) -> Option<String> {
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(time, stream.read(&mut answer)).await.ok()?.ok()?;
    Some(String::from_utf8_lossy(&answer[..read]).lines().next()?.to_owned())
}

const GET: &str = "GET /checkpoint HTTP/1.1\r\nhost: x\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_wait_and_idle_ones_are_closed() {
    let mut served = Served::made(true, |settings| settings.connections = 3);
    served.header_time = Duration::from_secs(2);
    served.serve().await.unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(&served).await;
        assert!(ask(&mut stream, GET, PATIENCE).await.is_some_and(|line| line.contains("200")));
        held.push(stream);
    }
    // The kernel takes it, the log does not, until one of the three has idled for too long.
    let mut fourth = connect(&served).await;
    assert_eq!(ask(&mut fourth, GET, Duration::from_millis(300)).await, None);
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(PATIENCE, fourth.read(&mut answer)).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&answer[..read]).starts_with("HTTP/1.1 200"));
    for mut stream in held {
        let ended = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.unwrap();
        assert!(matches!(ended, Ok(0) | Err(_)), "an idle connection stays open");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_idle_and_dripping_connections_hold_up_nobody() {
    let mut served = Served::made(true, |_| {});
    served.serve().await.unwrap();
    let mut idle = Vec::new();
    for n in 0..3_000 {
        let mut stream = connect(&served).await;
        if n % 2 == 0 {
            // Half a head, of which no more ever comes.
            stream.write_all(b"POST /add HTTP/1.1\r\nhost: x\r\nx-slow:").await.unwrap();
        }
        idle.push(stream);
    }
    let client = reqwest::Client::new();
    for n in 0..20 {
        let answer = client.post(served.path("add")).body(format!("leaf {n}")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    println!("{} idle connections; 20 entries taken beside them", idle.len());
    drop(idle);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_of_many_lines_and_bodies_that_never_come_are_refused() {
    let mut served = Served::made(true, |_| {});
    served.header_time = Duration::from_millis(500);
    served.serve().await.unwrap();
    let many: String = (0..2_000).map(|n| format!("x-{n}: y\r\n")).collect();
    let line = ask(&mut connect(&served).await, &format!("GET /checkpoint HTTP/1.1\r\nhost: x\r\n{many}\r\n"), PATIENCE).await;
    assert!(line.as_ref().is_none_or(|line| line.contains("431")), "{line:?}");
    let line = ask(&mut connect(&served).await, &format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(100_000)), PATIENCE).await;
    assert!(line.as_ref().is_none_or(|line| line.contains("414") || line.contains("431")), "{line:?}");
    // Chunks instead of a length: the limit holds all the same.
    let chunk = format!("{:x}\r\n{}\r\n", 70_000, "a".repeat(70_000));
    let request = format!("POST /add HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n");
    let line = ask(&mut connect(&served).await, &request, PATIENCE).await;
    assert!(line.as_ref().is_none_or(|line| line.contains("413")), "{line:?}");
    let line = ask(&mut connect(&served).await, GET, PATIENCE).await;
    assert!(line.is_some_and(|line| line.contains("200")), "it serves on");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_beyond_its_roles_rate_gets_429_and_others_do_not() {
    let mut served = Served::made(false, |settings| settings.rates.builder = 1);
    served.serve().await.unwrap();
    let text = manifest("jq");
    served.client().put_manifest(ORIGIN, &text.root(), text.encode(), &builder()).await.unwrap();
    let client = reqwest::Client::new();
    let submit = |name: String, signer: tlog::SigningKey| {
        // One manifest serves for all: the claims are refused for their package, but only after the rate was counted.
        let statement = claim(&name);
        client.post(served.path("entries")).body(sign(&statement, &signer)).send()
    };
    let mut statuses = Vec::new();
    for n in 0..14 {
        let answer = submit(format!("package-{n}"), builder()).await.unwrap();
        let retry = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(retry.is_some(), answer.status() == 429, "{n}");
        statuses.push(answer.status().as_u16());
    }
    assert_eq!(statuses[0], 422, "the manifest of package-0 is not there");
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(submit("other".to_owned(), second_builder()).await.unwrap().status(), 422, "another key has its own rate");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_the_soft_limit_of_files_are_served() {
    let served = Served::made(true, |settings| settings.connections = 500);
    let policy = served.dir.path().join("policy");
    std::fs::write(&policy, "quorum none\n").unwrap();
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", "ulimit -S -n 100 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_tally-log"), "serve", "--listen", "127.0.0.1:0"]);
    command.arg("--dir").arg(served.log_dir()).arg("--policy").arg(policy);
    let mut child = command.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = tokio::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let address = line.strip_prefix("listening on ").unwrap();
    let mut held = Vec::new();
    for n in 0..300 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut stream, GET, PATIENCE).await.is_some_and(|line| line.contains("200")), "connection {n}");
        held.push(stream);
    }
    child.kill().await.unwrap();
}

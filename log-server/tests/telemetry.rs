//! Spans over OTLP: a collector receives the phases of rounds and some requests, and one that is away or hangs stops nothing.

mod kit;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use kit::program::Program;
use kit::{ORIGIN, wait_until};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tally_log::clock::SystemClock;
use tally_log::init;

/// Path and body of every request that came in.
type Received = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A collector, and what it received.
fn collector() -> (String, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let received = Received::default();
    let shared = received.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = shared.clone();
            std::thread::spawn(move || answer(stream, &shared));
        }
    });
    (url, received)
}

fn answer(stream: TcpStream, received: &Received) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut first = String::new();
        reader.read_line(&mut first).ok().filter(|count| *count > 0)?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().ok()?,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        received.lock().ok()?.push((first.split(' ').nth(1)?.to_owned(), body));
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}

fn made() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (log, policy) = (dir.path().join("log"), dir.path().join("policy"));
    init::init(&log, ORIGIN, true, &SystemClock).unwrap();
    std::fs::write(&policy, "quorum none\n").unwrap();
    (dir, log, policy)
}

fn spans(received: &Received) -> Vec<Span> {
    let received = received.lock().unwrap();
    let requests = received.iter().map(|(_, body)| ExportTraceServiceRequest::decode(body.as_slice()).expect("OTLP"));
    requests.flat_map(|request| request.resource_spans).flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
}

fn names(spans: &[Span]) -> BTreeSet<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

const PHASES: [&str; 7] = ["verify", "stage", "commit", "spread", "cosign", "publish", "finish"];

#[test]
fn a_collector_receives_rounds_with_their_phases_and_some_requests() {
    let (_dir, log, policy) = made();
    let (url, received) = collector();
    let program = Program::serve(&log, &policy, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url), ("OTEL_BSP_SCHEDULE_DELAY", "100")]);
    program.add(250);
    wait_until("the phases arrive", || PHASES.iter().all(|phase| names(&spans(&received)).contains(phase)));
    // The last spans are sent when the log ends.
    program.terminate();
    let spans = spans(&received);
    for phase in spans.iter().filter(|span| PHASES.contains(&span.name.as_str())) {
        let round = spans.iter().find(|span| span.span_id == phase.parent_span_id).expect("the round of each phase");
        assert_eq!((round.name.as_str(), &round.trace_id), ("round", &phase.trace_id));
        assert!(round.start_time_unix_nano <= phase.start_time_unix_nano && phase.end_time_unix_nano <= round.end_time_unix_nano);
    }
    let requests: Vec<&Span> = spans.iter().filter(|span| span.name == "POST /add").collect();
    assert!((1..=3).contains(&requests.len()), "one in a hundred of 250: {}", requests.len());
    let status = |span: &Span| {
        span.attributes.iter().find(|pair| pair.key == "http.response.status_code").and_then(|pair| pair.value.clone()?.value)
    };
    assert!(requests.iter().all(|span| status(span) == Some(Value::IntValue(200))));
    let received = received.lock().unwrap();
    assert!(received.iter().all(|(path, _)| path == "/v1/traces"));
    let has = |text: &str| received.iter().any(|(_, body)| body.windows(text.len()).any(|part| part == text.as_bytes()));
    assert!(has("tally-log") && has(ORIGIN) && !has("content of entry") && !has("127.0.0.1"), "its name, and nothing of what was sent");
}

#[test]
fn a_collector_that_is_away_or_hangs_stops_nothing() {
    // Takes connections and never answers.
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let away = TcpListener::bind("127.0.0.1:0").unwrap();
    let urls = [&hanging, &away].map(|listener| format!("http://{}", listener.local_addr().unwrap()));
    drop(away);
    for url in urls {
        let (_dir, log, policy) = made();
        // A queue that is full at once, and an export that never comes back by itself.
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
            ("OTEL_BSP_SCHEDULE_DELAY", "10"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "8"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "600000"),
        ];
        let program = Program::serve(&log, &policy, &environment);
        for _ in 0..20 {
            program.add(50);
        }
        let checkpoint = program.get("checkpoint");
        assert_eq!((checkpoint.0, checkpoint.1.lines().nth(1)), (200, Some("1000")), "{checkpoint:?}");
        assert_eq!(program.get("healthz").0, 200);
        program.terminate();
    }
}

#[test]
fn nothing_is_sent_unless_the_environment_names_a_collector() {
    let (_dir, log, policy) = made();
    let (url, received) = collector();
    let program = Program::serve(&log, &policy, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url), ("OTEL_SDK_DISABLED", "true")]);
    program.add(150);
    program.terminate();
    assert!(received.lock().unwrap().is_empty());
}

#[test]
fn what_cannot_be_had_is_refused_at_the_start() {
    let (_dir, log, policy) = made();
    for (name, value) in [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "not a url")] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tally-log"));
        command.arg("serve").arg("--dir").arg(&log).args(["--listen", "127.0.0.1:0", "--policy"]).arg(&policy);
        let output = command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9").env(name, value).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains("hint: ") && said.contains("OTEL_EXPORTER_OTLP"), "{said}");
    }
}

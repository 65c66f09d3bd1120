//! The service in a process of its own, and what of it can be seen from outside.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use attest::{Envelope, Statement};

use super::containers::Builder;
use super::log::Log;

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(300);

/// A service that runs.
pub struct Running {
    pub child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    pub fn start(builder: &Builder, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tally-builder"))
            .args(["run", "--config", &builder.config])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines, seen: Vec::new() }
    }

    /// Waits for a line with this in it.
    pub fn says(&mut self, part: &str) -> String {
        let started = Instant::now();
        while started.elapsed() < LONG {
            let Ok(line) = self.lines.recv_timeout(LONG) else { break };
            self.seen.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
        panic!("it never said {part}: {:?}", self.seen);
    }

    /// Ends it as systemd does, and returns what it said.
    pub fn end(mut self) -> Vec<String> {
        super::tool(Command::new("kill").args(["-TERM", &self.child.id().to_string()]));
        let status = self.child.wait().unwrap();
        self.seen.extend(self.lines.iter());
        assert_eq!(status.code(), Some(0), "{:?}", self.seen);
        self.seen
    }
}

/// What the log holds about packages: kind and package URL of every such entry.
pub fn logged(log: &Log) -> Vec<(String, String)> {
    let read = |entry: &Vec<u8>| {
        let statement = Statement::parse(Envelope::parse(entry).unwrap().payload()).unwrap();
        (statement.kind().short_name().to_owned(), statement.subject.name)
    };
    log.state.lock().unwrap().entries.iter().map(read).filter(|(_, name)| name.starts_with("pkg:")).collect()
}

pub fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < LONG, "this never came: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One of its numbers.
pub fn metric(address: &str, name: &str) -> f64 {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or_else(|| panic!("{name} in {text}"));
    line.parse().unwrap()
}

//! Telling people: lines on standard output, a webhook, a mail command. What a webhook or the mail command did not take is kept in the
//! auditor's directory and tried again.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use client::{Http, block_on};
use serde::Serialize;

use super::alert::Alert;
use crate::cache::{CacheError, replace};
use crate::time;

/// Where alerts go.
pub struct Post {
    /// The log's name.
    pub origin: String,
    /// JSON lines on standard output, or text.
    pub json: bool,
    /// A URL that takes JSON.
    pub webhook: Option<String>,
    /// A shell command that takes text on its standard input.
    pub mail: Option<String>,
    /// The auditor's directory.
    pub dir: PathBuf,
}

/// An alert as others get it.
#[derive(Serialize)]
struct Told<'a> {
    time: String,
    log: &'a str,
    #[serde(flatten)]
    alert: &'a Alert,
}

impl Post {
    /// Prints alerts and queues them for the webhook and the mail command.
    ///
    /// # Errors
    /// If they cannot be queued. A closed standard output is no error.
    pub fn tell(&self, alerts: &[Alert]) -> Result<(), CacheError> {
        let time = time::format(time::now());
        let (mut json, mut text) = (Vec::new(), Vec::new());
        for alert in alerts {
            let told = Told { time: time.clone(), log: &self.origin, alert };
            json.push(serde_json::to_string(&told).map_err(|error| CacheError::Io(self.dir.clone(), error.into()))?);
            text.push(format!("{time} {alert}"));
        }
        let mut out = io::stdout().lock();
        for line in if self.json { &json } else { &text } {
            let _ = writeln!(out, "{line}");
        }
        let _ = out.flush();
        if self.webhook.is_some() {
            self.queue(WEBHOOK, &json)?;
        }
        if self.mail.is_some() {
            self.queue(MAIL, &text)?;
        }
        Ok(())
    }

    /// Sends what is queued; what cannot be sent stays.
    ///
    /// # Errors
    /// If the queue cannot be read or written.
    pub fn send(&self) -> Result<(), CacheError> {
        if let Some(url) = &self.webhook {
            self.drain(WEBHOOK, |lines| post(url, &self.origin, lines))?;
        }
        if let Some(command) = &self.mail {
            self.drain(MAIL, |lines| mail(command, lines))?;
        }
        Ok(())
    }

    fn queue(&self, name: &str, lines: &[String]) -> Result<(), CacheError> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut queued = self.queued(name)?;
        queued.extend_from_slice(lines);
        if queued.len() > MAX_QUEUED {
            tracing::warn!("{} alerts that nobody took are dropped, the oldest ones", queued.len() - MAX_QUEUED);
            queued.drain(..queued.len() - MAX_QUEUED);
        }
        self.write(name, &queued)
    }

    fn drain(&self, name: &str, send: impl Fn(&[String]) -> Result<(), String>) -> Result<(), CacheError> {
        let mut queued = self.queued(name)?;
        while !queued.is_empty() {
            let some = queued.len().min(AT_A_TIME);
            if let Err(why) = send(&queued[..some]) {
                tracing::warn!("{} alerts wait for the {name}: {why}", queued.len());
                return Ok(());
            }
            queued.drain(..some);
            self.write(name, &queued)?;
        }
        Ok(())
    }

    fn queued(&self, name: &str) -> Result<Vec<String>, CacheError> {
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            text => Ok(text.map_err(|error| CacheError::Io(path, error))?.lines().map(str::to_owned).collect()),
        }
    }

    fn write(&self, name: &str, lines: &[String]) -> Result<(), CacheError> {
        let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        let path = self.path(name);
        replace(&path, text.as_bytes()).map_err(|error| CacheError::Io(path, error))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("unsent-{name}"))
    }
}

/// One POST of `{"log":…,"alerts":[…]}`; any status but a success keeps the alerts.
fn post(url: &str, origin: &str, lines: &[String]) -> Result<(), String> {
    let (base, path) = url.rsplit_once('/').filter(|(base, _)| !base.ends_with('/')).unwrap_or((url, ""));
    let log = serde_json::Value::from(origin);
    let body = format!("{{\"log\":{log},\"alerts\":[{}]}}", lines.join(","));
    let http = Http::new(base, PATIENCE).map_err(|error| error.to_string())?;
    let request = http.request(client::http::Method::POST, path).header("content-type", "application/json").body(body);
    let sent = block_on(http.send(path, request, MAX_ANSWER)).map_err(|error| error.to_string())?;
    sent.map(drop).map_err(|error| error.to_string())
}

/// Runs the command with the lines on its standard input, for at most half a minute.
fn mail(command: &str, lines: &[String]) -> Result<(), String> {
    let failed = |error: io::Error| error.to_string();
    let mut child = Command::new("sh").arg("-c").arg(command).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().map_err(failed)?;
    let text = lines.join("\n") + "\n";
    let input = child.stdin.take();
    // A command that reads nothing must not keep the auditor.
    let writer = std::thread::spawn(move || input.map(|mut input| input.write_all(text.as_bytes())));
    let end = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break status,
            None if Instant::now() >= end => {
                let _ = child.kill();
                let _ = child.wait();
                return Err("the command does not end".to_owned());
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let _ = writer.join();
    if status.success() { Ok(()) } else { Err(format!("the command ended with {status}")) }
}

const WEBHOOK: &str = "webhook";
const MAIL: &str = "mail";
/// Alerts in one request or mail.
const AT_A_TIME: usize = 500;
/// Alerts that wait at most.
const MAX_QUEUED: usize = 10_000;
/// For a webhook's answer, or a command's end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a webhook's answer that are read.
const MAX_ANSWER: usize = 1 << 20;

//! `tally-log fsck`: its arguments, its progress line and its exit status.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use client::cli::{Advice, read_limited};
use tlog::{Policy, VerifierKey};

use super::{Check, DirectorySource, FsckError, HttpSource, Observer, Progress, Source, StateError};
use crate::server::read_settings;

/// What `tally-log fsck` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A log's directory (a server may run on it), or the URL of a log
    #[arg(value_name = "DIR|URL")]
    target: String,
    /// A verifier key that must have signed the checkpoint; a directory's own keys are known from its log.toml
    #[arg(long, value_name = "VKEY")]
    key: Vec<String>,
    /// A witness policy (C2SP tlog-policy) that the checkpoint's cosignatures must satisfy
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Keep how far it came in FILE, and go on from there if FILE is of an unfinished check of this log
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Checks, prints the report and returns the exit status: 1 if anything is wrong, 2 if it cannot be checked.
    pub fn run(&self) -> anyhow::Result<u8> {
        let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
        let source = open(&self.target, runtime.handle())?;
        let own = match self.key.is_empty() && !is_url(&self.target) {
            true => read_settings(Path::new(&self.target))?.keys,
            false => Vec::new(),
        };
        let keys = self.key.iter().chain(&own).map(|key| parse_key(key)).collect::<anyhow::Result<Vec<_>>>()?;
        let policy = self.policy.as_deref().map(read_policy).transpose()?;
        let observer = Screen::default();
        let check = Check { source: &*source, keys: &keys, policy: policy.as_ref(), state: self.state.as_deref(), observer: &observer };
        let outcome = check.run();
        observer.clear();
        let report = match outcome {
            Ok(report) => report,
            Err(error) => {
                client::cli::report(&self.advise(error));
                return Ok(2);
            }
        };
        match self.json {
            true => println!("{}", report.json()),
            false => print!("{}", report.text()),
        }
        Ok(u8::from(!report.is_clean()))
    }

    fn advise(&self, error: FsckError) -> anyhow::Error {
        let file = self.state.as_deref().map_or_else(String::new, |path| path.display().to_string());
        let hint = match &error {
            FsckError::State(StateError::Damaged | StateError::Foreign(_)) => format!("remove {file} to check from the beginning"),
            FsckError::State(StateError::NotExtended(_)) => {
                format!("keep {file} and the log's checkpoints: they may be evidence. With another state file the check begins anew")
            }
            FsckError::State(StateError::NotProven(_)) => "check without --state: it names every damaged object".to_owned(),
            FsckError::Source(_) if self.state.is_some() => "run the same command again to go on from there".to_owned(),
            FsckError::Source(_) => "with --state FILE, a later run goes on from where this one ended".to_owned(),
            FsckError::NoCheckpoint(_) | FsckError::Malformed | FsckError::Stopped | FsckError::State(StateError::Io(_)) => {
                return error.into();
            }
        };
        Advice::new(error.to_string(), hint).into()
    }
}

/// The log at a URL or in a directory.
pub fn open(target: &str, runtime: &tokio::runtime::Handle) -> anyhow::Result<Box<dyn Source>> {
    if is_url(target) {
        return Ok(Box::new(HttpSource::new(target, runtime.clone())?));
    }
    Ok(Box::new(DirectorySource::open(Path::new(target)).with_context(|| format!("opening {target}"))?))
}

fn is_url(target: &str) -> bool {
    target.starts_with("http://") || target.starts_with("https://")
}

fn parse_key(text: &str) -> anyhow::Result<VerifierKey> {
    VerifierKey::parse(text).map_err(|error| anyhow::anyhow!("{text} is not a verifier key: {error}"))
}

fn read_policy(path: &Path) -> anyhow::Result<Policy> {
    let text = read_limited(path, Policy::MAX_BYTES as u64)?;
    Policy::parse(&text).map_err(|error| anyhow::anyhow!("{}, line {}: {}", path.display(), error.line, error.reason))
}

/// One line of progress for people who look at a terminal.
struct Screen {
    shown: bool,
    begun: Instant,
    /// When the line was last written, and the entries that were done when the check began.
    last: Mutex<(Instant, Option<u64>)>,
}

impl Default for Screen {
    fn default() -> Self {
        let now = Instant::now();
        Self { shown: std::io::stderr().is_terminal(), begun: now, last: Mutex::new((now, None)) }
    }
}

impl Screen {
    fn clear(&self) {
        if self.shown {
            // Nothing depends on it.
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Observer for Screen {
    fn progress(&self, progress: &Progress) {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let first = *last.1.get_or_insert(progress.entries);
        if !self.shown || last.0.elapsed() < Duration::from_millis(200) {
            return;
        }
        last.0 = Instant::now();
        let (done, size) = (progress.entries, progress.tree.size);
        let rate = (done - first.min(done)) as f64 / self.begun.elapsed().as_secs_f64().max(1e-9);
        let percent = done as f64 * 100.0 / size.max(1) as f64;
        let left = (size - done.min(size)) as f64 / rate.max(1.0);
        let _ = write!(std::io::stderr(), "\r\x1b[K{percent:5.1} %  {done} of {size} entries, {rate:.0}/s, {left:.0} s left");
    }
}

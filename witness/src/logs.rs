//! The list of logs to watch: `logs/v0` of the public witness network, `specs/witness.md` section 2.
//!
//! The format knows one key per block. A log of ours signs with two, so blocks of one origin are one log and each adds its key;
//! a list made for other witnesses reads the same here as there.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use tlog::key::KeyError;
use tlog::{Checkpoint, Hash, KeyKind, VerifierKey};

/// One log of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The first line of its checkpoints.
    pub origin: String,
    /// Its keys, of type 01 or 06, at least one: any of them speaks for the origin.
    pub keys: Vec<VerifierKey>,
    /// The add-checkpoint requests a day that the log has announced (the largest of its blocks): reported, not enforced.
    pub queries_per_day: u32,
    /// How to reach its operator.
    pub contact: String,
    /// Where its checkpoint, or a copy, can be read: `<url>/checkpoint`. Asked at every start (section 6 of the page).
    pub urls: Vec<String>,
}

impl Log {
    /// The log's name in paths: the hexadecimal SHA-256 of its origin.
    #[must_use]
    pub fn id(&self) -> String {
        id(&self.origin)
    }
}

/// The hexadecimal SHA-256 of an origin, as monitoring paths and state keys name a log.
#[must_use]
pub fn id(origin: &str) -> String {
    Hash::digest(origin.as_bytes()).to_hex()
}

/// The logs, ordered by origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logs(pub BTreeMap<String, Log>);

/// Why a list was refused: the line's number, from 1, and the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogsError {
    /// From 1; 0 for the list as a whole.
    pub line: usize,
    /// In words.
    pub reason: &'static str,
}

impl fmt::Display for LogsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(self.reason),
            line => write!(f, "line {line}: {}", self.reason),
        }
    }
}
impl std::error::Error for LogsError {}

/// Largest list in bytes: room for some 40,000 logs.
pub const MAX_BYTES: usize = 16 << 20;
/// Most blocks.
pub const MAX_BLOCKS: usize = 100_000;
/// Most `url` lines of one block.
pub const MAX_URLS: usize = 8;

impl Logs {
    /// Reads a list.
    ///
    /// # Errors
    /// The first line that is not as the page says.
    pub fn parse(bytes: &[u8]) -> Result<Self, LogsError> {
        if bytes.len() > MAX_BYTES {
            return Err(LogsError { line: 0, reason: "larger than 16 MiB" });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| LogsError { line: 0, reason: "not UTF-8" })?;
        if !text.ends_with('\n') {
            return Err(LogsError { line: 0, reason: "the last line does not end" });
        }
        let mut lines = Lines { inner: significant(text).peekable(), last: 0 };
        lines.header()?;
        let mut logs = Self::default();
        let mut public_keys = HashSet::new();
        for _ in 0..=MAX_BLOCKS {
            let Some((line, log)) = lines.block()? else { return Ok(logs) };
            if !log.keys.iter().all(|key| public_keys.insert(key.public().to_vec())) {
                return Err(LogsError { line, reason: "this public key stands in an earlier block" });
            }
            logs.add(log).map_err(|reason| LogsError { line, reason })?;
        }
        Err(LogsError { line: lines.last, reason: "too many logs" })
    }

    /// The list's text in one spelling: every log with all lines, a block per key.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = format!("{HEADER}\n");
        for log in self.0.values() {
            for (number, key) in log.keys.iter().enumerate() {
                let Log { origin, queries_per_day, contact, urls, .. } = log;
                text.push_str(&format!("\nvkey {}\norigin {origin}\nqpd {queries_per_day}\ncontact {contact}\n", key.encode()));
                for url in urls.iter().filter(|_| number == 0) {
                    text.push_str(&format!("url {url}\n"));
                }
            }
        }
        text
    }

    fn add(&mut self, block: Log) -> Result<(), &'static str> {
        let Some(log) = self.0.get_mut(&block.origin) else {
            self.0.insert(block.origin.clone(), block);
            return Ok(());
        };
        if log.urls.len() + block.urls.len() > MAX_URLS {
            return Err("too many url lines for this log");
        }
        log.keys.extend(block.keys);
        log.urls.extend(block.urls);
        log.queries_per_day = log.queries_per_day.max(block.queries_per_day);
        Ok(())
    }
}

/// Lines that say something, with their numbers.
fn significant(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.split_terminator('\n')).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

struct Lines<I: Iterator> {
    inner: std::iter::Peekable<I>,
    /// The number of the line read last.
    last: usize,
}

impl<'a, I: Iterator<Item = (usize, &'a str)>> Lines<I> {
    fn error(&self, reason: &'static str) -> LogsError {
        LogsError { line: self.last, reason }
    }

    fn header(&mut self) -> Result<(), LogsError> {
        let first = self.inner.next();
        self.last = first.map_or(1, |(number, _)| number);
        if first.is_some_and(|(_, line)| line == HEADER) { Ok(()) } else { Err(self.error("the first line must be logs/v0")) }
    }

    /// The value of the next line if its keyword is this one.
    fn value(&mut self, keyword: &str) -> Option<&'a str> {
        let (number, line) = *self.inner.peek()?;
        let value = line.strip_prefix(keyword)?.strip_prefix(' ')?;
        self.last = number;
        self.inner.next();
        Some(value)
    }

    /// The next block and its first line's number.
    fn block(&mut self) -> Result<Option<(usize, Log)>, LogsError> {
        let Some((number, _)) = self.inner.peek() else { return Ok(None) };
        let first = *number;
        self.last = first;
        let vkey = self.value("vkey").ok_or(LogsError { line: first, reason: "expected vkey" })?;
        let key = log_key(vkey).map_err(|reason| self.error(reason))?;
        let origin = self.value("origin").unwrap_or(key.name().as_str()).to_owned();
        if origin.is_empty() || origin.len() > Checkpoint::MAX_ORIGIN || origin.chars().any(char::is_control) {
            return Err(self.error("an origin has 1 to 255 bytes and no control characters"));
        }
        let queries_per_day = self.value("qpd").ok_or(self.error("expected qpd after this line"))?;
        let queries_per_day = queries(queries_per_day).ok_or(self.error("qpd is a number from 1 to 2147483647"))?;
        let contact = self.value("contact").ok_or(self.error("expected contact after this line"))?.to_owned();
        if contact.is_empty() {
            return Err(self.error("the contact is empty"));
        }
        let urls = self.urls()?;
        Ok(Some((first, Log { origin, keys: vec![key], queries_per_day, contact, urls })))
    }

    fn urls(&mut self) -> Result<Vec<String>, LogsError> {
        let mut urls = Vec::new();
        while let Some(url) = self.value("url") {
            let good = ["http://", "https://"].iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme));
            if !good || url.ends_with('/') || url.contains(char::is_whitespace) {
                return Err(self.error("a url begins with http:// or https:// and has no final slash"));
            }
            if urls.len() == MAX_URLS {
                return Err(self.error("too many url lines for this log"));
            }
            urls.push(url.to_owned());
        }
        Ok(urls)
    }
}

fn log_key(text: &str) -> Result<VerifierKey, &'static str> {
    let key = VerifierKey::parse(text).map_err(|error| match error {
        KeyError::UnknownKind => "keys of this type are not verified here: use type 01 or 06",
        KeyError::WrongId => "the key ID is not that of name and key",
        _ => "not a verifier key",
    })?;
    match key.kind() {
        KeyKind::Ed25519 | KeyKind::MlDsa44 => Ok(key),
        KeyKind::CosignatureV1 => Err("a type 04 key is a witness's, not a log's"),
    }
}

/// Decimal without sign or leading zero, 1 to 2^31 - 1.
fn queries(text: &str) -> Option<u32> {
    let number = text.parse().ok().filter(|number| (1..=0x7fff_ffff).contains(number))?;
    (u32::to_string(&number) == text).then_some(number)
}

const HEADER: &str = "logs/v0";

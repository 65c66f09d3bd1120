//! Reading a signed verdict: whoever gets one trusts one key for it, and wants to know how old it is.

use std::path::Path;

use attest::{Envelope, envelope, json};
use tlog::VerifierKey;

use super::{Predicate, STATEMENT, SVR, Statement, VSA, Verdict};
use crate::exit;
use crate::failure::Failure;
use crate::finding::printable;
use crate::time;

impl Statement {
    /// Reads the canonical bytes and nothing else; `None` for anything that [`super::statement()`] would not make.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let statement: Self = json::parse(bytes, envelope::MAX_PAYLOAD).ok()?;
        let expected = match &statement.predicate {
            Predicate::Svr(_) => SVR,
            Predicate::Vsa(vsa) if (vsa.result == "PASSED") == (vsa.verdict.exit == exit::CLEAN) => VSA,
            Predicate::Vsa(_) => return None,
        };
        let is_ours = statement.kind == STATEMENT && statement.predicate_type == expected && !statement.subject.is_empty();
        (is_ours && statement.made().is_some()).then_some(statement)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        json::encode(self)
    }

    /// What both forms say.
    #[must_use]
    pub fn verdict(&self) -> &Verdict {
        match &self.predicate {
            Predicate::Svr(svr) => &svr.verdict,
            Predicate::Vsa(vsa) => &vsa.verdict,
        }
    }

    /// When the verdict was reached.
    fn made(&self) -> Option<u64> {
        time::parse(match &self.predicate {
            Predicate::Svr(svr) => &svr.time,
            Predicate::Vsa(vsa) => &vsa.time,
        })
    }
}

/// Verifies a signed verdict under one of these keys, tells it, and gives the status that it speaks of; 3 if it is older than `max_age`.
///
/// # Errors
/// If it is none, or nobody signed it who may.
pub fn read(file: &Path, keys: &[VerifierKey], max_age: Option<u64>, now: u64) -> Result<u8, Failure> {
    let bytes = client::cli::read_limited(file, envelope::MAX_BYTES as u64 + 1)?;
    let refuse = |why: &str| Failure::Unproven(format!("{}: {why}", file.display()));
    let envelope = Envelope::parse(bytes.strip_suffix(b"\n").unwrap_or(&bytes)).map_err(|error| refuse(&error.to_string()))?;
    envelope.verify().map_err(|error| refuse(&error.to_string()))?;
    if !keys.contains(envelope.key()) {
        return Err(refuse(&format!("it is signed by {}, which none of the keys given is", envelope.key().name().as_str())));
    }
    let statement = Statement::parse(envelope.payload()).ok_or_else(|| refuse("what is signed is no verdict of tally"))?;
    let made = statement.made().ok_or_else(|| refuse("its time is none"))?;
    let (verdict, age) = (statement.verdict(), now.saturating_sub(made));
    let counts: Vec<String> = verdict.counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    if made > now.saturating_add(SKEW) {
        println!("signed by {}, by a clock that is ahead of this one: {}", envelope.key().name().as_str(), time::format(made));
        return Ok(exit::CLOCK);
    }
    println!("signed by {}, {} ago: exit {}", envelope.key().name().as_str(), time::span(age), verdict.exit);
    for subject in &statement.subject {
        println!("  of      {}, sha256 {}", printable(subject.name.as_bytes()), printable(subject.digest.sha256.as_bytes()));
    }
    println!("  found   {}", if counts.is_empty() { "nothing".to_owned() } else { printable(counts.join(", ").as_bytes()) });
    if verdict.exit == exit::CLEAN && max_age.is_some_and(|most| age > most) {
        println!("  older than {}: what it says may not hold any more", time::span(max_age.unwrap_or_default()));
        return Ok(exit::STALE);
    }
    Ok(verdict.exit)
}

/// How far the clock of whoever signed may be ahead, in seconds.
const SKEW: u64 = 300;

//! The gate: packages are judged before the package manager unpacks them (`specs/gate.md`).
//!
//! Everything that can be decided without the outside world is in [`decide`]; what the machine remembers is in [`state`].

pub mod apt;
pub mod coming;
pub mod decide;
pub mod desk;
pub mod dnf;
pub mod manager;
pub mod pacman;
pub mod protocol;
pub mod repository;
pub mod rpmmd;
pub mod rules;
pub mod state;
pub mod status;
pub mod text;
pub mod zypper;

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::AllowArgs;
use crate::exit;
use crate::failure::Failure;
use crate::finding::Class;
use crate::setup::Setup;
use crate::time;
use decide::{Candidate, Fate};
use manager::Manager;
use protocol::ProtocolError;
use rules::Mode;
use state::{Override, State};

/// Why the gate could not judge.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// What the package manager said.
    #[error("what apt says cannot be read: {0}")]
    Protocol(#[from] ProtocolError),
    /// It could not be heard.
    #[error("the package manager cannot be heard: {0}")]
    Input(io::Error),
    /// What a plugin wrote.
    #[error("what {0} says is not what it should say; is it of another version than tally? run tally setup again")]
    Listing(&'static str),
    /// What a repository has.
    #[error("{0} cannot be searched: {1}")]
    Index(PathBuf, io::Error),
    /// The gate's memory.
    #[error("the gate's memory in {0}: {1}")]
    State(PathBuf, io::Error),
}

/// What was found about everything that is about to be installed.
#[derive(Clone, Debug, Default)]
pub struct Assessed {
    /// Who asks.
    pub manager: Manager,
    /// The packages.
    pub candidates: Vec<Candidate>,
    /// What concerns all of them.
    pub general: Vec<crate::finding::Finding>,
    /// What could not be asked or read, in words.
    pub notes: Vec<String>,
    /// How many builders had to agree.
    pub builders: usize,
}

/// An assessment with what becomes of each package.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What was found.
    pub assessed: Assessed,
    /// The fate of each candidate.
    pub fates: Vec<Fate>,
    /// The fate of all, from what concerns all.
    pub general: Option<Fate>,
}

impl Decision {
    /// Decides.
    #[must_use]
    pub fn new(assessed: Assessed, setup: &Setup, now: u64) -> Self {
        let fates = assessed.candidates.iter().map(|candidate| decide::fate(candidate, &setup.rules.gate, now)).collect();
        let general = decide::general(&assessed.candidates, &assessed.general);
        Self { assessed, fates, general }
    }

    /// The packages with these fates.
    pub fn with(&self, wanted: impl Fn(Fate) -> bool) -> impl Iterator<Item = (&Candidate, Fate)> {
        self.assessed.candidates.iter().zip(self.fates.iter().copied()).filter(move |(_, fate)| wanted(*fate))
    }

    /// The worst that happens.
    #[must_use]
    pub fn worst(&self) -> Fate {
        self.fates.iter().copied().chain(self.general).max().unwrap_or(Fate::Passes)
    }

    fn refused(&self) -> Vec<&str> {
        self.with(|fate| fate == Fate::Refused).map(|(candidate, _)| candidate.name.as_str()).collect()
    }

    /// The exit status where something is refused: that of the worst finding that refuses.
    fn status(&self) -> u8 {
        let refusing = self.with(|fate| fate == Fate::Refused).flat_map(|(candidate, _)| &candidate.findings);
        let general = self.assessed.general.iter().filter(|_| self.general == Some(Fate::Refused));
        refusing.chain(general).map(|finding| finding.kind.class()).min().map_or(exit::FAILED, Class::status)
    }

    fn to_json(&self, decision: &str, now: u64) -> Value {
        let names = |findings: &[crate::finding::Finding]| findings.iter().map(|finding| finding.kind.name()).collect::<Vec<_>>();
        let told = self.with(|fate| !matches!(fate, Fate::Passes | Fate::Ignored));
        let packages: Vec<Value> = told
            .map(|(candidate, fate)| json!({ "package": candidate.name, "fate": text::word(fate), "findings": names(&candidate.findings) }))
            .collect();
        json!({
            "schema": SCHEMA,
            "time": time::format(now),
            "manager": self.assessed.manager.name(),
            "decision": decision,
            "files": self.fates.len(),
            "packages": packages,
            "general": names(&self.assessed.general),
            "notes": self.assessed.notes,
        })
    }
}

/// One run of the gate: 0 lets the package manager go on. `assess` finds out what is offered, and judges it.
///
/// # Errors
/// If nothing can be judged where the policy enforces, or the configuration cannot be read; the hook's command knows whether the latter
/// is to stop the package manager.
fn session(config: &Path, assess: impl FnOnce(&Setup, u64) -> Result<Assessed, Failure>) -> Result<u8, Failure> {
    let setup = Setup::load(config)?;
    let now = time::now();
    match begin(&setup) {
        Ok(true) => {}
        Ok(false) => {
            eprintln!("tally: warning: nothing was synced yet, so packages are not judged; run: tally sync");
            return Ok(exit::CLEAN);
        }
        Err(error) => return give_up(&setup, error.into(), now).or_else(refuse),
    }
    match assess(&setup, now) {
        Ok(assessed) => {
            let decision = Decision::new(assessed, &setup, now);
            let status = conclude(&setup, &decision, now)?;
            if status == exit::CLEAN {
                status::let_through(&setup, &decision);
            }
            Ok(status)
        }
        Err(failure) => give_up(&setup, failure, now),
    }
}

/// A refusal that needs no marker: where the marker cannot be written, the hook must not take its absence for "only warns".
fn refuse(failure: Failure) -> Result<u8, Failure> {
    eprintln!("error: {failure}\nhint: {}", failure.hint());
    Ok(exit::UNKNOWN)
}

/// Whether anything is judged: begins to enforce where the policy says so and something was synced, and ends it where the policy does not.
/// `false` before the first sync.
///
/// # Errors
/// If the gate's memory cannot be read or written.
pub fn begin(setup: &Setup) -> Result<bool, GateError> {
    let state = State::new(&setup.config.state);
    let failed = |error| GateError::State(setup.config.state.clone(), error);
    let wanted = setup.rules.gate.strictest() == Mode::Enforce;
    // A cache that went away after the gate had begun is a failure, and not a machine that was never synced.
    let judges = setup.cache.is_there() || wanted && state.enforces().map_err(failed)?;
    state.set_enforces(wanted && judges).map_err(failed)?;
    Ok(judges)
}

/// Says what was decided, keeps a record of it, and gives the exit status: 0 unless something is refused and nothing overrides that.
fn conclude(setup: &Setup, decision: &Decision, now: u64) -> Result<u8, GateError> {
    eprint!("{}", text::decision(decision));
    let state = State::new(&setup.config.state);
    let failed = |error| GateError::State(setup.config.state.clone(), error);
    if decision.worst() != Fate::Refused {
        let word = if decision.worst() > Fate::Ignored { "warned" } else { "passed" };
        // Whoever only wants to be warned is not to be stopped by a full disk.
        state.record(&decision.to_json(word, now)).or_else(|error| if enforces(setup) { Err(failed(error)) } else { Ok(()) })?;
        return Ok(exit::CLEAN);
    }
    let given = state.take_override(&decision.refused(), decision.general == Some(Fate::Refused), now).map_err(failed)?;
    let Some(given) = given else {
        // An override for named packages does not cover what concerns all of them.
        let named = if decision.general == Some(Fate::Refused) { Vec::new() } else { decision.refused() };
        eprint!("{}", text::way_out(decision.assessed.manager.stopped(), &named));
        // It is refused whether or not that can be written down.
        let _ = state.record(&decision.to_json("refused", now));
        return Ok(decision.status());
    };
    let mut entry = decision.to_json("overridden", now);
    entry["reason"] = json!(given.reason);
    state.record(&entry).map_err(failed)?;
    eprintln!("tally: overridden once, and recorded: {}", crate::finding::printable(given.reason.as_bytes()));
    Ok(exit::CLEAN)
}

/// What happens where nothing could be judged: a failure where the policy enforces, unless it is overridden; a warning elsewhere.
fn give_up(setup: &Setup, failure: Failure, now: u64) -> Result<u8, Failure> {
    let state = State::new(&setup.config.state);
    let failed = |error| Failure::Gate(GateError::State(setup.config.state.clone(), error));
    let entry = |decision: &str| json!({ "schema": SCHEMA, "time": time::format(now), "decision": decision, "error": failure.to_string() });
    if !enforces(setup) {
        eprintln!("tally: warning: packages are installed that were not judged: {failure}\nhint: {}", failure.hint());
        let _ = state.record(&entry("not judged"));
        return Ok(exit::CLEAN);
    }
    let Some(given) = state.take_override(&[], true, now).map_err(failed)? else {
        let _ = state.record(&entry("failed"));
        eprint!("{}", text::way_out("nothing was installed", &[]));
        return Err(failure);
    };
    let mut entry = entry("overridden");
    entry["reason"] = json!(given.reason);
    state.record(&entry).map_err(failed)?;
    eprintln!("tally: overridden once, and recorded, though nothing was judged: {failure}");
    Ok(exit::CLEAN)
}

/// What the record says of packages that were installed and not judged.
fn escaped(manager: Manager, packages: &[impl AsRef<str>]) -> Value {
    let packages: Vec<&str> = packages.iter().map(AsRef::as_ref).collect();
    json!({ "schema": SCHEMA, "time": time::format(time::now()), "manager": manager.name(), "decision": "escaped", "packages": packages })
}

fn enforces(setup: &Setup) -> bool {
    setup.rules.gate.strictest() == Mode::Enforce
}

/// `tally gate allow`.
///
/// # Errors
/// If the words make no sense, or the override cannot be kept.
pub fn allow(setup: &Setup, args: &AllowArgs) -> Result<u8, Failure> {
    let usage = |text: &str| Failure::Usage(text.to_owned());
    if args.reason.trim().is_empty() || args.reason.len() > MAX_REASON || args.reason.contains(char::is_control) {
        return Err(usage("--reason: one line that says why"));
    }
    let span = time::parse_span(&args.within).filter(|span| (1..=MAX_WITHIN).contains(span));
    let span = span.ok_or_else(|| usage("--within: a span from 1s to 24h"))?;
    let now = time::now();
    let given = Override { given: now, expires: now + span, reason: args.reason.clone(), packages: args.packages.clone() };
    State::new(&setup.config.state).allow(&given).map_err(|error| GateError::State(setup.config.state.clone(), error))?;
    let what = if given.packages.is_empty() { "any packages".to_owned() } else { given.packages.join(", ") };
    println!("the next refusal of {what} until {} is passed over and recorded", time::format(given.expires));
    Ok(exit::CLEAN)
}

/// The version of the record's entries.
const SCHEMA: u64 = 1;
const MAX_REASON: usize = 500;
const MAX_WITHIN: u64 = 86_400;

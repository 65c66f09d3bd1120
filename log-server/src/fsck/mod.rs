//! `fsck`: recomputes everything from the bytes. Every entry is hashed into level 0, every full tile into the level above, the
//! right edge into the root, and the root is compared with the checkpoint. Whatever differs is named. See `specs/fsck.md`.
//!
//! Threads hash chunks of the log ([`chunk`](self)), which are added to the growing tree in order; memory does not grow with the
//! log, and an unfinished check can be taken up again from its [`State`].

mod chunk;
pub mod command;
mod directory;
mod manifests;
mod order;
mod report;
mod source;
mod state;
mod tally;

use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use tlog::plan::{ConsistencyPlan, Tiles};
use tlog::{Hash, Policy, SignedCheckpoint, Tree, VerifierKey};

pub(crate) use chunk::claim;
use chunk::{LEAVES, Seen};

pub use directory::DirectorySource;
pub use report::Report;
pub use source::{HttpSource, Listing, Source, Trouble};
pub use state::{State, StateError};
pub use tally::{Finding, MAX_FINDINGS, Tally};

/// Why a check did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FsckError {
    /// The checkpoint could not be read; in words.
    NoCheckpoint(String),
    /// It is not a checkpoint.
    Malformed,
    /// The source gives nothing any more; in words. What was done is in the state file.
    Source(String),
    /// The observer has asked for it.
    Stopped,
    /// The state file is of no use, or cannot be written.
    State(StateError),
}

impl std::fmt::Display for FsckError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoCheckpoint(why) => write!(f, "checkpoint: {why}"),
            Self::Malformed => f.write_str("checkpoint: not a checkpoint"),
            Self::Source(why) => write!(f, "the log cannot be read further: {why}"),
            Self::Stopped => f.write_str("stopped before the end"),
            Self::State(error) => error.fmt(f),
        }
    }
}
impl std::error::Error for FsckError {}

impl From<StateError> for FsckError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

/// How far a check has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Entries hashed, earlier runs included.
    pub entries: u64,
    /// Of this tree.
    pub tree: Tree,
}

/// Somebody who looks on while a check runs, on its threads; all methods do nothing unless said otherwise.
pub trait Observer: Sync {
    /// So many bytes were read. To slow a check down, sleep here.
    fn read(&self, bytes: usize) {
        let _ = bytes;
    }
    /// A chunk of entries is done.
    fn progress(&self, progress: &Progress) {
        let _ = progress;
    }
    /// Something is wrong; told once the check has come there, and again by the report.
    fn found(&self, finding: &Finding) {
        let _ = finding;
    }
    /// Whether the check shall end before its time.
    fn stops(&self) -> bool {
        false
    }
}

/// Nobody looks on.
pub struct Alone;
impl Observer for Alone {}

/// What is to be checked, and how.
pub struct Check<'a> {
    /// The log.
    pub source: &'a dyn Source,
    /// Each of these must have signed the checkpoint.
    pub keys: &'a [VerifierKey],
    /// The checkpoint's cosignatures must satisfy it.
    pub policy: Option<&'a Policy>,
    /// Where an unfinished check is kept; taken up if it is there, removed at the end.
    pub state: Option<&'a Path>,
    /// Who looks on.
    pub observer: &'a dyn Observer,
}

/// Checks a log against its published checkpoint; its signatures against `keys`, if there are any.
pub fn check(source: &dyn Source, keys: &[VerifierKey]) -> Result<Report, FsckError> {
    Check { source, keys, policy: None, state: None, observer: &Alone }.run()
}

impl Check<'_> {
    /// Checks everything from where the state file says, or from the beginning.
    pub fn run(&self) -> Result<Report, FsckError> {
        let begun = Instant::now();
        let note = self.source.checkpoint().map_err(|trouble| FsckError::NoCheckpoint(trouble.to_string()))?;
        let signed = SignedCheckpoint::parse(&note).map_err(|_| FsckError::Malformed)?;
        let mut tally = Tally::default();
        let signatures = self.signatures(&signed, &mut tally);
        let cosigned = self.cosigned(&signed, &mut tally);
        let run = Run { source: self.source, observer: self.observer, tree: signed.tree(), state: self.state, seen: Mutex::default() };
        let mut state = run.take_up(&signed)?;
        let resumed = state.growth.size();
        tally.absorb(run.structure(&mut state)?);
        run.rest(&mut state)?;
        self.finish()?;
        tally.absorb(state.structure);
        tally.absorb(state.listed);
        Ok(Report {
            origin: signed.checkpoint.origin,
            tree: run.tree,
            signatures,
            cosigned,
            resumed,
            objects: tally.objects,
            bytes: tally.bytes,
            manifests: tally.manifests,
            findings: tally.findings.into_iter().collect(),
            omitted: tally.omitted,
            time: begun.elapsed(),
        })
    }

    fn signatures(&self, signed: &SignedCheckpoint, tally: &mut Tally) -> usize {
        let mut verified = 0;
        for key in self.keys {
            match signed.note.lines.iter().any(|line| line.is_by(key)) {
                false => tally.find("checkpoint", format!("has no signature by {}+{}", key.name(), key.id())),
                true if signed.verify_log(std::slice::from_ref(key)).is_err() => {
                    tally.find("checkpoint", format!("the signature by {}+{} does not verify", key.name(), key.id()));
                }
                true => verified += 1,
            }
        }
        if self.keys.iter().any(|key| key.name().as_str() != signed.checkpoint.origin) {
            tally.find("checkpoint", format!("is of the log {}", signed.checkpoint.origin));
        }
        verified
    }

    /// The number of witnesses, if there is a policy and it is satisfied.
    fn cosigned(&self, signed: &SignedCheckpoint, tally: &mut Tally) -> Option<usize> {
        let policy = self.policy?;
        match policy.cosigned(signed) {
            Ok(cosigned) if policy.is_satisfied_by(&|name| cosigned.contains_key(name)) => return Some(cosigned.len()),
            Ok(_) => tally.find("checkpoint", "its cosignatures do not satisfy the policy"),
            Err(_) => tally.find("checkpoint", "a cosignature does not verify"),
        }
        None
    }

    fn finish(&self) -> Result<(), FsckError> {
        match self.state.map(std::fs::remove_file) {
            Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => Err(StateError::Io(error.to_string()).into()),
            _ => Ok(()),
        }
    }
}

/// One check of one tree, shared by its threads.
struct Run<'a> {
    source: &'a dyn Source,
    observer: &'a dyn Observer,
    tree: Tree,
    state: Option<&'a Path>,
    /// Claimed manifests that were asked for of late.
    seen: Mutex<Seen>,
}

impl Run<'_> {
    /// Takes note of one read: `None` if it succeeded, or what is wrong with the object.
    fn read(&self, read: Result<(), Trouble>, bytes: &[u8], tally: &mut Tally) -> Result<Option<String>, FsckError> {
        self.observer.read(bytes.len());
        if self.observer.stops() {
            return Err(FsckError::Stopped);
        }
        match read {
            Ok(()) => {
                tally.bytes += bytes.len() as u64;
                Ok(None)
            }
            Err(Trouble::Object(what)) => Ok(Some(what)),
            Err(Trouble::Source(what)) => Err(FsckError::Source(what)),
        }
    }

    /// Whatever a listing shows beyond the tree.
    fn rest(&self, state: &mut State) -> Result<(), FsckError> {
        let Some(listing) = self.source.listing() else { return Ok(()) };
        let (after, mut listed) = (state.after.clone(), state.listed.clone());
        let mut saved = Instant::now();
        let mut save = |path: &str, tally: &Tally| {
            (state.after, state.listed) = (Some(path.to_owned()), tally.clone());
            if saved.elapsed().as_secs() < 5 && !self.observer.stops() {
                return Ok(());
            }
            saved = Instant::now();
            self.save(state)
        };
        self.listed(listing, after, &mut listed, &mut save)?;
        state.listed = listed;
        Ok(())
    }

    fn save(&self, state: &State) -> Result<(), FsckError> {
        self.state.map_or(Ok(()), |path| Ok(state.save(path)?))
    }

    /// The saved check, if it is one of this log's history.
    fn take_up(&self, signed: &SignedCheckpoint) -> Result<State, FsckError> {
        let fresh = State::new(&signed.checkpoint.origin, self.tree);
        let Some(state) = self.state.map_or(Ok(None), State::load)? else { return Ok(fresh) };
        if state.origin != fresh.origin {
            return Err(StateError::Foreign(state.origin).into());
        }
        if !state.growth.size().is_multiple_of(LEAVES) {
            return Err(StateError::Damaged.into());
        }
        self.extends(&state.tree)?;
        self.extends(&state.growth.tree())?;
        Ok(State { tree: self.tree, ..state })
    }

    /// Whether the tree extends `old`, by the source's own tiles, which lead to the checkpoint's root.
    fn extends(&self, old: &Tree) -> Result<(), FsckError> {
        let root = match old.size {
            0 => Hash::EMPTY,
            size if size == self.tree.size => self.tree.root,
            size if size > self.tree.size => return Err(StateError::NotExtended(size).into()),
            size => self.root_at(size)?,
        };
        if root == old.root { Ok(()) } else { Err(StateError::NotExtended(old.size).into()) }
    }

    fn root_at(&self, size: u64) -> Result<Hash, FsckError> {
        let not_proven = |error: tlog::plan::PlanError| FsckError::State(StateError::NotProven(format!("{error:?}")));
        let plan = ConsistencyPlan::new(size, &self.tree).map_err(not_proven)?;
        let mut tiles = Tiles::new();
        for tile in plan.tiles() {
            let mut bytes = Vec::new();
            if let Some(fault) = self.read(self.source.tile(*tile, &mut bytes), &[], &mut Tally::default())? {
                return Err(StateError::NotProven(format!("{} {fault}", tile.path())).into());
            }
            tiles.insert(*tile, bytes);
        }
        Ok(plan.finish(&tiles).map_err(not_proven)?.0)
    }
}

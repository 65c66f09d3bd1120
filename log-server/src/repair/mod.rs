//! `repair`: puts damaged or missing objects right. What each object must be follows from the log's own signed tree, from the root
//! downwards; copies come from the log itself, from what lies below or beside the object, or from mirrors, and none of them is
//! believed. See `specs/fsck.md`.

mod authority;
pub mod command;
mod donor;
mod mend;

use std::path::Path;

use store::{Directory, Lock, Store as _};
use tlog::{SignedCheckpoint, Tree, VerifierKey};

pub use authority::Repair;
pub use donor::Donor;

use crate::layout;
use crate::stage::Stage;

/// Why nothing can be repaired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepairError {
    /// The directory cannot be read or written; in words.
    Directory(String),
    /// The log's own checkpoint is missing, damaged or not signed by its keys; in words.
    Checkpoint(String),
    /// A mirror shows no checkpoint: which, and why.
    Mirror(String, String),
    /// A mirror is of another log: which, and of which.
    WrongMirror(String, String),
    /// Not the path of an object.
    NoObject(String),
    /// No copy of the right edge leads to the root, so nothing can be told from its damage.
    NoEdge,
}

impl std::fmt::Display for RepairError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(why) => f.write_str(why),
            Self::Checkpoint(why) => write!(f, "the log's own checkpoint cannot be relied on: {why}"),
            Self::Mirror(name, why) => write!(f, "{name} is of no use: {why}"),
            Self::WrongMirror(name, origin) => write!(f, "{name} is a mirror of another log, {origin}"),
            Self::NoObject(path) => write!(f, "{path} is not the path of a tile, bundle or manifest"),
            Self::NoEdge => f.write_str("no copy of the right edge of the tree leads to the signed root"),
        }
    }
}
impl std::error::Error for RepairError {}

/// What became of an object that was not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is right again, by a copy from here. (With nothing to be written: it could be.)
    Restored(String),
    /// It is as it was; why.
    Remains(String),
}

/// One object that was damaged or missing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mended {
    /// Its path below the log's public root.
    pub object: String,
    /// What became of it.
    pub fate: Fate,
}

/// What a repair came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Objects compared with what they must be.
    pub checked: u64,
    /// Those that were not, in the order in which they were met.
    pub mended: Vec<Mended>,
    /// Copies that were refused because they are not the object: its path and whose they were.
    pub refused: Vec<(String, String)>,
}

impl Outcome {
    /// Objects that are still damaged or missing.
    pub fn remaining(&self) -> impl Iterator<Item = &Mended> {
        self.mended.iter().filter(|mended| matches!(mended.fate, Fate::Remains(_)))
    }
}

/// The tree that a directory's objects are compared with.
pub struct Own {
    /// Its origin.
    pub origin: String,
    /// Size and root, from a checkpoint with the log's own signatures.
    pub tree: Tree,
    /// What was staged for it, if it may not have been written out.
    pub stage: Option<Stage>,
    /// Held while no server may run; `None` if one does, and then the tree is the published one.
    pub lock: Option<Lock>,
}

impl Own {
    /// The committed tree where no server runs, and the published one beside a running server, which writes the rest itself.
    pub fn read(dir: &Path, origin: &str, keys: &[VerifierKey]) -> Result<Self, RepairError> {
        let directory = |error: std::io::Error| RepairError::Directory(format!("{}: {error}", dir.display()));
        let lock = match Lock::acquire(&dir.join(layout::LOCK)) {
            Ok(lock) => Some(lock),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
            Err(error) => return Err(directory(error)),
        };
        let store = Directory::open_read_only(dir).map_err(directory)?;
        let key = if lock.is_some() { layout::COMMITTED } else { layout::PUBLISHED };
        let wrong = |why: &str| RepairError::Checkpoint(format!("{key} {why}"));
        let note = store.get(key).map_err(directory)?.ok_or_else(|| wrong("is missing"))?;
        let signed = SignedCheckpoint::parse(&note).map_err(|_| wrong("is malformed"))?;
        if signed.checkpoint.origin != origin || keys.iter().any(|key| signed.verify_log(std::slice::from_ref(key)).is_err()) {
            return Err(wrong("is not signed by this log's keys"));
        }
        let tree = signed.tree();
        let staged = if lock.is_some() { store.get(&layout::stage(&tree)).map_err(directory)? } else { None };
        let stage = staged.and_then(|bytes| Stage::parse(&bytes).ok()).filter(|stage| stage.new == tree);
        Ok(Self { origin: origin.to_owned(), tree, stage, lock })
    }
}

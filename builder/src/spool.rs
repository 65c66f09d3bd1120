//! The spool: what was said and is not yet known to be in the log (`specs/builder.md`, section 6).
//!
//! An envelope's file is named by its SHA-256. Signing is deterministic, so the same statement by the same key is the same file, and
//! saying it again changes nothing. Order of writes, so that a crash loses nothing: manifest, envelope, (network), receipt, move of the
//! envelope beside its receipt. Each is on disk before the next begins; a crash between two of them repeats a step that does no harm
//! twice.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use attest::predicate::Predicate;
use attest::{Envelope, Statement};
use tlog::Hash;

use crate::home::{Home, move_durably, write_durably};

/// Why the spool could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct SpoolError {
    path: PathBuf,
    source: io::Error,
}

impl SpoolError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        "check that the disk is neither full nor read-only and that the builder's directory belongs to you; nothing that was spooled is lost"
    }
}

/// What adding an envelope did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It waits to be sent.
    Waits,
    /// It is in the log already: its receipt is here.
    Logged,
}

/// An envelope that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// SHA-256 of the envelope: the file's name.
    pub id: Hash,
    /// The envelope's bytes.
    pub bytes: Vec<u8>,
    /// What it says.
    pub statement: Statement,
}

/// An envelope that the log refused, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// SHA-256 of the envelope, as in the file's name.
    pub id: String,
    /// The log's words.
    pub reason: String,
}

/// The spool of one builder. Whoever changes it holds the directory's lock.
#[derive(Clone, Debug)]
pub struct Spool {
    dir: PathBuf,
}

impl Item {
    /// The root of the manifest that the log needs before it takes this.
    #[must_use]
    pub fn manifest(&self) -> Option<Hash> {
        match &self.statement.predicate {
            Predicate::PackageFiles(files) => Some(files.manifest),
            _ => None,
        }
    }
}

impl Spool {
    /// The spool in a builder's directory.
    #[must_use]
    pub fn new(home: &Home) -> Self {
        Self { dir: home.dir().to_owned() }
    }

    /// Keeps a manifest for as long as it may have to be sent.
    ///
    /// # Errors
    /// If it cannot be written durably.
    pub fn keep_manifest(&self, root: &Hash, text: &[u8]) -> Result<(), SpoolError> {
        let path = self.manifest_path(root);
        // The name is the content's: what is there under it is the same, unless it is not whole.
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == text.len() as u64) {
            return Ok(());
        }
        write_durably(&path, text).map_err(at(&path))
    }

    /// A kept manifest; `None` if it is not here.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn manifest(&self, root: &Hash) -> Result<Option<Vec<u8>>, SpoolError> {
        read(&self.manifest_path(root))
    }

    /// Adds an envelope, durably, unless its receipt is here. One that was refused earlier waits again: roles may have changed.
    ///
    /// # Errors
    /// If it cannot be written durably.
    pub fn add(&self, envelope: &Envelope) -> Result<Added, SpoolError> {
        let bytes = envelope.encode();
        let name = format!("{}.json", Hash::digest(&bytes));
        if self.dir.join("receipts").join(&name).exists() {
            return Ok(Added::Logged);
        }
        let path = self.dir.join("spool").join(&name);
        if !path.exists() {
            write_durably(&path, &bytes).map_err(at(&path))?;
        }
        for leftover in [self.refused_path(&name), self.reason_path(&name)] {
            remove(&leftover)?;
        }
        Ok(Added::Waits)
    }

    /// Everything that waits, claims first, then in order of names. A file that is not an envelope any more is set aside as refused.
    ///
    /// # Errors
    /// If the directory cannot be read or written.
    pub fn waiting(&self) -> Result<Vec<Item>, SpoolError> {
        let mut items = Vec::new();
        for path in self.envelopes("spool")? {
            let bytes = fs::read(&path).map_err(at(&path))?;
            match read_item(&path, &bytes) {
                Ok(item) => items.push(item),
                Err(reason) => self.set_aside(&path, reason)?,
            }
        }
        items.sort_by_key(|item| (item.manifest().is_none(), item.id));
        Ok(items)
    }

    /// Everything that the log refused.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn refused(&self) -> Result<Vec<Refused>, SpoolError> {
        let describe = |path: PathBuf| {
            let reason = fs::read_to_string(path.with_extension("reason")).unwrap_or_else(|_| "no reason was kept\n".to_owned());
            let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Refused { id, reason: reason.trim_end().to_owned() }
        };
        Ok(self.envelopes("spool/refused")?.into_iter().map(describe).collect())
    }

    /// How many receipts there are.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn receipts(&self) -> Result<usize, SpoolError> {
        Ok(self.envelopes("receipts")?.len())
    }

    /// A receipt that was written before a crash could move its envelope.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn receipt(&self, id: &Hash) -> Result<Option<Vec<u8>>, SpoolError> {
        read(&self.receipt_path(id))
    }

    /// Whether an envelope's receipt is here.
    #[must_use]
    pub fn is_logged(&self, id: &Hash) -> bool {
        self.dir.join(format!("receipts/{id}.json")).exists()
    }

    /// Keeps a verified receipt and takes the envelope out of the spool.
    ///
    /// # Errors
    /// If either cannot be done durably; the envelope is then sent again one day, which does no harm.
    pub fn logged(&self, id: &Hash, receipt: &[u8]) -> Result<(), SpoolError> {
        let path = self.receipt_path(id);
        write_durably(&path, receipt).map_err(at(&path))?;
        let (from, to) = (self.dir.join(format!("spool/{id}.json")), self.dir.join(format!("receipts/{id}.json")));
        move_durably(&from, &to).map_err(at(&from))
    }

    /// Takes an envelope that the log refuses for good out of the way, with the log's reason beside it.
    ///
    /// # Errors
    /// If it cannot be done durably.
    pub fn refuse(&self, id: &Hash, reason: &str) -> Result<(), SpoolError> {
        self.set_aside(&self.dir.join(format!("spool/{id}.json")), reason)
    }

    fn set_aside(&self, path: &Path, reason: &str) -> Result<(), SpoolError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let beside = self.reason_path(&name);
        write_durably(&beside, format!("{reason}\n").as_bytes()).map_err(at(&beside))?;
        move_durably(path, &self.refused_path(&name)).map_err(at(path))
    }

    fn envelopes(&self, part: &str) -> Result<Vec<PathBuf>, SpoolError> {
        let dir = self.dir.join(part);
        let mut paths = Vec::new();
        for entry in fs::read_dir(&dir).map_err(at(&dir))? {
            let path = entry.map_err(at(&dir))?.path();
            if path.extension().is_some_and(|end| end == "json") {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    fn manifest_path(&self, root: &Hash) -> PathBuf {
        self.dir.join(format!("manifests/{root}"))
    }

    fn receipt_path(&self, id: &Hash) -> PathBuf {
        self.dir.join(format!("receipts/{id}.tlog-proof"))
    }

    fn refused_path(&self, name: &str) -> PathBuf {
        self.dir.join("spool/refused").join(name)
    }

    fn reason_path(&self, name: &str) -> PathBuf {
        self.refused_path(name).with_extension("reason")
    }
}

fn read_item(path: &Path, bytes: &[u8]) -> Result<Item, &'static str> {
    let id = Hash::digest(bytes);
    if path.file_stem().is_none_or(|stem| *stem != *id.to_hex()) {
        return Err("the file is damaged: its name is not its SHA-256; attest the package again");
    }
    let envelope = Envelope::parse(bytes).map_err(|_| "not an envelope")?;
    envelope.verify().map_err(|_| "the envelope's signature does not verify")?;
    let statement = Statement::parse(envelope.payload()).map_err(|_| "the envelope holds no statement")?;
    Ok(Item { id, bytes: bytes.to_vec(), statement })
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, SpoolError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

fn remove(path: &Path) -> Result<(), SpoolError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path.to_owned();
    move |source| SpoolError { path, source }
}

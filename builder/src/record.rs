//! What was said about which package file, so that nothing is said or done twice (`specs/builder.md`, section 7).
//!
//! The truth is the envelopes in the spool and beside the receipts; this file only saves reading all of them at each start. Lines of envelopes
//! that are not there any more do not count, and envelopes without a line are read and given one. So a crash between the two loses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use attest::predicate::Kind;
use attest::{Envelope, Statement};
use serde::{Deserialize, Serialize};
use tlog::Hash;

use crate::home::{Home, write_durably};

/// Why the record cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct RecordError {
    path: PathBuf,
    source: io::Error,
}

impl RecordError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        "check that the disk is neither full nor read-only and that the builder's directory belongs to you; the record is made again from the spool"
    }
}

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
enum Line {
    /// An envelope's SHA-256, and what it says about which package file.
    #[serde(rename = "said")]
    Said { envelope: String, kind: String, package: String, sha256: String },
    /// A package file that could not be attested or observed.
    #[serde(rename = "failed")]
    Failed { sha256: String, tries: u32, next: u64, reason: String },
}

/// What was said about one package file: the envelopes' SHA-256.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Its package URL.
    pub package: String,
    /// Envelopes by the short name of their predicate.
    pub envelopes: BTreeMap<String, Hash>,
}

/// A package file that is tried again later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// How often it was tried.
    pub tries: u32,
    /// From when on it is tried again, in POSIX seconds.
    pub next: u64,
    /// Why.
    pub reason: String,
}

#[derive(Debug, Default)]
struct Known {
    said: BTreeMap<Hash, Said>,
    failed: BTreeMap<Hash, Failed>,
}

/// The record of one builder. Whoever has it holds the directory's lock.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    file: Mutex<File>,
    known: Mutex<Known>,
}

impl Record {
    /// Reads the file, compares it with the envelopes that are there, and writes it anew.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn open(home: &Home) -> Result<Self, RecordError> {
        let path = home.dir().join("record");
        let mut envelopes = envelopes(home.dir())?;
        let mut lines = Vec::new();
        for line in read(&path)? {
            match &line {
                Line::Said { envelope, .. } if Hash::from_hex(envelope).and_then(|id| envelopes.remove(&id)).is_none() => {}
                _ => lines.push(line),
            }
        }
        for (id, path) in envelopes {
            let bytes = std::fs::read(&path).map_err(at(&path))?;
            lines.extend(line_of(id, &bytes));
        }
        let mut known = Known::default();
        lines.iter().for_each(|line| known.add(line));
        write_durably(&path, &lines.iter().flat_map(encode).collect::<Vec<u8>>()).map_err(at(&path))?;
        let file = OpenOptions::new().append(true).open(&path).map_err(at(&path))?;
        Ok(Self { path, file: Mutex::new(file), known: Mutex::new(known) })
    }

    /// Adds an envelope that is in the spool.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn said(&self, envelope: Hash, statement: &Statement) -> Result<(), RecordError> {
        self.add(&said(envelope, statement))
    }

    /// A package file could not be attested: it is tried again after an hour, then after twice as long each time, up to a week.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn failed(&self, sha256: &Hash, reason: &str, now: u64) -> Result<(), RecordError> {
        let tries = self.known().failed.get(sha256).map_or(0, |failed| failed.tries).saturating_add(1);
        let pause = FIRST_PAUSE.saturating_mul(1 << (tries - 1).min(16)).min(LONGEST_PAUSE);
        let reason = reason.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect();
        self.add(&Line::Failed { sha256: sha256.to_hex(), tries, next: now.saturating_add(pause), reason })
    }

    /// Makes all lines durable.
    ///
    /// # Errors
    /// If that fails.
    pub fn sync(&self) -> Result<(), RecordError> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.sync_data().map_err(at(&self.path))
    }

    /// Whether this was said of the statement's package file already; of origins and observations, whichever was first.
    #[must_use]
    pub fn holds(&self, statement: &Statement) -> bool {
        let known = self.known();
        known.said.get(&statement.subject.digest.sha256).is_some_and(|said| said.envelopes.contains_key(statement.kind().short_name()))
    }

    /// Whether the package file's installation was observed.
    #[must_use]
    pub fn has_observed(&self, sha256: &Hash) -> bool {
        self.known().said.get(sha256).is_some_and(|said| said.envelopes.contains_key(Kind::InstallObservation.short_name()))
    }

    /// Whether everything was said about a package file; with observation, if `observe`.
    #[must_use]
    pub fn is_whole(&self, sha256: &Hash, observe: bool) -> bool {
        let wanted = [Kind::PackageFiles, Kind::PackageOrigin, Kind::InstallObservation];
        let wanted = &wanted[..if observe { 3 } else { 2 }];
        let known = self.known();
        known.said.get(sha256).is_some_and(|said| wanted.iter().all(|kind| said.envelopes.contains_key(kind.short_name())))
    }

    /// The envelopes about a package file.
    #[must_use]
    pub fn envelopes(&self, sha256: &Hash) -> Vec<Hash> {
        self.known().said.get(sha256).map(|said| said.envelopes.values().copied().collect()).unwrap_or_default()
    }

    /// A package file's failure.
    #[must_use]
    pub fn failure(&self, sha256: &Hash) -> Option<Failed> {
        self.known().failed.get(sha256).cloned()
    }

    /// How many package files something was said about, and how many wait to be tried again.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let known = self.known();
        (known.said.len(), known.failed.len())
    }

    fn add(&self, line: &Line) -> Result<(), RecordError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&encode(line)).map_err(at(&self.path))?;
        self.known().add(line);
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Both maps are whole after every single operation.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn add(&mut self, line: &Line) {
        match line {
            // Statements about repositories are kept as lines, and count for no package.
            Line::Said { package, .. } if !package.starts_with("pkg:") => {}
            Line::Said { envelope, kind, package, sha256 } => {
                let (Some(envelope), Some(sha256)) = (Hash::from_hex(envelope), Hash::from_hex(sha256)) else { return };
                let said = self.said.entry(sha256).or_default();
                said.package.clone_from(package);
                said.envelopes.insert(kind.clone(), envelope);
                if kind == Kind::InstallObservation.short_name() {
                    self.failed.remove(&sha256);
                }
            }
            Line::Failed { sha256, tries, next, reason } => {
                let Some(sha256) = Hash::from_hex(sha256) else { return };
                self.failed.insert(sha256, Failed { tries: *tries, next: *next, reason: reason.clone() });
            }
        }
    }
}

/// The envelopes that are there, by SHA-256; also those that the log refused, which are not said again by themselves.
fn envelopes(dir: &Path) -> Result<BTreeMap<Hash, PathBuf>, RecordError> {
    let mut found = BTreeMap::new();
    for part in ["spool/refused", "receipts", "spool"] {
        let dir = dir.join(part);
        for entry in std::fs::read_dir(&dir).map_err(at(&dir))? {
            let path = entry.map_err(at(&dir))?.path();
            if path.extension().is_some_and(|end| end == "json")
                && let Some(id) = path.file_stem().and_then(|stem| Hash::from_hex(&stem.to_string_lossy()))
            {
                found.insert(id, path);
            }
        }
    }
    Ok(found)
}

/// The lines that can be read; a torn or damaged one is made again from its envelope.
fn read(path: &Path) -> Result<Vec<Line>, RecordError> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.map_err(at(path))?,
    };
    let mut seen = BTreeSet::new();
    let lines: Vec<Line> = bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    // Of several failures of one file the last counts, and each envelope once.
    let mut kept: Vec<Line> = lines.into_iter().rev().filter(|line| seen.insert(name(line))).collect();
    kept.reverse();
    Ok(kept)
}

fn name(line: &Line) -> String {
    match line {
        Line::Said { envelope, .. } => envelope.clone(),
        Line::Failed { sha256, .. } => format!("failed {sha256}"),
    }
}

fn line_of(id: Hash, bytes: &[u8]) -> Option<Line> {
    if Hash::digest(bytes) != id {
        return None;
    }
    let envelope = Envelope::parse(bytes).ok()?;
    Some(said(id, &Statement::parse(envelope.payload()).ok()?))
}

fn said(envelope: Hash, statement: &Statement) -> Line {
    Line::Said {
        envelope: envelope.to_hex(),
        kind: statement.kind().short_name().to_owned(),
        package: statement.subject.name.clone(),
        sha256: statement.subject.digest.sha256.to_hex(),
    }
}

fn encode(line: &Line) -> Vec<u8> {
    // A record of texts and numbers always has a JSON form.
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> RecordError {
    let path = path.to_owned();
    move |source| RecordError { path, source }
}

const FIRST_PAUSE: u64 = 3600;
const LONGEST_PAUSE: u64 = 7 * 86_400;
const MAX_REASON: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;
    use attest::Purl;
    use attest::predicate::{PackageFiles, Predicate};
    use tlog::KeyName;

    fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().unwrap();
        Home::create(&dir.path().join("b"), &KeyName::parse("example.org/b").unwrap()).unwrap();
        let home = Home::open(&dir.path().join("b")).unwrap();
        (dir, home)
    }

    fn statement(number: u8) -> Statement {
        let package = Hash::digest(&[number]);
        let manifest = attest::manifest::ManifestBuilder::new(package).finish().unwrap();
        let purl = Purl::deb("debian", "test", &format!("1.{number}"), "all").unwrap();
        Statement::about_package(&purl, package, Predicate::PackageFiles(PackageFiles::of(&manifest)))
    }

    fn spool(home: &Home, statement: &Statement) -> Hash {
        let envelope = Envelope::sign(statement.encode(), home.signer().unwrap().as_ref()).unwrap();
        crate::spool::Spool::new(home).add(&envelope).unwrap();
        Hash::digest(&envelope.encode())
    }

    #[test]
    fn envelopes_are_the_truth_and_lines_follow_them() {
        let (_dir, home) = home();
        let (one, two) = (statement(1), statement(2));
        let record = Record::open(&home).unwrap();
        record.said(spool(&home, &one), &one).unwrap();
        // A crash before the line of the second.
        let second = spool(&home, &two);
        assert!(record.holds(&one) && !record.holds(&two));
        let record = Record::open(&home).unwrap();
        assert!(record.holds(&one) && record.holds(&two) && !record.is_whole(&one.subject.digest.sha256, false));
        assert_eq!(record.envelopes(&two.subject.digest.sha256), [second]);
        std::fs::remove_file(home.dir().join(format!("spool/{second}.json"))).unwrap();
        assert!(!Record::open(&home).unwrap().holds(&two));
    }

    #[test]
    fn torn_and_foreign_lines_do_no_harm() {
        let (_dir, home) = home();
        let one = statement(1);
        spool(&home, &one);
        Record::open(&home).unwrap();
        let path = home.dir().join("record");
        let whole = std::fs::read(&path).unwrap();
        for end in 0..whole.len() {
            std::fs::write(&path, [b"{\"said\":1}\nx\n", &whole[..end]].concat()).unwrap();
            assert!(Record::open(&home).unwrap().holds(&one), "{end}");
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
    }

    #[test]
    fn failures_are_tried_again_later_and_later() {
        let (_dir, home) = home();
        let (record, sha256) = (Record::open(&home).unwrap(), Hash::digest(b"x"));
        let mut pauses = Vec::new();
        for _ in 0..12 {
            record.failed(&sha256, "no\nreason", 1000).unwrap();
            pauses.push(record.failure(&sha256).unwrap().next - 1000);
        }
        assert_eq!(pauses[..3], [3600, 7200, 14_400]);
        assert_eq!(pauses[11], 7 * 86_400);
        let again = Record::open(&home).unwrap().failure(&sha256).unwrap();
        assert_eq!((again.tries, again.reason.as_str()), (12, "noreason"));
    }
}

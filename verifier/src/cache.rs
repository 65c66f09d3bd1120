//! The cache on disk (`specs/cache.md`). Every file is replaced by a rename after an fsync, so that a killed program leaves the old or the
//! new one; what readers use is one file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use attest::Bundle;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tlog::evidence::Evidence;
use tlog::{Hash, SignedCheckpoint};

use crate::coverage::Coverage;
use crate::manifests::Manifests;

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Nothing was ever synced.
    #[error("there is no cache in {0}")]
    Absent(PathBuf),
    /// A file does not parse.
    #[error("{0} is damaged")]
    Damaged(PathBuf),
    /// Another program holds it.
    #[error("another tally is writing to the cache {0}")]
    Busy(PathBuf),
    /// The system refused.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
}

/// A cache directory.
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
}

/// The exclusive right to write; given back when dropped.
#[derive(Debug)]
pub struct CacheLock {
    _file: File,
}

impl Cache {
    /// The cache in a directory, which need not exist yet.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf() }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether anything was ever synced or imported.
    #[must_use]
    pub fn is_there(&self) -> bool {
        // What cannot be seen may be there.
        self.dir.join(KNOWN).try_exists().unwrap_or(true)
    }

    /// The manifests.
    #[must_use]
    pub fn manifests(&self) -> Manifests {
        Manifests::new(&self.dir)
    }

    /// Makes the directory and takes the lock, waiting a little for another program.
    ///
    /// # Errors
    /// If the directory cannot be written, or the lock is still held after `patience`.
    pub fn lock(&self, patience: Duration) -> Result<CacheLock, CacheError> {
        let path = self.dir.join("lock");
        for dir in [self.dir.clone(), self.manifests().dir().to_path_buf()] {
            fs::create_dir_all(&dir).map_err(|error| CacheError::Io(dir.clone(), error))?;
        }
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = open.map_err(|error| CacheError::Io(path.clone(), error))?;
        let end = Instant::now() + patience;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < end => std::thread::sleep(Duration::from_millis(100)),
                Err(Errno::WOULDBLOCK | Errno::INTR) => return Err(CacheError::Busy(self.dir.clone())),
                Err(error) => return Err(CacheError::Io(path, error.into())),
            }
        }
        self.sweep();
        Ok(CacheLock { _file: file })
    }

    /// Removes what killed programs left half written.
    fn sweep(&self) {
        for dir in ["", "manifests", ASIDE, UNPROVEN, UNLOGGED, "evidence"].map(|folder| self.dir.join(folder)) {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                if entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
    }

    /// The newest checkpoint that was ever seen.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn newest(&self) -> Result<Option<SignedCheckpoint>, CacheError> {
        let path = self.dir.join(CHECKPOINT);
        let Some(bytes) = self.read(&path)? else { return Ok(None) };
        SignedCheckpoint::parse(&bytes).map(Some).map_err(|_| CacheError::Damaged(path))
    }

    /// Keeps the newest checkpoint. The caller holds the lock and has proven that it follows the last one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep_newest(&self, _lock: &CacheLock, checkpoint: &SignedCheckpoint) -> Result<(), CacheError> {
        self.replace(&self.dir.join(CHECKPOINT), checkpoint.encode().as_bytes())
    }

    /// What is known: a checkpoint and leaves with their proofs. Only parsed: [`crate::knowledge::Knowledge`] verifies.
    ///
    /// # Errors
    /// If nothing was ever synced, or the file is damaged.
    pub fn known(&self) -> Result<(Bundle, Coverage), CacheError> {
        let path = self.dir.join(KNOWN);
        let bytes = self.read(&path)?.ok_or_else(|| CacheError::Absent(self.dir.clone()))?;
        let bundle = Bundle::parse(&bytes).map_err(|_| CacheError::Damaged(path))?;
        Ok((bundle, self.coverage(&Hash::digest(&bytes))?))
    }

    /// What was asked, as far as it belongs to what is known; the names alone where nothing is known.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn coverage(&self, known: &Hash) -> Result<Coverage, CacheError> {
        let path = self.dir.join(NAMES);
        let Some(bytes) = self.read(&path)? else { return Ok(Coverage::default()) };
        Ok(Coverage::parse(&bytes, known).unwrap_or_else(|| {
            tracing::warn!("{} is damaged; names of earlier syncs that are not installed are forgotten", path.display());
            Coverage::default()
        }))
    }

    /// Keeps what is known, and then what was asked: after a crash between the two, everything is asked again. The caller holds the lock.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep_known(&self, _lock: &CacheLock, bundle: &Bundle, coverage: &Coverage) -> Result<(), CacheError> {
        let bytes = bundle.encode();
        let path = self.dir.join(KNOWN);
        if self.read(&path)?.as_ref() != Some(&bytes) {
            self.replace(&path, &bytes)?;
        }
        self.replace(&self.dir.join(NAMES), &coverage.encode(&Hash::digest(&bytes)))
    }

    /// Bundles that are kept aside, since nothing shows yet that their trees and that of `known` are of one history; in order of names.
    ///
    /// # Errors
    /// If one is damaged: it may hold a warning.
    pub fn asides(&self) -> Result<Vec<Bundle>, CacheError> {
        let parse = |path: &PathBuf| {
            let bytes = self.read(path)?.unwrap_or_default();
            Bundle::parse(&bytes).map_err(|_| CacheError::Damaged(path.clone()))
        };
        self.files(ASIDE)?.iter().map(parse).collect()
    }

    /// Makes the bundles kept aside these, and no others: new ones are written before old ones go.
    ///
    /// # Errors
    /// If one cannot be written or removed.
    pub fn keep_asides(&self, _lock: &CacheLock, bundles: &[Bundle]) -> Result<(), CacheError> {
        let mut kept = Vec::new();
        for bundle in bundles {
            kept.push(self.put(ASIDE, "bundle", &bundle.encode())?);
        }
        let gone = self.files(ASIDE)?.into_iter().filter(|path| !kept.contains(path));
        gone.into_iter().try_for_each(|path| fs::remove_file(&path).map_err(|error| CacheError::Io(path, error)))
    }

    /// Signed warnings that came by another road than the log's.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn unlogged(&self) -> Result<Vec<Vec<u8>>, CacheError> {
        self.files(UNLOGGED)?.iter().map(|path| Ok(self.read(path)?.unwrap_or_default())).collect()
    }

    /// Keeps such a warning, which the caller has checked; there is room for a few of them.
    ///
    /// # Errors
    /// If it cannot be written, or there are too many.
    pub fn keep_unlogged(&self, _lock: &CacheLock, entry: &[u8]) -> Result<(), CacheError> {
        let is_full = self.files(UNLOGGED)?.len() >= MAX_UNLOGGED && !self.named(UNLOGGED, "entry", entry).exists();
        if is_full {
            let why = io::Error::other("too many warnings that no log shows are kept here; remove those that are over");
            return Err(CacheError::Io(self.dir.join(UNLOGGED), why));
        }
        self.put(UNLOGGED, "entry", entry).map(|_| ())
    }

    /// Checkpoints that the log signed and that nothing yet shows to be of the history followed, or of another.
    ///
    /// # Errors
    /// If one is damaged: it may convict the log.
    pub fn unproven(&self) -> Result<Vec<SignedCheckpoint>, CacheError> {
        let parse = |path: &PathBuf| {
            let bytes = self.read(path)?.unwrap_or_default();
            SignedCheckpoint::parse(&bytes).map_err(|_| CacheError::Damaged(path.clone()))
        };
        self.files(UNPROVEN)?.iter().map(parse).collect()
    }

    /// Keeps an unproven checkpoint, and says where; beyond a limit that no honest log reaches, it is only said.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep_unproven(&self, _lock: &CacheLock, checkpoint: &SignedCheckpoint) -> Result<PathBuf, CacheError> {
        if self.files(UNPROVEN)?.len() >= MAX_UNPROVEN {
            tracing::warn!("{MAX_UNPROVEN} unproven checkpoints are kept; further ones are not");
            return Ok(self.dir.join(UNPROVEN));
        }
        self.put(UNPROVEN, "checkpoint", checkpoint.encode().as_bytes())
    }

    /// Removes an unproven checkpoint of which it has been shown what it is.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn drop_unproven(&self, _lock: &CacheLock, checkpoint: &SignedCheckpoint) -> Result<(), CacheError> {
        let path = self.named(UNPROVEN, "checkpoint", checkpoint.encode().as_bytes());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CacheError::Io(path, error)),
            _ => Ok(()),
        }
    }

    fn files(&self, folder: &str) -> Result<Vec<PathBuf>, CacheError> {
        let dir = self.dir.join(folder);
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| CacheError::Io(dir.clone(), error))?,
        };
        let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>();
        let mut paths = paths.map_err(|error| CacheError::Io(dir, error))?;
        paths.retain(|path| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes())));
        paths.sort();
        Ok(paths)
    }

    fn named(&self, folder: &str, ending: &str, bytes: &[u8]) -> PathBuf {
        self.dir.join(folder).join(format!("{}.{ending}", &Hash::digest(bytes).to_hex()[..16]))
    }

    /// Writes a file named by the digest of its content.
    fn put(&self, folder: &str, ending: &str, bytes: &[u8]) -> Result<PathBuf, CacheError> {
        let dir = self.dir.join(folder);
        fs::create_dir_all(&dir).map_err(|error| CacheError::Io(dir, error))?;
        let path = self.named(folder, ending, bytes);
        self.replace(&path, bytes)?;
        Ok(path)
    }

    /// Keeps a manifest under its name; the caller has checked that it fits.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep_manifest(&self, _lock: &CacheLock, root: &tlog::Hash, text: &[u8]) -> Result<(), CacheError> {
        self.replace(&self.manifests().path(root), text)
    }

    /// Keeps evidence under the digest of its text, and says where. Needs no lock: the name is the content's.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep_evidence(&self, evidence: &Evidence) -> Result<PathBuf, CacheError> {
        self.put("evidence", "evidence", evidence.encode().as_bytes())
    }

    /// Keeps entries with their proofs beside the evidence, under the digest of the bundle, and says where.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep_proof(&self, bundle: &Bundle) -> Result<PathBuf, CacheError> {
        self.put("evidence", "bundle", &bundle.encode())
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, CacheError> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CacheError::Io(path.to_path_buf(), error)),
        }
    }

    /// Writes beside, fsyncs, renames, fsyncs the directory.
    pub(crate) fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
        replace(path, bytes).map_err(|error| CacheError::Io(path.to_path_buf(), error))
    }
}

/// Replaces a file so that any reader, at any time, sees the old or the new content.
///
/// # Errors
/// If the system refuses; the old content stands then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = dir.join(format!("{TEMPORARY}{name}.{}", std::process::id()));
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(dir)?.sync_all()
    };
    let result = write();
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

const CHECKPOINT: &str = "checkpoint";
const KNOWN: &str = "known";
const NAMES: &str = "names";
const ASIDE: &str = "aside";
const UNPROVEN: &str = "unproven";
const UNLOGGED: &str = "unlogged";
const MAX_UNLOGGED: usize = 256;
/// An honest log's checkpoints are shown to be of one history at the next sync.
const MAX_UNPROVEN: usize = 64;
const TEMPORARY: &str = ".new-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_cache_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(&dir.path().join("none"));
        assert!(matches!(cache.known(), Err(CacheError::Absent(_))));
        assert!(cache.newest().unwrap().is_none());
    }

    #[test]
    fn only_one_writes() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path());
        let lock = cache.lock(Duration::ZERO).unwrap();
        assert!(matches!(cache.lock(Duration::ZERO), Err(CacheError::Busy(_))));
        drop(lock);
        assert!(cache.lock(Duration::ZERO).is_ok());
    }

    #[test]
    fn half_written_files_are_swept_and_damaged_ones_refused() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path());
        fs::write(dir.path().join(".new-1.known"), "half").unwrap();
        fs::write(dir.path().join("known"), "tallystick bundle v1\ncheckpoint 5\n").unwrap();
        let lock = cache.lock(Duration::ZERO).unwrap();
        assert!(!dir.path().join(".new-1.known").exists());
        assert!(matches!(cache.known(), Err(CacheError::Damaged(_))));
        drop(lock);
        for (folder, name) in [(ASIDE, "x.bundle"), (UNPROVEN, "x.checkpoint")] {
            fs::create_dir(dir.path().join(folder)).unwrap();
            fs::write(dir.path().join(folder).join(name), "half").unwrap();
        }
        assert!(matches!(cache.asides(), Err(CacheError::Damaged(_))));
        assert!(matches!(cache.unproven(), Err(CacheError::Damaged(_))));
    }
}

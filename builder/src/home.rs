//! The builder's directory: what stands where, who holds it, and writes that survive a power cut.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use client::cli::Advice;
use client::keys;
use custody::Place;
use rustix::fs::{FlockOperation, flock};
use tlog::{KeyKind, KeyName, Signer, VerifierKey};

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// Something is there already.
    #[error("{0} holds a builder already")]
    Exists(PathBuf),
    /// Not made by `init`.
    #[error("{0} is not a builder's directory")]
    NotMade(PathBuf),
    /// Another run holds it.
    #[error("another tally-builder works in {0}")]
    Busy(PathBuf),
    /// The key is not where it is said to be, or a new one could not be made.
    #[error("{0}")]
    NoKey(#[source] Advice),
    /// The key file was refused.
    #[error(transparent)]
    Key(#[from] keys::KeyFileError),
    /// The system failed.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl HomeError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Exists(_) => "choose another directory; a builder's key is never overwritten",
            Self::NotMade(_) => "make it with `tally-builder init --dir DIR --name NAME`, and name it as `dir` in the configuration",
            Self::Busy(_) => "wait for the other run to end, or end it",
            Self::NoKey(_) => "specs/keys.md says where a key can be, and what --key then takes",
            Self::Key(_) => "the key belongs to the user who runs tally-builder, in a file of mode 0600",
            Self::Io { .. } => "check the path, its owner, and that the disk is neither full nor read-only",
        }
    }
}

/// Paths below the builder's directory: the one place that knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    dir: PathBuf,
}

/// Held while a run works in the directory; the system lets go of it when the process ends.
pub struct Lock(#[expect(dead_code, reason = "the lock lives as long as the file is open")] File);

impl Home {
    /// Makes a new directory with a new key.
    ///
    /// # Errors
    /// If a builder is there already, or nothing can be written.
    pub fn create(dir: &Path, name: &KeyName) -> Result<VerifierKey, HomeError> {
        Self::create_with(dir, name, None)
    }

    /// The same with a key that is somewhere already.
    ///
    /// # Errors
    /// Also if it is not there, or cannot sign.
    pub fn create_with(dir: &Path, name: &KeyName, place: Option<&Place>) -> Result<VerifierKey, HomeError> {
        let home = Self { dir: dir.to_owned() };
        let make = |path: &Path, mode: u32| fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(io(path));
        make(dir, 0o755)?;
        if home.key_path().exists() {
            return Err(HomeError::Exists(dir.to_owned()));
        }
        make(&dir.join("keys"), 0o700)?;
        for part in ["spool", "spool/refused", "receipts", "manifests", "cache", WORK] {
            make(&dir.join(part), 0o755)?;
        }
        let key = custody::bring_or_create(place, &home.key_path(), name, KeyKind::Ed25519).map_err(HomeError::NoKey)?;
        sync_dir(dir).map_err(io(dir))?;
        Ok(key)
    }

    /// A directory that [`Home::create`] has made.
    ///
    /// # Errors
    /// If it is not one.
    pub fn open(dir: &Path) -> Result<Self, HomeError> {
        let dir = fs::canonicalize(dir).map_err(|_| HomeError::NotMade(dir.to_owned()))?;
        let home = Self { dir };
        if home.key_path().exists() { Ok(home) } else { Err(HomeError::NotMade(home.dir)) }
    }

    /// Keeps other runs out, and removes what a killed one left: scratch files and files that it had not finished writing.
    ///
    /// # Errors
    /// If another run is in.
    pub fn lock(&self) -> Result<Lock, HomeError> {
        let path = self.dir.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(io(&path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                self.clear();
                Ok(Lock(file))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Err(HomeError::Busy(self.dir.clone())),
            Err(error) => Err(io(&path)(error.into())),
        }
    }

    /// The builder's key.
    ///
    /// # Errors
    /// If its file is refused.
    pub fn signer(&self) -> Result<Box<dyn Signer>, HomeError> {
        Ok(custody::load(&self.key_path())?)
    }

    /// The directory itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A new directory for one run's scratch files, removed when dropped.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn scratch(&self) -> Result<tempfile::TempDir, HomeError> {
        let work = self.dir.join(WORK);
        tempfile::Builder::new().prefix("run-").tempdir_in(&work).map_err(io(&work))
    }

    fn clear(&self) {
        let unfinished = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        for part in ["", "spool", "spool/refused", "receipts", "manifests", "requests/failed"] {
            for entry in fs::read_dir(self.dir.join(part)).into_iter().flatten().flatten().filter(unfinished) {
                // Best effort, here and below: a leftover costs space, not correctness.
                let _ = fs::remove_file(entry.path());
            }
        }
        for entry in fs::read_dir(self.dir.join(WORK)).into_iter().flatten().flatten() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }

    fn key_path(&self) -> PathBuf {
        self.dir.join("keys/builder.key")
    }
}

/// Writes a whole file so that, after a crash at any moment, either the old content is there or the new one.
///
/// # Errors
/// If any step fails; then the new content is not promised.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(parent)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_dir(parent)
}

/// Makes a directory that containers can read under whichever user numbers, whatever the umask.
///
/// # Errors
/// If it cannot be made.
pub fn readable_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Moves a file within one file system, durably in both directories.
///
/// # Errors
/// If any step fails; the file is then at one of the two places.
pub fn move_durably(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    for path in [to, from] {
        sync_dir(path.parent().unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

/// Removes a file, durably; it may have gone already.
///
/// # Errors
/// If it cannot be removed, or its directory not be written.
pub fn remove_durably(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> HomeError {
    let path = path.to_owned();
    move |source| HomeError::Io { path, source }
}

/// Where scratch files of a run and of its Podman service are.
pub const WORK: &str = "work";
/// What the names of unfinished files begin with.
pub const TEMPORARY: &str = ".new-";

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (tempfile::TempDir, Home, VerifierKey) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b");
        let key = Home::create(&path, &KeyName::parse("example.org/b").unwrap()).unwrap();
        (dir, Home::open(&path).unwrap(), key)
    }

    #[test]
    fn a_made_directory_opens_and_is_never_made_again() {
        let (_dir, home, key) = made();
        assert_eq!(*home.signer().unwrap().key(), key);
        let again = Home::create(home.dir(), key.name());
        assert!(matches!(again, Err(HomeError::Exists(_))));
        assert_eq!(*home.signer().unwrap().key(), key);
        assert_eq!(fs::metadata(home.dir().join("keys")).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(home.key_path()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn only_one_run_at_a_time() {
        let (_dir, home, _) = made();
        let lock = home.lock().unwrap();
        assert!(matches!(home.lock(), Err(HomeError::Busy(_))));
        drop(lock);
        home.lock().unwrap();
    }

    #[test]
    fn other_directories_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Home::open(dir.path()), Err(HomeError::NotMade(_))));
        assert!(matches!(Home::open(&dir.path().join("none")), Err(HomeError::NotMade(_))));
    }

    #[test]
    fn leftovers_of_a_killed_run_go() {
        let (_dir, home, _) = made();
        let (left, half, whole) = (home.dir().join("work/run-old/debs"), home.dir().join("spool/.new-x"), home.dir().join("spool/x.json"));
        fs::create_dir_all(&left).unwrap();
        fs::write(&half, "h").unwrap();
        fs::write(&whole, "whole").unwrap();
        let lock = home.lock().unwrap();
        let scratch = home.scratch().unwrap();
        assert!(!left.exists() && !half.exists() && whole.exists() && scratch.path().exists());
        // A run that is kept out removes nothing.
        assert!(home.lock().is_err() && scratch.path().exists());
        drop(lock);
    }

    #[test]
    fn a_written_file_replaces_the_old_one_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_durably(&path, b"old").unwrap();
        write_durably(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let moved = dir.path().join("g");
        move_durably(&path, &moved).unwrap();
        assert_eq!((path.exists(), fs::read(&moved).unwrap()), (false, b"new".to_vec()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(write_durably(&dir.path().join("none/f"), b"x").is_err());
    }
}

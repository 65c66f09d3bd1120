//! Signatures on InRelease and on other indexes, verified by `gpgv` against one pinned keyring, within bounds.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use tlog::Hash;

use super::gpgv::{GpgvError, judge, judge_detached};

/// A keyring whose content was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyring {
    path: PathBuf,
}

/// What a verified file says, and who says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The signed text alone; what stands around it in the file does not count.
    pub text: Vec<u8>,
    /// Fingerprints of the primary keys whose signatures hold, sorted, each once.
    pub signers: Vec<String>,
}

impl Keyring {
    /// A binary OpenPGP keyring, of a given SHA-256 if that is pinned too.
    ///
    /// # Errors
    /// If it cannot be read, is armored, or is another one.
    pub fn open(path: &Path, sha256: Option<Hash>) -> Result<Self, GpgvError> {
        let refused = |reason| GpgvError::Keyring { path: path.display().to_string(), reason };
        let bytes = std::fs::read(path).map_err(|_| refused("cannot be read"))?;
        if bytes.starts_with(b"-----BEGIN") {
            return Err(refused("is armored; gpgv reads binary keyrings only"));
        }
        if bytes.is_empty() {
            return Err(refused("is empty"));
        }
        if sha256.is_some_and(|sha256| Hash::digest(&bytes) != sha256) {
            return Err(refused("is not the one that `keyring_sha256` pins"));
        }
        Ok(Self { path: path.to_owned() })
    }

    /// The keyring's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Verifies a clear-signed file.
    ///
    /// # Errors
    /// If no signature by a key of the keyring holds, or one is wrong.
    pub fn verify(&self, file: &Path) -> Result<Signed, GpgvError> {
        // Anything else that gpgv reads may be compressed, and it unpacks that before it looks at a signature.
        let mut start = [0; BEGIN.len()];
        let read = File::open(file).and_then(|mut file| file.read_exact(&mut start));
        match read {
            Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => return Err(failed(error)),
            _ if start != *BEGIN => return Err(GpgvError::Unsigned),
            _ => {}
        }
        let scratch = tempfile::tempdir().map_err(failed)?;
        let text = scratch.path().join("text");
        let report = self.report(scratch.path(), &["--output".as_ref(), text.as_os_str(), file.as_os_str()])?;
        let signers = judge(&report)?;
        Ok(Signed { text: std::fs::read(&text).map_err(failed)?, signers })
    }

    /// Verifies a file by its detached signature, armored or not; the primary keys' fingerprints.
    ///
    /// # Errors
    /// If no signature by a key of the keyring holds, or one is wrong.
    pub fn verify_detached(&self, file: &Path, signature: &Path) -> Result<Vec<String>, GpgvError> {
        let scratch = tempfile::tempdir().map_err(failed)?;
        judge_detached(&self.report(scratch.path(), &[signature.as_os_str(), file.as_os_str()])?)
    }

    fn report(&self, home: &Path, arguments: &[&OsStr]) -> Result<String, GpgvError> {
        // An empty home, so that no configuration of the user takes part.
        let mut child = Command::new("gpgv")
            .args(["--status-fd", "1", "--weak-digest", "SHA1", "--weak-digest", "RIPEMD160", "--keyring"])
            .arg(&self.path)
            .args(arguments)
            .env("GNUPGHOME", home)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| if error.kind() == std::io::ErrorKind::NotFound { GpgvError::NotInstalled } else { failed(error) })?;
        let mut report = Vec::new();
        let output = child.stdout.take();
        let read = bound(&child).and_then(|()| output.map_or(Ok(0), |output| output.take(MAX_REPORT + 1).read_to_end(&mut report)));
        let is_too_long = report.len() as u64 > MAX_REPORT;
        if is_too_long || read.is_err() {
            // It may have ended already.
            let _ = child.kill();
        }
        let status = child.wait().map_err(failed)?;
        read.map_err(failed)?;
        let bounds = [Signal::XCPU, Signal::XFSZ].map(Signal::as_raw);
        if is_too_long || status.signal().is_some_and(|signal| bounds.contains(&signal)) {
            return Err(GpgvError::TooMuch);
        }
        if status.code().is_none() {
            return Err(GpgvError::Report("it was killed".to_owned()));
        }
        String::from_utf8(report).map_err(|_| GpgvError::Report("not text".to_owned()))
    }
}

/// A compressed message is unpacked whatever it is: what gpgv may write and how long it may work is bounded.
fn bound(child: &Child) -> std::io::Result<()> {
    let pid = Pid::from_child(child);
    for (resource, limit) in [(Resource::Fsize, MAX_TEXT), (Resource::Cpu, MAX_SECONDS)] {
        let maximum = getrlimit(resource).maximum;
        prlimit(Some(pid), resource, Rlimit { current: Some(maximum.map_or(limit, |most| most.min(limit))), maximum })?;
    }
    Ok(())
}

fn failed(error: std::io::Error) -> GpgvError {
    GpgvError::Report(error.to_string())
}

/// What a clear-signed file begins with.
const BEGIN: &[u8; 34] = b"-----BEGIN PGP SIGNED MESSAGE-----";
/// As large as an InRelease file may be.
const MAX_TEXT: u64 = 32 << 20;
/// Of the processor: many times what hashing the largest index takes.
const MAX_SECONDS: u64 = 120;
const MAX_REPORT: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyrings_are_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        let reason = |sha256| match Keyring::open(&path, sha256) {
            Err(GpgvError::Keyring { reason, .. }) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(None), "cannot be read");
        std::fs::write(&path, "-----BEGIN PGP PUBLIC KEY BLOCK-----\n").unwrap();
        assert_eq!(reason(None), "is armored; gpgv reads binary keyrings only");
        std::fs::write(&path, "").unwrap();
        assert_eq!(reason(None), "is empty");
        std::fs::write(&path, "x").unwrap();
        assert_eq!(reason(Some(Hash::EMPTY)), "is not the one that `keyring_sha256` pins");
        assert!(Keyring::open(&path, Some(Hash::digest(b"x"))).is_ok());
    }
}

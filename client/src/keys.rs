//! Key files: one line of private key text, or where the key is kept instead; readable by their owner alone (`specs/keys.md`).

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use aws_lc_rs::signature::{ML_DSA_44_SIGNING, PqdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::OFlags;
use tlog::key::SignError;
use tlog::{KeyKind, KeyName, Signer, SigningKey, VerifierKey};
use zeroize::Zeroizing;

use crate::agent::AgentSigner;

/// The largest key file in bytes; the longest name and key fit several times.
const MAX_BYTES: u64 = 4096;

/// Why a key file was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file could not be read or written.
    #[error("key file {path}: {why}")]
    Io {
        /// Which file.
        path: String,
        /// What the system said.
        why: io::Error,
    },
    /// Others than the owner may read or write it.
    #[error("key file {path} is open to others: run chmod 600 on it, and replace the key if it may have been read")]
    OpenToOthers {
        /// Which file.
        path: String,
    },
    /// The key is in a PKCS#11 token, which only log, witness and builder open.
    #[error("key file {path} names a key in a PKCS#11 token, which this program does not open: use a key in a file or an ssh-agent")]
    InToken {
        /// Which file.
        path: String,
    },
    /// Neither one line of private key text nor the two lines of a key in an agent.
    #[error("key file {path} does not hold a private key")]
    Malformed {
        /// Which file.
        path: String,
    },
}

/// Makes a key from the system's random numbers and writes it to a new file of mode 0600, durably.
///
/// # Errors
/// If the file exists or cannot be written, or the system gives no random numbers.
pub fn create(path: &Path, name: &KeyName, kind: KeyKind) -> Result<VerifierKey, KeyFileError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|error| io_error(path)(io::Error::other(error.to_string())))?;
    let key = SigningKey::from_seed(name.clone(), kind, &seed).map_err(|_| malformed(path))?;
    let mut text = key.encode();
    text.push('\n');
    write_secret(path, text.as_bytes()).map_err(io_error(path))?;
    Ok(key.key().clone())
}

/// Writes a new key file that says which ssh-agent has the key.
///
/// # Errors
/// If the file exists or cannot be written, or the agent does not have the key.
pub fn refer_to_agent(path: &Path, key: &VerifierKey, socket: &Path) -> Result<(), KeyFileError> {
    AgentSigner::new(key.clone(), socket).map_err(io_error(path))?;
    let socket = socket.to_str().filter(|socket| socket.starts_with('/') && !socket.contains('\n'));
    let socket = socket.ok_or_else(|| io_error(path)(io::Error::other("a socket's path begins with a slash and is text")))?;
    write_secret(path, Elsewhere { socket: socket.to_owned(), key: key.clone() }.encode().as_bytes()).map_err(io_error(path))
}

/// What a key file says whose key is in an ssh-agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The agent's socket, an absolute path.
    pub socket: String,
    /// The key's public half, with its name and type.
    pub key: VerifierKey,
}

impl Elsewhere {
    /// Reads the two lines.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (socket, key) = text.strip_prefix(AGENT)?.strip_suffix('\n')?.split_once('\n')?;
        let key = VerifierKey::parse(key).ok().filter(|key| key.kind() != KeyKind::MlDsa44)?;
        let good = socket.starts_with('/') && !socket.chars().any(char::is_control);
        Some(Self { socket: socket.to_owned(), key }).filter(|parsed| good && parsed.encode() == text)
    }

    /// The two lines.
    #[must_use]
    pub fn encode(&self) -> String {
        format!("{AGENT}{}\n{}\n", self.socket, self.key.encode())
    }
}

/// Begins a key file whose key is in an ssh-agent.
const AGENT: &str = "ssh-agent:";

/// Reads a key file, and asks the ssh-agent that it may name. ML-DSA-44 keys sign with aws-lc-rs, which is several times faster than
/// the portable code.
///
/// # Errors
/// If the file cannot be read, is not a regular file, is open to others or holds no key, or an agent does not have it.
pub fn load(path: &Path) -> Result<Box<dyn Signer>, KeyFileError> {
    let text = read_secret(path)?;
    if text.starts_with("pkcs11:") {
        return Err(KeyFileError::InToken { path: path.display().to_string() });
    }
    if text.starts_with(AGENT) {
        let Elsewhere { socket, key } = Elsewhere::parse(&text).ok_or_else(|| malformed(path))?;
        return Ok(Box::new(AgentSigner::new(key, Path::new(&socket)).map_err(io_error(path))?));
    }
    let key = SigningKey::parse(text.trim_end_matches('\n')).map_err(|_| malformed(path))?;
    if key.key().kind() != KeyKind::MlDsa44 {
        return Ok(Box::new(key));
    }
    let pair = ml_dsa_pair(&text).ok_or_else(|| malformed(path))?;
    Ok(Box::new(MlDsa { key: key.key().clone(), pair }))
}

/// An ML-DSA-44 key held by aws-lc-rs. Its signatures are hedged: no two are the same.
struct MlDsa {
    key: VerifierKey,
    pair: PqdsaKeyPair,
}

impl Signer for MlDsa {
    fn key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let mut signature = vec![0; ML_DSA_44_SIGNING.signature_len()];
        let length = self.pair.sign(message, &mut signature).map_err(|_| SignError)?;
        signature.truncate(length);
        Ok(signature)
    }
}

/// The seed is the last 32 bytes of the text's base64, behind the byte of the type.
fn ml_dsa_pair(text: &str) -> Option<PqdsaKeyPair> {
    let encoded = text.trim_end_matches('\n').splitn(5, '+').nth(4)?;
    let decoded = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, decoded.get(1..)?).ok()
}

/// Writes a new key file of mode 0600, durably.
///
/// # Errors
/// If the file exists or cannot be written.
pub fn write_new(path: &Path, text: &str) -> Result<(), KeyFileError> {
    write_secret(path, text.as_bytes()).map_err(io_error(path))
}

fn write_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // The mode at creation is subject to the umask only downwards; this makes it exact.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    File::open(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()
}

/// Reads a secret of one small text file, which nobody but its owner may read.
///
/// # Errors
/// If the file cannot be read, is not a regular file, is open to others or too large.
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let flags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(io_error(path))?;
    let metadata = file.metadata().map_err(io_error(path))?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(malformed(path));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(KeyFileError::OpenToOthers { path: path.display().to_string() });
    }
    // Sized once, so that growing leaves no copies behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES as usize + 1));
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(io_error(path))?;
    Ok(text)
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
    let path = path.display().to_string();
    move |why| KeyFileError::Io { path, why }
}

fn malformed(path: &Path) -> KeyFileError {
    KeyFileError::Malformed { path: path.display().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(kind: KeyKind) -> (tempfile::TempDir, std::path::PathBuf, VerifierKey) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let key = create(&path, &KeyName::parse("example.org/k").unwrap(), kind).unwrap();
        (dir, path, key)
    }

    #[test]
    fn a_made_key_signs_after_loading() {
        for kind in [KeyKind::Ed25519, KeyKind::CosignatureV1, KeyKind::MlDsa44] {
            let (_dir, path, key) = made(kind);
            let signer = load(&path).unwrap();
            assert_eq!(*signer.key(), key);
            let signature = signer.sign(b"message").unwrap();
            assert!(key.verify(b"message", &signature));
            assert!(!key.verify(b"massage", &signature));
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn an_existing_file_is_not_overwritten() {
        let (_dir, path, key) = made(KeyKind::Ed25519);
        let again = create(&path, key.name(), KeyKind::Ed25519);
        assert!(matches!(again, Err(KeyFileError::Io { why, .. }) if why.kind() == io::ErrorKind::AlreadyExists));
        assert_eq!(*load(&path).unwrap().key(), key);
    }

    #[test]
    fn files_open_to_others_are_refused() {
        let (_dir, path, _) = made(KeyKind::Ed25519);
        for mode in [0o640, 0o604, 0o620] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert!(matches!(load(&path), Err(KeyFileError::OpenToOthers { .. })), "{mode:o}");
        }
    }

    #[test]
    fn links_garbage_and_oversized_files_are_refused() {
        let (dir, path, _) = made(KeyKind::Ed25519);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(load(&link), Err(KeyFileError::Io { .. })));
        let garbage = dir.path().join("garbage");
        write_secret(&garbage, b"PRIVATE+KEY+x+00000000+AAAA\n").unwrap();
        assert!(matches!(load(&garbage), Err(KeyFileError::Malformed { .. })));
        let large = dir.path().join("large");
        write_secret(&large, &[b'x'; 5000]).unwrap();
        assert!(matches!(load(&large), Err(KeyFileError::Malformed { .. })));
        assert!(matches!(load(dir.path()), Err(KeyFileError::Malformed { .. })));
    }
}

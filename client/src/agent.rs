//! Signing by an ssh-agent: a small, strict client of its protocol (draft-ietf-sshm-ssh-agent). Keys never come here.
//!
//! Ed25519 keys only, for which the agent signs exactly the message. Each signature is asked for over a connection of its own, so that an
//! agent can be restarted, and verified before it is used.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tlog::key::SignError;
use tlog::{KeyKind, Signer, VerifierKey};

/// Longest answer in bytes; OpenSSH's own limit.
const MAX_ANSWER: usize = 256 << 10;
/// How long the agent may take; one that asks its user takes longer than a machine.
const TIMEOUT: Duration = Duration::from_secs(30);
const ALGORITHM: &[u8] = b"ssh-ed25519";

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// A key in an ssh-agent.
pub struct AgentSigner {
    key: VerifierKey,
    socket: PathBuf,
}

impl AgentSigner {
    /// The agent's key that has this public half.
    ///
    /// # Errors
    /// If the key is not Ed25519 (`Unsupported`), the agent does not answer or does not have it (`NotFound`).
    pub fn new(key: VerifierKey, socket: &Path) -> io::Result<Self> {
        if key.kind() == KeyKind::MlDsa44 {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "ssh-agents hold no ML-DSA-44 keys"));
        }
        let wanted = blob(key.public());
        if !public_keys(socket)?.contains(&wanted) {
            let what = format!("the agent at {} does not have this key: add it with ssh-add", socket.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, what));
        }
        Ok(Self { key, socket: socket.to_owned() })
    }

    fn ask(&self, message: &[u8]) -> io::Result<Vec<u8>> {
        let mut request = vec![SIGN_REQUEST];
        push(&mut request, &blob(self.key.public()))?;
        push(&mut request, message)?;
        request.extend([0; 4]);
        let answer = exchange(&self.socket, &request)?;
        signature(&answer).ok_or_else(|| refused("it did not sign"))
    }
}

impl Signer for AgentSigner {
    fn key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = self.ask(message).map_err(|problem| {
            tracing::error!(socket = %self.socket.display(), %problem, "the ssh-agent gave no signature");
            SignError
        })?;
        if self.key.verify(message, &signature) { Ok(signature) } else { Err(SignError) }
    }
}

/// The raw public halves of the agent's Ed25519 keys.
///
/// # Errors
/// If the agent does not answer, or not as the protocol says.
pub fn ed25519_keys(socket: &Path) -> io::Result<Vec<Vec<u8>>> {
    let raw = |blob: &Vec<u8>| {
        let mut rest = blob.as_slice();
        let is_ours = take(&mut rest) == Some(ALGORITHM);
        take(&mut rest).filter(|key| is_ours && key.len() == 32 && rest.is_empty()).map(<[u8]>::to_vec)
    };
    Ok(public_keys(socket)?.iter().filter_map(raw).collect())
}

/// The raw public half of the agent's Ed25519 key with this fingerprint, `SHA256:` and unpadded base64 as `ssh-add -l` shows it.
///
/// # Errors
/// As for [`ed25519_keys`]; `NotFound` if there is none.
pub fn find(socket: &Path, fingerprint: &str) -> io::Result<Vec<u8>> {
    let found = ed25519_keys(socket)?.into_iter().find(|key| self::fingerprint(key) == fingerprint);
    let what = || format!("the agent at {} has no Ed25519 key {fingerprint}: see ssh-add -l", socket.display());
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, what()))
}

fn fingerprint(public: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(tlog::Hash::digest(&blob(public)).as_bytes()))
}

fn public_keys(socket: &Path) -> io::Result<Vec<Vec<u8>>> {
    let answer = exchange(socket, &[REQUEST_IDENTITIES])?;
    identities(&answer).ok_or_else(|| refused("it does not list its keys"))
}

/// The key blobs of an answer to the request for identities; `None` for anything but such an answer, to its last byte.
#[must_use]
pub fn identities(answer: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (&IDENTITIES_ANSWER, rest) = answer.split_first()? else { return None };
    let (count, mut rest) = rest.split_first_chunk()?;
    let mut blobs = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        blobs.push(take(&mut rest)?.to_vec());
        take(&mut rest)?;
    }
    rest.is_empty().then_some(blobs)
}

/// The raw Ed25519 signature in an answer to a sign request; `None` for anything but such an answer, to its last byte.
#[must_use]
pub fn signature(answer: &[u8]) -> Option<Vec<u8>> {
    let (&SIGN_RESPONSE, mut rest) = answer.split_first()? else { return None };
    let mut inner = take(&mut rest)?;
    let algorithm = take(&mut inner)?;
    let signature = take(&mut inner)?;
    let whole = rest.is_empty() && inner.is_empty() && algorithm == ALGORITHM && signature.len() == 64;
    whole.then(|| signature.to_vec())
}

/// A string behind its length in four bytes.
fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (string, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *bytes = rest;
    Some(string)
}

fn push(bytes: &mut Vec<u8>, string: &[u8]) -> io::Result<()> {
    let length = u32::try_from(string.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    bytes.extend(length.to_be_bytes());
    bytes.extend_from_slice(string);
    Ok(())
}

/// An Ed25519 key as ssh has it.
fn blob(public: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| (bytes.len() as u32).to_be_bytes();
    [&length(ALGORITHM)[..], ALGORITHM, &length(public), public].concat()
}

fn exchange(socket: &Path, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut framed = Vec::new();
    push(&mut framed, request)?;
    stream.write_all(&framed)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_ANSWER {
        return Err(refused("its answer is too long"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn refused(what: &str) -> io::Error {
    io::Error::other(format!("the ssh-agent refuses: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_to_the_last_byte() {
        let mut listed = vec![IDENTITIES_ANSWER, 0, 0, 0, 1];
        push(&mut listed, &blob(&[7; 32])).unwrap();
        push(&mut listed, b"comment").unwrap();
        assert_eq!(identities(&listed), Some(vec![blob(&[7; 32])]));
        let mut inner = Vec::new();
        push(&mut inner, ALGORITHM).unwrap();
        push(&mut inner, &[9; 64]).unwrap();
        let mut signed = vec![SIGN_RESPONSE];
        push(&mut signed, &inner).unwrap();
        assert_eq!(signature(&signed), Some(vec![9; 64]));
        for answer in [&listed, &signed] {
            for cut in 0..answer.len() {
                assert_eq!((identities(&answer[..cut]), signature(&answer[..cut])), (None, None), "{cut}");
            }
            let longer = [answer.as_slice(), &[0]].concat();
            assert_eq!((identities(&longer), signature(&longer)), (None, None));
        }
        // Another algorithm, and the agent's word for no.
        let other = [&signed[..9], b"ssh-ed25518", &signed[20..]].concat();
        assert_eq!(signature(&other), None);
        assert_eq!((identities(&[5]), signature(&[5])), (None, None));
    }
}

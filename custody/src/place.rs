//! What `init --key` says: where the Ed25519 key of a log, witness or builder is, if it is not to be made.

use std::path::{Path, PathBuf};

use client::cli::Advice;
use client::{agent, keys};
use tlog::{KeyKind, KeyName, Signer as _, SigningKey, VerifierKey};

use crate::token::{self, TokenSigner};
use crate::uri::{self, InToken, Uri};

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In another key file: one line of private key text, which is copied.
    File(PathBuf),
    /// In an ssh-agent.
    Agent {
        /// The agent's socket, an absolute path.
        socket: PathBuf,
        /// `SHA256:` and unpadded base64, as `ssh-add -l` shows it.
        fingerprint: String,
    },
    /// In a PKCS#11 token.
    Token(Uri),
}

impl Place {
    /// What `--key` takes, for its help.
    pub const HELP: &'static str = "FILE | ssh-agent:SOCKET?key=SHA256:… | pkcs11:token=…;object=…?module-path=…&pin-source=file:…";

    /// Reads the argument of `--key`.
    ///
    /// # Errors
    /// If a URI is not one, or an agent's address has no key.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with(uri::SCHEME) {
            return Uri::parse(text).map(Self::Token).map_err(|error| error.to_string());
        }
        let Some(agent) = text.strip_prefix(AGENT) else { return Ok(Self::File(text.into())) };
        let parts = agent.split_once("?key=").filter(|(socket, key)| socket.starts_with('/') && key.starts_with("SHA256:"));
        let (socket, fingerprint) = parts.ok_or("expected ssh-agent:/path/of/socket?key=SHA256:…, as ssh-add -l shows the key")?;
        Ok(Self::Agent { socket: socket.into(), fingerprint: fingerprint.to_owned() })
    }

    /// Makes the new key file `file` for the key that is here: a copy, or a reference.
    ///
    /// # Errors
    /// If the key is not there, cannot sign, or is not of this name and type; or if the file cannot be written.
    pub fn bring(&self, file: &Path, name: &KeyName, kind: KeyKind) -> Result<VerifierKey, Advice> {
        match self {
            Self::File(from) => copied(from, file, name, kind),
            Self::Agent { socket, fingerprint } => {
                let hint = "start the agent, add the key with ssh-add, and give the fingerprint that ssh-add -l shows";
                let public =
                    agent::find(socket, fingerprint).map_err(|problem| Advice::new(format!("{}: {problem}", socket.display()), hint))?;
                let key = key_of(name, kind, &public)?;
                keys::refer_to_agent(file, &key, socket).map_err(|problem| Advice::new(problem.to_string(), hint))?;
                Ok(key)
            }
            Self::Token(uri) => {
                let hint = "specs/keys.md says what has to be in the token, and where the PIN is kept";
                let public = token::find(uri).map_err(|problem| Advice::new(problem.to_string(), hint))?;
                let key = key_of(name, kind, &public)?;
                TokenSigner::open(uri.clone(), key.clone()).map_err(|problem| Advice::new(problem.to_string(), hint))?;
                let text = InToken { uri: uri.clone(), key: key.clone() }.encode();
                keys::write_new(file, &text).map_err(|problem| Advice::new(problem.to_string(), "choose another directory"))?;
                Ok(key)
            }
        }
    }
}

/// The key at this place; without one a new one, made from the system's random numbers.
///
/// # Errors
/// As [`Place::bring`].
pub fn bring_or_create(place: Option<&Place>, file: &Path, name: &KeyName, kind: KeyKind) -> Result<VerifierKey, Advice> {
    match place {
        Some(place) => place.bring(file, name, kind),
        None => keys::create(file, name, kind).map_err(|problem| Advice::new(problem.to_string(), "choose another directory")),
    }
}

fn copied(from: &Path, to: &Path, name: &KeyName, kind: KeyKind) -> Result<VerifierKey, Advice> {
    let hint = "give a file with one line of private key text (specs/keys.md), for this name and type";
    let text = keys::read_secret(from).map_err(|problem| Advice::new(problem.to_string(), hint))?;
    let key = SigningKey::parse(text.trim_end_matches('\n')).map_err(|_| Advice::new(format!("{} holds no key", from.display()), hint))?;
    let key = key.key().clone();
    if key.name() != name || key.kind() != kind {
        let what = format!("{} is the key of {}, of type {:?}; needed is {name}, {kind:?}", from.display(), key.name(), key.kind());
        return Err(Advice::new(what, hint));
    }
    keys::write_new(to, &text).map_err(|problem| Advice::new(problem.to_string(), "choose another directory"))?;
    Ok(key)
}

fn key_of(name: &KeyName, kind: KeyKind, public: &[u8]) -> Result<VerifierKey, Advice> {
    let hint = "make another key; only Ed25519 keys can be elsewhere than in a file";
    VerifierKey::new(name.clone(), kind, public).map_err(|problem| Advice::new(format!("the key cannot be used: {problem:?}"), hint))
}

const AGENT: &str = "ssh-agent:";

//! Where the keys are that log, witness and builder sign with: in a file, in an ssh-agent, or in a PKCS#11 token (`specs/keys.md`).
//!
//! A crate of its own, so that `tally`, which judges, links nothing that loads foreign modules into its process.

mod place;
pub mod token;
pub mod uri;

use std::path::Path;

use client::keys::{self, KeyFileError};
use tlog::Signer;

pub use place::{Place, bring_or_create};
pub use token::{TokenError, TokenSigner};
pub use uri::{InToken, Uri, UriError};

/// Reads a key file, and opens the token or asks the ssh-agent that it may name.
///
/// # Errors
/// As [`keys::load`]; for a key in a token what [`TokenError`] says.
pub fn load(path: &Path) -> Result<Box<dyn Signer>, KeyFileError> {
    let text = keys::read_secret(path)?;
    if !text.starts_with(uri::SCHEME) {
        return keys::load(path);
    }
    let name = || path.display().to_string();
    let InToken { uri, key } = InToken::parse(&text).ok_or_else(|| KeyFileError::Malformed { path: name() })?;
    let signer = TokenSigner::open(uri, key).map_err(|error| KeyFileError::Io { path: name(), why: std::io::Error::other(error) })?;
    Ok(Box::new(signer))
}

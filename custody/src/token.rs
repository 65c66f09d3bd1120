//! Signing by a PKCS#11 token: Ed25519 keys (`CKM_EDDSA`), which never come here.
//!
//! The PIN is read from its file when it is needed. Each signature is verified before it is used; a session that has died is opened
//! anew for the next one, but a PIN that the token refused is not tried again: tokens lock themselves.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use client::keys::{self, KeyFileError};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use tlog::key::SignError;
use tlog::{KeyKind, Signer, VerifierKey};
use tracing::error;

use crate::uri::Uri;

/// Modules that are loaded: each may be initialised once in a process.
static MODULES: Mutex<BTreeMap<String, Pkcs11>> = Mutex::new(BTreeMap::new());

/// Why a token's key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The module cannot be loaded.
    #[error("the PKCS#11 module {0} cannot be loaded ({1}): install it, or correct module-path")]
    Module(String, String),
    /// No token has the label.
    #[error("no token with the label {0:?} is there: plug it in, or see what labels there are")]
    NoToken(String),
    /// Several tokens have it.
    #[error("several tokens have the label {0:?}: give them different ones")]
    SeveralTokens(String),
    /// The PIN's file is refused.
    #[error("the PIN: {0}")]
    Pin(#[from] KeyFileError),
    /// The token refuses the PIN.
    #[error("the token {token:?} refuses the PIN in {file}: correct it before you try again, because tokens lock themselves after a few")]
    WrongPin {
        /// The token's label.
        token: String,
        /// The PIN's file.
        file: String,
    },
    /// The token is locked.
    #[error("the token {0:?} has locked its PIN: its security officer can set another one")]
    Locked(String),
    /// The key is not there.
    #[error("the token {token:?} has no Ed25519 {half} key {object:?}: make the pair there, both halves with this label")]
    NoKey {
        /// The token's label.
        token: String,
        /// The object's label.
        object: String,
        /// `private` or `public`.
        half: &'static str,
    },
    /// Several keys have the label.
    #[error("several keys in the token have the label {0:?}: give them different ones")]
    SeveralKeys(String),
    /// The public half in the token is not the one in the key file.
    #[error("the token's key {0:?} is another one than the key file names: give the right object, or make the key file anew")]
    OtherKey(String),
    /// This kind of key is not made in tokens here.
    #[error("only Ed25519 keys can be in a token here; ML-DSA-44 keys are in files")]
    Unsupported,
    /// A signature by the token does not verify.
    #[error("what the token signed does not verify under its public key {0:?}: its two halves are not one pair")]
    WrongSignature(String),
    /// The module failed.
    #[error("the PKCS#11 module failed: {0}")]
    Failed(String),
}

impl From<Error> for TokenError {
    fn from(error: Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A key in a token, with a session in which it can sign.
pub struct TokenSigner {
    key: VerifierKey,
    uri: Uri,
    state: Mutex<State>,
}

enum State {
    Open(Session, ObjectHandle),
    /// To be opened again.
    Closed,
    /// Not to be opened again by this process.
    GivenUp,
}

impl TokenSigner {
    /// Opens the token, finds the pair, and has it sign something, so that a key that cannot sign is noticed at once.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn open(uri: Uri, key: VerifierKey) -> Result<Self, TokenError> {
        if key.kind() == KeyKind::MlDsa44 {
            return Err(TokenError::Unsupported);
        }
        let session = session(&uri)?;
        if public_of(&session, &uri)? != key.public() {
            return Err(TokenError::OtherKey(uri.object));
        }
        let private = private_of(&session, &uri)?;
        if !key.verify(PROBE, &sign(&session, private, PROBE)?) {
            return Err(TokenError::WrongSignature(uri.object));
        }
        Ok(Self { key, uri, state: Mutex::new(State::Open(session, private)) })
    }

    fn ask(&self, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let mut state = lock(&self.state);
        if matches!(*state, State::Closed) {
            *state = match session(&self.uri) {
                Ok(session) => {
                    let private = private_of(&session, &self.uri)?;
                    State::Open(session, private)
                }
                Err(error) => {
                    if matches!(error, TokenError::WrongPin { .. } | TokenError::Locked(_)) {
                        *state = State::GivenUp;
                    }
                    return Err(error);
                }
            };
        }
        let State::Open(session, private) = &*state else {
            let (token, file) = (self.uri.token.clone(), self.uri.pin.clone());
            return Err(TokenError::WrongPin { token, file });
        };
        let signed = sign(session, *private, message);
        if signed.is_err() {
            *state = State::Closed;
        }
        let signature = signed?;
        if self.key.verify(message, &signature) { Ok(signature) } else { Err(TokenError::WrongSignature(self.uri.object.clone())) }
    }
}

impl Signer for TokenSigner {
    fn key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        // Once more where the session had died, as after a token was unplugged and plugged in again.
        let signed = self.ask(message).or_else(|first| match first {
            TokenError::Failed(_) => self.ask(message),
            other => Err(other),
        });
        signed.map_err(|problem| {
            error!(token = self.uri.token, %problem, "the token gave no signature");
            SignError
        })
    }
}

/// The raw public half of a key in a token.
///
/// # Errors
/// See [`TokenError`].
pub fn find(uri: &Uri) -> Result<Vec<u8>, TokenError> {
    public_of(&session(uri)?, uri)
}

/// A session with the token in which its user is logged in.
fn session(uri: &Uri) -> Result<Session, TokenError> {
    let module = module(&uri.module)?;
    let mut found = None;
    for slot in module.get_slots_with_token()? {
        if module.get_token_info(slot)?.label() == uri.token && found.replace(slot).is_some() {
            return Err(TokenError::SeveralTokens(uri.token.clone()));
        }
    }
    let session = module.open_ro_session(found.ok_or_else(|| TokenError::NoToken(uri.token.clone()))?)?;
    let text = keys::read_secret(Path::new(&uri.pin))?;
    let pin = AuthPin::from(text.trim_end_matches('\n'));
    match session.login(UserType::User, Some(&pin)) {
        // Being logged in is a matter of the process and the token, not of the session.
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
        Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => {
            Err(TokenError::WrongPin { token: uri.token.clone(), file: uri.pin.clone() })
        }
        Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(TokenError::Locked(uri.token.clone())),
        Err(error) => Err(error.into()),
    }
}

fn module(path: &str) -> Result<Pkcs11, TokenError> {
    let failed = |error: Error| TokenError::Module(path.to_owned(), error.to_string());
    let mut modules = lock(&MODULES);
    if let Some(module) = modules.get(path) {
        return Ok(module.clone());
    }
    let module = Pkcs11::new(path).map_err(failed)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(failed(error)),
    }
    modules.insert(path.to_owned(), module.clone());
    Ok(module)
}

fn private_of(session: &Session, uri: &Uri) -> Result<ObjectHandle, TokenError> {
    object(session, uri, ObjectClass::PRIVATE_KEY, "private")
}

fn public_of(session: &Session, uri: &Uri) -> Result<Vec<u8>, TokenError> {
    let public = object(session, uri, ObjectClass::PUBLIC_KEY, "public")?;
    let attributes = session.get_attributes(public, &[AttributeType::EcPoint])?;
    let point = attributes.into_iter().find_map(|attribute| match attribute {
        Attribute::EcPoint(point) => Some(point),
        _ => None,
    });
    let point = point.and_then(|point| raw_point(&point)).ok_or_else(|| no_key(uri, "public"))?;
    Ok(point)
}

/// The 32 bytes of an Ed25519 point: bare, or as a DER OCTET STRING. Modules do either.
fn raw_point(point: &[u8]) -> Option<Vec<u8>> {
    let bare = match point {
        // A bare one may begin with the same two bytes.
        [4, 32, bare @ ..] if bare.len() == 32 => bare,
        bare => bare,
    };
    (bare.len() == 32).then(|| bare.to_vec())
}

fn object(session: &Session, uri: &Uri, class: ObjectClass, half: &'static str) -> Result<ObjectHandle, TokenError> {
    let label = Attribute::Label(uri.object.clone().into_bytes());
    let found = session.find_objects(&[Attribute::Class(class), Attribute::KeyType(KeyType::EC_EDWARDS), label])?;
    match found.as_slice() {
        [] => Err(no_key(uri, half)),
        [one] => Ok(*one),
        _ => Err(TokenError::SeveralKeys(uri.object.clone())),
    }
}

fn no_key(uri: &Uri, half: &'static str) -> TokenError {
    TokenError::NoKey { token: uri.token.clone(), object: uri.object.clone(), half }
}

fn sign(session: &Session, private: ObjectHandle, message: &[u8]) -> Result<Vec<u8>, TokenError> {
    let pure = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
    Ok(session.sign(&pure, private, message)?)
}

/// What is held survives a panic elsewhere: at worst it is opened again.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Nothing that a log, a witness or a builder ever says begins like this.
const PROBE: &[u8] = b"tallystick/probe/v1\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_read_bare_and_wrapped() {
        let bare = [[4, 32].as_slice(), &[7; 30]].concat();
        assert_eq!(raw_point(&bare), Some(bare.clone()));
        assert_eq!(raw_point(&[[4, 32].as_slice(), &bare].concat()), Some(bare.clone()));
        assert_eq!(raw_point(&bare[1..]), None);
        assert_eq!(raw_point(&[bare.as_slice(), &[1]].concat()), None);
    }
}

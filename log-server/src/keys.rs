//! The log's two signing keys. Every checkpoint carries both signatures: Ed25519 for the witnesses and clients of today,
//! ML-DSA-44 for those that must outlive it.

use std::path::Path;

use client::cli::Advice;
use custody::Place;
use tlog::{Checkpoint, KeyKind, KeyName, SignedCheckpoint, Signer, Tree, VerifierKey};

use crate::layout;

/// Both signers of one log; their name is its origin.
pub struct LogKeys {
    ed25519: Box<dyn Signer>,
    ml_dsa: Box<dyn Signer>,
}

/// Why keys or a checkpoint under them are of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnError {
    /// The two signers are not an Ed25519 and an ML-DSA-44 key of one name.
    WrongKeys,
    /// A key did not sign.
    NoSignature,
    /// Not a checkpoint.
    Malformed,
    /// Of another log.
    WrongOrigin,
    /// A signature of this log is missing or wrong.
    BadSignature,
}

/// A checkpoint of this log whose own signatures have been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCheckpoint {
    /// As parsed, with all its lines.
    pub signed: SignedCheckpoint,
    /// When it was signed, in POSIX seconds, as the ML-DSA-44 signature says.
    pub time: u64,
}

impl OwnCheckpoint {
    /// Size and root.
    #[must_use]
    pub fn tree(&self) -> Tree {
        self.signed.checkpoint.tree
    }
}

impl LogKeys {
    /// The names of the two key files.
    pub const FILES: [&str; 2] = [ED25519, ML_DSA];

    /// Takes an Ed25519 signer (type 01) and an ML-DSA-44 signer (type 06) of the same name.
    pub fn new(ed25519: Box<dyn Signer>, ml_dsa: Box<dyn Signer>) -> Result<Self, OwnError> {
        let kinds = (ed25519.key().kind(), ml_dsa.key().kind());
        if kinds != (KeyKind::Ed25519, KeyKind::MlDsa44) || ed25519.key().name() != ml_dsa.key().name() {
            return Err(OwnError::WrongKeys);
        }
        Ok(Self { ed25519, ml_dsa })
    }

    /// Makes both keys in `dir/keys`; the Ed25519 key may be there already, somewhere.
    pub fn create(dir: &Path, origin: &KeyName, place: Option<&Place>) -> Result<Vec<VerifierKey>, Advice> {
        let keys = dir.join(layout::KEYS);
        let ed25519 = custody::bring_or_create(place, &keys.join(ED25519), origin, KeyKind::Ed25519)?;
        Ok(vec![ed25519, custody::bring_or_create(None, &keys.join(ML_DSA), origin, KeyKind::MlDsa44)?])
    }

    /// Loads both keys from `dir/keys`.
    pub fn load(dir: &Path) -> anyhow::Result<Self> {
        let keys = dir.join(layout::KEYS);
        let (ed25519, ml_dsa) = (custody::load(&keys.join(ED25519))?, custody::load(&keys.join(ML_DSA))?);
        Self::new(ed25519, ml_dsa)
            .map_err(|_| anyhow::anyhow!("{} does not hold an Ed25519 and an ML-DSA-44 key of one name", keys.display()))
    }

    /// The name of both keys.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.ed25519.key().name().as_str()
    }

    /// The Ed25519 signer, for the envelope of the first roles.
    #[must_use]
    pub fn envelope_signer(&self) -> &dyn Signer {
        &*self.ed25519
    }

    /// Both verifier keys, Ed25519 first.
    #[must_use]
    pub fn verifier_keys(&self) -> [VerifierKey; 2] {
        [self.ed25519.key().clone(), self.ml_dsa.key().clone()]
    }

    /// Signs a tree with both keys. The caller has verified the tree (`crate::verify`), and lets no signature out before the
    /// checkpoint is committed.
    pub fn sign(&self, tree: Tree, time: u64) -> Result<OwnCheckpoint, OwnError> {
        let checkpoint = Checkpoint { origin: self.origin().to_owned(), tree, extensions: Vec::new() };
        let line = |signer: &dyn Signer| checkpoint.sign(signer, time).map_err(|_| OwnError::NoSignature);
        let lines = vec![line(&*self.ed25519)?, line(&*self.ml_dsa)?];
        let note = tlog::Note { text: checkpoint.encode(), lines };
        Ok(OwnCheckpoint { signed: SignedCheckpoint { checkpoint, note }, time })
    }

    /// Reads a checkpoint and checks that it is of this log and carries both its signatures.
    pub fn open(&self, bytes: &[u8]) -> Result<OwnCheckpoint, OwnError> {
        let signed = SignedCheckpoint::parse(bytes).map_err(|_| OwnError::Malformed)?;
        if signed.checkpoint.origin != self.origin() {
            return Err(OwnError::WrongOrigin);
        }
        signed.verify_log(&self.verifier_keys()).map_err(|_| OwnError::BadSignature)?;
        let by = |key: &VerifierKey| signed.note.lines.iter().find(|line| line.is_by(key));
        let [ed25519, ml_dsa] = self.verifier_keys();
        by(&ed25519).ok_or(OwnError::BadSignature)?;
        let line = by(&ml_dsa).ok_or(OwnError::BadSignature)?;
        let time = tlog::cosignature::verify(&ml_dsa, line, &signed.checkpoint).map_err(|_| OwnError::BadSignature)?;
        Ok(OwnCheckpoint { signed, time })
    }

    /// Whether this checkpoint, shown by someone else, is signed by either key of this log.
    #[must_use]
    pub fn has_signed(&self, signed: &SignedCheckpoint) -> bool {
        signed.checkpoint.origin == self.origin() && signed.verify_log(&self.verifier_keys()).is_ok()
    }
}

const ED25519: &str = "ed25519";
const ML_DSA: &str = "ml-dsa-44";

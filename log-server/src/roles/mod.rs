//! Admission by role: what a submission must be before it is queued, and how its turn is judged (`specs/submit.md`).

mod bootstrap;
mod desk;
mod gate;
mod manifests;
mod replay;

pub use bootstrap::{Bootstrap, bootstrap_files};
pub use desk::{Checked, Desk, parts};
pub use gate::RolesGate;
pub use manifests::{ManifestError, Manifests};
pub use replay::{State, open_index, rebuild};

use attest::judge::Refusal as Judgement;
use attest::predicate::Predicate;
use attest::{Envelope, Statement};
use tlog::{Hash, VerifierKey};

use crate::index::Row;
use crate::pool::Refusal;

/// What admission learnt about an envelope whose signature verifies.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Who signed.
    pub key: VerifierKey,
    /// SHA-256 of the payload.
    pub payload: Hash,
    /// What is said.
    pub statement: Statement,
    identity: Hash,
}

impl Submission {
    /// Takes an envelope apart; whoever calls has verified its signature, or does not need it verified.
    #[must_use]
    pub fn new(envelope: &Envelope, statement: Statement) -> Self {
        let (key, payload) = (envelope.key().clone(), envelope.payload_hash());
        let identity = Hash::digest(format!("tallystick/identity/v1\n{}\n{payload}\n", key.encode()).as_bytes());
        Self { key, payload, statement, identity }
    }

    /// What makes two submissions the same: key and payload, in full.
    #[must_use]
    pub fn identity(&self) -> Hash {
        self.identity
    }

    /// Its row in the index.
    #[must_use]
    pub fn row(&self) -> Row {
        let terms = [self.statement.subject.name.clone(), format!("type:{}", self.statement.kind().short_name())];
        Row { identity: self.identity, terms, manifest: self.claimed().map(|claim| claim.manifest) }
    }

    /// The claim about a manifest, if it is one.
    #[must_use]
    pub fn claimed(&self) -> Option<&attest::predicate::PackageFiles> {
        match &self.statement.predicate {
            Predicate::PackageFiles(files) => Some(files),
            _ => None,
        }
    }
}

/// The one mapping from judgements to what a submitter is told: 400, 403 or 422.
#[must_use]
pub fn refusal(judgement: &Judgement) -> Refusal {
    let text = judgement.to_string();
    match judgement {
        Judgement::Envelope(attest::envelope::EnvelopeError::BadSignature) => Refusal::Forbidden(text),
        Judgement::Envelope(_) | Judgement::Statement(_) => Refusal::Malformed(text),
        Judgement::UnknownKey
        | Judgement::WrongRole { .. }
        | Judgement::OutOfScope { .. }
        | Judgement::WrongVendor { .. }
        | Judgement::Retired
        | Judgement::Compromised { .. } => Refusal::Forbidden(text),
        Judgement::NoRoles
        | Judgement::Roles(_)
        | Judgement::WrongSequence { .. }
        | Judgement::WrongPrevious
        | Judgement::WrongControlHead
        | Judgement::OutOfOrder => Refusal::Unfounded(text),
        _ => Refusal::Unfounded(text),
    }
}
